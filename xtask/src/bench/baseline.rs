//! Owns the kept baseline of instruction counts (bench/baseline.json): what changed against it, and
//! its acceptance. Never measures.

use super::figure::{Figure, INSTRUCTIONS};
use crate::outcome::{Stop, files};
use crate::{paths, say};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The command that accepts what changed.
pub(super) const ACCEPT: &str = "cargo xtask bench --accept";
/// A change of more than so many thousandths of the old figure is one.
const MOST: u64 = 30;

/// Instructions by the figure's name.
pub(super) type Kept = BTreeMap<String, u64>;

fn path() -> PathBuf {
    paths::root().join("bench/baseline.json")
}

/// What of a run is kept: what the callers see, in instructions. Our own share is a part of it.
pub(super) fn kept(figures: &[Figure]) -> Kept {
    let counted = figures.iter().filter(|f| f.unit == INSTRUCTIONS && !f.name.ends_with("/own"));
    counted.map(|figure| (figure.name.clone(), figure.value.floor())).collect()
}

/// Each figure that differs too much, in words.
fn changes(old: &Kept, new: &Kept) -> Vec<String> {
    let mut list = Vec::new();
    for (name, value) in new {
        match old.get(name) {
            None => list.push(format!("{name}: {value}, not in the baseline")),
            Some(old) if value.abs_diff(*old).saturating_mul(1000) > old.saturating_mul(MOST) => {
                let tenths = value.abs_diff(*old).saturating_mul(1000).checked_div(*old);
                let percent = tenths.map_or("-".to_owned(), |n| format!("{}.{} %", n / 10, n % 10));
                let sign = if value > old { '+' } else { '-' };
                list.push(format!("{name}: {old} before, {value} now, {sign}{percent}"));
            }
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    list.extend(gone.map(|name| format!("{name}: in the baseline, not measured")));
    list
}

/// Compares the short form's figures with the baseline.
pub(super) fn check(figures: &[Figure]) -> Result<(), Stop> {
    let text = files::read(&path())?;
    let old: Kept = serde_json::from_slice(&text)
        .map_err(|e| Stop::failed(format!("bench/baseline.json: {e}")).mend(ACCEPT))?;
    judged(&changes(&old, &kept(figures)))
}

fn judged(changed: &[String]) -> Result<(), Stop> {
    let [first, rest @ ..] = changed else { return Ok(()) };
    for change in changed {
        say::note(&format!("  changed: {change}"));
    }
    let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
    Err(Stop::failed(format!(
        "instructions changed by more than 3 % against bench/baseline.json: {first}{more}; \
         if that is meant: {ACCEPT}"
    ))
    .mend(ACCEPT))
}

/// Makes the short form's figures the baseline.
pub(super) fn accept(figures: &[Figure]) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(&kept(figures))
        .map_err(|e| Stop::failed(format!("cannot write the baseline: {e}")))?;
    files::write(&path(), text + "\n")?;
    say::line(&format!("  accepted: {}", path().display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Kept, changes, judged, kept};
    use crate::bench::figure::{Amount, Figure};

    fn of(list: &[(&str, u64)]) -> Kept {
        list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn three_percent_is_no_change_and_more_is_one_in_either_direction() {
        let old = of(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000)]);
        let new = of(&[("a", 1030), ("b", 970), ("c", 1031), ("d", 969)]);
        let told = changes(&old, &new);
        assert_eq!(told, ["c: 1000 before, 1031 now, +3.1 %", "d: 1000 before, 969 now, -3.1 %"]);
        let reason = judged(&told).expect_err("changed").reason;
        assert!(reason.contains(&told[0]) && reason.contains("cargo xtask bench --accept"));
        assert!(judged(&[]).is_ok());
    }

    #[test]
    fn a_figure_that_is_new_or_gone_is_a_change() {
        let told = changes(&of(&[("gone", 5), ("zero", 0)]), &of(&[("new", 7), ("zero", 1)]));
        assert_eq!(
            told,
            [
                "new: 7, not in the baseline",
                "zero: 0 before, 1 now, +-",
                "gone: in the baseline, not measured"
            ]
        );
    }

    #[test]
    fn only_what_callers_see_in_instructions_is_kept() {
        let figures = [
            Figure::instructions("idle/version", 1313),
            Figure::instructions("idle/version/own", 115),
            Figure::bytes("size/code", 9),
            Figure::new("ratio", "bytes/s", Amount::whole(1)),
        ];
        assert_eq!(kept(&figures), of(&[("idle/version", 1313)]));
    }

    #[test]
    fn the_committed_baseline_is_readable_and_whole() {
        let text = std::fs::read(super::path()).expect("bench/baseline.json");
        let kept: Kept = serde_json::from_slice(&text).expect("names and numbers");
        for name in ["floor/message", "cortex-a57/floor/message", "cycle/1/cycle", "live/450/offer"]
        {
            assert!(kept.get(name).is_some_and(|value| *value > 0), "{name}");
        }
    }
}
