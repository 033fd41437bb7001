//! Owns the linker scripts of the three bare-metal images; adds nothing to a host build.

fn main() {
    println!("cargo::rerun-if-changed=image/guest.ld");
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
}
