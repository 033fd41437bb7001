//! Owns the bill of materials: every crate that goes into an image or a library, as SPDX 2.3 in JSON. Never
//! lists what only tests use. Source: SPDX Specification 2.3, clauses 6, 7 and 11.

use crate::outcome::{Stop, files};
use crate::paths;
use crate::process::{self, Answer};
use crate::text::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whose dependencies are listed.
const ROOTS: [&str; 4] = ["causeway-sp", "causeway-monitor", "causeway-guests", "causeway-client"];

pub(super) fn spdx(version: &str) -> Result<String, Stop> {
    let metadata = metadata()?;
    let lock = files::read(&paths::root().join("Cargo.lock"))?;
    let lock = String::from_utf8_lossy(&lock).into_owned();
    let document = document(version, &metadata, &lock, &commit_time())?;
    let text = serde_json::to_string_pretty(&document)
        .map_err(|why| Stop::failed(format!("cannot write the bill of materials: {why}")))?;
    Ok(text + "\n")
}

fn metadata() -> Result<Value, Stop> {
    let args = ["metadata", "--format-version", "1", "--locked"];
    let Answer { ok, stdout, all } = process::ask("cargo", &args, Duration::from_secs(120))?;
    if !ok {
        return Err(Stop::failed(format!("cargo metadata: {}", all.trim())));
    }
    serde_json::from_str(&stdout)
        .map_err(|why| Stop::failed(format!("cargo metadata says nothing known: {why}")))
}

/// When the commit was made: a build that is repeated says the same.
fn commit_time() -> String {
    let answer = process::ask("git", &["log", "-1", "--format=%ct"], Duration::from_secs(10));
    let seconds = answer.ok().and_then(|answer| answer.stdout.trim().parse().ok()).unwrap_or(0);
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    humantime::format_rfc3339_seconds(time.unwrap_or(std::time::UNIX_EPOCH)).to_string()
}

fn document(version: &str, metadata: &Value, lock: &str, time: &str) -> Result<Value, Stop> {
    let wrong = || Stop::failed("cargo metadata has not the form that is known");
    let list = |value: &Value| value.as_array().cloned().ok_or_else(wrong);
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])?
        .into_iter()
        .filter_map(|node| Some((node["id"].as_str()?.to_owned(), node)))
        .collect();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])?
        .into_iter()
        .filter_map(|package| Some((package["id"].as_str()?.to_owned(), package)))
        .collect();
    let roots = packages
        .iter()
        .filter(|(_, package)| ROOTS.iter().any(|root| package["name"] == *root))
        .map(|(id, _)| id.clone());
    let mut open: Vec<String> = roots.collect();
    if open.len() != ROOTS.len() {
        return Err(wrong());
    }
    let (mut seen, mut relations) = (BTreeSet::new(), BTreeSet::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for needed in needed(nodes.get(&id).unwrap_or(&Value::Null)) {
            if let (Some(one), Some(other)) = (packages.get(&id), packages.get(&needed)) {
                relations.insert((spdx_id(one), "DEPENDS_ON", spdx_id(other)));
            }
            open.push(needed);
        }
    }
    let chosen: Vec<&Value> = seen.iter().filter_map(|id| packages.get(id)).collect();
    for package in chosen.iter().filter(|package| package["source"].is_null()) {
        relations.insert(("SPDXRef-DOCUMENT".to_owned(), "DESCRIBES", spdx_id(package)));
    }
    let mut listed: Vec<Value> = chosen.iter().map(|package| entry(package, lock)).collect();
    listed.sort_by_key(|entry| entry["SPDXID"].to_string());
    let digest = hex(&Sha256::digest(json!(listed).to_string()));
    let relations: Vec<Value> = relations
        .into_iter()
        .map(|(one, how, other)| {
            json!({ "spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other })
        })
        .collect();
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("causeway-{version}"),
        "documentNamespace": format!("https://spdx.org/spdxdocs/causeway-{version}-{digest}"),
        "creationInfo": { "created": time, "creators": ["Tool: cargo-xtask-dist"] },
        "packages": listed,
        "relationships": relations,
    }))
}

/// What a package needs to be built, tests aside.
fn needed(node: &Value) -> Vec<String> {
    let deps = node["deps"].as_array().cloned().unwrap_or_default();
    deps.iter()
        .filter(|dep| {
            let kinds = dep["dep_kinds"].as_array().cloned().unwrap_or_default();
            kinds.iter().any(|kind| kind["kind"] != "dev")
        })
        .filter_map(|dep| Some(dep["pkg"].as_str()?.to_owned()))
        .collect()
}

fn named(package: &Value) -> (String, String) {
    let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
    (text("name"), text("version"))
}

fn spdx_id(package: &Value) -> String {
    let (name, version) = named(package);
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("SPDXRef-{name}-{version}").chars().map(safe).collect()
}

fn entry(package: &Value, lock: &str) -> Value {
    let (name, version) = named(package);
    let license = package["license"].as_str().unwrap_or("NOASSERTION").replace('/', " OR ");
    let mut entry = json!({
        "SPDXID": spdx_id(package),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": license,
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{name}@{version}"),
        }],
    });
    if let (Some(digest), Some(fields)) = (checksum(lock, &name, &version), entry.as_object_mut()) {
        let sum = json!([{ "algorithm": "SHA256", "checksumValue": digest }]);
        fields.insert("checksums".to_owned(), sum);
    }
    entry
}

/// The digest of a package's file that Cargo.lock has.
fn checksum(lock: &str, name: &str, version: &str) -> Option<String> {
    let lock: toml::Table = lock.parse().ok()?;
    let packages = lock.get("package")?.as_array()?;
    let is = |package: &&toml::Value, key: &str, value: &str| {
        package.get(key).and_then(toml::Value::as_str) == Some(value)
    };
    let found = packages.iter().find(|one| is(one, "name", name) && is(one, "version", version))?;
    Some(found.get("checksum")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{document, metadata};
    use crate::paths;

    #[test]
    fn what_images_are_made_of_is_listed_with_licence_and_digest_and_tests_are_not() {
        let lock = std::fs::read_to_string(paths::root().join("Cargo.lock")).expect("read");
        let metadata = metadata().expect("cargo");
        let made = document("0", &metadata, &lock, "1970-01-01T00:00:00Z").expect("a document");
        assert_eq!(made, document("0", &metadata, &lock, "1970-01-01T00:00:00Z").expect("again"));
        let packages = made["packages"].as_array().expect("a list");
        let find = |name: &str| packages.iter().find(|package| package["name"] == name);
        for name in ["causeway-sp", "causeway-memshare", "aarch64-rt", "sha2", "virtio-drivers"] {
            assert!(find(name).is_some(), "{name} is missing");
        }
        for name in ["proptest", "loom", "xtask", "clap"] {
            assert!(find(name).is_none(), "{name} is in no image");
        }
        for package in packages {
            assert_ne!(package["licenseDeclared"], "NOASSERTION", "{}", package["name"]);
            let foreign = !package["name"].as_str().unwrap_or_default().starts_with("causeway-");
            assert_eq!(package["checksums"].is_array(), foreign, "{}", package["name"]);
        }
        let describes = |rel: &&serde_json::Value| rel["relationshipType"] == "DESCRIBES";
        let relations = made["relationships"].as_array().expect("a list");
        assert!(relations.iter().filter(describes).count() >= 4);
    }
}
