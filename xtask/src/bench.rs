//! Owns `cargo xtask bench`: what is measured in which form, the list of figures, the comparison with
//! the kept baseline. Never judges a goal itself: the goals lie with what is measured.

mod baseline;
mod calls;
mod figure;
mod host;
mod page;
mod plot;
mod sections;
mod services;
mod vms;

use crate::cli::{BenchArgs, Cpu};
use crate::image::{self, Size};
use crate::json;
use crate::outcome::{Stop, files};
use crate::setup::{self, Consent};
use crate::{paths, say};
use causeway_bench::plan::Extent;
use causeway_bench::report::Report;
use figure::{Amount, Figure};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

/// Measures for a person; the JSON file is written whatever happens.
pub(crate) fn bench(args: &BenchArgs, consent: Consent) -> Result<(), Stop> {
    json::listed(args.json.as_deref(), |list| {
        setup::for_images(consent)?;
        let dir = paths::runs().join(paths::stamp("bench"));
        let extent = if args.full { Extent::Full } else { Extent::Quick };
        let (report, calls) = calls(extent, &dir)?;
        files::write(&dir.join("costs.md"), report.markdown())?;
        say::line(&report.markdown());
        if args.then.accept {
            list.extend(calls.iter().map(Figure::json));
            return baseline::accept(&calls);
        }
        let mut figures = calls.clone();
        let told = rest(args.full.then_some(consent), &dir, &mut figures);
        list.extend(figures.iter().map(Figure::json));
        say::line(&figure::table("The rest", &figures[calls.len()..]));
        told?;
        if args.then.write {
            page::write(&report, &figures, &dir)?;
        }
        let missed = tell(&figures, &dir);
        if !args.full {
            baseline::check(&calls)?;
        }
        match (missed.first(), args.check) {
            (Some(first), true) => Err(Stop::failed(format!(
                "{} figures miss their goals, the first is {}",
                missed.len(),
                first.name
            ))),
            (_, _) => Ok(()),
        }
    })
}

/// Says which goals are missed, and gives them back.
fn tell<'a>(figures: &'a [Figure], dir: &Path) -> Vec<&'a Figure> {
    let missed: Vec<&Figure> = missed(figures).collect();
    for figure in &missed {
        let goal = figure.goal.map(Amount::text).unwrap_or_default();
        let Figure { name, unit, value, .. } = figure;
        say::line(&format!("  missed: {name}: {} {unit}, goal {goal}", value.text()));
    }
    say::line(&format!(
        "  {} figures, {} goals missed; tables in {}",
        figures.len(),
        missed.len(),
        dir.join("costs.md").display()
    ));
    missed
}

/// What the tests run: the short form, which must be what is kept. How many figures, how many goals
/// are missed.
pub(crate) fn short_form(dir: &Path) -> Result<(usize, usize), Stop> {
    let (_, figures) = calls(Extent::Quick, dir)?;
    baseline::check(&figures)?;
    Ok((figures.len(), missed(&figures).count()))
}

fn missed(figures: &[Figure]) -> impl Iterator<Item = &Figure> {
    figures.iter().filter(|figure| figure.met() == Some(false))
}

/// What is measured beside the calls; what was measured before something failed stands in the list.
fn rest(full: Option<Consent>, dir: &Path, figures: &mut Vec<Figure>) -> Result<(), Stop> {
    figures.extend(image::sizes()?.map(of_image));
    figures.extend(services::measure(&dir.join("services"), LIMIT)?);
    figures.extend(sections::measure()?);
    if let Some(consent) = full {
        figures.extend(vms::measure(&dir.join("vms"), LIMIT)?);
        figures.extend(host::measure(dir, consent)?);
    }
    Ok(())
}

/// The size of an image beside its goal.
fn of_image(size: Size) -> Figure {
    let number = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
    Figure::bytes(size.name(), number(size.bytes)).goal(Some(Amount::whole(number(size.goal()))))
}

/// Builds the images, boots both partitions on both processors.
fn calls(extent: Extent, dir: &Path) -> Result<(Report, Vec<Figure>), Stop> {
    image::make_bench()?;
    let report = calls::report(Cpu::Max, extent, dir)?;
    let mut figures = calls::figures(Cpu::Max, &report);
    let other = calls::report(Cpu::CortexA57, Extent::Brief, dir)?;
    figures.extend(calls::figures(Cpu::CortexA57, &other));
    Ok((report, figures))
}

#[cfg(test)]
mod tests {
    use super::of_image;
    use crate::image::Size;
    use causeway_guests::jobs::Profile::{Full, Minimal};

    #[test]
    fn an_image_that_is_too_large_misses_its_goal() {
        for (profile, goal) in [(Full, 131_072), (Minimal, 49_152)] {
            let at = |bytes| Size { profile, bytes };
            assert!(at(goal).met() && !at(goal + 1).met());
            assert!(
                at(goal + 1).line().ends_with("missed)") && !at(goal).line().contains("missed")
            );
            assert_eq!(of_image(at(goal)).met(), Some(true));
            assert_eq!(of_image(at(goal + 1)).met(), Some(false));
        }
    }
}
