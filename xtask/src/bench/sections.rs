//! Owns the sizes of the partition's image: bytes of code, constants, variables and stacks, read from
//! its ELF. Never judges them.

use super::figure::Figure;
use crate::image::build::{self, Program};
use crate::outcome::{Stop, files};
use object::{Object, ObjectSection};

/// The sections of the partition with all services.
pub(super) fn measure() -> Result<Vec<Figure>, Stop> {
    let path = build::elf(Program::Partition)?;
    let bytes = files::read(&path)?;
    let elf = object::read::elf::ElfFile64::<object::Endianness>::parse(bytes.as_slice())
        .map_err(|e| Stop::failed(format!("{}: {e}", path.display())))?;
    let loaded = elf.sections().filter(|section| section.address() > 0 && section.size() > 0);
    Ok(loaded
        .filter_map(|section| {
            let name = section.name().ok()?.to_owned();
            Some(Figure::bytes(format!("size/section {name}"), section.size()))
        })
        .collect())
}
