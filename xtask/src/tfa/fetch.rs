//! Owns where TF-A's source comes from: Debian's source package. Never builds it.

use super::{RELEASE, VARIABLE};
use crate::outcome::Stop;
use crate::paths;
use crate::setup::source_package::SourcePackage;
use std::path::PathBuf;

fn package() -> SourcePackage {
    SourcePackage {
        what: "TF-A",
        package: "arm-trusted-firmware",
        suites: &["trixie"],
        base: paths::tfa(),
        mend: format!(
            "check the network (or the proxy in /etc/apt/apt.conf.d), and try again; or\n\
             set {VARIABLE} to a tree of TF-A {RELEASE} (for example a git clone of its tag \
             v{RELEASE})"
        ),
        check: |tree| super::version_of(tree).map(|_| ()),
    }
}

/// The tree that an earlier run unpacked.
pub(super) fn unpacked() -> Option<PathBuf> {
    package().unpacked()
}

/// The tree, fetched if it is not there yet.
pub(super) fn source() -> Result<PathBuf, Stop> {
    package().tree()
}
