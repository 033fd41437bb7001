//! Holds the policy to docs/policy.md.

use super::*;

const MANIFEST: &[u8] = include_bytes!("../../tests/data/qemu-el3.dtb");

fn vm(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

#[test]
fn the_shipped_manifest_is_read_whole() {
    let policy = Policy::from_manifest(MANIFEST).unwrap();
    assert_eq!(policy.hypervisor(), Some(vm(0)));
    assert_eq!(policy.vms().collect::<Vec<_>>(), [vm(1), vm(2), vm(3)]);
    let windows: Vec<_> = policy.windows().map(|w| (w.start().get(), w.end())).collect();
    assert_eq!(windows, [(0x7000_0000, 0x7800_0000), (0x8000_0000, 0xa800_0000)]);
    let (share, lend) = (GrantKind::Share, GrantKind::Lend);
    let rw = Permission::ReadWrite;
    assert!(policy.allows(vm(1), Some(vm(2)), lend, rw));
    assert!(policy.allows(vm(2), Some(vm(1)), share, rw));
    assert!(policy.allows(vm(3), None, share, rw));
    assert!(!policy.allows(vm(3), None, lend, rw));
    // Allowed by policy, and refused where the SPMC has no donations.
    assert!(policy.allows(vm(3), None, GrantKind::Donate, rw));
    assert!(policy.allows(vm(3), Some(vm(2)), share, Permission::ReadOnly));
    assert!(policy.may_copy(vm(2), vm(3)) && !policy.may_copy(vm(3), vm(2)));
    for peer in [0, 1, 2, 3, 4] {
        assert!(!policy.allows(vm(3), Some(vm(peer)), share, rw));
        let granter = peer == 2;
        assert_eq!(policy.allows(vm(peer), Some(vm(3)), share, rw), granter, "VM {peer}");
    }
    // Killed and restarted by VM 1 in the tests of deaths and of sealing, which it also audits.
    assert_eq!((policy.auditor(), policy.sealer()), (Some(vm(1)), Some(vm(1))));
    let local = policy.links().filter(|link| link.backend.is_none());
    assert_eq!((policy.links().count(), local.count()), (9, 7));
    let sources: Vec<_> = policy.interrupts().map(|rule| (rule.intid, rule.vm)).collect();
    let owned = |intid, raw| (intid, Some(vm(raw)));
    assert_eq!(sources, [owned(29, 1), owned(40, 1), owned(32, 3), owned(34, 1)]);
    assert!(policy.may_bind(0, vm(3)) && !policy.may_bind(1, vm(2)) && policy.may_arm(3));
    assert_eq!(policy.check(1152, 6144), Ok(()));
}

#[test]
fn a_source_of_interrupts_that_contradicts_itself_or_another_is_refused() {
    let limit = SourceLimit { burst: 1, refill_us: 1, cooling_ms: 1 };
    let good = InterruptRule {
        intid: 40,
        trigger: causeway_abi::Trigger::Level,
        vm: Some(vm(1)),
        heirs: [Some(vm(2)), None, None, None],
        vm_arms: false,
        limit,
    };
    let mut policy = Policy::new();
    policy.add_vm(vm(1)).unwrap();
    policy.add_vm(vm(2)).unwrap();
    policy.add_interrupt(good).unwrap();
    let other = InterruptRule { intid: 41, ..good };
    for (rule, error) in [
        (InterruptRule { vm: Some(vm(2)), ..good }, PolicyError::Duplicate("interrupt")),
        (InterruptRule { intid: 15, ..good }, PolicyError::BadProperty("intid")),
        (InterruptRule { intid: 1020, ..good }, PolicyError::BadProperty("intid")),
        (InterruptRule { vm: Some(vm(2)), ..other }, PolicyError::Duplicate("also")),
        (
            InterruptRule { vm: None, heirs: [None; MAX_HEIRS], ..other },
            PolicyError::BadProperty("vm"),
        ),
        (
            InterruptRule { limit: SourceLimit { burst: 0, ..limit }, ..other },
            PolicyError::BadProperty("limit"),
        ),
        (
            InterruptRule { limit: SourceLimit { refill_us: 0, ..limit }, ..other },
            PolicyError::BadProperty("limit"),
        ),
        (
            InterruptRule { limit: SourceLimit { cooling_ms: 0, ..limit }, ..other },
            PolicyError::BadProperty("limit"),
        ),
    ] {
        let before = policy;
        assert_eq!(policy.add_interrupt(rule), Err(error));
        assert_eq!(policy, before);
    }
    policy.add_interrupt(InterruptRule { vm: Some(vm(9)), ..other }).unwrap();
    assert_eq!(policy.check(0, 0), Err(PolicyError::UnknownVm(vm(9))));
}

#[test]
#[cfg_attr(miri, ignore = "starts dtc")]
fn the_manifest_fits_the_spmc_and_its_blob_is_fresh() {
    // TF-A's EL3 SPMC: manifest and boot-information header (64 bytes with room) in one page.
    assert!(MANIFEST.len() <= 4096 - 128, "{} bytes", MANIFEST.len());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/qemu-el3.dts");
    let made = std::process::Command::new("dtc").args(["-q", "-O", "dtb", source]).output();
    match made {
        Ok(out) => assert_eq!(out.stdout, MANIFEST, "run: cargo xtask manifests"),
        Err(error) => println!("SKIPPED: the blob was not compared, no dtc: {error}"),
    }
}

#[test]
fn a_blob_may_be_longer_than_its_tree_but_not_shorter() {
    let mut longer = MANIFEST.to_vec();
    longer.resize(4096, 0xa5);
    assert_eq!(Policy::from_manifest(&longer), Policy::from_manifest(MANIFEST));
    for len in (0..MANIFEST.len()).step_by(if cfg!(miri) { 131 } else { 1 }) {
        assert_eq!(Policy::from_manifest(&MANIFEST[..len]), Err(PolicyError::BadTree));
    }
}

#[test]
fn no_flipped_byte_of_a_manifest_panics() {
    let whole = Policy::from_manifest(MANIFEST).unwrap();
    let mut changed = 0;
    let stride = if cfg!(miri) { 97 } else { 1 };
    for at in (0..MANIFEST.len()).step_by(stride) {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = MANIFEST.to_vec();
            bad[at] ^= flip;
            changed += usize::from(Policy::from_manifest(&bad) != Ok(whole));
        }
    }
    assert!(changed > 1000 / stride);
}

#[test]
fn a_misspelt_limit_is_refused_and_not_ignored() {
    let text = b"max-area-pages\0";
    let at = MANIFEST.windows(text.len()).position(|w| w == text).unwrap();
    let mut bad = MANIFEST.to_vec();
    bad[at] = b'n';
    assert_eq!(Policy::from_manifest(&bad), Err(PolicyError::Unexpected));
}

fn rule(owner: u16, peer: Option<u16>, grants: u16) -> PairRule {
    PairRule {
        owner: vm(owner),
        peer: peer.map(vm),
        share: true,
        lend: false,
        donate: false,
        widest: Permission::ReadOnly,
        max_area_pages: 1,
        quota: Quota { grants, pages: 8, ranges: 8 },
    }
}

#[test]
fn reservations_must_fit_together() {
    let mut policy = Policy::new().with_hypervisor(vm(0));
    policy.add_vm(vm(1)).unwrap();
    policy.add_vm(vm(2)).unwrap();
    policy.add_pair(rule(1, Some(2), 4)).unwrap();
    policy.add_pair(rule(1, None, 4)).unwrap();
    assert_eq!(policy.check(8, 16), Ok(()));
    assert_eq!(policy.check(7, 16), Err(PolicyError::OverCommitted("grants")));
    assert_eq!(policy.check(8, 15), Err(PolicyError::OverCommitted("ranges")));
    assert_eq!(policy.add_pair(rule(1, None, 1)), Err(PolicyError::Duplicate("grant")));
    assert_eq!(policy.add_pair(rule(1, Some(1), 1)), Err(PolicyError::BadProperty("peer")));
    assert_eq!(policy.add_pair(rule(1, Some(3), 0)), Err(PolicyError::UnknownVm(vm(3))));
    assert_eq!(policy.add_pair(rule(3, None, 0)), Err(PolicyError::UnknownVm(vm(3))));
}

#[test]
fn pairs_of_vms_need_a_hypervisor_that_speaks_or_guards() {
    let mut policy = Policy::new();
    policy.add_vm(vm(0)).unwrap();
    policy.add_vm(vm(1)).unwrap();
    policy.add_pair(rule(0, Some(1), 1)).unwrap();
    assert_eq!(policy.check(8, 8), Err(PolicyError::NoHypervisor));
    let guarded = policy.with_reclaim_guard(ReclaimGuard::Hypervisor);
    assert_eq!(guarded.check(8, 8), Ok(()));
    let mut spoken = Policy::new().with_hypervisor(vm(0));
    assert_eq!(spoken.add_vm(vm(0)), Err(PolicyError::BadProperty("id")));
}

#[test]
fn a_vm_has_a_bit_of_its_own_or_no_place_in_a_policy() {
    for id in 0..64 {
        assert_eq!(Policy::new().add_vm(vm(id)), Ok(()));
        assert_eq!(vm_bit(vm(id)), 1 << id);
    }
    for id in [64, 65, 0x7fff, u16::MAX] {
        assert_eq!(Policy::new().add_vm(vm(id)), Err(PolicyError::IdTooLarge(vm(id))));
    }
}

#[test]
fn read_only_rules_permit_no_writing() {
    let mut policy = Policy::new();
    policy.add_vm(vm(1)).unwrap();
    policy.add_pair(rule(1, None, 1)).unwrap();
    assert!(policy.allows(vm(1), None, GrantKind::Share, Permission::ReadOnly));
    assert!(!policy.allows(vm(1), None, GrantKind::Share, Permission::ReadWrite));
    assert!(!policy.allows(vm(1), None, GrantKind::Donate, Permission::ReadOnly));
}
