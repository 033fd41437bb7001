//! Owns RPMB frames that come through a device, which can refuse only in frames: what the call answers
//! with a status is told there by a result, and noted for the ledger. Never judges a frame.

use super::{Contents, SecureFlash, Tenant};
use causeway_abi::Status;
use causeway_vault::rpmb::frame::{Frame, Outcome, Request};

/// A frame that came through the device of this VM, and what met it.
pub(crate) type Noted = (u16, Result<(), Status>);
/// Frames that one round of work on a VM's devices can bring: four chains of four.
pub(crate) const NOTED: usize = 16;

impl<H: SecureFlash> Contents<H> {
    /// Carries out one frame; writes answers into `into` and returns how many there are.
    pub(crate) fn frame(&mut self, tenant: &Tenant, request: &Frame, into: &mut [Frame]) -> usize {
        let met = self.rpmb(tenant, request, into);
        if let Some(free) = self.noted.iter_mut().find(|noted| noted.is_none()) {
            *free = Some((tenant.vm, met.map(|_| ())));
        }
        match met {
            Ok(count) => count,
            Err(_) => self.refuse(tenant, request, into),
        }
    }

    /// Takes what was noted since the last time.
    pub(crate) fn take_noted(&mut self) -> [Option<Noted>; NOTED] {
        core::mem::replace(&mut self.noted, [None; NOTED])
    }

    /// A frame that was refused before it came to its area.
    fn refuse(&mut self, tenant: &Tenant, request: &Frame, into: &mut [Frame]) -> usize {
        let of = match request.request() {
            Some(kind @ (Request::ProgramKey | Request::Write)) => {
                // A result that is read next must not be that of an older request.
                let Self { store, areas, .. } = self;
                if let Some(area) = areas.get_mut(tenant.place) {
                    area.refuse(store.as_mut(), tenant.vm, kind, request.address());
                }
                return 0;
            }
            Some(kind @ (Request::ReadCounter | Request::Read | Request::ReadResult)) => kind,
            None => Request::ReadResult,
        };
        let Some(answer) = into.first_mut() else { return 0 };
        *answer = Frame::response(of, Outcome::GeneralFailure);
        answer.set_nonce(request.nonce());
        1
    }
}
