//! The monitor's pure parts: they decide and account; they never touch a register or a page.
//!
//! Everything here builds and is tested on the host. What acts (exceptions, page tables, SMCs,
//! interrupts) is in the binary, `main.rs` with `arch/` and `hyp/`.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod book;
pub mod command_line;
pub mod config;
pub mod console;
pub mod counters;
pub mod fragments;
pub mod layout;
pub mod lifecycle;
pub mod mailbox;
pub mod notify;
pub mod pack;
pub mod pages;
pub mod processors;
pub mod rules;
pub mod skips;
pub mod stage2;
pub mod trap;
pub mod window;
