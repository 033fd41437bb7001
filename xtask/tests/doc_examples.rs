//! Owns the rule that public items stand in a documentation example of their module (they compile, and
//! most run, in `cargo test --doc`): every item of the client library, every type, trait and free function
//! of the libraries that it is built on. Never judges an example.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
            found.push(path);
        }
    }
}

/// The name of the public item that a line declares. Macros' names are no names.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.trim_start().strip_prefix("pub ")?.split_whitespace();
    let mut word = words.next()?;
    while ["const", "unsafe", "async"].contains(&word) {
        let next = words.next()?;
        let is_item = ["fn", "unsafe", "async"].contains(&next);
        if word == "const" && !is_item {
            return Some(next.trim_end_matches(':'));
        }
        word = next;
    }
    if !["fn", "struct", "enum", "trait", "type"].contains(&word) {
        return None;
    }
    let name = words.next()?;
    let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len());
    name.get(..end).filter(|name| !name.is_empty())
}

/// The words of the code in the documentation of a file. Text blocks are no code.
fn example_words(text: &str, words: &mut BTreeSet<String>) {
    let mut in_code = false;
    let mut in_block = false;
    for line in text.lines() {
        let line = line.trim_start();
        let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            continue;
        };
        if let Some(kind) = doc.trim_start().strip_prefix("```") {
            in_code =
                !in_block && !["text", "toml", "ignore"].iter().any(|not| kind.starts_with(not));
            in_block = !in_block;
        } else if in_code {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            words.extend(doc.split(|c| !is_word(c)).map(str::to_owned));
        }
    }
}

/// Which items must stand in an example.
#[derive(Clone, Copy)]
enum Items {
    /// All.
    All,
    /// Types, traits and functions that belong to no type: not constants and methods.
    TypesAndFunctions,
}

impl Items {
    fn has(self, line: &str) -> bool {
        let is_constant = line.starts_with("pub const ") && !line.starts_with("pub const fn ");
        match self {
            Self::All => true,
            Self::TypesAndFunctions => line.starts_with("pub ") && !is_constant,
        }
    }
}

/// What each module of a library declares and has not in an example.
fn missing(library: &str, wanted: Items) -> (usize, BTreeMap<String, BTreeSet<String>>) {
    let src = root().join(library).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut items: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("inside");
        let module = inside.iter().next().and_then(|first| first.to_str()).expect("a name");
        let module = module.trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&file).expect("a readable source");
        example_words(&text, words.entry(module.clone()).or_default());
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().filter(|line| wanted.has(line));
        items.entry(module).or_default().extend(lines.filter_map(declared).map(str::to_owned));
    }
    let count = items.values().map(BTreeSet::len).sum();
    for (module, items) in &mut items {
        items.retain(|item| !words[module].contains(item));
    }
    items.retain(|_, items| !items.is_empty());
    (count, items)
}

#[test]
fn every_public_item_of_the_client_library_stands_in_an_example_of_its_module() {
    let (count, missing) = missing("client", Items::All);
    assert!(count > 150, "{count} items: the sources were not found");
    assert!(missing.is_empty(), "of {count} items these have no example: {missing:#?}");
}

#[test]
fn every_public_type_and_function_below_the_client_stands_in_an_example_of_its_module() {
    for (library, least) in [("ffa", 70), ("abi", 20), ("virtio", 80)] {
        let (count, missing) = missing(library, Items::TypesAndFunctions);
        assert!(count >= least, "{library}: {count} items: the sources were not found");
        assert!(missing.is_empty(), "{library}: of {count} these have no example: {missing:#?}");
    }
}

#[test]
fn items_and_examples_are_recognised() {
    for (line, name) in [
        ("pub fn offered<'c>(c: &'c C) -> O {", Some("offered")),
        ("    pub const fn handle(&self) -> H {", Some("handle")),
        ("    pub const unsafe fn new(base: B) -> Self {", Some("new")),
        ("pub const MAX: usize = 3;", Some("MAX")),
        ("pub struct Window {", Some("Window")),
        ("pub(crate) fn hidden() {", None),
        ("    pub field: u8,", None),
        ("pub use wait::Wait;", None),
        ("        pub struct $name;", None),
    ] {
        assert_eq!(declared(line), name, "{line}");
    }
    let mut words = BTreeSet::new();
    example_words(
        "//! prose\n//! ```\n//! # use a::Hidden;\n//! shown(1);\n//! ```\n//! after\n",
        &mut words,
    );
    example_words("/// ```text\n/// diagram\n/// ```\n", &mut words);
    let seen: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    assert_eq!(seen, ["1", "Hidden", "a", "shown", "use"]);
}
