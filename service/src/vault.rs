//! Owns the answers to the calls of the security services: policy and rate of each VM, the ledger's
//! records, and what `causeway-vault` does over the platform's hardware. Never decides about grants.

mod rate;

use crate::partition::Partition;
use crate::platform::Platform;
use causeway_abi::vault::services;
use causeway_abi::{Frame, Reply, Status, VaultCall};
use causeway_ffa::EndpointId;
use causeway_memshare::policy::{MAX_VMS, Services};
use causeway_memshare::{Action, Record};
use causeway_vault::entropy::{EntropyError, Random};
use rate::Rate;

/// Bytes of the three result words that carry random bytes (`causeway_abi::vault::ENTROPY_MAX_BYTES`).
const ROOM: usize = 3 * size_of::<u64>();

/// What one VM has left of its rates.
#[derive(Clone, Copy)]
struct Rates {
    entropy: Rate,
}

/// What the security services keep between calls.
pub(crate) struct Vault<P: Platform> {
    entropy: Option<P::Entropy>,
    /// A source that failed stays failed.
    entropy_failed: bool,
    second: u64,
    rates: [Rates; MAX_VMS],
}

impl<P: Platform> Vault<P> {
    /// Nothing, until [`Vault::start`].
    pub(crate) const fn new() -> Self {
        Self {
            entropy: None,
            entropy_failed: false,
            second: 0,
            rates: [Rates { entropy: Rate::NEW }; MAX_VMS],
        }
    }

    /// Takes what the machine has.
    pub(crate) fn start(&mut self, platform: &P) {
        self.entropy = platform.entropy();
        self.second = platform.ticks_per_second();
    }

    /// ENTROPY.
    fn entropy(&mut self, who: Who, now: u64, count: u8) -> Result<[u64; 4], Status> {
        let limit = who.given.entropy_bytes_per_second;
        if limit == 0 {
            return Err(Status::PolicyService);
        }
        let source = self.entropy.as_mut().ok_or(Status::NoEntropySource)?;
        let rate = self.rates.get_mut(who.place).ok_or(Status::UnknownCaller)?;
        if !rate.entropy.allows(now, self.second, limit, u32::from(count)) {
            return Err(Status::QuotaRate);
        }
        let mut bytes = [0; ROOM];
        let wanted = bytes.get_mut(..usize::from(count)).ok_or(Status::BadArgument)?;
        if let Err(error) = source.fill(wanted) {
            self.entropy_failed |= error == EntropyError::Failed;
            return Err(status_of_entropy(error));
        }
        rate.entropy.take(u32::from(count));
        let mut results = [u64::from(count), 0, 0, 0];
        for (word, eight) in results.iter_mut().skip(1).zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*eight);
        }
        Ok(results)
    }

    /// VAULT_STATE.
    fn state(&self, who: Who) -> [u64; 4] {
        let mut bits = 0;
        let source = self.entropy.is_some() && !self.entropy_failed;
        if who.given.entropy_bytes_per_second > 0 && source {
            bits |= services::ENTROPY;
        }
        [bits, 0, 0, 0]
    }
}

/// Who calls, and what policy gives it.
#[derive(Clone, Copy)]
struct Who {
    /// Its place in the policy.
    place: usize,
    given: Services,
}

/// Why there is no entropy, in the interface's words.
const fn status_of_entropy(error: EntropyError) -> Status {
    match error {
        EntropyError::NoSource => Status::NoEntropySource,
        EntropyError::Failed => Status::EntropyFailed,
        EntropyError::Empty => Status::EntropyEmpty,
        EntropyError::TooMuch => Status::BadArgument,
    }
}

impl<P: Platform> Partition<P> {
    /// Answers a call of the security services, which the broker found to come from a live VM.
    #[inline(never)]
    pub(crate) fn vault_call(&mut self, vm: EndpointId, call: VaultCall) -> Frame {
        let number = call.id().number();
        let result = self.vault_result(vm, call);
        let action = match result {
            Ok(_) => Action::Served { call_number: number },
            Err(status) => Action::Refused { call_number: number, status },
        };
        self.ledger.append(self.platform.now(), &record(vm, action));
        match result {
            Ok(results) => Reply::ok(number, results),
            Err(status) => Reply::refused(number, status),
        }
        .encode()
    }

    fn vault_result(&mut self, vm: EndpointId, call: VaultCall) -> Result<[u64; 4], Status> {
        let policy = self.broker.policy();
        let place = policy.vms().position(|v| v == vm).ok_or(Status::UnknownCaller)?;
        let who = Who { place, given: policy.services(vm) };
        let now = self.platform.now();
        match call {
            VaultCall::State => Ok(self.vault.state(who)),
            VaultCall::Entropy { count } => self.vault.entropy(who, now, count),
        }
    }
}

/// A record of what a VM asked for; never of contents.
const fn record(vm: EndpointId, action: Action) -> Record {
    Record {
        subject: vm,
        owner: None,
        peer: None,
        handle: None,
        generation: 0,
        page_count: 0,
        action,
        fold: 0,
    }
}
