//! Owns what must be on the machine: the compiler's targets, Debian packages, a QEMU that is new
//! enough. Never changes the machine without listing the change first.

pub(crate) mod apt_sources;
pub(crate) mod cargo_tools;
pub(crate) mod packages;
mod private_qemu;
pub(crate) mod qemu;
pub(crate) mod rust;
pub(crate) mod source_package;

use crate::outcome::Stop;
use crate::say;
use packages::Need;

/// Whether the user is asked before packages are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes` was given.
    Given,
    /// Ask on a terminal; without one, being root or having password-less sudo is enough.
    Ask,
}

/// Makes everything ready that building and booting the images needs.
pub(crate) fn for_images(consent: Consent) -> Result<(), Stop> {
    if qemu::is_there() {
        // Told before anything is installed: no package mends a QEMU that stands before Debian's.
        qemu::check()?;
    }
    packages::ensure(&Need::for_images(), consent)?;
    qemu::check()?;
    rust::target(rust::BARE_METAL)
}

/// Makes everything ready that building OP-TEE and booting under it needs.
pub(crate) fn for_optee(consent: Consent) -> Result<(), Stop> {
    for_images(consent)?;
    packages::ensure(&Need::for_optee(), consent)
}

/// Makes everything ready that booting under Hafnium needs.
pub(crate) fn for_hafnium(consent: Consent, oldest: (u32, u32)) -> Result<(), Stop> {
    for_images(consent)?;
    qemu::check_for(oldest)?;
    packages::ensure(&Need::for_hafnium(), consent)
}

/// Makes everything ready that building our own programs needs.
pub(crate) fn for_programs(consent: Consent) -> Result<(), Stop> {
    packages::ensure(&[Need::DeviceTreeCompiler], consent)?;
    rust::target(rust::BARE_METAL)
}

/// `cargo xtask doctor`: looks at everything, mends what it may, tells the rest.
pub(crate) fn doctor(consent: Consent) -> Result<(), Stop> {
    for need in Need::ALL {
        let state = if need.is_there() { "ok" } else { "MISSING" };
        say::line(&format!("{state:<8} {} ({})", need.what(), need.package()));
    }
    for_images(consent)?;
    say::line(&format!("ok       {}", qemu::check()?));
    say::line(&format!("ok       Rust target {}", rust::BARE_METAL));
    match rust::miri() {
        Ok(version) => say::line(&format!("ok       {version}")),
        Err(stop) => say::line(&format!("SKIPPED  Miri ({})", stop.reason)),
    }
    let tree = crate::tfa::ready(crate::tfa::Spmc::AtEl3)?;
    say::line(&format!("ok       TF-A {} in {}", tree.version, tree.build.display()));
    Ok(())
}
