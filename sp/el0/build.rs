//! Owns the linker arguments of the S-EL0 image; does nothing for the host.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=el0.ld");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let Ok(dir) = env::var("CARGO_MANIFEST_DIR") else {
        println!("cargo::error=CARGO_MANIFEST_DIR is not set: build with cargo");
        return;
    };
    for argument in ["-pie", "--no-dynamic-linker", "-znorelro", &format!("-T{dir}/el0.ld")] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
