//! Owns the tests of the tool as a user meets it: exit statuses, last lines, JSON, messages. Never
//! installs, fetches or boots: PATH leads to stand-ins only.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A folder of its own for target/, and one that is the whole PATH.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().expect("a folder") };
        fs::create_dir(bench.bin()).expect("a folder");
        bench
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a shell script of this name on the PATH.
    fn fake(&self, name: &str, script: &str) {
        let file = self.bin().join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("made executable");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("PATH", self.bin())
            .env("CARGO_TARGET_DIR", self.at("target"))
            .env_remove("TFA_DIR")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Seen {
        Seen::of(&self.command(args).output().expect("started"))
    }

    fn json(&self) -> serde_json::Value {
        let text = fs::read_to_string(self.at("out.json")).expect("the JSON file is written");
        serde_json::from_str(&text).expect("JSON")
    }
}

struct Seen {
    code: Option<i32>,
    last: String,
    stderr: String,
}

impl Seen {
    fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        for trace in ["panicked", "RUST_BACKTRACE", "stack backtrace", "bug of xtask"] {
            assert!(!stderr.contains(trace) && !stdout.contains(trace), "{stderr}{stdout}");
        }
        Self {
            code: output.status.code(),
            last: stdout.lines().last().unwrap_or_default().into(),
            stderr,
        }
    }
}

#[test]
fn an_empty_machine_gets_one_command_that_mends_it_and_status_3() {
    let bench = Bench::new();
    let seen = bench.run(&["run", "--json", "out.json"]);
    assert_eq!(seen.code, Some(3), "{}", seen.stderr);
    for package in ["gcc-aarch64-linux-gnu", "device-tree-compiler", "make", "qemu-system-arm"] {
        assert!(seen.stderr.contains(package), "{package}: {}", seen.stderr);
    }
    assert!(seen.stderr.contains("sudo apt-get install --no-install-recommends "));
    assert!(seen.last.starts_with("FAIL: missing: "), "{}", seen.last);
    let json = bench.json();
    assert_eq!(json["pass"], false);
    assert_eq!(format!("FAIL: {}", json["reason"].as_str().expect("a reason")), seen.last);
}

#[test]
fn every_command_that_needs_the_machine_says_what_is_missing() {
    for command in ["image", "doctor", "run"] {
        let seen = Bench::new().run(&[command]);
        assert_eq!(seen.code, Some(3), "{command}: {}", seen.stderr);
        assert!(seen.last.starts_with("FAIL: missing: aarch64-linux-gnu-gcc"), "{}", seen.last);
    }
}

#[test]
fn a_disk_that_cannot_be_used_is_wrong_usage_before_anything_is_set_up() {
    let bench = Bench::new();
    fs::write(bench.at("empty"), "").expect("written");
    fs::write(bench.at("odd"), [1; 700]).expect("written");
    fs::File::create(bench.at("huge")).and_then(|f| f.set_len((256 << 20) + 512)).expect("made");
    let cases = [
        ("none", "cannot be read"),
        (".", "not a regular file"),
        ("empty", "is empty"),
        ("odd", "multiple of 512"),
        ("huge", "256 MiB"),
    ];
    for (file, words) in cases {
        let seen = bench.run(&["run", "--disk", file, "--json", "out.json"]);
        assert_eq!(seen.code, Some(2), "{file}: {}", seen.stderr);
        assert!(
            seen.last.starts_with("FAIL: --disk ") && seen.last.contains(words),
            "{}",
            seen.last
        );
        assert!(seen.stderr.contains("to mend it:"), "{}", seen.stderr);
        let json = bench.json();
        assert_eq!(json["pass"], false);
        assert!(json["reason"].as_str().expect("a reason").contains(words));
    }
}

#[test]
fn a_file_that_may_not_be_read_is_told_with_its_name() {
    let bench = Bench::new();
    fs::write(bench.at("secret"), [1; 512]).expect("written");
    fs::set_permissions(bench.at("secret"), fs::Permissions::from_mode(0o000)).expect("closed");
    let seen = bench.run(&["run", "--disk", "secret"]);
    if fs::read(bench.at("secret")).is_ok() {
        // Root may read everything, so the run goes on to what else is missing.
        assert_eq!(seen.code, Some(3), "{}", seen.stderr);
    } else {
        assert_eq!(seen.code, Some(2), "{}", seen.stderr);
        assert!(seen.last.contains("--disk secret: cannot be read"), "{}", seen.last);
    }
}

#[test]
fn what_is_not_there_yet_is_refused_in_plain_words() {
    let bench = Bench::new();
    let seen = bench.run(&["run", "--demo", "audio", "--json", "out.json"]);
    assert_eq!(seen.code, Some(2));
    assert!(seen.last.contains("not available yet"), "{}", seen.last);
    assert_eq!(bench.json()["pass"], false);
}

#[test]
fn two_options_that_name_one_file_are_refused_before_anything_is_written() {
    for options in [["--trace", "--report"], ["--disk", "--report"], ["--json", "--trace"]] {
        let bench = Bench::new();
        fs::write(bench.at("f"), [7; 512]).expect("written");
        let seen = bench.run(&["run", options[0], "f", options[1], "f"]);
        assert_eq!(seen.code, Some(2), "{options:?}");
        assert!(seen.last.contains("name the same file"), "{}", seen.last);
        let kept = fs::read(bench.at("f")).expect("read");
        assert!(options[0] != "--disk" || kept == [7; 512], "{options:?}");
    }
}

#[test]
fn wrong_usage_has_status_2_a_usage_text_and_the_json_file() {
    for args in [&["conformance"][..], &["ledger"], &["run", "--smp", "99"], &["frobnicate"], &[]] {
        let seen = Bench::new().run(args);
        assert_eq!(seen.code, Some(2), "{args:?}");
        let teaches = seen.stderr.contains("Usage:") || seen.stderr.contains("--help");
        assert!(teaches, "{}", seen.stderr);
        assert!(seen.last.starts_with("FAIL: "), "{}", seen.last);
    }
    for json in [&["--json", "out.json"][..], &["--json=out.json"]] {
        let bench = Bench::new();
        let seen = bench.run(&[&["run", "--cpu", "z80"][..], json].concat());
        assert_eq!((seen.code, bench.json()["pass"].as_bool()), (Some(2), Some(false)));
    }
    for command in ["explore", "fuzz", "mutants", "powercut"] {
        let bench = Bench::new();
        let seen = bench.run(&[command, "--no-such-option", "--json", "out.json"]);
        assert_eq!((seen.code, bench.json()["pass"].as_bool()), (Some(2), Some(false)));
    }
}

#[test]
fn without_hafnium_its_suite_is_skipped_with_status_77_and_with_it_missing_never_passed() {
    let line = ["conformance", "--spmc", "hafnium", "--json", "out.json"];
    for (given, code, says) in [
        (None, 77, "SKIPPED: HAFNIUM_BIN is not set"),
        (Some("/h.bin"), 3, "FAIL: HAFNIUM_BIN=/h.bin"),
    ] {
        let bench = Bench::new();
        let mut command = bench.command(&line);
        command.env_remove("HAFNIUM_BIN");
        command.envs(given.map(|path| ("HAFNIUM_BIN", path)));
        let seen = Seen::of(&command.output().expect("started"));
        assert_eq!(seen.code, Some(code), "{}", seen.stderr);
        assert!(seen.last.starts_with(says), "{}", seen.last);
        assert_eq!(bench.json()["pass"], false);
    }
}

#[test]
fn a_dump_is_not_overwritten_by_the_json_file() {
    for more in [&[][..], &["--no-such-option"]] {
        let bench = Bench::new();
        fs::write(bench.at("dump"), [7; 96]).expect("written");
        fs::hard_link(bench.at("dump"), bench.at("link")).expect("linked");
        for json in ["dump", "./dump", "link"] {
            let line = [&["ledger", "verify", "dump", "--json", json], more].concat();
            assert_eq!(bench.run(&line).code, Some(2), "{json}");
            assert_eq!(fs::read(bench.at("dump")).expect("read"), [7; 96]);
        }
    }
}

#[test]
fn an_unknown_fuzz_target_is_answered_with_those_there_are() {
    let bench = Bench::new();
    let seen = bench.run(&["fuzz", "--target", "toaster", "--json", "out.json"]);
    assert_eq!(seen.code, Some(2), "{}", seen.stderr);
    assert!(
        seen.last.contains("toaster") && seen.stderr.contains("descriptors"),
        "{}",
        seen.stderr
    );
    assert_eq!(bench.json()["pass"], false);
}

#[test]
fn without_a_nightly_toolchain_or_its_installer_fuzzing_is_missing_not_failed() {
    let bench = Bench::new();
    let seen = bench.run(&["fuzz", "--seconds", "1", "--json", "out.json"]);
    assert_eq!(seen.code, Some(3), "{}", seen.stderr);
    assert!(seen.stderr.contains("to mend it:"), "{}", seen.stderr);
    assert_eq!(bench.json()["pass"], false);
}

#[test]
fn the_disk_file_is_not_overwritten_by_the_json_file() {
    for more in [&[][..], &["--cpu", "z80"]] {
        let bench = Bench::new();
        fs::write(bench.at("disk"), [7; 512]).expect("written");
        fs::hard_link(bench.at("disk"), bench.at("link")).expect("linked");
        for json in ["disk", "./disk", "link"] {
            let seen = bench.run(&[&["run", "--disk", "disk", "--json", json], more].concat());
            assert_eq!(seen.code, Some(2), "{json}");
            assert_eq!(fs::read(bench.at("disk")).expect("read"), [7; 512]);
        }
    }
}

#[test]
fn a_json_file_that_cannot_be_written_is_told_before_the_work() {
    let seen = Bench::new().run(&["run", "--json", "no/such/folder/out.json"]);
    assert_eq!(seen.code, Some(2));
    assert!(seen.last.starts_with("FAIL: --json: cannot write no/such/folder"), "{}", seen.last);
}

#[test]
fn help_is_no_failure() {
    let output = Bench::new().command(&["--help"]).output().expect("started");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("cargo xtask run") && text.contains("Exit status"), "{text}");
}

#[test]
fn a_qemu_that_is_too_old_or_strange_is_named_and_nothing_is_installed() {
    let versions = [
        ("echo QEMU emulator version 6.2.0", "QEMU 6.2 is too old: 7.2 or newer is needed"),
        ("echo hello", "says nothing known: hello"),
        ("echo broken library >&2; exit 127", "failed: broken library"),
    ];
    for (script, words) in versions {
        let bench = Bench::new();
        bench.fake("qemu-system-aarch64", script);
        bench.fake("apt-get", "echo installed >>installed");
        let seen = bench.run(&["run", "--yes", "--json", "out.json"]);
        assert_eq!(seen.code, Some(3), "{}", seen.stderr);
        assert!(seen.last.contains(words), "{}", seen.last);
        assert!(seen.stderr.contains("qemu-system-arm"), "{}", seen.stderr);
        assert!(!bench.at("installed").exists());
        assert_eq!(bench.json()["pass"], false);
    }
}

#[test]
fn missing_packages_are_listed_simulated_and_then_installed() {
    let bench = Bench::new();
    let bin = bench.bin();
    let bin = bin.display();
    bench.fake("sudo", "[ \"$1\" = -n ] && shift; [ \"$1\" = true ] && exit 0; shift; exec \"$@\"");
    let made = "for t in aarch64-linux-gnu-gcc dtc make cc dpkg-source; do \
                echo '#!/bin/sh' >$BIN/$t; /bin/chmod +x $BIN/$t; done; \
                echo '#!/bin/sh\necho QEMU emulator version 9.0.0' >$BIN/qemu-system-aarch64; \
                /bin/chmod +x $BIN/qemu-system-aarch64";
    let script = format!(
        "BIN={bin}; echo \"$@\" >>{}; [ \"$1\" != install ] || {{ {made}; }}",
        bench.at("asked").display()
    );
    bench.fake("apt-get", &script);
    let seen = bench.run(&["run", "--yes"]);
    let asked = fs::read_to_string(bench.at("asked")).expect("apt-get was called");
    let lines: Vec<&str> = asked.lines().collect();
    let options = "install --no-install-recommends --no-remove -y gcc-aarch64-linux-gnu ";
    assert!(
        matches!(lines.as_slice(), [update, plan, install]
        if *update == "update"
            && plan.starts_with(&format!("--simulate {options}"))
            && install.starts_with(options)
            && install.contains(" device-tree-compiler ")
            && install.ends_with(" qemu-system-arm")),
        "{asked}"
    );
    let listed = seen.stderr.find("missing: aarch64-linux-gnu-gcc (gcc-aarch64-linux-gnu), dtc");
    assert!(listed.is_some(), "{}", seen.stderr);
    assert_eq!(seen.code, Some(3), "the compiler or a header is still missing");
}

#[test]
fn an_installation_that_fails_ends_with_3_and_the_command() {
    let bench = Bench::new();
    bench.fake("sudo", "[ \"$1\" = -n ] && shift; [ \"$1\" = true ] && exit 0; shift; exec \"$@\"");
    bench.fake("apt-get", "echo E: Unable to fetch some archives; exit 100");
    let seen = bench.run(&["run", "--yes"]);
    assert_eq!(seen.code, Some(3), "{}", seen.stderr);
    assert!(seen.stderr.contains("Unable to fetch some archives"), "{}", seen.stderr);
    assert!(seen.stderr.contains("check the network"), "{}", seen.stderr);
    assert!(
        seen.last.starts_with("FAIL: apt-get cannot install gcc-aarch64-linux-gnu"),
        "{}",
        seen.last
    );
}

#[test]
fn a_qemu_that_does_not_even_tell_its_version_is_a_time_out() {
    let bench = Bench::new();
    bench.fake("qemu-system-aarch64", "exec /bin/sleep 600");
    let seen = bench.run(&["doctor"]);
    assert_eq!(seen.code, Some(4), "{}", seen.stderr);
    assert!(seen.last.contains("this QEMU hangs"), "{}", seen.last);
}

#[test]
fn ctrl_c_and_terminate_end_with_130_and_leave_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let bench = Bench::new();
        let pid_file = bench.at("pid");
        let script = format!("echo $$ >{}; exec /bin/sleep 600", pid_file.display());
        bench.fake("qemu-system-aarch64", &script);
        let child = bench
            .command(&["run", "--json", "out.json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let fake: u32 = wait_for(&pid_file);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("sent");
        let seen = Seen::of(&child.wait_with_output().expect("ended"));
        assert_eq!((seen.code, seen.last.as_str()), (Some(130), "FAIL: interrupted"));
        assert!(!Path::new(&format!("/proc/{fake}")).exists(), "the program is still there");
        assert_eq!(bench.json()["reason"], "interrupted");
    }
}

fn wait_for(file: &Path) -> u32 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Ok(pid) = text.trim().parse() {
            return pid;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{} was never written", file.display());
}

#[test]
fn a_tree_that_is_no_tf_a_is_named() {
    let bench = Bench::new();
    bench.fake("qemu-system-aarch64", "echo QEMU emulator version 9.0.0");
    for tool in ["aarch64-linux-gnu-gcc", "dtc", "make", "cc", "dpkg-source"] {
        bench.fake(tool, "exit 1");
    }
    bench.fake("rustc", "echo /");
    let output = bench.command(&["image"]).env("TFA_DIR", "/usr").output().expect("started");
    let seen = Seen::of(&output);
    assert_eq!(seen.code, Some(3), "{}", seen.stderr);
    // Where the headers of OpenSSL are not installed, that is told first.
    let told = ["/usr (from TFA_DIR) is no tree of Trusted Firmware-A", "openssl/ssl.h"];
    assert!(told.iter().any(|words| seen.last.contains(words)), "{}", seen.last);
}

#[test]
fn clean_removes_what_this_tool_made_and_keeps_the_firmware() {
    let bench = Bench::new();
    for dir in ["target/image", "target/runs/x", "target/tfa", "target/debug"] {
        fs::create_dir_all(bench.at(dir)).expect("made");
    }
    assert_eq!(bench.run(&["clean"]).code, Some(0));
    assert!(!bench.at("target/image").exists() && !bench.at("target/runs").exists());
    assert!(bench.at("target/tfa").exists() && bench.at("target/debug").exists());
    assert_eq!(bench.run(&["clean", "--all"]).last, "PASS");
    assert!(!bench.at("target/tfa").exists() && bench.at("target/debug").exists());
}
