//! Owns the rule that no link in the repository's documents is broken: files, and headings in them; and
//! that documents which the code names are there. Never looks at addresses of the web.

use crate::outcome::Stop;
use crate::tree;
use std::collections::BTreeSet;
use std::path::Path;

/// Every broken link of every document, and every document that the code names and that is not there.
pub(super) fn broken_links(root: &Path) -> Result<Vec<String>, Stop> {
    let mut wrong = links_of_documents(root)?.0;
    wrong.extend(documents_that_code_names(root)?.0);
    Ok(wrong)
}

/// What is wrong, and how many links there are.
fn links_of_documents(root: &Path) -> Result<(Vec<String>, usize), Stop> {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in tree::files(root, ".md")? {
        let text = tree::text(&document)?;
        for target in targets(&text) {
            count += 1;
            if let Some(why) = broken(&document, &target) {
                wrong.push(format!("{}: {target}: {why}", tree::shown(root, &document)));
            }
        }
    }
    Ok((wrong, count))
}

/// What is wrong, and how many names there are.
fn documents_that_code_names(root: &Path) -> Result<(Vec<String>, usize), Stop> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || ['/', '-', '.', '_'].contains(&c);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for source in tree::files(root, ".rs")? {
        // The tests of this file name documents that are not there.
        if source.ends_with("xtask/src/docs/links.rs") {
            continue;
        }
        for rest in tree::text(&source)?.split("docs/").skip(1) {
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            let Some(at) = name.find(".md") else { continue };
            count += 1;
            let name = format!("docs/{}.md", name.get(..at).unwrap_or_default());
            if !root.join(&name).is_file() {
                wrong.push(format!("{}: {name}: no such file", tree::shown(root, &source)));
            }
        }
    }
    Ok((wrong, count))
}

/// The text without code: links in code are none.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            // Every second piece between back quotes is code.
            for (number, piece) in line.split('`').enumerate() {
                kept.push_str(if number % 2 == 0 { piece } else { "code" });
            }
        }
        kept.push('\n');
    }
    kept
}

/// The targets of `[text](target)`.
fn targets(text: &str) -> Vec<String> {
    let text = prose(text);
    let after = text.split("](").skip(1);
    after.filter_map(|rest| Some(rest.split_once(')')?.0.trim().to_owned())).collect()
}

/// The anchor of a heading, as forges make it.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && line.starts_with('#')
    });
    lines.map(anchor).collect()
}

/// What is wrong with a target, seen from a document.
fn broken(document: &Path, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => document.to_owned(),
        path => document.parent().unwrap_or(Path::new("")).join(path),
    };
    if !file.exists() {
        return Some("no such file");
    }
    if heading.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    (!anchors(&text).contains(heading)).then_some("no such heading")
}

#[cfg(test)]
mod tests {
    use super::{broken, documents_that_code_names, links_of_documents, targets};
    use crate::paths;

    #[test]
    fn no_link_of_a_document_is_broken() {
        let (wrong, count) = links_of_documents(&paths::root()).expect("readable");
        assert!(count > 40, "{count} links");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_document_that_the_code_names_is_there() {
        let (wrong, count) = documents_that_code_names(&paths::root()).expect("readable");
        assert!(count > 5, "{count} names");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn broken_links_are_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let document = dir.path().join("a.md");
        std::fs::write(&document, "# One, `two`\n```\n# three\n```\n").expect("written");
        let links =
            "[x](a.md#one-two) [y](b.md) [z](#three) `[c](gone)` [w](https://example.org/none)";
        let found: Vec<_> = targets(links)
            .iter()
            .map(|target| (target.clone(), broken(&document, target)))
            .filter_map(|(target, why)| Some((target, why?)))
            .collect();
        let expected = [("b.md", "no such file"), ("#three", "no such heading")];
        assert_eq!(found, expected.map(|(target, why)| (target.to_owned(), why)));
    }
}
