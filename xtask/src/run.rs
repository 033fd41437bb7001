//! Owns `cargo xtask run`: from the options to the verdict, the table and the JSON file. Never
//! judges itself: `verdict` does.

pub(crate) mod demo;
pub(crate) mod result;

use crate::boot::config::Config;
use crate::boot::{self, Counts, Keeps, Machine};
use crate::cli::{Cpu, RunArgs};
use crate::disk::{BUILT_IN_BYTES, Disk};
use crate::flash_file::{self, Tells};
use crate::image::{self, Variant};
use crate::lines::{Line, Source};
use crate::outcome::{Stop, files};
use crate::report::Page;
use crate::setup::{self, Consent, qemu};
use crate::tfa;
use crate::trace::Trace;
use crate::verdict::{self, Broken, Figures, Report, Transfer};
use crate::{json, paths, say, space};
use causeway_guests::cmdline::CommandLine;
use causeway_guests::jobs::{FIGURES, Flash, Job, TRANSFER};
pub(crate) use demo::Results;
use result::RunResult;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SHOWN_LINES: u32 = 200;
/// What TF-A, QEMU, the images and this tool come to in an empty target/.
const NEEDED_MB: u64 = 900;

/// Runs the demo; the JSON file is written whatever happens.
pub(crate) fn run(args: &RunArgs, consent: Consent) -> Result<(), Stop> {
    let mut result = RunResult::default();
    if let Some(file) = &args.json {
        if args.disk.as_deref().is_some_and(|disk| paths::is_same_file(disk, file)) {
            return Err(Stop::usage("--json and --disk name the same file")
                .mend("name another file; the disk image is never written"));
        }
        // Written at once: a run that is killed leaves a file that says so, and a file that cannot
        // be written is told before the work.
        result
            .write(file, Some("the run was ended before it could report"))
            .map_err(|stop| Stop::usage(format!("--json: {}", stop.reason)))?;
        json::note(file, json::Shape::Run);
    }
    let outcome = attempt(args, consent, &mut result);
    let outcome = match (outcome, &args.json) {
        (outcome, None) => outcome,
        (outcome, Some(file)) => {
            let reason = outcome.as_ref().err().map(|stop| stop.reason.as_str());
            let written = result.write(file, reason);
            outcome.and(written)
        }
    };
    if outcome.is_ok() {
        say::line(&result.table());
    }
    outcome
}

fn attempt(args: &RunArgs, consent: Consent, result: &mut RunResult) -> Result<(), Stop> {
    let job = check_options(args)?;
    result.tell_job(job);
    let disk = args.disk.as_deref().map(Disk::open).transpose()?;
    result.tell_disk(disk.as_ref());
    space::check(NEEDED_MB)?;
    setup::for_images(consent)?;
    image::make(&[Variant::of(job)])?;
    let disk = match disk {
        None if job.needs_disk => Some(Disk::built_in(BUILT_IN_BYTES)?),
        disk => disk,
    };
    result.tell_disk(disk.as_ref());
    let dir = paths::runs().join(paths::stamp("run"));
    result.tell_machine(args.cpu, args.smp, &dir);
    say::progress(&format!(
        "booting {} cores of {} for {}; logs in {}",
        args.smp,
        args.cpu.name(),
        job.name,
        dir.display()
    ));
    let plan = Plan {
        job,
        variant: Variant::of(job),
        cpu: args.cpu,
        smp: args.smp,
        limit: Duration::from_secs(args.timeout),
        disk: disk.as_ref(),
        traced: args.trace.is_some() || args.report.is_some(),
        audited: args.report.is_some(),
    };
    let mut shown = 0;
    let mut ran = plan.boot(&dir, &mut |line| show(line, &mut shown))?;
    if let Some(file) = &args.trace {
        say::progress(&format!("{} calls are in {}", ran.trace.records.len(), file.display()));
        ran.trace.write(file, job.name)?;
    }
    result.tell_transfer(&ran.transfer, ran.wall);
    result.tell_results(std::mem::take(&mut ran.results));
    if job.name == TRANSFER.name && ran.broken.is_empty() {
        let counted = count(&dir.join("figures"), plan.limit)?;
        ran.broken = counted.broken;
        counted.figures.into_iter().for_each(|figures| result.tell_figures(figures));
    }
    if let Some(file) = &args.report {
        write_report(file, args, job, &ran, result)?;
        say::progress(&format!("the report is in {}", file.display()));
    }
    match ran.broken.first() {
        None => Ok(()),
        Some(first) => {
            say::line(&result.table());
            for broken in &ran.broken {
                say::note(&format!("  not as it must be: {}", say::printable(&broken.to_string())));
            }
            let mend = format!("the logs are in {}; see docs/troubleshooting.md", dir.display());
            Err(Stop::failed(say::printable(&first.to_string())).mend(mend))
        }
    }
}

fn write_report(
    file: &Path,
    args: &RunArgs,
    job: &Job,
    ran: &Ran,
    result: &RunResult,
) -> Result<(), Stop> {
    let facts = [
        ("machine", format!("QEMU virt, {} cores of {}", args.smp, args.cpu.name())),
        ("emulator", qemu::check()?),
        ("firmware", format!("TF-A {}, its EL3 SPMC", tfa::ready(tfa::Spmc::AtEl3)?.version)),
        ("Causeway", env!("CARGO_PKG_VERSION").to_owned()),
        ("made", humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()),
        ("calls traced", ran.trace.records.len().to_string()),
    ];
    let broken: Vec<String> = ran.broken.iter().map(ToString::to_string).collect();
    let page = Page {
        job: (job.name, job.shows),
        broken: &broken,
        facts: &facts,
        table: &result.table(),
        trace: &ran.trace,
        ledger: &ran.ledger,
    };
    page.write(file)
}

/// The second boot: what a transfer of the built-in image takes.
fn count(dir: &Path, limit: Duration) -> Result<Ran, Stop> {
    say::progress("booting again to count doorbells and instructions (built-in image, one core)");
    let disk = Disk::built_in(BUILT_IN_BYTES)?;
    let plan = Plan {
        job: &FIGURES,
        variant: Variant::Honest,
        cpu: Cpu::Max,
        smp: 1,
        limit,
        disk: Some(&disk),
        traced: false,
        audited: false,
    };
    plan.boot(dir, &mut |_| ())
}

fn check_options(args: &RunArgs) -> Result<&'static Job, Stop> {
    let job = demo::job(&args.demo)?;
    let written = [("--trace", &args.trace), ("--report", &args.report)];
    let others = [("--disk", &args.disk), ("--json", &args.json)];
    for (at, (option, file)) in written.iter().enumerate() {
        let Some(file) = file else { continue };
        let same = |other: &&PathBuf| **other == *file || paths::is_same_file(other, file);
        let earlier = written.iter().take(at).chain(&others);
        let taken = |(_, other): &&(&str, &Option<PathBuf>)| {
            other.as_ref().is_some_and(|other| same(&other))
        };
        if let Some((name, _)) = earlier.into_iter().find(taken) {
            return Err(Stop::usage(format!("{option} and {name} name the same file"))
                .mend("name another file"));
        }
        // A file that cannot be written is told before the work.
        files::write(file, "").map_err(|stop| Stop::usage(format!("{option}: {}", stop.reason)))?;
    }
    if args.disk.is_some() && !job.needs_disk {
        let why = format!("--disk: the demo {} uses no disk image", args.demo);
        return Err(Stop::usage(why).mend("leave it out"));
    }
    if args.smp < u32::from(job.min_cores) {
        let why = format!("--smp {}: the demo {} needs {}", args.smp, args.demo, job.min_cores);
        return Err(Stop::usage(why).mend(format!("say --smp {} or more", job.min_cores)));
    }
    Ok(job)
}

/// Shows what the monitor and the VMs say while it is said; what the table tells is left out.
fn show(text: &str, shown: &mut u32) {
    let line = Line::normal(text);
    let talk = match line.source {
        Source::Vm(_) | Source::Monitor => {
            line.fields("RESULT").is_none() && line.fields("TRACE").is_none()
        }
        Source::Partition | Source::Firmware => false,
    };
    if talk && *shown <= SHOWN_LINES {
        *shown += 1;
        say::progress(if *shown > SHOWN_LINES { "(more lines are in the log)" } else { text });
    }
}

/// The QEMU line that boots the images of a job as they stand, with the built-in disk image.
pub(crate) fn line_for_images(job: &Job) -> Result<String, Stop> {
    let variant = Variant::of(job);
    let dir = variant.dir();
    let disk = Disk::built_in(BUILT_IN_BYTES)?;
    let cores = 4;
    let machine = Machine {
        program: qemu::program(),
        flash: variant.flash(),
        keeps: Keeps::Nothing,
        cpu: Cpu::Max.name(),
        options: "",
        smp: cores,
        config: Some(dir.join("boot.txt")),
        counts: Counts::Time,
        disk: Some(disk.path),
        serial: [dir.join("normal.log"), dir.join("secure.log")],
        typed: None,
    };
    let text = Config::of(job, cores, disk.bytes).text().map_err(Stop::failed)?;
    files::write(&dir.join("boot.txt"), text)?;
    Ok(machine.command_line())
}

/// Looks at a disk, whether its file has changed, and what was reported of its move.
type Judge = fn(&Disk, bool, &Transfer) -> Vec<Broken>;

/// One boot of one job.
pub(crate) struct Plan<'a> {
    /// The job.
    pub(crate) job: &'a Job,
    /// Which images.
    pub(crate) variant: Variant,
    /// Which CPU.
    pub(crate) cpu: Cpu,
    /// How many cores.
    pub(crate) smp: u32,
    /// QEMU's time.
    pub(crate) limit: Duration,
    /// The disk, where the job needs one.
    pub(crate) disk: Option<&'a Disk>,
    /// Whether each call is printed.
    pub(crate) traced: bool,
    /// Whether VM 1 prints the ledger at its end.
    pub(crate) audited: bool,
}

/// What came of it.
pub(crate) struct Ran {
    /// Every broken condition.
    pub(crate) broken: Vec<Broken>,
    /// The numbers.
    pub(crate) transfer: Transfer,
    /// What the job `figures` counted.
    pub(crate) figures: Option<Figures>,
    /// All that the RESULT lines say.
    pub(crate) results: Results,
    /// Each call, if it was traced.
    pub(crate) trace: Trace,
    /// The dump of the ledger, if VM 1 printed it.
    pub(crate) ledger: Vec<u8>,
    /// QEMU's run time.
    pub(crate) wall: Duration,
}

impl Plan<'_> {
    /// Boots as often as the job says, on one flash, and judges each time. The last boot's figures count.
    pub(crate) fn boot(&self, dir: &Path, on_line: &mut dyn FnMut(&str)) -> Result<Ran, Stop> {
        files::make_dir(dir)?;
        let (keeps, boots) = match self.job.flash {
            Flash::Image => {
                return self.boot_once(dir, &self.variant.flash(), Keeps::Nothing, on_line);
            }
            Flash::BootedTwice => (Keeps::All, 2),
            Flash::MayReset => (Keeps::AllAcrossResets, 1),
        };
        let flash = dir.join("flash.bin");
        flash_file::make(&self.variant.flash(), &flash, Tells::No)?;
        let mut broken = Vec::new();
        for boot in 1..boots {
            let dir = dir.join(format!("boot-{boot}"));
            broken.extend(self.boot_once(&dir, &flash, keeps, on_line)?.broken);
        }
        let mut last = self.boot_once(dir, &flash, keeps, on_line)?;
        broken.append(&mut last.broken);
        flash_file::remove(&flash)?;
        Ok(Ran { broken, ..last })
    }

    /// Writes the boot configuration, boots, judges.
    fn boot_once(
        &self,
        dir: &Path,
        flash: &Path,
        keeps: Keeps,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Ran, Stop> {
        files::make_dir(dir)?;
        let disk_bytes = self.disk.map_or(0, |disk| disk.bytes);
        let mut config = Config::of(self.job, self.smp, disk_bytes);
        config.traced = self.traced;
        if self.audited {
            config.command_lines[0].push_str(" ledger=1");
        }
        let machine = Machine {
            program: qemu::program(),
            flash: flash.to_path_buf(),
            keeps,
            cpu: self.cpu.name(),
            options: "",
            smp: self.smp,
            config: Some(dir.join("boot.txt")),
            counts: self.counts(),
            disk: self.disk.map(|disk| disk.path.clone()),
            serial: [dir.join("normal.log"), dir.join("secure.log")],
            typed: self.job.typed,
        };
        files::write(&dir.join("boot.txt"), config.text().map_err(Stop::failed)?)?;
        let logs = boot::boot(&machine, dir, self.limit, on_line)?;
        let transfer = Transfer::of(&logs);
        let report = Report::of(&logs);
        if self.job.prints_ledger {
            // For `cargo xtask ledger verify ledger.bin --head DIGEST` by hand.
            files::write(&dir.join("ledger.bin"), &report.ledger.dump)?;
            let head = report.ledger.head.as_deref().unwrap_or_default();
            files::write(&dir.join("ledger.head"), format!("{head}\n"))?;
        }
        let mut broken = verdict::of_job(self.job, &report);
        if let (Some(disk), Some(judge)) = (self.disk, self.judge()) {
            broken.extend(judge(disk, disk.has_changed(), &transfer));
        }
        let mut figures = None;
        if let (Some(disk), true) = (self.disk, self.job.name == FIGURES.name) {
            figures = Figures::of(&logs);
            match &figures {
                Some(figures) => broken.extend(figures.judge(disk)),
                None => broken.push(Broken::Unsaid("a figure")),
            }
        }
        let (results, trace) = (demo::results(&logs), Trace::of(&logs.normal));
        let ledger = report.ledger.dump;
        Ok(Ran { broken, transfer, figures, results, trace, ledger, wall: logs.wall })
    }

    fn counts(&self) -> Counts {
        if self.job.counts_instructions { Counts::Instructions } else { Counts::Time }
    }

    /// Who judges how a whole disk image was moved, by the program of VM 1; other jobs say for
    /// themselves what they do with a disk.
    fn judge(&self) -> Option<Judge> {
        match CommandLine::new(self.job.command_lines[0]).job() {
            _ if self.job.name == FIGURES.name => None,
            "transfer" => Some(verdict::of_transfer),
            "net" => Some(verdict::of_download),
            _ => None,
        }
    }
}
