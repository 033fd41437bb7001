//! Owns `cargo xtask manifests`: writes every manifest from the platforms' descriptions, or says which
//! are stale. Never writes a description.

mod check;
mod platform;
mod source;
mod write;

use crate::cli::ManifestsArgs;
use crate::outcome::{Stop, files};
use crate::{dtc, paths, say, tree};
use causeway_memshare::Policy;
use platform::Platform;
use source::Wrong;
use std::path::Path;

/// The descriptions, and the manifests that each gives.
const PLATFORMS: [(&str, &[Output]); 4] = [
    (
        "manifests/platform/qemu-virt.dts",
        &[
            Output { path: "manifests/qemu-el3.dts", write: write::el3, kind: Kind::Policy },
            Output {
                path: "manifests/hafnium/partition.dts",
                write: write::hafnium_partition,
                kind: Kind::Policy,
            },
            Output {
                path: "manifests/hafnium/spmc.dts",
                write: |platform| Ok(write::hafnium_spmc(platform)),
                kind: Kind::Tree,
            },
            Output {
                path: "manifests/hafnium/tb_fw.dts",
                write: |platform| Ok(write::hafnium_boot(platform)),
                kind: Kind::Tree,
            },
            Output {
                path: "manifests/hafnium/sp_layout.json",
                write: |platform| Ok(write::hafnium_layout(platform)),
                kind: Kind::Text,
            },
            Output {
                path: "manifests/monitor/qemu-virt.cfg",
                write: |platform| Ok(write::monitor_configuration(platform)),
                kind: Kind::Text,
            },
        ],
    ),
    (
        "manifests/platform/qemu-virt-minimal.dts",
        &[Output { path: "manifests/qemu-el3-minimal.dts", write: write::el3, kind: Kind::Policy }],
    ),
    (
        "manifests/platform/qemu-virt-conformance.dts",
        &[
            Output { path: "manifests/conformance/el3.dts", write: write::el3, kind: Kind::Policy },
            Output {
                path: "manifests/conformance/optee.dts",
                write: write::optee,
                kind: Kind::Policy,
            },
            Output {
                path: "manifests/conformance/hafnium.dts",
                write: write::hafnium_partition,
                kind: Kind::Policy,
            },
            Output {
                path: "manifests/conformance/hafnium-spmc.dts",
                write: |platform| Ok(write::hafnium_spmc(platform)),
                kind: Kind::Tree,
            },
            Output {
                path: "manifests/conformance/hafnium-tb-fw.dts",
                write: |platform| Ok(write::hafnium_boot(platform)),
                kind: Kind::Tree,
            },
        ],
    ),
    (
        "manifests/platform/fvp-base-revc.dts",
        &[Output { path: "manifests/fvp/el3.dts", write: write::el3, kind: Kind::Policy }],
    ),
];

/// The blobs that are read on the host, and what each is made of: by tests of `causeway-memshare`, and by
/// `conformance --spmc fake`.
const BLOBS: [(&str, &str); 2] = [
    ("manifests/qemu-el3.dts", "memshare/tests/data/qemu-el3.dtb"),
    ("manifests/conformance/el3.dts", "manifests/conformance/el3.dtb"),
];

/// A file that is generated.
struct Output {
    path: &'static str,
    write: fn(&Platform) -> Result<String, Wrong>,
    kind: Kind,
}

/// How a generated file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By dtc, and by the partition's own reader of policies.
    Policy,
    /// By dtc.
    Tree,
    /// By nothing but being what it was.
    Text,
}

/// Writes the manifests, or compares them.
pub(crate) fn manifests(args: ManifestsArgs) -> Result<(), Stop> {
    let root = paths::root();
    let mut stale = Vec::new();
    for (source, outputs) in PLATFORMS {
        let platform = read(&root, source)?;
        for output in outputs {
            let text = (output.write)(&platform).map_err(|wrong| told(source, &wrong))?;
            put(&root, output.path, text.as_bytes(), args.check, &mut stale)?;
            verify(output, &text)?;
        }
    }
    for (source, blob) in BLOBS {
        let bytes = dtc::compile(source, &tree::text(&root.join(source))?)?;
        put(&root, blob, &bytes, args.check, &mut stale)?;
    }
    match stale.as_slice() {
        [] => Ok(()),
        list => Err(Stop::failed(format!("not what the descriptions say: {}", list.join(", ")))
            .mend("cargo xtask manifests")),
    }
}

fn read(root: &Path, source: &str) -> Result<Platform, Stop> {
    let text = tree::text(&root.join(source))?;
    let platform = source::read(&text).and_then(|tree| {
        let platform = Platform::read(&tree)?;
        check::check(&platform)?;
        Ok(platform)
    });
    let platform = platform.map_err(|wrong| told(source, &wrong))?;
    // The generated files say by the model where they come from.
    if !source.ends_with(&format!("/{}.dts", platform.model)) {
        return Err(Stop::usage(format!("{source}: `model` must be the name of the file")));
    }
    Ok(platform)
}

fn told(source: &str, wrong: &Wrong) -> Stop {
    Stop::usage(format!("{source}:{}: {}", wrong.line, wrong.what))
        .mend("docs/platform-description.md has the bindings")
}

/// Writes a file, or notes that it is not what it should be.
fn put(
    root: &Path,
    path: &'static str,
    bytes: &[u8],
    check: bool,
    stale: &mut Vec<&'static str>,
) -> Result<(), Stop> {
    let file = root.join(path);
    if files::read(&file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if check {
        stale.push(path);
        return Ok(());
    }
    say::progress(&format!("writing {path}"));
    files::make_dir(file.parent().unwrap_or(root))?;
    files::write(&file, bytes)
}

/// Whether those who read the file would take it.
fn verify(output: &Output, text: &str) -> Result<(), Stop> {
    if output.kind == Kind::Text {
        return Ok(());
    }
    let blob = dtc::compile(output.path, text)?;
    if output.kind == Kind::Policy {
        Policy::from_manifest(&blob).map_err(|error| {
            Stop::failed(format!("{}: the partition refuses its policy: {error:?}", output.path))
                .mend("docs/policy.md has the grammar")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PLATFORMS, read};
    use crate::{paths, tree};

    #[test]
    fn the_committed_manifests_are_what_the_descriptions_say() {
        let root = paths::root();
        for (source, outputs) in PLATFORMS {
            let platform = read(&root, source).expect(source);
            for output in outputs {
                let text = (output.write)(&platform).expect(output.path);
                let committed = tree::text(&root.join(output.path)).expect(output.path);
                assert!(committed == text, "{}: run: cargo xtask manifests", output.path);
            }
        }
    }
}
