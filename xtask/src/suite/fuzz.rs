//! Owns the part of fuzzing: each target is a test, its seeds and a minute of hunting. Never knows
//! what a target asserts.

use super::Context;
use super::tally::Tally;
use crate::fuzz::{self, Hunt};
use crate::outcome::{Exit, Stop};
use crate::{interrupt, pool};
use std::time::Duration;

const EACH: Duration = Duration::from_secs(60);

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let dir = context.dir.join("fuzz");
    let hunt = Hunt { programs: fuzz::ready(&dir)?, dir, limit: EACH };
    let targets = fuzz::targets()?;
    // All at once: what is hunted for is a minute's worth of new input beside the kept corpus, and a
    // minute of the clock each is what the whole part may take.
    let done = pool::work_on(&targets, targets.len(), |target| hunt.target(target));
    interrupt::check()?;
    for (target, outcome) in done {
        let name = format!("fuzz::{target}");
        match outcome {
            Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
            Err(stop) => tally.failed(&name, &stop.reason, Some(&hunt.dir)),
            Ok(found) => match found.trouble {
                None => tally.passed(&name),
                Some(trouble) => tally.failed(&name, &trouble.what, Some(&hunt.dir)),
            },
        }
    }
    Ok(())
}
