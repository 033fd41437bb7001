//! Holds what a VM is shown of its grants to I3: nothing of it depends on what other VMs do.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use super::*;

/// What VM 1 and VM 2 see of three offers, one of them made anew, while VM 3 does `meanwhile`.
fn seen_by_two(mut meanwhile: impl FnMut(&mut Small, u64)) -> Vec<[u64; 4]> {
    let mut lab = lab();
    let mut seen = Vec::new();
    for (round, number) in (0_u64..).zip([7, 8, 7, 9]) {
        meanwhile(&mut lab, round);
        if lab.shares.contains_key(&handle(number)) {
            seen.push(lab.granted(1, revoke(number)));
            lab.reclaim(number).unwrap();
            meanwhile(&mut lab, round + 10);
        }
        lab.send(number, 1, terms(Some(2)), &[pages(0x100 + number, 1)]);
        seen.push(lab.granted(1, offer(number, terms(Some(2)))));
        seen.push(lab.granted(1, Call::State { handle: handle(number) }));
        seen.push(lab.granted(2, Call::Inspect { handle: handle(number), range_index: 0 }));
    }
    let mut cursor = 0;
    for _ in 0..5 {
        let listed = lab.granted(2, Call::List { cursor });
        seen.push(listed);
        cursor = u32::try_from(listed[1]).unwrap();
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(cursor, 0, "a list without end");
    seen.push(lab.granted(1, Call::Version { minor: 0 }));
    seen.extend([1, 2].map(|vm| lab.granted(vm, Call::Events)));
    let own = |r: &crate::Record| [1, 2].contains(&r.subject.get());
    let records = lab.records.iter().filter(|r| own(r));
    seen.extend(records.map(|r| [u64::from(r.generation), r.fold, r.page_count.into(), 0]));
    seen
}

#[test]
fn generations_and_cursors_are_the_same_whatever_other_vms_do() {
    let quiet = seen_by_two(|_, _| {});
    let busy = seen_by_two(|lab, round| {
        for turn in 0..=round % 3 {
            let number = 100 + round * 10 + turn;
            lab.send(number, 3, terms(None), &[pages(0x300 + turn, 1)]);
            let _reply = lab.call(3, offer(number, terms(None)));
            if turn == 1 {
                let _reply = lab.call(3, revoke(number - 1));
            }
        }
    });
    assert_eq!(quiet, busy);
}

#[test]
fn a_list_shows_each_offer_once_while_offers_come_and_go() {
    let mut lab = lab();
    for number in [7, 8, 9] {
        lab.send(number, 1, terms(Some(2)), &[pages(0x100 + number, 1)]);
        lab.granted(1, offer(number, terms(Some(2))));
    }
    let [first, cursor, ..] = lab.granted(2, Call::List { cursor: 0 });
    assert_eq!(first, 7);
    let generation = lab.summary(2, 7).generation;
    lab.granted(2, Call::Reject { handle: handle(7), generation });
    let cursor = u32::try_from(cursor).unwrap();
    let [second, cursor, ..] = lab.granted(2, Call::List { cursor });
    assert_eq!(second, 8);
    let cursor = u32::try_from(cursor).unwrap();
    assert_eq!(lab.granted(2, Call::List { cursor }), [9, 0, 0, 0]);
    let past = u32::from(u16::MAX) + 1;
    for cursor in [3, 64, 1000, past, u32::MAX] {
        assert_eq!(lab.granted(2, Call::List { cursor })[0], causeway_abi::NO_HANDLE, "{cursor}");
    }
}
