//! Owns `cargo xtask powercut`: boots a workload that stores, kills QEMU in the middle, boots again on the
//! same flash file, and holds what is found against what was acknowledged. Never kills anything but the
//! child that it started.

mod aim;
mod judge;
mod session;

use crate::cli::PowercutArgs;
use crate::flash_file::{self, Tells};
use crate::image::{self, Variant};
use crate::json::{self, Fields};
use crate::outcome::{Stop, files};
use crate::setup::{self, Consent};
use crate::{interrupt, paths, say};
use aim::{Aim, Dice};
use judge::Record;
use session::Session;
use std::path::Path;
use std::time::Duration;

/// How often progress is told.
const TELL_EVERY: u64 = 10;

/// How often the tests aim anew while no cut hit an operation.
const TRIES: usize = 5;

pub(crate) fn powercut(args: &PowercutArgs, consent: Consent) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        setup::for_images(consent)?;
        image::make(&[Variant::Honest])?;
        let dir = paths::runs().join(paths::stamp("powercut"));
        let seed = args.seed.map_or_else(new_seed, Ok)?;
        fields.insert("seed".to_owned(), seed.into());
        say::progress(&format!("{} cuts, --seed {seed}; logs in {}", args.rounds, dir.display()));
        let mut dice = Dice::of(seed);
        let others = std::iter::repeat_with(|| dice.aim());
        let aims = std::iter::once(Aim::first()).chain(others);
        let count = usize::try_from(args.rounds).unwrap_or(usize::MAX);
        let mut aims = aims.take(count);
        let record = cut(|_| aims.next(), &dir, fields)?;
        record.too_few(args.rounds).map_or(Ok(()), |why| Err(Stop::failed(why)))
    })
}

/// Three cuts that need no store that turns over, for the tests; and more, until one hits an operation.
pub(crate) fn few(dir: &Path) -> Result<(), Stop> {
    let mut aims = few_aims();
    let record = cut(|record| aims(record.hits()), dir, &mut Fields::new())?;
    if record.hits() > 0 {
        return Ok(());
    }
    Err(Stop::failed(format!("no cut hit an operation of the flash (logs in {})", dir.display())))
}

/// The moments of [`few`], each for how many cuts hit an operation so far.
fn few_aims() -> impl FnMut(u64) -> Option<Aim> {
    let in_program = Aim::InProgram(9, Duration::from_micros(100));
    let mut first = [
        in_program,
        Aim::AfterStart(Duration::from_millis(1500)),
        Aim::AfterFound(Duration::from_millis(150)),
    ]
    .into_iter();
    let mut again = std::iter::repeat_n(in_program, TRIES);
    move |hits| first.next().or_else(|| if hits == 0 { again.next() } else { None })
}

/// Cuts the power at these moments, each chosen in sight of the cuts before it, then boots once more and
/// looks. What was found goes into the fields.
fn cut(
    mut next: impl FnMut(&Record) -> Option<Aim>,
    dir: &Path,
    fields: &mut Fields,
) -> Result<Record, Stop> {
    files::make_dir(dir)?;
    let flash = dir.join("flash.bin");
    flash_file::make(&Variant::Honest.flash(), &flash, Tells::Yes)?;
    let mut record = Record::new();
    let mut round = 0;
    while let Some(aim) = next(&record) {
        interrupt::check()?;
        round += 1;
        let session = Session { flash: &flash, dir: &dir.join(format!("cut-{round}")) };
        let seen = session.until(aim)?;
        record.take(round, &seen);
        tell(&record, fields);
        if let Some(why) = record.broken() {
            return Err(Stop::failed(format!("{why} (logs in {})", dir.display())));
        }
        if round % TELL_EVERY == 0 {
            say::progress(&format!("cut {round}: {record}"));
        }
    }
    // What the last cut left.
    let session = Session { flash: &flash, dir: &dir.join("last") };
    let seen = session.until(Aim::Look)?;
    record.take(round + 1, &seen);
    tell(&record, fields);
    say::line(&format!("  {record}"));
    flash_file::remove(&flash)?;
    match record.broken() {
        None => Ok(record),
        Some(why) => Err(Stop::failed(why)),
    }
}

fn tell(record: &Record, fields: &mut Fields) {
    for (name, value) in record.figures() {
        fields.insert(name.to_owned(), value.into());
    }
}

fn new_seed() -> Result<u64, Stop> {
    use std::io::Read;
    let file = Path::new("/dev/urandom");
    let mut bytes = [0; 8];
    let read = std::fs::File::open(file).and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(|e| Stop::file("read", file, &e))?;
    // Short enough to be typed.
    Ok(u64::from_le_bytes(bytes) % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{Aim, TRIES, few_aims};

    #[test]
    fn the_few_cuts_go_on_until_one_hits_an_operation_and_not_for_ever() {
        let mut all_miss = few_aims();
        let made: Vec<_> = std::iter::from_fn(|| all_miss(0)).collect();
        assert_eq!(made.len(), 3 + TRIES);
        assert!(made[3..].iter().all(|aim| matches!(aim, Aim::InProgram(..))));
        let mut first_hits = few_aims();
        assert_eq!(std::iter::from_fn(|| first_hits(1)).count(), 3);
    }
}
