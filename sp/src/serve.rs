//! Owns the loop of one core: message in, answer out. Never holds a lock while it waits.

use crate::arch::lock::Crashed;
use crate::arch::smc;
use crate::console::{self, log};
use crate::core_id::CoreId;
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
    loop {
        let received = smc::call(&send);
        crash::serving(core, &received);
        send = match dispatch::frame(&received) {
            Some(message) => {
                refusals = 0;
                let answer = frame(core, &message);
                finish(core);
                answer
            }
            None => {
                // Word by word, so that the answer to a frame never leaves the registers.
                let [a, b, c, d, e, f, g, h] = other(core, received, &mut refusals);
                [a, b, c, d, e, f, g, h]
            }
        };
    }
}

/// To be done before each answer.
#[inline]
fn finish(core: CoreId) {
    console::flush();
    crash::answered(core);
}

/// Answers a frame.
#[inline(always)]
fn frame(core: CoreId, message: &DirectMessage) -> Outgoing {
    #[cfg(feature = "selftest")]
    if crate::selftest::is_meant(&message.words) {
        return dispatch::answer(message, crate::selftest::run(&message.words));
    }
    match partition::with(|p| p.frame(message.sender, &message.words)) {
        Ok(words) => dispatch::answer(message, words),
        Err(crashed) => join_in(crashed, &crash::request_of(core)),
    }
}

/// Carries out whatever is no frame of five words, and returns what to send. By itself, so that a frame
/// pays for none of it. A message that follows one of fourteen words is taken here as well, whatever
/// it is: only here more than eight registers go out.
#[inline(never)]
fn other(core: CoreId, mut received: Regs, refusals: &mut u32) -> Outgoing {
    loop {
        let answer = answer_other(core, &received, refusals);
        finish(core);
        match answer {
            Answer::Short(out) => return out,
            Answer::Long(out) => received = smc::call_all(&out),
        }
        crash::serving(core, &received);
    }
}

/// What goes out next.
enum Answer {
    Short(Outgoing),
    /// In more than eight registers.
    Long(Regs),
}

fn answer_other(core: CoreId, received: &Regs, refusals: &mut u32) -> Answer {
    let task = dispatch::task(received, ids::spmc());
    if let Task::Refused(error) = task {
        *refusals += 1;
        log!("refused by the SPMC: {error:?}");
        assert!(*refusals < MAX_REFUSALS, "the SPMC takes no answer of ours");
        return Answer::Short(wait());
    }
    *refusals = 0;
    let answer = match task {
        Task::Wait | Task::Refused(_) => Ok(Answer::Short(wait())),
        Task::Interrupt => partition::with(Partition::interrupt).map(|()| Answer::Short(wait())),
        Task::CoreOff(answer) => {
            partition::with(Partition::core_leaves).map(|()| Answer::Short(answer.smc8()))
        }
        Task::Answer(answer) => Ok(Answer::Short(answer.smc8())),
        Task::Frame(message) => Ok(Answer::Short(frame(core, &message))),
        Task::Long(message) => {
            let (sender, uuid) = (message.sender, message.uuid);
            partition::with(|p| p.long_message(sender, uuid, message.words))
                .map(|words| Answer::Long(dispatch::answer_long(&message, words)))
        }
        Task::Vm(request, event) => partition::with(|p| p.vm_event(request.sender, event))
            .map(|status| Answer::Short(dispatch::answer_vm(&request, event, status).smc8())),
    };
    answer.unwrap_or_else(|crashed| join_in(crashed, received))
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
