//! Owns the reading of the machine's apt sources, one-line and deb822, and the private deb-src
//! entry made of them. Never writes to the machine's apt configuration.

use std::fs;
use std::path::Path;

/// A place that serves Debian's main component, as the machine's own sources name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DebianMirror {
    /// One or more addresses, blank separated.
    pub(crate) uris: String,
    /// The value of `Signed-By:` as it stands there, with its continuation lines.
    pub(crate) signed_by: Option<String>,
    /// Whether the source is marked as trusted without a signature.
    pub(crate) trusted: bool,
}

const SUITES: [&str; 13] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "trixie-backports",
    "bookworm-backports",
];

impl DebianMirror {
    /// The private source entry for another suite of the same mirror.
    pub(crate) fn deb_src(&self, suite: &str) -> String {
        let mut text =
            format!("Types: deb-src\nURIs: {}\nSuites: {suite}\nComponents: main\n", self.uris);
        if let Some(key) = &self.signed_by {
            text.push_str(&format!("Signed-By: {key}\n"));
        }
        if self.trusted {
            text.push_str("Trusted: yes\n");
        }
        text
    }
}

/// The first Debian mirror in an apt configuration folder (/etc/apt).
pub(crate) fn find(etc_apt: &Path) -> Option<DebianMirror> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc_apt.join("sources.list.d")) {
        let mut parts: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts);
    }
    files.iter().find_map(|file| {
        let text = String::from_utf8_lossy(&fs::read(file).ok()?).into_owned();
        match file.extension().and_then(|ext| ext.to_str()) {
            Some("list") => one_line(&text),
            Some("sources") => deb822(&text),
            Some(_) | None => None,
        }
    })
}

/// The first Debian mirror in the one-line format:
/// `deb [arch=amd64 signed-by=FILE] URI SUITE COMPONENT...`.
pub(crate) fn one_line(text: &str) -> Option<DebianMirror> {
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest = line.strip_prefix("deb")?;
        let rest = rest.strip_prefix("-src").unwrap_or(rest);
        if !rest.starts_with([' ', '\t', '[']) {
            return None;
        }
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        let option = |name: &str| {
            options.split_whitespace().find_map(|o| o.strip_prefix(name)?.strip_prefix('='))
        };
        let mirror = DebianMirror {
            uris: uri.to_owned(),
            signed_by: option("signed-by").map(str::to_owned),
            trusted: option("trusted") == Some("yes"),
        };
        serves_main(uri, &[suite], &words.collect::<Vec<_>>()).then_some(mirror)
    })
}

/// The first Debian mirror in the deb822 format.
pub(crate) fn deb822(text: &str) -> Option<DebianMirror> {
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if let Some(mirror) = from_stanza(&stanza) {
                return Some(mirror);
            }
            stanza.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    None
}

fn from_stanza(stanza: &[(String, String)]) -> Option<DebianMirror> {
    let field =
        |name: &str| stanza.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    let is = |name: &str, value: &str| field(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    let off = is("enabled", "no") || is("enabled", "false");
    let uris = words("uris").join(" ");
    if off || !serves_main(&uris, &words("suites"), &words("components")) {
        return None;
    }
    Some(DebianMirror {
        uris,
        signed_by: field("signed-by").filter(|v| !v.is_empty()).map(str::to_owned),
        trusted: is("trusted", "yes"),
    })
}

/// Third parties use Debian's codenames too, but hardly with the component `main` under a plain
/// codename and an address that names debian.
fn serves_main(uris: &str, suites: &[&str], components: &[&str]) -> bool {
    let first = uris.split_whitespace().next().unwrap_or_default();
    let reachable = first.contains(':') && !first.starts_with("cdrom:");
    reachable
        && first.to_ascii_lowercase().contains("debian")
        && !first.contains("security")
        && components.contains(&"main")
        && suites.iter().any(|suite| SUITES.contains(suite))
}

#[cfg(test)]
mod tests;
