//! Owns the fuzz target of registers: any register file, at any version, is a call, an answer or an
//! error, and what is read is written back. Never looks into memory.
#![no_main]

use arbitrary::Unstructured;
use causeway_ffa::call::RareCall;
use causeway_ffa::partition_info::RegsPage;
use causeway_ffa::{Answer, Call, FuncId, Regs, Version};
use libfuzzer_sys::fuzz_target;

const VERSIONS: [Version; 4] = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3];

/// A function id that exists, mostly, and registers that are often small or full.
fn registers(input: &mut Unstructured<'_>) -> arbitrary::Result<(Regs, Version)> {
    let version = *input.choose(&VERSIONS)?;
    let mut regs = Regs::ZERO;
    for register in &mut regs.0 {
        *register = match input.int_in_range(0..=5)? {
            0 => 0,
            1 => u64::from(input.arbitrary::<u8>()?),
            2 => u64::from(input.arbitrary::<u32>()?),
            3 => u64::from(input.arbitrary::<u32>()?) << 12,
            4 => u64::MAX,
            _ => input.arbitrary()?,
        };
    }
    if input.ratio(9, 10)? {
        regs.0[0] = u64::from(input.choose(FuncId::ALL)?.raw());
    }
    Ok((regs, version))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((regs, version)) = registers(&mut Unstructured::new(bytes)) else { return };
    match Call::decode(&regs, version) {
        Ok(call) => assert_eq!(Call::decode(&call.encode(), version), Ok(call)),
        Err(error) => assert!(error.status().code() < 0),
    }
    match Answer::decode(&regs, version) {
        Ok(answer) => {
            assert_eq!(Answer::decode(&answer.encode(), version), Ok(answer));
            if let Answer::Success(success) = answer {
                assert!(success.pending().count() <= 31);
                if let Ok(page) = RegsPage::decode(&success, regs.w(17) as u16) {
                    assert!(page.iter().count() <= 5);
                }
            }
        }
        Err(error) => assert!(error.status().code() < 0),
    }
    if let Ok(call) = RareCall::decode(&regs, version) {
        assert_eq!(RareCall::decode(&call.encode(), version), Ok(call));
        assert!(Call::decode(&regs, version).is_err(), "a call has one decoder");
    }
    if let Some((sender, receiver, _)) = Call::direct_parties(&regs) {
        assert_eq!(u32::from(sender.get()) << 16 | u32::from(receiver.get()), regs.w(1));
    }
});
