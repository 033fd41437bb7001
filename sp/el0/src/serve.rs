//! Owns the start and the loop of the one execution context: message in, answer out.

use crate::arch::mailbox::Mailbox;
use crate::arch::{counter, svc};
use crate::machine::{Company, Machine, Svc, log};
use crate::{boot, crash};
use causeway_abi::Status;
use causeway_abi::parts::{Arrived, Joiner, PART_LIFE_MS};
use causeway_ffa::call::{
    DataPermission, DirectMessage, InfoForm, InstructionPermission, PagePermission, Width,
};
use causeway_ffa::partition_info::{self, PartitionInfos};
use causeway_ffa::{Answer, Call, EndpointId, PageAddr, Regs, Uuid};
use causeway_memshare::Policy;
use causeway_service::dispatch::{self, Task, VERSION};
use causeway_service::platform::{Conduit, Outgoing};
use causeway_service::{Partition, spmc};
use spin::mutex::SpinMutex;

// In its place from the start: it is too large for a stack. Locked once, for ever.
static STATE: SpinMutex<Partition<Machine>> = SpinMutex::new(Partition::new(Machine::new()));

/// How often in a row the SPMC may refuse what we send before we take it for our bug.
const MAX_REFUSALS: u32 = 8;
/// As many partitions as we look at.
const PARTITIONS: usize = 16;

/// Entered on the stack, relocated. What is between the two addresses was written by the relocation.
pub(crate) extern "C" fn main(boot_info: u64, relro_start: u64, relro_end: u64) -> ! {
    let Some(mut state) = STATE.try_lock() else { panic!("the state is taken") };
    let (ids, joiner) = bring_up(&mut state, boot_info, relro_start..relro_end);
    serve(&mut state, ids.spmc, joiner)
}

/// Everything that is done once. A function of its own, so that its large frame is gone before the
/// first call is served.
#[inline(never)]
fn bring_up(
    partition: &mut Partition<Machine>,
    boot_info: u64,
    relro: core::ops::Range<u64>,
) -> (spmc::Ids, Joiner) {
    log!("causeway-sp-el0 {}", env!("CARGO_PKG_VERSION"));
    if let Err(error) = spmc::negotiate(&mut Svc) {
        panic!("FF-A 1.1 is not spoken: {error:?}");
    }
    let ids = match spmc::learn_ids(&mut Svc) {
        Ok(ids) => ids,
        Err(error) => panic!("no id: {error:?}"),
    };
    crash::keep_spmc(ids.spmc);
    make_read_only(relro);
    let Some(mailbox) = Mailbox::claim() else { panic!("RX and TX are taken") };
    let (tx, rx) = mailbox.addresses();
    if let Err(error) = spmc::map_mailbox(&mut Svc, tx, rx) {
        panic!("RX/TX: {error:?}");
    }
    let company = company(&mailbox, ids.own);
    if company == Company::Others {
        log!("there are other partitions: nothing is retrieved (OPTEE-NOT-RECEIVER)");
    }
    let policy = boot::policy(boot_info);
    let joiner = joiner(&policy);
    partition.platform_mut().start(mailbox, company);
    partition.start(ids.own, &policy);
    log!("ready id={} profile={}", ids.own, causeway_service::PROFILE);
    (ids, joiner)
}

/// Everybody whom the policy names has a place for a frame of which one part came.
fn joiner(policy: &Policy) -> Joiner {
    let mut joiner = Joiner::new(counter::frequency() / 1000 * PART_LIFE_MS);
    for caller in policy.vms().chain(policy.hypervisor()) {
        if !joiner.know(caller) {
            log!("no place for the parts of VM {caller}");
        }
    }
    joiner
}

/// Takes the right to write what the relocation wrote.
fn make_read_only(relro: core::ops::Range<u64>) {
    let bytes = relro.end.saturating_sub(relro.start);
    let (Some(page), Ok(page_count)) = (PageAddr::new(relro.start), u32::try_from(bytes >> 12))
    else {
        panic!("the relocated constants are no pages");
    };
    if page_count == 0 {
        return;
    }
    let permission = PagePermission {
        data: DataPermission::ReadOnly,
        instruction: InstructionPermission::NotExecutable,
    };
    let call = Call::MemPermSet { page, page_count, permission, width: Width::Bits64 };
    let answer = Answer::decode(&Svc.call(&call.encode().smc8()), VERSION);
    assert!(matches!(answer, Ok(Answer::Success(_))), "MEM_PERM_SET: {answer:?}");
}

/// Looks for other partitions at S-EL0: OP-TEE says of each that it has one context, and of its own
/// logical ones that they have as many as there are cores.
fn company(mailbox: &Mailbox, own: EndpointId) -> Company {
    let call = Call::PartitionInfoGet { uuid: Uuid::NIL, form: InfoForm::Descriptors };
    let answer = Svc.call(&call.encode().smc8());
    if !matches!(Answer::decode(&answer, VERSION), Ok(Answer::Success(_))) {
        return Company::Others;
    }
    let mut page = [0; PARTITIONS * partition_info::LEN_V1_1];
    let read = mailbox.read_rx(&mut page);
    let release = Call::RxRelease { vm: EndpointId::from_raw(0) };
    let released = Answer::decode(&Svc.call(&release.encode().smc8()), VERSION);
    assert!(matches!(released, Ok(Answer::Success(_))), "RX_RELEASE: {released:?}");
    let others = |info: partition_info::PartitionInfo| info.id != own && info.contexts <= 1;
    match PartitionInfos::parse(&page, answer.w(2), answer.w(3), VERSION) {
        Ok(list) if read && !list.iter().any(others) => Company::Alone,
        Ok(_) | Err(_) => Company::Others,
    }
}

/// Serves for ever.
fn serve(partition: &mut Partition<Machine>, spmc: EndpointId, mut joiner: Joiner) -> ! {
    let mut send = wait();
    let mut refusals = 0;
    loop {
        let received = svc::call(&send);
        crash::serving(&received);
        send = match dispatch::frame(&received) {
            Some(message) => {
                refusals = 0;
                part(partition, &mut joiner, &message)
            }
            None => other(partition, &received, spmc, &mut refusals),
        };
        crash::serving(&Regs::ZERO);
    }
}

/// Answers a part of a frame: a whole frame when it was the last.
fn part(
    partition: &mut Partition<Machine>,
    joiner: &mut Joiner,
    message: &DirectMessage,
) -> Outgoing {
    let answer = match joiner.take(message.sender, &message.words, counter::now()) {
        Arrived::Whole(frame) => partition.frame(message.sender, &frame),
        Arrived::Answer(answer) => answer,
        // A message of the bus in registers does not fit: OPTEE-WORDS.
        Arrived::NoPart => dispatch::refused_frame(&message.words, Status::BadArgument),
    };
    dispatch::answer(message, answer)
}

/// Carries out whatever is no frame of five words.
#[inline(never)]
fn other(
    partition: &mut Partition<Machine>,
    received: &Regs,
    spmc: EndpointId,
    refusals: &mut u32,
) -> Outgoing {
    if let Task::Refused(error) = dispatch::task(received, spmc) {
        *refusals += 1;
        log!("refused by the SPMC: {error:?}");
        assert!(*refusals < MAX_REFUSALS, "the SPMC takes no answer of ours");
        return wait();
    }
    *refusals = 0;
    match (partition.handle(received, spmc), Call::direct_parties(received)) {
        (Some(answer), Some((sender, receiver, width))) if answer.w(2) & FRAMEWORK != 0 => {
            // The answer to a framework message stops OP-TEE (OPTEE-VM-MESSAGES). Ours does not ask
            // for any; where one comes all the same, whoever waits gets an answer that means nothing.
            let message = DirectMessage { sender, receiver, width, words: [0; 5] };
            dispatch::refuse(&message, Status::BadArgument).smc8()
        }
        (Some(answer), _) => answer.smc8(),
        (None, _) => wait(),
    }
}

/// The bit of w2 that makes a message one of the framework's.
const FRAMEWORK: u32 = 1 << 31;

fn wait() -> Outgoing {
    Call::MsgWait.encode().smc8()
}
