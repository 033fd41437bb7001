//! Owns the loop of one core: message in, answer out. Never holds a lock while it waits.

use crate::arch::regs;
use crate::arch::smc;
use crate::console::{self, log};
use crate::core_id::CoreId;
use crate::{crash, ids, partition};
use causeway_ffa::{Call, Regs};
use causeway_service::dispatch::{self, Task};
use causeway_service::lines::Said;
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
        let task = dispatch::task(&received, ids::spmc());
        send = match task {
            Task::Refused(error) => {
                refusals += 1;
                log!("refused by the SPMC: {error:?}");
                assert!(refusals < MAX_REFUSALS, "the SPMC takes no answer of ours");
                wait()
            }
            Task::Wait | Task::Interrupt | Task::Answer(_) | Task::Frame(_) | Task::Vm(..) => {
                refusals = 0;
                outcome(&task, &received)
            }
        };
        console::flush();
        crash::answered(core);
    }
}

/// Carries out a task and returns what to send.
fn outcome(task: &Task, received: &Regs) -> Outgoing {
    let done = match task {
        Task::Wait | Task::Refused(_) => Ok(wait()),
        Task::Interrupt => {
            // No device of ours exists yet. An interrupt that stays pending would bring us back
            // here for ever, and the normal world would never run again on this core.
            if let Some(intid) = regs::take_interrupt() {
                console::tell(None, Said::StrayInterrupt { intid, core: regs::this_core().get() });
            }
            Ok(wait())
        }
        Task::Answer(answer) => Ok(answer.smc8()),
        #[cfg(feature = "selftest")]
        Task::Frame(message) if crate::selftest::is_meant(&message.words) => {
            Ok(dispatch::answer(message, crate::selftest::run(&message.words)).smc8())
        }
        Task::Frame(message) => partition::with(|p| p.frame(message.sender, message.words))
            .map(|words| dispatch::answer(message, words).smc8()),
        Task::Vm(request, event) => partition::with(|p| p.vm_event(request.sender, *event))
            .map(|status| dispatch::answer_vm(request, *event, status).smc8()),
    };
    done.unwrap_or_else(|_crashed| {
        // Another core crashed with the state in its hands: this one joins in refusing.
        let answer = dispatch::answer_of_crashed(received, ids::spmc());
        crash::serve_refusals(&answer.unwrap_or_else(|| Call::MsgWait.encode()))
    })
}

fn wait() -> Outgoing {
    Call::MsgWait.encode().smc8()
}
