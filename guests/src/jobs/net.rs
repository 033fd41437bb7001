//! Owns the rows of the network's jobs (`cargo xtask run --demo net`); never the code that the VMs run for
//! them.

use super::table::PLAIN;
use super::{Job, Sabotage, Verdict};

/// The disk image over TCP.
pub(super) const DEMO_NET: Job = Job {
    name: "demo_net",
    shows: "VM 1 downloads a disk image from VM 2 over TCP, through a network card in brokered memory",
    command_lines: ["job=net", "job=net", "job=idle"],
    tests: [
        &["net/card_found", "net/area_granted", "net/file_came_over_tcp", "net/reclaimed"],
        &["net/served", "net/backend_torn_down"],
        &[],
    ],
    needs_disk: true,
    ..PLAIN
};

/// The same over a bad cable.
pub(super) const NET_LOSS: Job = Job {
    name: "net_loss",
    shows: "frames are lost, doubled and reordered on the way, and TCP brings the image whole",
    command_lines: ["job=net", "job=net drop=300 twice=200 ahead=80 seed=1", "job=idle"],
    tests: [
        DEMO_NET.tests[0],
        &["net/served", "net/lost_frames_were_sent_again", "net/backend_torn_down"],
        &[],
    ],
    ..DEMO_NET
};

/// The same with a sabotage.
pub(super) const NET_IMAGE_FLIPPED: Job = Job {
    name: "net_image_flipped",
    shows: "a bit flipped in the medium before it is sent is noticed by the host",
    command_lines: ["job=net", "job=net flip=image", "job=idle"],
    verdict: Verdict::MustFail(Sabotage::Digest),
    ..DEMO_NET
};
