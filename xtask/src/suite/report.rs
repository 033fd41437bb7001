//! Owns the tests of `run --report` and `run --trace`: a real run writes them, a real browser opens the page.
//! Never judges the run itself.

use super::tally::Tally;
use super::{Context, log_name};
use crate::outcome::{Exit, Stop, files};
use crate::process::Step;
use crate::setup::Consent;
use crate::setup::packages::{self, Need};
use crate::{interrupt, tree};
use std::path::{Path, PathBuf};
use std::time::Duration;

const RUN: Duration = Duration::from_secs(300);
const BROWSER: Duration = Duration::from_secs(120);

pub(super) fn run(context: &Context<'_>, consent: Consent, tally: &mut Tally) -> Result<(), Stop> {
    let bench = Bench { context, page: context.dir.join("report.html") };
    let made = bench.make();
    let trace = made.clone().and_then(|()| bench.decode());
    note(tally, "a_run_writes_the_page_and_the_trace", made.clone(), &bench.log("run"));
    note(tally, "the_trace_is_decoded_and_refusals_name_their_rule", trace, &bench.log("decode"));
    interrupt::check()?;
    let there = made.and_then(|()| packages::ensure(&[Need::Browser], consent));
    type Test = (&'static str, fn(&Bench<'_>) -> Result<(), Stop>);
    let tests: [Test; 4] = [
        ("a_browser_opens_the_page_and_runs_its_script", |bench| bench.opens()),
        ("the_ledger_shows_what_is_looked_for_and_hides_the_rest", |bench| bench.filters()),
        ("the_page_fits_a_phone", |bench| bench.fits()),
        ("the_page_prints", |bench| bench.prints()),
    ];
    for (name, test) in tests {
        match &there {
            Ok(()) => note(tally, name, test(&bench), &bench.log("browser")),
            Err(stop) if stop.exit == Exit::Interrupted => return Err(stop.clone()),
            Err(stop) => tally.skipped(&format!("report::{name}"), &stop.reason),
        }
        interrupt::check()?;
    }
    Ok(())
}

fn note(tally: &mut Tally, name: &str, outcome: Result<(), Stop>, log: &Path) {
    let name = format!("report::{name}");
    match outcome {
        Ok(()) => tally.passed(&name),
        Err(stop) => tally.failed(&name, &stop.reason, Some(log)),
    }
}

struct Bench<'a> {
    context: &'a Context<'a>,
    page: PathBuf,
}

impl Bench<'_> {
    fn log(&self, what: &str) -> PathBuf {
        log_name(self.context.dir, &format!("report {what}"))
    }

    fn trace(&self) -> PathBuf {
        self.page.with_extension("jsonl")
    }

    fn make(&self) -> Result<(), Stop> {
        Step::new("cargo xtask run --report", self.context.program, &self.log("run"))
            .args(["run", "--report"])
            .args([&self.page])
            .args(["--trace"])
            .args([self.trace()])
            .limit(RUN)
            .run()?;
        let html = tree::text(&self.page)?;
        expect(html.contains("id=\"lives\""), "the page shows no life of a grant")?;
        expect(html.contains("data-who=\"VM 2\""), "the ledger has no record of VM 2")?;
        expect(html.contains("OFFER"), "the page counts no call")
    }

    fn decode(&self) -> Result<(), Stop> {
        let out = self.context.dir.join("decoded.txt");
        Step::new("cargo xtask decode", self.context.program, &self.log("decode"))
            .args(["decode"])
            .args([self.trace()])
            .stdout_to(&out)
            .limit(RUN)
            .run()?;
        let text = tree::text(&out)?;
        for name in
            ["FFA_MEM_SHARE", "OFFER handle=", "ACCEPT handle=", "FFA_MEM_RECLAIM", "HYP_UNMAPPED"]
        {
            expect(text.contains(name), &format!("no line tells of {name}"))?;
        }
        expect(text.contains("[refused: "), "no refusal names its rule")
    }

    /// What the browser does with the page; its output is in a file.
    fn browse(&self, fragment: &str, options: &[&str], out: &str) -> Result<PathBuf, Stop> {
        let out = self.context.dir.join(out);
        let profile = self.context.dir.join("browser");
        files::make_dir(&profile)?;
        Step::new("chromium", "chromium", &self.log("browser"))
            // The page is our own, and root has no sandbox.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--hide-scrollbars",
            ])
            .args([format!("--user-data-dir={}", profile.display())])
            .args(options)
            .args([format!("file://{}{fragment}", self.page.display())])
            .env("HOME", profile.as_os_str())
            .stdout_to(&out)
            .limit(BROWSER)
            .run()?;
        Ok(out)
    }

    fn dom(&self, fragment: &str, size: &str) -> Result<String, Stop> {
        let size = format!("--window-size={size}");
        tree::text(&self.browse(fragment, &["--dump-dom", &size], "dom.html")?)
    }

    fn opens(&self) -> Result<(), Stop> {
        let dom = self.dom("", "1200,900")?;
        expect(dom.contains("data-ready=\"yes\""), "the script did not run to its end")?;
        expect(dom.contains(">PASS</span>"), "the page does not show the verdict")
    }

    fn filters(&self) -> Result<(), Stop> {
        let whole = Rows::of(&self.dom("", "1200,900")?);
        let some = Rows::of(&self.dom("#grant%20is%20offered", "1200,900")?);
        let none = Rows::of(&self.dom("#no-record-has-this", "1200,900")?);
        let no_code = Rows::of(&self.dom("#100%", "1200,900")?);
        let told = format!("{whole:?} {some:?} {none:?} {no_code:?}");
        let all_there = whole.hidden == 0 && whole.all > 5;
        let same = [&some, &none, &no_code].iter().all(|rows| rows.all == whole.all);
        let right = some.shown() > 0 && some.hidden > 0;
        expect(all_there && same && right && none.shown() + no_code.shown() == 0, &told)
    }

    fn fits(&self) -> Result<(), Stop> {
        let dom = self.dom("", "390,844")?;
        expect(dom.contains("data-fits=\"yes\""), "the page is wider than a phone")
    }

    fn prints(&self) -> Result<(), Stop> {
        let pdf = self.context.dir.join("report.pdf");
        let option = format!("--print-to-pdf={}", pdf.display());
        self.browse("", &[&option], "print.out")?;
        let bytes = files::read(&pdf)?;
        expect(bytes.starts_with(b"%PDF") && bytes.len() > 10_000, "there is no printed page")
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::failed(otherwise)) }
}

/// The ledger's rows in a page as the browser has it.
#[derive(Debug)]
struct Rows {
    all: usize,
    hidden: usize,
}

impl Rows {
    fn of(dom: &str) -> Self {
        let rows = dom.split("<tr").skip(1).filter_map(|rest| rest.split('>').next());
        let of_ledger: Vec<&str> = rows.filter(|head| head.contains("data-who=")).collect();
        let hidden = of_ledger.iter().filter(|head| head.contains("hidden")).count();
        Self { all: of_ledger.len(), hidden }
    }

    fn shown(&self) -> usize {
        self.all.saturating_sub(self.hidden)
    }
}
