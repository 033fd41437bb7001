//! The rows on memory.

use super::{A, B, LEND, SHARE, SP, both, columns, page, share};
use causeway_fake_spmc::probe::Probe;
use causeway_fake_spmc::{Personality, range};
use causeway_ffa::call::{ReclaimFlags, Zero};
use causeway_ffa::descriptor::{
    Access, Borrowers, DataAccess, Dialect, Flags, InstructionAccess, Receiver, Role, Spec,
    Transaction,
};
use causeway_ffa::{Answer, Call, FfaError, MemHandle, PageRange, Transfer, Version};

const INVALID: FfaError = FfaError::InvalidParameters;
const DENIED: FfaError = FfaError::Denied;
const ABSENT: FfaError = FfaError::NotSupported;

fn ok<T>(result: Result<T, FfaError>) -> Result<(), FfaError> {
    result.map(|_| ())
}

fn own() -> Receiver {
    Receiver::read_write(SP)
}

/// Row "FF-A reported": 1.2, but memory calls take 1.0 or 1.1 only | 1.3 | 1.2.
#[test]
fn memory_calls_take_the_versions_that_the_row_says() {
    for (personality, verdicts) in Personality::HONEST.into_iter().zip([
        [Ok(()), Ok(()), Err(INVALID)],
        [Ok(()); 3],
        [Ok(()); 3],
    ]) {
        for (version, verdict) in [Version::V1_0, Version::V1_1, Version::V1_2].iter().zip(verdicts)
        {
            let probe = &mut Probe::speaking(personality.clone(), *version);
            let receivers = [Receiver::read_write(SP)];
            let ranges = [page(0)];
            let spec = Spec::send(*version, SHARE, A, 0, &receivers, &ranges);
            let name = personality.quirks.name;
            assert_eq!(ok(probe.send_spec(spec, 4096)), verdict, "{name} {version:?}");
        }
    }
}

/// Row "share / lend / donate to a partition": y / y / n | y / y / y | y / n / n.
#[test]
fn kinds_are_taken_as_the_row_says() {
    columns(
        [
            [Ok(()), Ok(()), Err(ABSENT)],
            [Ok(()), Ok(()), Ok(())],
            [Ok(()), Err(ABSENT), Err(ABSENT)],
        ],
        |probe| {
            let vague = Access {
                data: DataAccess::NotSpecified,
                instruction: InstructionAccess::NotSpecified,
            };
            let donee = Receiver { access: vague, ..Receiver::read_write(SP) };
            [
                ok(probe.send(SHARE, A, &[Receiver::read_write(SP)], &[page(0)])),
                ok(probe.send(LEND, A, &[Receiver::read_write(SP)], &[page(1)])),
                ok(probe.send(Transfer::Donate, A, &[donee], &[page(2)])),
            ]
        },
    );
}

/// Rows "{SP, VM} share": accepted | accepted | denied; "{SP, VM} lend": accepted | denied | denied
/// (OP-TEE knows no lend at all: NOT_SUPPORTED).
#[test]
fn a_vm_beside_the_partition_is_taken_as_the_rows_say() {
    columns([[Ok(()), Ok(())], [Ok(()), Err(DENIED)], [Err(DENIED), Err(ABSENT)]], |probe| {
        let shared = ok(probe.send(SHARE, A, &both(), &[page(0)]));
        [shared, ok(probe.send(LEND, A, &both(), &[page(1)]))]
    });
}

/// Row "{SP, VM} share", EL3: "VM ids unverified".
#[test]
fn the_el3_spmc_takes_any_vm_id() {
    let probe = &mut Probe::new(Personality::EL3);
    let nobody = causeway_ffa::EndpointId::from_raw(0x7123);
    let receivers = [Receiver::read_write(SP), Receiver::read_write(nobody)];
    assert_eq!(ok(probe.send(SHARE, A, &receivers, &[page(0)])), Ok(()));
}

/// Row "retrieve must list": every borrower, any order; sender and tag must match | own entry | own
/// entry in OP-TEE's form.
#[test]
fn a_retrieve_lists_whom_the_row_says() {
    let both_refused = [Ok(()), Err(INVALID), Err(INVALID)];
    for (personality, expected) in [Personality::EL3, Personality::HAFNIUM]
        .into_iter()
        .zip([both_refused, [Ok(()), Err(INVALID), Ok(())]])
    {
        let name = personality.quirks.name;
        let probe = &mut Probe::new(personality);
        let handle = probe.send(SHARE, A, &both(), &[page(0)]).unwrap();
        let turned = [Receiver::read_write(B), own()];
        let mut try_with = |receivers: &[Receiver], borrowers| {
            let result = ok(probe.retrieve(A, handle, receivers, borrowers));
            assert_eq!(probe.relinquish(handle).is_ok(), result.is_ok());
            result
        };
        let all = try_with(&turned, Borrowers::All);
        let alone = try_with(&[own()], Borrowers::All);
        let bypass = try_with(&[own()], Borrowers::CallerOnly);
        assert_eq!([all, alone, bypass], expected, "{name}");
        let mut wrong = Spec::retrieve_request(Version::V1_1, B, handle, None, 0, &turned);
        assert_eq!(ok(probe.retrieve_spec(wrong)), Err(INVALID), "sender, {name}");
        (wrong.sender, wrong.tag) = (A, 1);
        assert_eq!(ok(probe.retrieve_spec(wrong)), Err(INVALID), "tag, {name}");
    }
}

/// Row "retrieve must list", OP-TEE: non-zero composite offset to a zeroed composite; the share's tag (run
/// on OP-TEE 4.10 with tags other than 0). And KB-13: it accepts a wrong sender.
#[test]
fn optee_wants_a_zeroed_composite_and_looks_at_no_sender() {
    let probe = &mut Probe::new(Personality::OPTEE);
    let handle = share(probe, 0).unwrap();
    let receivers = [own()];
    let spec = Spec::retrieve_request(Version::V1_1, B, handle, None, 0, &receivers);
    let plain = causeway_ffa::descriptor::Builder::new(spec).unwrap();
    let mut bytes = vec![0; usize::try_from(plain.total_len()).unwrap()];
    plain.write(0, &mut bytes).unwrap();
    assert_eq!(ok(probe.retrieve_bytes(&bytes)), Err(INVALID));
    assert_eq!(ok(probe.retrieve_spec(spec)), Ok(()), "sender B sent nothing");
    let (to, ranges) = ([Receiver::read_write(SP)], [page(1)]);
    let tagged = Spec::send(Version::V1_1, SHARE, A, 1, &to, &ranges);
    let handle = Some(probe.send_spec(tagged, 4096).unwrap());
    assert_eq!(ok(probe.retrieve_spec(Spec { handle, ..spec })), Err(INVALID), "the tag is 1");
    assert_eq!(ok(probe.retrieve_spec(Spec { handle, tag: 1, ..spec })), Ok(()));
}

fn many(count: u64) -> Vec<PageRange> {
    (0..count).map(|number| page(2 * number)).collect()
}

/// Row "fragmented send": y | y | always INVALID_PARAMETERS.
#[test]
fn a_send_in_fragments_goes_as_the_row_says() {
    columns([Ok(()), Ok(()), Err(INVALID)], |probe| {
        let (ranges, receivers) = (many(4), [Receiver::read_write(SP)]);
        let spec = Spec::send(Version::V1_1, SHARE, A, 0, &receivers, &ranges);
        ok(probe.send_spec(spec, 96))
    });
}

/// Row "fragmented retrieve response": y, FRAG_RX from the SP | y | no.
#[test]
fn a_long_response_comes_in_as_many_fragments_as_the_row_says() {
    for personality in [Personality::EL3, Personality::HAFNIUM] {
        let probe = &mut Probe::new(personality);
        let ranges = many(300);
        let handle = probe.send(SHARE, A, &[Receiver::read_write(SP)], &ranges).unwrap();
        let retrieved = probe.retrieve(A, handle, &[own()], Borrowers::All).unwrap();
        assert_eq!(retrieved.fragments, 2);
        let mut scratch = ranges.clone();
        let whole = Transaction::parse_with_scratch(
            &retrieved.bytes,
            Version::V1_1,
            Role::RetrieveResponse,
            &mut scratch,
        );
        assert_eq!(whole.unwrap().ranges().collect::<Vec<_>>(), ranges);
    }
    let probe = &mut Probe::new(Personality::OPTEE);
    let handle = MemHandle::new(0).unwrap();
    let ask = Call::MemFragRx { handle, offset: 0, endpoint: Default::default() };
    assert_eq!(probe.partition(&ask), Err(ABSENT));
}

/// Row "zero flags": refused everywhere | y | n for the normal world.
#[test]
fn zeroing_goes_as_the_row_says() {
    columns(
        [[Err(INVALID), Err(INVALID)], [Ok(()), Ok(())], [Err(ABSENT), Err(INVALID)]],
        |probe| {
            let (receivers, ranges) = ([Receiver::read_write(SP)], [page(0)]);
            let mut spec = Spec::send(Version::V1_1, LEND, A, 0, &receivers, &ranges);
            spec.flags.zero = Zero::Zero;
            let lent = ok(probe.send_spec(spec, 4096));
            let handle = share(probe, 1).unwrap();
            let flags = ReclaimFlags { zero: Zero::Zero, ..ReclaimFlags::default() };
            [lent, ok(probe.answer(&Call::MemReclaim { handle, flags }))]
        },
    );
}

/// Row "address check (is it normal RAM?)": none: a share of secure RAM succeeded | stage 2 | pages yes.
#[test]
fn secure_ram_is_taken_by_the_el3_spmc_alone() {
    columns([Ok(()), Err(DENIED), Err(DENIED)], |probe| {
        let secure = [range(0x0e10_0000, 1)];
        ok(probe.send(SHARE, A, &[Receiver::read_write(SP)], &secure))
    });
}

/// Row "same page in two live shares": refused | refused | accepted.
#[test]
fn a_page_in_two_shares_goes_as_the_row_says() {
    columns([Err(INVALID), Err(DENIED), Ok(())], |probe| {
        share(probe, 0).unwrap();
        ok(share(probe, 0))
    });
}

/// Row "descriptor store": 546 one-page shares to one receiver, 481 to two, at most 4,089 / 4,088
/// constituents alone | 100 shares | 64 shares.
#[test]
fn the_store_holds_as_many_as_the_row_says() {
    columns([546, 100, 64], |probe| {
        let fits = (0..2000).take_while(|number| share(probe, *number).is_ok()).count();
        assert_eq!(share(probe, 1999), Err(FfaError::NoMemory));
        fits
    });
    let probe = &mut Probe::new(Personality::EL3);
    let to_two = |number: &u64| probe.send(SHARE, A, &both(), &[page(*number)]).is_ok();
    assert_eq!((0..2000).take_while(to_two).count(), 481);
    for (receivers, most) in [(both()[..1].to_vec(), 4089), (both().to_vec(), 4088)] {
        for (count, verdict) in [(most, Ok(())), (most + 1, Err(FfaError::NoMemory))] {
            let probe = &mut Probe::new(Personality::EL3);
            let start = page(0).start().get();
            let ranges: Vec<_> = (0..count).map(|n| range(start + 8192 * n, 1)).collect();
            let spec = Spec::send(Version::V1_1, SHARE, A, 0, &receivers, &ranges);
            assert_eq!(ok(probe.send_spec(spec, 4096)), verdict, "{count}");
        }
    }
}

/// Row "descriptor store", Hafnium: 20 fragments.
#[test]
fn hafnium_takes_twenty_fragments() {
    for (fragments, verdict) in [(20, Ok(())), (21, Err(FfaError::NoMemory))] {
        let probe = &mut Probe::new(Personality::HAFNIUM);
        let (ranges, receivers) = (many(fragments - 1), [Receiver::read_write(SP)]);
        let spec = Spec::send(Version::V1_1, SHARE, A, 0, &receivers, &ranges);
        // 80 bytes, then one constituent each; but the first fragment is as long as all but these.
        let total = 80 + 16 * (fragments - 1);
        let builder = causeway_ffa::descriptor::Builder::new(spec).unwrap();
        let mut bytes = vec![0; usize::try_from(total).unwrap()];
        builder.write(0, &mut bytes).unwrap();
        assert_eq!(ok(send_in_units(probe, &bytes)), verdict);
    }
}

/// 80 bytes, then 16 at a time.
fn send_in_units(probe: &mut Probe, bytes: &[u8]) -> Result<MemHandle, FfaError> {
    let tx = causeway_fake_spmc::layout::hypervisor_ram().start().get();
    let total = u32::try_from(bytes.len()).unwrap();
    let (first, rest) = bytes.split_at(80);
    probe.machine().ram().write(tx, first).unwrap();
    let lengths = causeway_ffa::Lengths::new(total, 80).unwrap();
    let mut answer = probe.answer(&Call::MemSend { kind: SHARE, lengths })?;
    for unit in rest.chunks(16) {
        let Answer::MemFragRx { handle, endpoint, .. } = answer else { break };
        probe.machine().ram().write(tx, unit).unwrap();
        answer = probe.answer(&Call::MemFragTx { handle, length: 16, endpoint })?;
    }
    let Answer::Success(success) = answer else { return Err(FfaError::NoData) };
    success.handle().ok_or(FfaError::NoData)
}

/// Row "first handle": 0xffffffc0 | 0 | bit 45 or 44 set.
#[test]
fn the_first_handle_is_the_rows() {
    columns([0xffff_ffc0, 0, 1 << 45], |probe| share(probe, 0).unwrap().get());
}

/// Row "retrieve response": as the sender wrote it (its descriptor sizes) | one entry of the caller's FF-A
/// version, whatever sizes the request has (run on Hafnium, against what was first noted) |
/// handle 0, flags always SHARE, length 4096.
#[test]
fn the_response_looks_as_the_row_says() {
    let probe = &mut Probe::new(Personality::EL3);
    let handle = share(probe, 0).unwrap();
    // The request names 32-byte receivers; the response has the sender's 16.
    let response = probe.retrieve_bytes(&long_request(handle)).unwrap().bytes;
    assert_eq!((response.len(), response[24]), (48 + 16 + 16 + 16, 16));
    let probe = &mut Probe::new(Personality::HAFNIUM);
    let handle = share(probe, 0).unwrap();
    let response = probe.retrieve_bytes(&long_request(handle)).unwrap().bytes;
    assert_eq!((response.len(), response[24]), (48 + 16 + 16 + 16, 16));
    let probe = &mut Probe::new(Personality::OPTEE);
    let handle = share(probe, 0).unwrap();
    let response = probe.retrieve(A, handle, &[own()], Borrowers::All).unwrap().bytes;
    assert_eq!((response.len(), &response[8..16]), (4096, [0; 8].as_slice()));
    assert_eq!(response[4], 1 << 3);
    let read =
        Transaction::parse_in(Dialect::OpTee, &response, Version::V1_1, Role::RetrieveResponse);
    assert_eq!(read.unwrap().ranges().collect::<Vec<_>>(), [page(0)]);
}

/// A request with one receiver of 32 bytes.
fn long_request(handle: MemHandle) -> Vec<u8> {
    let mut request = vec![0; 80];
    request[0] = 1;
    request[8..16].copy_from_slice(&handle.get().to_le_bytes());
    request[24] = 32;
    request[28] = 1;
    request[32] = 48;
    request[48..50].copy_from_slice(&SP.get().to_le_bytes());
    request[50] = 2;
    request
}

/// Row "refuses a non-receiver": y | y | crashes.
#[test]
fn a_retrieve_by_somebody_else_goes_as_the_row_says() {
    columns(
        [(Err(INVALID), false), (Err(INVALID), false), (Err(FfaError::Aborted), true)],
        |probe| {
            let other = causeway_ffa::EndpointId::from_raw(0x8002);
            let uuid = causeway_ffa::Uuid::from_bytes([9; 16]);
            probe.spmc.load(other, uuid, Version::V1_1);
            let handle = probe.send(SHARE, A, &[Receiver::read_write(other)], &[page(0)]).unwrap();
            let stolen = ok(probe.retrieve(A, handle, &[own()], Borrowers::All));
            (stolen, probe.spmc.crash().is_some())
        },
    );
}

/// "The rules that shape the design", 1: a secure partition cannot give memory to a VM.
#[test]
fn a_partition_gives_no_memory_to_a_vm() {
    columns([INVALID, DENIED, DENIED], |probe| {
        let lengths = causeway_ffa::Lengths::new(96, 96).unwrap();
        probe.partition(&Call::MemSend { kind: SHARE, lengths }).unwrap_err()
    });
}

/// "The rules that shape the design", 2: the partition's own retrieve is a lock, because the SPMC denies
/// RECLAIM while it holds it; and "in_use counts SP retrieves only".
#[test]
fn the_partitions_retrieve_keeps_the_owner_from_reclaiming() {
    for personality in Personality::HONEST {
        let probe = &mut Probe::new(personality);
        let handle = share(probe, 0).unwrap();
        probe.retrieve(A, handle, &[own()], Borrowers::All).unwrap();
        assert_eq!(ok(probe.reclaim(handle)), Err(DENIED));
        probe.relinquish(handle).unwrap();
        assert_eq!(ok(probe.reclaim(handle)), Ok(()));
        assert_ne!(ok(probe.reclaim(handle)), Ok(()));
        assert_eq!(probe.machine().pages(|pages| pages.violations().len()), 0);
    }
}

/// KB-09: what is half sent occupies its announced size, and cannot be reclaimed.
#[test]
fn kb_09_half_a_send_stays_in_the_el3_spmcs_store() {
    let probe = &mut Probe::new(Personality::EL3);
    let ranges = many(300);
    let receivers = [Receiver::read_write(SP)];
    let spec = Spec::send(Version::V1_1, SHARE, A, 0, &receivers, &ranges);
    let builder = causeway_ffa::descriptor::Builder::new(spec).unwrap();
    let mut bytes = vec![0; 4096];
    builder.write(0, &mut bytes).unwrap();
    let lost = probe.send_bytes(SHARE, &bytes, 96);
    assert_eq!(lost, Err(INVALID), "a total that is not the descriptor's");
    let tx = causeway_fake_spmc::layout::hypervisor_ram().start().get();
    probe.machine().ram().write(tx, &bytes).unwrap();
    let lengths = causeway_ffa::Lengths::new(builder.total_len(), 4096).unwrap();
    let answer = probe.answer(&Call::MemSend { kind: SHARE, lengths }).unwrap();
    let Answer::MemFragRx { handle, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((ok(probe.reclaim(handle)), probe.spmc.transactions()), (Err(INVALID), 1));
}

/// Flags of a request are 0 or the kind (row "retrieve must list", EL3).
#[test]
fn another_kind_than_was_sent_is_refused() {
    for personality in [Personality::EL3, Personality::HAFNIUM] {
        let probe = &mut Probe::new(personality);
        let handle = share(probe, 0).unwrap();
        let receivers = [own()];
        let mut spec = Spec::retrieve_request(Version::V1_1, A, handle, Some(LEND), 0, &receivers);
        assert_eq!(ok(probe.retrieve_spec(spec)), Err(INVALID));
        spec.flags = Flags::of_kind(SHARE);
        assert_eq!(ok(probe.retrieve_spec(spec)), Ok(()));
    }
}
