//! Owns the answers to the calls of the security services: who has which, the ledger's records, and
//! the bytes in areas. What is kept is the [`Safe`]'s. Never decides about grants.

mod area;
mod watch;

use crate::entropy::{self, Ration};
use crate::partition::Partition;
use crate::platform::Platform;
use crate::rate::Rate;
use crate::safe::{FlashState, KeyTask, Tenant};
use causeway_abi::vault::services;
use causeway_abi::{Frame, Reply, Status, VaultCall};
use causeway_ffa::EndpointId;
use causeway_memshare::policy::{MAX_VMS, vm_bit};
use causeway_memshare::{Action, Record};
use causeway_vault::entropy::{EntropyError, Random};
use causeway_vault::watchdog::Watchdogs;

/// Bytes of the three result words that carry random bytes (`causeway_abi::vault::ENTROPY_MAX_BYTES`).
const ROOM: usize = 3 * size_of::<u64>();

/// What the security services keep between calls.
pub(crate) struct Vault<P: Platform> {
    entropy: Option<P::Entropy>,
    /// A source that failed stays failed.
    entropy_failed: bool,
    entropy_rates: [Rate; MAX_VMS],
    safe: Option<P::Safe>,
    watchdogs: Watchdogs,
    /// When to look at the watchdogs; all ones: never.
    watch_at: u64,
    /// VMs that the hypervisor is to restart, bit n for VM n.
    restarts: u64,
    second: u64,
}

impl<P: Platform> Vault<P> {
    /// Nothing, until [`Vault::start`].
    pub(crate) const fn new() -> Self {
        Self {
            entropy: None,
            entropy_failed: false,
            entropy_rates: [Rate::NEW; MAX_VMS],
            safe: None,
            watchdogs: Watchdogs::new(),
            watch_at: u64::MAX,
            restarts: 0,
            second: 0,
        }
    }

    /// Takes what the machine has.
    pub(crate) fn start(&mut self, platform: &P) {
        self.entropy = platform.entropy();
        self.safe = platform.safe();
        self.second = platform.ticks_per_second();
    }

    fn entropy(&mut self, who: &Tenant, now: u64, count: u8) -> Result<[u64; 4], Status> {
        let limit = who.given.entropy_bytes_per_second;
        if limit == 0 {
            return Err(Status::PolicyService);
        }
        let source = self.entropy.as_mut().ok_or(Status::NoEntropySource)?;
        let rate = self.entropy_rates.get_mut(who.place).ok_or(Status::UnknownCaller)?;
        if !rate.allows(now, self.second, limit, u32::from(count)) {
            return Err(Status::QuotaRate);
        }
        let mut bytes = [0; ROOM];
        let wanted = bytes.get_mut(..usize::from(count)).ok_or(Status::BadArgument)?;
        // What a source that is empty was asked for counts too: asking keeps it empty for others.
        rate.take(u32::from(count));
        if let Err(error) = source.fill(wanted) {
            self.entropy_failed |= error == EntropyError::Failed;
            return Err(entropy::status(error));
        }
        let [a, b, c, _] = words(&bytes);
        Ok([u64::from(count), a, b, c])
    }

    /// What a VM has left of its rate of random bytes.
    pub(crate) fn entropy_left(&mut self, ration: Ration, now: u64) -> u32 {
        let rate = self.entropy_rates.get_mut(ration.place);
        rate.map_or(0, |rate| rate.left(now, self.second, ration.bytes_per_second))
    }

    /// Takes what its device gave; returns when the rate is full again.
    pub(crate) fn take_entropy(&mut self, ration: Ration, bytes: u32) -> u64 {
        let Some(rate) = self.entropy_rates.get_mut(ration.place) else { return u64::MAX };
        rate.take(bytes);
        rate.full_at()
    }

    fn state(&self, who: &Tenant) -> [u64; 4] {
        let (given, mut bits) = (&who.given, 0);
        let mut set = |condition: bool, bit: u64| bits |= if condition { bit } else { 0 };
        let source = self.entropy.is_some() && !self.entropy_failed;
        set(given.entropy_bytes_per_second > 0 && source, services::ENTROPY);
        let flash = self.safe.as_ref().map_or(FlashState::NotThere, |s| s.with(|c| c.state()));
        let stored = flash != FlashState::NotThere;
        set(given.counters > 0 && stored, services::COUNTERS);
        set(given.rpmb && stored, services::RPMB);
        set(given.key_slots > 0 && stored, services::KEYS);
        set(given.watchdog.is_some(), services::WATCHDOG);
        let stores = given.counters > 0 || given.rpmb || given.key_slots > 0;
        set(stores && flash == FlashState::Ready, services::FLASH_READY);
        [bits, 0, 0, 0]
    }

    pub(crate) fn safe(&self) -> Result<P::Safe, Status> {
        self.safe.clone().ok_or(Status::NoStore)
    }

    /// A VM was destroyed: nothing of its life is left but what is stored. A restart that the
    /// hypervisor was not told of yet was for that life.
    pub(crate) fn forget(&mut self, place: usize, vm: EndpointId) {
        self.watchdogs.forget(vm.get());
        self.restarts &= !vm_bit(vm);
        self.watch_at = self.watchdogs.deadline().unwrap_or(u64::MAX);
        if let Some(safe) = &self.safe {
            safe.with(|contents| contents.forget(place));
        }
    }
}

/// Bytes in memory order as four words; what is missing is zero.
fn words(bytes: &[u8]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, eight) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*eight);
    }
    words
}

impl<P: Platform> Partition<P> {
    /// Answers a call of the security services, which the broker found to come from a live VM.
    #[inline(never)]
    pub(crate) fn vault_call(&mut self, vm: EndpointId, call: VaultCall) -> Frame {
        let number = call.id().number();
        let result = self.vault_result(vm, call);
        let record = match result {
            Ok(_) if looks_only(call) => Record::new(vm, Action::Looked { call_number: number }),
            Ok(_) => Record::new(vm, Action::Served { call_number: number }),
            Err(status) => Record::of_refusal(vm, number, status),
        };
        self.ledger.append(self.platform.now(), &record);
        match result {
            Ok(results) => Reply::ok(number, results),
            Err(status) => Reply::refused(number, status),
        }
        .encode()
    }

    /// A VM is dying, or gone.
    pub(crate) fn vault_vm_gone(&mut self, vm: EndpointId) {
        if let Some(who) = self.tenant(vm) {
            self.vault.forget(who.place, vm);
            self.forget_wait(vm);
            self.unsettle_alarm();
        }
    }

    /// The VM as the security services know it.
    fn tenant(&self, vm: EndpointId) -> Option<Tenant> {
        Tenant::of(self.broker.policy(), vm)
    }

    fn vault_result(&mut self, vm: EndpointId, call: VaultCall) -> Result<[u64; 4], Status> {
        let who = self.tenant(vm).ok_or(Status::UnknownCaller)?;
        let now = self.platform.now();
        let one = |word: u64| [word, 0, 0, 0];
        match call {
            VaultCall::State => Ok(self.vault.state(&who)),
            VaultCall::Entropy { count } => self.vault.entropy(&who, now, count),
            VaultCall::CounterRead { number } => {
                self.vault.safe()?.with(|c| c.counter(&who, number)).map(one)
            }
            VaultCall::CounterIncrement { number } => {
                self.vault.safe()?.with(|c| c.increment(&who, number)).map(one)
            }
            VaultCall::Rpmb { handle, request, answers, room } => {
                self.rpmb(vm, &who, handle, request, answers, room).map(one)
            }
            VaultCall::KeyGenerate { slot, purpose } => {
                let Vault { safe, entropy, .. } = &mut self.vault;
                let safe = safe.as_ref().ok_or(Status::NoStore)?;
                safe.with(|c| c.generate(&who, slot, purpose, entropy.as_mut()))?;
                Ok([0; 4])
            }
            VaultCall::KeyDelete { slot } => self.plain_key(&who, slot, KeyTask::Delete),
            VaultCall::KeyPublic { slot } => self.plain_key(&who, slot, KeyTask::Public),
            VaultCall::KeyImport { handle, slot, purpose, offset } => {
                self.key_import(vm, &who, handle, slot, purpose, offset)
            }
            VaultCall::KeyMac(message) => self.key_mac(vm, &who, &message),
            VaultCall::KeyVerify { message, tag } => self.key_verify(vm, &who, &message, tag),
            VaultCall::KeySign { message, signature } => {
                self.key_sign(vm, &who, &message, signature)
            }
            VaultCall::KeyEncrypt(text) => self.key_encrypt(vm, &who, &text),
            VaultCall::KeyDecrypt(text) => self.key_decrypt(vm, &who, &text),
            VaultCall::WatchdogStart { timeout_ms, warning_ms } => {
                self.watchdog_start(&who, now, timeout_ms, warning_ms)
            }
            VaultCall::WatchdogPing => self.watchdog_ping(&who, now),
            VaultCall::WatchdogStop => self.watchdog_stop(&who),
            VaultCall::WatchdogLeft => self.watchdog_left(&who, now),
        }
    }
}

/// Whether a call changes nothing and gives nothing away: such calls are free, and would push out of
/// the ledger what tells something. They have a ring of their own there, with a place for each of them
/// (`causeway_memshare::ledger::LOOKS`).
const fn looks_only(call: VaultCall) -> bool {
    match call {
        VaultCall::State
        | VaultCall::CounterRead { .. }
        | VaultCall::WatchdogPing
        | VaultCall::WatchdogLeft => true,
        VaultCall::Entropy { .. }
        | VaultCall::CounterIncrement { .. }
        | VaultCall::Rpmb { .. }
        | VaultCall::KeyGenerate { .. }
        | VaultCall::KeyImport { .. }
        | VaultCall::KeyDelete { .. }
        | VaultCall::KeyPublic { .. }
        | VaultCall::KeyMac(_)
        | VaultCall::KeyVerify { .. }
        | VaultCall::KeySign { .. }
        | VaultCall::KeyEncrypt(_)
        | VaultCall::KeyDecrypt(_)
        | VaultCall::WatchdogStart { .. }
        | VaultCall::WatchdogStop => false,
    }
}
