//! Owns the tests of TF-A's source checks. Never builds TF-A.

use super::{Spmc, copy_tree, key, listed, version_of};
use std::fs;
use std::path::Path;

fn tree(minor: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let text = format!("VERSION_MAJOR := 2\nVERSION_MINOR\t:= {minor}\nVERSION_PATCH := 7\n");
    fs::write(dir.path().join("Makefile"), text).expect("written");
    dir
}

fn touch(path: &Path) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, "x").expect("written");
}

#[test]
fn only_the_pinned_release_is_accepted() {
    assert_eq!(version_of(tree("12").path()), Ok("2.12.7".to_owned()));
    let other = version_of(tree("13").path()).expect_err("2.13 is another release");
    assert!(other.reason.contains("2.13") && other.reason.contains("2.12"), "{other}");
    assert_eq!(other.exit.code(), 3);
    let none = version_of(Path::new("/nowhere")).expect_err("no tree");
    assert!(none.reason.contains("/nowhere is no tree") || none.reason.contains("no tree of"));
}

#[test]
fn the_key_follows_the_files_and_not_what_a_build_leaves() {
    let dir = tree("12");
    let first = key(dir.path(), Spmc::AtEl3).expect("a key");
    touch(&dir.path().join("build/qemu/bl1.bin"));
    touch(&dir.path().join(".git/HEAD"));
    touch(&dir.path().join("tools/fiptool/fiptool.o"));
    fs::remove_dir_all(dir.path().join("tools")).expect("removed");
    assert_eq!(key(dir.path(), Spmc::AtEl3).expect("a key"), first);
    touch(&dir.path().join("plat/qemu/new.c"));
    assert_ne!(key(dir.path(), Spmc::AtEl3).expect("a key"), first);
}

#[test]
fn a_copy_has_the_sources_and_the_tool_folder_but_no_build() {
    let dir = tree("12");
    touch(&dir.path().join("tools/fiptool/fiptool.c"));
    touch(&dir.path().join("tools/fiptool/fiptool"));
    touch(&dir.path().join("build/x"));
    let to = tempfile::tempdir().expect("a folder");
    copy_tree(dir.path(), to.path()).expect("copied");
    assert!(to.path().join("tools/fiptool/fiptool.c").is_file());
    assert!(!to.path().join("tools/fiptool/fiptool").exists());
    assert!(!to.path().join("build").exists());
    assert_eq!(listed(to.path()).expect("a list").len(), 2);
}

#[test]
fn each_spmc_has_a_build_of_its_own() {
    let dir = tree("12");
    let key = |spmc| key(dir.path(), spmc).expect("a key");
    assert_ne!(key(Spmc::AtEl3), key(Spmc::OpTee));
    assert_ne!(key(Spmc::AtEl3), key(Spmc::Hafnium));
    assert_ne!(key(Spmc::OpTee), key(Spmc::Hafnium));
}
