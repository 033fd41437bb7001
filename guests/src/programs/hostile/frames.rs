//! Frames that break one rule of the service interface each. Never a memory call.

use super::Attacker;
use crate::calls;
use crate::cases;
use causeway_abi::Call;

impl Attacker {
    pub(super) fn frames(&self) {
        self.call(&cases::UNKNOWN_CALL, calls::frame([0x3f, 0, 0, 0, 0]));
        let mut other_version = Call::Events.encode();
        other_version[0] ^= 1 << 16;
        self.call(&cases::BAD_VERSION, calls::frame(other_version));
        let mut reserved = Call::Events.encode();
        reserved[4] = 1;
        self.call(&cases::RESERVED_BITS, calls::frame(reserved));
        self.call(&cases::HYPERVISOR_CALL, calls::partition(&Call::Stats { page: 0 }));
        self.call(&cases::BUS_WITHOUT_FIFO, calls::partition(&Call::BusKick));
    }
}
