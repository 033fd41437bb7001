//! Owns what the driver side asks of the bus and of devices; never a driver's logic.

use super::{Body, Bus, BusRequest, BusResponse, DeviceState, Incoming, Message, Request};
use crate::error::{Awaited, Error, Rule};
use crate::grant::Grant;
use crate::wait::{Bound, Wait};
use arrayvec::ArrayVec;
use causeway_abi::{GrantKind, Permission};
use causeway_virtio::AreaId;
use causeway_virtio::msg::{AreaAttrs, AreaShare, BusResult, DeviceBitmap, Response, ShareKind};

/// Most devices that a list returns.
pub const MAX_DEVICES: usize = 64;

/// Device numbers on the bus.
pub type DeviceList = ArrayVec<u16, MAX_DEVICES>;

impl Bus<'_> {
    /// Lists the devices that this VM may drive.
    ///
    /// # Errors
    /// [`Rule::EndlessList`], [`Rule::NoRoom`], or what went wrong with a request.
    pub fn devices(&self) -> Result<DeviceList, Error> {
        let mut found = DeviceList::new();
        let mut offset = 0;
        loop {
            let ask = BusRequest::GetDevices { offset, count: DeviceBitmap::MAX_COUNT };
            let BusResponse::GetDevices(map) = self.bus_exchange(ask)? else {
                return Err(Error::partition(Rule::MessageKind));
            };
            if map.offset != offset {
                return Err(Error::partition(Rule::MessageKind));
            }
            let end = offset.saturating_add(map.count());
            for dev_num in (offset..end).filter(|dev_num| map.contains(*dev_num)) {
                found.try_push(dev_num).map_err(|_| Error::caller(Rule::NoRoom))?;
            }
            if map.next_offset == 0 {
                return Ok(found);
            }
            if map.next_offset <= offset {
                return Err(Error::partition(Rule::EndlessList));
            }
            offset = map.next_offset;
        }
    }

    /// Binds an area id to a grant that the device side has accepted. From then on, addresses
    /// `area << 48 | offset` mean that grant's pages.
    ///
    /// # Errors
    /// [`Error::BusRefused`], or what went wrong with the request.
    pub fn share_area(&self, area: AreaId, grant: &Grant<'_>) -> Result<(), Error> {
        let page_count =
            u32::try_from(grant.page_count()).map_err(|_| Error::caller(Rule::AreaShape))?;
        let terms = grant.terms();
        let kind = match terms.kind {
            GrantKind::Share => ShareKind::Share,
            GrantKind::Lend => ShareKind::Lend,
            GrantKind::Donate => ShareKind::Donate,
        };
        let base = match terms.permission {
            Permission::ReadOnly => AreaAttrs::SHARED_READ_ONLY,
            Permission::ReadWrite => AreaAttrs::SHARED_READ_WRITE,
        };
        let attrs =
            AreaAttrs::new(base.get() | kind.code()).ok_or(Error::caller(Rule::AreaShape))?;
        let share = AreaShare { area, handle: grant.handle(), tag: 0, page_count, attrs };
        if let BusResponse::AreaShare { area: theirs, result } =
            self.bus_exchange(BusRequest::AreaShare(share))?
            && theirs == area
        {
            return accepted(result);
        }
        Err(Error::partition(Rule::MessageKind))
    }

    /// Unbinds an area id. When this returns, the device side has unmapped and released the grant.
    ///
    /// # Errors
    /// [`Error::BusRefused`] (busy while a queue uses the area), or what went wrong with the request.
    pub fn unshare_area(&self, area: AreaId) -> Result<(), Error> {
        if let BusResponse::AreaUnshare { area: theirs, result } =
            self.bus_exchange(BusRequest::AreaUnshare { area })?
            && theirs == area
        {
            return accepted(result);
        }
        Err(Error::partition(Rule::MessageKind))
    }

    /// Sends a request to a device and returns its answer.
    ///
    /// # Errors
    /// As [`Bus::exchange`], and [`Rule::MessageKind`].
    pub fn request(&self, dev_num: u16, request: Request) -> Result<Response, Error> {
        match self.exchange(dev_num, Body::Request(request))? {
            Body::Response(response) => Ok(response),
            Body::Request(_) | Body::BusRequest(_) | Body::BusResponse(_) => {
                Err(Error::peer(Rule::MessageKind))
            }
        }
    }

    /// Waits until a living device side answers for a device: after the start, or after the death of
    /// the VM that served it. What the bus knows about a device from before its death is no answer.
    ///
    /// # Errors
    /// [`Awaited::Device`], or what went wrong with a request.
    pub fn wait_for_device(
        &self,
        dev_num: u16,
        wait: &dyn Wait,
        bound: Bound,
    ) -> Result<(), Error> {
        let there = bound.until(wait, || {
            // Of all requests without an effect, the one that the bus never answers itself.
            match self.request(dev_num, Request::GetVqueue { index: 0 }) {
                Ok(_) => Ok(Some(())),
                Err(Error::BusError { .. } | Error::TimedOut(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        there.ok_or(Error::TimedOut(Awaited::Device))
    }

    /// Takes the next event of one device, or the news that it was removed, and leaves everything
    /// else for [`Bus::receive`].
    ///
    /// # Errors
    /// As [`Bus::receive`].
    pub fn device_event(&self, dev_num: u16) -> Result<Option<Incoming>, Error> {
        let event = {
            let mut state = self.state.lock();
            // Token 0 is never given out, so this only moves what has come in to the inbox.
            state.await_answer(0)?;
            state.take_kept(|message| concerns(message, dev_num))
        };
        self.show_life()?;
        Ok(event)
    }

    fn bus_exchange(&self, request: BusRequest) -> Result<BusResponse, Error> {
        match self.exchange(0, Body::BusRequest(request))? {
            Body::BusResponse(response) => Ok(response),
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) => {
                Err(Error::partition(Rule::MessageKind))
            }
        }
    }
}

/// Reports whether a message is an event of a device, or the news of its removal.
fn concerns(message: &Message, device: u16) -> bool {
    match &message.body {
        Body::Request(request) => request.is_event() && message.dev_num == device,
        Body::BusRequest(BusRequest::EventDevice { dev_num, state: DeviceState::Removed }) => {
            *dev_num == device
        }
        Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => false,
    }
}

fn accepted(result: BusResult) -> Result<(), Error> {
    match result {
        BusResult::Ok => Ok(()),
        BusResult::Error | BusResult::Busy => Err(Error::BusRefused(result)),
    }
}
