//! Owns the choice of program by the job of the command line; never a job's content.

mod fault;
mod lock;
mod revoke;
mod unaccepted;

use crate::rt::{Boot, signal};
use crate::{report, say};

/// What VM 1 does.
pub fn frontend(boot: &Boot) {
    run(boot, |job| {
        Some(match job {
            "lock" => lock::owner,
            "revoke" => revoke::owner,
            "unaccepted" => unaccepted::owner,
            "fault_after_relinquish" => fault::relinquish_owner,
            "fault_on_lend" => fault::lend_owner,
            _ => return None,
        })
    });
}

/// What VM 2 does.
pub fn backend(boot: &Boot) {
    run(boot, |job| {
        Some(match job {
            "lock" => lock::peer,
            "revoke" => revoke::peer,
            "unaccepted" => unaccepted::peer,
            "fault_after_relinquish" => fault::relinquish_peer,
            "fault_on_lend" => fault::lend_peer,
            _ => return None,
        })
    });
}

/// What VM 3 does.
pub fn hostile(boot: &Boot) {
    run(boot, |_job| None);
}

type Program = fn(&Boot);

fn run(boot: &Boot, choose: fn(&str) -> Option<Program>) {
    match boot.line.job() {
        "idle" => {}
        job => match choose(job) {
            Some(program) => {
                signal::open();
                program(boot);
            }
            None => {
                report::fail();
                say!("unknown job {job}");
            }
        },
    }
    report::end();
}
