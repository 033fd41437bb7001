//! Owns the packed list of FFA_NOTIFICATION_INFO_GET; never decides who is in it.

use super::{Answer, Success};
use crate::EndpointId;
use crate::call::Width;
use crate::regs::{join, low};

/// The endpoints with pending global notifications, as FFA_NOTIFICATION_INFO_GET packs them: in w2
/// bit 0 says that there are more, bits 11:7 count the lists, then two bits a list give the number
/// of vCPU ids that follow the endpoint id; from x3 on 16-bit ids, 4 a register (2 in SMC32).
/// Source: DEN0077A 1.1, FFA_NOTIFICATION_INFO_GET, table "return parameters".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationInfo {
    ids: [u16; 20],
    len: usize,
    more: bool,
    width: Width,
}

impl NotificationInfo {
    /// Starts an empty list for the width that the caller asked with.
    #[must_use]
    pub const fn new(width: Width) -> Self {
        Self { ids: [0; 20], len: 0, more: false, width }
    }

    /// Adds an endpoint, or sets the "more" flag where none fits.
    pub fn push(&mut self, endpoint: EndpointId) {
        let room = match self.width {
            Width::Bits32 => 10,
            Width::Bits64 => 20,
        };
        match self.ids.get_mut(self.len).filter(|_| self.len < room) {
            Some(slot) => {
                *slot = endpoint.get();
                self.len = self.len.saturating_add(1);
            }
            None => self.more = true,
        }
    }

    /// Returns the answer; NO_DATA if nobody has anything pending.
    #[must_use]
    pub fn answer(&self) -> Answer {
        if self.len == 0 {
            return Answer::Error(crate::FfaError::NoData);
        }
        let count = u32::try_from(self.len).unwrap_or(0);
        let flags = u32::from(self.more) | (count << 7);
        let mut ids = self.ids.chunks_exact(2).map(|pair| match pair {
            [a, b] => join(*b, *a),
            _ => 0,
        });
        let mut next = || ids.next().unwrap_or(0);
        Answer::Success(match self.width {
            Width::Bits32 => Success::words([flags, next(), next(), next(), next(), next()]),
            Width::Bits64 => {
                let mut args = [0; 16];
                for (index, slot) in args.iter_mut().enumerate().take(6) {
                    *slot = match index {
                        0 => u64::from(flags),
                        _ => u64::from(next()) | (u64::from(next()) << 32),
                    };
                }
                Success::double_words(args)
            }
        })
    }
}

/// Walks the endpoints of a received FFA_NOTIFICATION_INFO_GET answer, skipping vCPU ids.
#[derive(Clone, Debug)]
pub struct PendingIter {
    success: Success,
    counts: u64,
    lists: u32,
    next_id: usize,
}

impl Success {
    /// Reads the answer of FFA_NOTIFICATION_INFO_GET.
    #[must_use]
    pub fn pending(&self) -> PendingIter {
        let flags = self.x(2);
        PendingIter {
            success: *self,
            counts: flags >> 12,
            lists: (low(flags) >> 7) & 31,
            next_id: 0,
        }
    }
}

impl Iterator for PendingIter {
    type Item = EndpointId;

    fn next(&mut self) -> Option<EndpointId> {
        self.lists = self.lists.checked_sub(1)?;
        let per_register: usize = match self.success.width() {
            Width::Bits32 => 2,
            Width::Bits64 => 4,
        };
        let register = self.next_id.checked_div(per_register)?.checked_add(3)?;
        if register > 7 {
            return None;
        }
        let shift = u32::try_from(self.next_id.checked_rem(per_register)?).ok()?.checked_mul(16)?;
        let id = self.success.x(register).checked_shr(shift)?;
        let [a, b, ..] = id.to_le_bytes();
        let vcpus = usize::try_from(self.counts & 3).ok()?;
        self.counts >>= 2;
        self.next_id = self.next_id.checked_add(1)?.checked_add(vcpus)?;
        Some(EndpointId::from_raw(u16::from_le_bytes([a, b])))
    }
}
