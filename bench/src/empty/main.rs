//! A secure partition that does nothing but what the SPMC must be asked for: what is left when it
//! answers in our partition's place is TF-A's share of a call.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod partition;

#[cfg(not(target_os = "none"))]
fn main() {}
