//! Holds the acting half of the monitor to its claims, on the host: VMs' calls come in as registers,
//! the fake SPMC and the real partition are below.

mod at_once;
mod capacity;
mod hostile;
mod life;
mod machine;
mod processors;
