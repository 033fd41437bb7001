//! The monitor's RX/TX pair in tests: two pages of the fake machine.

use causeway_fake_spmc::layout::hypervisor_ram;

pub(crate) const BUFFER_BYTES: usize = 4096;

pub(crate) fn addresses() -> (u64, u64) {
    let tx = hypervisor_ram().start().get();
    (tx, tx + BUFFER_BYTES as u64)
}

pub(crate) fn write_tx(bytes: &[u8]) {
    let len = bytes.len().min(BUFFER_BYTES);
    super::world(|world| world.machine.ram().write(addresses().0, &bytes[..len]));
}

pub(crate) fn read_rx(out: &mut [u8]) {
    let len = out.len().min(BUFFER_BYTES);
    super::world(|world| world.machine.ram().read(addresses().1, &mut out[..len]));
}
