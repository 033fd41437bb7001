//! Owns the running of independent pieces of work on a few threads. Never decides what they are.

use std::sync::Mutex;
use std::thread;

/// How many at a time: continuous integration has two cores.
pub(crate) const CORES: usize = 2;

/// Works on the items, so many at a time, in their order. The results come in the order in which
/// they were ready.
pub(crate) fn work_on<'a, T: Sync, R: Send>(
    items: &'a [T],
    at_a_time: usize,
    work: impl Fn(&'a T) -> R + Sync,
) -> Vec<(&'a T, R)> {
    let next = Mutex::new(items.iter());
    let done = Mutex::new(Vec::new());
    let take = || next.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            let (done, take, work) = (&done, &take, &work);
            scope.spawn(move || {
                while let Some(item) = take() {
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.push((item, result));
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::work_on;
    use std::sync::Barrier;

    #[test]
    fn every_item_is_worked_on_once() {
        let items: Vec<u32> = (0..100).collect();
        let mut done = work_on(&items, 2, |item| item * 2);
        done.sort_unstable();
        assert_eq!(done.len(), items.len());
        assert!(done.iter().all(|(item, twice)| *twice == **item * 2));
    }

    #[test]
    fn so_many_are_worked_on_at_a_time() {
        let all = Barrier::new(8);
        // Each waits for all the others: with fewer at a time this would not end.
        let leaders = work_on(&[(); 8], 8, |()| all.wait().is_leader());
        assert_eq!(leaders.iter().filter(|(_, leads)| *leads).count(), 1);
    }
}
