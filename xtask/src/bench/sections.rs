//! Owns the sizes of the partition's image: bytes of code, constants, variables and stacks, read from
//! its ELF. Never builds it.

use super::figure::Figure;
use crate::outcome::{Stop, files};
use crate::paths;
use crate::setup::rust::BARE_METAL;
use object::{Object, ObjectSection};

/// The sections of the image that was built last.
pub(super) fn measure() -> Result<Vec<Figure>, Stop> {
    let path = paths::target().join(BARE_METAL).join("release/causeway-sp");
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
