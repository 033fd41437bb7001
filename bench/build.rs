//! Hands each of the two bare-metal programs its linker script; does nothing for the host.

fn main() {
    println!("cargo:rerun-if-changed=bench.ld");
    println!("cargo:rerun-if-changed=empty.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rustc-link-arg-bin=causeway-bench=-T{dir}/bench.ld");
    // image.ld comes with aarch64-rt, which puts its folder on the search path.
    println!("cargo:rustc-link-arg-bin=causeway-bench=-Timage.ld");
    println!("cargo:rustc-link-arg-bin=causeway-empty=-T{dir}/empty.ld");
}
