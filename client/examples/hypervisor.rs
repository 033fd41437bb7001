//! A hypervisor's side, call by call: it registers at the partition, passes two VMs' calls on, polls,
//! and kills a VM: `cargo run -p causeway-client --example hypervisor`.
//!
//! A hypervisor needs no library for this, only the register files of FF-A (`causeway-ffa`) and the
//! frames of the service interface (`causeway-abi`). What it does with page tables stands here as a
//! line of text.

use causeway_abi::{
    Call as Service, GrantKind, GrantSummary, GrantTerms, NO_HANDLE, Permission, Reply, Status,
};
use causeway_fake_spmc::platform::standard_policy;
use causeway_fake_spmc::{Floor, Machine, Personality, layout};
use causeway_ffa::call::{DirectMessage, Framework, FrameworkMessage, ReclaimFlags, Width};
use causeway_ffa::descriptor::{Builder, Receiver, Spec};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageAddr, PageRange, Transfer, Version,
};
use std::error::Error;
use std::sync::Arc;

const HYPERVISOR: EndpointId = EndpointId::from_raw(0);
const PARTITION: EndpointId = layout::PARTITION;
const OWNER: EndpointId = EndpointId::from_raw(1);
const PEER: EndpointId = EndpointId::from_raw(2);
/// Any non-secure SGI and core will do.
const DOORBELL: Service = Service::HypRegister { sgi: 0, core: 0 };

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut |line| println!("{line}"))
}

/// The hypervisor: what lies below it, and the memory in which its buffers are.
struct Hypervisor {
    floor: Floor,
    machine: Arc<Machine>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl Hypervisor {
    /// FF-A 1.1 and a buffer pair: without these the SPMC takes no memory.
    fn start() -> Outcome<Self> {
        let machine = Arc::new(layout::machine(2, 256));
        let policy = standard_policy(2, 256);
        let floor = Floor::boot(Personality::EL3, machine.clone(), policy);
        let floor = floor.map_err(|code| format!("{code:?}"))?;
        let mut this = Self { floor, machine };
        this.floor.call(&Call::Version { requested: Some(Version::V1_1) }.encode());
        let tx = layout::hypervisor_ram().start();
        let rx = PageAddr::new(tx.get() + 4096).ok_or("RX")?;
        this.ask(&Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 })?;
        Ok(this)
    }

    fn ask(&mut self, call: &Call) -> Outcome<Answer> {
        match Answer::decode(&self.floor.call(&call.encode()), Version::V1_1) {
            Ok(Answer::Error(code)) => Err(format!("refused: {code:?}").into()),
            Ok(answer) => Ok(answer),
            Err(malformed) => Err(format!("{malformed:?}").into()),
        }
    }

    /// A frame of `sender`: its own, or a VM's, with the id that the hypervisor vouches for.
    fn frame(&mut self, sender: EndpointId, call: Service) -> Outcome<[u64; 4]> {
        let words = call.encode();
        let message = DirectMessage { sender, receiver: PARTITION, width: Width::Bits64, words };
        let Answer::DirectResp(answer) = self.ask(&Call::DirectReq(message))? else {
            return Err("no answer".into());
        };
        let reply = Reply::decode(&answer.words).ok_or("no reply")?;
        if reply.status == Status::Ok { Ok(reply.results) } else { Err(reply.status.rule().into()) }
    }

    /// Word of a VM's life. RETRY: the partition has more to do, ask again.
    fn tell(&mut self, message: FrameworkMessage) -> Outcome<()> {
        let framework = Framework { sender: HYPERVISOR, receiver: PARTITION, message };
        loop {
            let Answer::FrameworkResp(answer) = self.ask(&Call::FrameworkReq(framework))? else {
                return Err("no answer".into());
            };
            let (FrameworkMessage::VmCreatedResp { status }
            | FrameworkMessage::VmDestroyedResp { status }) = answer.message
            else {
                return Err("another answer".into());
            };
            match status {
                Ok(()) => return Ok(()),
                Err(FfaError::Retry) => {}
                Err(code) => return Err(format!("{code:?}").into()),
            }
        }
    }

    /// Passes a VM's FFA_MEM_SHARE on: the descriptor with physical addresses, from the own TX.
    fn share(&mut self, ranges: &[PageRange]) -> Outcome<MemHandle> {
        let receivers = [Receiver::read_write(PARTITION), Receiver::read_write(PEER)];
        let spec = Spec::send(Version::V1_1, Transfer::Share, OWNER, 0, &receivers, ranges);
        let builder = Builder::new(spec).map_err(|rule| rule.rule())?;
        let mut bytes = [0; 4096];
        let len = builder.write(0, &mut bytes).map_err(|rule| rule.rule())?;
        let tx = layout::hypervisor_ram().start().get();
        self.machine.ram().write(tx, bytes.get(..len).ok_or("one page")?).ok_or("TX")?;
        let total = builder.total_len();
        let lengths = Lengths::new(total, total).ok_or("lengths")?;
        let kind = Transfer::Share;
        let Answer::Success(success) = self.ask(&Call::MemSend { kind, lengths })? else {
            return Err("no handle".into());
        };
        Ok(success.handle().ok_or("no handle")?)
    }

    /// Fetches work: who is to be rung, and what is to be unmapped from whom.
    fn poll(&mut self) -> Outcome<(u64, Option<(MemHandle, u64)>)> {
        let [bells, handle, vm, _] = self.frame(HYPERVISOR, Service::HypPoll)?;
        let unmap = if handle == NO_HANDLE { None } else { MemHandle::new(handle) };
        Ok((bells, unmap.map(|handle| (handle, vm))))
    }
}

/// Goes through it.
pub(crate) fn run(say: &mut dyn FnMut(&str)) -> Outcome<()> {
    let mut hyp = Hypervisor::start()?;
    hyp.frame(HYPERVISOR, DOORBELL)?;
    say("registered at the partition");

    let pages = [layout::vm_ram(1, 4)];
    let handle = hyp.share(&pages)?;
    let terms =
        GrantTerms { peer: Some(PEER), kind: GrantKind::Share, permission: Permission::ReadWrite };
    hyp.frame(OWNER, Service::Offer { handle, terms, tag: 0 })?;
    say("VM 1 shared 4 pages and offered them to VM 2");
    if !hyp.floor.take_bell() {
        return Err("the partition did not ring".into());
    }
    let (bells, _) = hyp.poll()?;
    say(&format!("the partition rang: doorbells of VMs {bells:#b}"));

    let [a, b, c, _] = hyp.frame(PEER, Service::Inspect { handle, range_index: 0 })?;
    let seen = GrantSummary::from_words([a, b, c]).ok_or("a summary")?;
    hyp.frame(PEER, Service::Accept { handle, seen })?;
    say("VM 2 inspected and accepted");
    hyp.frame(HYPERVISOR, Service::HypMapping { handle, vm: PEER })?;
    say("VM 2 retrieves: the partition allows it, stage 2 is changed");

    say("VM 1 dies: its vCPUs are stopped, what it had borrowed is unmapped");
    hyp.tell(FrameworkMessage::VmDestroyed { info: None, vm: OWNER })?;
    let early = hyp.ask(&Call::MemReclaim { handle, flags: ReclaimFlags::default() });
    say(&format!("its pages are still VM 2's to read: reclaim {}", early.err().ok_or("allowed")?));
    let mut waited = 0;
    let (unmap, vm) = loop {
        if let (_, Some(work)) = hyp.poll()? {
            break work;
        }
        hyp.machine.pass(50);
        waited += 50;
        if waited > 1000 {
            return Err("the deadline never passed".into());
        }
    };
    say(&format!("after the deadline the partition asks: unmap VM {vm}"));
    hyp.frame(HYPERVISOR, Service::HypUnmapped { handle: unmap, vm: PEER })?;
    hyp.ask(&Call::MemReclaim { handle, flags: ReclaimFlags::default() })?;
    say("unmapped, confirmed, reclaimed: the pages can be scrubbed and used again");
    hyp.tell(FrameworkMessage::VmCreated { info: None, vm: OWNER })?;
    say("a new VM has the id 1");
    Ok(())
}
