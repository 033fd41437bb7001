//! Owns the buffers of a network driver: which of them the device has, and that each is used once.
//! virtio-drivers' network driver does the rest, unmodified. Never blocks, never looks into a frame.
#![expect(unsafe_code, reason = "virtio-drivers asks for promises about buffers")]

use super::{AreaHal, DmaBuffer, DmaPool, Health, Link, MsgTransport};
use crate::error::{Error, Rule};
use arrayvec::ArrayVec;
use causeway_virtio::device::net::{Frame, HEADER_BYTES, RECEIVE_BYTES};
use core::fmt;
use virtio_drivers::device::net::VirtIONetRaw;

/// Bytes from one buffer to the next: two in a page.
const STRIDE: usize = 2048;
const PAGE: usize = 4096;

/// A network card of a link: frames in and out, each copied once between private memory and a
/// buffer in the link's areas. `SIZE` is the number of buffers in each direction.
///
/// ```
/// use causeway_client::Error;
/// use causeway_client::guest::{Health, Link, MsgTransport, NetPort};
/// use causeway_virtio::device::net::Frame;
///
/// /// Sends back what comes; the caller rings the device if its `Gathered` says so.
/// fn echo<L: Link>(port: &mut NetPort<'_, '_, L, 16>) -> Result<(), Error> {
///     let mut frame = Frame::BLANK;
///     while port.has_room()? && port.receive(&mut frame)? {
///         port.send(&frame)?;
///     }
///     Ok(())
/// }
/// ```
pub struct NetPort<'b, 'c, L: Link, const SIZE: usize> {
    /// Before the buffers, so that it is dropped first and the device has let go of them.
    driver: VirtIONetRaw<AreaHal<L>, MsgTransport<'b, 'c>, SIZE>,
    health: &'b Health,
    receive: Buffers<SIZE>,
    transmit: Buffers<SIZE>,
    free: ArrayVec<usize, SIZE>,
}

impl<L: Link, const SIZE: usize> fmt::Debug for NetPort<'_, '_, L, SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetPort").field("free", &self.free.len()).finish_non_exhaustive()
    }
}

/// The buffers of one direction, and which request has which.
struct Buffers<const SIZE: usize> {
    memory: DmaBuffer<'static>,
    of_token: [Option<usize>; SIZE],
}

impl<const SIZE: usize> Buffers<SIZE> {
    fn take(pool: &'static DmaPool) -> Result<Self, Error> {
        let pages = SIZE.saturating_mul(STRIDE).div_ceil(PAGE);
        let memory = pool.take(pages).ok_or(Error::caller(Rule::NoRoom))?;
        Ok(Self { memory, of_token: [None; SIZE] })
    }

    /// Where a buffer begins in the memory.
    const fn offset(slot: usize) -> usize {
        slot.saturating_mul(STRIDE)
    }

    /// Lends a buffer's first bytes.
    ///
    /// # Safety
    /// The slice must only be handed to virtio-drivers, which takes its address and reads or writes
    /// none of its bytes.
    unsafe fn slice(&mut self, slot: usize, len: usize) -> Option<&mut [u8]> {
        // SAFETY: used for its address alone, as the caller promises; contents are read and written
        // through `DmaBuffer::read` and `write`.
        let whole = unsafe { self.memory.slice_mut() };
        whole.get_mut(Self::offset(slot)..)?.get_mut(..len)
    }

    /// Notes which buffer a request has.
    fn note(&mut self, token: u16, slot: usize) -> Result<(), Error> {
        let place = self.of_token.get_mut(usize::from(token)).ok_or(Error::caller(Rule::NoRoom))?;
        *place = Some(slot);
        Ok(())
    }

    /// Returns the buffer of a request that the device says it has done.
    fn done(&mut self, token: u16) -> Result<usize, Error> {
        let place = self.of_token.get_mut(usize::from(token));
        place.and_then(Option::take).ok_or(Error::peer(Rule::Frame))
    }
}

impl<'b, 'c, L: Link, const SIZE: usize> NetPort<'b, 'c, L, SIZE> {
    /// Makes the driver and gives the device all buffers to receive into. The pool must have room
    /// for `SIZE` pages of buffers and four of rings.
    ///
    /// # Errors
    /// [`Rule::NoRoom`] without that room; what the transport noted in `health`.
    pub fn open(transport: MsgTransport<'b, 'c>, health: &'b Health) -> Result<Self, Error> {
        let driver = VirtIONetRaw::new(transport);
        health.check()?;
        let driver = driver.map_err(|_| Error::caller(Rule::NoRoom))?;
        let (receive, transmit) = (Buffers::take(L::pool())?, Buffers::take(L::pool())?);
        let free = (0..SIZE).collect();
        let mut port = Self { driver, health, receive, transmit, free };
        for slot in 0..SIZE {
            port.offer(slot)?;
        }
        health.check()?;
        Ok(port)
    }

    /// Returns the card's address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.driver.mac_address()
    }

    /// Returns what the transport, or [`crate::stack`], could not return.
    #[must_use]
    pub const fn health(&self) -> &'b Health {
        self.health
    }

    /// Gives the device a buffer to receive into.
    fn offer(&mut self, slot: usize) -> Result<(), Error> {
        // SAFETY: the slice goes to virtio-drivers alone.
        let slice = unsafe { self.receive.slice(slot, RECEIVE_BYTES) };
        let slice = slice.ok_or(Error::caller(Rule::NoRoom))?;
        // SAFETY: the buffer is not touched until `receive` has popped its token, and stays where it
        // is: pages of the pool, which are given back after the driver is gone.
        let token = unsafe { self.driver.receive_begin(slice) };
        self.receive.note(token.map_err(|_| Error::caller(Rule::NoRoom))?, slot)
    }

    /// Reports whether a frame has come.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.driver.poll_receive().is_some()
    }

    /// Copies out the next frame, and gives its buffer to the device again. False if none has come.
    ///
    /// # Errors
    /// [`Rule::Frame`] if the device did not do as it must; it gets no further buffer then.
    pub fn receive(&mut self, into: &mut Frame) -> Result<bool, Error> {
        let Some(token) = self.driver.poll_receive() else { return Ok(false) };
        let slot = self.receive.done(token)?;
        // SAFETY: the slice goes to virtio-drivers alone.
        let slice = unsafe { self.receive.slice(slot, RECEIVE_BYTES) };
        let slice = slice.ok_or(Error::peer(Rule::Frame))?;
        // SAFETY: this is the buffer of the request that got this token.
        let received = unsafe { self.driver.receive_complete(token, slice) };
        let (header, len) = received.map_err(|_| Error::peer(Rule::Frame))?;
        let room = into.room(len).ok_or(Error::peer(Rule::Frame))?;
        let at = Buffers::<SIZE>::offset(slot).saturating_add(header);
        let at = u64::try_from(at).map_err(|_| Error::peer(Rule::Frame))?;
        self.receive.memory.read(at, room).map_err(|_| Error::peer(Rule::Frame))?;
        self.offer(slot)?;
        Ok(true)
    }

    /// Reports whether a frame can be sent now: buffers that the device has done with are free again.
    ///
    /// # Errors
    /// [`Rule::Frame`] if the device did not do as it must.
    pub fn has_room(&mut self) -> Result<bool, Error> {
        while let Some(token) = self.driver.poll_transmit() {
            let slot = self.transmit.done(token)?;
            // SAFETY: the slice goes to virtio-drivers alone.
            let slice = unsafe { self.transmit.slice(slot, STRIDE) };
            let slice = slice.ok_or(Error::peer(Rule::Frame))?;
            // SAFETY: this is the buffer of the request that got this token. Its length does not
            // matter: virtio-drivers unshares its address.
            let sent = unsafe { self.driver.transmit_complete(token, slice) };
            sent.map_err(|_| Error::peer(Rule::Frame))?;
            self.free.push(slot);
        }
        Ok(!self.free.is_empty())
    }

    /// Copies a frame into a buffer and gives that to the device. False if there is none free.
    ///
    /// # Errors
    /// As [`NetPort::has_room`].
    pub fn send(&mut self, frame: &Frame) -> Result<bool, Error> {
        if !self.has_room()? {
            return Ok(false);
        }
        let Some(slot) = self.free.pop() else { return Ok(false) };
        let start = u64::try_from(Buffers::<SIZE>::offset(slot)).unwrap_or(u64::MAX);
        let behind = start.saturating_add(u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX));
        let bytes = frame.bytes();
        // The device can write here too: the header is written anew for each frame.
        let memory = &self.transmit.memory;
        let written =
            memory.write(start, &[0; HEADER_BYTES]).and_then(|()| memory.write(behind, bytes));
        written.map_err(|_| Error::caller(Rule::NoRoom))?;
        let len = HEADER_BYTES.saturating_add(bytes.len());
        // SAFETY: the slice goes to virtio-drivers alone.
        let slice = unsafe { self.transmit.slice(slot, len) };
        let slice = slice.ok_or(Error::caller(Rule::NoRoom))?;
        // SAFETY: the buffer is not touched until `has_room` has popped its token, and stays where
        // it is.
        let token = unsafe { self.driver.transmit_begin(slice) };
        self.transmit.note(token.map_err(|_| Error::caller(Rule::NoRoom))?, slot)?;
        Ok(true)
    }

    /// Asks the device to ring when it has used a buffer. Look at [`NetPort::has_frame`] after this
    /// and before resting.
    pub fn enable_interrupts(&mut self) {
        self.driver.enable_interrupts();
    }

    /// Tells the device that it need not ring: this side is awake.
    pub fn disable_interrupts(&mut self) {
        self.driver.disable_interrupts();
    }

    /// Takes the device's events: that it has failed, or is gone, shows in its [`Health`].
    pub fn take_events(&mut self) {
        self.driver.ack_interrupt();
    }
}

/// smoltcp's traits return no errors: they go to the port's [`Health`].
#[cfg(feature = "smoltcp")]
impl<L: Link, const SIZE: usize> crate::stack::Port for NetPort<'_, '_, L, SIZE> {
    fn has_room(&mut self) -> bool {
        let room = Self::has_room(self);
        self.noted(room)
    }

    fn receive(&mut self, into: &mut Frame) -> bool {
        let came = Self::receive(self, into);
        self.noted(came)
    }

    fn send(&mut self, frame: &Frame) {
        let sent = Self::send(self, frame);
        // Not sent without room: as lost as on any wire.
        let (true | false) = self.noted(sent);
    }
}

#[cfg(feature = "smoltcp")]
impl<L: Link, const SIZE: usize> NetPort<'_, '_, L, SIZE> {
    fn noted(&self, result: Result<bool, Error>) -> bool {
        result.unwrap_or_else(|error| {
            self.health.note(error);
            false
        })
    }
}
