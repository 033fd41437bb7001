//! Owns the loop of one core: message in, answer out. Never holds a lock while it waits.

use crate::arch::smc;
use crate::console::{self, log};
use crate::core_id::CoreId;
use crate::lock::Crashed;
use crate::{crash, ids, partition};
use causeway_ffa::call::DirectMessage;
use causeway_ffa::{Call, Regs};
use causeway_service::Partition;
use causeway_service::dispatch::{self, Task};
use causeway_service::platform::Outgoing;

/// How often in a row the SPMC may refuse what we send before we take it for our bug.
const MAX_REFUSALS: u32 = 8;

/// Serves for ever.
pub(crate) fn serve(core: CoreId) -> ! {
    let mut send = wait();
    let mut refusals = 0;
    let mut long = None;
    loop {
        let received = match long.take() {
            Some(answer) => smc::call_all(&answer),
            None => smc::call(&send),
        };
        crash::serving(core, &received);
        send = match dispatch::frame(&received) {
            Some(message) => {
                refusals = 0;
                frame(&message, &received)
            }
            None => other(&received, &mut refusals, &mut long),
        };
        console::flush();
        crash::answered(core);
    }
}

/// Answers a frame.
#[inline]
fn frame(message: &DirectMessage, received: &Regs) -> Outgoing {
    #[cfg(feature = "selftest")]
    if crate::selftest::is_meant(&message.words) {
        return dispatch::answer(message, crate::selftest::run(&message.words));
    }
    match partition::with(|p| p.frame(message.sender, &message.words)) {
        Ok(words) => dispatch::answer(message, words),
        Err(crashed) => join_in(crashed, received),
    }
}

/// Carries out whatever is no frame of five words, and returns what to send; what goes out in more
/// than eight registers is put into `long` instead.
#[inline(never)]
fn other(received: &Regs, refusals: &mut u32, long: &mut Option<Regs>) -> Outgoing {
    let task = dispatch::task(received, ids::spmc());
    if let Task::Refused(error) = task {
        *refusals += 1;
        log!("refused by the SPMC: {error:?}");
        assert!(*refusals < MAX_REFUSALS, "the SPMC takes no answer of ours");
        return wait();
    }
    *refusals = 0;
    match task {
        Task::Wait | Task::Refused(_) => wait(),
        Task::Interrupt => match partition::with(Partition::interrupt) {
            Ok(()) => wait(),
            Err(crashed) => join_in(crashed, received),
        },
        Task::CoreOff(answer) => match partition::with(Partition::core_leaves) {
            Ok(()) => answer.smc8(),
            Err(crashed) => join_in(crashed, received),
        },
        Task::Answer(answer) => answer.smc8(),
        Task::Frame(message) => frame(&message, received),
        Task::Long(message) => {
            let (sender, uuid) = (message.sender, message.uuid);
            match partition::with(|p| p.long_message(sender, uuid, message.words)) {
                Ok(words) => *long = Some(dispatch::answer_long(&message, words)),
                Err(crashed) => join_in(crashed, received),
            }
            wait()
        }
        Task::Vm(request, event) => match partition::with(|p| p.vm_event(request.sender, event)) {
            Ok(status) => dispatch::answer_vm(&request, event, status).smc8(),
            Err(crashed) => join_in(crashed, received),
        },
    }
}

/// Another core crashed with the state in its hands: this one joins in refusing.
#[cold]
fn join_in(_: Crashed, received: &Regs) -> ! {
    let answer = dispatch::answer_of_crashed(received, ids::spmc());
    crash::serve_refusals(&answer.unwrap_or_else(|| Call::MsgWait.encode()))
}

fn wait() -> Outgoing {
    Call::MsgWait.encode().smc8()
}
