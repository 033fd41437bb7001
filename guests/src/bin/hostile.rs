//! VM 3, the hostile one: starts the job of its command line; holds none itself.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
causeway_guests::guest!(causeway_guests::programs::hostile);

#[cfg(not(target_os = "none"))]
fn main() {}
