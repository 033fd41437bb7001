//! Owns the meaning of an exception syndrome: registers in, a cause out. Never reacts to it.

/// Why a VM stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// HVC: the return address is already behind the instruction.
    Hvc,
    /// SMC: the return address is the instruction.
    Smc,
    /// WFI: the VM has nothing to do.
    Wait,
    /// WFE: the VM yields.
    Yield,
    /// Stage 2 does not let the VM do this.
    StageTwo(Fault),
    /// An instruction that no VM has here: floating point, debug, the interrupt controller.
    Undefined,
    /// Nothing that a VM should be able to cause.
    Unknown {
        /// Exception class (`ESR_EL2` bits 31:26).
        class: u8,
    },
}

/// An access that stage 2 refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Guest-physical address.
    pub ipa: u64,
    /// What the VM tried.
    pub access: Access,
}

/// What a VM tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load, or a walk of its own tables.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Fetch,
}

impl Trap {
    /// Reads `ESR_EL2`, `FAR_EL2` and `HPFAR_EL2`. Source: Arm ARM, `ESR_EL2`.
    #[must_use]
    pub const fn decode(esr: u64, far: u64, hpfar: u64) -> Self {
        let class = ((esr >> 26) & 0x3f) as u8;
        let iss = esr & 0x1ff_ffff;
        // HPFAR_EL2.FIPA, bits 43:4, holds bits 51:12 of the address.
        let ipa = ((hpfar & 0xfff_ffff_fff0) << 8) | (far & 0xfff);
        match class {
            0x01 if iss & 1 == 0 => Self::Wait,
            0x01 => Self::Yield,
            0x16 => Self::Hvc,
            0x17 => Self::Smc,
            0x20 => Self::StageTwo(Fault { ipa, access: Access::Fetch }),
            0x24 => {
                // WnR (bit 6) says nothing about a fault of a walk (S1PTW, bit 7).
                let write = iss & (1 << 6) != 0 && iss & (1 << 7) == 0;
                let access = if write { Access::Write } else { Access::Read };
                Self::StageTwo(Fault { ipa, access })
            }
            // Unknown, CP15/CP14 and system registers, FP and SVE, pointer authentication, SVE.
            0x00 | 0x03..=0x07 | 0x09 | 0x0c | 0x18 | 0x19 | 0x1d => Self::Undefined,
            _ => Self::Unknown { class },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_waits_are_told_apart() {
        assert_eq!(Trap::decode(0x16 << 26, 0, 0), Trap::Hvc);
        assert_eq!(Trap::decode(0x17 << 26, 0, 0), Trap::Smc);
        assert_eq!(Trap::decode(0x01 << 26, 0, 0), Trap::Wait);
        assert_eq!(Trap::decode(0x01 << 26 | 1, 0, 0), Trap::Yield);
    }

    #[test]
    fn a_fault_names_the_guest_physical_address_and_the_access() {
        let fault = |esr| Trap::decode(esr, 0xffff_0000_0000_0123, 0x0100_0000);
        let ipa = 0x1_0000_0123;
        let expected = |access| Trap::StageTwo(Fault { ipa, access });
        assert_eq!(fault(0x24 << 26), expected(Access::Read));
        assert_eq!(fault(0x24 << 26 | 1 << 6), expected(Access::Write));
        assert_eq!(fault(0x24 << 26 | 1 << 6 | 1 << 7), expected(Access::Read));
        assert_eq!(fault(0x20 << 26), expected(Access::Fetch));
    }

    #[test]
    fn what_no_vm_has_is_undefined_and_the_rest_is_unknown() {
        for class in [0x00, 0x07, 0x18, 0x19] {
            assert_eq!(Trap::decode(class << 26, 0, 0), Trap::Undefined);
        }
        assert_eq!(Trap::decode(0x3c << 26, 0, 0), Trap::Unknown { class: 0x3c });
    }
}
