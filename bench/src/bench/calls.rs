//! Owns messages to the partition in the name of a VM or of the hypervisor. Never counts them.

use crate::arch::Regs;
use crate::spmc::PARTITION;
use causeway_abi::{Call, Reply, Status};
use causeway_bench::line::Partition;
use causeway_ffa::EndpointId;
use causeway_ffa::call::{Framework, FrameworkMessage};

/// The hypervisor.
pub(crate) const HYPERVISOR: EndpointId = EndpointId::from_raw(0);

const DIRECT_REQ: u64 = 0xc400_006f;
const DIRECT_RESP: u64 = 0xc400_0070;

/// The registers of a frame in `from`'s name.
pub(crate) fn framed(from: EndpointId, [a, b, c, d, e]: [u64; 5]) -> Regs {
    let parties = u64::from(from.get()) << 16 | u64::from(PARTITION.get());
    [DIRECT_REQ, parties, 0, a, b, c, d, e]
}

/// The registers of a call in `from`'s name.
pub(crate) fn message(from: EndpointId, call: &Call) -> Regs {
    framed(from, call.encode())
}

/// The registers of a message of the framework.
pub(crate) fn framework(message: FrameworkMessage) -> Regs {
    let request = Framework { sender: HYPERVISOR, receiver: PARTITION, message };
    causeway_ffa::Call::FrameworkReq(request).encode().smc8()
}

/// Reads an answer; ends the run if it is none.
pub(crate) fn reply(regs: &Regs) -> Reply {
    assert!(regs[0] == DIRECT_RESP, "no answer: {regs:x?}");
    let frame = [regs[3], regs[4], regs[5], regs[6], regs[7]];
    Reply::decode(&frame).expect("an answer of the service")
}

/// Ends the run unless our partition did what was asked, or the empty one what the SPMC was to do.
pub(crate) fn must(partition: Partition, what: &str, regs: &Regs) -> [u64; 4] {
    match partition {
        Partition::Causeway => {
            let reply = reply(regs);
            assert!(reply.status == Status::Ok, "{what}: {}", reply.status.name());
            reply.results
        }
        Partition::Empty => {
            assert!(regs[0] == DIRECT_RESP && regs[3] != u64::MAX, "{what}: {regs:x?}");
            [0; 4]
        }
    }
}
