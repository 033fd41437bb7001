//! Owns what the registers of a call and of its answer mean, in the words of the specifications: FF-A,
//! PSCI, the service interface, virtio-msg. Never fails: what has no meaning is shown as it is.

use crate::text::{self, constant};
use causeway_abi::layout::Field;
use causeway_abi::{CallId, Status};
use causeway_ffa::call::{DirectMessage, Framework};
use causeway_ffa::{Answer, Call, FuncId, Regs, Version};
use causeway_virtio::msg::{Message, frame_bytes};
use std::fmt::Debug;

/// A call in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Explained {
    /// The function and its fields.
    pub(crate) call: String,
    /// What a direct message says to the partition, if it is one.
    pub(crate) service: Option<String>,
    /// What came back.
    pub(crate) answer: String,
    /// The rule that was broken.
    pub(crate) refusal: Option<String>,
}

impl Explained {
    /// One line for a person.
    pub(crate) fn line(&self) -> String {
        let call = self.service.as_ref().unwrap_or(&self.call);
        let refusal = self.refusal.as_ref().map(|rule| format!("  [refused: {rule}]"));
        format!("{call} -> {}{}", self.answer, refusal.unwrap_or_default())
    }

    /// Whether the call, or what it carries, has this name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        let bare = |name: &str| {
            let name = name.to_ascii_uppercase();
            let name = name.strip_prefix("FFA_").unwrap_or(&name);
            name.strip_suffix("_32").or(name.strip_suffix("_64")).unwrap_or(name).to_owned()
        };
        let names = std::iter::once(&self.call).chain(&self.service);
        let mut first = names.filter_map(|text| text.split(' ').next());
        first.any(|found| bare(found) == bare(name))
    }
}

/// What a call and its answer say.
pub(crate) fn explain(call: &[u64; 8], answer: Option<&[u64; 8]>) -> Explained {
    let id = u32::try_from(call[0] & 0xffff_ffff).unwrap_or_default();
    let Some(function) = FuncId::from_raw(id) else { return other(id, call, answer) };
    let regs = Regs::from_smc8(*call);
    let mut explained = Explained { call: function.name().to_owned(), ..Explained::default() };
    match Call::decode(&regs, Version::V1_2) {
        Ok(Call::DirectReq(message)) => {
            explained.call = format!("{} {}", function.name(), parties(&message));
            explained.service = Some(frame(&message.words));
        }
        Ok(Call::FrameworkReq(message)) => {
            explained.call = format!("{} {}", function.name(), framework(&message));
        }
        Ok(Call::ConsoleLog { text, .. }) => {
            let text = plain(&format!("{text:?}"));
            explained.call = format!("{} {text}", function.name());
        }
        Ok(Call::PartitionInfoGet { uuid, form }) => {
            let uuid = text::uuid(&uuid.bytes());
            explained.call = format!("{} uuid={uuid} form={form:?}", function.name());
        }
        Ok(decoded) => explained.call = with_fields(function.name(), &decoded),
        Err(error) => {
            explained.call = format!("{} (malformed: {error:?}) {}", function.name(), words(call));
        }
    }
    let Some(answer) = answer else {
        explained.answer = "(the caller is off)".to_owned();
        return explained;
    };
    tell_answer(&mut explained, function, call, answer);
    explained
}

fn tell_answer(explained: &mut Explained, function: FuncId, call: &[u64; 8], answer: &[u64; 8]) {
    if function == FuncId::Version {
        let version = answer[0] & 0xffff_ffff;
        explained.answer = format!("version {}.{}", version >> 16 & 0x7fff, version & 0xffff);
        return;
    }
    match Answer::decode(&Regs::from_smc8(*answer), Version::V1_2) {
        Ok(Answer::Error(error)) => {
            let name = constant(&format!("{error:?}"));
            explained.answer = format!("FFA_ERROR {name}");
            explained.refusal = Some(format!("FF-A status {name} ({})", error.code()));
        }
        Ok(Answer::DirectResp(message)) => tell_reply(explained, call, &message),
        Ok(Answer::FrameworkResp(message)) => explained.answer = framework(&message),
        Ok(Answer::Success(_)) => {
            explained.answer = format!("FFA_SUCCESS {}", words(&without_first(answer)));
        }
        Ok(decoded) => {
            explained.answer = plain(&format!("{decoded:?}"));
        }
        Err(_) => explained.answer = words(answer),
    }
    explained.answer = explained.answer.trim_end().to_owned();
}

fn tell_reply(explained: &mut Explained, call: &[u64; 8], message: &DirectMessage) {
    let asked = CallId::from_number(call[3].to_le_bytes()[0]);
    let word = message.words[0];
    let status = u16::try_from(word >> 16 & 0xffff).ok().and_then(Status::from_code);
    let (Some(asked), Some(status)) = (asked, status) else {
        explained.answer = bus(&message.words);
        if explained.answer.contains("Error") {
            explained.refusal = Some("an ERROR of the virtio-msg bus".to_owned());
        }
        return;
    };
    if status == Status::Ok {
        let results = fields(asked.layout().results, &message.words);
        explained.answer = format!("Ok {results}");
    } else {
        explained.answer = status.name().to_owned();
        explained.refusal = Some(format!("{}: {}", status.name(), status.rule()));
    }
}

/// A frame to the partition.
fn frame(words: &[u64; 5]) -> String {
    let number = words[0].to_le_bytes()[0];
    match CallId::from_number(number) {
        Some(id) => {
            let arguments = fields(id.layout().arguments, words);
            format!("{} {arguments}", constant(id.name())).trim_end().to_owned()
        }
        None => bus(words),
    }
}

/// A message of the virtio-msg bus, or words without meaning.
fn bus(words: &[u64; 5]) -> String {
    match Message::decode(&frame_bytes(words)) {
        Ok(message) => {
            let body = plain(&format!("{:?}", message.body));
            format!("virtio-msg device={} token={} {body}", message.dev_num, message.token)
        }
        Err(_) => {
            let list: Vec<String> = words.iter().map(|word| format!("{word:#x}")).collect();
            format!("frame({})", list.join(", "))
        }
    }
}

fn fields(list: &[Field], words: &[u64; 5]) -> String {
    let texts: Vec<String> = list
        .iter()
        .map(|field| {
            let at = usize::from(field.register.saturating_sub(3));
            let word = words.get(at).copied().unwrap_or_default();
            let value = (word & field.mask()).checked_shr(field.low).unwrap_or_default();
            format!("{}={}", field.name, number(value))
        })
        .collect();
    texts.join(" ")
}

/// Small numbers in decimal, others (handles, addresses, digests) in hexadecimal.
fn number(value: u64) -> String {
    if value < 1 << 20 { value.to_string() } else { format!("{value:#x}") }
}

fn parties(message: &DirectMessage) -> String {
    format!("sender={:#x} receiver={:#x}", message.sender.get(), message.receiver.get())
}

fn framework(message: &Framework) -> String {
    let text = plain(&format!("{:?}", message.message));
    let (sender, receiver) = (message.sender.get(), message.receiver.get());
    format!("sender={sender:#x} receiver={receiver:#x} framework {text}")
}

/// `MemReclaim { handle: .. }` behind the specification's name.
fn with_fields(name: &str, call: &impl Debug) -> String {
    let text = format!("{call:?}");
    let Some((variant, _)) = text.split_once([' ', '(']) else { return name.to_owned() };
    let fields = plain(text.get(variant.len()..).unwrap_or_default());
    format!("{name} {fields}").trim_end().to_owned()
}

/// A value as Rust shows it, without its braces, wrappers of numbers and colons: `handle=0x5 flags=..`. Text in
/// quotes stays as it is.
fn plain(debug: &str) -> String {
    let mut text = String::new();
    let mut rest = debug;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if first == '"' {
            let quoted = rest.get(1..).and_then(|inner| inner.rfind('"')).map_or(1, |at| at + 2);
            text.push_str(rest.get(..quoted).unwrap_or(rest));
            rest = rest.get(quoted..).unwrap_or_default();
        } else if word.is_empty() {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            sign(&mut text, first);
        } else {
            // A number that is wrapped in a type's name stands for itself.
            let wrapped = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
            let wrapped = wrapped.and_then(|(inner, behind)| Some((inner.parse().ok()?, behind)));
            let (shown, behind) = match wrapped {
                Some((value, behind)) => (number(value), behind),
                None => (word.parse().map_or_else(|_| word.to_owned(), number), after),
            };
            text.push_str(&shown);
            rest = behind;
        }
    }
    text.trim().to_owned()
}

fn sign(text: &mut String, sign: char) {
    match sign {
        '{' | '}' => {}
        ':' => text.push('='),
        ' ' if text.ends_with([' ', '=', '(']) || text.is_empty() => {}
        ')' | ',' => {
            text.truncate(text.trim_end().len());
            if sign == ')' {
                text.push(sign);
            }
        }
        other => text.push(other),
    }
}

fn without_first(words: &[u64; 8]) -> [u64; 8] {
    let mut rest = *words;
    rest.rotate_left(1);
    rest[7] = 0;
    rest
}

fn words(list: &[u64; 8]) -> String {
    let used = list.iter().rposition(|word| *word != 0).map_or(0, |last| last.saturating_add(1));
    let texts: Vec<String> = list.iter().take(used).map(|word| format!("{word:#x}")).collect();
    texts.join(" ")
}

/// PSCI, and the monitor's own calls. Source: DEN0022 (PSCI); docs/monitor.md.
fn other(id: u32, call: &[u64; 8], answer: Option<&[u64; 8]>) -> Explained {
    let name = match id {
        0x8400_0000 => "PSCI_VERSION",
        0x8400_0001 | 0xc400_0001 => "PSCI_CPU_SUSPEND",
        0x8400_0002 => "PSCI_CPU_OFF",
        0x8400_0003 | 0xc400_0003 => "PSCI_CPU_ON",
        0x8400_0004 | 0xc400_0004 => "PSCI_AFFINITY_INFO",
        0x8400_0008 => "PSCI_SYSTEM_OFF",
        0x8400_000a => "PSCI_FEATURES",
        0xc600_0001 => "MONITOR_MARK_TRANSFER",
        0xc600_0002 => "MONITOR_KILL",
        0xc600_0003 => "MONITOR_RESTART",
        0xc600_0004 => "MONITOR_PROBE",
        0xc600_0005 => "MONITOR_SKIP_FAULTS",
        0xc600_0006 => "MONITOR_LAST_REFUSAL",
        0xc600_0007 => "MONITOR_AUDIT",
        0xc600_0008 => "MONITOR_COUNTS",
        0xc600_0018..=0xc600_001a => "MONITOR_HARDWARE",
        _ => "UNKNOWN",
    };
    let arguments = words(&without_first(call));
    let call = match name {
        "UNKNOWN" => format!("UNKNOWN function={id:#x} {arguments}"),
        name => format!("{name} {arguments}"),
    };
    let call = call.trim_end().to_owned();
    let Some(answer) = answer else {
        return Explained {
            call,
            answer: "(the caller is off)".to_owned(),
            ..Explained::default()
        };
    };
    let status = i64::from_le_bytes(answer[0].to_le_bytes());
    let refusal = match status {
        -1 => Some("NOT_SUPPORTED: the function is unknown".to_owned()),
        -2 => Some("INVALID_PARAMETERS".to_owned()),
        -3 => Some("DENIED".to_owned()),
        _ => None,
    };
    let answer = if status < 0 { status.to_string() } else { words(answer) };
    let answer = if answer.is_empty() { "0".to_owned() } else { answer };
    Explained { call, answer, refusal, service: None }
}

#[cfg(test)]
mod tests {
    use super::explain;
    use causeway_abi::{Call as Service, Reply, Status};
    use causeway_ffa::call::DirectMessage;
    use causeway_ffa::{Answer, Call, EndpointId, FfaError, MemHandle, Width};

    fn message(words: [u64; 5], from: u16, to: u16) -> DirectMessage {
        let id = EndpointId::from_raw;
        DirectMessage { sender: id(from), receiver: id(to), width: Width::Bits64, words }
    }

    fn asked(service: Service, status: Status, results: [u64; 4]) -> super::Explained {
        let call = Call::DirectReq(message(service.encode(), 1, 0x8001)).encode().smc8();
        let reply = Reply { call_number: service.id().number(), status, results };
        let answer = Answer::DirectResp(message(reply.encode(), 0x8001, 1)).encode().smc8();
        explain(&call, Some(&answer))
    }

    #[test]
    fn a_call_of_the_partition_has_names_and_fields_both_ways() {
        let handle = MemHandle::new(0x1234_5678_9abc).expect("a handle");
        let state = asked(Service::State { handle }, Status::Ok, [3, 7, 0, 0]);
        assert_eq!(state.line(), "STATE handle=0x123456789abc -> Ok state=3 generation=7");
        assert!(
            state.has_name("state") && state.has_name("FFA_MSG_SEND_DIRECT_REQ"),
            "{}",
            state.call
        );
        let refused = asked(Service::Revoke { handle }, Status::NoSuchGrant, [0; 4]);
        let rule = refused.refusal.expect("a rule");
        assert!(rule.contains("must name a live grant"), "{rule}");
    }

    #[test]
    fn calls_of_ff_a_and_psci_have_their_names_and_refusals_their_status() {
        let denied = Answer::Error(FfaError::Denied).encode().smc8();
        let handle = MemHandle::new(5).expect("a handle");
        let reclaim = Call::MemReclaim { handle, flags: Default::default() }.encode().smc8();
        let explained = explain(&reclaim, Some(&denied));
        assert!(explained.call.starts_with("FFA_MEM_RECLAIM"), "{}", explained.call);
        assert_eq!(explained.answer, "FFA_ERROR DENIED");
        assert!(explained.refusal.is_some());
        assert!(
            explained.call.starts_with("FFA_MEM_RECLAIM handle=5 flags="),
            "{}",
            explained.call
        );
        let off = explain(&[0x8400_0008, 0, 0, 0, 0, 0, 0, 0], None);
        assert_eq!(off.line(), "PSCI_SYSTEM_OFF -> (the caller is off)");
    }

    #[test]
    fn nothing_that_registers_hold_makes_it_fail() {
        for id in [0, 0x8400_0060, 0xc400_006f, 0x8400_0072, 0xc600_0099, u64::MAX] {
            for word in [0, 1, 0xff, u64::MAX, 0x8001_0001] {
                let call = [id, word, word, word, word, word, word, word];
                for answer in [None, Some(&call), Some(&[0x8400_0060, 0, word, 0, 0, 0, 0, 0])] {
                    assert!(!explain(&call, answer).line().is_empty());
                }
            }
        }
    }
}
