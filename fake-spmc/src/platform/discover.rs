//! Owns what a VM sees of the partitions: the SPMC's list, copied. Never adds to it.

use super::World;
use super::vm::Outcome;
use crate::layout;
use causeway_ffa::call::InfoForm;
use causeway_ffa::partition_info::{LEN_V1_1, PartitionInfos};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, Uuid, Version};

impl World {
    pub(super) fn partition_info(&mut self, id: EndpointId, uuid: Uuid, form: InfoForm) -> Outcome {
        if form == InfoForm::Descriptors && self.vm(id).is_none_or(|vm| vm.rx_full) {
            return Err(FfaError::Busy);
        }
        let Answer::Success(success) = self.ask(&Call::PartitionInfoGet { uuid, form })? else {
            return Err(FfaError::NotSupported);
        };
        let (count, stride) = (success.w(2), success.w(3));
        if form == InfoForm::CountOnly {
            return Ok(Answer::two_words(count, 0));
        }
        let machine = self.machine.clone();
        let mut list = vec![0; 4096];
        let rx = layout::hypervisor_ram().start().get() + 4096;
        machine.ram().read(rx, &mut list).ok_or(FfaError::Aborted)?;
        self.ask(&Call::RxRelease { vm: EndpointId::default() })?;
        let infos = PartitionInfos::parse(&list, count, stride, Version::V1_1)
            .map_err(|_| FfaError::NotSupported)?;
        let mut bytes = vec![0; LEN_V1_1 * infos.iter().len()];
        for (info, room) in infos.iter().zip(bytes.chunks_exact_mut(LEN_V1_1)) {
            info.write(Version::V1_1, room)?;
        }
        self.vm(id).ok_or(FfaError::Aborted)?.fill_rx(machine.ram(), &bytes)?;
        Ok(Answer::two_words(count, u32::try_from(LEN_V1_1).unwrap_or(24)))
    }
}
