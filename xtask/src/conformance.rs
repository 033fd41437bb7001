//! Owns `cargo xtask conformance`: builds what an SPMC needs, boots the driver, and judges its lines
//! against what that SPMC is excused from. Never knows what a case does.

mod fake;
mod hafnium;
mod image;
pub(crate) mod kept;
mod verdict;

use crate::boot::{self, Counts, Keeps, Machine};
use crate::cli::{ConformanceArgs, Cpu, SpmcName};
use crate::outcome::{Stop, files};
use crate::setup::{self, Consent, qemu};
use crate::{json, paths, say, tree};
use kept::Head;
use serde_json::Value;
use std::time::Duration;
use verdict::Excuse;
pub(crate) use verdict::{Row, Verdict};

/// What an SPMC is excused from, and the limits by their names.
const OPTEE_EXPECTED: &str = "optee-test/expected.txt";
const HAFNIUM_EXPECTED: &str = "hafnium-test/expected.txt";
const FACTS: &str = "docs/spmc-facts.md";

/// What came of the suite under one SPMC, by the SPMC's name in tables and results.
pub(crate) struct Ran {
    pub(crate) name: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// Runs the suite.
pub(crate) fn conformance(args: &ConformanceArgs, consent: Consent) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        let head = if args.keep { Some(Head::read()?) } else { None };
        let ran = runs(args.spmc, args.cpu, args.timeout, consent, fields)?;
        for one in &ran {
            if ran.len() > 1 {
                say::line(&format!("{}:", one.name));
            }
            table(&one.rows);
        }
        if let Some(file) = &args.junit {
            files::write(file, verdict::junit(&ran))?;
        }
        let versions = fields.clone();
        let cases = ran.iter().flat_map(|one| one.rows.iter().map(|row| row.json(one.name)));
        fields.insert("cases".to_owned(), cases.collect::<Vec<Value>>().into());
        ran.iter().try_for_each(|one| verdict::judge(&one.rows))?;
        let Some(head) = head else { return Ok(()) };
        ran.iter().try_for_each(|one| kept::keep(&kept::folder(), &head, one, &versions))
    })
}

/// Runs the suite under one SPMC, or under each that the fake one plays; `fields` gets what the run was
/// made of.
pub(crate) fn runs(
    spmc: SpmcName,
    cpu: Cpu,
    timeout: u64,
    consent: Consent,
    fields: &mut json::Fields,
) -> Result<Vec<Ran>, Stop> {
    fields.insert("spmc".to_owned(), spmc.name().into());
    match spmc {
        SpmcName::Fake => {
            fields
                .insert("causeway_fake_spmc_version".to_owned(), env!("CARGO_PKG_VERSION").into());
            fake::PLAYED.into_iter().map(|(name, personality)| played(name, personality)).collect()
        }
        SpmcName::El3 | SpmcName::Optee | SpmcName::Hafnium => {
            let rows = booted(spmc, cpu, timeout, consent, fields)?;
            Ok(vec![Ran { name: spmc.name(), rows }])
        }
    }
}

fn played(name: &'static str, personality: fake::Personality) -> Result<Ran, Stop> {
    let lines = fake::lines(personality)?;
    let rows = verdict::rows(&lines, &excuses(name)?).map_err(Stop::failed)?;
    Ok(Ran { name, rows })
}

/// Boots an image with the driver and reads its lines.
fn booted(
    spmc: SpmcName,
    cpu: Cpu,
    timeout: u64,
    consent: Consent,
    fields: &mut json::Fields,
) -> Result<Vec<Row>, Stop> {
    let excuses = excuses(spmc.name())?;
    let made = match spmc {
        SpmcName::Optee => {
            setup::for_optee(consent)?;
            image::optee()?
        }
        SpmcName::Hafnium => {
            let hafnium = hafnium::given()?;
            setup::for_hafnium(consent, hafnium::OLDEST_QEMU)?;
            hafnium::image(&hafnium)?
        }
        SpmcName::El3 | SpmcName::Fake => {
            setup::for_images(consent)?;
            image::el3()?
        }
    };
    let dir = paths::runs().join(paths::stamp(&format!("conformance-{}", spmc.name())));
    let machine = Machine {
        program: qemu::program(),
        flash: made.flash.clone(),
        keeps: Keeps::Nothing,
        cpu: if spmc == SpmcName::Hafnium { hafnium::CPU } else { cpu.name() },
        options: if spmc == SpmcName::Hafnium { hafnium::MACHINE } else { "" },
        smp: 2,
        config: None,
        counts: Counts::Time,
        disk: None,
        typed: None,
        serial: [dir.join("normal.log"), dir.join("secure.log")],
    };
    say::progress(&format!("booting under {} {:?}", spmc.name(), made.versions));
    let logs = boot::boot(&machine, &dir, Duration::from_secs(timeout), &mut |_| ())?;
    fields.insert("qemu".to_owned(), qemu::check()?.into());
    fields.insert("logs".to_owned(), dir.display().to_string().into());
    for (name, version) in made.versions {
        fields.insert(name.to_owned(), version.into());
    }
    verdict::rows(&logs.normal, &excuses)
        .map_err(|why| Stop::failed(format!("{why} (logs: {})", dir.display())))
}

/// What an SPMC is excused from, by its name in tables: TF-A's own from nothing, played or not.
fn excuses(name: &str) -> Result<Vec<Excuse>, Stop> {
    let text = |path: &str| tree::text(&paths::root().join(path));
    let expected = match name {
        "optee" => OPTEE_EXPECTED,
        "hafnium" | "fake-hafnium" => HAFNIUM_EXPECTED,
        _ => return Ok(Vec::new()),
    };
    Excuse::read(&text(expected)?, &text(FACTS)?).map_err(Stop::failed)
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
