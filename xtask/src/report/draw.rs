//! Owns the page's pictures: the worlds with their calls, and the time line of grants. Never reads a file.

use super::ledger::Entry;
use super::text;
use crate::trace::Trace;
use causeway_abi::LifeState;
use std::collections::BTreeMap;

const WIDTH: u64 = 1000;
const LEFT: u64 = 230;
const ROW: u64 = 28;
/// More grants than this are told by number only.
const MAX_ROWS: usize = 60;

/// The worlds, with how many calls crossed each boundary.
pub(super) fn worlds(trace: &Trace) -> String {
    let by = |who: &str| {
        trace.records.iter().filter(|record| record.by.split('.').next() == Some(who)).count()
    };
    let mut svg = format!(
        "<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} 300\" role=\"img\" aria-label=\"The worlds and their calls\">\n"
    );
    let boxed = |x: u64, y: u64, w: u64, h: u64, title: &str, about: &str| {
        format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"4\" fill=\"none\" stroke=\"currentColor\"/>\
             <text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text><text x=\"{}\" y=\"{}\">{}</text>\n",
            x + 10,
            y + 22,
            text(title),
            x + 10,
            y + 42,
            text(about),
        )
    };
    for (number, about) in [(1, "frontend"), (2, "backend"), (3, "third")] {
        let x = 10 + (number - 1) * 200;
        svg += &boxed(x, 10, 180, 56, &format!("VM {number}"), about);
        let calls = by(&format!("vm{number}"));
        svg += &arrow(x + 90, 66, 110, &format!("{calls} calls"));
    }
    svg += &boxed(10, 110, 580, 56, "Hypervisor (EL2)", "identity, stage 2, doorbells");
    svg += &arrow(300, 166, 210, &format!("{} calls go on", by("monitor")));
    svg += &boxed(10, 210, 980, 70, "EL3 firmware and SPMC", "messages, memory transactions");
    svg += &boxed(
        640,
        10,
        350,
        156,
        "Causeway partition (S-EL1)",
        "policy, grants, locks, ledger, virtio-msg",
    );
    svg += &arrow(815, 166, 210, "");
    svg += "<line x1=\"615\" y1=\"0\" x2=\"615\" y2=\"200\" stroke=\"currentColor\" stroke-dasharray=\"4 4\"/>\
            <text x=\"540\" y=\"195\">normal</text><text x=\"625\" y=\"195\">secure world</text>\n";
    svg + "</svg></div>\n"
}

fn arrow(x: u64, from: u64, to: u64, label: &str) -> String {
    let tip = to.saturating_sub(7);
    format!(
        "<line x1=\"{x}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\" stroke=\"currentColor\"/>\
         <path d=\"M{} {tip} L{x} {to} L{} {tip}\" fill=\"none\" stroke=\"currentColor\"/>\
         <text x=\"{}\" y=\"{}\">{}</text>\n",
        x.saturating_sub(5),
        x + 5,
        x + 8,
        (from + to) / 2 + 5,
        text(label),
    )
}

const STATES: [(LifeState, &str); 6] = [
    (LifeState::Offered, "#d9a400"),
    (LifeState::Accepted, "#3b7dd8"),
    (LifeState::Active, "#2f9e57"),
    (LifeState::Releasing, "#e0762b"),
    (LifeState::AwaitingUnmap, "#c0262d"),
    (LifeState::Kept, "#777777"),
];

fn colour(state: LifeState) -> Option<&'static str> {
    STATES.iter().find(|(known, _)| *known == state).map(|(_, colour)| *colour)
}

/// One grant: its moves, in order of time, and what names it.
struct Life<'a> {
    first: &'a Entry,
    moves: Vec<(u64, LifeState)>,
}

/// Each grant as a bar, coloured by its state.
pub(super) fn lives(entries: &[Entry], at: &impl Fn(u64) -> u64) -> String {
    let mut lives: BTreeMap<(u16, u64, u32), Life<'_>> = BTreeMap::new();
    for entry in entries {
        let Some((grant, state)) = entry.moved else { continue };
        let life = lives.entry(grant).or_insert_with(|| Life { first: entry, moves: Vec::new() });
        life.moves.push((at(entry.ticks), state));
    }
    let mut lives: Vec<Life<'_>> = lives.into_values().collect();
    lives.sort_by_key(|life| life.moves.first().map(|(time, _)| *time));
    let all = lives.len();
    if all == 0 {
        return "<p>The ledger tells of no grant.</p>\n".to_owned();
    }
    lives.truncate(MAX_ROWS);
    let end = entries.iter().map(|entry| at(entry.ticks)).max().unwrap_or(1).max(1);
    let x = |time: u64| LEFT + part(WIDTH - LEFT - 10, time, end);
    let rows = u64::try_from(lives.len()).unwrap_or(0);
    let height = rows * ROW + 30;
    let key: String = STATES
        .iter()
        .map(|(state, colour)| {
            format!("<span><i style=\"background:{colour}\"></i>{state:?}</span>")
        })
        .collect();
    let mut html = format!(
        "<p class=\"key\">{key}</p>\n<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"The life of each grant\" id=\"lives\">\n"
    );
    for (life, row) in lives.iter().zip(0u64..) {
        html += &bar(life, row * ROW + 4, end, &x);
    }
    for quarter in 0..=4u64 {
        let time = part(end, quarter, 4);
        let (line, anchor) = (x(time), if quarter == 4 { "end" } else { "start" });
        html += &format!(
            "<line x1=\"{line}\" y1=\"0\" x2=\"{line}\" y2=\"{}\" stroke=\"currentColor\" opacity=\"0.3\"/>\
             <text x=\"{line}\" y=\"{}\" text-anchor=\"{anchor}\">{} ms</text>\n",
            rows * ROW + 8,
            height - 6,
            time / 1000,
        );
    }
    html += "</svg></div>\n";
    if all > lives.len() {
        html += &format!("<p>{all} grants in all; the first {} are shown.</p>\n", lives.len());
    }
    html
}

/// So much of `whole` as `some` is of `all`. A dump may say any time.
fn part(whole: u64, some: u64, all: u64) -> u64 {
    let wide = u128::from(whole) * u128::from(some);
    wide.checked_div(all.into()).and_then(|part| u64::try_from(part).ok()).unwrap_or(whole)
}

fn bar(life: &Life<'_>, y: u64, end: u64, x: &impl Fn(u64) -> u64) -> String {
    let first = life.first;
    let whom = if first.peer.is_empty() { "partition" } else { &first.peer };
    let label = format!("{} to {whom}, {} p., {}", first.owner, first.pages, first.handle);
    let mut html = format!("<text x=\"0\" y=\"{}\">{}</text>\n", y + 15, text(&label));
    let ends = life.moves.iter().skip(1).map(|(time, _)| *time).chain([end]);
    for ((from, state), to) in life.moves.iter().zip(ends) {
        let Some(colour) = colour(*state) else { continue };
        let (left, right) = (x(*from), x(to));
        // What was shorter than a point is still seen.
        let width = right.saturating_sub(left).max(2);
        html += &format!(
            "<rect x=\"{left}\" y=\"{y}\" width=\"{width}\" height=\"18\" fill=\"{colour}\">\
             <title>{state:?} from {from} us to {to} us</title></rect>\n"
        );
    }
    html
}

#[cfg(test)]
mod tests {
    use super::{Entry, lives};
    use causeway_abi::LifeState;

    #[test]
    fn whatever_times_a_dump_has_are_drawn_within_the_picture() {
        let entry = |ticks| Entry {
            ticks,
            who: "VM 1".to_owned(),
            what: String::new(),
            owner: "VM 1".to_owned(),
            peer: String::new(),
            handle: "0x1".to_owned(),
            pages: 1,
            times: 1,
            moved: Some(((1, 1, 1), LifeState::Offered)),
        };
        let html = lives(&[entry(u64::MAX / 2), entry(u64::MAX)], &|ticks| ticks);
        assert!(html.contains("<rect x=\"609\"") && html.contains("x1=\"990\""), "{html}");
    }
}
