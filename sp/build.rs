//! Owns the linker arguments of the bare-metal image; does nothing for the host.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=sp.ld");
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
    println!("cargo::rustc-link-arg-bins=-T{dir}/sp.ld");
}
