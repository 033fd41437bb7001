//! Holds the calls to their frames.

use super::*;
use crate::vault::{KeyPurpose, Keyed, KeyedText};
use crate::{GrantKind, InfoPage, Permission, Status};

fn summary() -> GrantSummary {
    GrantSummary {
        owner: EndpointId::from_raw(1),
        permission: Permission::ReadWrite,
        kind: GrantKind::Lend,
        generation: 7,
        page_count: 4,
        range_count: 2,
        fold: 0x1234_5678_9abc_def0,
    }
}

fn one_of_each() -> Vec<Call> {
    let handle = MemHandle::new(0xffff_ffc0).unwrap();
    let vm = EndpointId::from_raw(2);
    let name = JoinName { peer: vm, number: 0xfffe };
    let terms =
        GrantTerms { peer: Some(vm), kind: GrantKind::Share, permission: Permission::ReadOnly };
    vec![
        Call::Version { minor: 1 },
        Call::Features { call_number: 0x20 },
        Call::Events,
        Call::Stats { page: 1 },
        Call::Offer { handle, terms, tag: 9 },
        Call::Offer { handle, terms: GrantTerms { peer: None, ..terms }, tag: 0 },
        Call::Revoke { handle },
        Call::State { handle },
        Call::Join { handle, name },
        Call::Part { name },
        Call::Joined { name },
        Call::Copy {
            name,
            direction: CopyDirection::FromPeer,
            from_offset: 0x1000,
            to_offset: 7,
            length: u64::MAX,
        },
        Call::List { cursor: 3 },
        Call::Inspect { handle, range_index: 1 },
        Call::Accept { handle, seen: summary() },
        Call::Reject { handle, generation: 7 },
        Call::Release { handle },
        Call::HypRegister { sgi: 5, core: 1 },
        Call::HypPoll,
        Call::HypMapping { handle, vm },
        Call::HypUnmapped { handle, vm },
        Call::BusKick,
        Call::Interrupt(InterruptCall::Fetch),
        Call::Interrupt(InterruptCall::Complete { source: 1 }),
        Call::Interrupt(InterruptCall::Mask { source: 2 }),
        Call::Interrupt(InterruptCall::Unmask { source: u16::MAX }),
        Call::Interrupt(InterruptCall::Arm { source: 1, interval_us: u32::MAX, count: 10_000 }),
        Call::Interrupt(InterruptCall::Info { source: 1, page: InfoPage::Counts }),
        Call::Interrupt(InterruptCall::Bind { source: 1, vm: Some(vm) }),
        Call::Interrupt(InterruptCall::Bind { source: 1, vm: None }),
        Call::Seal,
        Call::LedgerHead { scope: LedgerScope::All, half: DigestHalf::Second },
        Call::LedgerRead { handle, scope: LedgerScope::Own, cursor: 1 << 48 | 7 },
        Call::Vault(VaultCall::State),
        Call::Vault(VaultCall::Entropy { count: 24 }),
    ]
    .into_iter()
    .chain(vault_calls(handle).map(Call::Vault))
    .collect()
}

fn vault_calls(handle: MemHandle) -> [VaultCall; 16] {
    let message = Keyed { handle, slot: 7, offset: 0x1234, length: 4096 };
    let text = KeyedText { text: message, associated: 9, proof: 0xffff_fff0 };
    [
        VaultCall::CounterRead { number: 3 },
        VaultCall::CounterIncrement { number: 255 },
        VaultCall::Rpmb { handle, request: 512, answers: 0x1_0000, room: 16 },
        VaultCall::KeyGenerate { slot: 1, purpose: KeyPurpose::Sign },
        VaultCall::KeyImport { handle, slot: 2, purpose: KeyPurpose::Mac, offset: 8 },
        VaultCall::KeyDelete { slot: 3 },
        VaultCall::KeyPublic { slot: 4 },
        VaultCall::KeyMac(message),
        VaultCall::KeyVerify { message, tag: 5 },
        VaultCall::KeySign { message, signature: 6 },
        VaultCall::KeyEncrypt(text),
        VaultCall::KeyDecrypt(text),
        VaultCall::WatchdogStart { timeout_ms: 1000, warning_ms: 100 },
        VaultCall::WatchdogPing,
        VaultCall::WatchdogStop,
        VaultCall::WatchdogLeft,
    ]
}

#[test]
fn every_call_survives_its_frame() {
    let calls = one_of_each();
    for call in &calls {
        assert_eq!(Call::decode(&call.encode()), Ok(*call));
    }
    for id in CallId::ALL {
        assert!(calls.iter().any(|c| c.id() == *id), "{id:?} has no example");
        assert_eq!(CallId::from_number(id.number()), Some(*id));
    }
}

#[test]
fn no_call_number_can_be_taken_for_a_virtio_msg_type() {
    assert!(CallId::ALL.iter().all(|id| id.number() > 3));
}

#[test]
fn reserved_words_and_bits_are_refused() {
    for call in one_of_each() {
        let frame = call.encode();
        for bit in (8..16).chain(32..64) {
            let mut bad = frame;
            bad[0] ^= 1 << bit;
            assert_eq!(Call::decode(&bad), Err(Status::ReservedNotZero));
        }
        let mut bad = frame;
        bad[0] ^= 1 << 16;
        assert_eq!(Call::decode(&bad), Err(Status::BadVersion));
    }
    let mut bad = Call::Events.encode();
    bad[4] = 1;
    assert_eq!(Call::decode(&bad), Err(Status::ReservedNotZero));
}

#[test]
fn a_doorbell_must_be_a_non_secure_sgi() {
    let mut frame = Call::HypRegister { sgi: 7, core: 0 }.encode();
    frame[1] = 8;
    assert_eq!(Call::decode(&frame), Err(Status::BadArgument));
}

#[test]
fn the_invalid_handle_is_like_any_unknown_one() {
    let mut frame = Call::Revoke { handle: MemHandle::new(0).unwrap() }.encode();
    frame[1] = u64::MAX;
    assert_eq!(Call::decode(&frame), Err(Status::NoSuchGrant));
}
