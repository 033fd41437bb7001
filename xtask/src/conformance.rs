//! Owns `cargo xtask conformance`: builds what an SPMC needs, boots the driver, and judges its lines
//! against what that SPMC is excused from. Never knows what a case does.

mod image;
mod verdict;

use crate::boot::{self, Counts, Keeps, Machine};
use crate::cli::{ConformanceArgs, Cpu, SpmcName};
use crate::outcome::{Stop, files};
use crate::setup::{self, Consent, qemu};
use crate::{json, paths, say, tree};
use std::time::Duration;
use verdict::Excuse;
pub(crate) use verdict::{Row, Verdict};

/// What OP-TEE is excused from, and the limits by their names.
const OPTEE_EXPECTED: &str = "optee-test/expected.txt";
const FACTS: &str = "docs/spmc-facts.md";

/// Runs the suite.
pub(crate) fn conformance(args: &ConformanceArgs, consent: Consent) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        let rows = rows(args.spmc, args.cpu, args.timeout, consent, fields)?;
        table(&rows);
        if let Some(file) = &args.junit {
            files::write(file, verdict::junit(args.spmc.name(), &rows))?;
        }
        fields.insert("cases".to_owned(), rows.iter().map(Row::json).collect());
        verdict::judge(&rows)
    })
}

/// Runs the suite under one SPMC; `fields` gets what the run was made of.
pub(crate) fn rows(
    spmc: SpmcName,
    cpu: Cpu,
    timeout: u64,
    consent: Consent,
    fields: &mut json::Fields,
) -> Result<Vec<Row>, Stop> {
    let excuses = excuses(spmc)?;
    let made = match spmc {
        SpmcName::Optee => {
            setup::for_optee(consent)?;
            image::optee()?
        }
        SpmcName::El3 => {
            setup::for_images(consent)?;
            image::el3()?
        }
    };
    let dir = paths::runs().join(paths::stamp(&format!("conformance-{}", spmc.name())));
    let machine = Machine {
        program: qemu::program(),
        flash: made.flash.clone(),
        keeps: Keeps::Nothing,
        cpu: cpu.name(),
        smp: 2,
        config: None,
        counts: Counts::Time,
        disk: None,
        typed: None,
        serial: [dir.join("normal.log"), dir.join("secure.log")],
    };
    say::progress(&format!("booting under {} {:?}", spmc.name(), made.versions));
    let logs = boot::boot(&machine, &dir, Duration::from_secs(timeout), &mut |_| ())?;
    fields.insert("spmc".to_owned(), spmc.name().into());
    fields.insert("qemu".to_owned(), qemu::check()?.into());
    fields.insert("logs".to_owned(), dir.display().to_string().into());
    for (name, version) in made.versions {
        fields.insert(name.to_owned(), version.into());
    }
    verdict::rows(&logs.normal, &excuses)
        .map_err(|why| Stop::failed(format!("{why} (logs: {})", dir.display())))
}

/// What an SPMC is excused from: TF-A's own from nothing.
fn excuses(spmc: SpmcName) -> Result<Vec<Excuse>, Stop> {
    let text = |path: &str| tree::text(&paths::root().join(path));
    match spmc {
        SpmcName::El3 => Ok(Vec::new()),
        SpmcName::Optee => {
            Excuse::read(&text(OPTEE_EXPECTED)?, &text(FACTS)?).map_err(Stop::failed)
        }
    }
}

fn table(rows: &[Row]) {
    for row in rows {
        let line = format!("{:<9} {:<48} {}", row.verdict.word(), row.name, row.detail());
        say::line(line.trim_end());
    }
    let count =
        |wanted: fn(&Verdict) -> bool| rows.iter().filter(|row| wanted(&row.verdict)).count();
    say::line(&format!(
        "{} cases: {} passed, {} excused by a named limit, {} not applicable, {} failed",
        rows.len(),
        count(|verdict| matches!(verdict, Verdict::Passed)),
        count(|verdict| matches!(verdict, Verdict::Excused(_))),
        count(|verdict| matches!(verdict, Verdict::NotApplicable)),
        count(|verdict| matches!(verdict, Verdict::Failed | Verdict::Unexpected(_))),
    ));
}
