//! Owns the figures of the calls of the security services and of interrupts: a guest counts them, in a boot
//! of the job `service_figures`. Never judges one: the job's bounds do.

use super::figure::Figure;
use crate::cli::Cpu;
use crate::image::{self, Variant};
use crate::outcome::Stop;
use crate::run::{Plan, Results};
use crate::say;
use causeway_guests::jobs::SERVICE_FIGURES;
use std::path::Path;
use std::time::Duration;

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
        let name = format!("services/{call}");
        let worst = Figure::instructions(format!("{name}/worst"), worst);
        Some([Figure::instructions(name, number(mean)?), worst])
    };
    told.iter().filter_map(figure).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::{Figure, figures};
    use std::collections::BTreeMap;

    #[test]
    fn a_call_with_mean_and_worst_is_a_figure_and_nothing_else_is() {
        let told =
            [("a_mean", "5"), ("a_worst", "9"), ("b_mean", "5"), ("c_worst", "1"), ("d", "2")];
        let told = told.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let results = BTreeMap::from([("vm1", BTreeMap::from(told))]);
        let found = figures(&results);
        let expected = [("services/a", 5), ("services/a/worst", 9)];
        assert_eq!(found, expected.map(|(name, value)| Figure::instructions(name, value)));
        assert_eq!(figures(&BTreeMap::new()), []);
    }
}
