//! Owns the linker scripts of the three bare-metal images, and the compiling of the example in C that one of
//! them runs; adds nothing to a host build.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=image/guest.ld");
    println!("cargo::rerun-if-changed=../c-example/c");
    println!("cargo::rerun-if-changed=../abi/include/causeway.h");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if os != "none" {
        return;
    }
    for bin in ["frontend", "backend", "hostile"] {
        // image.ld comes from aarch64-rt, which puts it on the linker's search path.
        println!("cargo::rustc-link-arg-bin={bin}=-Timage.ld");
        println!("cargo::rustc-link-arg-bin={bin}=-T{dir}/image/guest.ld");
    }
    if let Some(object) = compile(Path::new(&dir)) {
        println!("cargo::rustc-link-arg-bin=frontend={}", object.display());
    }
}

/// The example in C as an object: freestanding, and without the registers that a VM here does not have.
/// `None` without a compiler: lints need none, and a link then says what is missing.
fn compile(dir: &Path) -> Option<PathBuf> {
    let compiler = std::env::var("CAUSEWAY_GUEST_CC");
    let compiler = compiler.unwrap_or_else(|_| "aarch64-linux-gnu-gcc".to_owned());
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    let object = Path::new(&out).join("services.o");
    let status = Command::new(&compiler)
        .args(["-c", "-O2", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"])
        .args(["-ffreestanding", "-mgeneral-regs-only", "-fno-pic", "-fno-stack-protector"])
        .arg("-I")
        .arg(dir.join("../abi/include"))
        .arg(dir.join("../c-example/c/services.c"))
        .arg("-o")
        .arg(&object)
        .status();
    match status {
        Ok(status) if status.success() => Some(object),
        Ok(status) => panic!("{compiler} ended with {status}"),
        Err(error) => {
            println!("cargo::warning={compiler}: {error}; `cargo xtask setup` installs it");
            None
        }
    }
}
