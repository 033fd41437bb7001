//! A message FIFO as a test sets it up: in pages of this VM, shared with the partition alone.
//! Never checks what comes back: the tests do.

use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::rt::{access, pages};
use causeway_abi::{Frame, GrantKind};
use causeway_ffa::MemHandle;
use causeway_virtio::fifo::{self, FifoMemory, OutOfFifo};
use causeway_virtio::msg::{
    Body, BusRequest, BusResponse, BusResult, Message, VersionRequest, frame_bytes,
};

/// Pages of the FIFO.
pub(super) const PAGES: u32 = 2;

/// Two pages seen as a FIFO.
#[derive(Clone, Copy, Debug)]
pub(super) struct FifoPages {
    /// Address of the first byte.
    pub(super) address: u64,
    /// The grant behind it.
    pub(super) handle: u64,
}

impl FifoPages {
    /// Shares two pages with the partition, offers them, and writes the FIFO's headers.
    pub(super) fn grant(mailbox: &Mailbox) -> Self {
        let address = pages::take(PAGES.into());
        let handle = mailbox.share(address, PAGES, &[PARTITION]).expect("share a FIFO");
        calls::offer(handle, 0, GrantKind::Share).expect("offer a FIFO");
        let fifo = Self { address, handle };
        fifo.format();
        fifo
    }

    /// Writes the headers anew.
    pub(super) fn format(&self) {
        fifo::format(self).expect("two pages hold a FIFO");
    }

    /// Tells the partition to use it; the bus's verdict.
    pub(super) fn configure(&self) -> Result<BusResult, Met> {
        configure(self.handle)
    }

    /// Ends the connection and takes the pages back; true if both worked.
    pub(super) fn take_down(self) -> bool {
        reset() == Ok(BusResult::Ok)
            && calls::revoke(self.handle).is_ok()
            && calls::reclaim(self.handle).is_ok()
    }
}

impl FifoMemory for FifoPages {
    fn len_bytes(&self) -> usize {
        8192
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo> {
        let start = self.at(offset, into.len())?;
        for (at, byte) in (start..).zip(into) {
            *byte = access::read_u8(at);
        }
        Ok(())
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo> {
        let start = self.at(offset, from.len())?;
        for (at, byte) in (start..).zip(from) {
            access::write_u8(at, *byte);
        }
        Ok(())
    }

    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo> {
        let value = access::read_u16(self.at(offset, 2)?);
        core::sync::atomic::fence(core::sync::atomic::Ordering::Acquire);
        Ok(value)
    }

    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo> {
        core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
        access::write_u16(self.at(offset, 2)?, value);
        Ok(())
    }
}

impl FifoPages {
    fn at(&self, offset: usize, len: usize) -> Result<u64, OutOfFifo> {
        let end = offset.checked_add(len).ok_or(OutOfFifo)?;
        if end > self.len_bytes() {
            return Err(OutOfFifo);
        }
        Ok(self.address + u64::try_from(offset).map_err(|_| OutOfFifo)?)
    }
}

/// Sends a bus message in a direct message and reads the answer.
pub(super) fn bus(request: BusRequest) -> Result<BusResponse, Met> {
    let message = Message { dev_num: 0, token: 1, body: Body::BusRequest(request) };
    let frame: Frame = message.encode().to_frame().ok_or(Met::Malformed)?;
    let answer = calls::message(crate::rt::signal::own_id(), PARTITION, frame)?;
    match Message::decode(&frame_bytes(&answer)) {
        Ok(Message { body: Body::BusResponse(response), .. }) => Ok(response),
        _ => Err(Met::Malformed),
    }
}

/// Agrees on the bus's version, as a driver side does first; true if it answered.
pub(super) fn greet() -> bool {
    let ask =
        VersionRequest::Alp2 { bus_version: 0, transport_revision: 0, ffa_version: 0x0001_0001 };
    matches!(bus(BusRequest::Version(ask)), Ok(BusResponse::Version(_)))
}

/// Asks the partition to use a grant as FIFO.
pub(super) fn configure(handle: u64) -> Result<BusResult, Met> {
    let handle = MemHandle::new(handle).ok_or(Met::Malformed)?;
    let page_count = 2;
    verdict(bus(BusRequest::FifoConfigure { handle, page_count, driver_notif_id: 0 })?)
}

/// Makes the partition forget the bus connection of this VM.
pub(super) fn reset() -> Result<BusResult, Met> {
    verdict(bus(BusRequest::Reset)?)
}

/// What the bus says to FIFO_CONFIGURE or RESET; ERROR counts as a refusal.
fn verdict(response: BusResponse) -> Result<BusResult, Met> {
    match response {
        BusResponse::FifoConfigure { result, .. } | BusResponse::Reset { result } => Ok(result),
        BusResponse::Error { .. } => Ok(BusResult::Error),
        BusResponse::EventAck
        | BusResponse::GetDevices(_)
        | BusResponse::Ping { .. }
        | BusResponse::Version(_)
        | BusResponse::AreaShare { .. }
        | BusResponse::AreaUnshare { .. }
        | BusResponse::EventPoll
        | BusResponse::EventConfigure { .. } => Err(Met::Malformed),
    }
}
