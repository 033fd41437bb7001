//! Owns the choice of program by the job of the command line; never a job's content.

mod at_once;
mod audit;
mod bystander;
mod c_services;
mod capacity;
mod control;
mod copy;
mod deadline;
mod devices;
mod entropy;
mod fault;
mod fifo;
mod fragments;
mod hostile;
mod interleaved;
mod irq;
mod kill;
mod kills;
mod ledger;
mod lock;
mod mapped_attrs;
mod medium;
mod net;
mod refusals;
mod registers;
mod revoke;
mod safe;
mod seal;
mod sequences;
mod serving;
mod stale_tlb;
mod third_party;
mod transfer;
mod two_cores;
mod unaccepted;
mod unconfirmed;

use crate::rt::{Boot, signal};
use crate::{report, say};

/// What VM 1 does.
pub fn frontend(boot: &Boot) {
    run(boot, |job| {
        Some(match job {
            "transfer" => transfer::frontend::run,
            "lock" => lock::owner,
            "revoke" => revoke::owner,
            "unaccepted" => unaccepted::owner,
            "fault_after_relinquish" => fault::relinquish_owner,
            "fault_on_lend" => fault::lend_owner,
            "third_party" => third_party::owner,
            "hostile_args" => hostile::owner,
            "two_cores" => two_cores::first,
            "kill" => kill::owner,
            "deadline" => deadline::owner,
            "fragments" => fragments::owner,
            "end_with_vm1" => kill::ends_first,
            "mapped_attrs" => mapped_attrs::owner,
            "ledger" => ledger::auditor,
            "kills" => kills::controller,
            "rng" => devices::rng::run,
            "console" => devices::console::run,
            "irq" => irq::demo::first,
            "irq_figures" => irq::figures::first,
            "irq_situations" => irq::situations::first,
            "capacity" => capacity::owner,
            "unconfirmed" => unconfirmed::controller,
            "seal" => seal::sealer,
            "entropy" => entropy::caller,
            "entropy_device" => devices::entropy::flood,
            "rpmb" => safe::rpmb::owner,
            "keys" => safe::keys::owner,
            "watchdog" => safe::watchdog::resets,
            "flash_unseen" => safe::refused::caller,
            "powercut" => safe::powercut::run,
            "c_services" => c_services::run,
            "service_figures" => safe::figures::caller,
            "entropy_none" => entropy::without,
            "registers" => registers::caller,
            "sequences" => sequences::long,
            "stale_tlb" => stale_tlb::owner,
            "copy" => copy::leader,
            "interleaved" => interleaved::leader,
            "at_once" => at_once::owner::run,
            "refusals" => refusals::auditor,
            "net" => net::frontend::run,
            _ => return None,
        })
    });
}

/// What VM 2 does.
pub fn backend(boot: &Boot) {
    run(boot, |job| {
        Some(match job {
            "transfer" => transfer::backend::run,
            "lock" => lock::peer,
            "revoke" => revoke::peer,
            "unaccepted" => unaccepted::peer,
            "fault_after_relinquish" => fault::relinquish_peer,
            "fault_on_lend" => fault::lend_peer,
            "third_party" => third_party::peer,
            "hostile_args" => hostile::peer,
            "kill" => kill::peer,
            "deadline" => deadline::peer,
            "fragments" => fragments::peer,
            "end_with_vm1" => kill::never_ends,
            "mapped_attrs" => mapped_attrs::peer,
            "ledger" => ledger::owner,
            "kills" => kills::owner::run,
            "console" => devices::backend::run,
            "capacity" => capacity::peer,
            "unconfirmed" => unconfirmed::owner,
            "seal" => seal::owner,
            "registers" => registers::by_smc,
            "stale_tlb" => stale_tlb::peer,
            "copy" => copy::partner,
            "interleaved" => interleaved::second,
            "at_once" => at_once::peer::run,
            "refusals" => refusals::owner,
            "net" => net::backend::run,
            "rpmb" => safe::rpmb::other,
            "keys" => safe::keys::other,
            "watchdog" => safe::watchdog::restarts,
            _ => return None,
        })
    });
}

/// What VM 3 does.
pub fn hostile(boot: &Boot) {
    run(boot, |job| {
        Some(match job {
            "transfer" => transfer::killer::run,
            "third_party" => third_party::hostile,
            "hostile_args" => hostile::attacker,
            "two_cores" => two_cores::second,
            "end_with_vm1" => kill::spins,
            "ledger" => ledger::flooder,
            "kills" => kills::peer::run,
            "unconfirmed" => unconfirmed::peer,
            "seal" => seal::peer,
            "entropy" => entropy::other,
            "entropy_device" => devices::entropy::calm,
            "rpmb" => safe::rpmb::stranger,
            "keys" => safe::keys::stranger,
            "sequences" => sequences::short,
            "copy" => copy::receiver,
            "interleaved" => interleaved::third,
            "refusals" => refusals::peer,
            "irq" => irq::demo::third,
            "irq_figures" => irq::figures::third,
            "irq_situations" => irq::situations::third,
            _ => return None,
        })
    });
}

type Program = fn(&Boot);

fn run(boot: &Boot, choose: fn(&str) -> Option<Program>) {
    match boot.line.job() {
        "idle" => {}
        job => match choose(job) {
            Some(program) => {
                signal::open();
                program(boot);
                if boot.line.is_set("ledger") {
                    audit::print_at_the_end();
                }
            }
            None => {
                report::fail();
                say!("unknown job {job}");
            }
        },
    }
    report::end();
}
