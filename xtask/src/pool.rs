//! Owns the running of independent pieces of work on a few threads. Never decides what they are.

use std::sync::Mutex;
use std::thread;

/// Continuous integration has two cores.
const WORKERS: usize = 2;

/// Works on the items, two at a time, in their order; `work` also gets the worker's number. The
/// results come in the order in which they were ready.
pub(crate) fn two_at_a_time<'a, T: Sync, R: Send>(
    items: &'a [T],
    work: impl Fn(&'a T, usize) -> R + Sync,
) -> Vec<(&'a T, R)> {
    let next = Mutex::new(items.iter());
    let done = Mutex::new(Vec::new());
    let take = || next.lock().ok()?.next();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (done, take, work) = (&done, &take, &work);
            scope.spawn(move || {
                while let Some(item) = take() {
                    let result = work(item, worker);
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
    use super::two_at_a_time;

    #[test]
    fn every_item_is_worked_on_once() {
        let items: Vec<u32> = (0..100).collect();
        let mut done = two_at_a_time(&items, |item, worker| (item * 2, worker));
        done.sort();
        assert_eq!(done.len(), items.len());
        assert!(done.iter().all(|(item, (twice, worker))| *twice == **item * 2 && *worker < 2));
    }
}
