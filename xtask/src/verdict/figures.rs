//! Owns what the job `figures` counted, its goals, and its rows. Never boots.
//!
//! The machine counts instructions, one a nanosecond, on one core: a pass's time is the number of
//! instructions that both VMs, the monitor and the firmware made for it.

use super::Broken;
use crate::boot::Logs;
use crate::disk::Disk;
use crate::lines::{Fields, Line, Source};
use serde_json::{Value, json};

/// Doorbells a request, both ways, in thousandths: fewer.
const DOORBELLS_BELOW: u64 = 200;
/// Instructions a byte beside a plain copy's, in thousandths: at most.
const COPIES_AT_MOST: u64 = 1300;

/// One pass over the disk with one driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Requests that the queue held at a time.
    pub(crate) depth: u64,
    requests: u64,
    nanos: u64,
    doorbells: u64,
    partition_calls: u64,
    sha256: String,
}

/// Everything that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Bytes of a pass, and of the copy.
    bytes: u64,
    /// virtio-drivers' driver, as it is.
    pub(crate) unmodified: Pass,
    /// Our own driver.
    pub(crate) own: Pass,
    /// Instructions of the plain copy.
    copy: u64,
}

/// Thousandths of a fraction; `None` for a fraction of nothing.
fn thousandths(part: u64, whole: u64) -> Option<u64> {
    part.checked_mul(1000)?.checked_div(whole)
}

/// Thousandths as a number with three digits behind the point.
pub(crate) fn decimal(thousandths: Option<u64>) -> String {
    thousandths.map_or("-".to_owned(), |n| format!("{}.{:03}", n / 1000, n % 1000))
}

/// Doorbells a request, in thousandths.
pub(crate) fn doorbells_a_request(doorbells: Option<u64>, requests: Option<u64>) -> Option<u64> {
    thousandths(doorbells?, requests?)
}

impl Pass {
    fn of(fields: &Fields, depth: u64) -> Option<Self> {
        Some(Self {
            depth,
            requests: fields.number("requests")?,
            nanos: fields.number("nanos")?,
            doorbells: fields.number("doorbells")?,
            partition_calls: fields.number("partition_calls")?,
            sha256: fields.text("sha256")?.to_owned(),
        })
    }

    fn doorbells(&self) -> Option<u64> {
        thousandths(self.doorbells, self.requests)
    }

    fn judge(&self, name: &'static str, figures: &Figures, disk: &Disk) -> Vec<Broken> {
        let mut broken = Vec::new();
        if self.sha256 != disk.sha256 {
            broken.push(Broken::Digest(disk.sha256.clone(), self.sha256.clone()));
        }
        if self.partition_calls != 0 {
            broken.push(Broken::PartitionCalls(self.partition_calls));
        }
        if self.doorbells().is_none_or(|n| n >= DOORBELLS_BELOW) {
            broken.push(Broken::Figure(name, "doorbells a request", decimal(self.doorbells())));
        }
        let ratio = figures.beside_copy(self);
        if ratio.is_none_or(|n| n > COPIES_AT_MOST) {
            broken.push(Broken::Figure(name, "instructions beside a plain copy", decimal(ratio)));
        }
        broken
    }

    fn json(&self, figures: &Figures) -> Value {
        let number = |text: String| text.parse::<f64>().ok();
        json!({
            "depth": self.depth,
            "requests": self.requests,
            "doorbells": self.doorbells,
            "doorbells_per_request": number(decimal(self.doorbells())),
            "partition_calls": self.partition_calls,
            "instructions": self.nanos,
            "instructions_per_byte": number(decimal(thousandths(self.nanos, figures.bytes))),
            "beside_plain_copy": number(decimal(figures.beside_copy(self))),
        })
    }
}

impl Figures {
    /// Collects VM 1's lines; `None` unless all are there.
    pub(crate) fn of(logs: &Logs) -> Option<Self> {
        let lines = || {
            let lines = logs.normal.iter().map(|line| Line::normal(line));
            lines.filter(|line| line.source == Source::Vm(1))
        };
        let of = |who: &str| {
            let mut lines = lines().filter_map(|line| line.fields("FIGURES"));
            lines.find(|fields| fields.text("who") == Some(who))
        };
        let depth = of("depth")?;
        let result = lines().find_map(|line| line.fields("RESULT"))?;
        Some(Self {
            bytes: result.number("bytes")?,
            unmodified: Pass::of(&of("unmodified")?, depth.number("unmodified")?)?,
            own: Pass::of(&of("own")?, depth.number("own")?)?,
            copy: of("plain_copy")?.number("nanos")?,
        })
    }

    fn beside_copy(&self, pass: &Pass) -> Option<u64> {
        thousandths(pass.nanos, self.copy)
    }

    /// Every condition that does not hold, the goals included.
    pub(crate) fn judge(&self, disk: &Disk) -> Vec<Broken> {
        let mut broken = Vec::new();
        if self.bytes != disk.bytes {
            broken.push(Broken::Bytes(disk.bytes, self.bytes));
        }
        broken.extend(self.unmodified.judge("virtio-drivers", self, disk));
        broken.extend(self.own.judge("our own driver", self, disk));
        broken
    }

    /// The rows for a person.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for (who, pass) in [("virtio-drivers", &self.unmodified), ("own driver", &self.own)] {
            let who = format!("{who}, depth {}", pass.depth);
            let doorbells = format!("{}  (goal: under 0.2)", decimal(pass.doorbells()));
            rows.push((format!("{who}: doorbells a request"), doorbells));
            rows.push((
                format!("{who}: instructions a byte"),
                format!(
                    "{}  ({} of a plain copy; goal: 1.3)",
                    decimal(thousandths(pass.nanos, self.bytes)),
                    decimal(self.beside_copy(pass))
                ),
            ));
            let calls = pass.partition_calls.to_string();
            rows.push((format!("{who}: partition calls"), calls));
        }
        let copy = decimal(thousandths(self.copy, self.bytes));
        rows.push(("plain copy in one VM: instructions a byte".to_owned(), copy));
        rows
    }

    /// The same for the JSON file.
    pub(crate) fn json(&self) -> Value {
        json!({
            "bytes": self.bytes,
            "virtio_drivers": self.unmodified.json(self),
            "own_driver": self.own.json(self),
            "plain_copy_instructions": self.copy,
            "plain_copy_instructions_per_byte":
                decimal(thousandths(self.copy, self.bytes)).parse::<f64>().ok(),
            "goals": { "doorbells_per_request_below": 0.2, "beside_plain_copy_at_most": 1.3 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, Disk, Figures, Logs};

    fn disk() -> (tempfile::TempDir, Disk) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("disk");
        std::fs::write(&path, [7; 4096]).expect("written");
        let mut disk = Disk::open(&path).expect("a disk");
        disk.sha256 = "5e1f".to_owned();
        (dir, disk)
    }

    fn figures(from: &str, to: &str) -> Option<Figures> {
        let pass = "nanos=1300 doorbells=1 partition_calls=0 sha256=5e1f";
        let lines = [
            format!("[vm1] FIGURES who=unmodified requests=6 {pass}"),
            "[vm1] FIGURES who=depth unmodified=16 own=32".to_owned(),
            format!("[vm1] FIGURES who=own requests=7 {pass}"),
            "[vm1] FIGURES who=plain_copy nanos=1000".to_owned(),
            "[vm2] FIGURES who=plain_copy nanos=9000".to_owned(),
            "[vm1] RESULT job=figures status=ok bytes=4096 request_bytes=65536".to_owned(),
        ];
        let normal = lines.map(|line| line.replace(from, to)).to_vec();
        Figures::of(&Logs { normal, ..Logs::default() })
    }

    #[test]
    fn figures_at_their_goals_pass_and_one_beyond_fails_for_its_own_reason() {
        let (_dir, disk) = disk();
        let judged = |from, to| figures(from, to).expect("all lines").judge(&disk);
        assert_eq!(judged("", ""), []);
        let doorbells = Broken::Figure("virtio-drivers", "doorbells a request", "0.200".into());
        assert_eq!(judged("requests=6", "requests=5"), [doorbells]);
        let copies =
            Broken::Figure("our own driver", "instructions beside a plain copy", "1.301".into());
        assert_eq!(judged("requests=7 nanos=1300", "requests=7 nanos=1301"), [copies]);
        let called = "requests=7 nanos=1 doorbells=1 partition_calls=2";
        let from = "requests=7 nanos=1300 doorbells=1 partition_calls=0";
        assert_eq!(judged(from, called), [Broken::PartitionCalls(2)]);
        assert_eq!(judged("bytes=4096", "bytes=512"), [Broken::Bytes(4096, 512)]);
        assert_eq!(judged("requests=6 nanos", "requests=0 nanos").len(), 1);
        let other = judged("sha256=5e1f", "sha256=0");
        assert_eq!(other, [(); 2].map(|()| Broken::Digest("5e1f".into(), "0".into())));
    }

    #[test]
    fn a_figure_that_nobody_printed_is_none() {
        for gone in ["who=own", "who=depth", "who=plain_copy nanos=1000", "bytes=4096", "sha256"] {
            assert_eq!(figures(gone, "x"), None, "{gone}");
        }
        let rows = figures("", "").expect("all lines").rows();
        let text = format!("{rows:?}");
        assert!(text.contains("0.166") && text.contains("1.300"), "{text}");
    }
}
