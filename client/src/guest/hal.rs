//! Owns virtio-drivers' `Hal` over a link's pool; never decides where memory comes from.
#![expect(unsafe_code, reason = "the trait and some of its functions are unsafe")]

use super::pool::{DmaPool, Towards};
use core::marker::PhantomData;
use core::ptr::NonNull;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// Names the pool of one link, so that a `Hal` without `self` can find it.
pub trait Link {
    /// Returns the pool; always the same one.
    fn pool() -> &'static DmaPool;
}

/// The `Hal` of the drivers of one link.
///
/// Addresses given to the device are bus addresses (`area_id << 48 | offset`); virtio-drivers'
/// `PhysAddr` has 64 bits and carries them. The null address, which no area has, stands for "could
/// not be shared": the device refuses the request.
#[derive(Debug)]
pub struct AreaHal<L: Link>(PhantomData<L>);

const fn towards(direction: BufferDirection) -> Towards {
    match direction {
        BufferDirection::DriverToDevice => Towards::Device,
        BufferDirection::DeviceToDriver => Towards::Driver,
        BufferDirection::Both => Towards::Both,
    }
}

/// The address that no device can reach: area 0.
const NOWHERE: PhysAddr = 0;

// SAFETY: `dma_alloc` returns pages of an area that is mapped and used through the pool alone
// (`DmaPool::attach`), page aligned (checked there), zeroed, and marked as taken until `dma_dealloc`
// gives them back. Where there is none it returns the address 0, which `Dma::new` refuses.
unsafe impl<L: Link> Hal for AreaHal<L> {
    fn dma_alloc(pages: usize, direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match L::pool().take_pages(pages, towards(direction)) {
            Some(taken) => (taken.bus.get(), taken.base),
            None => (NOWHERE, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, _vaddr: NonNull<u8>, pages: usize) -> i32 {
        if L::pool().give_back(paddr, pages) { 0 } else { -1 }
    }

    unsafe fn mmio_phys_to_virt(_paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        // Only the PCI transport asks, and there is no PCI here.
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        // SAFETY: the caller of `Hal::share` promises what `DmaPool::share` asks for.
        unsafe { L::pool().share(buffer, towards(direction)) }.unwrap_or(NOWHERE)
    }

    unsafe fn unshare(paddr: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        // SAFETY: the caller of `Hal::unshare` promises what `DmaPool::unshare` asks for.
        unsafe { L::pool().unshare(paddr, buffer, towards(direction)) };
    }
}
