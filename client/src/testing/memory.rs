//! Owns the fake hypervisor's memory transactions.

use super::{PARTITION, VERSION};
use causeway_ffa::descriptor::{Builder, Receiver, Role, Spec, Transaction};
use causeway_ffa::relinquish::Relinquish;
use causeway_ffa::{Answer, EndpointId, FfaError, Lengths, MemHandle, PageRange, Transfer};

struct FakeShare {
    handle: MemHandle,
    owner: u16,
    kind: Transfer,
    announced: u32,
    bytes: Vec<u8>,
    ranges: Vec<PageRange>,
    mapped_by: Option<u16>,
}

#[derive(Default)]
pub(super) struct FakeMemory {
    shares: Vec<FakeShare>,
    next: u64,
    /// The response that is being fetched in fragments.
    response: Vec<u8>,
    /// Bytes of a response's first fragment, 0 for as many as fit.
    pub(crate) first_fragment: usize,
}

impl FakeMemory {
    pub(super) fn left(&self) -> usize {
        self.shares.len()
    }

    fn find(&mut self, handle: MemHandle) -> Result<&mut FakeShare, FfaError> {
        let found = self.shares.iter_mut().find(|share| share.handle == handle);
        found.ok_or(FfaError::InvalidParameters)
    }

    pub(super) fn send(
        &mut self,
        owner: u16,
        kind: Transfer,
        lengths: Lengths,
        tx: Vec<u8>,
    ) -> Result<Answer, FfaError> {
        let handle = MemHandle::new(self.next).unwrap();
        self.next += 1;
        let (announced, first) = (lengths.total(), usize::try_from(lengths.fragment()).unwrap());
        let bytes = tx[..first].to_vec();
        let ranges = Vec::new();
        let mapped_by = None;
        self.shares.push(FakeShare { handle, owner, kind, announced, bytes, ranges, mapped_by });
        self.progress(handle)
    }

    pub(super) fn more(
        &mut self,
        owner: u16,
        handle: MemHandle,
        length: u32,
        tx: Vec<u8>,
    ) -> Result<Answer, FfaError> {
        let share = self.find(handle)?;
        assert_eq!(share.owner, owner);
        share.bytes.extend(&tx[..usize::try_from(length).unwrap()]);
        self.progress(handle)
    }

    fn progress(&mut self, handle: MemHandle) -> Result<Answer, FfaError> {
        let share = self.find(handle)?;
        let offset = u32::try_from(share.bytes.len()).unwrap();
        if offset < share.announced {
            let endpoint = EndpointId::default();
            return Ok(Answer::MemFragRx { handle, offset, endpoint });
        }
        let parsed = Transaction::parse(&share.bytes, VERSION, Role::Send(share.kind));
        let Ok(ranges) = parsed.map(|whole| whole.ranges().collect()) else {
            self.shares.retain(|share| share.handle != handle);
            return Err(FfaError::InvalidParameters);
        };
        share.ranges = ranges;
        Ok(Answer::handle(handle))
    }

    /// The ranges of a transaction.
    pub(super) fn ranges(&self, handle: MemHandle) -> Option<Vec<PageRange>> {
        let share = self.shares.iter().find(|share| share.handle == handle)?;
        Some(share.ranges.clone())
    }

    pub(super) fn is_mapped(&self, handle: MemHandle) -> bool {
        self.shares.iter().any(|share| share.handle == handle && share.mapped_by.is_some())
    }

    pub(super) fn retrieve(
        &mut self,
        vm: u16,
        length: u32,
        tx: &[u8],
        accepted: impl Fn(MemHandle) -> bool,
    ) -> Result<(Answer, Vec<u8>), FfaError> {
        let request = &tx[..usize::try_from(length).unwrap()];
        let request = Transaction::parse(request, VERSION, Role::RetrieveRequest)
            .map_err(|_| FfaError::InvalidParameters)?;
        let handle = request.header().handle.ok_or(FfaError::InvalidParameters)?;
        let ids: Vec<_> = request.receivers().map(|receiver| receiver.endpoint).collect();
        if !ids.contains(&EndpointId::from_raw(vm)) || !ids.contains(&PARTITION) {
            return Err(FfaError::InvalidParameters);
        }
        let ranges = self.ranges(handle).ok_or(FfaError::InvalidParameters)?;
        if !accepted(handle) {
            return Err(FfaError::Denied);
        }
        let first_fragment = self.first_fragment;
        let share = self.find(handle)?;
        share.mapped_by = Some(vm);
        let receivers = [Receiver::read_write(EndpointId::from_raw(vm))];
        let owner = EndpointId::from_raw(share.owner);
        let spec =
            Spec::retrieve_response(VERSION, owner, handle, share.kind, 0, &receivers, &ranges);
        let builder = Builder::new(spec).unwrap();
        let total = builder.total_len();
        let mut bytes = vec![0; usize::try_from(total).unwrap()];
        builder.write(0, &mut bytes).unwrap();
        let first = if first_fragment == 0 { bytes.len().min(4096) } else { first_fragment };
        self.response = bytes.clone();
        bytes.truncate(first);
        let lengths = Lengths::new(total, u32::try_from(first).unwrap()).unwrap();
        Ok((Answer::MemRetrieveResp(lengths), bytes))
    }

    pub(super) fn fragment(
        &mut self,
        handle: MemHandle,
        offset: u32,
    ) -> Result<(Answer, Vec<u8>), FfaError> {
        let rest = self.response.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        let bytes = rest[..rest.len().min(16)].to_vec();
        let length = u32::try_from(bytes.len()).unwrap();
        if length == 0 {
            return Err(FfaError::InvalidParameters);
        }
        Ok((Answer::MemFragTx { handle, length, endpoint: EndpointId::default() }, bytes))
    }

    pub(super) fn relinquish(&mut self, vm: u16, tx: &[u8]) -> Result<Answer, FfaError> {
        let request = Relinquish::parse(tx).map_err(|_| FfaError::InvalidParameters)?;
        assert_eq!(request.sole_endpoint(), Some(EndpointId::from_raw(vm)));
        let share = self.find(request.handle())?;
        if share.mapped_by.take() == Some(vm) {
            Ok(Answer::success())
        } else {
            Err(FfaError::Denied)
        }
    }

    pub(super) fn reclaim(&mut self, vm: u16, handle: MemHandle) -> Result<Answer, FfaError> {
        let share = self.find(handle)?;
        if share.owner != vm || share.mapped_by.is_some() {
            return Err(FfaError::Denied);
        }
        self.shares.retain(|share| share.handle != handle);
        Ok(Answer::success())
    }
}
