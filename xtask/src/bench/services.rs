//! Owns the figures of the calls of the security services and of interrupts: a guest counts them, in a boot
//! of the job `service_figures`. Never judges one: the job's bounds do.

use crate::cli::Cpu;
use crate::image::{self, Variant};
use crate::outcome::Stop;
use crate::run::{Plan, Results};
use crate::say;
use causeway_guests::jobs::SERVICE_FIGURES;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// What calls of one kind took, in instructions, as a VM sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    call: String,
    mean: u64,
    worst: u64,
}

/// Boots the job; a figure beyond its bound is a failure.
pub(super) fn measure(dir: &Path, limit: Duration) -> Result<Vec<Figure>, Stop> {
    let (job, variant) = (&SERVICE_FIGURES, Variant::of(&SERVICE_FIGURES));
    image::make(&[variant])?;
    say::progress("measuring the security services and interrupts, from a VM");
    let plan = Plan {
        job,
        variant,
        cpu: Cpu::Max,
        smp: 1,
        limit,
        disk: None,
        traced: false,
        audited: false,
    };
    let ran = plan.boot(dir, &mut |_| ())?;
    match ran.broken.first() {
        None => Ok(figures(&ran.results)),
        Some(first) => {
            Err(Stop::failed(format!("{}: {first} (logs: {})", job.name, dir.display())))
        }
    }
}

/// What VM 1 reported: `CALL_mean` and `CALL_worst`.
fn figures(results: &Results) -> Vec<Figure> {
    let number = |text: &String| text.parse::<u64>().ok();
    let Some(told) = results.get("vm1") else { return Vec::new() };
    let figure = |(name, mean): (&String, &String)| {
        let call = name.strip_suffix("_mean")?;
        let worst = told.get(&format!("{call}_worst")).and_then(number)?;
        Some(Figure { call: call.to_owned(), mean: number(mean)?, worst })
    };
    told.iter().filter_map(figure).collect()
}

/// For a person.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "\n## Security services and interrupts, as a VM sees them\n\n\
         | call | instructions | at most |\n| --- | --- | --- |\n",
    );
    for Figure { call, mean, worst } in figures {
        text.push_str(&format!("| {} | {mean} | {worst} |\n", say::printable(call)));
    }
    text
}

/// For the JSON file.
pub(super) fn json(figures: &[Figure]) -> Value {
    let one = |figure: &Figure| {
        json!({
            "name": format!("services/{}", figure.call),
            "unit": "instructions",
            "value": figure.mean,
            "seen_by_caller": figure.mean,
            "max_seen_by_caller": figure.worst,
        })
    };
    figures.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{Figure, figures, json, table};
    use std::collections::BTreeMap;

    #[test]
    fn a_call_with_mean_and_worst_is_a_figure_and_nothing_else_is() {
        let told =
            [("a_mean", "5"), ("a_worst", "9"), ("b_mean", "5"), ("c_worst", "1"), ("d", "2")];
        let told = told.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let results = BTreeMap::from([("vm1", BTreeMap::from(told))]);
        let found = figures(&results);
        assert_eq!(found, [Figure { call: "a".into(), mean: 5, worst: 9 }]);
        assert!(table(&found).contains("| a | 5 | 9 |"));
        assert_eq!(json(&found)[0]["max_seen_by_caller"], 9);
        assert_eq!(figures(&BTreeMap::new()), []);
    }
}
