//! Owns the options of the commands that check the cores: explore, fuzz, mutants, ledger,
//! bench. Never acts.

use super::{Cpu, SetUpArgs};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Options of `explore`.
#[derive(Args, Debug, Default)]
#[command(after_help = "Examples:\n  \
    cargo xtask explore                           every world, to the last state\n  \
    cargo xtask explore --json out.json           the same, with every count\n  \
    cargo xtask explore --world two-cores         one world\n  \
    cargo xtask explore --defect all              every named defect must be found\n  \
    cargo xtask explore --defect release-on-word  one of them, with the steps that lead to it\n\n\
    A world is a small cast (owners, peers, pages, an SPMC that may lie). The walk takes every\n\
    call, crash and refusal in every state that can be reached, and checks the invariants I1-I7, I9\n\
    and I10 of ARCHITECTURE.md after each step. A violation is shown with its shortest trace.\n\
    An unknown name of a world or a defect is answered with the names there are.\n\n\
    A whole walk also holds docs/state-machine.md to the moves of grants that it has seen; --write\n\
    brings the page up to date.")]
pub(crate) struct ExploreArgs {
    /// Write what was found as JSON, in every case, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Switch on a defect (or each in turn: `all`); not finding it is a failure
    #[arg(long, value_name = "NAME|all", conflicts_with = "world")]
    pub(crate) defect: Option<String>,
    /// Walk through one world only
    #[arg(long, value_name = "NAME")]
    pub(crate) world: Option<String>,
    /// Write what was found of the grants' states into docs/state-machine.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Only the N nearest states of each world (a world cut short is no pass)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) states: Option<u64>,
}

/// An SPMC that the suite runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpmcName {
    /// TF-A's own at EL3; the partition runs at S-EL1.
    El3,
    /// OP-TEE at S-EL1; the partition runs at S-EL0.
    Optee,
    /// Personalities of the fake SPMC, in this process; says nothing about a real SPMC.
    Fake,
    /// Hafnium at S-EL2, where `HAFNIUM_BIN` names one.
    Hafnium,
}

impl SpmcName {
    /// Its name on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::El3 => "el3",
            Self::Optee => "optee",
            Self::Fake => "fake",
            Self::Hafnium => "hafnium",
        }
    }
}

/// Options of `conformance`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask conformance --spmc el3\n  \
    cargo xtask conformance --spmc optee\n  \
    cargo xtask conformance --spmc optee --json result.json\n  \
    cargo xtask conformance --spmc fake           in this process, without QEMU\n  \
    cargo xtask conformance --spmc el3 --keep     the result for docs/spmc-matrix.md\n  \
    OPTEE_DIR=~/src/optee_os cargo xtask conformance --spmc optee\n  \
    HAFNIUM_BIN=~/hafnium.bin cargo xtask conformance --spmc hafnium\n\n\
    OP-TEE is fetched as Debian's source package and built once, with the partition in it, and not\n\
    changed. What a run is excused from stands in optee-test/expected.txt and hafnium-test/expected.txt,\n\
    each line with a limit that docs/spmc-facts.md names; a case that passes in spite of that fails the run.\n\
    Hafnium is run where HAFNIUM_BIN is the path of its image, on QEMU 10.0 or newer; without HAFNIUM_BIN\n\
    nothing runs, and the status is 77.")]
pub(crate) struct ConformanceArgs {
    /// Under which SPMC
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) spmc: SpmcName,
    /// Write every case as JSON, in every case, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write every case as JUnit XML, if the suite came to its end
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Keep the result of a run that passed in conformance/results/, for docs/spmc-matrix.md
    #[arg(long)]
    pub(crate) keep: bool,
    /// Which CPU QEMU emulates
    #[arg(long, value_enum, default_value_t = Cpu::Max)]
    pub(crate) cpu: Cpu,
    /// End QEMU after so many seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) set_up: SetUpArgs,
}

/// Options of `fuzz`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask fuzz                              a minute of every target, two at a time\n  \
    cargo xtask fuzz --seconds 600 --target broker\n  \
    cargo xtask fuzz --seconds 60 --keep          and keep what was found in fuzz/seeds/\n\n\
    The seeds of fuzz/seeds/ are replayed first. New input is collected in target/fuzz/corpus/ and\n\
    used by the next run. A crash, a failed assertion or an input that takes too long is a failure;\n\
    its input is kept in fuzz/artifacts/TARGET/, and the command that repeats it is printed.\n\
    A nightly toolchain is installed where it is missing.")]
pub(crate) struct FuzzArgs {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Only this target; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Vec<String>,
    /// Afterwards, put the smallest set of inputs with the same coverage into fuzz/seeds/
    #[arg(long)]
    pub(crate) keep: bool,
    /// Write what was found as JSON, in every case, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `mutants`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask mutants --package causeway-memshare\n  \
    cargo xtask mutants --shard 0/8               every eighth change of both packages\n  \
    cargo xtask mutants --file memshare/src/broker/accept.rs\n\n\
    Changes the code in one place at a time (in a copy) and runs the package's tests, but for the\n\
    walks over all states: a change that no test notices is a survivor. Takes hours; nothing runs it but you. docs/mutants.md holds\n\
    the last results with the reason of each survivor. cargo-mutants is installed into target/tools/.")]
pub(crate) struct MutantsArgs {
    /// Whose code is changed; may be given more than once (default: memshare and ffa)
    #[arg(long, value_name = "P", default_values = ["causeway-memshare", "causeway-ffa"])]
    pub(crate) package: Vec<String>,
    /// A part of the changes: K of N, chosen evenly
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<String>,
    /// Only changes of this file; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<String>,
    /// How many changes are tried at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: u32,
    /// Write the counts as JSON, in every case, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `ledger`.
#[derive(Args, Debug)]
pub(crate) struct LedgerArgs {
    /// What to do with a dump.
    #[command(subcommand)]
    pub(crate) action: LedgerAction,
}

/// What can be done with a dump of the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerAction {
    /// Check a dump of the ledger, record by record
    Verify(VerifyArgs),
}

/// Options of `ledger verify`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask ledger verify ledger.bin --head 9f86d081884c7d65...(64 digits)\n  \
    cargo xtask ledger verify ledger.bin           consistent, but not anchored\n\n\
    The head is what the call LEDGER_HEAD returned; it must have come another way than the file.\n\
    Without it a dump that was made up as a whole, with all its hashes, cannot be told from a true\n\
    one. docs/ledger.md describes the bytes.")]
pub(crate) struct VerifyArgs {
    /// The dump
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The head's digest, 64 hexadecimal digits
    #[arg(long, value_name = "DIGEST")]
    pub(crate) head: Option<String>,
    /// Write the verdict as JSON, in every case, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `header`.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask header           after a change of a call, a status or a limit in abi/\n  \
    cargo xtask header --check   whether the committed header says what the definitions say")]
pub(crate) struct HeaderArgs {
    /// Write nothing; a header that is not up to date is a failure
    #[arg(long)]
    pub(crate) check: bool,
}

/// Options of `dist`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask dist           in target/dist/causeway-VERSION/\n  \
    cargo xtask dist --check   and build it all once more elsewhere: every digest must be the same\n\n\
    images/ has the partition in both profiles with its manifests, and the monitor with the example\n\
    guests; include/ the C header; manifests/ what the platforms' descriptions give; crates/ what\n\
    `cargo publish` would send; causeway.spdx.json the bill of materials (SPDX 2.3); SHA256SUMS a line\n\
    for each file, for `sha256sum -c`. TF-A and QEMU are not in it: docs/loading.md says how to add ours.")]
pub(crate) struct DistArgs {
    /// Build a second time in another folder and compare the digests
    #[arg(long)]
    pub(crate) check: bool,
    /// Put it into this folder instead of target/dist/
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Write the files with their digests as JSON, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) set_up: SetUpArgs,
}

/// Options of `decode`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask run --trace calls.jsonl && cargo xtask decode calls.jsonl\n  \
    cargo xtask decode calls.jsonl --by vm1             what VM 1 asked\n  \
    cargo xtask decode calls.jsonl --refused            refusals only, each with the rule that was broken\n  \
    cargo xtask decode calls.jsonl --call OFFER         a call of the partition, or of FF-A by its name\n\n\
    A line is: when (microseconds since the first call), how long the answer took, who called, the call with\n\
    its fields, the answer with its fields. docs/trace.md has the file's format.")]
pub(crate) struct DecodeArgs {
    /// The file that `run --trace` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only calls by this caller: vm1, vm2, vm3 or monitor
    #[arg(long, value_name = "WHO")]
    pub(crate) by: Option<String>,
    /// Only calls of this name (MEM_SHARE, OFFER, ...)
    #[arg(long, value_name = "NAME")]
    pub(crate) call: Option<String>,
    /// Only calls that were refused
    #[arg(long)]
    pub(crate) refused: bool,
    /// Write the decoded calls as JSON, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `manifests`.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask manifests           after a change of manifests/platform/\n  \
    cargo xtask manifests --check   whether the committed manifests are what the descriptions say\n\n\
    A description that contradicts itself (memory in two hands, an unknown VM, an interrupt bound\n\
    twice, a window outside RAM, a misspelt property) is refused with its line, and nothing is written.\n\
    Each manifest is compiled by dtc, and its policy read by the partition's own reader.")]
pub(crate) struct ManifestsArgs {
    /// Write nothing; a manifest that is not up to date is a failure
    #[arg(long)]
    pub(crate) check: bool,
}

/// Options of `docs`.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask docs           after a change of a call, a status, a limit or a bound\n  \
    cargo xtask docs --check   whether the documents say what the definitions say\n\n\
    The parts are those between `generated` marks, of docs/hypercall-interface.md and, from the results\n\
    that are kept in conformance/results/, of docs/spmc-matrix.md. The C header is\n\
    written by `cargo xtask header`, the tables of the QEMU tests by the tests of guests/.")]
pub(crate) struct DocsArgs {
    /// Write nothing; a part that is not up to date is a failure
    #[arg(long)]
    pub(crate) check: bool,
}

/// Options of `traceability`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask traceability           write docs/traceability.md\n  \
    cargo xtask traceability --check   a requirement without a test, a test that is not there, or\n  \
    \x20                                  a page that is not up to date is a failure\n\n\
    Requirements are the rows of docs/requirements.md (what the project delivers, its invariants), the\n\
    clauses of docs/hypercall-interface.md, the threats of docs/security-design.md, and the rows of\n\
    docs/error-precedence.md. Their last columns name tests.")]
pub(crate) struct TraceabilityArgs {
    /// Write nothing; a page that is not up to date is a failure
    #[arg(long)]
    pub(crate) check: bool,
    /// Write every requirement with its code and tests as JSON, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `bench`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench                   the ends of each scale and its middle, seconds\n  \
    cargo xtask bench --full --json costs.json\n  \
    cargo xtask bench --check           a figure that misses its goal is a failure\n    \
    cargo xtask bench --full --write    writes docs/benchmarks.md with its plots\n    \
    cargo xtask bench --accept          makes today's figures the baseline\n\n\
    Boots with one core that counts instructions (-icount shift=0), of the CPUs `max` and `cortex-a57`:\n\
    with our partition, and with one that does nothing of its own. The second figure is TF-A's share;\n\
    the difference is ours (`.../own`). Instructions are counted by the caller, from before its SMC to\n\
    after it. Without --full the figures are compared with bench/baseline.json: a change of more than\n\
    3 % is a failure until it is accepted.")]
pub(crate) struct BenchArgs {
    /// Measure each power of two of each scale
    #[arg(long)]
    pub(crate) full: bool,
    /// Fail if a figure misses its goal
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) then: BenchThen,
    /// Write the figures as a JSON list; where none was measured, `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) set_up: SetUpArgs,
}

/// What becomes of the figures in the tree.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct BenchThen {
    /// Write docs/benchmarks.md and docs/plots/
    #[arg(long, requires = "full")]
    pub(crate) write: bool,
    /// Make the figures the baseline that they are compared with
    #[arg(long, conflicts_with = "full")]
    pub(crate) accept: bool,
}

/// Options of `powercut`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask powercut --rounds 200 --json out.json\n  \
    cargo xtask powercut --rounds 20 --seed 4711    the same moments again\n\n\
    One VM increments a counter and writes replay-protected blocks in turn, and prints what the\n\
    partition acknowledged. QEMU is killed at moments drawn from the seed: at any time, in a program of\n\
    the flash, in an erase. Then it is booted again on the same flash file.\n\
    A tenth of the cuts at least must hit a program, and a tenth an erase; one each however few.")]
pub(crate) struct PowercutArgs {
    /// How often the power is cut
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub(crate) rounds: u64,
    /// Draw the moments from this seed; without it a new one, which is printed
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Write the figures as JSON, in every case, with `pass` and `reason`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) set_up: SetUpArgs,
}
