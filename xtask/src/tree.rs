//! Owns walking over the files of the repository. Never follows what was built.

use crate::outcome::{Stop, files as read};
use std::path::{Path, PathBuf};

/// Every file below the folder whose name has the ending, in order; nothing built, and nothing hidden.
pub(crate) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Stop> {
    let mut found = Vec::new();
    collect(folder, ending, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<(), Stop> {
    let entries = std::fs::read_dir(folder)
        .map_err(|why| Stop::failed(format!("cannot read {}: {why}", folder.display())))?;
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && !["target", "artifacts"].contains(&name) {
            collect(&path, ending, found)?;
        } else if path.is_file() && name.ends_with(ending) {
            found.push(path);
        }
    }
    Ok(())
}

/// A file as text; what is no UTF-8 is replaced.
pub(crate) fn text(path: &Path) -> Result<String, Stop> {
    Ok(String::from_utf8_lossy(&read::read(path)?).into_owned())
}

/// A path as the repository names it.
pub(crate) fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
