//! Owns the judgement of the ledger that VM 1 printed: the host verifies dump and head itself. Never
//! takes the VM's word for it.

use super::Broken;
use crate::boot::Logs;
use crate::ledger::{check, digest};
use crate::lines::{Line, Source};
use crate::text::bytes_of_hex;

/// What VM 1 printed of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    /// The dump, as `cargo xtask ledger verify` reads it.
    pub(crate) dump: Vec<u8>,
    /// The head's digest.
    pub(crate) head: Option<String>,
    disorder: Option<&'static str>,
}

impl Printed {
    /// Collects the LEDGER lines, in their order, and the head.
    pub(super) fn of(logs: &Logs) -> Self {
        let mut printed = Self::default();
        for line in logs.normal.iter().map(|line| Line::normal(line)) {
            if line.source != Source::Vm(1) {
                continue;
            }
            if let Some(text) = line.text.strip_prefix("LEDGER ") {
                match bytes_of_hex(text.trim()) {
                    Some(bytes) => printed.dump.extend(bytes),
                    None => printed.disorder = Some("a LEDGER line is not hexadecimal"),
                }
            }
            if let Some(fields) = line.fields("LEDGER_HEAD") {
                if printed.head.is_some() {
                    printed.disorder = Some("there are two heads");
                }
                printed.head = fields.text("digest").map(str::to_owned);
            }
        }
        printed
    }

    /// What is wrong with it; `None` if the dump is what the head says.
    pub(super) fn broken(&self) -> Option<Broken> {
        if let Some(why) = self.disorder {
            return Some(Broken::Ledger(why.to_owned()));
        }
        let Some(head) = self.head.as_deref() else { return Some(Broken::Unsaid("LEDGER_HEAD")) };
        let verdict = digest(head).and_then(|head| check(&self.dump, Some(&head)).1);
        verdict.err().map(|stop| Broken::Ledger(stop.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::Printed;
    use crate::boot::Logs;
    use crate::text::hex;
    use crate::verdict::Broken;
    use causeway_abi::{LedgerScope, LifeState};
    use causeway_ffa::EndpointId;
    use causeway_memshare::Policy;
    use causeway_memshare::ledger::{Action, Ledger, Record};

    /// The lines of a dump of three records, and the head's.
    fn lines() -> Vec<String> {
        let vm = EndpointId::from_raw(1);
        let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
        policy.add_vm(vm).expect("room");
        let mut ledger = Ledger::<8>::new();
        ledger.configure(&policy);
        for time in 0..3 {
            let record = Record {
                subject: vm,
                owner: None,
                peer: None,
                handle: None,
                generation: 1,
                page_count: 1,
                action: Action::Moved(LifeState::Offered),
                fold: 0,
            };
            ledger.append(time, &record);
        }
        let head = ledger.head(vm, LedgerScope::All);
        let page = ledger.page(vm, LedgerScope::All, 0).expect("a page");
        let units = page.bytes().chunks(96).map(|unit| format!("[vm1] LEDGER {}", hex(unit)));
        let digest = hex(&head.digest);
        let head = format!("[vm1] LEDGER_HEAD scope=all sequence=3 digest={digest}");
        units.chain([head]).collect()
    }

    fn broken(normal: Vec<String>) -> Option<Broken> {
        Printed::of(&Logs { normal, ..Logs::default() }).broken()
    }

    #[test]
    fn a_printed_ledger_is_verified_with_its_head() {
        assert_eq!(broken(lines()), None);
    }

    #[test]
    fn a_printed_ledger_that_was_touched_fails_the_job() {
        let last = lines().len() - 1;
        let mut lost = lines();
        lost.remove(last - 1);
        assert!(matches!(broken(lost), Some(Broken::Ledger(why)) if why.contains("is missing")));
        let mut swapped = lines();
        swapped.swap(last - 1, last - 2);
        assert!(matches!(broken(swapped), Some(Broken::Ledger(_))));
        let mut odd = lines();
        odd[last - 1].push('x');
        assert!(matches!(broken(odd), Some(Broken::Ledger(_))));
        let mut headless = lines();
        headless.truncate(last);
        assert_eq!(broken(headless), Some(Broken::Unsaid("LEDGER_HEAD")));
        let mut other = lines();
        other[last] = format!("[vm1] LEDGER_HEAD scope=all sequence=3 digest={}", "00".repeat(32));
        assert!(matches!(broken(other), Some(Broken::Ledger(why)) if why.contains("head differs")));
    }

    #[test]
    fn another_vm_cannot_add_to_the_ledger() {
        let mut more = lines();
        more.insert(1, "[vm3] LEDGER 00".to_owned());
        more.push("[vm2] LEDGER_HEAD digest=00".to_owned());
        assert_eq!(broken(more), None);
    }
}
