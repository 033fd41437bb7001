//! Owns `cargo xtask conformance`: builds what an SPMC needs, boots the driver, and judges its lines
//! against what that SPMC is excused from. Never knows what a case does.

mod image;
mod verdict;

use crate::boot::{self, Counts, Keeps, Machine};
use crate::cli::{ConformanceArgs, Cpu, SpmcName};
use crate::outcome::{Stop, files};
use crate::setup::{self, Consent, qemu};
use crate::{json, paths, say};
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
            files::write(file, verdict::junit("optee", &rows))?;
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
    match spmc {
        SpmcName::Optee => optee(cpu, timeout, consent, fields),
    }
}

fn optee(
    cpu: Cpu,
    timeout: u64,
    consent: Consent,
    fields: &mut json::Fields,
) -> Result<Vec<Row>, Stop> {
    setup::for_optee(consent)?;
    let root = paths::root();
    let text = |path: &str| {
        files::read(&root.join(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let excuses = Excuse::read(&text(OPTEE_EXPECTED)?, &text(FACTS)?).map_err(Stop::failed)?;
    let made = image::optee()?;
    let dir = paths::runs().join(paths::stamp("conformance-optee"));
    let serial = [dir.join("normal.log"), dir.join("secure.log")];
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
        serial,
    };
    say::progress(&format!("booting OP-TEE {} under TF-A {}", made.optee, made.tfa));
    let logs = boot::boot(&machine, &dir, Duration::from_secs(timeout), &mut |_| ())?;
    for (name, value) in [
        ("spmc", "optee".to_owned()),
        ("optee_version", made.optee),
        ("tfa_version", made.tfa),
        ("qemu", qemu::check()?),
        ("logs", dir.display().to_string()),
    ] {
        fields.insert(name.to_owned(), value.into());
    }
    verdict::rows(&logs.normal, &excuses)
        .map_err(|why| Stop::failed(format!("{why} (logs: {})", dir.display())))
}

fn table(rows: &[Row]) {
    for row in rows {
        let line = format!("{:<9} {:<48} {}", row.verdict.word(), row.name, row.detail());
        say::line(line.trim_end());
    }
    let count =
        |wanted: fn(&Verdict) -> bool| rows.iter().filter(|row| wanted(&row.verdict)).count();
    say::line(&format!(
        "{} cases: {} passed, {} excused by a named limit, {} failed",
        rows.len(),
        count(|verdict| matches!(verdict, Verdict::Passed)),
        count(|verdict| matches!(verdict, Verdict::Excused(_))),
        count(|verdict| matches!(verdict, Verdict::Failed | Verdict::Unexpected(_))),
    ));
}
