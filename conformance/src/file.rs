//! Owns patterns in RAM, and the moving of a file by counted copies through two joined areas.

use crate::run::{Run, Why, joined};
use crate::step::{Area, Name};
use crate::world::{Shared, World};
use causeway_abi::join::COPY_MAX_BYTES;
use causeway_abi::{Call, CopyDirection, GrantKind, GrantTerms, JoinState, Permission, Status};
use causeway_ffa::{EndpointId, MemHandle, PageAddr, PageRange, Transfer};
use sha2::{Digest, Sha256};

/// Bytes that are written and read at once.
const PIECE: usize = 256;
/// Pages of each of the two areas.
const PAGES: u32 = 16;
/// Pages from the start of a VM's RAM to its area, and to the file.
const AREA_PAGE: u64 = 64;
const FILE_PAGE: u64 = 256;
/// The number of the join.
const NUMBER: u16 = 77;

/// The byte of a pattern at an offset: changes with each byte and each page.
fn pattern(seed: u8, offset: u64) -> u8 {
    let [low, page, ..] = [offset, offset >> 12].map(|part| part.to_le_bytes()[0]);
    low.wrapping_mul(31).wrapping_add(page.wrapping_mul(7)).wrapping_add(seed)
}

fn each_piece(range: PageRange, mut piece: impl FnMut(u64, u64)) {
    for offset in (0..range.len_bytes()).step_by(PIECE) {
        piece(range.start().get() + offset, offset);
    }
}

/// Fills a range with a pattern.
pub(crate) fn fill(world: &mut impl World, range: PageRange, seed: u8) {
    each_piece(range, |address, offset| {
        let mut bytes = [0; PIECE];
        for (byte, at) in bytes.iter_mut().zip(offset..) {
            *byte = pattern(seed, at);
        }
        world.write(address, &bytes);
    });
}

/// Reports whether a range holds a pattern.
pub(crate) fn holds(world: &mut impl World, range: PageRange, seed: u8) -> bool {
    let mut right = true;
    each_piece(range, |address, offset| {
        let mut bytes = [0; PIECE];
        world.read(address, &mut bytes);
        right &= bytes.iter().zip(offset..).all(|(byte, at)| *byte == pattern(seed, at));
    });
    right
}

fn digest(world: &mut impl World, range: PageRange) -> [u8; 32] {
    let mut hash = Sha256::new();
    each_piece(range, |address, _| {
        let mut bytes = [0; PIECE];
        world.read(address, &mut bytes);
        hash.update(bytes);
    });
    hash.finalize().into()
}

fn copy(world: &mut impl World, from: u64, to: u64, bytes: u64) {
    let mut piece = [0; PIECE];
    for offset in (0..bytes).step_by(PIECE) {
        world.read(from + offset, &mut piece);
        world.write(to + offset, &piece);
    }
}

/// One side of the join.
struct Side {
    vm: EndpointId,
    area: PageRange,
    handle: MemHandle,
}

impl<W: World> Run<'_, W> {
    /// Moves a file of `bytes` bytes from one VM to another; both check its SHA-256.
    pub(crate) fn move_file(
        &mut self,
        from: EndpointId,
        to: EndpointId,
        bytes: u64,
    ) -> Result<(), Why> {
        let count = u32::try_from(bytes >> 12).map_err(|_| Why::Case)?;
        let file = |world: &W, vm| pages(world, Area { of: vm, page: FILE_PAGE, count });
        let (source, target) = (file(self.world, from)?, file(self.world, to)?);
        fill(self.world, source, 0x5a);
        fill(self.world, target, 0xa5);
        let want = digest(self.world, source);
        let left = self.join(from, to)?;
        let moved = self.join(to, from).and_then(|right| {
            let moved = self.through(&left, &right, source, target);
            let back = self.unjoin(&right);
            moved.and(back)
        });
        moved.and(self.unjoin(&left))?;
        (digest(self.world, target) == want).then_some(()).ok_or(Why::Bytes)
    }

    fn join(&mut self, vm: EndpointId, peer: EndpointId) -> Result<Side, Why> {
        let area = pages(self.world, Area { of: vm, page: AREA_PAGE, count: PAGES })?;
        let (tag, permission) = (area.start().get(), Permission::ReadWrite);
        let (kind, owner) = (Transfer::Share, vm);
        let shared = Shared { kind, owner, peer: None, permission, pages: area, tag };
        let handle = self.world.send(&shared)?;
        let terms = GrantTerms { peer: None, kind: GrantKind::Share, permission };
        self.must(vm, &Call::Offer { handle, terms, tag })?;
        let name = joined(Name { peer, number: NUMBER });
        self.must(vm, &Call::Join { handle, name })?;
        Ok(Side { vm, area, handle })
    }

    fn unjoin(&mut self, side: &Side) -> Result<(), Why> {
        self.must(side.vm, &Call::Revoke { handle: side.handle })?;
        self.world.reclaim(side.handle).map_err(Why::from)
    }

    /// The source VM puts a piece into its area, has it copied, and the other takes it out.
    fn through(
        &mut self,
        left: &Side,
        right: &Side,
        source: PageRange,
        target: PageRange,
    ) -> Result<(), Why> {
        let name = joined(Name { peer: right.vm, number: NUMBER });
        let state = self.must(left.vm, &Call::Joined { name })?;
        if state[0] != u64::from(JoinState::Joined.code()) {
            return Err(Why::Value(state[0]));
        }
        let piece = u64::from(COPY_MAX_BYTES);
        let room = left.area.len_bytes();
        for offset in (0..source.len_bytes()).step_by(usize::try_from(piece).unwrap_or(PIECE)) {
            // Another place in the areas each time.
            let at = offset % room;
            let length = piece.min(source.len_bytes() - offset);
            copy(self.world, source.start().get() + offset, left.area.start().get() + at, length);
            let direction = CopyDirection::ToPeer;
            let (from_offset, to_offset) = (at, at);
            let call = Call::Copy { name, direction, from_offset, to_offset, length };
            let [moved, out, ..] = self.must(left.vm, &call)?;
            if moved != length || out != offset + length {
                return Err(Why::Value(moved));
            }
            copy(self.world, right.area.start().get() + at, target.start().get() + offset, length);
        }
        Ok(())
    }

    fn must(&mut self, vm: EndpointId, call: &Call) -> Result<[u64; 4], Why> {
        let reply = self.service(vm, call)?;
        if reply.status == Status::Ok { Ok(reply.results) } else { Err(Why::Status(reply.status)) }
    }
}

fn pages(world: &impl World, area: Area) -> Result<PageRange, Why> {
    let start = PageAddr::new(world.ram(area.of) + (area.page << 12)).ok_or(Why::Case)?;
    PageRange::new(start, area.count).ok_or(Why::Case)
}
