//! A configuration space that takes several messages to read, and changes between two of them: what the
//! driver sees is of one generation, or a typed error.

use super::*;
use crate::error::Rule;
use causeway_virtio::DeviceId;
use causeway_virtio::device::Identity;
use causeway_virtio::mem::AreaMap;
use causeway_virtio::msg::{ConfigBytes, Request};
use causeway_virtio::queue::{DeviceQueue, QueueError, QueueSize};
use virtio_drivers::transport::Transport;

/// Three messages' worth.
const LEN: usize = 2 * ConfigBytes::MAX + 20;

/// A device whose configuration space is one byte again and again, which somebody else changes.
struct Moody<'t>(&'t Cell<u8>);

impl DeviceModel for Moody<'_> {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::BLOCK, vendor: 0, uuid: [0; 16] }
    }

    fn config_len(&self) -> u32 {
        u32::try_from(LEN).unwrap()
    }

    fn read_config(&self, _offset: u32, into: &mut [u8]) {
        into.fill(self.0.get());
    }

    fn queue_count(&self) -> u16 {
        1
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        QueueSize::new(8).unwrap()
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        _mem: &M,
        _index: u16,
        _queue: &mut DeviceQueue,
        _budget: u32,
    ) -> Result<u32, QueueError> {
        Ok(0)
    }
}

/// Reads the whole space of a device whose content changes behind the parts that `changes` names by
/// their number; hands over what came of it, the failure, and how many parts were asked for.
fn read_while(
    changes: impl Fn(u32) -> bool,
    judge: impl FnOnce(virtio_drivers::Result<[u8; LEN]>, Option<Error>, u32, u32),
) {
    let (mood, parts) = (Cell::new(1), Cell::new(0));
    let changed = |body: &Body| {
        if !matches!(body, Body::Request(Request::GetConfig(_))) {
            return false;
        }
        parts.set(parts.get() + 1);
        let changes = changes(parts.get());
        mood.set(mood.get() + u8::from(changes));
        changes
    };
    with_changing_device(Moody(&mood), &changed, |side| {
        let health = Health::new();
        let kick = Kick::Doorbell(side.doorbells, BACKEND);
        let transport = MsgTransport::open(side.bus, 0, kick, &health).unwrap();
        let read = transport.read_config_space::<[u8; LEN]>(0);
        let (asked, generation) = (parts.get(), transport.read_config_generation());
        judge(read, health.failure(), asked, generation);
    });
}

#[test]
fn a_quiet_configuration_is_read_once_part_by_part() {
    read_while(
        |_| false,
        |read, failure, parts, generation| {
            assert_eq!((read, failure, parts, generation), (Ok([1; LEN]), None, 3, 0));
        },
    );
}

#[test]
fn a_configuration_that_changes_between_two_parts_is_read_again_from_its_start() {
    for behind in [1, 2] {
        read_while(
            |part| part == behind,
            |read, failure, parts, generation| {
                assert_eq!((read, failure, generation), (Ok([2; LEN]), None, 1), "{behind}");
                assert_eq!(parts, 6, "changed behind part {behind}");
            },
        );
    }
}

#[test]
fn a_configuration_that_never_stays_is_a_typed_error_after_a_bounded_number_of_reads() {
    read_while(
        |_| true,
        |read, failure, parts, _| {
            assert!(read.is_err());
            assert_eq!(failure, Some(Error::peer(Rule::ConfigGeneration)));
            assert_eq!(parts, 8 * 3);
        },
    );
}
