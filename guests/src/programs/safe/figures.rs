//! `service_figures`: what the calls of the security services and of interrupts take, in instructions, as a
//! VM sees them: its call, the monitor, EL3, the partition and back. On one core that counts instructions.

use super::{connect, until_ready};
use crate::calls;
use crate::programs::irq::TIMER;
use crate::rt::client::take_pages;
use crate::rt::{Boot, time};
use crate::{check, say};
use causeway_abi::vault::{KeyPurpose, Keyed, KeyedText};
use causeway_abi::{Call, InfoPage, InterruptCall, VaultCall};
use causeway_client::Connection;
use causeway_client::security::{KeyArea, Security};
use causeway_ffa::MemHandle;

/// Calls of each kind.
const CALLS: u32 = 64;
/// Increments: more than a sector of the store holds, so that some of them erase one.
const WRITES: u32 = 4_000;
/// The slots of the keys.
const MAC: u8 = 0;
const AEAD: u8 = 1;
const SIGN: u8 = 2;
/// What each class takes at most, in instructions (docs/bounds.md).
const SHORT: u64 = 60_000;
const STORE: u64 = 600_000;
const STORE_LONG: u64 = 6_000_000;
const SIGNS: u64 = 3_200_000;

/// What calls of one kind took.
#[derive(Clone, Copy, Default)]
struct Took {
    all: u64,
    worst: u64,
    count: u32,
    refused: u32,
}

impl Took {
    /// Makes one call. The rate of its class may be used up: then it waits for the next second, and calls
    /// again.
    fn once(&mut self, call: &Call) {
        for _ in 0..2 {
            let begin = time::now_nanos();
            let met = calls::partition(call);
            // On this machine an instruction takes a nanosecond.
            let took = time::now_nanos() - begin;
            if met.is_ok() {
                self.all += took;
                self.worst = self.worst.max(took);
                self.count += 1;
                return;
            }
            let end = time::now_micros() + 1_010_000;
            while time::now_micros() < end {
                time::rest();
            }
        }
        self.refused += 1;
    }

    /// Prints a row; returns whether every call was carried out within the bound.
    fn say(self, name: &str, most: u64) -> bool {
        let mean = self.all.checked_div(self.count.into()).unwrap_or(0);
        say!("RESULT job=service_figures {name}_mean={mean} {name}_worst={}", self.worst);
        let good = self.refused == 0 && self.count > 0 && self.worst <= most;
        if !good {
            say!("{name}: {} of {most}, {} refused", self.worst, self.refused);
        }
        good
    }
}

fn rows(rows: &[(&str, Call)], most: u64) -> bool {
    let mut all = true;
    for (name, call) in rows {
        let mut took = Took::default();
        (0..CALLS).for_each(|_| took.once(call));
        all &= took.say(name, most);
    }
    all
}

/// VM 1.
pub(in crate::programs) fn caller(_boot: &Boot) {
    let connection = connect();
    let security = Security::of(connection);
    assert!(until_ready(security), "every core is seen");
    let area = KeyArea::open(connection, take_pages(2)).expect("a local area");
    area.import(MAC, KeyPurpose::Mac, &[7; 32]).expect("a key");
    area.import(AEAD, KeyPurpose::Aead, &[8; 32]).expect("a key");
    area.import(SIGN, KeyPurpose::Sign, &[9; 32]).expect("a key");
    security.start_watchdog(60_000, 0).expect("armed");
    let met = short();
    check!("service_figures/short_calls_within_their_bound", met);
    let met = store(area.handle());
    check!("service_figures/store_calls_within_their_bound", met);
    let met = long(connection, area.handle());
    check!("service_figures/long_store_calls_within_their_bound", met);
    let text = Keyed { handle: area.handle(), slot: SIGN, offset: 0, length: 4096 };
    let signs = [
        ("key_sign_4096", vault(VaultCall::KeySign { message: text, signature: 4096 })),
        ("key_public", vault(VaultCall::KeyPublic { slot: SIGN })),
    ];
    let met = rows(&signs, SIGNS);
    check!("service_figures/signing_calls_within_their_bound", met);
}

const fn vault(call: VaultCall) -> Call {
    Call::Vault(call)
}

fn short() -> bool {
    let source = TIMER;
    rows(
        &[
            ("vault_state", vault(VaultCall::State)),
            ("entropy_24", vault(VaultCall::Entropy { count: 24 })),
            ("watchdog_start", {
                vault(VaultCall::WatchdogStart { timeout_ms: 60_000, warning_ms: 0 })
            }),
            ("watchdog_ping", vault(VaultCall::WatchdogPing)),
            ("watchdog_left", vault(VaultCall::WatchdogLeft)),
            ("irq_info", Call::Interrupt(InterruptCall::Info { source, page: InfoPage::State })),
            ("irq_arm", {
                Call::Interrupt(InterruptCall::Arm { source, interval_us: 0, count: 0 })
            }),
        ],
        SHORT,
    ) & masking()
}

/// Opening and closing, in turn.
fn masking() -> bool {
    let (mut open, mut close) = (Took::default(), Took::default());
    for _ in 0..CALLS {
        open.once(&Call::Interrupt(InterruptCall::Unmask { source: TIMER }));
        close.once(&Call::Interrupt(InterruptCall::Mask { source: TIMER }));
    }
    open.say("irq_unmask", SHORT) & close.say("irq_mask", SHORT)
}

fn store(handle: MemHandle) -> bool {
    let text = |slot, length| Keyed { handle, slot, offset: 0, length };
    rows(
        &[
            ("counter_read", vault(VaultCall::CounterRead { number: 0 })),
            ("key_mac_32", vault(VaultCall::KeyMac(text(MAC, 32)))),
            ("key_mac_4096", vault(VaultCall::KeyMac(text(MAC, 4096)))),
        ],
        STORE,
    )
}

/// Counts until sectors were erased; keys come and go.
fn long(_connection: &Connection<'_>, handle: MemHandle) -> bool {
    let mut took = Took::default();
    for _ in 0..WRITES {
        took.once(&vault(VaultCall::CounterIncrement { number: 0 }));
    }
    let mut all = took.say("counter_increment", STORE_LONG);
    let (mut made, mut gone) = (Took::default(), Took::default());
    for _ in 0..CALLS {
        made.once(&vault(VaultCall::KeyGenerate { slot: 5, purpose: KeyPurpose::Mac }));
        gone.once(&vault(VaultCall::KeyDelete { slot: 5 }));
    }
    all &= made.say("key_generate", STORE_LONG) & gone.say("key_delete", STORE_LONG);
    let text = Keyed { handle, slot: AEAD, offset: 0, length: 4000 };
    let sealed = KeyedText { text, associated: 96, proof: 4096 };
    let (mut closed, mut opened) = (Took::default(), Took::default());
    for _ in 0..CALLS {
        closed.once(&vault(VaultCall::KeyEncrypt(sealed)));
        opened.once(&vault(VaultCall::KeyDecrypt(sealed)));
    }
    all & closed.say("key_encrypt_4096", STORE_LONG) & opened.say("key_decrypt_4096", STORE)
}
