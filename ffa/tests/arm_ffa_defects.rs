//! Fences off the defects of arm-ffa 0.5: each test shows one, and that our own code does not have it.
//! A newer arm-ffa that mends one fails here, and then the crate can be used for more.
//!
//! One is not run: `impl From<arm_ffa::Error> for FfaError` calls itself for three variants, and would
//! overflow the stack. Ours is one table (`every_rule_has_a_sentence_and_a_status`).
#![cfg(not(miri))]

use arm_ffa::Interface;
use arm_ffa::memory_management as mm;
use causeway_ffa::call::DirectMessage;
use causeway_ffa::descriptor::{Builder, DescriptorError, Receiver, Role, Spec, Transaction};
use causeway_ffa::{
    Answer, Call, EndpointId, FuncId, PageAddr, PageRange, Regs, Transfer, Version, Width, regs,
};

const OLD: [(arm_ffa::Version, Version); 2] =
    [(arm_ffa::Version(1, 0), Version::V1_0), (arm_ffa::Version(1, 1), Version::V1_1)];

fn id(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

/// Whether arm-ffa panics over these registers.
fn stops_arm_ffa(version: arm_ffa::Version, regs: &Regs) -> bool {
    let regs = regs.0;
    std::panic::catch_unwind(move || Interface::from_regs(version, &regs).is_ok()).is_err()
}

/// Any caller could end a partition that reads its registers with arm-ffa.
#[test]
fn a_64_bit_message_at_an_older_version_stops_arm_ffa_and_not_us() {
    let words = [0x1_0000_0001, 2, 3, 4, 5];
    let message =
        DirectMessage { sender: id(1), receiver: id(0x8001), width: Width::Bits64, words };
    for (theirs, ours) in OLD {
        let request = Call::DirectReq(message).encode();
        let response = Answer::DirectResp(message).encode();
        assert!(stops_arm_ffa(theirs, &request), "{ours:?}");
        assert!(stops_arm_ffa(theirs, &response), "{ours:?}");
        assert_eq!(Call::decode(&request, ours), Ok(Call::DirectReq(message)));
        assert_eq!(Answer::decode(&response, ours), Ok(Answer::DirectResp(message)));
        let mut success = Answer::success().encode();
        success.0[0] = u64::from(FuncId::Success64.raw());
        assert!(stops_arm_ffa(theirs, &success), "{ours:?}");
        assert!(matches!(Answer::decode(&success, ours), Ok(Answer::Success(_))));
    }
}

#[test]
fn the_answer_to_version_is_read_by_us_alone() {
    let answer = regs::version_reply(Some(Version::V1_2));
    assert!(Interface::from_regs(arm_ffa::Version(1, 2), &answer.0).is_err());
    assert_eq!(regs::decode_version_reply(&answer), Ok(Version::V1_2));
}

fn share(version: Version) -> Vec<u8> {
    let ranges = [PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 4).unwrap()];
    let receivers = [Receiver::read_write(id(0x8001))];
    let spec = Spec::send(version, Transfer::Share, id(1), 7, &receivers, &ranges);
    let builder = Builder::new(spec).unwrap();
    let mut bytes = vec![0; usize::try_from(builder.total_len()).unwrap()];
    builder.write(0, &mut bytes).unwrap();
    bytes
}

/// The receivers of 1.2 have 16 bytes more (DEN0140 1.2, table 1.16).
fn with_receivers_of_1_2() -> Vec<u8> {
    let bytes = share(Version::V1_1);
    let mut long = [&bytes[..64], &[0; 16], &bytes[64..]].concat();
    // Their size, and where the composite is now.
    long[24] = 32;
    long[52] = 80;
    long
}

#[test]
fn receivers_of_1_2_are_read_by_us_alone() {
    let long = with_receivers_of_1_2();
    let refused = match mm::MemTransactionDesc::unpack(&long) {
        Ok((_, mut access, _)) => access.any(|one| one.is_err()),
        Err(_) => true,
    };
    assert!(refused);
    let read = Transaction::parse(&long, Version::V1_2, Role::Send(Transfer::Share)).unwrap();
    assert_eq!(read.receivers().count(), 1);
    assert_eq!(read.ranges().count(), 1);
}

/// Layouts that lie about their length, and pages that do not add up: docs/ffa-cost.md has the list.
#[test]
fn layouts_that_lie_are_read_by_arm_ffa_and_refused_by_us() {
    let role = Role::Send(Transfer::Share);
    let takes = |bytes: &[u8]| {
        mm::MemTransactionDesc::unpack(bytes).is_ok_and(|(_, mut access, ranges)| {
            access.all(|one| one.is_ok())
                && ranges.is_some_and(|mut all| all.all(|one| one.is_ok()))
        })
    };
    let good = share(Version::V1_1);
    assert!(takes(&good) && Transaction::parse(&good, Version::V1_1, role).is_ok());
    let longer = [&good[..], &[0; 16]].concat();
    let error = Transaction::parse(&longer, Version::V1_1, role).err();
    assert_eq!((takes(&longer), error), (true, Some(DescriptorError::TotalLength)));
    // A range that ends beyond the address space.
    let mut wrapping = good.clone();
    let range = wrapping.len() - 16;
    wrapping[range..range + 8].copy_from_slice(&0xffff_ffff_ffff_f000_u64.to_le_bytes());
    assert!(takes(&wrapping));
    assert!(Transaction::parse(&wrapping, Version::V1_1, role).is_err());
}

/// DEN0140 1.2, FFA_MEM_PERM_SET: bits 31:3 of w3 are reserved.
#[test]
fn reserved_permission_bits_are_refused_by_us_alone() {
    let mut set = Regs([0; 18]);
    set.0[..4].copy_from_slice(&[u64::from(FuncId::MemPermSet32.raw()), 0x8000_0000, 1, 0b101]);
    assert!(Call::decode(&set, Version::V1_1).is_ok());
    set.0[3] |= 1 << 8;
    assert!(Interface::from_regs(arm_ffa::Version(1, 1), &set.0).is_ok());
    assert!(Call::decode(&set, Version::V1_1).is_err());
}
