//! Owns a policy that lets tests do everything a policy can allow; never a model for a product's.

use crate::layout::{self, HYPERVISOR};
use causeway_abi::Permission;
use causeway_ffa::EndpointId;
use causeway_memshare::Policy;
use causeway_memshare::policy::{Link, PairRule, Quota};

/// Every VM may share and lend to every other and to the partition alone, read-write, as far as the
/// partition's tables go; VM 1 sees device 0 of VM 2 as its device 0; the RAM windows are exactly the
/// VMs' RAM. At most five VMs: the policy's table of pairs holds no more.
///
/// # Panics
/// With more VMs than a policy can name.
#[must_use]
pub fn standard_policy(vm_count: u16, vm_pages: u32) -> Policy {
    let mut policy = Policy::new().with_hypervisor(HYPERVISOR).with_unmap_deadline_ms(100);
    let vms = || (1..=vm_count).map(EndpointId::from_raw);
    for vm in vms() {
        policy.add_vm(vm).expect("room for the VM");
        policy.add_window(layout::vm_ram(vm.get(), vm_pages)).expect("room for its RAM");
    }
    let pair = |owner, peer| PairRule {
        owner,
        peer,
        share: true,
        lend: true,
        donate: peer.is_none(),
        widest: Permission::ReadWrite,
        max_area_pages: vm_pages,
        quota: Quota { grants: 24, pages: vm_pages, ranges: 128 },
    };
    for owner in vms() {
        let peers = vms().filter(|peer| *peer != owner).map(Some).chain([None]);
        for peer in peers {
            policy.add_pair(pair(owner, peer)).expect("room for the pair");
        }
    }
    let (driver, backend) = (EndpointId::from_raw(1), EndpointId::from_raw(2));
    if vm_count >= 2 {
        let link = Link { driver, backend: Some(backend), backend_device: 0, driver_device: 0 };
        policy.add_link(link).expect("room for the link");
    }
    policy
}
