//! Deaths at every step of a grant's life: VM 1 leads VM 2 (owner) and VM 3 (peer) to a step, kills
//! one or both, looks what is left, and starts them anew. Never leaves a round half done: what a
//! VM finds wrong comes back as bits and is printed.

pub(super) mod owner;
pub(super) mod peer;

use super::{audit, control};
use crate::deaths::{DEATHS, Death, Victims};
use crate::records::{Dump, Told};
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::hvc::vendor;
use crate::rt::{Boot, signal};
use crate::{check, jobs::TestName, report};
use causeway_abi::{GrantKind, GrantTerms, LedgerScope, LifeState, Permission};
use causeway_client::conduit::Hvc;
use causeway_client::grant::Grant;
use causeway_client::ledger::Reader;
use causeway_client::memory::Pages;
use causeway_client::{Bound, Connection};

/// How long a VM waits for another's part: a kill may wait for a deadline.
const MILLIS: u64 = 60_000;
const OWNER: u16 = 2;
const PEER: u16 = 3;
/// Grants that go through each round together: one is reclaimed while the other party is dead, one
/// when it runs anew.
const PAIR: usize = 2;

/// What VM 1 orders. The word is the order, or for a step `STEP + its code`.
mod order {
    /// The last round is over.
    pub(super) const END: u64 = 1;
    /// VM 3: wait for handles of VM 2, then lead them to the step.
    pub(super) const STEP: u64 = 0x100;
    /// VM 3: the owner is dying; let go, and say what was found.
    pub(super) const LET_GO: u64 = 2;
    /// VM 2: reclaim the first or the second grant, and say what was found.
    pub(super) const RECLAIM: [u64; super::PAIR] = [3, 4];
    /// A new life: try two handles of the last one, which follow.
    pub(super) const PROBE: u64 = 5;
    /// VM 2: use up the quota, and say how many grants that took.
    pub(super) const FILL: u64 = 6;
}

/// Collects what is wrong, a bit for each question.
#[derive(Default)]
struct Wrong(u64);

impl Wrong {
    /// Sets `bit` unless `right`.
    fn unless(&mut self, right: bool, bit: u32) {
        self.0 |= u64::from(!right) << bit;
    }
}

fn ask(vm: u16, word: u64) -> u64 {
    signal::send_within(vm, word, MILLIS);
    signal::receive_within(vm, MILLIS)
}

/// VM 1.
pub(super) fn controller(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let mut led = Led {
        connection: &connection,
        reader: audit::reader(&connection),
        bystander: Some(local(&connection, take_pages(1))),
        spare: Some(take_pages(1)),
        lives: [1; 4],
        served: 0,
        recorded: 0,
        charged: 0,
    };
    for death in DEATHS {
        let outcome = led.round(death);
        // In the table, as `deaths::NAMES`.
        let name = TestName::listed(death.name).expect("a name of the table");
        match outcome {
            Ok(()) => report::test(name, Ok(())),
            Err(found) => report::test(name, Err(format_args!("{found:x?}"))),
        }
    }
    let rounds = DEATHS.len();
    let bystander = led.bystander.take().expect("the bystander").close(&Clock, Bound::NONE);
    let served = led.served == rounds && bystander.is_ok();
    check!("kills/partition_serves_on", served, "{} of {rounds}", led.served);
    let filled = ask(OWNER, order::FILL);
    check!("kills/quota_is_whole_again", filled == owner::QUOTA, "{filled} grants");
    check!("kills/charges_are_true", led.charged == rounds, "{} of {rounds}", led.charged);
    let all = led.recorded == rounds;
    check!("kills/every_round_is_in_the_ledger", all, "{} of {rounds}", led.recorded);
    audit::print(&audit::dump(&led.reader, LedgerScope::All).expect("the whole ledger"));
    signal::send(OWNER, order::END);
    signal::send(PEER, order::END);
}

fn local<'c>(connection: &'c Connection<'c>, pages: Pages<'c>) -> Grant<'c> {
    let terms =
        GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
    Grant::offer(connection, pages, terms).expect("a local area")
}

/// What was wrong in a round: with the kills and starts, with the survivors and the new lives.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Last answers of KILL and RESTART that were not 0.
    calls: [u64; 4],
    /// The survivor, just after the death.
    survivor: u64,
    /// The new owner, the new peer.
    probes: [u64; 2],
    /// The surviving owner, when its peer runs anew.
    later: u64,
}

/// VM 1's state over the rounds.
struct Led<'c> {
    connection: &'c Connection<'c>,
    reader: Reader<'c>,
    /// A grant of its own that outlives all deaths.
    bystander: Option<Grant<'c>>,
    spare: Option<Pages<'c>>,
    /// The incarnation in which each VM lives, by its id.
    lives: [u32; 4],
    /// Rounds after which the partition served VM 1.
    served: usize,
    /// Rounds whose ledger was true.
    recorded: usize,
    /// Rounds in which the charges were true.
    charged: usize,
}

impl Led<'_> {
    fn round(&mut self, death: &Death) -> Result<(), Found> {
        let mut found = Found::default();
        // VM 3 first: it is to have bound VM 2's bits when VM 2 begins.
        let step = order::STEP + death.step.code();
        assert_eq!(ask(PEER, step), step, "VM 3 is ready");
        signal::send(OWNER, step);
        let handles =
            [signal::receive_within(OWNER, MILLIS), signal::receive_within(OWNER, MILLIS)];
        assert_eq!(signal::receive_within(PEER, MILLIS), step, "VM 3 came so far");

        let charged = self.kill(death, &mut found);
        self.serve();
        self.restart(death.victims, &mut found, handles);
        self.charged +=
            usize::from(charged && control::owes_nothing(OWNER) && control::owes_nothing(PEER));
        if self.ledger_is_true(death, handles) {
            self.recorded += 1;
        }
        if found == Found::default() { Ok(()) } else { Err(found) }
    }

    /// Returns whether the pair was charged for what its peer still mapped.
    fn kill(&mut self, death: &Death, found: &mut Found) -> bool {
        let mut charged = true;
        match death.victims {
            Victims::Owner => {
                // Under way while VM 3 maps what the dying owner gave.
                control::once(vendor::KILL, OWNER);
                if death.step.is_mapped() {
                    let charges = control::audit(OWNER).unwrap_or_default();
                    charged = (charges.grants, charges.mapped) == (2, 2);
                }
                found.survivor = ask(PEER, order::LET_GO);
                found.calls[0] = control::kill(OWNER);
            }
            Victims::OwnerOfDeafPeer => {
                found.calls[0] = control::kill(OWNER);
                found.survivor = ask(PEER, order::LET_GO);
            }
            Victims::Peer => {
                found.calls[1] = control::kill(PEER);
                found.survivor = ask(OWNER, order::RECLAIM[0]);
            }
            Victims::Both => {
                control::once(vendor::KILL, OWNER);
                found.calls[1] = control::kill(PEER);
                found.calls[0] = control::kill(OWNER);
            }
        }
        charged
    }

    fn restart(&mut self, victims: Victims, found: &mut Found, handles: [u64; PAIR]) {
        let lives = [(0, OWNER, victims.has_owner()), (1, PEER, victims.has_peer())];
        for (at, vm, _) in lives.into_iter().filter(|(_, _, dies)| *dies) {
            found.calls[2 + at] = control::restart(vm);
            self.lives[usize::from(vm)] += 1;
        }
        for (at, vm, _) in lives.into_iter().filter(|(_, _, dies)| *dies) {
            signal::send_within(vm, order::PROBE, MILLIS);
            signal::send(vm, handles[0]);
            found.probes[at] = ask(vm, handles[1]);
        }
        if !victims.has_owner() {
            found.later = ask(OWNER, order::RECLAIM[1]);
        }
    }

    /// The partition serves VM 1 as if nothing had happened: its grant is untouched, and another
    /// one goes through its life.
    fn serve(&mut self) {
        let untouched = self.bystander.as_ref().map(Grant::state) == Some(Ok(LifeState::Active));
        let grant = local(self.connection, self.spare.take().expect("a page"));
        self.spare = grant.close(&Clock, Bound::NONE).ok();
        self.served += usize::from(untouched && self.spare.is_some());
        self.spare = self.spare.take().or_else(|| Some(take_pages(1)));
    }

    /// The last move of both grants is their release, and the dead VM's end and new beginning are
    /// there with their incarnations.
    fn ledger_is_true(&self, death: &Death, handles: [u64; PAIR]) -> bool {
        let Ok(read) = audit::dump(&self.reader, LedgerScope::All) else { return false };
        let Some(dump) = Dump::read(&read.bytes) else { return false };
        let wanted = death.step.is_offered().then_some(LifeState::Released.code());
        let moves = handles.into_iter().all(|handle| dump.last_state(OWNER, handle) == wanted);
        let lives = [(OWNER, death.victims.has_owner()), (PEER, death.victims.has_peer())];
        moves
            && lives.into_iter().filter(|(_, dies)| *dies).all(|(vm, _)| {
                let now = self.lives[usize::from(vm)];
                let told = |told, life| {
                    dump.count(|r| (r.subject, r.told, r.generation) == (vm, told, life))
                };
                told(Told::VmDestroyed, now - 1) + told(Told::VmCreated, now) == 2
            })
    }
}
