//! Owns the answer to `--spmc hafnium` as long as nothing boots Hafnium. Never says that anything passed.

use crate::outcome::Stop;

/// Where an integrator has Hafnium's image.
const VARIABLE: &str = "HAFNIUM_BIN";

/// Why nothing ran: no Hafnium, or one that nothing here can boot yet.
pub(super) fn not_run() -> Stop {
    let Some(given) = std::env::var_os(VARIABLE).filter(|given| !given.is_empty()) else {
        return Stop::skipped(format!(
            "{VARIABLE} is not set, and nothing of Hafnium is in this repository; nothing ran"
        ));
    };
    Stop::missing(format!(
        "{VARIABLE}={} is not booted yet: the partition's package for Hafnium and a TF-A build with \
         SPMD_SPM_AT_SEL2=1 are not made; what is there are the generated manifests in \
         manifests/hafnium/ (partition.dts, spmc.dts, sp_layout.json)",
        given.to_string_lossy()
    ))
    .mend("hafnium-test/README.md says what is missing; `--spmc fake` runs the played Hafnium")
}
