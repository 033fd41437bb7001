//! Owns `cargo xtask test`: which parts run, in which order, and the closing line. Never decides
//! what a single test finds.

mod conformance;
mod cost;
mod explore;
mod flash;
mod fuzz;
mod host;
mod libtest;
mod miri;
mod package;
mod qemu;
mod regressions;
mod report;
mod room;
mod run_command;
mod tally;

use crate::cli::{Category, TestArgs};
use crate::image::{self, Variant};
use crate::outcome::{Exit, Stop, files};
use crate::setup::{self, Consent};
use crate::{paths, say};
pub(crate) use package::PACKED;
pub(crate) use room::folders;

use regressions::Scope;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tally::Tally;

/// What a category needs to know.
struct Context<'a> {
    /// Logs go here.
    dir: &'a Path,
    /// This tool's own program.
    program: &'a Path,
    /// Only QEMU tests whose name contains this.
    filter: Option<&'a str>,
}

/// Runs the tests. The closing line is on stdout when this returns.
pub(crate) fn test(args: &TestArgs, consent: Consent) -> Exit {
    let mut tally = Tally::default();
    let exit = match run(args, consent, &mut tally) {
        Ok(()) => tally.exit(),
        Err(stop) => {
            say::stop(&stop);
            stop.exit
        }
    };
    say::line(&tally.closing_line());
    exit
}

fn run(args: &TestArgs, consent: Consent, tally: &mut Tally) -> Result<(), Stop> {
    let dir = paths::runs().join(paths::stamp("test"));
    files::make_dir(&dir)?;
    let program = std::env::current_exe()
        .map_err(|e| Stop::failed(format!("cannot find this program: {e}")))?;
    let context = Context { dir: &dir, program: &program, filter: args.filter.as_deref() };
    say::progress(&format!("logs are in {}", dir.display()));
    let chosen = chosen(args);
    room::check(&chosen)?;
    let mut machine = Machine::Unknown;
    let mut whole = args.filter.is_none();
    for category in Category::ALL {
        if !chosen.contains(&category) {
            whole = false;
            if args.require.contains(&category) {
                tally.required_but_skipped(category.name(), "it was not asked for");
            }
            continue;
        }
        let started = Instant::now();
        say::progress(&format!("--- {}", category.name()));
        let outcome = match category {
            Category::Host => host::run(&context, consent, tally),
            Category::Package => package::run(&context, consent, tally),
            Category::Explore => explore::run(&context, tally),
            Category::Fuzz => fuzz::run(&context, tally),
            Category::Miri => miri::run(&context, tally),
            Category::Qemu => machine.ready(consent).and_then(|()| qemu::run(&context, tally)),
            Category::Image => machine.ready(consent).and_then(|()| flash::run(&context, tally)),
            Category::Conformance => conformance::run(&context, consent, tally),
            Category::Report => {
                machine.ready(consent).and_then(|()| report::run(&context, consent, tally))
            }
        };
        match outcome {
            Ok(()) => {}
            Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
            Err(stop) if stop.exit == Exit::Missing => {
                whole = false;
                say::stop(&stop);
                if args.require.contains(&category) {
                    tally.required_but_skipped(category.name(), &stop.reason);
                } else {
                    tally.skipped(category.name(), &stop.reason);
                }
            }
            Err(stop) => {
                say::stop(&stop);
                tally.failed(category.name(), &stop.reason, None);
            }
        }
        room::tidy(category)?;
        tally.minutes(category.name(), started.elapsed());
    }
    if chosen.contains(&Category::Host) {
        regressions::run(if whole { Scope::Everything } else { Scope::Part }, tally)?;
    }
    tally.tell_rest();
    Ok(())
}

fn chosen(args: &TestArgs) -> Vec<Category> {
    match (args.quick, args.only.is_empty()) {
        (true, _) => vec![Category::Host],
        (false, false) => args.only.clone(),
        (false, true) => Category::ALL.to_vec(),
    }
}

/// Whether the images could be built; tried once for all that boot.
enum Machine {
    Unknown,
    Ready,
    Not(Stop),
}

impl Machine {
    fn ready(&mut self, consent: Consent) -> Result<(), Stop> {
        if let Self::Unknown = self {
            let made = setup::for_images(consent)
                .and_then(|()| image::make(&[Variant::Honest, Variant::Raw, Variant::Minimal]));
            *self = match made {
                Ok(()) => Self::Ready,
                Err(stop) => Self::Not(stop),
            };
        }
        match self {
            Self::Not(stop) => Err(stop.clone()),
            Self::Unknown | Self::Ready => Ok(()),
        }
    }
}

/// The name of a log in a folder, without blanks.
fn log_name(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{}.log", name.replace([' ', ':', '/'], "-")))
}
