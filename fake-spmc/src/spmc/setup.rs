//! Owns what a caller asks before it does anything: version, features, partitions. Never moves memory.

use super::{Caller, Outcome, Spmc, success};
use crate::personality::{Arguments, Notifying};
use causeway_ffa::answer::Success;
use causeway_ffa::call::{FeatureQuery, InfoForm, RareCall};
use causeway_ffa::partition_info::PartitionInfo;
use causeway_ffa::{Answer, FfaError, FuncId, Regs, Uuid, Version, regs};

/// Bit 1 of the properties of FFA_FEATURES(FFA_MEM_RETRIEVE_REQ): the NS bit is supported.
const NS_BIT: u32 = 1 << 1;

impl Spmc {
    pub(super) fn version(&mut self, caller: Caller, requested: Option<Version>) -> Regs {
        let Some(requested) = requested else { return regs::version_reply(None) };
        match caller {
            Caller::NormalWorld => self.normal_version = requested,
            // TF-A asserts that it is the manifest's; here the partition's word counts.
            Caller::Partition(id) => {
                if let Some(partition) = self.find_partition(id) {
                    partition.version = requested;
                }
            }
        }
        regs::version_reply(Some(self.quirks().reported))
    }

    /// Source for the lists: TF-A 2.12.1, `ffa_features_handler`, with its two oddities: RETRIEVE_REQ
    /// and FRAG_RX are said to be there for the normal world, and FRAG_RX is hidden from partitions.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a list of those that need more than yes")]
    pub(super) fn features(&self, caller: Caller, query: FeatureQuery, properties: u32) -> Outcome {
        let FeatureQuery::Function(func) = query else { return Err(FfaError::NotSupported) };
        let q = self.quirks();
        let is_el3 = q.info_regs.is_err() && q.arguments == Arguments::Whole;
        match func {
            FuncId::MemRetrieveReq32 | FuncId::MemRetrieveReq64 if caller.is_secure() => {
                if !is_el3 && properties & NS_BIT == 0 {
                    return Err(FfaError::InvalidParameters);
                }
                Ok(Answer::two_words(NS_BIT, 0).encode())
            }
            FuncId::MemRetrieveReq32 | FuncId::MemRetrieveReq64 if is_el3 => {
                Ok(Answer::two_words(NS_BIT, 0).encode())
            }
            _ if self.has(caller, func, is_el3) => Ok(success()),
            _ => Err(FfaError::NotSupported),
        }
    }

    fn has(&self, caller: Caller, func: FuncId, is_el3: bool) -> bool {
        let q = self.quirks();
        let is = |those: &[FuncId]| those.contains(&func);
        if is(&[FuncId::MemLend32, FuncId::MemLend64]) {
            return q.lend.is_ok() && !caller.is_secure();
        }
        if is(&[FuncId::MemDonate32, FuncId::MemDonate64]) {
            // Hafnium's list is the same for every caller (v2.12, api_ffa_features).
            return q.donate.is_ok();
        }
        if is(&[FuncId::DirectReq2, FuncId::DirectResp2]) {
            return q.direct2.is_ok();
        }
        if is(&[FuncId::MsgSend2]) {
            return q.indirect.is_ok();
        }
        if is(&[FuncId::PartitionInfoGetRegs]) {
            return q.info_regs.is_ok();
        }
        if is(&[
            FuncId::NotificationBitmapCreate,
            FuncId::NotificationBind,
            FuncId::NotificationSet,
            FuncId::NotificationGet,
            FuncId::NotificationInfoGet64,
        ]) {
            return match q.notifying {
                Notifying::Nobody => false,
                Notifying::VmsOnly => !caller.is_secure(),
                Notifying::Everybody => true,
            };
        }
        if is(&[FuncId::MemFragRx]) {
            return caller.is_secure() != is_el3;
        }
        if is(&[FuncId::MemShare32, FuncId::MemShare64, FuncId::MemReclaim]) {
            return !caller.is_secure();
        }
        if is(&[FuncId::MemRelinquish, FuncId::MsgWait, FuncId::SecondaryEpRegister64]) {
            return caller.is_secure();
        }
        is(&[
            FuncId::Error,
            FuncId::Success32,
            FuncId::Version,
            FuncId::Features,
            FuncId::IdGet,
            FuncId::SpmIdGet,
            FuncId::RxRelease,
            FuncId::RxTxMap64,
            FuncId::RxTxUnmap,
            FuncId::PartitionInfoGet,
            FuncId::DirectReq32,
            FuncId::DirectReq64,
            FuncId::MemFragTx,
            FuncId::Run,
        ])
    }

    fn listed(&self, uuid: Uuid) -> Vec<PartitionInfo> {
        let all = self.partitions.iter().map(|partition| partition.info);
        all.filter(|info| uuid.is_nil() || info.uuid == uuid).collect()
    }

    pub(super) fn partition_info(&mut self, caller: Caller, uuid: Uuid, form: InfoForm) -> Outcome {
        let found = self.listed(uuid);
        let count = u32::try_from(found.len()).unwrap_or(0);
        if count == 0 {
            return Err(FfaError::InvalidParameters);
        }
        if form == InfoForm::CountOnly {
            return Ok(Answer::two_words(count, 0).encode());
        }
        let version = self.version_of(caller);
        let (stride, stale) = (self.quirks().info_stride, self.quirks().stale_uuid);
        let is_short = version == Version::V1_0;
        let stride = if is_short { 8 } else { stride };
        let mut bytes = vec![0; stride * found.len()];
        for (info, room) in found.iter().zip(bytes.chunks_exact_mut(stride)) {
            // Where a UUID was asked for the field is not the partition's: zero, or stale.
            let field = match (uuid.is_nil(), stale) {
                (true, _) => info.uuid,
                (false, Some(byte)) => Uuid::from_bytes([byte; 16]),
                (false, None) => Uuid::NIL,
            };
            PartitionInfo { uuid: field, ..*info }.write(version, room)?;
        }
        let machine = self.machine.clone();
        let mailbox = self.mailbox(caller)?;
        if mailbox.bytes().is_none() || mailbox.is_full() {
            return Err(FfaError::Busy);
        }
        mailbox.fill_rx(machine.ram(), &bytes)?;
        let size = if is_short { 0 } else { u32::try_from(stride).unwrap_or(0) };
        Ok(Answer::two_words(count, size).encode())
    }

    /// The calls that are rare enough to have a decoder of their own; `None` for any other.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others have a decoder of their own")]
    pub(super) fn rare(&mut self, caller: Caller, regs: &Regs) -> Option<Outcome> {
        let func = regs.func()?;
        let verdict = match func {
            FuncId::PartitionInfoGetRegs => self.quirks().info_regs,
            FuncId::MsgSend2 => self.quirks().indirect,
            _ => return None,
        };
        let decoded = verdict.and_then(|()| {
            RareCall::decode(regs, Version::V1_3).map_err(|refusal| refusal.status())
        });
        Some(decoded.and_then(|call| match call {
            RareCall::PartitionInfoGetRegs { uuid, start, .. } => self.info_regs(uuid, start),
            RareCall::MsgSend2 { sender, .. } => self.indirect(caller, sender),
            RareCall::Abort { .. } => Err(FfaError::NotSupported),
        }))
    }

    /// Source: DEN0077A 1.2, FFA_PARTITION_INFO_GET_REGS; as many descriptors as x3-x17 hold: five.
    fn info_regs(&self, uuid: Uuid, start: u16) -> Outcome {
        let found = self.listed(uuid);
        let last = u16::try_from(found.len()).ok().and_then(|count| count.checked_sub(1));
        let last = last.ok_or(FfaError::InvalidParameters)?;
        let here: Vec<_> = found.iter().skip(usize::from(start)).take(5).collect();
        let count = u16::try_from(here.len()).unwrap_or(0);
        if count == 0 {
            return Err(FfaError::InvalidParameters);
        }
        let current = start + count - 1;
        let mut args = [0; 16];
        args[0] = u64::from(last) | (u64::from(current) << 16) | (24 << 48);
        for (info, room) in here.iter().zip(args[1..].chunks_exact_mut(3)) {
            let mut bytes = [0; 24];
            let field = if uuid.is_nil() { info.uuid } else { Uuid::NIL };
            PartitionInfo { uuid: field, ..**info }.write(Version::V1_1, &mut bytes)?;
            for (register, word) in room.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *register = u64::from_le_bytes(*word);
            }
        }
        Ok(Answer::Success(Success::double_words(args)).encode())
    }
}
