//! Holds OP-TEE's dialect to what its source does, and keeps it out of the specified one.

use super::*;

/// What `create_retrieve_response` leaves in an RX buffer that held something else before.
fn optee_response() -> Vec<u8> {
    let mut buffer = vec![0xee; 4096];
    let receivers = [Receiver::read_write(id(0x8001)).not_executable()];
    let one = [range(0x4000_0000, 3)];
    let spec = Spec::retrieve_response(
        Version::V1_1,
        id(1),
        MemHandle::new(0).unwrap(),
        Transfer::Share,
        0,
        &receivers,
        &one,
    );
    Builder::new(spec).unwrap().write(0, &mut buffer).unwrap();
    // As many lines as were written, then what was there before.
    buffer.truncate(96);
    buffer.resize(4096, 0xee);
    buffer
}

#[test]
fn a_response_as_long_as_the_buffer_is_read_in_its_dialect_only() {
    let bytes = optee_response();
    let role = Role::RetrieveResponse;
    let plain = Transaction::parse(&bytes, Version::V1_1, role);
    assert_eq!(plain.err(), Some(DescriptorError::TotalLength));
    let whole = Transaction::parse_in(Dialect::OpTee, &bytes, Version::V1_1, role).unwrap();
    assert!(whole.ranges().eq([range(0x4000_0000, 3)]));
    assert_eq!((whole.page_count(), whole.range_count()), (3, 1));
    assert_eq!(whole.receivers().map(|one| one.endpoint).collect::<Vec<_>>(), [id(0x8001)]);
    // Handle 0 and "share" are written, but mean nothing.
    assert_eq!((whole.header().handle, whole.header().flags.kind), (None, None));
    assert_eq!(whole.header().sender, id(1));
}

#[test]
fn the_dialect_gives_up_no_other_rule() {
    let role = Role::RetrieveResponse;
    let parse = |bytes: &[u8]| {
        Transaction::parse_in(Dialect::OpTee, bytes, Version::V1_1, role).map(|_| ()).unwrap_err()
    };
    let good = optee_response();
    assert_eq!(parse(&patched(&good, 64, &[2])), DescriptorError::PageTotal);
    assert_eq!(parse(&patched(&good, 80, &[1])), DescriptorError::Address);
    assert_eq!(parse(&patched(&good, 72, &[1])), DescriptorError::CompositeReserved);
    // Two ranges of which only the first was filled (KB-05): the second is stale.
    assert_eq!(parse(&patched(&good, 68, &[2])), DescriptorError::ConstituentReserved);
    // A count that points beyond the buffer, and offsets that do.
    assert_eq!(parse(&patched(&good, 68, &[0xff; 4])), DescriptorError::TotalLength);
    assert_eq!(parse(&patched(&good, 52, &[0xf0, 0xff])), DescriptorError::CompositeTruncated);
    assert_eq!(parse(&patched(&good, 32, &[0xf0, 0xff])), DescriptorError::ReceiversTruncated);
    for len in 0..96 {
        let found = Transaction::parse_in(Dialect::OpTee, &good[..len], Version::V1_1, role);
        assert!(found.is_err(), "{len}");
    }
}

#[test]
fn a_request_to_optee_has_a_zeroed_composite_and_the_shares_tag() {
    let receivers = [Receiver::read_write(id(0x8001))];
    let spec = Spec::retrieve_request(Version::V1_1, id(1), handle(), None, 7, &receivers);
    let builder = Builder::new_in(Dialect::OpTee, spec).unwrap();
    let mut bytes = vec![0xaa; 200];
    assert_eq!(builder.write(0, &mut bytes), Ok(96));
    assert_eq!(builder.total_len(), 96);
    assert_eq!(bytes[16..24], 7_u64.to_le_bytes(), "tag");
    assert_eq!(bytes[52..56], [64, 0, 0, 0], "composite offset");
    assert_eq!(bytes[64..96], [0; 32], "composite and what OP-TEE reads as an address");
    let role = Role::RetrieveRequest;
    let read = Transaction::parse_in(Dialect::OpTee, &bytes[..96], Version::V1_1, role).unwrap();
    assert_eq!((read.header().handle, read.page_count()), (Some(handle()), 0));
    assert!(Transaction::parse(&bytes[..96], Version::V1_1, role).is_err());
}

#[test]
fn sends_are_as_specified_in_either_dialect() {
    let bytes = [&GOLDEN_SHARE[..], &[0; 16]].concat();
    for dialect in [Dialect::Specified, Dialect::OpTee] {
        let parse = |bytes: &[u8]| {
            Transaction::parse_in(dialect, bytes, Version::V1_1, SHARE)
                .map(|whole| whole.page_count())
        };
        assert_eq!(parse(&GOLDEN_SHARE), Ok(5));
        assert_eq!(parse(&bytes), Err(DescriptorError::TotalLength));
    }
}
