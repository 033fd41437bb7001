//! Owns the secure flash of the fake machine: the model that only clears bits, and what is said about
//! it. Never part of a real build.

use causeway_service::safe::{FlashState, SecureFlash};
use causeway_vault::flash::model::{Model, ModelError, SECTOR};
use causeway_vault::flash::{ErrorType, NorFlash, ReadNorFlash};
use causeway_vault::keys::RootKey;
use core::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

const SECTORS: usize = 32;

/// The flash; clones are the same one.
#[derive(Clone, Debug)]
pub struct Flash(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    model: Model,
    state: FlashState,
    root_key: Option<[u8; 32]>,
    opened: usize,
}

impl Default for Flash {
    fn default() -> Self {
        let root_key = Some([0x5a; 32]);
        let (model, state) = (Model::new(SECTORS), FlashState::Ready);
        let inside = Inside { model, state, root_key, opened: 0 };
        Self(Arc::new(Mutex::new(inside)))
    }
}

impl Flash {
    /// Runs `work` on the model: to cut its power, or to look into it.
    pub fn model<R>(&self, work: impl FnOnce(&mut Model) -> R) -> R {
        self.with(|inside| work(&mut inside.model))
    }

    /// Says from now on that the flash is in this state.
    pub fn set_state(&self, state: FlashState) {
        self.with(|inside| inside.state = state);
    }

    /// Another device, or one without a key.
    pub fn set_root_key(&self, key: Option<[u8; 32]>) {
        self.with(|inside| inside.root_key = key);
    }

    /// How often the partition has opened it, which it does to mount its store.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.with(|inside| inside.opened)
    }

    fn with<R>(&self, work: impl FnOnce(&mut Inside) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ErrorType for Flash {
    type Error = ModelError;
}

/// The model never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("the model of a flash waits for nobody"),
    }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = Model::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ModelError> {
        self.model(|model| at_once(model.read(offset, bytes)))
    }

    fn capacity(&self) -> usize {
        SECTORS * SECTOR
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = Model::WRITE_SIZE;
    const ERASE_SIZE: usize = Model::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        self.model(|model| at_once(model.erase(from, to)))
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ModelError> {
        self.model(|model| at_once(model.write(offset, bytes)))
    }
}

/// The flash as the partition finds it on a machine.
#[derive(Debug)]
pub struct FlashOf(pub(crate) Arc<crate::machine::Machine>);

impl SecureFlash for FlashOf {
    type Flash = Flash;

    fn state(&self) -> FlashState {
        self.0.flash().with(|inside| inside.state)
    }

    fn open(&mut self) -> Option<Flash> {
        self.0.flash().with(|inside| inside.opened += 1);
        Some(self.0.flash().clone())
    }

    fn store_range(&self) -> Range<u32> {
        0..u32::try_from(SECTORS * SECTOR).unwrap_or(u32::MAX)
    }

    fn root_key(&self) -> Option<RootKey> {
        self.0.flash().with(|inside| inside.root_key.as_ref().map(RootKey::new))
    }

    fn time(&self) -> (u64, u64) {
        (self.0.now(), crate::machine::TICKS_PER_MS * 1000)
    }
}
