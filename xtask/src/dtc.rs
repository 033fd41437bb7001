//! Owns the device-tree compiler: source text to blob. Never writes a manifest.

use crate::outcome::{Stop, files};
use crate::paths;
use crate::process::Step;
use std::path::PathBuf;
use std::time::Duration;

/// What dtc makes of a text; `what` names it to a person.
pub(crate) fn compile(what: &str, text: &str) -> Result<Vec<u8>, Stop> {
    let dir = paths::target().join("dtc");
    files::make_dir(&dir)?;
    let at = |name: &str| -> PathBuf { dir.join(format!("{}-{name}", std::process::id())) };
    let (source, made, log) = (at("source.dts"), at("made.dtb"), at("dtc.log"));
    files::write(&source, text)?;
    Step::new(&format!("dtc of {what}"), "dtc", &log)
        .args(["-q", "-I", "dts", "-O", "dtb", "-o"])
        .args([&made, &source])
        .limit(Duration::from_secs(30))
        .run()?;
    let blob = files::read(&made);
    for file in [source, made, log] {
        // Leftovers in target/ harm nobody.
        drop(std::fs::remove_file(file));
    }
    blob
}
