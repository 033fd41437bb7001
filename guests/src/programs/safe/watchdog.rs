//! `demo_watchdog`: VM 2 hangs after it switched off the processor that armed its watchdog, and again after
//! it suspended it, and is restarted; VM 1 hangs, and the machine is reset. What one life learnt reaches the next in counters.

use super::{connect, status_of, until_ready};
use crate::rt::{Boot, pages, second, signal, time};
use crate::{check, say};
use causeway_abi::Status;
use causeway_client::security::Security;

/// VM 1's counters: boots, and what was found right in the first of them.
const BOOTS: u8 = 1;
const RIGHT: u8 = 2;
/// The bit that VM 2 sets in its third life: one of its data bits.
const RESTARTED: u64 = 1 << 20;
const MILLIS: u64 = 60_000;

/// VM 1: at the first boot hangs with its watchdog armed, at the second tells what happened.
pub(in crate::programs) fn resets(_boot: &Boot) {
    let security = Security::of(connect());
    assert!(until_ready(security), "every core is seen");
    let boot = security.increment(BOOTS).expect("counted");
    if boot == 1 {
        assert!(came_back(), "VM 2 came back");
        hang(security);
    }
    let right = security.counter(RIGHT);
    check!("watchdog/the_machine_was_reset", boot == 2, "{boot}");
    check!("watchdog/pings_held_it_off_and_policy_its_stop", right == Ok(4), "{right:?}");
    say!("RESULT job=watchdog boots={boot} right={}", right.unwrap_or(0));
}

/// Waits for the word of VM 2's third life. With VM 2's death the bits that it sets are unbound, so
/// they are bound again until it comes.
fn came_back() -> bool {
    time::wait_until(MILLIS, || {
        signal::open();
        signal::fetch();
        signal::take_from_vms(RESTARTED) != 0
    })
}

fn hang(security: Security<'_>) -> ! {
    let too_short = security.start_watchdog(49, 0);
    note(security, status_of(&too_short) == Some(Status::WatchdogTime));
    security.start_watchdog(1500, 500).expect("armed");
    note(security, status_of(&security.stop_watchdog()) == Some(Status::WatchdogMayNotStop));
    // Longer than the time-out, in all.
    let end = time::now_micros() + 2_000_000;
    while time::now_micros() < end {
        security.ping_watchdog().expect("pinged");
        time::rest();
    }
    note(security, true);
    // The warning comes, and nobody pings.
    let warned = time::wait_until(MILLIS, || matches!(security.watchdog_left(), Ok((_, true))));
    note(security, warned);
    say!("hanging with an armed watchdog");
    loop {
        core::hint::spin_loop();
    }
}

fn note(security: Security<'_>, good: bool) {
    if good {
        security.increment(RIGHT).expect("counted");
    }
}

/// VM 2: four lives. In the first it arms its watchdog and switches off the processor that did, in the
/// second it suspends it, and with it the core.
pub(in crate::programs) fn restarts(_boot: &Boot) {
    let security = Security::of(connect());
    assert!(until_ready(security), "every core is seen");
    let life = security.increment(0).expect("counted");
    match life {
        1 => {
            security.start_watchdog(400, 100).expect("armed");
            say!("switching off the processor that armed the watchdog");
            // The second processor keeps the VM alive, and does nothing.
            let other = second::Second::start(pages::take(1));
            assert!(other.is_some(), "a second processor");
            second::switch_off_this_one();
        }
        2 => {
            security.start_watchdog(400, 0).expect("armed");
            say!("suspending the processor that armed the watchdog");
            loop {
                assert!(second::suspend_this_one(), "suspended");
            }
        }
        3 => {
            // Until the reset.
            loop {
                let _heard = signal::set(1, RESTARTED);
                time::rest();
            }
        }
        _ => check!("watchdog/vm2_was_restarted_when_off_and_when_suspended", life == 4, "{life}"),
    }
}
