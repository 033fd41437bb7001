//! Owns the builds of the bare-metal programs and their flat binaries. Never packs them.

use super::pack::Guest;
use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::setup::rust::BARE_METAL;
use crate::{paths, say};
use object::elf::PT_LOAD;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::read::{Object, ObjectSection};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUILD: Duration = Duration::from_secs(1200);
const GUESTS: [&str; 3] = ["frontend", "backend", "hostile"];

/// A bare-metal program that is built alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// sp/: the partition.
    Partition,
    /// sp/ with the feature `minimal`.
    MinimalPartition,
    /// sp/ with the feature `hafnium`.
    PartitionForHafnium,
    /// monitor/: the honest hypervisor.
    Monitor,
    /// monitor/ with the feature `raw`.
    RawMonitor,
    /// sp/el0/: the partition for OP-TEE.
    PartitionAtEl0,
    /// conformance-driver/: the normal world of the conformance suite.
    ConformanceDriver,
}

impl Program {
    fn package(self) -> &'static str {
        match self {
            Self::Partition | Self::MinimalPartition | Self::PartitionForHafnium => "causeway-sp",
            Self::Monitor | Self::RawMonitor => "causeway-monitor",
            Self::PartitionAtEl0 => "causeway-sp-el0",
            Self::ConformanceDriver => "causeway-conformance-driver",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Partition => "sp",
            Self::MinimalPartition => "sp (minimal)",
            Self::PartitionForHafnium => "sp (hafnium)",
            Self::Monitor => "monitor",
            Self::RawMonitor => "monitor (raw)",
            Self::PartitionAtEl0 => "sp at S-EL0",
            Self::ConformanceDriver => "conformance driver",
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            // The partition's tables are on, and its memory is normal memory, before its first Rust
            // instruction: words may lie anywhere (docs/decisions/0009). The target's default loads
            // them byte by byte.
            Self::Partition => &["--config", UNALIGNED_WORDS],
            Self::MinimalPartition => {
                &["--config", UNALIGNED_WORDS, "--config", SMALL, "--features", "minimal"]
            }
            Self::PartitionForHafnium => &["--config", UNALIGNED_WORDS, "--features", "hafnium"],
            Self::PartitionAtEl0 => &["--config", POSITION_INDEPENDENT, "--features", "minimal"],
            Self::Monitor | Self::ConformanceDriver => &[],
            Self::RawMonitor => &["--features", "raw"],
        }
    }
}

/// What lets the compiler use one load for a word at any address.
const UNALIGNED_WORDS: &str =
    "target.aarch64-unknown-none-softfloat.rustflags=['-C','target-feature=-strict-align']";

/// Addresses in constants become relocations, which the program applies itself; without this the linker
/// says that they cannot be used.
const POSITION_INDEPENDENT: &str =
    "target.aarch64-unknown-none-softfloat.rustflags=['-C','relocation-model=pie']";

/// The folder of what is built with these arguments. Flags that hide folders are no part of the names by
/// which cargo keeps what it has built (they are to make no difference), nor is then any other flag: in one
/// folder, programs with different flags would throw out each other's libraries at every turn.
fn target_dir(more: &[&str]) -> PathBuf {
    let [unaligned, relocatable] = FOLDERS;
    let target = paths::target();
    if more.contains(&UNALIGNED_WORDS) {
        target.join(unaligned)
    } else if more.contains(&POSITION_INDEPENDENT) {
        target.join(relocatable)
    } else {
        target
    }
}

/// The folders of target/ for programs whose flags are not the usual ones.
pub(crate) const FOLDERS: [&str; 2] = ["unaligned", "relocatable"];

/// Pages of an image that are mapped alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Offset of the first byte.
    pub(crate) start: u64,
    /// How many.
    pub(crate) pages: u64,
}

/// An image that runs anywhere, and its parts: code, constants, relocated constants, variables, and those
/// that begin as zero.
pub(crate) struct ElfImage {
    /// The flat image, without the last part.
    pub(crate) image: Vec<u8>,
    /// The parts, in this order.
    pub(crate) regions: [Region; 5],
}

/// Builds a position-independent program.
pub(crate) fn relocatable(program: Program) -> Result<ElfImage, Stop> {
    let path = elf(program)?;
    let bytes = files::read(&path)?;
    let told = |why: String| Stop::failed(format!("{}: {why}", path.display()));
    let image = flatten(&bytes).map_err(told)?;
    let regions = parts(&bytes).map_err(told)?;
    Ok(ElfImage { image, regions })
}

/// The parts of a program by its sections: what lies between code and relocated constants is constant.
fn parts(bytes: &[u8]) -> Result<[Region; 5], String> {
    let elf: ElfFile64 = ElfFile64::parse(bytes).map_err(|e| e.to_string())?;
    let section = |name: &str| {
        let found = elf.section_by_name(name).ok_or(format!("there is no section {name}"))?;
        Ok::<_, String>((found.address(), found.size()))
    };
    let pages = |start: u64, bytes: u64| {
        if start.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE) {
            Ok(Region { start, pages: bytes / PAGE })
        } else {
            Err(format!("the part at {start:#x} is not whole pages"))
        }
    };
    let [text, relro, data, bss] = [".text", ".relro", ".data", ".bss"].map(section);
    let ((text, text_bytes), (relro, relro_bytes)) = (text?, relro?);
    let ((data, data_bytes), (bss, bss_bytes)) = (data?, bss?);
    let constants = text + text_bytes;
    let between = relro.checked_sub(constants).ok_or("the parts are not in order")?;
    Ok([
        pages(text, text_bytes)?,
        pages(constants, between)?,
        pages(relro, relro_bytes)?,
        pages(data, data_bytes)?,
        pages(bss, bss_bytes)?,
    ])
}

/// Bytes of a page.
const PAGE: u64 = 4096;

/// The minimal profile is for little RAM: all of it is built for size.
const SMALL: &str = "profile.release.opt-level='z'";

/// Builds one program and returns its flat binary.
pub(crate) fn one(program: Program) -> Result<Vec<u8>, Stop> {
    flat(&elf(program)?)
}

/// Builds one program and returns its file.
pub(crate) fn elf(program: Program) -> Result<PathBuf, Stop> {
    let built = cargo(program.package(), program.features(), program.name())?;
    match built.as_slice() {
        [(_, path)] => Ok(path.clone()),
        list => Err(Stop::failed(format!(
            "{} builds {} programs; one was expected",
            program.package(),
            list.len()
        ))),
    }
}

/// Builds the measuring program and the empty partition, in this order.
pub(crate) fn bench() -> Result<[Vec<u8>; 2], Stop> {
    let built = cargo("causeway-bench", &[], "bench")?;
    let one = |name: &str| {
        let found = built.iter().find(|(found, _)| found == name);
        let missing = || Stop::failed(format!("causeway-bench builds no program named {name}"));
        flat(&found.ok_or_else(missing)?.1)
    };
    Ok([one("causeway-bench")?, one("causeway-empty")?])
}

/// Builds the guests and returns them in the order of the pack.
pub(crate) fn guests() -> Result<Vec<Guest>, Stop> {
    let built = cargo("causeway-guests", &[], "guests")?;
    GUESTS
        .iter()
        .map(|name| {
            let (_, path) = built.iter().find(|(found, _)| found == name).ok_or_else(|| {
                Stop::failed(format!("causeway-guests builds no program named {name}"))
            })?;
            Ok(Guest { name: (*name).to_owned(), image: flat(path)? })
        })
        .collect()
}

/// Runs cargo for one package; returns the names and files of its programs.
fn cargo(package: &str, more: &[&str], name: &str) -> Result<Vec<(String, PathBuf)>, Stop> {
    say::progress(&format!("building {name}"));
    let dir = paths::target().join("setup");
    let file = name.replace([' ', '(', ')'], "");
    let messages = dir.join(format!("build-{file}.json"));
    Step::new(&format!("the build of {name}"), "cargo", &dir.join(format!("build-{file}.log")))
        .dir(&paths::root())
        .args(["build", "--release", "--bins", "--target", BARE_METAL, "--package", package])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .args([target_dir(more)])
        .args(["--config", &without_places()])
        .args(more)
        .stdout_to(&messages)
        .limit(BUILD)
        .run()?;
    let text = String::from_utf8_lossy(&files::read(&messages)?).into_owned();
    Ok(text.lines().filter_map(executable).collect())
}

/// Folders of this machine are in no image, so that two machines build the same bytes.
fn without_places() -> String {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    // The last one that fits counts: target/ lies in the workspace.
    let places = [
        (cargo_home.or(home), "/cargo"),
        (Some(paths::root()), "/causeway"),
        (Some(paths::target()), "/target"),
    ];
    let flags: Vec<String> = places
        .into_iter()
        .filter_map(|(place, name)| Some((place?.display().to_string(), name)))
        .filter(|(place, _)| !place.contains('\''))
        .map(|(place, name)| format!("'--remap-path-prefix={place}={name}'"))
        .collect();
    format!("target.{BARE_METAL}.rustflags=[{}]", flags.join(","))
}

/// The program that one of cargo's messages names.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}

/// The loadable bytes of an ELF file, from its lowest physical address on. The loaders enter at the
/// first byte, so the entry point must be there.
fn flat(path: &Path) -> Result<Vec<u8>, Stop> {
    let bytes = files::read(path)?;
    flatten(&bytes).map_err(|why| Stop::failed(format!("{}: {why}", path.display())))
}

fn flatten(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let elf: ElfFile64 = ElfFile64::parse(bytes).map_err(|e| e.to_string())?;
    let endian = elf.endian();
    let loads: Vec<_> = elf
        .elf_program_headers()
        .iter()
        .filter(|h| h.p_type(endian) == PT_LOAD && h.p_filesz(endian) > 0)
        .collect();
    let first = loads.iter().min_by_key(|h| h.p_paddr(endian)).ok_or("nothing to load")?;
    let base = first.p_paddr(endian);
    let entry = elf.elf_header().e_entry(endian);
    if entry != first.p_vaddr(endian) {
        return Err(format!("the entry point {entry:#x} is not the first byte loaded"));
    }
    let mut image = Vec::new();
    for header in loads {
        let data = header.data(endian, bytes).map_err(|()| "a segment lies outside the file")?;
        let start = usize::try_from(header.p_paddr(endian) - base).map_err(|e| e.to_string())?;
        let end = start.checked_add(data.len()).filter(|end| *end <= 64 << 20);
        let end = end.ok_or("the program spans more than 64 MiB")?;
        if image.len() < end {
            image.resize(end, 0);
        }
        image[start..end].copy_from_slice(data);
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::{executable, flatten};

    /// A little-endian AArch64 ELF with segments (physical address, bytes).
    fn elf(entry: u64, segments: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        for half in [2u16, 183] {
            file.extend_from_slice(&half.to_le_bytes());
        }
        file.extend_from_slice(&1u32.to_le_bytes());
        for word in [entry, 64, 0] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&0u32.to_le_bytes());
        let count = u16::try_from(segments.len()).expect("few");
        for half in [64u16, 56, count, 64, 0, 0] {
            file.extend_from_slice(&half.to_le_bytes());
        }
        let mut offset = 64 + 56 * u64::from(count);
        for (address, data) in segments {
            let len = u64::try_from(data.len()).expect("short");
            file.extend_from_slice(&1u32.to_le_bytes());
            file.extend_from_slice(&7u32.to_le_bytes());
            for word in [offset, *address, *address, len, len, 1] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            offset += len;
        }
        for (_, data) in segments {
            file.extend_from_slice(data);
        }
        file
    }

    #[test]
    fn segments_are_placed_by_their_addresses_with_zeros_between() {
        let file = elf(0x1000, &[(0x1004, &[3, 4]), (0x1000, &[1, 2])]);
        assert_eq!(flatten(&file), Ok(vec![1, 2, 0, 0, 3, 4]));
    }

    #[test]
    fn an_entry_that_is_not_the_first_byte_is_refused() {
        let file = elf(0x1002, &[(0x1000, &[1, 2, 3, 4])]);
        assert!(flatten(&file).expect_err("refused").contains("entry point 0x1002"));
    }

    #[test]
    fn odd_files_are_errors() {
        assert!(flatten(b"hello").is_err());
        assert!(flatten(&elf(0, &[])).is_err());
        assert!(flatten(&elf(0, &[(0, &[1]), (1 << 40, &[2])])).is_err());
    }

    #[test]
    fn cargos_messages_name_the_programs() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"backend"},"executable":"/t/backend"}"#;
        assert_eq!(executable(line), Some(("backend".into(), "/t/backend".into())));
        let library = r#"{"reason":"compiler-artifact","target":{"name":"x"},"executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable("warning: text"), None);
    }
}
