//! Owns the routing of secure interrupts as the machine sees it: takes them, carries out what
//! `causeway-irq` decides, answers the calls about them. Never decides who hears of one.

use crate::lines::Said;
use crate::partition::{Outcome, Partition};
use crate::platform::{HandOver, Platform, log};
use causeway_abi::{CallId, Frame, InfoPage, InterruptCall, Reply, SourceId, Status, Trigger};
use causeway_ffa::EndpointId;
use causeway_irq::{
    Effect, Effects, IrqError, Limit, MAX_SOURCES, Raised, Router, SourceTerms, Taken, Ticker,
};
use causeway_memshare::{Action, Event, Policy, Record};

/// EVENTS, bit 3: interrupts wait.
const INTERRUPTS_WAIT: u64 = 1 << 3;
/// Interrupts that one entry takes at most: what is left brings the core back at once.
const BATCH: usize = 8;

/// Sources, and who has the alarm.
pub(crate) struct Interrupts {
    router: Router,
    /// Sources whose device is there.
    present: [bool; MAX_SOURCES],
    /// When the secure timer is to interrupt next, and on which core.
    alarm: Option<u64>,
    alarm_core: Option<u16>,
    /// The alarm may have to change.
    unsettled: bool,
    ticks_per_second: u64,
}

impl Interrupts {
    /// No source.
    pub(crate) const fn new() -> Self {
        Self {
            router: Router::new_empty(),
            present: [false; MAX_SOURCES],
            alarm: None,
            alarm_core: None,
            unsettled: false,
            ticks_per_second: 0,
        }
    }

    /// So many microseconds in ticks, rounded down.
    const fn ticks(&self, microseconds: u64) -> u64 {
        microseconds.saturating_mul(self.ticks_per_second) / 1_000_000
    }

    fn is_present(&self, source: SourceId) -> bool {
        self.present.get(usize::from(source)).copied().unwrap_or(false)
    }

    fn intid(&self, source: SourceId) -> Option<u32> {
        self.router.terms().find(|(id, _)| *id == source).map(|(_, terms)| terms.intid)
    }
}

fn terms(policy: &Policy, ticks: impl Fn(u64) -> u64) -> [Option<SourceTerms>; MAX_SOURCES] {
    let mut all = [None; MAX_SOURCES];
    for (slot, rule) in all.iter_mut().zip(policy.interrupts()) {
        // A limit that rounds to nothing would be none.
        let refill = ticks(u64::from(rule.limit.refill_us)).max(1);
        let cooling = ticks(u64::from(rule.limit.cooling_ms).saturating_mul(1000)).max(1);
        let limit = Limit { burst: rule.limit.burst, refill, cooling };
        let (intid, trigger, vm) = (u32::from(rule.intid), rule.trigger, rule.vm);
        *slot = Some(SourceTerms { intid, trigger, vm, limit });
    }
    all
}

impl<P: Platform> Partition<P> {
    /// Takes the policy's sources, and claims those whose device is there. All are closed.
    pub(crate) fn start_interrupts(&mut self, policy: &Policy) {
        let Self { interrupts, platform, .. } = self;
        interrupts.ticks_per_second = platform.ticks_per_second();
        let all = terms(policy, |microseconds| interrupts.ticks(microseconds));
        match Router::new(all.iter().copied().flatten()) {
            Ok(router) => interrupts.router = router,
            Err(error) => {
                log!(*platform, "interrupts: {error:?}: none is routed");
                return;
            }
        }
        let alarm = platform.alarm_intid();
        if let Some(alarm) = alarm {
            // Level, whatever a source on it says: a deadline that has passed must not be missed.
            if platform.claim(alarm, Trigger::Level) {
                platform.open(alarm);
            }
        }
        for (slot, terms) in interrupts.present.iter_mut().zip(all.iter().flatten()) {
            let is_alarm = alarm == Some(terms.intid);
            *slot = is_alarm
                || platform.is_known(terms.intid) && platform.claim(terms.intid, terms.trigger);
            if !*slot {
                log!(*platform, "interrupt {}: no device of ours is behind it", terms.intid);
            }
        }
        for (source, terms) in (0..).zip(all.iter().flatten()) {
            if let Some(vm) = terms.vm {
                self.record(vm, source, Action::InterruptBound);
            }
        }
    }

    /// Takes what is pending on this core, and ends it at the controller.
    pub fn interrupt(&mut self) {
        for _ in 0..BATCH {
            let Some(intid) = self.platform.acknowledge() else { break };
            self.take(intid);
            self.platform.end(intid);
        }
        self.settle_alarm();
    }

    fn take(&mut self, intid: u32) {
        if self.platform.alarm_intid() == Some(intid) {
            return self.alarm_rang(intid);
        }
        if self.interrupts.router.terms().all(|(_, terms)| terms.intid != intid) {
            return self.stray(intid);
        }
        // Before anything else: the line must have fallen when the interrupt is ended.
        let events = self.platform.quiet(intid).max(1);
        let now = self.platform.now();
        self.route(now, intid, Raised { events, first_at: now });
    }

    fn alarm_rang(&mut self, intid: u32) {
        self.watch();
        self.refill_one();
        let now = self.platform.now();
        let core = self.platform.core();
        let due = self.interrupts.router.take_due(now, intid);
        let owner = self.interrupts.alarm_core;
        if due.is_none() && owner.is_some() && owner != Some(core) {
            // The alarm moved to another core, and this one's timer was still set.
            self.platform.set_alarm(None);
            return;
        }
        self.interrupts.alarm = None;
        self.interrupts.alarm_core = None;
        self.platform.set_alarm(None);
        self.interrupts.unsettled = true;
        if let Some(raised) = due {
            self.route(now, intid, raised);
        }
    }

    fn route(&mut self, now: u64, intid: u32, raised: Raised) {
        match self.interrupts.router.taken(now, intid, raised) {
            Taken::Known(effects) => self.carry_out_interrupt(effects),
            Taken::Unknown => self.stray(intid),
        }
    }

    /// Nobody asked for it: it must not come again.
    fn stray(&mut self, intid: u32) {
        self.platform.close(intid);
        let core = usize::from(self.platform.core());
        self.platform.tell(None, Said::StrayInterrupt { intid: u64::from(intid), core });
    }

    fn carry_out_interrupt(&mut self, effects: Effects) {
        for effect in effects.iter() {
            match effect {
                // Done when it was acknowledged.
                Effect::Quiet(_) => {}
                Effect::Mask(source) => self.close_source(source),
                Effect::Rearm(source) => self.open_source(source),
                Effect::Ring(vm) => {
                    let _rung: Outcome = self.drive(Event::InterruptWaiting { vm });
                }
                Effect::Storm(source) => {
                    if let Some(vm) = self.interrupts.router.bound_to(source) {
                        self.record(vm, source, Action::InterruptStormed);
                    }
                }
            }
        }
    }

    /// The watchdogs' deadline is another: the alarm is set anew before this entry ends.
    pub(crate) const fn unsettle_alarm(&mut self) {
        self.interrupts.unsettled = true;
    }

    /// A source on the alarm has no line of its own: the alarm is set for open ones only.
    fn close_source(&mut self, source: SourceId) {
        self.interrupts.unsettled = true;
        let Some(intid) = self.interrupts.intid(source) else { return };
        if self.platform.alarm_intid() != Some(intid) {
            self.platform.close(intid);
        }
    }

    /// What a device raised for the VM that it was bound to, another does not hear of.
    fn quiet_source(&mut self, source: SourceId) {
        let Some(intid) = self.interrupts.intid(source) else { return };
        if self.platform.alarm_intid() != Some(intid) && self.interrupts.is_present(source) {
            let _reasons: u32 = self.platform.quiet(intid);
        }
    }

    fn open_source(&mut self, source: SourceId) {
        self.interrupts.unsettled = true;
        let Some(intid) = self.interrupts.intid(source) else { return };
        if self.platform.alarm_intid() != Some(intid) && self.interrupts.is_present(source) {
            self.platform.rearm(intid);
            self.platform.open(intid);
        }
    }

    /// Whether the alarm is as it has to be.
    pub(crate) const fn is_settled(&self) -> bool {
        !self.interrupts.unsettled
    }

    /// Sets this core's timer, if the next deadline is another than before.
    #[inline]
    pub(crate) fn settle_alarm(&mut self) {
        if self.interrupts.unsettled {
            self.set_next_alarm();
        }
    }

    fn set_next_alarm(&mut self) {
        self.interrupts.unsettled = false;
        self.set_wake();
        // The watchdogs, and devices that wait for a rate to be full again, share the secure timer with
        // the sources on it.
        let next =
            [self.interrupts.router.next_due(), self.watch_deadline(), self.refill_deadline()];
        let next = next.into_iter().flatten().min();
        if next == self.interrupts.alarm {
            return;
        }
        self.platform.set_alarm(next);
        self.interrupts.alarm = next;
        self.interrupts.alarm_core = next.map(|_| self.platform.core());
    }

    /// This core is about to be switched off: its interrupts go to another, and so does the alarm.
    pub fn core_leaves(&mut self) {
        let core = self.platform.core();
        let has_alarm = self.interrupts.alarm_core == Some(core);
        if has_alarm {
            self.platform.set_alarm(None);
            self.interrupts.alarm = None;
            self.interrupts.alarm_core = None;
            // Whoever comes in next, on whatever core, takes it over.
            self.interrupts.unsettled = true;
        }
        self.platform.leave_core(if has_alarm { HandOver::Alarm } else { HandOver::Nothing });
    }

    /// A VM is gone: its sources are closed, and nobody's.
    pub(crate) fn interrupts_vm_gone(&mut self, vm: EndpointId) {
        let mut gone = [None; MAX_SOURCES];
        let mut free = gone.iter_mut();
        self.interrupts.router.vm_destroyed(vm, |source| {
            if let Some(slot) = free.next() {
                *slot = Some(source);
            }
        });
        for source in gone.into_iter().flatten() {
            self.close_source(source);
            self.quiet_source(source);
            self.record(vm, source, Action::InterruptUnbound);
        }
        self.settle_alarm();
    }

    /// A VM is there anew: what the manifest binds to it is its own again.
    pub(crate) fn interrupts_vm_created(&mut self, vm: EndpointId) {
        let mut bound = [None; MAX_SOURCES];
        let mut free = bound.iter_mut();
        self.interrupts.router.vm_created(vm, |source| {
            if let Some(slot) = free.next() {
                *slot = Some(source);
            }
        });
        for source in bound.into_iter().flatten() {
            self.record(vm, source, Action::InterruptBound);
        }
    }

    /// EVENTS tells of interrupts as well.
    #[must_use]
    pub(crate) fn after_events(&self, caller: EndpointId, answer: Frame) -> Frame {
        if !self.interrupts.router.has_event(caller) {
            return answer;
        }
        let Some(mut reply) = Reply::decode(&answer).filter(|r| r.status == Status::Ok) else {
            return answer;
        };
        reply.results[0] |= INTERRUPTS_WAIT;
        reply.encode()
    }

    /// Answers a call about interrupts that the broker let through.
    pub(crate) fn interrupt_call(&mut self, caller: EndpointId, call: InterruptCall) -> Frame {
        let id = call.id();
        let reply = match self.answer_interrupt(caller, call) {
            Ok(results) => Reply::ok(id.number(), results),
            Err(status) => {
                self.record_refusal(caller, id, status);
                Reply::refused(id.number(), status)
            }
        };
        reply.encode()
    }

    fn answer_interrupt(
        &mut self,
        vm: EndpointId,
        call: InterruptCall,
    ) -> Result<[u64; 4], Status> {
        let now = self.platform.now();
        let router = &mut self.interrupts.router;
        match call {
            InterruptCall::Fetch => {
                let fetched = router.fetch(vm).map_err(IrqError::status)?;
                let word = u64::from(fetched.source) | u64::from(fetched.count) << 32;
                Ok([word, u64::from(fetched.more), fetched.first_at, 0])
            }
            InterruptCall::Complete { source } => {
                let effects = router.complete(vm, source).map_err(IrqError::status)?;
                let more = u64::from(router.waiting(source) > 0);
                self.carry_out_interrupt(effects);
                Ok([more, 0, 0, 0])
            }
            InterruptCall::Mask { source } => {
                let effects = router.mask(vm, source).map_err(IrqError::status)?;
                self.carry_out_interrupt(effects);
                Ok([0; 4])
            }
            InterruptCall::Unmask { source } => {
                router.standing(vm, source).map_err(IrqError::status)?;
                if !self.interrupts.is_present(source) {
                    return Err(Status::DeviceCannot);
                }
                let effects = self.interrupts.router.unmask(now, vm, source);
                self.carry_out_interrupt(effects.map_err(IrqError::status)?);
                self.interrupts.unsettled = true;
                Ok([0; 4])
            }
            InterruptCall::Arm { source, interval_us, count } => {
                self.arm(now, vm, (source, interval_us, count))
            }
            InterruptCall::Info { source, page } => self.info(vm, source, page),
            InterruptCall::Bind { source, vm } => self.bind(source, vm),
        }
    }

    fn arm(
        &mut self,
        now: u64,
        vm: EndpointId,
        (source, interval_us, count): (SourceId, u32, u32),
    ) -> Result<[u64; 4], Status> {
        let standing = self.interrupts.router.standing(vm, source).map_err(IrqError::status)?;
        if !self.broker.policy().may_arm(source) {
            return Err(Status::PolicySource);
        }
        let intid = standing.terms.intid;
        if self.platform.alarm_intid() == Some(intid) {
            let interval = self.interrupts.ticks(u64::from(interval_us));
            let ticker = Ticker::new(now, interval, count);
            self.interrupts.router.arm(vm, source, ticker).map_err(IrqError::status)?;
            self.interrupts.unsettled = true;
            return Ok([0; 4]);
        }
        let once = (interval_us, count) == (0, 1) && self.interrupts.is_present(source);
        if once && self.platform.provoke(intid) { Ok([0; 4]) } else { Err(Status::DeviceCannot) }
    }

    fn info(
        &mut self,
        vm: EndpointId,
        source: SourceId,
        page: InfoPage,
    ) -> Result<[u64; 4], Status> {
        let router = &mut self.interrupts.router;
        let standing = router.standing(vm, source).map_err(IrqError::status)?;
        let counters = router.counters(vm, source).map_err(IrqError::status)?;
        Ok(match page {
            InfoPage::State => {
                let terms = standing.terms;
                [
                    u64::from(terms.intid) | u64::from(terms.trigger.code()) << 32,
                    standing.state.bits(),
                    standing.waiting,
                    u64::from(standing.ticker.left()),
                ]
            }
            InfoPage::Counts => {
                [counters.taken, counters.delivered, counters.coalesced, counters.dropped]
            }
            InfoPage::Device => {
                let next = standing.ticker.next().unwrap_or(0);
                let storms = u64::from(counters.storms);
                [counters.out_of_turn, storms, next, standing.ticker.interval()]
            }
        })
    }

    fn bind(&mut self, source: SourceId, vm: Option<EndpointId>) -> Result<[u64; 4], Status> {
        if self.interrupts.intid(source).is_none() {
            return Err(Status::NoSource);
        }
        if vm.is_some_and(|vm| !self.broker.policy().may_bind(source, vm)) {
            return Err(Status::PolicySource);
        }
        let before = self.interrupts.router.bound_to(source);
        let effects = self.interrupts.router.bind(source, vm).map_err(IrqError::status)?;
        self.carry_out_interrupt(effects);
        self.quiet_source(source);
        if let Some(before) = before {
            self.record(before, source, Action::InterruptUnbound);
        }
        if let Some(vm) = vm {
            self.record(vm, source, Action::InterruptBound);
        }
        Ok([0; 4])
    }

    fn record(&mut self, vm: EndpointId, source: SourceId, action: Action) {
        let intid = self.interrupts.intid(source).map_or(0, u64::from);
        let now = self.platform.now();
        let generation = u32::from(source);
        let record = Record { generation, fold: intid, ..Record::new(vm, action) };
        self.ledger.append(now, &record);
    }

    fn record_refusal(&mut self, caller: EndpointId, id: CallId, status: Status) {
        let now = self.platform.now();
        self.ledger.append(now, &Record::of_refusal(caller, id.number(), status));
    }
}
