//! Garbage in every register, in descriptors and in frames: thousands of calls from a fixed seed,
//! so that each run makes the same ones. Never the calls that end this VM on purpose.

use super::Attacker;
use crate::calls::{self, id};
use crate::cases::{self, Layer, Outcome};
use crate::descriptor::Descriptor;
use crate::prng::Prng;
use crate::rt::access;
use crate::rt::hvc::{self, vendor};
use crate::say;
use causeway_abi::Reply;

const ROUNDS: u32 = 12;
const DESCRIPTORS: u32 = 400;
const FRAMES: u32 = 4000;

/// PSCI calls that stop or suspend a VM as they should.
const ENDS_THE_VM: [u32; 6] =
    [0x8400_0001, 0x8400_0002, 0x8400_0008, 0x8400_0009, 0x8400_000e, 0x8400_0012];

impl Attacker {
    pub(super) fn garbage(&self) {
        self.garbage_registers();
        self.garbage_descriptors();
        self.garbage_frames();
    }

    fn verdict(good: bool) -> Outcome {
        Outcome { layer: Layer::All, status: if good { "Refused" } else { "NotRefused" } }
    }

    fn garbage_registers(&self) {
        let mut prng = Prng::new(0x6a4b);
        let (mut made, mut successes, mut good) = (0_u32, 0_u32, true);
        self.garbage_mailbox(&mut prng);
        for _ in 0..ROUNDS {
            for function in functions() {
                let mut regs = [0; 18];
                regs.fill_with(|| prng.nasty());
                regs[0] = u64::from(function);
                self.tame(&mut regs);
                let [answer, ..] = hvc::call_all(regs);
                made += 1;
                let succeeded = has_succeeded(function, answer);
                successes += u32::from(succeeded);
                if succeeded && !only_looks(function) {
                    say!("NOTE garbage succeeded: function={function:#x} x0={answer:#x}");
                    good = false;
                }
            }
        }
        // Some of it may have been a valid wish of this VM about itself; it goes on from here.
        hvc::call([vendor::FAULT_SKIP, 0, 0, 0, 0, 0, 0, 0]);
        hvc::call([id::VERSION, 0x0001_0001, 0, 0, 0, 0, 0, 0]);
        self.map_own_buffers();
        say!("NOTE garbage calls={made} successes={successes}");
        let unchanged = self.is_unchanged();
        self.report(&cases::GARBAGE_REGISTERS, Self::verdict(good), unchanged);
    }

    /// Takes back what would be a legal wish of this VM about itself, or flood the console.
    fn tame(&self, regs: &mut [u64; 18]) {
        match regs[0] & 0xbfff_ffff {
            // CONSOLE_LOG: a length beyond the limit, or this would print garbage.
            0x8400_008a => regs[1] |= 1 << 16,
            // RXTX_UNMAP: VM 1's buffers, not this VM's own.
            0x8400_0067 => regs[1] |= 1 << 16,
            // A half-sent descriptor makes the EL3 SPMC of TF-A 2.12 read what it has not got
            // (known-bugs.md, KB-09); the raw monitor would let it through.
            0x8400_0071..=0x8400_0073 if self.raw => regs[2] = regs[1],
            _ => {}
        }
    }

    fn garbage_mailbox(&self, prng: &mut Prng) {
        for word in 0..512 {
            access::write_u64(self.mailbox.tx + word * 8, prng.nasty());
        }
    }

    fn garbage_descriptors(&self) {
        let mut prng = Prng::new(0xde5c);
        let (mut refused, mut taken_back, mut good) = (0_u32, 0_u32, true);
        for round in 0..DESCRIPTORS {
            let honest = Descriptor::send(3, &[calls::PARTITION], &[(self.page, 1)]);
            let mut bytes = honest.bytes();
            let spoilt = 1 + prng.below(6);
            for _ in 0..spoilt {
                let at = usize::try_from(prng.below(80)).unwrap_or(0);
                if let Some(byte) = bytes.get_mut(at) {
                    [*byte, ..] = prng.nasty().to_le_bytes();
                }
            }
            if round.is_multiple_of(4) {
                bytes.fill_with(|| prng.nasty().to_le_bytes()[0]);
            }
            self.mailbox.write(&bytes);
            let len = u64::try_from(bytes.len()).unwrap_or(0);
            match calls::ffa([id::SHARE, len, len, 0, 0, 0, 0, 0]) {
                Err(_) => refused += 1,
                // Not every spoilt byte matters (a tag, say): then it is an honest share.
                Ok(regs) => {
                    let handle = (regs[2] & 0xffff_ffff) | (regs[3] << 32);
                    good &= calls::reclaim(handle).is_ok();
                    taken_back += 1;
                }
            }
        }
        say!("NOTE garbage descriptors={DESCRIPTORS} refused={refused} taken_back={taken_back}");
        good &= refused > DESCRIPTORS / 2;
        self.report(&cases::GARBAGE_DESCRIPTORS, Self::verdict(good), self.is_unchanged());
    }

    fn garbage_frames(&self) {
        let mut prng = Prng::new(0xf4a3);
        let (mut refused, mut answered, mut good) = (0_u32, 0_u32, true);
        for round in 0..FRAMES {
            let mut frame = [0; 5];
            frame.fill_with(|| prng.nasty());
            // Three in four: a well-formed call word, so that the arguments are looked at.
            if !round.is_multiple_of(4) {
                frame[0] = prng.below(0x60);
            }
            match calls::message(3, calls::PARTITION, frame) {
                Err(_) => refused += 1,
                Ok(answer) => {
                    answered += 1;
                    good &= is_harmless(&frame, &answer);
                }
            }
        }
        say!("NOTE garbage frames={FRAMES} answered={answered} refused={refused}");
        self.report(&cases::GARBAGE_FRAMES, Self::verdict(good), self.is_unchanged());
    }
}

/// Reports whether a call did something: FFA_SUCCESS and the FF-A answers that stand for it, or 0
/// from the monitor's KILL and RESTART.
fn has_succeeded(function: u32, answer: u64) -> bool {
    match function {
        0xc600_0002 | 0xc600_0003 => matches!(answer, 0 | 1),
        _ => matches!(
            answer & 0xffff_ffff,
            0x8400_0061 | 0xc400_0061 | 0x8400_0070 | 0xc400_0070 | 0x8400_0075 | 0x8400_007a
        ),
    }
}

/// Calls whose success changes nothing but what this VM was told: FEATURES, RX_RELEASE, ID_GET,
/// SPM_ID_GET, NOTIFICATION_GET, NOTIFICATION_INFO_GET.
const fn only_looks(function: u32) -> bool {
    matches!(
        function & 0xbfff_ffff,
        0x8400_0064 | 0x8400_0065 | 0x8400_0069 | 0x8400_0085 | 0x8400_0082 | 0x8400_0083
    )
}

/// A call that changes something must not have succeeded; the answers of virtio-msg (first byte
/// 0-3) carry no results of calls.
fn is_harmless(frame: &[u64; 5], answer: &[u64; 5]) -> bool {
    let [number, ..] = frame[0].to_le_bytes();
    if number <= 3 {
        return true;
    }
    match Reply::decode(answer) {
        // VERSION, FEATURES, EVENTS and LIST only look.
        Some(reply) if reply.status == causeway_abi::Status::Ok => {
            matches!(number, 0x10 | 0x11 | 0x12 | 0x30)
        }
        Some(_) => true,
        None => false,
    }
}

/// Every function id that could mean something: FF-A, PSCI, the architecture's, the monitor's own,
/// and some of services that do not exist here.
fn functions() -> impl Iterator<Item = u32> {
    let ranges = [
        0x8400_0000..0x8400_0020,
        0x8400_0060..0x8400_00a0,
        0x8000_0000..0x8000_0004,
        0x8200_0000..0x8200_0004,
        0x8600_0000..0x8600_0008,
        0xbf00_0000..0xbf00_0004,
    ];
    ranges
        .into_iter()
        .flatten()
        .flat_map(|id| [id, id | 0x4000_0000])
        .filter(|id| !ENDS_THE_VM.contains(&(id & 0xbfff_ffff)))
}
