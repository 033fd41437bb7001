//! Owns the tests of a boot: QEMU's line, and an end in every case. Never boots a real QEMU.

use super::{Counts, Keeps, Machine, boot, quoted};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

fn machine() -> Machine {
    Machine {
        program: "qemu-system-aarch64".into(),
        flash: "/t/flash.bin".into(),
        keeps: Keeps::Nothing,
        cpu: "max",
        options: "",
        smp: 4,
        config: Some("/t/boot.txt".into()),
        counts: Counts::Time,
        disk: Some("/t/a,b.img".into()),
        serial: ["/r/ns.log".into(), "/r/secure.log".into()],
        typed: None,
    }
}

#[test]
fn the_line_has_the_machine_that_was_seen_working() {
    let line = machine().command_line();
    for part in [
        "qemu-system-aarch64 -M virt,secure=on,virtualization=on,gic-version=3 -cpu max ",
        " -smp 4 -m 3G ",
        " -nic none ",
        " -bios /t/flash.bin ",
        " -device loader,file=/t/boot.txt,addr=0x48000000,force-raw=on ",
        " -serial file:/r/ns.log -serial file:/r/secure.log",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_comma_in_a_files_name_does_not_end_the_option() {
    let line = machine().command_line();
    assert!(line.contains("loader,file=/t/a,,b.img,addr=0x50000000,force-raw=on"), "{line}");
}

#[test]
fn a_job_with_something_to_type_gives_the_secure_uart_a_pipe() {
    let line = Machine { typed: Some("x"), ..machine() }.command_line();
    let secure = " -serial file:/r/ns.log \
                  -chardev pipe,id=secure,path=/r/secure \
                  -serial chardev:secure";
    assert!(line.contains(secure), "{line}");
}

#[test]
fn words_are_quoted_for_a_shell() {
    assert_eq!(quoted("/t/x.bin"), "/t/x.bin");
    assert_eq!(quoted("/my disk"), "'/my disk'");
    assert_eq!(quoted("it's"), r"'it'\''s'");
    assert_eq!(quoted(""), "''");
}

/// A stand-in for QEMU: a shell script that gets QEMU's arguments.
fn fake_qemu(dir: &Path, script: &str) -> Machine {
    let program = dir.join("fake-qemu");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made executable");
    Machine {
        program: program.display().to_string(),
        serial: [dir.join("normal.log"), dir.join("secure.log")],
        typed: None,
        ..machine()
    }
}

#[test]
fn what_the_machine_prints_is_seen_and_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let script =
        format!("cd {}; printf 'a\\nb' >normal.log; echo c >secure.log", dir.path().display());
    let machine = fake_qemu(dir.path(), &script);
    let mut seen = Vec::new();
    let limit = Duration::from_secs(20);
    let logs = boot(&machine, dir.path(), limit, &mut |line| seen.push(line.to_owned()));
    let logs = logs.expect("it ends well");
    assert_eq!((logs.normal, logs.secure), (vec!["a".into(), "b".into()], vec!["c".into()]));
    assert_eq!(seen, ["a", "b"]);
}

#[test]
fn a_qemu_that_hangs_is_ended_with_all_it_started() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().display();
    let script = format!("cd {at}; echo last words >normal.log; sleep 600 & echo $! >child; wait");
    let machine = fake_qemu(dir.path(), &script);
    let limit = Duration::from_secs(2);
    let stop = boot(&machine, dir.path(), limit, &mut |_| ()).expect_err("it never ends");
    assert_eq!(stop.exit.code(), 4);
    assert!(stop.reason.contains("last words") && stop.reason.contains("2 s"), "{stop}");
    for file in ["qemu.pid", "child"] {
        let pid = fs::read_to_string(dir.path().join(file)).expect("a pid");
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        // A zombie that its new parent has not reaped yet is dead too.
        assert!(state.is_empty() || state.contains(") Z "), "{file}: {state}");
    }
}

#[test]
fn a_qemu_that_fails_is_told_with_its_status() {
    let dir = tempfile::tempdir().expect("a folder");
    let machine = fake_qemu(dir.path(), "echo no such board >&2; exit 7");
    let limit = Duration::from_secs(20);
    let stop = boot(&machine, dir.path(), limit, &mut |_| ()).expect_err("it failed");
    assert_eq!(stop.exit.code(), 1);
    assert!(stop.reason.contains("status 7"), "{stop}");
    assert_eq!(fs::read_to_string(dir.path().join("qemu.log")).expect("a log"), "no such board\n");
}
