//! Owns FF-A notifications where the SPMC has them: who may ring whom, and who has been rung. Never
//! interrupts anybody.

use super::{Caller, Outcome, Spmc, success};
use crate::personality::Notifying;
use causeway_ffa::answer::NotificationInfo;
use causeway_ffa::call::BitmapSet;
use causeway_ffa::{Answer, Call, EndpointId, FfaError, Notifications};
use std::collections::BTreeMap;

/// One receiver.
#[derive(Clone, Debug, Default)]
struct Bitmap {
    /// Who may set which bits.
    bound: BTreeMap<u16, u64>,
    from_sps: u64,
    from_vms: u64,
}

/// Every receiver that has a bitmap.
#[derive(Clone, Debug, Default)]
pub(super) struct Bitmaps(BTreeMap<u16, Bitmap>);

impl Spmc {
    /// Each of the calls on notifications.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`serve` sends only these seven here")]
    pub(super) fn notification(&mut self, caller: Caller, call: &Call) -> Outcome {
        match (self.quirks().notifying, caller) {
            (Notifying::Nobody, _) | (Notifying::VmsOnly, Caller::Partition(_)) => {
                return Err(FfaError::NotSupported);
            }
            (Notifying::VmsOnly | Notifying::Everybody, _) => {}
        }
        // The normal world is believed, a partition speaks for itself alone.
        let speaks = |id: EndpointId| match caller {
            Caller::NormalWorld => !id.is_secure(),
            Caller::Partition(own) => own == id,
        };
        let bitmaps = &mut self.bitmaps;
        match *call {
            // By the hypervisor only: partitions have theirs from the start.
            Call::NotificationBitmapCreate { vm, .. } if speaks(vm) && !caller.is_secure() => {
                if bitmaps.0.insert(vm.get(), Bitmap::default()).is_some() {
                    return Err(FfaError::Denied);
                }
                Ok(success())
            }
            Call::NotificationBitmapDestroy { vm } if speaks(vm) && !caller.is_secure() => {
                bitmaps.0.remove(&vm.get()).map(|_| success()).ok_or(FfaError::Denied)
            }
            Call::NotificationBind { sender, receiver, bitmap, .. } if speaks(receiver) => {
                bitmaps.receiver(receiver)?.bind(sender, bitmap)
            }
            Call::NotificationUnbind { sender, receiver, bitmap } if speaks(receiver) => {
                let receiver = bitmaps.receiver(receiver)?;
                let bound = receiver.bound.get_mut(&sender.get()).ok_or(FfaError::Denied)?;
                *bound &= !bitmap;
                Ok(success())
            }
            Call::NotificationSet { sender, receiver, bitmap, .. } if speaks(sender) => {
                bitmaps.receiver(receiver)?.set(sender, bitmap)
            }
            Call::NotificationGet { receiver, wanted, .. } if speaks(receiver) => {
                Ok(Answer::notifications(&bitmaps.receiver(receiver)?.take(wanted)).encode())
            }
            Call::NotificationInfoGet { width } if !caller.is_secure() => {
                let mut list = NotificationInfo::new(width);
                for (id, bitmap) in &bitmaps.0 {
                    if bitmap.from_sps | bitmap.from_vms != 0 {
                        list.push(EndpointId::from_raw(*id));
                    }
                }
                Ok(list.answer().encode())
            }
            _ => Err(FfaError::InvalidParameters),
        }
    }
}

impl Bitmaps {
    fn receiver(&mut self, id: EndpointId) -> Result<&mut Bitmap, FfaError> {
        if id.is_secure() {
            return Ok(self.0.entry(id.get()).or_default());
        }
        self.0.get_mut(&id.get()).ok_or(FfaError::InvalidParameters)
    }
}

impl Bitmap {
    fn bind(&mut self, sender: EndpointId, bits: u64) -> Outcome {
        let others = self.bound.iter().filter(|(id, _)| **id != sender.get());
        if bits == 0 {
            return Err(FfaError::InvalidParameters);
        }
        if others.fold(0, |all, (_, bound)| all | bound) & bits != 0 {
            return Err(FfaError::Denied);
        }
        *self.bound.entry(sender.get()).or_default() |= bits;
        Ok(success())
    }

    fn set(&mut self, sender: EndpointId, bits: u64) -> Outcome {
        let bound = self.bound.get(&sender.get()).copied().unwrap_or(0);
        if bits == 0 || bound & bits != bits {
            return Err(FfaError::Denied);
        }
        let pending = if sender.is_secure() { &mut self.from_sps } else { &mut self.from_vms };
        *pending |= bits;
        Ok(success())
    }

    fn take(&mut self, wanted: BitmapSet) -> Notifications {
        let take = |set, bits: &mut u64| if wanted.has(set) { core::mem::take(bits) } else { 0 };
        Notifications {
            from_sps: take(BitmapSet::SP, &mut self.from_sps),
            from_vms: take(BitmapSet::VM, &mut self.from_vms),
            ..Notifications::default()
        }
    }
}
