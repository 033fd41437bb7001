//! Owns memory that another endpoint can change at any time: windows, pages and how they get
//! mapped. Never makes a reference into it and never decides who may use it.
//!
//! ```
//! use causeway_abi::Permission;
//! use causeway_client::memory::{IdentityMapper, Mapper, OutOfWindow, OwnAreas, Pages, Window};
//! use causeway_ffa::{PageAddr, PageRange};
//! use causeway_virtio::{AreaId, AreaMap, BusAddr};
//! use core::ptr::NonNull;
//!
//! # #[repr(align(4096))] struct Two([u8; 8192]);
//! # let two = NonNull::from(Box::leak(Box::new(Two([0; 8192])))).cast::<u8>();
//! # let next = NonNull::from(Box::leak(Box::new(Two([0; 8192])))).cast::<u8>();
//! // Two pages of this program at `two`, which the hypervisor knows as 0x8000_0000.
//! // SAFETY: the bytes are this program's for ever, and nothing refers to them.
//! let window = unsafe { Window::new(two, 8192) };
//! let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 2).unwrap();
//! let pages = Pages::contiguous(range, window).expect("the window is as long as the range");
//! assert_eq!((pages.page_count(), pages.len_bytes(), pages.ranges()), (2, 8192, &[range][..]));
//!
//! // What others may write is copied, checked, and never referred to.
//! let window: &Window = pages.window();
//! window.write(0x100, b"ring")?;
//! let mut bytes = [0; 4];
//! window.read(0x100, &mut bytes)?;
//! assert_eq!(&bytes, b"ring");
//! window.fill(0x100, 4, 0)?;
//! window.store_release_u16(0x200, 7)?;
//! assert_eq!(window.load_acquire_u16(0x200)?, 7);
//! window.store_release_word(16, *b"handover")?; // eight bytes, all at once
//! assert_eq!(window.read(8190, &mut bytes), Err(OutOfWindow));
//! assert_eq!(window.offset_of(window.pointer().addr().get() + 16, 4), Some(16));
//!
//! // A driver's own queues see it under the id that the device knows.
//! let area = AreaId::new(1).unwrap();
//! let own = OwnAreas::new([(area, window)]);
//! own.write(BusAddr::new(area, 0x300).unwrap(), b"data").unwrap();
//!
//! // Pages that lie apart are one window as well. From window to window there is no copy between.
//! let window = pages.into_window();
//! let half = |page| PageRange::new(PageAddr::new(page).unwrap(), 1).unwrap();
//! let halves = [half(0x8000_1000), half(0x8000_0000)];
//! // SAFETY: as above.
//! let other = unsafe { Window::new(next, 8192) };
//! window.copy_to(0x300, &other, 0, 4)?;
//! let scattered = Pages::scattered(&halves, other).expect("two ranges of a page");
//! assert_eq!(scattered.page_count(), 2);
//! let (_base, len_bytes) = window.into_parts();
//! assert_eq!(len_bytes, 8192);
//!
//! // A bare-metal VM sees what it borrows at the hypervisor's addresses.
//! // SAFETY: nothing is mapped with it here; a guest promises that nothing of its own lies there.
//! let mapper = unsafe { IdentityMapper::new(range) };
//! assert!(mapper.map(&[half(0x9000_0000)], Permission::ReadWrite).is_none());
//! # Ok::<(), OutOfWindow>(())
//! ```

mod copy;
mod fifo;
mod map;
mod own;
mod pages;
mod window;

pub use map::{IdentityMapper, Mapper};
pub use own::OwnAreas;
pub use pages::Pages;
pub use window::{OutOfWindow, Window};
