//! Owns the register file of one call; never gives a register a meaning (see `call` and `answer`).
//!
//! ```
//! use causeway_ffa::regs::{Regs, decode_version_reply, version_reply};
//! use causeway_ffa::{FuncId, Version};
//!
//! let registers = Regs::from_smc8([0x8400_0063, 0x1_0001, 0, 0, 0, 0, 0, 0]);
//! assert_eq!((registers.func(), registers.w(1)), (Some(FuncId::Version), 0x1_0001));
//! // FFA_VERSION alone answers in w0, without a function id.
//! assert_eq!(decode_version_reply(&version_reply(Some(Version::V1_1))), Ok(Version::V1_1));
//! assert!(decode_version_reply(&version_reply(None)).is_err());
//! ```

use crate::{FfaError, FuncId, Version};

/// x0-x17 as a caller or a callee left them. An unchecked container: any content is legal.
///
/// Callers of SMC conduits that pass only x0-x7 use [`Regs::from_smc8`] and [`Regs::smc8`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Regs(pub [u64; 18]);

impl Regs {
    /// All registers zero.
    pub const ZERO: Self = Self([0; 18]);

    /// Takes x0-x7; x8-x17 are zero.
    #[inline]
    #[must_use]
    pub const fn from_smc8(x: [u64; 8]) -> Self {
        let [x0, x1, x2, x3, x4, x5, x6, x7] = x;
        Self([x0, x1, x2, x3, x4, x5, x6, x7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Returns x0-x7.
    #[inline]
    #[must_use]
    pub const fn smc8(&self) -> [u64; 8] {
        let [x0, x1, x2, x3, x4, x5, x6, x7, ..] = self.0;
        [x0, x1, x2, x3, x4, x5, x6, x7]
    }

    /// Returns x`index`; 0 past x17.
    #[must_use]
    pub fn x(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// Returns w`index`, the lower half; 0 past x17.
    #[must_use]
    pub fn w(&self, index: usize) -> u32 {
        low(self.x(index))
    }

    /// Returns the function id in w0, if it is one of FF-A's. The upper half of x0 has no meaning
    /// (DEN0028, SMCCC 1.4: the function identifier is w0).
    #[must_use]
    pub fn func(&self) -> Option<FuncId> {
        FuncId::from_raw(self.w(0))
    }

    /// Starts a register file for `func`; every other register is zero, so that nothing stale leaks.
    #[must_use]
    pub(crate) fn of(func: FuncId) -> Self {
        Self::ZERO.with(0, u64::from(func.raw()))
    }

    /// Sets one register; ignored past x17.
    #[must_use]
    pub(crate) fn with(mut self, index: usize, value: u64) -> Self {
        if let Some(register) = self.0.get_mut(index) {
            *register = value;
        }
        self
    }

    /// Sets one w register.
    #[must_use]
    pub(crate) fn with_w(self, index: usize, value: u32) -> Self {
        self.with(index, u64::from(value))
    }

    /// Copies `values` to consecutive registers from x`first`.
    #[must_use]
    pub(crate) fn with_run(mut self, first: usize, values: &[u64]) -> Self {
        for (register, value) in self.0.iter_mut().skip(first).zip(values) {
            *register = *value;
        }
        self
    }

    /// Returns `N` consecutive registers from x`first`; zeros past x17.
    #[must_use]
    pub(crate) fn run<const N: usize>(&self, first: usize) -> [u64; N] {
        let mut values = [0; N];
        for (value, register) in values.iter_mut().zip(self.0.iter().skip(first)) {
            *value = *register;
        }
        values
    }
}

/// Returns the lower half of a register.
pub(crate) const fn low(x: u64) -> u32 {
    let [a, b, c, d, ..] = x.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Returns the upper half of a register.
pub(crate) const fn high(x: u64) -> u32 {
    low(x >> 32)
}

/// Splits a word into its upper and its lower 16 bits.
pub(crate) const fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_le_bytes();
    (u16::from_le_bytes([c, d]), u16::from_le_bytes([a, b]))
}

/// Joins an upper and a lower 16-bit half.
pub(crate) const fn join(upper: u16, lower: u16) -> u32 {
    let ([c, d], [a, b]) = (upper.to_le_bytes(), lower.to_le_bytes());
    u32::from_le_bytes([a, b, c, d])
}

/// The reply to FFA_VERSION, which is no FFA_SUCCESS: the version in w0, or NOT_SUPPORTED there.
/// Source: DEN0077A 1.2, FFA_VERSION, return values.
#[must_use]
pub fn version_reply(version: Option<Version>) -> Regs {
    let word = version.map_or(u32::MAX, Version::raw);
    Regs::ZERO.with_w(0, word)
}

/// Reads the reply to FFA_VERSION.
///
/// # Errors
/// The status code in w0 where the callee gave no version.
pub fn decode_version_reply(regs: &Regs) -> Result<Version, FfaError> {
    let word = regs.w(0);
    Version::from_raw(word)
        .ok_or_else(|| FfaError::from_code(i32::from_le_bytes(word.to_le_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reply_is_a_version_or_an_error_code() {
        for version in [Version::V1_0, Version::V1_1, Version::V1_3] {
            assert_eq!(decode_version_reply(&version_reply(Some(version))), Ok(version));
        }
        assert_eq!(decode_version_reply(&version_reply(None)), Err(FfaError::NotSupported));
        // TF-A returns the int -1 sign-extended to x0.
        let extended = Regs::ZERO.with(0, u64::MAX);
        assert_eq!(decode_version_reply(&extended), Err(FfaError::NotSupported));
    }

    #[test]
    fn registers_past_the_last_read_as_zero_and_are_never_written() {
        let regs = Regs([7; 18]).with(18, 1);
        assert_eq!((regs.x(17), regs.x(18), regs.w(99)), (7, 0, 0));
        assert_eq!(regs.run::<3>(16), [7, 7, 0]);
        assert_eq!(Regs::ZERO.with_run(17, &[1, 2]).x(17), 1);
    }
}
