//! No other cores in tests.

pub(crate) fn start(_core: usize) -> bool {
    false
}
