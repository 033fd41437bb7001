//! Owns what a run asks of the world that it runs in; never how it is done.

use causeway_abi::{Frame, Permission};
use causeway_ffa::{EndpointId, FfaError, MemHandle, PageRange, Regs, Transfer};

/// A transaction on memory, as the hypervisor sends it in a VM's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Share, lend or donate.
    pub kind: Transfer,
    /// Whose memory.
    pub owner: EndpointId,
    /// Who borrows it beside the partition.
    pub peer: Option<EndpointId>,
    /// What the borrowers may do.
    pub permission: Permission,
    /// One run of pages.
    pub pages: PageRange,
    /// The transaction's tag.
    pub tag: u64,
}

/// The hypervisor's place: what it may send, and the RAM of its VMs.
pub trait World {
    /// The partition's id.
    fn partition(&self) -> EndpointId;

    /// Reports whether the SPMC cuts the words of a message, so that calls take two.
    fn speaks_in_parts(&self) -> bool;

    /// Makes one FF-A call of the hypervisor's own.
    fn call(&mut self, regs: &Regs) -> Regs;

    /// Looks the partition up by the UUID of its service; returns its id and how many there are.
    ///
    /// # Errors
    /// What the SPMC answers.
    fn discover(&mut self) -> Result<(EndpointId, u32), FfaError>;

    /// Sends one direct message with these words in a VM's name, and returns the words of the answer.
    ///
    /// # Errors
    /// What the SPMC answers in the partition's place.
    fn words(&mut self, from: EndpointId, words: &Frame) -> Result<Frame, FfaError>;

    /// The same from another core; `None`: this world has only one.
    fn words_on_second_core(
        &mut self,
        _from: EndpointId,
        _words: &Frame,
    ) -> Option<Result<Frame, FfaError>> {
        None
    }

    /// Makes a call of the service in a VM's name: in one message, or in as many as it takes here.
    ///
    /// # Errors
    /// As [`World::words`].
    fn frame(&mut self, from: EndpointId, frame: &Frame) -> Result<Frame, FfaError>;

    /// Sends a transaction on memory.
    ///
    /// # Errors
    /// What the SPMC answers.
    fn send(&mut self, shared: &Shared) -> Result<MemHandle, FfaError>;

    /// Takes memory back.
    ///
    /// # Errors
    /// What the SPMC answers.
    fn reclaim(&mut self, handle: MemHandle) -> Result<(), FfaError>;

    /// Where the RAM of a VM begins that cases may use; of somebody who is no VM: RAM that is nobody's.
    fn ram(&self, vm: EndpointId) -> u64;

    /// Reads RAM as its VM would.
    fn read(&mut self, address: u64, into: &mut [u8]);

    /// Writes RAM as its VM would.
    fn write(&mut self, address: u64, from: &[u8]);
}
