//! Prints what a device, a queue and an area cost in the partition's RAM; never runs anything.
//! Ends with status 1 if a queue costs 1 KiB or more: `cargo run -p causeway-virtio --example sizes`.

use causeway_virtio::bus::Bus;
use causeway_virtio::device::Host;
use causeway_virtio::device::block::{Block, RamDisk};
use causeway_virtio::device::console::{Console, Echo, Terminal};
use causeway_virtio::device::rng::{EntropySource, NoEntropy, Rng};
use causeway_virtio::fifo::Fifo;
use std::process::ExitCode;

struct Source;

impl EntropySource for Source {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), NoEntropy> {
        Err(NoEntropy)
    }
}

struct Paper;

impl Terminal for Paper {
    fn write(&mut self, _: &[u8]) {}
}

/// A bus for one driver with one link and one device: areas and queues vary.
type Small<const AREAS: usize, const QUEUES: usize> = Bus<1, 1, 1, AREAS, QUEUES>;

fn main() -> ExitCode {
    let bus_queue = size_of::<Small<1, 2>>() - size_of::<Small<1, 1>>();
    let host_queue = size_of::<Host<Rng<Source>, 1, 2>>() - size_of::<Host<Rng<Source>, 1, 1>>();
    let queue = bus_queue + host_queue;
    let whole = size_of::<Small<4, 1>>() + size_of::<Host<Rng<Source>, 1, 1>>() + size_of::<Fifo>();
    println!("bytes of the partition's RAM, on this host:");
    println!("{:6} a queue ({bus_queue} in the bus, {host_queue} in the device)", queue);
    println!("{:6} an area of a link", size_of::<Small<2, 1>>() - size_of::<Small<1, 1>>());
    println!("{:6} entropy device, one queue", size_of::<Host<Rng<Source>, 1, 1>>());
    println!("{:6} console, two queues", size_of::<Host<Console<Echo<Paper, 64>>, 1, 2>>());
    let disk = size_of::<Host<Block<RamDisk<4096>, 18>, 1, 1>>() - 4096;
    println!("{disk:6} block device, one queue, without its sectors");
    println!("{:6} bus of one device with one queue and four areas", size_of::<Small<4, 1>>());
    println!("{whole:6} minimal profile: that bus, the entropy device, the message FIFO's state");
    if queue < 1024 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
