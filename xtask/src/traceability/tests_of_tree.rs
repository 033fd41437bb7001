//! Owns the tests that the tree has, by name, and the code that each is about. Never runs one.

use crate::outcome::Stop;
use crate::tree;
use causeway_guests::jobs::JOBS;
use std::collections::BTreeMap;
use std::path::Path;

/// Every test of the tree.
pub(crate) struct Tests {
    /// The file of each test function.
    functions: BTreeMap<String, String>,
    /// Files of the tree.
    sources: Vec<String>,
}

impl Tests {
    pub(crate) fn of(root: &Path) -> Result<Self, Stop> {
        let (mut functions, mut sources) = (BTreeMap::new(), Vec::new());
        for path in tree::files(root, ".rs")? {
            let file = tree::shown(root, &path);
            for name in test_functions(&tree::text(&path)?) {
                functions.entry(name).or_insert_with(|| file.clone());
            }
            sources.push(file);
        }
        Ok(Self { functions, sources })
    }

    /// The file that has the test, and the code that it is about.
    pub(crate) fn find(&self, name: &str) -> Option<(String, String)> {
        if let Some(target) = name.strip_prefix("fuzz::") {
            let file = format!("fuzz/src/bin/{target}.rs");
            let other = format!("fuzz/fuzz_targets/{target}.rs");
            let file = [file, other].into_iter().find(|file| self.has(file))?;
            return Some((file.clone(), file));
        }
        if let Some(file) = self.functions.get(name) {
            return Some((file.clone(), self.code_beside(file)));
        }
        let job = JOBS.iter().find(|job| {
            job.name == name || job.tests.iter().copied().flatten().any(|test| *test == name)
        })?;
        let word = job.command_lines[0].trim_start_matches("job=");
        let program = word.split(' ').next().unwrap_or(word);
        let places = [
            format!("guests/src/programs/{program}.rs"),
            format!("guests/src/programs/{program}/mod.rs"),
        ];
        let file = places.into_iter().find(|file| self.has(file));
        let file = file.unwrap_or_else(|| "guests/src/programs.rs".to_owned());
        Some((file.clone(), file))
    }

    fn has(&self, file: &str) -> bool {
        self.sources.iter().any(|known| known == file)
    }

    /// `a/tests/b.rs` and `a/tests.rs` are about `a/b.rs`, `a.rs`; what lies in a crate's tests/ is about
    /// the crate; a file with its tests in itself is about itself.
    fn code_beside(&self, file: &str) -> String {
        if let Some((before, _)) = file.split_once("/tests/")
            && !before.contains("/src")
        {
            return format!("{before}/src");
        }
        let beside = file.replace("/tests/", "/");
        let parent = file.split("/tests").next().map(|before| format!("{before}.rs"));
        let candidates = [Some(beside), parent].into_iter().flatten();
        let found = candidates.into_iter().find(|code| code != file && self.has(code));
        found.unwrap_or_else(|| file.to_owned())
    }
}

/// Names of functions that are tests; those of proptest's and other macros, which have an attribute too.
fn test_functions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let function = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("fn ");
        if let Some(rest) = function {
            if is_test && let Some((name, _)) = rest.split_once(['(', '<']) {
                found.push(name.to_owned());
            }
            is_test = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Tests, test_functions};
    use std::collections::BTreeMap;

    #[test]
    fn only_functions_with_the_attribute_are_tests() {
        let text =
            "#[test]\n#[ignore]\nfn a_test() {}\nfn helper() {}\n    #[test]\n    fn other() {\n";
        assert_eq!(test_functions(text), ["a_test", "other"]);
    }

    #[test]
    fn a_test_is_about_the_code_beside_it() {
        let sources =
            ["a/src/b.rs", "a/src/b/tests/c.rs", "a/src/b/c.rs", "a/src/d.rs", "a/tests/e.rs"];
        let tests =
            Tests { functions: BTreeMap::new(), sources: sources.map(str::to_owned).to_vec() };
        let code = |file: &str| tests.code_beside(file);
        assert_eq!(code("a/src/b/tests/c.rs"), "a/src/b/c.rs");
        assert_eq!(code("a/src/b/tests/x.rs"), "a/src/b.rs");
        assert_eq!(code("a/src/d.rs"), "a/src/d.rs");
        assert_eq!(code("a/tests/e.rs"), "a/src");
    }
}
