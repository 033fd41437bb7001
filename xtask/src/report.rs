//! Owns the page that `run --report` writes: one file that needs nothing else. Never judges: it shows the
//! verdict that it is given. Whatever a VM said is shown as text.

mod draw;
mod ledger;

use crate::outcome::{Stop, files};
use crate::trace::Trace;
use ledger::Entry;
use std::collections::BTreeMap;
use std::path::Path;

const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/page.js");

/// What a page shows.
pub(crate) struct Page<'a> {
    /// The job's name, and what it shows.
    pub(crate) job: (&'a str, &'a str),
    /// What is wrong; nothing if the run passed.
    pub(crate) broken: &'a [String],
    /// The machine: names and values.
    pub(crate) facts: &'a [(&'static str, String)],
    /// The table of the run.
    pub(crate) table: &'a str,
    /// Every call.
    pub(crate) trace: &'a Trace,
    /// The ledger's dump, if the auditor printed one.
    pub(crate) ledger: &'a [u8],
}

impl Page<'_> {
    /// Writes the page.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Stop> {
        files::write(file, self.html())
    }

    fn html(&self) -> String {
        let entries = ledger::entries(self.ledger);
        let begins = self.begins(&entries);
        let at = |ticks: u64| self.trace.microseconds(ticks.saturating_sub(begins));
        let (name, shows) = self.job;
        let (word, class) =
            if self.broken.is_empty() { ("PASS", "pass") } else { ("FAIL", "fail") };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
             <title>Causeway: {0}: {word}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <h1>{0}: <span class=\"{class}\" id=\"verdict\">{word}</span></h1>\n<p>{1}</p>\n",
            text(name),
            text(shows),
        );
        if !self.broken.is_empty() {
            let list: String =
                self.broken.iter().map(|why| format!("<li>{}</li>", text(why))).collect();
            page += &format!("<ul class=\"fail\">{list}</ul>\n");
        }
        page += &table(
            "facts",
            &[],
            self.facts.iter().map(|(name, value)| vec![Cell::text(name), Cell::text(value)]),
        );
        page += "<h2>The worlds</h2>\n";
        page += &draw::worlds(self.trace);
        page += "<h2>The life of each grant</h2>\n";
        page += &draw::lives(&entries, &at);
        page += "<h2>The ledger</h2>\n";
        page += &ledger_table(&entries, &at);
        page += "<h2>Calls: how many, how long</h2>\n<p>Times are those of a traced run: each call also printed a \
                 line. Costs in instructions come from <code>cargo xtask bench</code>.</p>\n";
        page += &self.calls();
        page += &format!("<h2>Figures of the run</h2>\n<pre>{}</pre>\n", text(self.table));
        page + &format!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n")
    }

    /// The earliest moment that anything tells of.
    fn begins(&self, entries: &[Entry]) -> u64 {
        let calls = self.trace.records.iter().map(|record| record.at);
        calls.chain(entries.iter().map(|entry| entry.ticks)).min().unwrap_or(0)
    }

    /// By caller and name: how often, how often refused, how long.
    fn calls(&self) -> String {
        #[derive(Default)]
        struct Sum {
            count: u64,
            refused: u64,
            ticks: u64,
            most: u64,
        }
        let mut sums: BTreeMap<(String, String), Sum> = BTreeMap::new();
        for (record, explained) in self.trace.explained() {
            let by = record.by.split('.').next().unwrap_or_default().to_owned();
            let call = explained.service.as_ref().unwrap_or(&explained.call);
            let name = call.split(' ').next().unwrap_or_default().to_owned();
            let sum = sums.entry((by, name)).or_default();
            sum.count += 1;
            sum.refused += u64::from(explained.refusal.is_some());
            sum.ticks = sum.ticks.saturating_add(record.took);
            sum.most = sum.most.max(record.took);
        }
        let rows = sums.into_iter().map(|((by, name), sum)| {
            let mean = sum.ticks.checked_div(sum.count).unwrap_or_default();
            let time = |ticks| Cell::number(self.trace.microseconds(ticks));
            let (count, refused) = (Cell::number(sum.count), Cell::number(sum.refused));
            vec![Cell::text(&by), Cell::text(&name), count, refused, time(mean), time(sum.most)]
        });
        let heads = ["caller", "call", "calls", "refused", "mean us", "longest us"];
        format!("<div class=\"wide\">\n{}</div>\n", table("calls", &heads, rows))
    }
}

fn ledger_table(entries: &[Entry], at: &impl Fn(u64) -> u64) -> String {
    if entries.is_empty() {
        return "<p>The auditor VM printed no ledger in this run.</p>\n".to_owned();
    }
    let mut who: Vec<&str> = entries.iter().map(|entry| entry.who.as_str()).collect();
    who.sort_unstable();
    who.dedup();
    let options: String = who.iter().map(|who| format!("<option>{}</option>", text(who))).collect();
    let mut page = format!(
        "<form><label>Find <input id=\"filter-text\" type=\"search\" placeholder=\"refused, 0xffffffc2, ...\"></label>\
         <label>Caused by <select id=\"filter-who\"><option value=\"\">anybody</option>{options}</select></label>\
         <output id=\"filter-count\">{} records</output></form>\n<div class=\"wide\">\n",
        entries.len(),
    );
    let heads = ["us", "caused by", "what", "owner", "peer", "handle", "pages", "times"];
    let rows = entries.iter().map(|entry| {
        vec![
            Cell::number(at(entry.ticks)),
            Cell { who: true, ..Cell::text(&entry.who) },
            Cell::text(&entry.what),
            Cell::text(&entry.owner),
            Cell::text(&entry.peer),
            Cell::text(&entry.handle),
            Cell::number(u64::from(entry.pages)),
            Cell::number(u64::from(entry.times)),
        ]
    });
    page += &table("ledger", &heads, rows);
    page + "</div>\n"
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
struct Cell {
    text: String,
    number: bool,
    /// Names who caused the row.
    who: bool,
}

impl Cell {
    fn text(value: &str) -> Self {
        Self { text: text(value), ..Self::default() }
    }

    fn number(value: u64) -> Self {
        Self { text: value.to_string(), number: true, who: false }
    }
}

fn table(id: &str, heads: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> String {
    let mut html = format!("<table id=\"{id}\">\n");
    if !heads.is_empty() {
        let heads: String = heads.iter().map(|head| format!("<th>{}</th>", text(head))).collect();
        html += &format!("<thead><tr>{heads}</tr></thead>\n");
    }
    html += "<tbody>\n";
    for row in rows {
        let who = row.iter().find(|cell| cell.who);
        let who = who.map(|cell| format!(" data-who=\"{}\"", cell.text)).unwrap_or_default();
        let cells: String = row
            .iter()
            .map(|cell| {
                let class = if cell.number { " class=\"n\"" } else { "" };
                format!("<td{class}>{}</td>", cell.text)
            })
            .collect();
        html += &format!("<tr{who}>{cells}</tr>\n");
    }
    html + "</tbody>\n</table>\n"
}

/// Text that cannot be taken for markup.
fn text(plain: &str) -> String {
    let mut safe = String::new();
    for letter in plain.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' => safe.push('\n'),
            other if other.is_control() => safe.push('?'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::Page;
    use crate::trace::{Record, Trace};

    fn page(name: &str, broken: &[String]) -> String {
        let call = vec!["84000069".to_owned()];
        let answer = Some(vec!["84000060".to_owned(), "0".to_owned(), "fffffffe".to_owned()]);
        let record = Record { at: 100, took: 10, by: "vm1.0".to_owned(), call, answer };
        let trace = Trace { ticks_per_second: 1_000_000, records: vec![record] };
        let facts = [("cpu", "max".to_owned())];
        Page { job: (name, "x"), broken, facts: &facts, table: "rows", trace: &trace, ledger: &[] }
            .html()
    }

    #[test]
    fn what_anybody_said_is_text_and_never_markup() {
        let html = page("<script>alert(1)</script>", &["\"><img src=x>".to_owned()]);
        assert!(!html.contains("<script>alert") && !html.contains("<img"), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains(">FAIL<"));
    }

    #[test]
    fn the_page_needs_no_other_file_and_counts_calls_with_their_refusals() {
        let html = page("job", &[]);
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains(" src="));
        assert!(html.contains(">PASS<"));
        let row = "<td>vm1</td><td>FFA_ID_GET</td><td class=\"n\">1</td><td class=\"n\">1</td>";
        assert!(html.contains(row), "{html}");
    }
}
