//! Owns the table of sources, and every decision about them. Carries out none.

#[cfg(test)]
mod tests;

use crate::source::{Counters, IrqError, Phase, Source, SourceTerms};
use crate::ticker::Ticker;
use causeway_abi::{SourceId, SourceState, Trigger};
use causeway_ffa::EndpointId;

/// Sources that a manifest may name.
pub const MAX_SOURCES: usize = 16;

/// What the image does next, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make the device let go of its line.
    Quiet(SourceId),
    /// Close the source at the controller.
    Mask(SourceId),
    /// Open it, and let the device raise its line again.
    Rearm(SourceId),
    /// Ring this VM's doorbell: something is waiting that was not before.
    Ring(EndpointId),
    /// The limit masked it: for the ledger.
    Storm(SourceId),
}

/// Up to four effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    list: [Option<Effect>; 4],
}

impl Effects {
    fn push(&mut self, effect: Effect) {
        if let Some(free) = self.list.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(effect);
        }
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Effect> + '_ {
        self.list.iter().copied().flatten()
    }
}

/// What became of an interrupt that the image acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Routed, or counted.
    Known(Effects),
    /// No source has this INTID: the image ends it at the controller and counts it.
    Unknown,
}

/// What an interrupt stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Events of the device since the last look: at least 1.
    pub events: u32,
    /// When the first of them came.
    pub first_at: u64,
}

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the manifest says.
    pub terms: SourceTerms,
    /// Open, masked, fetched.
    pub state: SourceState,
    /// Events that wait.
    pub waiting: u64,
    /// What its timer still has to raise.
    pub ticker: Ticker,
}

/// An event as the VM fetches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Which source.
    pub source: SourceId,
    /// How often it came since the last fetch: at least 1.
    pub count: u32,
    /// When the first of them came.
    pub first_at: u64,
    /// Whether more is waiting for this VM.
    pub more: bool,
}

/// All sources of the manifest.
#[derive(Clone, Debug, Default)]
pub struct Router {
    sources: [Option<Source>; MAX_SOURCES],
}

impl Router {
    /// No source: for a `static`.
    #[must_use]
    pub const fn new_empty() -> Self {
        Self { sources: [None; MAX_SOURCES] }
    }

    /// Takes the manifest's sources, in its order. All are closed until their VMs open them.
    ///
    /// # Errors
    ///
    /// [`IrqError::Table`]: too many, or one INTID twice.
    pub fn new(terms: impl IntoIterator<Item = SourceTerms>) -> Result<Self, IrqError> {
        let mut router = Self::new_empty();
        for (at, terms) in terms.into_iter().enumerate() {
            if router.named().any(|(_, other)| other.terms.intid == terms.intid) {
                return Err(IrqError::Table);
            }
            *router.sources.get_mut(at).ok_or(IrqError::Table)? = Some(Source::new(terms));
        }
        Ok(router)
    }

    /// What the manifest says of each source.
    pub fn terms(&self) -> impl Iterator<Item = (SourceId, SourceTerms)> + '_ {
        self.named().map(|(id, s)| (id, s.terms))
    }

    /// The VM that a source is bound to.
    #[must_use]
    pub fn bound_to(&self, source: SourceId) -> Option<EndpointId> {
        self.named().find(|(id, _)| *id == source).and_then(|(_, s)| s.vm)
    }

    /// The image acknowledged `intid` at the controller.
    pub fn taken(&mut self, now: u64, intid: u32, raised: Raised) -> Taken {
        let Some((id, source)) = self.named_mut().find(|(_, s)| s.terms.intid == intid) else {
            return Taken::Unknown;
        };
        let mut effects = Effects::default();
        let events = u64::from(raised.events);
        let open = source.is_open();
        source.counters.taken = source.counters.taken.saturating_add(events);
        effects.push(Effect::Quiet(id));
        let Some(vm) = source.vm.filter(|_| open) else {
            // It was masked, or held until completion. Close it (again): a lying source must not
            // come back at once.
            let counters = &mut source.counters;
            counters.out_of_turn = counters.out_of_turn.saturating_add(1);
            counters.dropped = counters.dropped.saturating_add(events);
            effects.push(Effect::Mask(id));
            return Taken::Known(effects);
        };
        let within = source.bucket.take(now);
        let was_waiting = source.waiting() > 0;
        let further = raised.events.saturating_sub(1);
        if !was_waiting {
            source.first_at = raised.first_at;
        }
        source.phase = match source.phase {
            Phase::Armed => Phase::Waiting { more: further },
            Phase::Waiting { more } => Phase::Waiting { more: more.saturating_add(raised.events) },
            Phase::Fetched { behind } => {
                Phase::Fetched { behind: behind.saturating_add(raised.events) }
            }
        };
        if !within {
            let until = now.saturating_add(source.bucket.cooling());
            source.stormed_until = Some(until);
            source.counters.storms = source.counters.storms.saturating_add(1);
            effects.push(Effect::Mask(id));
            effects.push(Effect::Storm(id));
        } else if source.terms.trigger == Trigger::Level {
            effects.push(Effect::Mask(id));
        }
        if !was_waiting {
            effects.push(Effect::Ring(vm));
        }
        Taken::Known(effects)
    }

    /// `vm` has the timer of `source` raise `count` events; what was left of others is forgotten.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`].
    pub fn arm(
        &mut self,
        vm: EndpointId,
        source: SourceId,
        ticker: Ticker,
    ) -> Result<(), IrqError> {
        self.of(vm, source)?.ticker = ticker;
        Ok(())
    }

    /// When the timer of an open source must interrupt next.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let open = self.named().filter(|(_, s)| s.is_open());
        open.filter_map(|(_, s)| s.ticker.next()).min()
    }

    /// Takes what the timer of the source with this INTID has raised by now.
    pub fn take_due(&mut self, now: u64, intid: u32) -> Option<Raised> {
        let (_, source) = self.named_mut().find(|(_, s)| s.terms.intid == intid)?;
        if !source.is_open() {
            return None;
        }
        let (events, first_at) = source.ticker.take_due(now)?;
        Some(Raised { events, first_at })
    }

    /// Gives `vm` the next event that waits for it.
    ///
    /// # Errors
    ///
    /// [`IrqError::Nothing`].
    pub fn fetch(&mut self, vm: EndpointId) -> Result<Fetched, IrqError> {
        let ready = |s: &Source| s.vm == Some(vm) && matches!(s.phase, Phase::Waiting { .. });
        let (id, source) = self.named_mut().find(|(_, s)| ready(s)).ok_or(IrqError::Nothing)?;
        let more = match source.phase {
            Phase::Waiting { more } => more,
            Phase::Armed | Phase::Fetched { .. } => 0,
        };
        source.phase = Phase::Fetched { behind: 0 };
        let counters = &mut source.counters;
        counters.delivered = counters.delivered.saturating_add(1);
        counters.coalesced = counters.coalesced.saturating_add(u64::from(more));
        let count = more.saturating_add(1);
        let first_at = source.first_at;
        let more = self.named().any(|(_, s)| ready(s));
        Ok(Fetched { source: id, count, first_at, more })
    }

    /// `vm` has dealt with the event of `source` that it fetched.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`], [`IrqError::Nothing`].
    pub fn complete(&mut self, vm: EndpointId, source: SourceId) -> Result<Effects, IrqError> {
        let found = self.of(vm, source)?;
        let Phase::Fetched { behind } = found.phase else {
            return Err(IrqError::Nothing);
        };
        let mut effects = Effects::default();
        match behind.checked_sub(1) {
            Some(more) => {
                found.phase = Phase::Waiting { more };
                effects.push(Effect::Ring(vm));
            }
            None => {
                found.phase = Phase::Armed;
                if found.terms.trigger == Trigger::Level && found.is_open() {
                    effects.push(Effect::Rearm(source));
                }
            }
        }
        Ok(effects)
    }

    /// `vm` wants no more of `source` for now. What waits already can still be fetched.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`], [`IrqError::AlreadySo`].
    pub fn mask(&mut self, vm: EndpointId, source: SourceId) -> Result<Effects, IrqError> {
        let found = self.of(vm, source)?;
        if found.masked {
            return Err(IrqError::AlreadySo);
        }
        found.masked = true;
        let mut effects = Effects::default();
        effects.push(Effect::Mask(source));
        Ok(effects)
    }

    /// Opens `source` again: after its own mask, or after its limit masked it and the cooling time
    /// is over.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`], [`IrqError::AlreadySo`], [`IrqError::Cooling`].
    pub fn unmask(
        &mut self,
        now: u64,
        vm: EndpointId,
        source: SourceId,
    ) -> Result<Effects, IrqError> {
        let found = self.of(vm, source)?;
        match found.stormed_until {
            Some(until) if now < until => return Err(IrqError::Cooling),
            None if !found.masked => return Err(IrqError::AlreadySo),
            Some(_) | None => {}
        }
        found.stormed_until = None;
        found.masked = false;
        // What its timer raised while it was closed, nobody hears of.
        if let Some((missed, _)) = found.ticker.take_due(now) {
            let counters = &mut found.counters;
            counters.taken = counters.taken.saturating_add(u64::from(missed));
            counters.dropped = counters.dropped.saturating_add(u64::from(missed));
        }
        let mut effects = Effects::default();
        if found.is_open() {
            effects.push(Effect::Rearm(source));
        }
        Ok(effects)
    }

    /// The hypervisor binds `source` to `vm`, or to nobody: it is closed until that VM unmasks it. What
    /// waited for the VM before is dropped, and another VM's counters begin at zero.
    ///
    /// The caller has checked that this is the hypervisor, and that policy names `vm` for it.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`].
    pub fn bind(&mut self, source: SourceId, vm: Option<EndpointId>) -> Result<Effects, IrqError> {
        let found = self.get(source).ok_or(IrqError::NoSource)?;
        let mut effects = Effects::default();
        silence(found);
        match vm {
            Some(vm) => found.bind(vm),
            None => found.vm = None,
        }
        effects.push(Effect::Mask(source));
        Ok(effects)
    }

    /// A VM is gone: its sources are closed and bound to nobody, what waited for it is dropped, nobody
    /// else hears of it. Calls `each` with every source that was its own.
    pub fn vm_destroyed(&mut self, vm: EndpointId, mut each: impl FnMut(SourceId)) {
        for (id, source) in self.named_mut() {
            if source.vm == Some(vm) {
                silence(source);
                source.vm = None;
                each(id);
            }
        }
    }

    /// A VM with this id is there anew: what the manifest binds to it is its own again, closed until
    /// it unmasks, unless the hypervisor gave it to somebody else meanwhile. Calls `each` with those.
    pub fn vm_created(&mut self, vm: EndpointId, mut each: impl FnMut(SourceId)) {
        for (id, source) in self.named_mut() {
            if source.terms.vm == Some(vm) && source.vm.is_none() {
                source.bind(vm);
                source.masked = true;
                each(id);
            }
        }
    }

    /// How a source of `vm` stands.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`].
    pub fn standing(&mut self, vm: EndpointId, source: SourceId) -> Result<Standing, IrqError> {
        let found = self.of(vm, source)?;
        let state = SourceState::default()
            .with(SourceState::OPEN, found.is_open())
            .with(SourceState::MASKED, found.masked)
            .with(SourceState::STORMED, found.stormed_until.is_some())
            .with(SourceState::FETCHED, matches!(found.phase, Phase::Fetched { .. }));
        Ok(Standing { terms: found.terms, state, waiting: found.waiting(), ticker: found.ticker })
    }

    /// The counters of a source of `vm`.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`].
    pub fn counters(&mut self, vm: EndpointId, source: SourceId) -> Result<Counters, IrqError> {
        Ok(self.of(vm, source)?.counters)
    }

    /// Interrupts of a source that wait.
    #[must_use]
    pub fn waiting(&self, source: SourceId) -> u64 {
        self.named().find(|(id, _)| *id == source).map_or(0, |(_, s)| s.waiting())
    }

    /// Whether anything waits for `vm`.
    #[must_use]
    pub fn has_event(&self, vm: EndpointId) -> bool {
        let ready = |s: &Source| s.vm == Some(vm) && matches!(s.phase, Phase::Waiting { .. });
        self.named().any(|(_, s)| ready(s))
    }

    fn of(&mut self, vm: EndpointId, source: SourceId) -> Result<&mut Source, IrqError> {
        self.get(source).filter(|s| s.vm == Some(vm)).ok_or(IrqError::NoSource)
    }

    fn get(&mut self, source: SourceId) -> Option<&mut Source> {
        self.sources.get_mut(usize::from(source))?.as_mut()
    }

    fn named(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        (0..=SourceId::MAX).zip(&self.sources).filter_map(|(id, s)| Some((id, s.as_ref()?)))
    }

    fn named_mut(&mut self) -> impl Iterator<Item = (SourceId, &mut Source)> {
        (0..=SourceId::MAX).zip(&mut self.sources).filter_map(|(id, s)| Some((id, s.as_mut()?)))
    }
}

/// Closes a source and drops what waits: its VM is no longer its own.
fn silence(source: &mut Source) {
    let waiting = source.waiting();
    source.counters.dropped = source.counters.dropped.saturating_add(waiting);
    source.phase = Phase::Armed;
    source.masked = true;
    source.ticker = Ticker::default();
}
