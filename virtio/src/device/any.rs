//! Owns the choice between the kinds of devices that this crate has, for a host with several; never
//! a device's behaviour.

use super::block::{Block, Medium};
use super::console::{Console, Terminal};
use super::rng::{EntropySource, Rng};
use super::rpmb::{Protected, Rpmb};
use super::{Applied, DeviceModel, Identity};
use crate::mem::AreaMap;
use crate::queue::{DeviceQueue, QueueError, QueueSize};
use crate::types::Features;

/// One of the devices of this crate.
#[derive(Debug)]
pub enum AnyDevice<S, T, D, R, const SEGMENTS: usize = 18> {
    /// Entropy.
    Rng(Rng<S>),
    /// A console.
    Console(Console<T>),
    /// A block device.
    Block(Block<D, SEGMENTS>),
    /// Replay-protected memory.
    Rpmb(Rpmb<R>),
}

macro_rules! of_each {
    ($self:ident, $device:ident => $call:expr) => {
        match $self {
            Self::Rng($device) => $call,
            Self::Console($device) => $call,
            Self::Block($device) => $call,
            Self::Rpmb($device) => $call,
        }
    };
}

impl<S: EntropySource, T: Terminal, D: Medium, R: Protected, const SEGMENTS: usize> DeviceModel
    for AnyDevice<S, T, D, R, SEGMENTS>
{
    fn identity(&self) -> Identity {
        of_each!(self, device => device.identity())
    }

    fn features(&self) -> Features {
        of_each!(self, device => device.features())
    }

    fn config_len(&self) -> u32 {
        of_each!(self, device => device.config_len())
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        of_each!(self, device => device.read_config(offset, into));
    }

    fn write_config(&mut self, offset: u32, from: &[u8]) -> Applied {
        of_each!(self, device => device.write_config(offset, from))
    }

    fn queue_count(&self) -> u16 {
        of_each!(self, device => device.queue_count())
    }

    fn max_queue_size(&self, index: u16) -> QueueSize {
        of_each!(self, device => device.max_queue_size(index))
    }

    fn start(&mut self, features: Features) {
        of_each!(self, device => device.start(features));
    }

    fn wants(&self, index: u16) -> bool {
        of_each!(self, device => device.wants(index))
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        index: u16,
        queue: &mut DeviceQueue,
        budget: u32,
    ) -> Result<u32, QueueError> {
        of_each!(self, device => device.serve(mem, index, queue, budget))
    }

    fn reset(&mut self) {
        of_each!(self, device => device.reset());
    }
}
