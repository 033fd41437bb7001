//! Owns the receivers of a descriptor: where they lie, their rules, their iteration. Never reads
//! the header's other fields.

use super::{
    Access, DataAccess, DescriptorError, InstructionAccess, MAX_RECEIVERS, Receiver, Retrieval,
    Role, UNIT,
};
use crate::bytes::{array, le16, le32, le64, size};
use crate::{EndpointId, Transfer};

/// Where the receivers lie; `count` of them fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// The checked receivers of a descriptor.
#[derive(Clone, Debug)]
pub struct Receivers<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl Iterator for Receivers<'_> {
    type Item = Receiver;

    fn next(&mut self) -> Option<Receiver> {
        let (first, rest) = self.bytes.split_at_checked(self.stride)?;
        self.bytes = rest;
        receiver(first).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.bytes.len().checked_div(self.stride).unwrap_or(0);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Receivers<'_> {}

impl Place {
    /// Finds the receivers (KB-03, KB-04, KB-05).
    pub(super) fn find(
        header_len: u32,
        offset: u32,
        stride: u32,
        count: u32,
    ) -> Result<Self, DescriptorError> {
        if count == 0 {
            return Err(DescriptorError::NoReceiver);
        }
        let (stride, count) = (size(stride), size(count));
        if count > MAX_RECEIVERS {
            return Err(DescriptorError::TooManyReceivers);
        }
        if stride != UNIT && stride != 32 {
            return Err(DescriptorError::ReceiverSize);
        }
        if offset < header_len || !offset.is_multiple_of(16) {
            return Err(DescriptorError::ReceiverOffset);
        }
        Ok(Self { offset: size(offset), stride, count })
    }
}

/// Checks every receiver; returns them, the offset behind them, and the composite offset that all
/// of them name.
pub(super) fn check<'a>(
    bytes: &'a [u8],
    place: Place,
    sender: EndpointId,
    role: Role,
) -> Result<(Receivers<'a>, usize, u32), DescriptorError> {
    let Place { offset, stride, count } = place;
    let truncated = DescriptorError::ReceiversTruncated;
    let end = count.checked_mul(stride).and_then(|len| offset.checked_add(len)).ok_or(truncated)?;
    let all = bytes.get(offset..end).ok_or(truncated)?;
    let composite = match stride {
        UNIT => check_each(all.as_chunks::<UNIT>().0, sender, role)?,
        _ => check_each(all.as_chunks::<32>().0, sender, role)?,
    };
    Ok((Receivers { bytes: all, stride }, end, composite))
}

/// Reads the id of a receiver.
fn id_of<const N: usize>(one: &[u8; N]) -> Option<u16> {
    le16(one, 0)
}

/// Checks receivers of one size; returns the composite offset that all of them name.
fn check_each<const N: usize>(
    all: &[[u8; N]],
    sender: EndpointId,
    role: Role,
) -> Result<u32, DescriptorError> {
    let truncated = DescriptorError::ReceiversTruncated;
    let (permissions, retrieval_flag) = allowed(role);
    if role == Role::Send(Transfer::Donate) && all.len() != 1 {
        return Err(DescriptorError::DonateReceivers);
    }
    let composite = all.first().and_then(|one| le32(one, 4)).ok_or(DescriptorError::NoReceiver)?;
    let mut left = all;
    while let Some((one, others)) = left.split_first() {
        left = others;
        let (Some(id), Some(access_and_flags), Some(offset), Some(reserved)) =
            (id_of(one), le16(one, 2), le32(one, 4), le64(one, N.saturating_sub(8)))
        else {
            return Err(truncated);
        };
        // Any flag that is not allowed makes the number of the bit too large.
        let bit = u32::from(access_and_flags & !retrieval_flag);
        if permissions.checked_shr(bit).unwrap_or(0) & 1 == 0 || reserved != 0 {
            return Err(broken_rule(one, role));
        }
        if id == sender.get() {
            return Err(DescriptorError::SenderReceives);
        }
        if others.iter().any(|other| id_of(other) == Some(id)) {
            return Err(DescriptorError::DuplicateReceiver);
        }
        if offset != composite {
            return Err(DescriptorError::CompositeDiffers);
        }
    }
    Ok(composite)
}

/// What a message may state: bit n of the first for the access byte n; of the second, the flag (in
/// the upper byte) of a receiver that does not retrieve for itself.
/// Source: DEN0077A 1.1, 10.10.2 and 10.10.3; the flag is reserved in a send.
const fn allowed(role: Role) -> (u32, u16) {
    match role {
        // Read-only or read-write, not executable or unspecified.
        Role::Send(Transfer::Share) => (0b0000_0110_0110, 0),
        // Read-only or read-write.
        Role::Send(Transfer::Lend) => (0b0110_0110_0110, 0),
        // The receiver chooses.
        Role::Send(Transfer::Donate) => (0b0001_0001_0001, 0),
        // Any encoding with a meaning.
        Role::RetrieveRequest | Role::RetrieveResponse => (0b0111_0111_0111, 0x100),
    }
}

/// Names the rule that a receiver broke.
#[cold]
fn broken_rule(one: &[u8], role: Role) -> DescriptorError {
    match receiver(one) {
        Err(error) => error,
        Ok(one) if one.retrieval != Retrieval::Own => DescriptorError::ReceiverReserved,
        Ok(one)
            if role == Role::Send(Transfer::Share)
                && one.access.data != DataAccess::NotSpecified
                && one.access.instruction == InstructionAccess::Executable =>
        {
            DescriptorError::ExecutableShare
        }
        Ok(_) => DescriptorError::Permission,
    }
}

/// Reads one receiver.
fn receiver(bytes: &[u8]) -> Result<Receiver, DescriptorError> {
    let truncated = DescriptorError::ReceiversTruncated;
    let [access, flags] = array(bytes, 2).ok_or(truncated)?;
    let (impdef, reserved) = match bytes.len() {
        UNIT => ([0; 16], le64(bytes, 8)),
        _ => (array(bytes, 8).ok_or(truncated)?, le64(bytes, 24)),
    };
    let retrieval = match flags {
        0 => Retrieval::Own,
        1 => Retrieval::NonRetrieval,
        _ => return Err(DescriptorError::ReceiverReserved),
    };
    if reserved.ok_or(truncated)? != 0 {
        return Err(DescriptorError::ReceiverReserved);
    }
    Ok(Receiver {
        endpoint: EndpointId::from_raw(le16(bytes, 0).ok_or(truncated)?),
        access: Access::from_byte(access).ok_or(DescriptorError::Permission)?,
        retrieval,
        impdef,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masks against the decoded fields, for every byte pair and role.
    #[test]
    fn the_permission_masks_say_what_the_fields_say() {
        use Transfer::{Donate, Lend, Share};
        let highest = if cfg!(miri) { 0x1f } else { u8::MAX };
        let roles = [Share, Lend, Donate].map(Role::Send);
        for role in roles.into_iter().chain([Role::RetrieveRequest, Role::RetrieveResponse]) {
            for access in 0..=highest {
                for flags in 0..3 {
                    let fields = Access::from_byte(access);
                    let stated = fields.is_some_and(|f| f.data != DataAccess::NotSpecified);
                    let runs =
                        fields.is_some_and(|f| f.instruction == InstructionAccess::Executable);
                    let good = match role {
                        Role::Send(Share) => stated && !runs && flags == 0,
                        Role::Send(Lend) => stated && flags == 0,
                        Role::Send(Donate) => !stated && flags == 0,
                        Role::RetrieveRequest | Role::RetrieveResponse => flags < 2,
                    };
                    let mut bytes = [0; 16];
                    bytes[..4].copy_from_slice(&[2, 0, access, flags]);
                    let place = Place { offset: 0, stride: 16, count: 1 };
                    let found = check(&bytes, place, EndpointId::from_raw(1), role);
                    assert_eq!(found.is_ok(), fields.is_some() && good, "{role:?} {access:#x}");
                }
            }
        }
    }
}
