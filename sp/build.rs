//! Owns the linker arguments of the bare-metal image; does nothing for the host.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=sp.ld");
    println!("cargo::rerun-if-changed=hafnium.ld");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let Ok(dir) = env::var("CARGO_MANIFEST_DIR") else {
        println!("cargo::error=CARGO_MANIFEST_DIR is not set: build with cargo");
        return;
    };
    // image.ld comes from aarch64-rt, which puts it on the linker's search path.
    println!("cargo::rustc-link-arg-bins=-Timage.ld");
    if env::var_os("CARGO_FEATURE_HAFNIUM").is_some() {
        println!("cargo::rustc-link-arg-bins=-T{dir}/hafnium.ld");
        // The image begins at no multiple of 64 KiB: with pages of that size the ELF headers would be
        // loaded before it.
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    } else {
        println!("cargo::rustc-link-arg-bins=-T{dir}/sp.ld");
    }
}
