//! Owns the table of where each argument and result of a call lies in the frame, for renderings in
//! other languages (`include/causeway.h`). Never packs a frame itself: `call` does, and a test holds
//! the two together.
//!
//! ```
//! use causeway_abi::CallId;
//! use causeway_abi::layout::{Field, Layout};
//!
//! let layout: Layout = CallId::Offer.layout();
//! let first: Field = layout.arguments[0];
//! println!("{}: x{}, bits {}:{}", first.name, first.register, first.high, first.low);
//! assert_eq!(first.mask().count_ones(), first.bits());
//! ```

use crate::CallId;

/// One argument or result: some bits of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The register, 4 to 7. In a [`crate::Frame`] it is word `register - 3`.
    pub register: u8,
    /// The lowest bit.
    pub low: u32,
    /// The highest bit, itself included.
    pub high: u32,
}

impl Field {
    /// Returns the bits of the register, as a mask.
    ///
    /// ```
    /// use causeway_abi::layout::Field;
    ///
    /// let field = Field { name: "kind", register: 5, low: 16, high: 23 };
    /// assert_eq!((field.mask(), field.bits()), (0xff_0000, 8));
    /// ```
    #[must_use]
    pub const fn mask(self) -> u64 {
        let zeroes = 63u32.saturating_sub(self.high).saturating_add(self.low);
        match u64::MAX.checked_shr(zeroes) {
            Some(ones) => ones << (self.low & 63),
            None => 0,
        }
    }

    /// Returns how many bits it has.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.high.saturating_sub(self.low).saturating_add(1)
    }
}

/// What lies where in a call and in its answer. What no field covers is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The arguments, in order.
    pub arguments: &'static [Field],
    /// The results, if the status is [`crate::Status::Ok`].
    pub results: &'static [Field],
}

macro_rules! fields {
    ($($name:ident $register:literal [$high:literal : $low:literal]),*) => {
        &[$(Field { name: stringify!($name), register: $register, low: $low, high: $high },)*]
    };
}

macro_rules! layouts {
    ($($call:ident ($($arguments:tt)*) -> ($($results:tt)*);)+) => {
        impl CallId {
            /// Returns what lies where in this call.
            ///
            /// ```
            /// use causeway_abi::CallId;
            ///
            /// let [handle, range] = CallId::Inspect.layout().arguments else { panic!() };
            /// assert_eq!((handle.name, handle.register, handle.bits()), ("handle", 4, 64));
            /// assert_eq!((range.name, range.register, range.bits()), ("range_index", 5, 32));
            /// ```
            #[must_use]
            pub const fn layout(self) -> Layout {
                match self {
                    $(Self::$call => Layout {
                        arguments: fields!($($arguments)*),
                        results: fields!($($results)*),
                    },)+
                }
            }
        }
    };
}

layouts! {
    Version(minor 4[15:0])
        -> (minor 4[15:0], major 4[31:16], features 5[63:0], max_pages 6[63:0], max_ranges 7[63:0]);
    Features(call_number 4[7:0]) -> (exists 4[0:0]);
    Events() -> (events 4[3:0]);
    Stats(page 4[7:0]) -> (first 4[63:0], second 5[63:0], third 6[63:0], fourth 7[63:0]);
    Seal() -> (grants 4[31:0], left 5[31:0]);
    Offer(handle 4[63:0], peer 5[15:0], kind 5[23:16], permission 5[31:24], tag 6[63:0])
        -> (generation 4[31:0], page_count 4[63:32], fold 5[63:0], handle 6[63:0]);
    Revoke(handle 4[63:0]) -> (state 4[7:0]);
    State(handle 4[63:0]) -> (state 4[7:0], generation 5[31:0]);
    Join(handle 4[63:0], peer 5[15:0], number 5[31:16]) -> (state 4[7:0], other_pages 5[31:0]);
    Part(peer 4[15:0], number 4[31:16]) -> (bytes_out 4[63:0], bytes_in 5[63:0]);
    Joined(peer 4[15:0], number 4[31:16])
        -> (state 4[7:0], bytes_out 5[63:0], bytes_in 6[63:0], other_pages 7[31:0]);
    Copy(peer 4[15:0], number 4[31:16], direction 4[39:32], from_offset 5[63:0], to_offset 6[63:0],
        length 7[63:0])
        -> (moved 4[63:0], bytes_out 5[63:0], bytes_in 6[63:0]);
    List(cursor 4[31:0]) -> (handle 4[63:0], next_cursor 5[31:0]);
    Inspect(handle 4[63:0], range_index 5[31:0])
        -> (owner 4[15:0], permission 4[23:16], kind 4[31:24], generation 4[63:32],
            page_count 5[31:0], range_count 5[63:32], fold 6[63:0], range_frame 7[35:0],
            range_pages 7[63:36]);
    Accept(handle 4[63:0], owner 5[15:0], permission 5[23:16], kind 5[31:24], generation 5[63:32],
        page_count 6[31:0], range_count 6[63:32], fold 7[63:0])
        -> ();
    Reject(handle 4[63:0], generation 5[31:0]) -> ();
    Release(handle 4[63:0]) -> (state 4[7:0]);
    HypRegister(sgi 4[7:0], core 5[15:0]) -> ();
    HypPoll() -> (doorbells 4[63:0], unmap_handle 5[63:0], unmap_vm 6[15:0], restart 6[16:16],
            restart_vm 6[47:32], deadline 7[63:0]);
    HypMapping(handle 4[63:0], vm 5[15:0]) -> ();
    HypUnmapped(handle 4[63:0], vm 5[15:0]) -> ();
    BusKick() -> (taken 4[63:0], waiting 5[63:0]);
    IrqFetch() -> (source 4[15:0], count 4[63:32], more 5[0:0], first_at 6[63:0]);
    IrqComplete(source 4[15:0]) -> (more 4[0:0]);
    IrqMask(source 4[15:0]) -> ();
    IrqUnmask(source 4[15:0]) -> ();
    IrqArm(source 4[15:0], interval_us 5[31:0], count 6[31:0]) -> ();
    IrqInfo(source 4[15:0], info 5[7:0])
        -> (first 4[63:0], second 5[63:0], third 6[63:0], fourth 7[63:0]);
    IrqBind(source 4[15:0], vm 5[15:0]) -> ();
    LedgerHead(scope 4[7:0], half 5[7:0])
        -> (records 4[63:0], digest_first 5[63:0], digest_second 6[63:0], unchained 7[63:0]);
    LedgerRead(handle 4[63:0], scope 5[7:0], cursor 6[63:0])
        -> (bytes 4[63:0], next_cursor 5[63:0]);
    VaultState() -> (services 4[63:0]);
    Entropy(count 4[7:0]) -> (count 4[7:0], first 5[63:0], second 6[63:0], third 7[63:0]);
    CounterRead(number 4[7:0]) -> (value 4[63:0]);
    CounterIncrement(number 4[7:0]) -> (value 4[63:0]);
    Rpmb(handle 4[63:0], request 5[31:0], answers 5[63:32], room 6[15:0]) -> (frames 4[15:0]);
    KeyGenerate(slot 4[7:0], purpose 4[15:8]) -> ();
    KeyImport(handle 4[63:0], slot 5[7:0], purpose 5[15:8], offset 6[31:0]) -> ();
    KeyDelete(slot 4[7:0]) -> ();
    KeyPublic(slot 4[7:0]) -> (first 4[63:0], second 5[63:0], third 6[63:0], fourth 7[63:0]);
    KeyMac(handle 4[63:0], slot 5[7:0], length 5[47:32], offset 6[31:0]) -> (first 4[63:0], second 5[63:0], third 6[63:0], fourth 7[63:0]);
    KeyVerify(handle 4[63:0], slot 5[7:0], length 5[47:32], offset 6[31:0], tag 6[63:32]) -> ();
    KeySign(handle 4[63:0], slot 5[7:0], length 5[47:32], offset 6[31:0], signature 6[63:32]) -> ();
    KeyEncrypt(handle 4[63:0], slot 5[7:0], length 5[47:32], associated 5[63:48], offset 6[31:0], proof 6[63:32]) -> ();
    KeyDecrypt(handle 4[63:0], slot 5[7:0], length 5[47:32], associated 5[63:48], offset 6[31:0], proof 6[63:32]) -> ();
    WatchdogStart(timeout_ms 4[31:0], warning_ms 5[31:0]) -> ();
    WatchdogPing() -> ();
    WatchdogStop() -> ();
    WatchdogLeft() -> (left_ms 4[63:0], warned 5[0:0]);
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]
mod tests {
    use super::*;
    use crate::{Call, Status};

    /// A frame that the call accepts: every field is 1.
    fn frame_of(call: CallId) -> [u64; 5] {
        let mut words = [0u64; 5];
        words[0] = u64::from(call.number()) | u64::from(crate::VERSION_MAJOR) << 16;
        for field in call.layout().arguments {
            words[usize::from(field.register) - 3] |= 1 << field.low;
        }
        words
    }

    #[test]
    fn no_two_fields_share_a_bit_and_each_lies_in_a_frame() {
        for call in CallId::ALL {
            for fields in [call.layout().arguments, call.layout().results] {
                let mut used = [0u64; 4];
                for field in fields {
                    assert!((4..8).contains(&field.register) && field.low <= field.high);
                    let word = &mut used[usize::from(field.register) - 4];
                    assert_eq!(*word & field.mask(), 0, "{call:?} {}", field.name);
                    assert_eq!(field.mask().count_ones(), field.bits());
                    *word |= field.mask();
                }
            }
        }
    }

    /// The codec is what counts; the table says the same, bit for bit.
    #[test]
    fn each_bit_of_a_call_means_something_just_where_the_table_has_a_field() {
        for call in CallId::ALL {
            let frame = frame_of(*call);
            let whole = Call::decode(&frame);
            let whole = whole.unwrap_or_else(|status| panic!("{call:?}: {status:?}"));
            for register in 4..8u8 {
                let fields = call.layout().arguments.iter().filter(|f| f.register == register);
                for bit in 0..64u32 {
                    let mut other = frame;
                    other[usize::from(register) - 3] ^= 1 << bit;
                    let inside = fields.clone().any(|f| (f.low..=f.high).contains(&bit));
                    match Call::decode(&other) {
                        Ok(changed) => {
                            assert!(inside && changed != whole, "{call:?} x{register} bit {bit}");
                        }
                        Err(Status::ReservedNotZero) => {
                            assert!(!inside, "{call:?} x{register} {bit}");
                        }
                        // A number that is too large for its field, alone in its register.
                        Err(status) if !inside => {
                            let alone = fields.clone().map(|f| f.low).collect::<Vec<_>>() == [0];
                            assert!(
                                alone && status == Status::BadArgument,
                                "{call:?} x{register} {bit} {status:?}"
                            );
                        }
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// docs/error-precedence.md, "Every call", rows 4 and 5.
    #[test]
    fn a_reserved_bit_is_told_of_before_anything_that_the_arguments_break() {
        for call in CallId::ALL {
            let plain = frame_of(*call);
            // Every field at its largest, and every word that is one number larger than that.
            let mut broken = plain;
            for field in call.layout().arguments {
                broken[usize::from(field.register) - 3] |= field.mask();
            }
            let bits = (1..5).flat_map(|word| (0..64).map(move |bit| (word, 1_u64 << bit)));
            let with = |frame: [u64; 5], (word, bit): (usize, u64)| {
                let mut frame = frame;
                frame[word] |= bit;
                Call::decode(&frame)
            };
            for too_large in bits.clone() {
                if with(plain, too_large) == Err(Status::BadArgument) {
                    broken[too_large.0] |= too_large.1;
                }
            }
            for reserved in bits {
                if with(plain, reserved) == Err(Status::ReservedNotZero) {
                    assert_eq!(with(broken, reserved), Err(Status::ReservedNotZero), "{call:?}");
                }
            }
        }
    }

    /// Fields of which few values have a meaning.
    const NAMED: [&str; 9] =
        ["kind", "permission", "direction", "scope", "half", "sgi", "count", "info", "purpose"];

    #[test]
    fn a_field_is_no_wider_than_what_the_call_takes() {
        for call in CallId::ALL {
            for field in call.layout().arguments.iter().filter(|f| !NAMED.contains(&f.name)) {
                let mut other = frame_of(*call);
                other[usize::from(field.register) - 3] |= 1 << field.high;
                assert!(Call::decode(&other).is_ok(), "{call:?} {}", field.name);
            }
        }
    }

    #[test]
    fn each_field_alone_changes_the_call() {
        for call in CallId::ALL {
            let frame = frame_of(*call);
            for field in call.layout().arguments {
                let changes = [0, 2].into_iter().any(|value| {
                    let mut other = frame;
                    let word = &mut other[usize::from(field.register) - 3];
                    *word = *word & !field.mask() | value << field.low;
                    Call::decode(&other).is_ok_and(|changed| Ok(changed) != Call::decode(&frame))
                });
                assert!(changes, "{call:?} {}", field.name);
            }
        }
    }
}
