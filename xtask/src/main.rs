//! Owns the start and the end of `cargo xtask`: the command line, the panic hook, the exit status,
//! the last line of stdout. Never does the work itself.

mod bench;
mod boot;
mod cli;
mod conformance;
mod disk;
mod dist;
mod docs;
mod dtc;
mod explore;
mod flash_file;
mod fuzz;
mod header;
mod image;
mod interrupt;
mod json;
mod ledger;
mod lines;
mod manifests;
mod mutants;
mod optee;
mod outcome;
mod paths;
mod pool;
mod powercut;
mod process;
mod report;
mod run;
mod say;
mod setup;
mod space;
mod suite;
mod tail;
mod text;
mod tfa;
mod trace;
mod traceability;
mod tree;
mod verdict;

use causeway_guests::jobs::{DEMO_MINIMAL, TRANSFER};
use clap::Parser;
use cli::{Action, CleanArgs, Cli, ProfileName};
use outcome::{Exit, Stop, files};
use setup::Consent;
use std::process::ExitCode;

fn main() -> ExitCode {
    install_panic_hook();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return command_line_error(&error),
    };
    if let Err(stop) = interrupt::install() {
        return finish(Err(stop));
    }
    match cli.command {
        Action::Image(args) => finish(image_command(args.profile, consent(args.set_up.yes))),
        Action::Doctor(args) => finish(setup::doctor(consent(args.yes))),
        Action::Clean(args) => finish(clean(args)),
        Action::Run(args) => finish(run::run(&args, consent(args.set_up.yes))),
        Action::Test(args) => suite::test(&args, consent(args.set_up.yes)).into(),
        Action::Explore(args) => finish(explore::explore(&args)),
        Action::Bench(args) => finish(bench::bench(&args, consent(args.set_up.yes))),
        Action::Conformance(args) => {
            finish(conformance::conformance(&args, consent(args.set_up.yes)))
        }
        Action::Header(args) => finish(header::header(args)),
        Action::Manifests(args) => finish(manifests::manifests(args)),
        Action::Decode(args) => finish(trace::decode(&args)),
        Action::Dist(args) => finish(dist::dist(&args, consent(args.set_up.yes))),
        Action::Docs(args) => finish(docs::docs(args)),
        Action::Traceability(args) => finish(traceability::traceability(&args)),
        Action::Fuzz(args) => finish(fuzz::fuzz(&args)),
        Action::Powercut(args) => finish(powercut::powercut(&args, consent(args.set_up.yes))),
        Action::Ledger(args) => finish(ledger::ledger(&args)),
        Action::Mutants(args) => finish(mutants::mutants(&args)),
    }
}

fn consent(yes: bool) -> Consent {
    if yes { Consent::Given } else { Consent::Ask }
}

/// Says how it went, as the last line of stdout, and gives the exit status.
fn finish(result: Result<(), Stop>) -> ExitCode {
    match result {
        Ok(()) => {
            say::line("PASS");
            Exit::Passed.into()
        }
        Err(stop) if stop.exit == Exit::Skipped => {
            say::line(&format!("SKIPPED: {}", stop.reason));
            stop.exit.into()
        }
        Err(stop) => {
            say::stop(&stop);
            say::line(&format!("FAIL: {}", stop.reason));
            stop.exit.into()
        }
    }
}

/// Help and version are no failure; anything else is wrong usage.
fn command_line_error(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    drop(error.print());
    if !error.use_stderr() {
        return Exit::Passed.into();
    }
    let reason = "wrong usage of the command line";
    json::note_from(&std::env::args_os().collect::<Vec<_>>());
    json::write_failure(reason);
    say::line(&format!("FAIL: {reason}"));
    Exit::Usage.into()
}

fn image_command(profile: ProfileName, consent: Consent) -> Result<(), Stop> {
    setup::for_images(consent)?;
    let job = match profile {
        ProfileName::Full => &TRANSFER,
        ProfileName::Minimal => &DEMO_MINIMAL,
    };
    image::make(&[image::Variant::of(job)])?;
    say::line(&run::line_for_images(job)?);
    Ok(())
}

fn clean(args: CleanArgs) -> Result<(), Stop> {
    let mut dirs = vec![paths::image(), paths::runs(), paths::target().join("setup")];
    if args.all {
        dirs.extend([paths::tfa(), paths::target().join("optee")]);
        let built = suite::folders().chain(image::build::FOLDERS);
        dirs.extend(built.map(|name| paths::target().join(name)));
    }
    for dir in dirs {
        say::progress(&format!("removing {}", dir.display()));
        files::remove_dir(&dir)?;
    }
    Ok(())
}

/// A panic is our bug and is called so; the user sees no stack trace.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_default();
        say::note(&format!("xtask: this is a bug of xtask: {what} ({place})"));
        json::write_failure("this is a bug of xtask");
        say::line("FAIL: this is a bug of xtask");
        std::process::exit(i32::from(Exit::Failed.code()));
    }));
}
