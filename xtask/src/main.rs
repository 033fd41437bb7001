//! Owns the start and the end of `cargo xtask`: the command line, the panic hook, the exit status,
//! the last line of stdout. Never does the work itself.

mod boot;
mod cli;
mod disk;
mod image;
mod interrupt;
mod lines;
mod outcome;
mod paths;
mod process;
mod run;
mod say;
mod setup;
mod suite;
mod tfa;
mod verdict;

use clap::Parser;
use cli::{Action, CleanArgs, Cli};
use outcome::{Exit, Stop, files};
use setup::Consent;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

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
        Action::Image(args) => finish(image_command(consent(args.yes))),
        Action::Doctor(args) => finish(setup::doctor(consent(args.yes))),
        Action::Clean(args) => finish(clean(args)),
        Action::Run(args) => finish(run::run(&args, consent(args.set_up.yes))),
        Action::Test(args) => suite::test(&args, consent(args.set_up.yes)).into(),
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
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(json) = path_in(&args, "--json") {
        let disk = path_in(&args, "--disk");
        if !disk.is_some_and(|disk| paths::is_same_file(&disk, &json)) {
            note_json(&json);
        }
    }
    write_json_failure(reason);
    say::line(&format!("FAIL: {reason}"));
    Exit::Usage.into()
}

/// Where the JSON file of this run goes, known even when the run itself never begins.
static JSON: OnceLock<PathBuf> = OnceLock::new();

pub(crate) fn note_json(file: &Path) {
    // The first one said counts; there is only one.
    drop(JSON.set(file.to_path_buf()));
}

fn write_json_failure(reason: &str) {
    if let Some(file) = JSON.get()
        && let Err(stop) = run::result::RunResult::write_failure(file, reason)
    {
        say::stop(&stop);
    }
}

/// The file that an option of `run` names on a command line that could not be understood.
fn path_in(args: &[OsString], option: &str) -> Option<PathBuf> {
    let is_run = args.get(1).is_some_and(|command| command == "run");
    args.iter().enumerate().filter(|_| is_run).find_map(|(index, arg)| {
        match arg.to_str()?.strip_prefix(option)? {
            "" => args.get(index + 1).map(PathBuf::from),
            rest => rest.strip_prefix('=').map(PathBuf::from),
        }
    })
}

fn image_command(consent: Consent) -> Result<(), Stop> {
    setup::for_images(consent)?;
    image::make(&[image::Variant::Honest])?;
    say::line(&run::line_for_images()?);
    Ok(())
}

fn clean(args: CleanArgs) -> Result<(), Stop> {
    let mut dirs = vec![paths::image(), paths::runs(), paths::target().join("setup")];
    if args.all {
        dirs.push(paths::tfa());
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
        write_json_failure("this is a bug of xtask");
        say::line("FAIL: this is a bug of xtask");
        std::process::exit(i32::from(Exit::Failed.code()));
    }));
}
