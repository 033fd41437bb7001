//! Owns the comparison of docs/unsafe.md with the tree. Never judges whether a site is sound.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust source of the workspace's packages.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line opens something unsafe; comments do not count.
fn is_site(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let opens = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"];
    opens.iter().any(|open| code.contains(open)) || code.contains("#[unsafe(")
}

fn in_the_tree() -> BTreeMap<String, usize> {
    let root = root();
    let mut found = Vec::new();
    let cores = ["abi", "ffa", "memshare", "service", "virtio"];
    let others = ["bench", "c-example", "client", "conformance-driver", "guests", "monitor", "sp"];
    for package in cores.into_iter().chain(others) {
        sources(&root.join(package), &mut found);
    }
    let mut sites = BTreeMap::new();
    for path in found {
        let text = std::fs::read_to_string(&path).expect("a readable source");
        let count = text.lines().filter(|line| is_site(line)).count();
        if count > 0 {
            let name = path.strip_prefix(&root).expect("inside").to_string_lossy().into_owned();
            sites.insert(name, count);
        }
    }
    sites
}

fn in_the_document() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("docs/unsafe.md")).expect("docs/unsafe.md");
    text.lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((name.to_owned(), cells.next()?.parse().ok()?))
        })
        .collect()
}

#[test]
fn every_unsafe_site_has_its_row() {
    let (tree, document) = (in_the_tree(), in_the_document());
    assert!(!tree.is_empty(), "the tree was not read");
    assert_eq!(tree, document, "left: the tree, right: docs/unsafe.md");
}

#[test]
fn the_cores_have_none() {
    for name in in_the_tree().keys() {
        let core =
            ["ffa/", "abi/", "memshare/", "virtio/"].iter().any(|core| name.starts_with(core));
        assert!(!core, "{name} has unsafe code");
    }
}

#[test]
fn sites_are_told_from_comments() {
    assert!(is_site("    unsafe { read(x) }"));
    assert!(is_site("unsafe impl Sync for Cell {}"));
    assert!(!is_site("// unsafe { } would be wrong here"));
    assert!(!is_site("forbid(unsafe_code)"));
}
