//! Owns the test of target/image/: the files of the contract are there, and the QEMU line that
//! `cargo xtask image` prints boots them as it stands, in a shell.

use super::tally::Tally;
use super::{Context, log_name};
use crate::boot::Logs;
use crate::disk::{BUILT_IN_BYTES, Disk};
use crate::outcome::{Stop, files};
use crate::paths;
use crate::process::{self, Step};
use crate::setup::qemu;
use crate::verdict::{self, Report, Transfer};
use causeway_guests::jobs::TRANSFER;
use std::fs;
use std::path::Path;
use std::time::Duration;

const NAMES: [&str; 7] =
    ["sp.bin", "sp.dtb", "monitor.bin", "fip.bin", "bl1.bin", "flash.bin", "fiptool"];
const FLASH_BYTES: u64 = 64 << 20;
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let log = log_name(context.dir, "image");
    let out = context.dir.join("image.out");
    let image = Step::new("cargo xtask image", context.program, &log).args(["image"]);
    let name = "image::the_contracts_files_are_there";
    match image.stdout_to(&out).run().and_then(|()| complete(&paths::image())) {
        Ok(()) => tally.passed(name),
        Err(stop) => {
            tally.failed(name, &stop.reason, Some(&log));
            return crate::interrupt::check();
        }
    }
    let name = "image::the_printed_line_boots_flash_bin";
    match boot(context, &out) {
        Ok(()) => tally.passed(name),
        Err(stop) => tally.failed(name, &stop.reason, Some(context.dir)),
    }
    crate::interrupt::check()
}

fn complete(dir: &Path) -> Result<(), Stop> {
    for name in NAMES {
        let len = fs::metadata(dir.join(name)).map(|meta| meta.len()).unwrap_or(0);
        if len == 0 {
            return Err(Stop::failed(format!("{name} is missing or empty")));
        }
    }
    let flash = files::read(&dir.join("flash.bin"))?;
    let padded = flash.last() == Some(&0xff);
    if u64::try_from(flash.len()).ok() != Some(FLASH_BYTES) || !padded {
        return Err(Stop::failed("flash.bin is not 64 MiB padded with 0xFF"));
    }
    Ok(())
}

fn boot(context: &Context<'_>, out: &Path) -> Result<(), Stop> {
    let printed = String::from_utf8_lossy(&files::read(out)?).into_owned();
    let line = printed
        .lines()
        .find(|line| line.starts_with(&qemu::program()))
        .ok_or_else(|| Stop::failed("image printed no QEMU line"))?;
    let log = log_name(context.dir, "image-qemu");
    let status = Step::new("the printed QEMU line", "sh", &log)
        .args(["-c", &format!("exec {line}")])
        .dir(context.dir)
        .limit(LIMIT)
        .status()?;
    if !status.success() {
        process::show_tail(&log);
        return Err(Stop::failed(format!("QEMU {}", process::why(status, &log))));
    }
    let lines = |name: &str| -> Result<Vec<String>, Stop> {
        let bytes = files::read(&paths::image().join(name))?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    };
    let logs =
        Logs { normal: lines("normal.log")?, secure: lines("secure.log")?, ..Logs::default() };
    let disk = Disk::built_in(BUILT_IN_BYTES)?;
    let mut broken = verdict::of_job(&TRANSFER, &Report::of(&logs));
    broken.extend(verdict::of_transfer(&disk, disk.has_changed(), &Transfer::of(&logs)));
    match broken.first() {
        None => Ok(()),
        Some(first) => Err(Stop::failed(first.to_string())),
    }
}
