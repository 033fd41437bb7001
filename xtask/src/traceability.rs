//! Owns `cargo xtask traceability`: which requirement is shown by which tests of which code, as a page
//! that is generated. Never runs a test: `cargo xtask test` does.

mod requirements;
mod tests_of_tree;

use crate::cli::TraceabilityArgs;
use crate::json::{self, Fields};
use crate::outcome::{Stop, files};
use crate::{paths, say, tree};
use requirements::{Requirement, Source};
use serde_json::json;
use std::path::Path;
pub(crate) use tests_of_tree::Tests;

const PAGE: &str = "docs/traceability.md";

pub(crate) fn traceability(args: &TraceabilityArgs) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        let root = paths::root();
        let matrix = Matrix::read(&root)?;
        matrix.tell(fields);
        say::line(&matrix.summary());
        let wrong = matrix.wrong();
        if let Some(first) = wrong.first() {
            wrong.iter().for_each(|why| say::note(why));
            return Err(Stop::failed(format!("{} of {}: {first}", wrong.len(), matrix.rows.len()))
                .mend("name a test in the last column of the requirement's row, or write one"));
        }
        let (path, page) = (root.join(PAGE), matrix.page());
        if !args.check {
            say::progress(&format!("writing {PAGE}"));
            return files::write(&path, page.as_bytes());
        }
        if tree::text(&path)? == page {
            return Ok(());
        }
        Err(Stop::failed(format!("{PAGE} is not up to date")).mend("cargo xtask traceability"))
    })
}

/// Every requirement with what was found of its tests.
struct Matrix {
    rows: Vec<Row>,
}

struct Row {
    of: Requirement,
    /// A test's name and, where there is one, the file that has it and the code that it is about.
    tests: Vec<(String, Option<(String, String)>)>,
}

impl Matrix {
    fn read(root: &Path) -> Result<Self, Stop> {
        let known = Tests::of(root)?;
        let mut rows = Vec::new();
        for source in Source::ALL {
            let text = tree::text(&root.join(source.path()))?;
            for of in requirements::read(source, &text) {
                let find = |name: &String| (name.clone(), known.find(name));
                let tests = of.tests.iter().map(find).collect();
                rows.push(Row { of, tests });
            }
        }
        Ok(Self { rows })
    }

    /// What keeps the matrix from being complete.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for source in Source::ALL {
            if !self.rows.iter().any(|row| row.of.source == source) {
                wrong.push(format!("{} has no requirement", source.path()));
            }
        }
        for (at, row) in self.rows.iter().enumerate() {
            let (id, path) = (&row.of.id, row.of.source.path());
            if self.rows.iter().take(at).any(|earlier| earlier.of.id == *id) {
                wrong.push(format!("{path}: {id} is there twice"));
            }
            if row.tests.is_empty() && row.of.open.is_none() {
                wrong.push(format!("{path}: {id} names no test"));
            }
            let unknown = row.tests.iter().filter(|(_, place)| place.is_none());
            wrong.extend(
                unknown.map(|(name, _)| format!("{path}: {id} names `{name}`, which is no test")),
            );
        }
        wrong
    }

    fn open(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.of.open.is_some())
    }

    fn summary(&self) -> String {
        let mut lines: Vec<String> = Source::ALL
            .iter()
            .map(|source| {
                let of = self.rows.iter().filter(|row| row.of.source == *source);
                let tests: usize = of.clone().map(|row| row.tests.len()).sum();
                format!(
                    "  {:3} requirements, {tests:4} references to tests: {}",
                    of.count(),
                    source.path()
                )
            })
            .collect();
        lines.extend(self.open().map(|row| {
            format!("  open: {} {}", row.of.id, row.of.open.as_deref().unwrap_or_default())
        }));
        lines.join("\n")
    }

    fn tell(&self, fields: &mut Fields) {
        let list: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let tests: Vec<_> = row
                    .tests
                    .iter()
                    .map(|(name, place)| {
                        let (file, code) = place.clone().unzip();
                        json!({ "name": name, "file": file, "code": code })
                    })
                    .collect();
                json!({
                    "id": row.of.id, "source": row.of.source.path(), "what": row.of.what,
                    "open": row.of.open, "tests": tests,
                })
            })
            .collect();
        fields.insert("requirements".to_owned(), list.into());
    }

    fn page(&self) -> String {
        let mut page = String::from(
            "# Traceability: requirement, code, test\n\n\
             Generated by `cargo xtask traceability`; do not edit. Requirements stand in the documents that each\n\
             section names. A file of tests belongs to the code beside it; a test with a slash is a job that VMs run\n\
             on the real stack, whose program is named. A row that is *open* is not delivered yet, and says why.\n",
        );
        for source in Source::ALL {
            page.push_str(&format!("\n## {}\n\n", source.title()));
            page.push_str(&format!(
                "From [{0}]({0}).\n\n",
                source.path().trim_start_matches("docs/")
            ));
            page.push_str("| requirement | what | code | tests |\n| --- | --- | --- | --- |\n");
            for row in self.rows.iter().filter(|row| row.of.source == source) {
                page.push_str(&row.line());
            }
        }
        page
    }
}

impl Row {
    fn line(&self) -> String {
        let mut codes: Vec<String> = Vec::new();
        for (_, code) in self.tests.iter().filter_map(|(_, place)| place.clone()) {
            let code = format!("`{code}`");
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        let tests: Vec<String> = self.tests.iter().map(|(name, _)| format!("`{name}`")).collect();
        let open = self.of.open.iter().map(|why| format!("*open*: {why}"));
        let shown: Vec<String> = tests.into_iter().chain(open).collect();
        let (id, what) = (&self.of.id, &self.of.what);
        format!("| {id} | {what} | {} | {} |\n", codes.join("<br>"), shown.join("<br>"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, PAGE};
    use crate::{paths, tree};

    #[test]
    fn every_requirement_has_a_test_and_every_named_test_is_there() {
        let matrix = Matrix::read(&paths::root()).expect("readable");
        assert_eq!(matrix.wrong(), Vec::<String>::new());
        assert!(matrix.rows.len() > 150, "{}", matrix.rows.len());
    }

    #[test]
    fn the_committed_page_is_up_to_date() {
        let root = paths::root();
        let page = Matrix::read(&root).expect("readable").page();
        assert!(
            tree::text(&root.join(PAGE)).expect("the page") == page,
            "run: cargo xtask traceability"
        );
    }
}
