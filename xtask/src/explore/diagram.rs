//! Owns the diagram and the table of docs/state-machine.md, made of the moves that a whole walk has seen. Never
//! walks: a move that no walk meets is not drawn, and one that is drawn was met.

use super::{list, text};
use crate::docs::parts;
use crate::json::Fields;
use crate::outcome::{Stop, files};
use crate::{paths, say, tree};
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = "docs/state-machine.md";

/// From, to, by what, and whether the grant is for the partition alone.
type Moves = BTreeMap<(bool, String, String), BTreeSet<String>>;

/// Holds the page to what was found, or writes it. A walk of some worlds only says nothing of it.
pub(crate) fn hold(found: &Fields, write: bool) -> Result<(), Stop> {
    let moves = moves(found);
    if moves.is_empty()
        || list(found, "missing").iter().any(|_| true)
        || list(found, "runs").len() < 2
    {
        return Ok(());
    }
    let path = paths::root().join(PAGE);
    let old = tree::text(&path)?;
    let wrong = |why: String| Stop::failed(format!("{PAGE}: {why}"));
    let mut new = parts::replace(&old, "grants", &diagram(&moves, false)).map_err(wrong)?;
    new = parts::replace(&new, "local", &diagram(&moves, true)).map_err(wrong)?;
    new = parts::replace(&new, "moves", &table(&moves)).map_err(wrong)?;
    if new == old {
        return Ok(());
    }
    if write {
        say::progress(&format!("writing {PAGE}"));
        return files::write(&path, new);
    }
    Err(Stop::failed(format!("{PAGE} does not show the moves that the walk has seen"))
        .mend("cargo xtask explore --write"))
}

fn moves(found: &Fields) -> Moves {
    let mut moves = Moves::new();
    for one in list(found, "runs").iter().filter_map(|run| run.get("moves")?.as_array()).flatten() {
        let local = one.get("local").and_then(serde_json::Value::as_bool) == Some(true);
        let by = text(one.get("by"));
        moves.entry((local, text(one.get("from")), text(one.get("to")))).or_default().insert(by);
    }
    moves
}

/// A diagram that forges draw. What is no state is the beginning and the end.
fn diagram(moves: &Moves, local: bool) -> String {
    let mut lines = vec!["```mermaid".to_owned(), "stateDiagram-v2".to_owned()];
    for ((_, from, to), by) in moves.iter().filter(|((is_local, _, _), _)| *is_local == local) {
        let name = |state: &str| if state.is_empty() { "[*]".to_owned() } else { state.to_owned() };
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        lines.push(format!("    {} --> {}: {}", name(from), name(to), by.join(", ")));
    }
    lines.push("```".to_owned());
    lines.join("\n")
}

fn table(moves: &Moves) -> String {
    let mut lines =
        vec!["| grant | from | to | by |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    for ((local, from, to), by) in moves {
        let whose = if *local { "local area" } else { "between VMs" };
        let from = if from.is_empty() { "(none)" } else { from };
        let to = if to.is_empty() { "(released)" } else { to };
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        lines.push(format!("| {whose} | {from} | {to} | {} |", by.join(", ")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{diagram, moves, table};
    use crate::json::Fields;
    use serde_json::json;

    #[test]
    fn moves_of_one_pair_of_states_are_one_line_and_each_kind_of_grant_has_its_own() {
        let mut found = Fields::new();
        let one = |from: Option<&str>, by: &str, to: Option<&str>, local: bool| json!({ "from": from, "by": by, "to": to, "local": local });
        let list = [
            one(None, "Offer", Some("Offered"), false),
            one(Some("Offered"), "Reject", None, false),
            one(Some("Offered"), "Revoke", None, false),
            one(None, "Offer", Some("Active"), true),
        ];
        found.insert("runs".to_owned(), json!([{ "moves": list }]));
        let moves = moves(&found);
        let drawn = diagram(&moves, false);
        assert!(drawn.contains("    Offered --> [*]: Reject, Revoke\n"), "{drawn}");
        assert!(
            !drawn.contains("Active") && diagram(&moves, true).contains("[*] --> Active: Offer")
        );
        assert!(table(&moves).contains("| local area | (none) | Active | Offer |"));
    }
}
