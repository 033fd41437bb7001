//! Hands the bare-metal program its linker script; does nothing for the host.

fn main() {
    println!("cargo:rerun-if-changed=driver.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rustc-link-arg-bins=-T{dir}/driver.ld");
    // image.ld comes with aarch64-rt, which puts its folder on the search path.
    println!("cargo:rustc-link-arg-bins=-Timage.ld");
}
