//! Owns `cargo xtask docs`: writes the generated parts of the documents, or says which are stale, and
//! which links are broken. Never touches what people wrote around those parts.

mod interface;
mod links;
pub(crate) mod parts;

use crate::cli::DocsArgs;
use crate::conformance::kept;
use crate::outcome::{Stop, files};
use crate::{paths, say};
use std::path::PathBuf;

/// Writes one part anew.
type Render = fn() -> Result<String, Stop>;

/// A document with generated parts.
struct Document {
    path: &'static str,
    /// The parts by the name in their mark.
    parts: &'static [(&'static str, Render)],
}

const DOCUMENTS: [Document; 2] = [
    Document {
        path: "docs/hypercall-interface.md",
        parts: &[
            ("limits", interface::limits),
            ("calls", interface::calls),
            ("registers", interface::registers),
            ("statuses", interface::statuses),
            ("values", interface::values),
        ],
    },
    Document {
        path: "docs/spmc-matrix.md",
        parts: &[("spmc-sources", kept::sources), ("spmc-matrix", kept::matrix)],
    },
];

/// Writes the parts, or compares them.
pub(crate) fn docs(args: DocsArgs) -> Result<(), Stop> {
    let mut stale = Vec::new();
    for document in &DOCUMENTS {
        let (path, old) = document.read()?;
        let new = document.render(&old)?;
        if new == old {
            continue;
        }
        if args.check {
            stale.push(document.path);
        } else {
            say::progress(&format!("writing {}", document.path));
            files::write(&path, new.as_bytes())?;
        }
    }
    if !stale.is_empty() {
        let list = stale.join(", ");
        return Err(
            Stop::failed(format!("not what the definitions say: {list}")).mend("cargo xtask docs")
        );
    }
    let broken = links::broken_links(&paths::root())?;
    match broken.as_slice() {
        [] => Ok(()),
        [first, rest @ ..] => {
            for link in &broken {
                say::note(link);
            }
            let more =
                if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            Err(Stop::failed(format!("broken link: {first}{more}")).mend("mend the links above"))
        }
    }
}

impl Document {
    fn read(&self) -> Result<(PathBuf, String), Stop> {
        let path = paths::root().join(self.path);
        let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
        Ok((path, text))
    }

    fn render(&self, text: &str) -> Result<String, Stop> {
        let mut text = text.to_owned();
        for (name, render) in self.parts {
            text = parts::replace(&text, name, &render()?)
                .map_err(|why| Stop::failed(format!("{}: {why}", self.path)))?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::DOCUMENTS;

    #[test]
    fn the_generated_parts_of_the_documents_say_what_the_definitions_say() {
        for document in &DOCUMENTS {
            let (_, old) = document.read().expect("the document");
            assert!(document.render(&old).expect("its parts") == old, "run: cargo xtask docs");
        }
    }
}
