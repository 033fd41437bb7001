//! Owns the calls whose bytes lie in a local area of the caller: copied in once, worked on, copied out.
//! Never works on shared memory itself.

use super::{Vault, words};
use crate::mapped::MappedArea;
use crate::partition::Partition;
use crate::platform::Platform;
use crate::safe::{KeyTask, MAX_FRAMES, Made, Tenant};
use causeway_abi::vault::{KEY_MAX_BYTES, KeyPurpose, Keyed, KeyedText};
use causeway_abi::{Permission, Status};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_memshare::Event;
use causeway_vault::keys::{KEY, NONCE, Proof, TAG};
use causeway_vault::rpmb::frame::{FRAME, Frame};
use causeway_virtio::fifo::FifoMemory;
use zeroize::Zeroizing;

/// Room for a message.
const MESSAGE: usize = 4096;
const _: () = assert!(KEY_MAX_BYTES == 4096);

/// What the work does to the area.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// The area of a call, mapped for as long as the call lasts.
struct Room<'a, W> {
    area: &'a MappedArea<W>,
}

impl<W: crate::platform::Window> Room<'_, W> {
    fn read(&self, offset: u32, into: &mut [u8]) -> Result<(), Status> {
        let offset = usize::try_from(offset).map_err(|_| Status::OutsideArea)?;
        self.area.read(offset, into).map_err(|_| Status::OutsideArea)
    }

    fn write(&self, offset: u32, from: &[u8]) -> Result<(), Status> {
        let offset = usize::try_from(offset).map_err(|_| Status::OutsideArea)?;
        self.area.write(offset, from).map_err(|_| Status::OutsideArea)
    }

    /// Whether bytes lie in the area: asked before anything changes.
    fn holds(&self, offset: u32, len: usize) -> Result<(), Status> {
        let len = u64::try_from(len).map_err(|_| Status::OutsideArea)?;
        let end = u64::from(offset).checked_add(len).ok_or(Status::OutsideArea)?;
        if end <= self.area.len() { Ok(()) } else { Err(Status::OutsideArea) }
    }

    /// Copies a message into `buffer` and returns it.
    fn message<'b>(
        &self,
        message: &Keyed,
        buffer: &'b mut [u8; MESSAGE],
    ) -> Result<&'b mut [u8], Status> {
        let len = usize::from(message.length);
        let place = buffer.get_mut(..len).ok_or(Status::BadArgument)?;
        self.read(message.offset, place)?;
        Ok(place)
    }
}

/// The slot and area of a call on a key.
#[derive(Clone, Copy)]
struct Place {
    vm: EndpointId,
    handle: MemHandle,
    slot: u8,
    access: Access,
}

impl<P: Platform> Partition<P> {
    /// Maps the caller's area, runs `work` with it, unmaps it.
    fn in_area<R>(
        &mut self,
        vm: EndpointId,
        handle: MemHandle,
        access: Access,
        work: impl FnOnce(&Room<'_, P::Window>, &mut Vault<P>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        let view = self.broker.resolve(vm, None, handle)?;
        if access == Access::Write && view.permission == Permission::ReadOnly {
            return Err(Status::BadArgument);
        }
        let grant = view.id;
        self.use_area(Event::Use { grant })?;
        let Self { areas, vault, .. } = self;
        let result = match areas.get(grant) {
            Some(area) => work(&Room { area }, vault),
            None => Err(Status::PartitionFailed),
        };
        self.use_area(Event::Unuse { grant })?;
        result
    }

    /// RPMB.
    pub(super) fn rpmb(
        &mut self,
        vm: EndpointId,
        who: &Tenant,
        handle: MemHandle,
        request: u32,
        answers: u32,
        room: u16,
    ) -> Result<u64, Status> {
        self.vault.safe()?.with(|contents| contents.may_use_rpmb(who))?;
        self.in_area(vm, handle, Access::Write, |area, vault| {
            let room = usize::from(room).min(MAX_FRAMES);
            area.holds(answers, room.saturating_mul(FRAME))?;
            // It carries the key where it programs one.
            let mut frame = Zeroizing::new(Frame::default());
            area.read(request, &mut frame.0)?;
            let mut into = [const { Frame([0; FRAME]) }; MAX_FRAMES];
            let into = into.get_mut(..room).ok_or(Status::BadFrame)?;
            let count = vault.safe()?.with(|contents| contents.rpmb(who, &frame, into))?;
            let mut at = answers;
            for answer in into.iter().take(count) {
                area.write(at, &answer.0)?;
                at = at.saturating_add(512);
            }
            u64::try_from(count).map_err(|_| Status::PartitionFailed)
        })
    }

    /// Carries out a task on a key that concerns no area.
    pub(super) fn plain_key(
        &mut self,
        who: &Tenant,
        slot: u8,
        task: KeyTask<'_>,
    ) -> Result<[u64; 4], Status> {
        let made = self.vault.safe()?.with(|contents| contents.key(who, slot, task))?;
        Ok(match made {
            Made::Words(bytes) => words(&bytes),
            Made::Done | Made::Signature(_) | Made::Proof(_) => [0; 4],
        })
    }

    /// Asks for the key first, so that who has none learns nothing about areas.
    fn keyed<R>(
        &mut self,
        who: &Tenant,
        place: Place,
        work: impl FnOnce(&Room<'_, P::Window>, &mut Vault<P>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        self.vault.safe()?.with(|contents| contents.may_use_key(who, place.slot))?;
        self.in_area(place.vm, place.handle, place.access, work)
    }

    /// KEY_IMPORT.
    pub(super) fn key_import(
        &mut self,
        vm: EndpointId,
        who: &Tenant,
        handle: MemHandle,
        slot: u8,
        purpose: KeyPurpose,
        offset: u32,
    ) -> Result<[u64; 4], Status> {
        let place = Place { vm, handle, slot, access: Access::Read };
        self.keyed(who, place, |area, vault| {
            let mut key = Zeroizing::new([0; KEY]);
            area.read(offset, key.as_mut_slice())?;
            vault.safe()?.with(|c| c.key(who, slot, KeyTask::Import(purpose, &key)))?;
            Ok([0; 4])
        })
    }

    /// KEY_MAC.
    pub(super) fn key_mac(
        &mut self,
        vm: EndpointId,
        who: &Tenant,
        message: &Keyed,
    ) -> Result<[u64; 4], Status> {
        self.keyed(who, place(vm, message, Access::Read), |area, vault| {
            let mut buffer = Zeroizing::new([0; MESSAGE]);
            let bytes = area.message(message, &mut buffer)?;
            match vault.safe()?.with(|c| c.key(who, message.slot, KeyTask::Mac(bytes)))? {
                Made::Words(tag) => Ok(words(&tag)),
                Made::Done | Made::Signature(_) | Made::Proof(_) => Err(Status::PartitionFailed),
            }
        })
    }

    /// KEY_VERIFY.
    pub(super) fn key_verify(
        &mut self,
        vm: EndpointId,
        who: &Tenant,
        message: &Keyed,
        tag: u32,
    ) -> Result<[u64; 4], Status> {
        self.keyed(who, place(vm, message, Access::Read), |area, vault| {
            let mut buffer = Zeroizing::new([0; MESSAGE]);
            let bytes = area.message(message, &mut buffer)?;
            let mut expected = Zeroizing::new([0; KEY]);
            area.read(tag, expected.as_mut_slice())?;
            let task = KeyTask::Verify(bytes, &expected);
            vault.safe()?.with(|c| c.key(who, message.slot, task))?;
            Ok([0; 4])
        })
    }

    /// KEY_SIGN.
    pub(super) fn key_sign(
        &mut self,
        vm: EndpointId,
        who: &Tenant,
        message: &Keyed,
        signature: u32,
    ) -> Result<[u64; 4], Status> {
        self.keyed(who, place(vm, message, Access::Write), |area, vault| {
            area.holds(signature, 64)?;
            let mut buffer = Zeroizing::new([0; MESSAGE]);
            let bytes = area.message(message, &mut buffer)?;
            match vault.safe()?.with(|c| c.key(who, message.slot, KeyTask::Sign(bytes)))? {
                Made::Signature(made) => area.write(signature, &made).map(|()| [0; 4]),
                Made::Done | Made::Words(_) | Made::Proof(_) => Err(Status::PartitionFailed),
            }
        })
    }

    /// KEY_ENCRYPT.
    pub(super) fn key_encrypt(
        &mut self,
        vm: EndpointId,
        who: &Tenant,
        it: &KeyedText,
    ) -> Result<[u64; 4], Status> {
        let whole = whole(it)?;
        self.keyed(who, place(vm, &whole, Access::Write), |area, vault| {
            area.holds(it.proof, NONCE + TAG)?;
            let mut buffer = Zeroizing::new([0; MESSAGE]);
            let bytes = area.message(&whole, &mut buffer)?;
            let (associated, text) = bytes.split_at_mut(usize::from(it.associated));
            let task = KeyTask::Encrypt(associated, text);
            let made = vault.safe()?.with(|c| c.key(who, whole.slot, task))?;
            let Made::Proof(proof) = made else { return Err(Status::PartitionFailed) };
            area.write(text_at(it)?, text)?;
            let mut bytes = [0; NONCE + TAG];
            let (nonce, tag) = bytes.split_at_mut(NONCE);
            nonce.copy_from_slice(&proof.nonce);
            tag.copy_from_slice(&proof.tag);
            area.write(it.proof, &bytes)?;
            Ok([0; 4])
        })
    }

    /// KEY_DECRYPT.
    pub(super) fn key_decrypt(
        &mut self,
        vm: EndpointId,
        who: &Tenant,
        it: &KeyedText,
    ) -> Result<[u64; 4], Status> {
        let whole = whole(it)?;
        self.keyed(who, place(vm, &whole, Access::Write), |area, vault| {
            let mut proof = Proof { nonce: [0; NONCE], tag: [0; TAG] };
            area.read(it.proof, &mut proof.nonce)?;
            area.read(it.proof.saturating_add(24), &mut proof.tag)?;
            let mut buffer = Zeroizing::new([0; MESSAGE]);
            let bytes = area.message(&whole, &mut buffer)?;
            let (associated, text) = bytes.split_at_mut(usize::from(it.associated));
            let task = KeyTask::Decrypt(associated, text, &proof);
            vault.safe()?.with(|c| c.key(who, whole.slot, task))?;
            area.write(text_at(it)?, text)?;
            Ok([0; 4])
        })
    }
}

const fn place(vm: EndpointId, message: &Keyed, access: Access) -> Place {
    Place { vm, handle: message.handle, slot: message.slot, access }
}

/// Associated data and text as one message.
fn whole(it: &KeyedText) -> Result<Keyed, Status> {
    let length = it.text.length.checked_add(it.associated).filter(|n| *n <= KEY_MAX_BYTES);
    Ok(Keyed { length: length.ok_or(Status::BadArgument)?, ..it.text })
}

/// Where the text is, behind the associated data.
fn text_at(it: &KeyedText) -> Result<u32, Status> {
    it.text.offset.checked_add(u32::from(it.associated)).ok_or(Status::OutsideArea)
}
