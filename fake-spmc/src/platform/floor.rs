//! Owns an SPMC with the real partition on it and nobody in the normal world, for tests of a
//! hypervisor of one's own. Never speaks for a VM.

use super::RandomSource;
use super::secure::{self, Bell, Logged, Secure};
use crate::layout::{PARTITION, SERVICE};
use crate::machine::Machine;
use crate::personality::Personality;
use crate::spmc::{Left, Routed, SPMC_ID, Spmc};
use causeway_ffa::call::{Framework, FrameworkMessage, Vcpu, Width};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, Regs, Version};
use causeway_memshare::Policy;
use causeway_service::Partition;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What lies below a hypervisor.
pub struct Floor {
    spmc: Arc<Mutex<Spmc>>,
    partition: Box<Partition<Secure>>,
    bell: Bell,
    logged: Logged,
    partition_calls: u64,
    machine: Arc<Machine>,
}

impl Floor {
    /// Boots the partition on a machine, which must hold the partition's buffers
    /// ([`crate::layout::partition_ram`]).
    ///
    /// # Errors
    /// The FF-A status that stopped the partition's start.
    pub fn boot(
        personality: Personality,
        machine: Arc<Machine>,
        policy: Policy,
    ) -> Result<Self, FfaError> {
        Self::boot_with(personality, machine, policy, RandomSource::Seeded)
    }

    /// Boots the partition on a machine that may have no source of random numbers.
    pub(super) fn boot_with(
        personality: Personality,
        machine: Arc<Machine>,
        policy: Policy,
        random: RandomSource,
    ) -> Result<Self, FfaError> {
        let mut spmc = Spmc::new(personality, machine.clone());
        spmc.load(PARTITION, SERVICE, Version::V1_1);
        let spmc = Arc::new(Mutex::new(spmc));
        let (bell, logged) = (Bell::default(), Logged::default());
        let secure = Secure::new(spmc.clone(), machine.clone(), bell.clone(), logged.clone());
        let secure = secure.with_random(random);
        let partition = secure::start(secure, policy)?;
        Ok(Self { spmc, partition, bell, logged, partition_calls: 0, machine })
    }

    /// A call of the normal world at the physical instance, carried through the partition if it is
    /// for the partition.
    pub fn call(&mut self, regs: &Regs) -> Regs {
        let routed = self.spmc().normal_world(regs);
        match routed {
            Routed::Answer(answer) => answer,
            Routed::Deliver { to, regs } => self.run_partition(to, regs),
        }
    }

    fn run_partition(&mut self, to: EndpointId, mut given: Regs) -> Regs {
        self.partition_calls += 1;
        for _ in 0..8 {
            let sent = self.partition.handle(&given, SPMC_ID);
            let sent = sent.unwrap_or_else(|| Call::MsgWait.encode());
            let left = self.spmc().leave(to, &sent);
            match left {
                Left::Answered(answer) => return answer,
                Left::Refused(refusal) => given = refusal,
            }
        }
        Answer::Error(FfaError::Aborted).encode()
    }

    /// Runs the partition for the secure interrupts that are pending, as the SPMC does when one comes
    /// while the normal world runs: FFA_INTERRUPT, to its context that waits.
    pub fn interrupts(&mut self) {
        // No interrupt of a level source comes twice before its VM has seen it.
        for _ in 0..64 {
            let now = self.machine.now();
            let pending = self
                .machine
                .wires(|wires| wires.pending(now).or_else(|| wires.take_hand_over().then_some(0)));
            let Some(pending) = pending else { return };
            let named = self.spmc().quirks().interrupt_id.is_ok();
            let target = Vcpu { endpoint: PARTITION, vcpu: 0 };
            let interrupt = if named { pending } else { 0 };
            let given = Call::Interrupt { target, interrupt }.encode();
            self.partition.handle(&given, SPMC_ID);
        }
    }

    /// The SPMC tells the partition that this core is switched off (PSCI CPU_OFF).
    pub fn core_off(&mut self) {
        let params = [0x8400_0002, 0, 0, 0];
        let message = FrameworkMessage::PowerPsci { params, width: Width::Bits32 };
        let request = Framework { sender: SPMC_ID, receiver: PARTITION, message };
        self.partition.handle(&Call::FrameworkReq(request).encode(), SPMC_ID);
    }

    /// The SPMC.
    pub fn spmc(&self) -> MutexGuard<'_, Spmc> {
        self.spmc.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &Partition<Secure> {
        &self.partition
    }

    /// Reports whether the partition rang the hypervisor since the last look.
    #[must_use]
    pub fn take_bell(&self) -> bool {
        self.bell.take()
    }

    /// Messages that reached the partition.
    #[must_use]
    pub const fn partition_calls(&self) -> u64 {
        self.partition_calls
    }

    /// What the partition has printed.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.logged.lines()
    }
}
