//! Owns what random traffic on a ring is made of, for the tests against others. Never runs it.

use proptest::prelude::*;

/// One thing that somebody does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Offer { readable: usize, writable: usize, indirect: bool },
    Kick,
    Take,
    Complete { which: usize, written: u32 },
    Notify,
    Pop,
    ArmDevice,
    DisarmDevice,
    ArmDriver { count: u16 },
    DisarmDriver,
}

/// Any of them.
pub(crate) fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_usize..4, 0_usize..4, any::<bool>())
            .prop_map(|(readable, writable, indirect)| Act::Offer { readable, writable, indirect }),
        4 => Just(Act::Take),
        4 => (0_usize..8, 0_u32..32).prop_map(|(which, written)| Act::Complete { which, written }),
        4 => Just(Act::Pop),
        1 => Just(Act::Kick),
        1 => Just(Act::Notify),
        1 => Just(Act::ArmDevice),
        1 => Just(Act::DisarmDevice),
        1 => (1_u16..9).prop_map(|count| Act::ArmDriver { count }),
        1 => Just(Act::DisarmDriver),
    ]
}
