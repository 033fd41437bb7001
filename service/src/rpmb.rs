//! Owns what stands between the replay-protected memory device and the safe: the same memory, the same
//! rate as the call RPMB, and each frame in the ledger. Never judges a frame.

use crate::partition::Partition;
use crate::platform::{Platform, Secured};
use crate::safe::{FlashState, MAX_FRAMES, Tenant};
use causeway_abi::CallId;
use causeway_ffa::EndpointId;
use causeway_memshare::{Action, Record};
use causeway_vault::rpmb::frame::Frame;
use causeway_vault::rpmb::{BLOCKS, MAX_READ, MAX_WRITE};
use causeway_virtio::device::rpmb::{self as device, Limits, Protected};
use zeroize::Zeroizing;

/// Blocks in one unit of the device's capacity, 128 KiB.
const UNIT: u16 = 512;
const LIMITS: Limits = Limits {
    capacity: BLOCKS.div_ceil(UNIT).to_le_bytes()[0],
    max_write_blocks: MAX_WRITE.to_le_bytes()[0],
    max_read_blocks: MAX_READ.to_le_bytes()[0],
};
const _: () = assert!(BLOCKS.is_multiple_of(UNIT) && BLOCKS / UNIT < 128 && MAX_READ < 256);

/// One VM's memory, behind its device.
pub(crate) struct Memory<P: Secured> {
    safe: P::Safe,
    tenant: Tenant,
}

impl<P: Secured> Memory<P> {
    /// `None` if policy gives the VM none, or nothing would last on this machine.
    pub(crate) fn of(platform: &P, tenant: Tenant) -> Option<Self> {
        let safe = platform.safe()?;
        let stored = safe.with(|contents| contents.state()) != FlashState::NotThere;
        (tenant.given.rpmb && stored).then_some(Self { safe, tenant })
    }
}

impl<P: Secured> Protected for Memory<P> {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn request(
        &mut self,
        request: &device::Frame,
        room: usize,
        answer: &mut dyn FnMut(&device::Frame),
    ) {
        // It carries the key where it programs one.
        let request = Zeroizing::new(Frame(*request));
        let mut frames = [const { Frame([0; device::FRAME_BYTES]) }; MAX_FRAMES];
        let into = frames.get_mut(..room.min(MAX_FRAMES)).unwrap_or(&mut []);
        let count = self.safe.with(|contents| contents.frame(&self.tenant, &request, into));
        into.iter().take(count).for_each(|frame| answer(&frame.0));
    }
}

impl<P: Platform> Partition<P> {
    /// Puts the frames that came through devices into the ledger, as the calls that they stand for.
    pub(crate) fn record_frames(&mut self) {
        let Ok(safe) = self.vault.safe() else { return };
        let call_number = CallId::Rpmb.number();
        for (vm, met) in safe.with(|contents| contents.take_noted()).into_iter().flatten() {
            let vm = EndpointId::from_raw(vm);
            let record = match met {
                Ok(()) => Record::new(vm, Action::Served { call_number }),
                Err(status) => Record::of_refusal(vm, call_number, status),
            };
            self.ledger.append(self.platform.now(), &record);
        }
    }
}
