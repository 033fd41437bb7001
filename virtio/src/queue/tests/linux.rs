//! Memory images in Linux's layout, re-derived from the structures of include/uapi/linux/virtio_ring.h:
//! `vring_desc`, `vring_avail`, `vring_used_elem`, `vring_used` (with `vring_used_event` and
//! `vring_avail_event` behind the rings), `vring_packed_desc`, `vring_packed_desc_event`.
//!
//! Each image is one read request of virtio-blk (`virtblk_req`): a header of 16 bytes that the device
//! reads, 4096 bytes and a status that it writes, in the second lap where the layout has laps.

use super::*;

/// The request's buffers, at 0x1_0000_0000_4000, ..._5000 and ..._4010.
fn buffers() -> ([Segment; 1], [Segment; 2]) {
    let segment = |offset, len| Segment { addr: at(offset), len };
    ([segment(0x4000, 16)], [segment(0x5000, 4096), segment(0x4010, 1)])
}

/// `vring_init` with 4 entries and 64 bytes of alignment: descriptors, available ring behind them,
/// used ring at the next multiple of 64.
const SPLIT: (u64, u64, u64) = (0, 64, 128);

/// `struct vring_desc desc[3]`: addr, len, flags (`VRING_DESC_F_NEXT` 1, `VRING_DESC_F_WRITE` 2), next.
const SPLIT_DESC: [u8; 48] = [
    0x00, 0x40, 0, 0, 0, 0, 1, 0, 0x10, 0x00, 0, 0, 1, 0, 1, 0, // header
    0x00, 0x50, 0, 0, 0, 0, 1, 0, 0x00, 0x10, 0, 0, 3, 0, 2, 0, // data
    0x10, 0x40, 0, 0, 0, 0, 1, 0, 0x01, 0x00, 0, 0, 2, 0, 3, 0, // status
];

/// `struct vring_avail` with 4 entries: flags, idx, ring, `vring_used_event`.
const SPLIT_AVAIL: [u8; 14] = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// `struct vring_used` with 4 entries: flags, idx, ring of (id, len), `vring_avail_event`.
const SPLIT_USED: [u8; 38] = [
    0, 0, 1, 0, 0, 0, 0, 0, 0x01, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, // one element: 4097 bytes
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
];

/// Ring, driver event and device event of a packed queue of 4.
const PACKED: (u64, u64, u64) = (0, 64, 68);

/// `struct vring_packed_desc`: addr, len, id, flags. Slots 3, 0, 1 of the ring, across its end: the
/// first one in lap 1 (`1 << VRING_PACKED_DESC_F_AVAIL`), the others in lap 2
/// (`1 << VRING_PACKED_DESC_F_USED`).
const PACKED_DESC: [[u8; 16]; 3] = [
    [0x00, 0x40, 0, 0, 0, 0, 1, 0, 0x10, 0x00, 0, 0, 3, 0, 0x81, 0x00],
    [0x00, 0x50, 0, 0, 0, 0, 1, 0, 0x00, 0x10, 0, 0, 3, 0, 0x03, 0x80],
    [0x10, 0x40, 0, 0, 0, 0, 1, 0, 0x01, 0x00, 0, 0, 3, 0, 0x02, 0x80],
];

/// What the device makes of slot 3: len and id, and flags with both laps and WRITE. The address
/// stays.
const PACKED_USED: [u8; 16] = [0x00, 0x40, 0, 0, 0, 0, 1, 0, 0x01, 0x10, 0, 0, 3, 0, 0x82, 0x80];

/// `struct vring_packed_desc_event`: off_wrap (offset 2 in lap 2: bit `VRING_PACKED_EVENT_F_WRAP_CTR`
/// clear), flags (`VRING_PACKED_EVENT_FLAG_DESC`).
const PACKED_EVENT: [u8; 4] = [2, 0, 2, 0];

fn layout(places: (u64, u64, u64), features: Features) -> QueueConfig {
    let (desc, driver, device) = places;
    let size = QueueSize::new(4).unwrap();
    let features = features | Features::EVENT_IDX;
    QueueConfig { size, desc: at(desc), driver: at(driver), device: at(device), features }
}

fn image<const N: usize>(mem: &WordArea<'_>, offset: u64) -> [u8; N] {
    let mut bytes = [0; N];
    AreaMap::read(mem, at(offset), &mut bytes).unwrap();
    bytes
}

#[test]
fn our_driver_side_lays_out_split_rings_as_linux_does() {
    let words = memory();
    let mem = map(&words);
    let mut driver = DriverQueue::<4>::new(&mem, layout(SPLIT, Features::NONE)).unwrap();
    let (r, w) = buffers();
    driver.submit(&mem, &r, &w).unwrap();
    assert_eq!(image(&mem, SPLIT.0), SPLIT_DESC);
    assert_eq!(image(&mem, SPLIT.1), SPLIT_AVAIL);
    assert_eq!(driver.should_kick(&mem), Ok(true));
    // The image of a device that has served it and waits for the second one.
    AreaMap::write(&mem, at(SPLIT.2), &SPLIT_USED).unwrap();
    assert_eq!(driver.pop_used(&mem).unwrap().unwrap().written, 4097);
}

#[test]
fn our_device_side_reads_and_writes_split_rings_as_linux_does() {
    let words = memory();
    let mem = map(&words);
    AreaMap::write(&mem, at(SPLIT.0), &SPLIT_DESC).unwrap();
    AreaMap::write(&mem, at(SPLIT.1), &SPLIT_AVAIL).unwrap();
    let mut device = DeviceQueue::new(&mem, layout(SPLIT, Features::NONE)).unwrap();
    let mut chain = Chain::<4>::new();
    let head = device.take(&mem, &mut chain).unwrap().unwrap();
    let (r, w) = buffers();
    assert_eq!((chain.readable(), chain.writable()), (&r[..], &w[..]));
    device.complete(&mem, head, 4097).unwrap();
    assert_eq!(device.should_notify(&mem), Ok(true));
    assert_eq!(device.arm(&mem), Ok(false));
    assert_eq!(image(&mem, SPLIT.2), SPLIT_USED);
}

/// Moves a pair of packed queues to slot 3 of the first lap, with buffer id 3 next.
fn advanced(mem: &WordArea<'_>) -> (DriverQueue<4>, DeviceQueue) {
    let config = layout(PACKED, Features::RING_PACKED);
    let mut driver = DriverQueue::new(mem, config).unwrap();
    let mut device = DeviceQueue::new(mem, config).unwrap();
    for _ in 0..3 {
        driver.submit(mem, &[segment(0, 1)], &[]).unwrap();
        let head = device.take(mem, &mut Chain::<1>::new()).unwrap().unwrap();
        device.complete(mem, head, 0).unwrap();
        driver.pop_used(mem).unwrap().unwrap();
    }
    assert_eq!(device.should_notify(mem), Ok(true));
    (driver, device)
}

const SLOTS: [u64; 3] = [48, 0, 16];

#[test]
fn our_driver_side_lays_out_packed_rings_as_linux_does() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, _) = advanced(&mem);
    let (r, w) = buffers();
    assert_eq!(driver.submit(&mem, &r, &w).unwrap().get(), 3);
    for (slot, golden) in SLOTS.iter().zip(PACKED_DESC) {
        assert_eq!(image(&mem, PACKED.0 + slot), golden);
    }
    AreaMap::write(&mem, at(PACKED.0 + 48), &PACKED_USED).unwrap();
    assert_eq!(driver.pop_used(&mem).unwrap().unwrap().written, 4097);
    assert_eq!(driver.arm(&mem, 1), Ok(false));
    assert_eq!(image(&mem, PACKED.1), PACKED_EVENT);
}

#[test]
fn our_device_side_reads_and_writes_packed_rings_as_linux_does() {
    let words = memory();
    let mem = map(&words);
    let (_, mut device) = advanced(&mem);
    for (slot, golden) in SLOTS.iter().zip(PACKED_DESC) {
        AreaMap::write(&mem, at(PACKED.0 + slot), &golden).unwrap();
    }
    let mut chain = Chain::<4>::new();
    let head = device.take(&mem, &mut chain).unwrap().unwrap();
    let (r, w) = buffers();
    assert_eq!((head.index(), chain.readable(), chain.writable()), (3, &r[..], &w[..]));
    device.complete(&mem, head, 4097).unwrap();
    assert_eq!(image(&mem, PACKED.0 + 48), PACKED_USED);
    // Linux asks to be told at slot 3 of the first lap: bit VRING_PACKED_EVENT_F_WRAP_CTR set.
    AreaMap::write(&mem, at(PACKED.1), &[3, 0x80, 2, 0]).unwrap();
    assert_eq!(device.should_notify(&mem), Ok(true));
    assert_eq!(device.arm(&mem), Ok(false));
    assert_eq!(image(&mem, PACKED.2), PACKED_EVENT);
}

/// Linux sends every request of more than one buffer through an indirect table where it may
/// (`virtqueue_use_indirect`); in a packed ring the table's ids and NEXT flags mean nothing.
#[test]
fn indirect_tables_are_those_of_linux() {
    let words = memory();
    let mem = map(&words);
    let (r, w) = buffers();
    let split = layout(SPLIT, Features::INDIRECT_DESC);
    let mut driver = DriverQueue::<4>::new(&mem, split).unwrap();
    driver.submit_indirect(&mem, at(TABLES), &r, &w).unwrap();
    let entry = [0, 4, 0, 0, 0, 0, 1, 0, 48, 0, 0, 0, 4, 0, 0, 0];
    assert_eq!(image(&mem, SPLIT.0), entry);
    let mut table = SPLIT_DESC;
    table[46] = 0;
    assert_eq!(image(&mem, TABLES), table);

    let packed = layout(PACKED, Features::INDIRECT_DESC | Features::RING_PACKED);
    let mut driver = DriverQueue::<4>::new(&mem, packed).unwrap();
    driver.submit_indirect(&mem, at(TABLES), &r, &w).unwrap();
    let entry = [0, 4, 0, 0, 0, 0, 1, 0, 48, 0, 0, 0, 0, 0, 0x84, 0];
    assert_eq!(image(&mem, PACKED.0), entry);
    for (index, golden) in (0_u64..).zip(PACKED_DESC) {
        let mut golden = golden;
        golden[12] = 0;
        golden[14] &= 2;
        golden[15] = 0;
        assert_eq!(image(&mem, TABLES + 16 * index), golden);
    }
}
