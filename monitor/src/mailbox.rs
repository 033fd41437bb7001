//! Owns the state of a VM's RX/TX pair: which pages, and who owns RX. Never touches the pages.
//!
//! Source: DEN0077A 1.1, 7.2.2 "RX/TX buffers". TX is always the VM's; RX is the monitor's until a
//! call fills it, then the VM's until FFA_RX_RELEASE (KB-20).

use causeway_ffa::{FfaError, PageAddr};

/// Who may touch the RX buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RxOwner {
    Monitor,
    Vm,
}

/// The two buffers of a VM, one page each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What the VM writes.
    pub tx: PageAddr,
    /// What the VM reads.
    pub rx: PageAddr,
}

/// A VM's RX/TX pair, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox {
    state: Option<(Pair, RxOwner)>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Mailbox {
    /// No buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: None }
    }

    /// The VM names its buffers.
    ///
    /// # Errors
    /// `Denied` where it has a pair already.
    pub fn map(&mut self, pair: Pair) -> Result<(), FfaError> {
        if self.state.is_some() {
            return Err(FfaError::Denied);
        }
        self.state = Some((pair, RxOwner::Monitor));
        Ok(())
    }

    /// The VM gives its buffers up; returns them.
    ///
    /// # Errors
    /// `InvalidParameters` where there is no pair; `Denied` while the VM owns RX.
    pub fn unmap(&mut self) -> Result<Pair, FfaError> {
        match self.state {
            None => Err(FfaError::InvalidParameters),
            Some((_, RxOwner::Vm)) => Err(FfaError::Denied),
            Some((pair, RxOwner::Monitor)) => {
                self.state = None;
                Ok(pair)
            }
        }
    }

    /// The VM is gone; returns the pages that it had.
    pub fn forget(&mut self) -> Option<Pair> {
        self.state.take().map(|(pair, _)| pair)
    }

    /// The VM has read RX.
    ///
    /// # Errors
    /// `Denied` where RX is not its own.
    pub fn release(&mut self) -> Result<(), FfaError> {
        match self.state {
            Some((pair, RxOwner::Vm)) => {
                self.state = Some((pair, RxOwner::Monitor));
                Ok(())
            }
            None | Some((_, RxOwner::Monitor)) => Err(FfaError::Denied),
        }
    }

    /// Returns the page to copy a message of the VM from.
    ///
    /// # Errors
    /// `InvalidParameters` where there is no pair.
    pub fn tx(&self) -> Result<PageAddr, FfaError> {
        self.state.map(|(pair, _)| pair.tx).ok_or(FfaError::InvalidParameters)
    }

    /// Returns the page to write a message to, which [`Mailbox::filled`] then hands to the VM.
    ///
    /// # Errors
    /// `InvalidParameters` where there is no pair; `Busy` while the VM owns RX.
    pub fn rx_to_fill(&self) -> Result<PageAddr, FfaError> {
        match self.state {
            None => Err(FfaError::InvalidParameters),
            Some((_, RxOwner::Vm)) => Err(FfaError::Busy),
            Some((pair, RxOwner::Monitor)) => Ok(pair.rx),
        }
    }

    /// RX holds a message: it is the VM's now.
    pub fn filled(&mut self) {
        if let Some((_, owner)) = &mut self.state {
            *owner = RxOwner::Vm;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        Pair { tx: PageAddr::new(0x4000_0000).unwrap(), rx: PageAddr::new(0x4000_1000).unwrap() }
    }

    #[test]
    fn a_second_pair_is_refused() {
        let mut mailbox = Mailbox::new();
        assert_eq!(mailbox.map(pair()), Ok(()));
        assert_eq!(mailbox.map(pair()), Err(FfaError::Denied));
        assert_eq!(mailbox.unmap(), Ok(pair()));
        assert_eq!(mailbox.unmap(), Err(FfaError::InvalidParameters));
        assert_eq!(mailbox.map(pair()), Ok(()));
    }

    #[test]
    fn rx_is_released_once_and_not_filled_twice() {
        let mut mailbox = Mailbox::new();
        assert_eq!(mailbox.rx_to_fill(), Err(FfaError::InvalidParameters));
        mailbox.map(pair()).unwrap();
        assert_eq!(mailbox.release(), Err(FfaError::Denied));
        assert_eq!(mailbox.rx_to_fill(), Ok(pair().rx));
        mailbox.filled();
        assert_eq!(mailbox.rx_to_fill(), Err(FfaError::Busy));
        assert_eq!(mailbox.unmap(), Err(FfaError::Denied));
        assert_eq!(mailbox.release(), Ok(()));
        assert_eq!(mailbox.release(), Err(FfaError::Denied));
        assert_eq!(mailbox.rx_to_fill(), Ok(pair().rx));
    }

    #[test]
    fn nothing_is_filled_where_there_is_no_pair() {
        let mut mailbox = Mailbox::new();
        mailbox.filled();
        assert_eq!(mailbox, Mailbox::new());
        assert_eq!(mailbox.forget(), None);
    }
}
