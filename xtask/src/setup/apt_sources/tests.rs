//! Owns the tests of the apt source parser. Never touches the machine's own sources.

use super::{DebianMirror, deb822, find, one_line};

const KEY: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

fn mirror(uris: &str, key: Option<&str>) -> DebianMirror {
    DebianMirror { uris: uris.into(), signed_by: key.map(Into::into), trusted: false }
}

#[test]
fn a_one_line_source_is_read_with_and_without_options() {
    let plain = "# c\ndeb http://mirror.example/debian bookworm main contrib # tail\n";
    assert_eq!(one_line(plain), Some(mirror("http://mirror.example/debian", None)));
    let with = format!("deb [ arch=amd64 signed-by={KEY} ] http://m.example/debian trixie main");
    assert_eq!(one_line(&with), Some(mirror("http://m.example/debian", Some(KEY))));
    let tight = "deb-src [trusted=yes] http://m.example/debian sid main";
    assert!(one_line(tight).is_some_and(|m| m.trusted));
}

#[test]
fn other_peoples_sources_and_odd_lines_are_passed_over() {
    for line in [
        "deb http://packages.example/apt cloud-sdk-bookworm main",
        "deb http://download.example/linux/debian bookworm stable",
        "deb http://m.example/debian-security bookworm-security main",
        "deb cdrom:[Debian GNU/Linux 12]/ bookworm main",
        "deb [signed-by=x http://m.example/debian bookworm main",
        "debian http://m.example/debian bookworm main",
        "deb http://m.example/ubuntu noble main",
        "deb http://m.example/debian",
        "deb",
        "",
    ] {
        assert_eq!(one_line(line), None, "{line}");
    }
}

#[test]
fn a_deb822_source_is_read_and_disabled_ones_are_not() {
    let text = format!(
        "Types: deb\n# c\nURIs: https://node.example/x\nSuites: nodistro\nComponents: main\n\n\
         Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n\n\
         types: deb\nuris: http://m.example/debian\n http://n.example/debian\n\
         Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: {KEY}\n"
    );
    let both = "http://m.example/debian http://n.example/debian";
    assert_eq!(deb822(&text), Some(mirror(both, Some(KEY))));
}

#[test]
fn a_key_inside_the_source_keeps_its_lines() {
    let text = "Types: deb\nURIs: http://m.example/debian\nSuites: stable\nComponents: main\n\
                Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n";
    let found = deb822(text).expect("a mirror");
    let entry = found.deb_src("trixie");
    assert!(entry.contains("\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"), "{entry}");
    assert!(entry.starts_with("Types: deb-src\nURIs: http://m.example/debian\nSuites: trixie\n"));
}

#[test]
fn both_kinds_of_files_are_looked_at_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let parts = dir.path().join("sources.list.d");
    std::fs::create_dir(&parts).expect("a folder");
    assert_eq!(find(dir.path()), None);
    let deb822 = "Types: deb\nURIs: http://b.example/debian\nSuites: trixie\nComponents: main\n";
    std::fs::write(parts.join("debian.sources"), deb822).expect("written");
    std::fs::write(parts.join("debian.sources.save"), "deb http://x.example/debian sid main")
        .expect("written");
    assert_eq!(find(dir.path()).expect("a mirror").uris, "http://b.example/debian");
    std::fs::write(dir.path().join("sources.list"), "deb http://a.example/debian sid main")
        .expect("written");
    assert_eq!(find(dir.path()).expect("a mirror").uris, "http://a.example/debian");
}
