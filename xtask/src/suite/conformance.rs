//! Owns the category `conformance`: each case of the suite under each SPMC that can be had is a test. What
//! an SPMC is excused from counts as skipped, with the name of the limit.

use super::Context;
use super::tally::Tally;
use crate::cli::{Cpu, SpmcName};
use crate::conformance::{self, Verdict};
use crate::json::Fields;
use crate::outcome::{Exit, Stop};
use crate::setup::Consent;

/// Seconds that QEMU may take.
const LIMIT: u64 = 120;

/// What needs least is first: the fake SPMC, TF-A's own. What is missing for OP-TEE takes nothing from them.
pub(super) fn run(context: &Context<'_>, consent: Consent, tally: &mut Tally) -> Result<(), Stop> {
    for spmc in [SpmcName::Fake, SpmcName::El3, SpmcName::Optee] {
        let of_suite = format!("conformance::{}", spmc.name());
        match conformance::runs(spmc, Cpu::Max, LIMIT, consent, &mut Fields::new()) {
            Ok(ran) => ran.iter().for_each(|one| count(one, tally)),
            Err(stop) if matches!(stop.exit, Exit::Missing | Exit::Interrupted) => {
                return Err(stop);
            }
            Err(stop) => tally.failed(&of_suite, &stop.reason, Some(context.dir)),
        }
        crate::interrupt::check()?;
    }
    Ok(())
}

fn count(ran: &conformance::Ran, tally: &mut Tally) {
    for row in &ran.rows {
        let name = format!("conformance::{}::{}", ran.name, row.name);
        match &row.verdict {
            Verdict::Passed => tally.passed(&name),
            Verdict::NotApplicable => tally.skipped(&name, "not applicable"),
            Verdict::Excused(limit) => tally.skipped(&name, &format!("excused by {limit}")),
            Verdict::Failed | Verdict::Unexpected(_) => tally.failed(&name, &row.detail(), None),
        }
    }
}
