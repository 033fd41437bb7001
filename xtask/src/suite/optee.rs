//! Owns the category `optee`: each case of the conformance suite under OP-TEE is a test. What OP-TEE is
//! excused from counts as skipped, with the name of the limit.

use super::Context;
use super::tally::Tally;
use crate::cli::{Cpu, SpmcName};
use crate::conformance::{self, Verdict};
use crate::json::Fields;
use crate::outcome::{Exit, Stop};
use crate::setup::Consent;

/// Seconds that QEMU may take.
const LIMIT: u64 = 120;

pub(super) fn run(context: &Context<'_>, consent: Consent, tally: &mut Tally) -> Result<(), Stop> {
    let rows = conformance::rows(SpmcName::Optee, Cpu::Max, LIMIT, consent, &mut Fields::new());
    let rows = match rows {
        Ok(rows) => rows,
        Err(stop) if matches!(stop.exit, Exit::Missing | Exit::Interrupted) => return Err(stop),
        Err(stop) => {
            tally.failed("conformance::optee", &stop.reason, Some(context.dir));
            return Ok(());
        }
    };
    for row in &rows {
        let name = format!("conformance::optee::{}", row.name);
        match &row.verdict {
            Verdict::Passed => tally.passed(&name),
            Verdict::Excused(limit) => tally.skipped(&name, &format!("excused by {limit}")),
            Verdict::Failed | Verdict::Unexpected(_) => tally.failed(&name, &row.detail(), None),
        }
    }
    crate::interrupt::check()
}
