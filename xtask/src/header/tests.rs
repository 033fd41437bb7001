//! Holds the header to the definitions and to C compilers. Never to the partition: the hypervisor's
//! example in C (`c-example/`) does that.

use super::{file, render};
use crate::text::snake;
use causeway_abi::{Call, CallId, Reply, Status, layout::Field};
use causeway_ffa::call::{DirectMessage, Framework, FrameworkMessage, Width};
use causeway_ffa::{Answer, Call as Ffa, EndpointId, FfaError};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn the_committed_header_says_what_the_definitions_say() {
    let committed = std::fs::read_to_string(file()).expect("the header");
    assert!(committed == render(), "run: cargo xtask header");
}

#[test]
fn no_name_is_given_twice() {
    let text = render();
    let names = text.lines().filter_map(|line| {
        let function = line.strip_prefix("static inline ")?;
        let (before, _) = function.split_once('(')?;
        before.rsplit([' ', '*']).next()
    });
    let names: Vec<&str> = names.collect();
    let once: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!((names.len(), names.len() > CallId::ALL.len()), (once.len(), true));
}

/// A C program that exits with the number of the first check that fails.
fn program(checks: &[String]) -> String {
    let mut text = String::from("#include \"causeway.h\"\n\nint main(void)\n{\n");
    for (number, check) in checks.iter().enumerate() {
        let number = number % 200 + 1;
        writeln!(text, "    {{ {check} if (!good) return {number}; }}").expect("a string");
    }
    text.push_str("    return 0;\n}\n");
    text
}

fn run(name: &str, checks: &[String]) {
    let dir = tempfile::tempdir().expect("a folder");
    let (source, made) = (dir.path().join("check.c"), dir.path().join("check"));
    std::fs::write(&source, program(checks)).expect("written");
    let built = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(file().parent().unwrap_or(Path::new("")))
        .arg(&source)
        .arg("-o")
        .arg(&made)
        .output()
        .expect("a C compiler: Rust's linker is one");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let ran = Command::new(&made).status().expect("started");
    assert!(ran.success(), "{name}: check {:?} of {}", ran.code(), checks.len());
}

/// A value of a field that calls accept: the smallest that all of them name, and a wide one.
fn sample(field: Field, wide: bool) -> u64 {
    let named =
        ["kind", "permission", "direction", "scope", "half", "sgi", "count", "purpose", "info"];
    let is_named = named.contains(&field.name);
    if wide && !is_named { 0x1122_3344_5566_7788 & (field.mask() >> field.low) } else { 1 }
}

#[test]
fn what_c_packs_is_the_call_that_rust_reads() {
    let mut checks = Vec::new();
    for call in CallId::ALL {
        for wide in [false, true] {
            let arguments = call.layout().arguments;
            let list: Vec<String> = arguments
                .iter()
                .map(|field| format!("UINT64_C({:#x})", sample(*field, wide)))
                .collect();
            let mut frame = [0u64; 5];
            frame[0] = u64::from(call.number()) | u64::from(causeway_abi::VERSION_MAJOR) << 16;
            for field in arguments {
                frame[usize::from(field.register) - 3] |= sample(*field, wide) << field.low;
            }
            let read = Call::decode(&frame).expect("a call");
            assert_eq!((read.id(), read.encode()), (*call, frame));
            let name = snake(call.name());
            let same: Vec<String> =
                (0..5).map(|at| format!("f.word[{at}] == UINT64_C({:#x})", frame[at])).collect();
            checks.push(format!(
                "struct causeway_frame f = causeway_call_{name}({}); int good = {};",
                list.join(", "),
                same.join(" && ")
            ));
        }
    }
    run("calls", &checks);
}

#[test]
fn what_c_takes_out_of_an_answer_is_what_lay_there() {
    let mut checks = Vec::new();
    for call in CallId::ALL {
        let results = [0x0123_4567_89ab_cdef, 0x1f2e_3d4c_5b6a_7988, 0xf1e2_d3c4_b5a6_9788, 0x13];
        let frame = Reply::ok(call.number(), results).encode().map(|w| format!("UINT64_C({w:#x})"));
        let frame = format!("struct causeway_frame f = {{{{{}}}}};", frame.join(", "));
        let name = snake(call.name());
        let number = format!("CAUSEWAY_CALL_{}", name.to_uppercase());
        checks.push(format!(
            "{frame} int good = causeway_status_of(&f, {number}) == CAUSEWAY_STATUS_OK;"
        ));
        checks.push(format!(
            "{frame} f.word[0] += 1; int good = causeway_status_of(&f, {number}) == CAUSEWAY_NO_ANSWER;"
        ));
        for field in call.layout().results {
            let word = results[usize::from(field.register) - 4];
            let expected = (word & field.mask()) >> field.low;
            checks.push(format!(
                "{frame} int good = causeway_{name}_{}(&f) == UINT64_C({expected:#x});",
                field.name
            ));
        }
    }
    let refused = Reply::refused(CallId::Accept.number(), Status::TermsChanged).encode();
    checks.push(format!(
        "struct causeway_frame f = {{{{UINT64_C({:#x}), 0, 0, 0, 0}}}}; \
         int good = causeway_status_of(&f, CAUSEWAY_CALL_ACCEPT) == CAUSEWAY_STATUS_TERMS_CHANGED;",
        refused[0]
    ));
    // C99 wants no more than 127 nested, but any number of, blocks; exit codes end at 255.
    for part in checks.chunks(200) {
        run("results", part);
    }
}

const SENDER: EndpointId = EndpointId::from_raw(0x1234);
const RECEIVER: EndpointId = EndpointId::from_raw(0x5678);

/// A direct request and its answer, and word of a VM's life and an answer, as `causeway-ffa` has them.
fn golden() -> [Vec<u64>; 4] {
    let words = [0x1111, 0x2222, 0x3333, 0x4444, 0x5555];
    let message = DirectMessage { sender: SENDER, receiver: RECEIVER, width: Width::Bits64, words };
    let (vm, info) = (EndpointId::from_raw(0x9abc), None);
    let framework =
        |message| Ffa::FrameworkReq(Framework { sender: SENDER, receiver: RECEIVER, message });
    let created = Framework {
        sender: RECEIVER,
        receiver: SENDER,
        message: FrameworkMessage::VmCreatedResp { status: Err(FfaError::Retry) },
    };
    [
        Ffa::DirectReq(message).encode().0.to_vec(),
        Answer::DirectResp(message.reply(words)).encode().0.to_vec(),
        framework(FrameworkMessage::VmDestroyed { info, vm }).encode().0.to_vec(),
        Answer::FrameworkResp(created).encode().0.to_vec(),
    ]
}

#[test]
fn the_messages_of_c_are_those_of_ffa() {
    let [request, response, destroyed, created] = golden();
    let regs = |words: &[u64]| {
        let words: Vec<String> = words.iter().map(|word| format!("UINT64_C({word:#x})")).collect();
        format!("struct causeway_regs e = {{{{{}}}}};", words.join(", "))
    };
    let equal = "int good = 1; for (int i = 0; i < 18; i++) good = good && e.x[i] == r.x[i];";
    let frame = "struct causeway_frame f = {{0x1111, 0x2222, 0x3333, 0x4444, 0x5555}};";
    let took = "good = good && f.word[0] == 0x1111 && f.word[4] == 0x5555;";
    let checks = [
        format!(
            "{} {frame} struct causeway_regs r = causeway_ffa_request(0x1234, 0x5678, &f); {equal}",
            regs(&request)
        ),
        format!(
            "{} struct causeway_frame f; int good = \
             causeway_ffa_answer(&e, 0x1234, 0x5678, &f) == 0; {took}",
            regs(&response)
        ),
        format!(
            "{} {frame} int good = causeway_ffa_answer(&e, 0x5678, 0x1234, &f) == \
             CAUSEWAY_FFA_NO_ANSWER; {took}",
            regs(&response)
        ),
        format!(
            "{} struct causeway_regs r = causeway_ffa_vm_message(0x1234, 0x5678, \
             CAUSEWAY_FFA_VM_DESTROYED, 0x9abc); {equal}",
            regs(&destroyed)
        ),
        format!(
            "{} int good = causeway_ffa_vm_answer(&e, 0x1234, 0x5678, \
             CAUSEWAY_FFA_VM_CREATED_RESP) == CAUSEWAY_FFA_CODE_RETRY;",
            regs(&created)
        ),
        format!(
            "{} int good = causeway_ffa_vm_answer(&e, 0x1234, 0x5678, \
             CAUSEWAY_FFA_VM_DESTROYED_RESP) == CAUSEWAY_FFA_NO_ANSWER;",
            regs(&created)
        ),
    ];
    run("messages", &checks);
}
