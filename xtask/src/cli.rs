//! Owns the command line: names, options, help. Never acts.

mod tools;

pub(crate) use tools::{
    BenchArgs, ConformanceArgs, DecodeArgs, DistArgs, DocsArgs, ExploreArgs, FuzzArgs, HeaderArgs,
    LedgerAction, LedgerArgs, ManifestsArgs, MutantsArgs, PowercutArgs, SpmcName, TraceabilityArgs,
    VerifyArgs,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Builds Causeway, boots it, judges what it did.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true,
    after_help = "Exit status: 0 passed, 1 failed, 2 wrong usage, 3 something is missing (named, \
                  with what mends it), 4 time-out, 77 nothing ran (skipped), 130 interrupted.\n\
                  Progress goes to stderr; the last line of stdout is `PASS`, `FAIL: reason`\n\
                  or `SKIPPED: reason`.\n\n\
                  Start here:\n  \
                  cargo xtask run      two VMs move a file over memory that the partition brokered\n  \
                  cargo xtask test     every test; `--quick` for those that need no QEMU\n  \
                  cargo xtask doctor   what this machine has and what it lacks"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Action,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Boot the machine and move a disk image between two VMs
    ///
    /// Sets up what is missing, builds the firmware once, builds the images, boots them in QEMU.
    /// The frontend VM reads the whole disk image over a virtio ring in memory that it granted to
    /// the backend VM through the partition. The digest of what it read is compared with the file.
    Run(RunArgs),
    /// Run the tests: host, the walk, fuzzing, Miri, QEMU and the flash image
    Test(TestArgs),
    /// Walk through every state of the broker in small worlds and check the invariants
    Explore(ExploreArgs),
    /// Feed the decoders, the broker, the queues and the bus with hostile input
    Fuzz(FuzzArgs),
    /// Change the code in one place at a time and see whether a test notices (by hand, hours)
    Mutants(MutantsArgs),
    /// Count the instructions of each call of the partition
    Bench(BenchArgs),
    /// Cut the power of a machine that stores, again and again, and see that nothing acknowledged is lost
    Powercut(PowercutArgs),
    /// Run the conformance suite under an SPMC, and judge it by what that SPMC is excused from
    Conformance(ConformanceArgs),
    /// Check a dump of the partition's ledger
    #[command(after_help = "Examples:\n  \
                            cargo xtask ledger verify ledger.bin --head DIGEST\n  \
                            cargo xtask ledger verify --help")]
    Ledger(LedgerArgs),
    /// Write abi/include/causeway.h, the service interface for C, from the Rust definitions
    Header(HeaderArgs),
    /// Print the calls that `run --trace` recorded as a reader of the specification would
    Decode(DecodeArgs),
    /// Put a release together: images, header, manifests, crates, digests, bill of materials
    Dist(DistArgs),
    /// Write every manifest from the platforms' descriptions
    Manifests(ManifestsArgs),
    /// Write the generated parts of the documents, and look for broken links
    Docs(DocsArgs),
    /// Lead each requirement to code and tests; one without a test is an error
    Traceability(TraceabilityArgs),
    /// Build target/image/ and print the QEMU line that boots it
    ///
    /// Leaves sp.bin, sp.dtb, monitor.bin, fip.bin, bl1.bin, flash.bin (64 MiB, padded with 0xFF,
    /// for -bios and for pflash) and fiptool in target/image/. With fiptool a part is swapped
    /// without a new build of TF-A.
    #[command(after_help = "Examples:\n  cargo xtask image\n  \
                            cargo xtask image --profile minimal   in target/image/minimal/\n  \
                            TFA_DIR=~/src/trusted-firmware-a cargo xtask image\n  \
                            target/image/fiptool info target/image/fip.bin")]
    Image(ImageArgs),
    /// Look at the machine, install what may be installed, name the rest
    #[command(after_help = "Examples:\n  cargo xtask doctor\n  cargo xtask doctor --yes")]
    Doctor(SetUpArgs),
    /// Remove the images, the logs of runs and the firmware from target/
    #[command(after_help = "Examples:\n  cargo xtask clean          images and logs\n  \
                            cargo xtask clean --all    the firmware's source and build too (the \
                            next run needs the network)")]
    Clean(CleanArgs),
}

/// Options of `image`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ImageArgs {
    /// Which partition: as large as a policy can ask for, or for one device with one queue
    #[arg(long, value_enum, default_value_t = ProfileName::Full)]
    pub(crate) profile: ProfileName,
    #[command(flatten)]
    pub(crate) set_up: SetUpArgs,
}

/// A profile of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    /// Everything that a policy can name.
    Full,
    /// Two VMs, one device with one queue.
    Minimal,
}

/// Options of commands that set up the machine.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SetUpArgs {
    /// Install missing packages without asking (they are listed first)
    #[arg(long)]
    pub(crate) yes: bool,
}

/// The CPU models that were seen working.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cpu {
    /// An ARMv8.0 core.
    #[value(name = "cortex-a57")]
    CortexA57,
    /// Everything that this QEMU can emulate.
    #[value(name = "max")]
    Max,
}

impl Cpu {
    /// QEMU's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CortexA57 => "cortex-a57",
            Self::Max => "max",
        }
    }
}

/// Options of `run`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask run                               the built-in disk image of 16 MiB\n  \
    cargo xtask run --disk my.img --json out.json a file of your own, never written\n  \
    cargo xtask run --cpu cortex-a57 --smp 2      another machine\n  \
    cargo xtask run --demo net --disk my.img      the file goes over TCP/IP\n\n\
    A disk image is a regular file of 512 bytes to 256 MiB, a multiple of 512 bytes.\n\
    The logs are in target/runs/; a run that fails names its folder.")]
pub(crate) struct RunArgs {
    /// The disk image to move; without it a built-in one of 16 MiB
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Option<PathBuf>,
    /// The demo to run; an unknown name is answered with those there are
    #[arg(long, value_name = "NAME", default_value = "transfer")]
    pub(crate) demo: String,
    /// The emulated CPU
    #[arg(long, value_enum, default_value_t = Cpu::Max)]
    pub(crate) cpu: Cpu,
    /// How many cores the machine has
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) smp: u32,
    /// Seconds after which QEMU is ended (exit status 4)
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
    /// Write the result as JSON, in every case, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page for a browser: the worlds, the life of each grant, the ledger, calls and figures
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Record each call that the monitor saw; `cargo xtask decode FILE` prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) set_up: SetUpArgs,
}

/// The parts of the test command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Category {
    /// Format, lints and unit tests; needs no QEMU.
    Host,
    /// The library crates packed and used by an outside project; other systems compile them.
    Package,
    /// Every state of the broker in small worlds, and every named defect found.
    Explore,
    /// A minute of each fuzz target.
    Fuzz,
    /// The cores under Miri, also as a big-endian machine.
    Miri,
    /// Boots in QEMU.
    Qemu,
    /// flash.bin with the QEMU line that `image` prints.
    Image,
    /// The page of `run --report` in a browser, and the trace.
    Report,
    /// The conformance suite on the fake SPMC, under TF-A's, and under OP-TEE, which is fetched and built.
    Conformance,
}

impl Category {
    /// Every category, in the order in which they run.
    pub(crate) const ALL: [Self; 9] = [
        Self::Host,
        Self::Package,
        Self::Explore,
        Self::Fuzz,
        Self::Miri,
        Self::Qemu,
        Self::Image,
        Self::Report,
        Self::Conformance,
    ];

    /// Its name on the command line and before its tests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Package => "package",
            Self::Explore => "explore",
            Self::Fuzz => "fuzz",
            Self::Miri => "miri",
            Self::Qemu => "qemu",
            Self::Image => "image",
            Self::Report => "report",
            Self::Conformance => "conformance",
        }
    }
}

/// Options of `test`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask test                  everything that can run here\n  \
    cargo xtask test --quick          the host part\n  \
    cargo xtask test --require miri   a skipped Miri is a failure\n  \
    cargo xtask test --only qemu      one category\n\n\
    A skipped test is never counted as passed.")]
pub(crate) struct TestArgs {
    /// Only the host part
    #[arg(long, conflicts_with = "only")]
    pub(crate) quick: bool,
    /// Run these categories only
    #[arg(long, value_name = "CATEGORY", value_enum)]
    pub(crate) only: Vec<Category>,
    /// A category that must not be skipped
    #[arg(long, value_name = "CATEGORY", value_enum)]
    pub(crate) require: Vec<Category>,
    /// Run only QEMU tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) set_up: SetUpArgs,
}

/// Options of `clean`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct CleanArgs {
    /// TF-A's source and build too, and what the parts of `test` built for themselves
    #[arg(long)]
    pub(crate) all: bool,
}

#[cfg(test)]
mod tests {
    use super::{Action, Cli, Cpu};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_of_run_are_those_of_the_contract() {
        let cli = Cli::try_parse_from(["xtask", "run"]).expect("parsed");
        let Action::Run(run) = cli.command else { panic!("another command") };
        assert_eq!((run.cpu, run.smp, run.disk, run.json), (Cpu::Max, 4, None, None));
    }

    #[test]
    fn unknown_commands_and_values_are_wrong_usage() {
        for line in [
            &["xtask", "powercut", "--rounds", "0"][..],
            &["xtask", "ledger"],
            &["xtask", "explore", "--states", "0"],
            &["xtask", "fuzz", "--seconds", "0"],
            &["xtask"],
            &["xtask", "run", "--cpu", "cortex-m3"],
            &["xtask", "run", "--smp", "0"],
            &["xtask", "run", "--smp", "9"],
            &["xtask", "test", "--require", "nothing"],
        ] {
            let error = Cli::try_parse_from(line).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }

    #[test]
    fn every_command_teaches_with_examples() {
        for sub in Cli::command().get_subcommands_mut() {
            let help = sub.render_long_help().to_string();
            let teaches = help.contains("Examples:") && help.contains("cargo xtask");
            assert!(teaches, "{}: {help}", sub.get_name());
        }
    }
}
