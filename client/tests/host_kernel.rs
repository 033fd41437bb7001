//! A conduit that leads out of the process, as a host kernel's does: a grant's life through it, two
//! threads at once, a kernel that hands interruptions on, and one that dies. Never a kernel's own rules.
#![cfg(unix)]

#[path = "../examples/support/vm.rs"]
#[expect(dead_code, reason = "the conduit is this test's own")]
mod vm;

use causeway_abi::{Call, GrantKind, GrantTerms, LifeState, Permission};
use causeway_client::borrow::Offer;
use causeway_client::conduit::Conduit;
use causeway_client::error::{Error, Party};
use causeway_client::grant::Grant;
use causeway_client::{Bound, Connection};
use causeway_fake_spmc::layout::PARTITION;
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::call::Vcpu;
use causeway_ffa::{Answer, FfaError, FuncId, Regs};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use vm::{Memory, Rest, VM_PAGES, Vm};

fn put(stream: &mut UnixStream, regs: &Regs) -> std::io::Result<()> {
    stream.write_all(&regs.0.map(u64::to_le_bytes).concat())
}

fn take(stream: &mut UnixStream) -> std::io::Result<Regs> {
    let mut bytes = [0; 144];
    stream.read_exact(&mut bytes)?;
    let mut regs = Regs::ZERO;
    for (to, word) in regs.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *to = u64::from_le_bytes(*word);
    }
    Ok(regs)
}

/// The program's end of the kernel's device.
struct Device(Mutex<UnixStream>);

impl Conduit for Device {
    fn call(&self, regs: &mut Regs) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = put(&mut stream, regs).and_then(|()| take(&mut stream));
        *regs = answer.unwrap_or(Answer::Error(FfaError::Aborted).encode());
    }
}

/// A kernel with a VM's place at the hypervisor. Every `pause`th direct request comes back interrupted,
/// and goes on with FFA_RUN; after `calls` calls the kernel is gone.
fn kernel(platform: &Platform, id: u16, pause: usize, calls: usize) -> Device {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let platform = platform.clone();
    thread::spawn(move || {
        let mut held: Option<Regs> = None;
        let mut requests = 0;
        for _ in 0..calls {
            let Ok(mut regs) = take(&mut theirs) else { return };
            if regs.func() == Some(FuncId::Run) {
                regs = held.take().unwrap_or(Answer::Error(FfaError::Denied).encode());
            } else {
                let is_request = regs.func() == Some(FuncId::DirectReq64);
                platform.call(id, &mut regs);
                requests += usize::from(is_request);
                if is_request && requests % pause == 0 {
                    held = Some(regs);
                    let target = Vcpu { endpoint: PARTITION, vcpu: 0 };
                    regs = Answer::Interrupt { target, interrupt: 0 }.encode();
                }
            }
            if put(&mut theirs, &regs).is_err() {
                return;
            }
        }
    });
    Device(Mutex::new(ours))
}

fn boot() -> Platform {
    Platform::boot(&Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) })
}

#[test]
fn a_grant_lives_through_a_conduit_that_leaves_the_process() {
    let platform = boot();
    let (one, two, mapper) = (Vm::new(&platform, 1), Vm::new(&platform, 2), Memory::of(&platform));
    // The first kernel resumes interrupted calls itself, and so may be called by several threads.
    let (device_1, device_2) =
        (kernel(&platform, 1, usize::MAX, usize::MAX), kernel(&platform, 2, 2, usize::MAX));
    let opened = Connection::open(&device_1, one.mailbox()).unwrap();
    let peer = Connection::open(&device_2, two.mailbox()).unwrap();
    let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
    let terms = GrantTerms { peer: Some(peer.id()), kind, permission };
    let grant = Grant::offer(&opened, one.pages(2), terms).unwrap();
    // Several threads of one program; the device takes one call at a time.
    let (handle, owner) = (grant.handle(), &opened);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..20 {
                    let [state, ..] = owner.call(Call::State { handle }).unwrap();
                    assert_eq!(state, u64::from(LifeState::Offered.code()));
                }
            });
        }
    });
    let accepted = Offer::inspect(&peer, grant.handle()).unwrap().accept().unwrap();
    let borrowed = accepted.map(&mapper).unwrap();
    borrowed.window().unwrap().write(0, b"out").unwrap();
    borrowed.release().unwrap();
    let idle = || ();
    grant.close(&Rest::new(&platform, &idle), Bound::millis(10)).unwrap();
    drop((opened, peer));
    assert_eq!(platform.leftovers(), [""; 0]);
}

#[test]
fn a_kernel_that_is_gone_is_a_typed_error_at_every_call() {
    for calls in 0..12 {
        let platform = boot();
        let vm = Vm::new(&platform, 1);
        let device = kernel(&platform, 1, usize::MAX, calls);
        let failed = Connection::open(&device, vm.mailbox()).map_err(|failed| failed.error);
        let error = match failed {
            Ok(open) => (0..12).find_map(|_| open.call(Call::Events).err()).unwrap(),
            Err(error) => error,
        };
        // FFA_VERSION has no FFA_ERROR: what comes is no version.
        let is_first = matches!(error, Error::Ffa { call: FuncId::Version, .. });
        let is_aborted = matches!(error, Error::Ffa { error: FfaError::Aborted, .. });
        assert!(is_aborted || calls == 0 && is_first, "{calls}: {error}");
        assert_eq!(error.blame(), Party::Hypervisor);
    }
}
