//! Owns the addresses that the linker script knows; never maps anything.

use core::ops::Range;

macro_rules! linker_symbols {
    ($($(#[$doc:meta])* $function:ident = $symbol:ident;)+) => {
        unsafe extern "C" { $(static $symbol: u8;)+ }
        $($(#[$doc])*
        fn $function() -> usize {
            (&raw const $symbol) as usize
        })+
    };
}

linker_symbols! {
    /// First byte of the code.
    text_start = text_begin;
    /// First byte after the code.
    text_stop = text_end;
    /// First byte of constants.
    rodata_start = rodata_begin;
    /// First byte after the constants.
    rodata_stop = rodata_end;
    /// First byte of variables.
    data_start = data_begin;
    /// First byte after the variables.
    bss_stop = bss_end;
    /// First byte after the RAM that TF-A gives to the partition.
    room_stop = image_room_end;
}

/// Returns the addresses of the code.
pub(crate) fn text() -> Range<usize> {
    text_start()..text_stop()
}

/// Returns the addresses of the constants.
pub(crate) fn rodata() -> Range<usize> {
    rodata_start()..rodata_stop()
}

/// Returns the addresses of the variables, stacks excepted.
pub(crate) fn data() -> Range<usize> {
    data_start()..bss_stop()
}

/// Returns the address behind all RAM of the partition. Behind the stacks it is free, by an assertion of
/// `sp.ld` 4 MiB at least.
pub(crate) fn room_end() -> usize {
    room_stop()
}
