//! Owns memory that another endpoint can change at any time: windows, pages and how they get
//! mapped. Never makes a reference into it and never decides who may use it.

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
