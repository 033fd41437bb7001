//! Owns the tables of docs/hypercall-interface.md, written from the definitions in `causeway-abi`.
//! Never adds a number of its own; a call's class is that of docs/bounds.md.

use crate::outcome::{Stop, files};
use crate::paths;
use crate::text::{self, constant};
use causeway_abi::call::Callers;
use causeway_abi::layout::Field;
use causeway_abi::vault::{self, KeyPurpose, services};
use causeway_abi::{
    CallId, CopyDirection, DigestHalf, GrantKind, JoinState, LedgerScope, LifeState, Permission,
    Status, Trigger, features, join,
};
use std::fmt::Debug;

/// Lines of a table: the heads, then a row for each.
fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rules = vec!["---".to_owned(); heads.len()];
    let mut text = line(&heads) + &line(&rules);
    text.extend(rows.into_iter().map(|row| line(&row)));
    text
}

pub(super) fn limits() -> Result<String, Stop> {
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    Ok(table(
        &["what", "value"],
        [
            row("major version", causeway_abi::VERSION_MAJOR.to_string()),
            row("minor version", causeway_abi::VERSION_MINOR.to_string()),
            row("UUID of the service, in text order", text::uuid(&causeway_abi::SERVICE_UUID)),
            row("bytes of a page, whatever a VM's granule", causeway_ffa::PAGE_SIZE.to_string()),
            row("no handle", format!("{:#x}", causeway_abi::NO_HANDLE)),
            row(
                "no peer (an offer to the partition alone)",
                format!("{:#x}", causeway_abi::NO_PEER),
            ),
            row("most bytes of one COPY", join::COPY_MAX_BYTES.to_string()),
            row("most random bytes of one ENTROPY", vault::ENTROPY_MAX_BYTES.to_string()),
            row("longest message of a call on a key", vault::KEY_MAX_BYTES.to_string()),
            row("bytes of an RPMB frame", vault::FRAME_BYTES.to_string()),
            row("bytes of a signature", vault::SIGNATURE_BYTES.to_string()),
            row("bytes of a key, a tag, a public key", vault::KEY_BYTES.to_string()),
            row("bytes of a proof (nonce of 24, tag of 16)", vault::PROOF_BYTES.to_string()),
        ],
    ))
}

/// The classes of docs/bounds.md, by call.
fn classes() -> Result<Vec<(String, String)>, Stop> {
    let text = files::read(&paths::root().join("docs/bounds.md"))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    Ok(text
        .lines()
        .filter_map(|line| match cells(line).as_slice() {
            [before, call, _, class, after] if before.is_empty() && after.is_empty() => {
                Some((call.clone(), class.clone()))
            }
            _ => None,
        })
        .collect())
}

pub(super) fn calls() -> Result<String, Stop> {
    let classes = classes()?;
    let mut rows = Vec::new();
    for call in CallId::ALL {
        let name = constant(call.name());
        let class =
            classes.iter().find(|(known, _)| *known == name).map(|(_, class)| class.clone());
        let class = class.ok_or_else(|| {
            Stop::failed(format!("docs/bounds.md has no row for {name}"))
                .mend("add the call's bound to docs/bounds.md")
        })?;
        rows.push(vec![
            format!("{:#04x}", call.number()),
            name,
            call.purpose().trim().to_owned(),
            match call.callers() {
                Callers::Vms => "VM",
                Callers::Hypervisor => "hypervisor",
                Callers::Both => "both",
            }
            .to_owned(),
            class,
        ]);
    }
    Ok(table(&["number", "call", "purpose", "by", "class"], rows))
}

fn place(field: Field) -> String {
    let name = field.name;
    match (field.low, field.high) {
        (0, 63) => format!("x{} `{name}`", field.register),
        (low, high) if low == high => format!("x{}[{low}] `{name}`", field.register),
        (low, high) => format!("x{}[{high}:{low}] `{name}`", field.register),
    }
}

pub(super) fn registers() -> Result<String, Stop> {
    let list = |fields: &[Field]| match fields {
        [] => "none".to_owned(),
        fields => fields.iter().map(|field| place(*field)).collect::<Vec<_>>().join(", "),
    };
    let rows = CallId::ALL.iter().map(|call| {
        let layout = call.layout();
        vec![constant(call.name()), list(layout.arguments), list(layout.results)]
    });
    Ok(table(&["call", "arguments", "results"], rows))
}

pub(super) fn statuses() -> Result<String, Stop> {
    let rows = Status::ALL.iter().map(|status| {
        vec![status.code().to_string(), status.name().to_owned(), status.rule().to_owned()]
    });
    Ok(table(&["code", "status", "the rule"], rows))
}

pub(super) fn values() -> Result<String, Stop> {
    let mut rows = Vec::new();
    named(&mut rows, "kind", GrantKind::from_code);
    named(&mut rows, "permission", Permission::from_code);
    named(&mut rows, "state of a grant", LifeState::from_code);
    named(&mut rows, "state of a join", JoinState::from_code);
    named(&mut rows, "direction", CopyDirection::from_code);
    named(&mut rows, "scope", LedgerScope::from_code);
    named(&mut rows, "half", DigestHalf::from_code);
    named(&mut rows, "trigger", Trigger::from_code);
    named(&mut rows, "purpose", KeyPurpose::from_code);
    let bits = [("feature of VERSION", features::ALL), ("service of VAULT_STATE", services::ALL)];
    for (field, all) in bits {
        let row = |(name, bit): &(&str, u64)| {
            vec![field.to_owned(), format!("bit {}", bit.trailing_zeros()), (*name).to_owned()]
        };
        rows.extend(all.iter().map(row));
    }
    Ok(table(&["field", "value", "name"], rows))
}

fn named<T: Debug>(rows: &mut Vec<Vec<String>>, field: &str, from_code: fn(u8) -> Option<T>) {
    let all = (0..=u8::MAX).filter_map(|code| Some((code, from_code(code)?)));
    rows.extend(
        all.map(|(code, value)| vec![field.to_owned(), code.to_string(), format!("{value:?}")]),
    );
}
