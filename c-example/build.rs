//! Owns the compiling of the C files, with the header that `causeway-abi` carries: an outside project
//! that links C does the same. Never generates anything.

use std::path::Path;

fn main() {
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    let header = Path::new(&out).join("causeway.h");
    std::fs::write(&header, causeway_abi::C_HEADER).expect("OUT_DIR is writable");
    cc::Build::new()
        .file("c/hypervisor.c")
        .file("c/share.c")
        .include(&out)
        .std("c99")
        .warnings(true)
        .extra_warnings(true)
        .flag_if_supported("-pedantic")
        .warnings_into_errors(true)
        .compile("hypervisor");
    println!("cargo::rerun-if-changed=c");
}
