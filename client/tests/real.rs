//! The client library, virtio-drivers' unmodified drivers and our devices against the **real partition**
//! (service, broker, bus) on a fake SPMC, with VMs that are killed and restarted by a fake hypervisor.
#![cfg(feature = "guest")]
#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]

#[path = "real/local.rs"]
mod local;
#[path = "real/long_messages.rs"]
mod long_messages;
#[cfg(feature = "smoltcp")]
#[path = "real/net.rs"]
mod net;
#[path = "real/own_driver.rs"]
mod own_driver;
#[path = "real/restart.rs"]
mod restart;
#[path = "real/scene.rs"]
mod scene;
#[path = "real/world.rs"]
mod world;
