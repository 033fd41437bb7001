//! Owns the table of sources, and every decision about them. Carries out none.

#[cfg(test)]
mod tests;

use crate::source::{Counters, IrqError, Phase, Source, SourceId, SourceTerms, Trigger};
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

/// An event as the VM fetches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Which source.
    pub source: SourceId,
    /// How often it came since the last fetch: at least 1.
    pub count: u32,
    /// Whether more is waiting for this VM.
    pub more: bool,
}

/// All sources of the manifest.
#[derive(Clone, Debug, Default)]
pub struct Router {
    sources: [Option<Source>; MAX_SOURCES],
}

impl Router {
    /// Takes the manifest's sources, in its order.
    ///
    /// # Errors
    ///
    /// [`IrqError::Table`]: too many, or one INTID twice.
    pub fn new(terms: &[SourceTerms]) -> Result<Self, IrqError> {
        let mut router = Self::default();
        if terms.len() > MAX_SOURCES {
            return Err(IrqError::Table);
        }
        for (slot, terms) in router.sources.iter_mut().zip(terms) {
            *slot = Some(Source::new(*terms));
        }
        let twice = |t: &SourceTerms| terms.iter().filter(|o| o.intid == t.intid).count() > 1;
        if terms.iter().any(twice) { Err(IrqError::Table) } else { Ok(router) }
    }

    /// The sources that the image opens at the start.
    pub fn open_at_start(&self) -> impl Iterator<Item = (SourceId, SourceTerms)> + '_ {
        self.named().filter(|(_, s)| s.is_open()).map(|(id, s)| (id, s.terms))
    }

    /// The image acknowledged `intid` at the controller.
    pub fn taken(&mut self, now: u64, intid: u32) -> Taken {
        let Some((id, source)) = self.named_mut().find(|(_, s)| s.terms.intid == intid) else {
            return Taken::Unknown;
        };
        let mut effects = Effects::default();
        let open = source.is_open();
        source.counters.taken = source.counters.taken.saturating_add(1);
        effects.push(Effect::Quiet(id));
        if !open {
            // It was masked, or held until completion. Close it (again): a lying source must not
            // come back at once.
            source.counters.out_of_turn = source.counters.out_of_turn.saturating_add(1);
            source.counters.dropped = source.counters.dropped.saturating_add(1);
            effects.push(Effect::Mask(id));
            return Taken::Known(effects);
        }
        let Some(vm) = source.vm else {
            source.counters.dropped = source.counters.dropped.saturating_add(1);
            effects.push(Effect::Mask(id));
            return Taken::Known(effects);
        };
        let within = source.bucket.take(now);
        let was_waiting = source.waiting() > 0;
        source.phase = match source.phase {
            Phase::Armed => Phase::Waiting { more: 0 },
            Phase::Waiting { more } => Phase::Waiting { more: more.saturating_add(1) },
            Phase::Fetched { behind } => Phase::Fetched { behind: behind.saturating_add(1) },
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
        Ok(Fetched { source: id, count, more: self.named().any(|(_, s)| ready(s)) })
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
        let mut effects = Effects::default();
        if found.is_open() {
            effects.push(Effect::Rearm(source));
        }
        Ok(effects)
    }

    /// The hypervisor binds `source` to `vm`, or to nobody. What waited for the VM before is dropped.
    ///
    /// The caller has checked that this is the hypervisor, and that policy names `vm` for it.
    ///
    /// # Errors
    ///
    /// [`IrqError::NoSource`].
    pub fn bind(&mut self, source: SourceId, vm: Option<EndpointId>) -> Result<Effects, IrqError> {
        let found = self.get(source).ok_or(IrqError::NoSource)?;
        let mut effects = Effects::default();
        drop_waiting(found);
        found.vm = vm;
        found.masked = vm.is_none();
        let open = found.is_open();
        effects.push(if open { Effect::Rearm(source) } else { Effect::Mask(source) });
        Ok(effects)
    }

    /// A VM is gone: its sources are masked, what waited for it is dropped, nobody else hears of it.
    /// Calls `each` with every source that must be closed.
    pub fn vm_destroyed(&mut self, vm: EndpointId, mut each: impl FnMut(Effect)) {
        for (id, source) in self.named_mut() {
            if source.vm == Some(vm) {
                drop_waiting(source);
                source.masked = true;
                each(Effect::Mask(id));
            }
        }
    }

    /// A VM with this id is there anew: what the manifest binds to it is its own again, masked until
    /// it unmasks.
    pub fn vm_created(&mut self, vm: EndpointId) {
        for (_, source) in self.named_mut() {
            if source.terms.vm == Some(vm) && source.vm.is_none() {
                source.vm = Some(vm);
                source.masked = true;
            }
        }
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

fn drop_waiting(source: &mut Source) {
    let waiting = source.waiting();
    source.counters.dropped = source.counters.dropped.saturating_add(waiting);
    source.phase = Phase::Armed;
}
