//! Owns the wish to end: Ctrl-C, SIGTERM and SIGHUP set one flag. Never ends the process itself, so
//! that whoever started a child also ends it.

use crate::outcome::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Registers the flag. A second Ctrl-C while the first is being handled changes nothing.
pub(crate) fn install() -> Result<(), Stop> {
    let flag = ASKED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(|e| Stop::failed(format!("cannot handle signal {signal}: {e}")))?;
    }
    Ok(())
}

/// Whether somebody asked us to end.
pub(crate) fn asked() -> bool {
    ASKED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// An error if somebody asked us to end.
pub(crate) fn check() -> Result<(), Stop> {
    if asked() { Err(Stop::interrupted()) } else { Ok(()) }
}
