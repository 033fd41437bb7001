//! Owns what one core does: its VMs in turn, their traps, its sleep. Never looks at a call's meaning.

use super::dispatch::{self, Reaction};
use super::{Ending, finish, lives, partition, state, trace};
use crate::arch::uart::say;
use crate::arch::vcpu::{self, Exit, Vcpu, VirtualIrq};
use crate::arch::{gic, smc, sysreg, timer};
use causeway_monitor::config::EndRule;
use causeway_monitor::layout::{Processor, VM_COUNT, VmIndex};
use causeway_monitor::lifecycle::{Order, Outcome, Phase, Progress};
use causeway_monitor::processors::{Left, Wake};
use causeway_monitor::trap::{Access, Fault, Trap};

/// How long a VM runs while another waits for the core.
const SLICE_MS: u64 = 4;
/// How long a VM sleeps in WFI where nothing rings.
const WAIT_MS: u64 = 10;
/// How long the core goes without looking around.
const IDLE_MS: u64 = 100;
/// How long the end of all VMs may take.
const TEARDOWN_MS: u64 = 15_000;

/// Whose EL1 registers are in a core's hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loaded {
    processor: Processor,
    /// [`Vcpu::starts`] at that time: after another start they belong to nobody.
    starts: u64,
}

/// One physical core.
pub(crate) struct Core {
    number: usize,
    loaded: Option<Loaded>,
    /// Who ran last.
    last: usize,
    /// Until when a processor sleeps.
    sleeping: [Option<u64>; Processor::COUNT],
    /// When the next step of a VM's life is due.
    step_due: [u64; VM_COUNT],
    /// How often that step was tried and was not finished.
    tries: [u32; VM_COUNT],
    /// By when the run must be over, once it is about to be.
    end_by: Option<u64>,
    /// The interrupt line that the hardware shows to the VM.
    line: VirtualIrq,
    /// The log has told that this core is suspended.
    standby_told: bool,
}

/// What to do after a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Resume,
    Reschedule,
}

impl Core {
    /// A core that has run nothing.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            loaded: None,
            last: 0,
            sleeping: [None; Processor::COUNT],
            step_due: [0; VM_COUNT],
            tries: [0; VM_COUNT],
            end_by: None,
            line: VirtualIrq::None,
            standby_told: false,
        }
    }

    /// Runs the core for ever.
    pub(crate) fn run(mut self) -> ! {
        loop {
            self.take_interrupts();
            if state::must_leave(self.number) {
                self.leave();
            }
            if self.number == 0 {
                partition::poll_if_due();
                self.end_if_over();
            }
            for vm in self.own_vms() {
                self.restart(vm);
                self.advance(vm);
            }
            match self.pick() {
                Some(processor) => self.run_processor(processor),
                None => self.idle(),
            }
        }
    }

    /// The VMs that this core carries through their lives.
    fn own_vms(&self) -> impl Iterator<Item = VmIndex> + use<> {
        let number = self.number;
        VmIndex::ALL.into_iter().filter(move |vm| state::home_core(*vm) == number)
    }

    /// The processors that this core runs.
    fn own_processors(&self) -> impl Iterator<Item = Processor> + use<> {
        let number = self.number;
        let all = VmIndex::ALL.into_iter().flat_map(state::processors_of);
        all.filter(move |processor| state::core_of(*processor) == number)
    }

    fn take_interrupts(&mut self) {
        while let Some(cause) = gic::take() {
            match cause {
                gic::Cause::Doorbell => partition::poll_soon(),
                // They ended the guest's run or the sleep: that is all they are for.
                gic::Cause::Kick | gic::Cause::Timer => {}
                gic::Cause::Spurious(id) => say!("interrupt {id} was never enabled"),
            }
        }
    }

    /// Carries out at most one step of a VM's life.
    fn advance(&mut self, vm: VmIndex) {
        let Some(step) = state::LIVES[vm.index()].lock().next_step() else { return };
        if timer::now() < self.step_due[vm.index()] {
            return;
        }
        let tries = core::mem::take(&mut self.tries[vm.index()]);
        match lives::carry_out(vm, step, tries) {
            Outcome::Done => {
                self.sleeping[Processor { vm, number: 0 }.index()] = None;
                state::LIVES[vm.index()].lock().completed();
            }
            Outcome::Again { in_ms } => {
                self.step_due[vm.index()] = timer::now() + timer::ticks_of_ms(in_ms);
                self.tries[vm.index()] = tries.saturating_add(1);
            }
            Outcome::Impossible => state::LIVES[vm.index()].lock().abandon(),
        }
    }

    /// Carries VMs that are to be restarted through their end and into their next life.
    fn restart(&self, vm: VmIndex) {
        let mut order = state::RESTARTS[vm.index()].lock();
        if *order != Order::Nothing {
            *order = state::LIVES[vm.index()].lock().obey(*order);
        }
    }

    fn end_if_over(&mut self) {
        if state::RESTARTS.iter().any(|order| *order.lock() != Order::Nothing) {
            return;
        }
        let phases = state::LIVES.each_ref().map(|life| life.lock().phase());
        if phases.iter().all(|phase| *phase == Phase::Down) {
            finish(Ending::Clean);
        }
        let ends = |phase: Phase| {
            matches!(phase, Phase::Down | Phase::Stopping | Phase::Announcing | Phase::Reclaiming)
        };
        let over = match state::config().end {
            EndRule::All => phases.into_iter().all(ends),
            EndRule::Vm(vm) => ends(phases[vm.index()]),
        };
        if !over {
            self.end_by = None;
            return;
        }
        let now = timer::now();
        let end_by = *self.end_by.get_or_insert(now + timer::ticks_of_ms(TEARDOWN_MS));
        if now > end_by {
            finish(Ending::Stuck);
        }
        for vm in VmIndex::ALL {
            if state::LIVES[vm.index()].lock().kill() == Progress::UnderWay {
                gic::kick(state::home_core(vm));
            }
        }
    }

    fn is_ready(&self, processor: Processor) -> bool {
        let vm = processor.vm;
        if !may_run(processor) {
            return false;
        }
        if state::PROCESSORS[vm.index()].lock().is_suspended(processor.number) {
            return state::NOTIFY.lock().is_pending(vm);
        }
        match self.sleeping[processor.index()] {
            None => true,
            Some(until) => timer::now() >= until || state::NOTIFY.lock().is_pending(vm),
        }
    }

    /// Chooses the next processor in turn.
    fn pick(&mut self) -> Option<Processor> {
        let place = |processor: &Processor| {
            (processor.index() + Processor::COUNT - self.last - 1) % Processor::COUNT
        };
        let ready = self.own_processors().filter(|processor| self.is_ready(*processor));
        let processor = ready.min_by_key(place)?;
        self.last = processor.index();
        self.sleeping[processor.index()] = None;
        state::PROCESSORS[processor.vm.index()].lock().wake(processor.number);
        Some(processor)
    }

    /// When this core must look around again at the latest.
    fn next_look(&self, slice_ms: u64) -> u64 {
        let now = timer::now();
        let mut look = now + timer::ticks_of_ms(slice_ms);
        for processor in self.own_processors() {
            if let Some(until) = self.sleeping[processor.index()] {
                look = look.min(until);
            }
        }
        for vm in self.own_vms() {
            if state::LIVES[vm.index()].lock().next_step().is_some() {
                look = look.min(self.step_due[vm.index()]);
            }
        }
        if self.number == 0
            && let Some(deadline) = partition::next_deadline()
        {
            // One that passed was looked at just now: no core may spin on it.
            look = look.min(deadline.max(now + timer::ticks_of_ms(1) / 2));
        }
        look
    }

    /// Switches this core off, with nobody's registers in it.
    fn leave(&mut self) {
        if let Some(loaded) = self.loaded.take() {
            let mut vcpu = state::vcpu(loaded.processor).lock();
            if vcpu.starts() == loaded.starts {
                vcpu.save();
            }
        }
        say!("CORE OFF core={}", self.number);
        timer::disarm();
        smc::core_off();
    }

    fn idle(&mut self) {
        timer::arm(self.next_look(IDLE_MS));
        if !self.is_suspended() || !self.standby() {
            sysreg::wfi();
        }
        timer::disarm();
    }

    /// Whether all that this core would run is suspended, and something is.
    fn is_suspended(&self) -> bool {
        let mut all = self.own_processors().filter(|processor| may_run(*processor)).peekable();
        let suspended = |processor: Processor| {
            state::PROCESSORS[processor.vm.index()].lock().is_suspended(processor.number)
        };
        all.peek().is_some() && all.all(suspended)
    }

    /// Suspends the core itself, at EL3; an interrupt ends it, the secure world's too.
    fn standby(&mut self) -> bool {
        if !core::mem::replace(&mut self.standby_told, true) {
            say!("CORE SUSPEND core={}", self.number);
        }
        smc::core_standby()
    }

    /// A processor suspends itself. What wakes it is its VM's interrupt, masked or not.
    fn suspend(&mut self, processor: Processor, wake: Wake, vcpu: &mut Vcpu) -> Next {
        match wake {
            Wake::Behind => vcpu.answer(&[0; 8]),
            Wake::At { entry, context } => vcpu.reset(entry, context),
        }
        let is_told = state::PROCESSORS[processor.vm.index()].lock().suspend(processor.number);
        if is_told {
            self.standby_told = false;
            say!("SUSPEND vm={} processor={}", processor.vm.id().get(), processor.number);
        }
        Next::Reschedule
    }

    /// Takes the EL1 registers of another processor off the hardware.
    fn put_away_others(&mut self, next: Processor) {
        let Some(loaded) = self.loaded.filter(|loaded| loaded.processor != next) else { return };
        let mut vcpu = state::vcpu(loaded.processor).lock();
        // After another start they belong to a processor that no longer exists.
        if vcpu.starts() == loaded.starts {
            vcpu.save();
        }
        self.loaded = None;
    }

    fn run_processor(&mut self, processor: Processor) {
        let vm = processor.vm;
        self.put_away_others(processor);
        let mut vcpu = state::vcpu(processor).lock();
        // Whoever stops the VM takes this lock after saying so, and so knows that it does not run.
        if !may_run(processor) {
            return;
        }
        let loaded = Loaded { processor, starts: vcpu.starts() };
        if self.loaded != Some(loaded) {
            vcpu.load(processor, state::stage2(vm).root());
            self.loaded = Some(loaded);
        }
        let alone = self.own_processors().count() == 1;
        timer::arm(self.next_look(if alone { IDLE_MS } else { SLICE_MS }));
        loop {
            self.show_line(processor);
            let next = match vcpu.run() {
                Exit::Interrupt => Next::Reschedule,
                Exit::SystemError => condemn(vm, format_args!("system_error")),
                Exit::Trap(trap) => self.handle(processor, trap, &mut vcpu),
            };
            if next == Next::Reschedule || !may_run(processor) {
                break;
            }
        }
        timer::disarm();
    }

    /// A VM's doorbells are its one interrupt: its first processor's line is up while one waits to be
    /// fetched.
    fn show_line(&mut self, processor: Processor) {
        let rings = processor.number == 0 && state::NOTIFY.lock().is_pending(processor.vm);
        let line = if rings { VirtualIrq::Pending } else { VirtualIrq::None };
        if self.line != line {
            vcpu::show_interrupt(line);
            self.line = line;
        }
    }

    fn handle(&mut self, processor: Processor, trap: Trap, vcpu: &mut Vcpu) -> Next {
        let vm = processor.vm;
        match trap {
            Trap::Hvc | Trap::Smc => {
                if trap == Trap::Smc {
                    vcpu.skip_instruction();
                }
                let (asked, call) = (trace::ask(), vcpu.arguments());
                let reaction = dispatch::call(processor, &call);
                trace::of_vm(asked, processor, &call, reaction.answer());
                match reaction {
                    Reaction::Answer(regs) => {
                        vcpu.answer(&regs);
                        Next::Resume
                    }
                    Reaction::ProcessorOff => {
                        let left = state::PROCESSORS[vm.index()].lock().turn_off(processor.number);
                        if left == Left::Nobody {
                            stop(vm);
                        }
                        Next::Reschedule
                    }
                    Reaction::Off => {
                        stop(vm);
                        Next::Reschedule
                    }
                    Reaction::Suspend(wake) => self.suspend(processor, wake, vcpu),
                }
            }
            Trap::Wait => {
                vcpu.skip_instruction();
                if state::NOTIFY.lock().is_pending(vm) {
                    return Next::Resume;
                }
                let until = timer::now() + timer::ticks_of_ms(WAIT_MS);
                self.sleeping[processor.index()] = Some(until);
                Next::Reschedule
            }
            Trap::Yield => {
                vcpu.skip_instruction();
                Next::Reschedule
            }
            Trap::StageTwo(fault) => stage_two_fault(vm, fault, vcpu),
            Trap::Undefined => {
                vcpu.inject_undefined();
                Next::Resume
            }
            Trap::Unknown { class } => condemn(vm, format_args!("exception_class_{class:#x}")),
        }
    }
}

/// Reports whether a processor is on, in a VM that lives.
fn may_run(processor: Processor) -> bool {
    let vm = processor.vm.index();
    state::LIVES[vm].lock().may_run() && state::PROCESSORS[vm].lock().is_on(processor.number)
}

fn stage_two_fault(vm: VmIndex, fault: Fault, vcpu: &mut Vcpu) -> Next {
    state::COUNTERS.faults.count();
    let write = u8::from(fault.access == Access::Write);
    let fetch = u8::from(fault.access == Access::Fetch);
    say!("FAULT vm={} ipa={:#x} write={write} fetch={fetch}", vm.id().get(), fault.ipa);
    if fault.access == Access::Fetch || !state::FAULT_SKIPS[vm.index()].lock().take() {
        return condemn(vm, format_args!("stage2_fault"));
    }
    vcpu.skip_instruction();
    Next::Resume
}

/// Kills a VM for what it did.
fn condemn(vm: VmIndex, why: core::fmt::Arguments<'_>) -> Next {
    say!("KILLED vm={} why={why}", vm.id().get());
    stop(vm);
    Next::Reschedule
}

/// Begins the end of a VM, which its home core carries out.
fn stop(vm: VmIndex) {
    if state::LIVES[vm.index()].lock().kill() == Progress::UnderWay {
        gic::kick(state::home_core(vm));
    }
}
