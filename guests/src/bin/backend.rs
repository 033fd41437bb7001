//! VM 2, the device side and peer: starts the job of its command line; holds none itself.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
causeway_guests::guest!(causeway_guests::programs::backend);

#[cfg(not(target_os = "none"))]
fn main() {}
