//! Owns where requirements stand and how a row of a document becomes one. Never judges whether its
//! tests exist.

/// A document with requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What the project delivers, and its invariants.
    Requirements,
    /// The clauses of the service interface.
    Interface,
    /// Threats and what meets them.
    Security,
    /// Which refusal comes first.
    Precedence,
}

impl Source {
    pub(super) const ALL: [Self; 4] =
        [Self::Requirements, Self::Interface, Self::Security, Self::Precedence];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Requirements => "docs/requirements.md",
            Self::Interface => "docs/hypercall-interface.md",
            Self::Security => "docs/security-design.md",
            Self::Precedence => "docs/error-precedence.md",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Requirements => "What the project delivers, and the invariants",
            Self::Interface => "Clauses of the service interface",
            Self::Security => "Threats",
            Self::Precedence => "Refusals and their order",
        }
    }

    /// Whether a first cell is the id of a requirement of this document.
    fn has(self, id: &str) -> bool {
        let numbered = |prefix: &str| {
            id.strip_prefix(prefix).is_some_and(|rest| {
                !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric())
            })
        };
        match self {
            Self::Requirements => ["C", "S", "I"].iter().any(|prefix| {
                id.strip_prefix(prefix).is_some_and(|rest| rest.parse::<u8>().is_ok())
            }),
            Self::Interface => numbered("HI-"),
            Self::Security => numbered("SD-"),
            Self::Precedence => false,
        }
    }
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) source: Source,
    pub(super) id: String,
    /// In words.
    pub(super) what: String,
    /// The names in its last column.
    pub(super) tests: Vec<String>,
    /// Why it is not delivered yet.
    pub(super) open: Option<String>,
}

/// The requirements of a document.
pub(super) fn read(source: Source, text: &str) -> Vec<Requirement> {
    if source == Source::Precedence {
        return precedence(text);
    }
    let rows = text.lines().filter_map(cells);
    rows.filter_map(|row| {
        let [id, what, .., last] = row.as_slice() else { return None };
        source.has(id).then(|| Requirement {
            source,
            id: id.clone(),
            what: what.clone(),
            tests: names(last),
            open: last.split_once("open:").map(|(_, why)| why.trim().to_owned()),
        })
    })
    .collect()
}

/// The rows of docs/error-precedence.md: of a call, the order, the check, the status, and a test of the
/// host; most tables also say who tries it on the target. "The same" is the test of the row before.
fn precedence(text: &str) -> Vec<Requirement> {
    let mut list: Vec<Requirement> = Vec::new();
    let (mut section, mut call, mut before) = (String::new(), String::new(), Vec::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            (section, call) = (title.to_owned(), String::new());
        }
        let Some(row) = cells(line) else { continue };
        let (order, check, rest) = match row.as_slice() {
            // A row that begins with the call, or, for the same call, with nothing.
            [name, order, check, rest @ ..]
                if order.parse::<u8>().is_ok() || (order.is_empty() && !check.is_empty()) =>
            {
                if !name.is_empty() {
                    call.clone_from(name);
                }
                (order, check, rest)
            }
            [order, check, rest @ ..] if order.parse::<u8>().is_ok() => {
                call.clone_from(&section);
                (order, check, rest)
            }
            _ => continue,
        };
        let [status, evidence @ ..] = rest else { continue };
        let host = evidence.first().map(String::as_str).unwrap_or_default();
        let mut tests = names(host);
        if host.contains("the same") || host.starts_with("as ") {
            tests = [before.clone(), tests].concat();
        }
        tests.extend(evidence.get(1).map(|target| names(target)).unwrap_or_default());
        tests.dedup();
        if !host.contains("the same") || before.is_empty() {
            before.clone_from(&tests);
        }
        let id = unique(&list, format!("EP {call} {order}").trim().to_owned());
        let what = format!("{check}: {status}");
        list.push(Requirement { source: Source::Precedence, id, what, tests, open: None });
    }
    list
}

/// Two rows of one order are told apart by a letter.
fn unique(list: &[Requirement], id: String) -> String {
    let taken = |id: &str| list.iter().any(|other| other.id == id);
    if !taken(&id) {
        return id;
    }
    let lettered = ('b'..='z').map(|letter| format!("{id}{letter}"));
    lettered.into_iter().find(|id| !taken(id)).unwrap_or(id)
}

/// The cells of a table's row; nothing for heads' rules and other lines.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
    (!cells.iter().all(|cell| cell.chars().all(|c| c == '-'))).then_some(cells)
}

/// What stands in backticks and can be a test's or a job's name: no crate, no file, no status.
fn names(cell: &str) -> Vec<String> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_/:".contains(c);
            // A name that got lost is none of a test, and is noticed.
            let is_name = name.is_empty()
                || name.contains(['_', '/', ':'])
                || causeway_guests::jobs::find(name).is_some();
            name.chars().all(plain) && is_name
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, names, read};

    #[test]
    fn rows_with_an_id_are_requirements_and_open_ones_say_why() {
        let text = "| clause | rule | tests |\n| --- | --- | --- |\n\
                    | HI-A1 | a rule | `a_test`, `job/a_test` |\n| HI-A2 | b | open: later |\n| x | y | `z_z` |\n";
        let found = read(Source::Interface, text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].id.as_str(), found[0].tests.len()), ("HI-A1", 2));
        assert_eq!(found[1].open.as_deref(), Some("later"));
        assert!(read(Source::Security, text).is_empty());
    }

    #[test]
    fn each_order_of_each_call_is_a_requirement_with_the_test_that_its_row_means() {
        let text = "## Every call\n| order | check | status | test | target |\n| --- | --- | --- | --- | --- |\n\
                    | 1 | a | `A` | `first_test` | `j/one` |\n| 2 | b | `B` | the same | no: why |\n\
                    ## Others\n| call | order | check | status | test |\n| --- | --- | --- | --- | --- |\n\
                    | GO | 1 | c | `C` | `other_test` |\n| | 1 | d | `D` | `third_test` |\n";
        let found = read(Source::Precedence, text);
        let ids: Vec<_> = found.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["EP Every call 1", "EP Every call 2", "EP GO 1", "EP GO 1b"]);
        assert_eq!(found[1].tests, ["first_test", "j/one"]);
        assert_eq!(found[3].tests, ["third_test"]);
    }

    #[test]
    fn crates_statuses_and_words_are_no_tests() {
        assert_eq!(
            names("`causeway-vault`: `a_b`, `NoStore`, `x`, `fuzz::queue`"),
            ["a_b", "fuzz::queue"]
        );
        assert_eq!(names("``, `a_b`"), ["", "a_b"], "a name that got lost");
    }
}
