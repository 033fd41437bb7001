//! Holds docs/bounds.md to the interface: a row for each call, and no other.

use super::*;

/// `HypMapping` is written `HYP_MAPPING`.
fn shown(id: CallId) -> String {
    let mut name = String::new();
    for letter in format!("{id:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn every_call_has_its_bound_and_every_bound_its_call() {
    let text = include_str!("../../../../docs/bounds.md");
    let cells = |line: &str| line.split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<_> = text.lines().filter(|l| l.starts_with("| ")).map(cells).skip(2).collect();
    for row in &rows {
        let [_, call, grows_with, class, _] = row.as_slice() else { panic!("{row:?}") };
        assert!(!grows_with.is_empty() && !class.is_empty(), "{call}");
        let known = CallId::ALL.iter().any(|id| shown(*id) == *call) || call.starts_with("\"VM ");
        assert!(known, "{call} is no call");
    }
    for id in CallId::ALL {
        assert_eq!(rows.iter().filter(|row| row[1] == shown(*id)).count(), 1, "{id:?}");
    }
}
