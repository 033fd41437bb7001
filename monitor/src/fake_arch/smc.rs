//! Calls of EL3 in tests: to the fake SPMC.

use causeway_ffa::Regs;

pub(crate) type Regs8 = [u64; 8];

pub(crate) fn call(regs: &Regs8) -> Regs8 {
    super::world(|world| world.floor.call(&Regs::from_smc8(*regs)).smc8())
}

pub(crate) fn system_off() -> ! {
    panic!("the monitor switched the machine off")
}

pub(crate) fn core_off() {}

pub(crate) fn core_standby() -> bool {
    true
}

pub(crate) fn is_off(_core: usize) -> bool {
    false
}
