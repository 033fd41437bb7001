//! Owns the figures of requests between two VMs: a boot of the job `figures`. Never judges one: the
//! job's goals do, and they stand in the figures.

use super::figure::{Amount, Figure};
use crate::cli::Cpu;
use crate::disk::Disk;
use crate::image::Variant;
use crate::outcome::Stop;
use crate::run::Plan;
use crate::say;
use causeway_guests::jobs::FIGURES;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const DISK_BYTES: u64 = 4 << 20;

/// Boots the job; the images are there.
pub(super) fn measure(dir: &Path, limit: Duration) -> Result<Vec<Figure>, Stop> {
    say::progress("measuring requests between two VMs");
    let disk = Disk::built_in(DISK_BYTES)?;
    let plan = Plan {
        job: &FIGURES,
        variant: Variant::of(&FIGURES),
        cpu: Cpu::Max,
        smp: 1,
        limit,
        disk: Some(&disk),
        traced: false,
        audited: false,
    };
    let ran = plan.boot(dir, &mut |_| ())?;
    let counted = ran.figures.ok_or_else(|| {
        Stop::failed(format!("the job figures printed none (logs: {})", dir.display()))
    })?;
    Ok(figures(&counted.json()))
}

fn figures(told: &Value) -> Vec<Figure> {
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
    let of = |who: &'static str| {
        let pass = told.get(who)?;
        let (bytes, copy) = (number(told, "bytes")?, number(told, "plain_copy_instructions")?);
        let [depth, requests, doorbells, instructions] =
            ["depth", "requests", "doorbells", "instructions"].map(|key| number(pass, key));
        let (requests, instructions) = (requests?, instructions?);
        let name = format!("virtio_vm_to_vm/{who}, depth {}", depth?);
        let (each, byte) = (Amount::of(instructions, requests)?, Amount::of(instructions, bytes)?);
        let beside = Figure::new(format!("{name}, a byte"), "instructions a byte", byte);
        Some([
            Figure::instructions(format!("{name}, a request"), each.floor()),
            beside
                .beside("a plain copy in one VM", Amount::of(copy, bytes)?)
                .goal(Amount::of(copy * 13, bytes * 10)),
            // The goal is fewer than 0.2.
            Figure::new(
                format!("{name}, doorbells"),
                "a request",
                Amount::of(doorbells?, requests)?,
            )
            .goal(Amount::of(199, 1000)),
        ])
    };
    ["virtio_drivers", "own_driver"].into_iter().filter_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::figures;
    use serde_json::json;

    #[test]
    fn a_pass_is_told_by_request_and_by_byte_beside_the_copy() {
        let pass = json!({"depth": 16, "requests": 10, "doorbells": 2, "instructions": 1300});
        let told = json!({"bytes": 1000, "plain_copy_instructions": 1000, "own_driver": pass});
        let met: Vec<_> = figures(&told).iter().map(|f| (f.value.text(), f.met())).collect();
        let expected = [("130", None), ("1.300", Some(true)), ("0.200", Some(false))];
        assert_eq!(met, expected.map(|(value, met)| (value.to_owned(), met)));
        assert_eq!(figures(&json!({})), []);
    }
}
