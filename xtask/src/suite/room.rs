//! Owns what the parts need of the disk: asked for before they begin, and given back by each in
//! continuous integration. Never removes what another part, or a developer, would build again.

use crate::cli::Category;
use crate::outcome::{Stop, files};
use crate::{paths, space};

/// Asks for the room of these parts, in an empty target/.
pub(super) fn check(parts: &[Category]) -> Result<(), Stop> {
    space::check(needed_by(parts, in_ci()))
}

/// Where parts tidy up behind them, only what lasts adds up.
fn needed_by(parts: &[Category], they_tidy_up: bool) -> u64 {
    let (passing, lasting): (Vec<Category>, Vec<Category>) =
        parts.iter().partition(|part| they_tidy_up && !own_folders(**part).is_empty());
    let largest = passing.iter().map(|part| needed_mb(*part)).max().unwrap_or(0);
    largest + lasting.iter().map(|part| needed_mb(*part)).sum::<u64>()
}

/// Removes what a part that is done has built and nobody needs again, where nobody comes back.
pub(super) fn tidy(part: Category) -> Result<(), Stop> {
    if !in_ci() {
        return Ok(());
    }
    own_folders(part).iter().try_for_each(|name| files::remove_dir(&paths::target().join(name)))
}

/// Every folder of target/ that one part alone uses.
pub(crate) fn folders() -> impl Iterator<Item = &'static str> {
    Category::ALL.iter().flat_map(|part| own_folders(*part)).copied()
}

/// Every service that runs continuous integration says so, and .ci/run does.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// What a part writes into an empty target/, with a fifth to spare.
const fn needed_mb(part: Category) -> u64 {
    match part {
        Category::Host => 2000,
        Category::Package => 800,
        Category::Explore => 350,
        Category::Fuzz => 500,
        Category::Miri => 300,
        Category::Qemu => 1200,
        Category::Image => 100,
        Category::Report => 50,
        Category::Conformance => 300,
    }
}

/// The folders of target/ that one part alone uses.
const fn own_folders(part: Category) -> &'static [&'static str] {
    match part {
        Category::Package => {
            &["outside", "oldest", "x86_64-pc-windows-gnu", "aarch64-apple-darwin"]
        }
        Category::Explore => &["walk"],
        Category::Fuzz => &["fuzz"],
        Category::Miri => &["miri"],
        Category::Host
        | Category::Qemu
        | Category::Image
        | Category::Report
        | Category::Conformance => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::{needed_by, needed_mb};
    use crate::cli::Category;

    #[test]
    fn of_parts_that_tidy_up_the_largest_counts() {
        let [host, package, miri] = [Category::Host, Category::Package, Category::Miri];
        let all = needed_mb(host) + needed_mb(package) + needed_mb(miri);
        assert_eq!(needed_by(&[host, package, miri], false), all);
        assert_eq!(needed_by(&[host, package, miri], true), all - needed_mb(miri));
        assert_eq!(needed_by(&[host], true), needed_mb(host));
    }

    #[test]
    fn all_of_continuous_integration_fits_5_gb() {
        assert!(needed_by(&Category::ALL, true) < 5000);
    }
}
