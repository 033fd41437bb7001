//! Owns the start of each core, up to its first FFA_MSG_WAIT; never serves a call.

use crate::arch::mailbox::Mailbox;
use crate::arch::{entry, gic, lines, regs, uart, vectors};
use crate::boot::BootBlob;
use crate::console::log;
use crate::core_id::CoreId;
use crate::partition::{self, Smc, Started};
use crate::{cores, crash, ids, memory_map, serve};
use causeway_service::spmc;
use core::panic::PanicInfo;

/// The first core, on its own stack, with the initial table.
pub(crate) extern "C" fn main_core(boot_info: u64, core: usize) -> ! {
    let core = core_named(core);
    regs::trap_floating_point();
    vectors::install(core);
    bring_up(boot_info, core);
    serve::serve(core)
}

/// Everything that is done once. A function of its own, so that its large frame is gone before the
/// first call is served.
#[inline(never)]
fn bring_up(boot_info: u64, core: CoreId) {
    uart::init();
    cores::tell_present(entry::count_redistributors());
    cores::seen(core);
    entry::on_free_ram(partition::build);
    let blob = BootBlob::read(boot_info);
    let tables = match memory_map::build() {
        Ok(tables) => tables,
        Err(refusal) => panic!("own tables: {refusal:?}"),
    };
    tables.mark_live();
    entry::publish_and_enter_tables(tables.root());
    log!("causeway-sp {} core={}", env!("CARGO_PKG_VERSION"), core.get());
    if let Err(error) = spmc::negotiate(&mut Smc) {
        panic!("FF-A 1.1 is not spoken: {error:?}");
    }
    let ids = match spmc::learn_ids(&mut Smc) {
        Ok(ids) => ids,
        Err(error) => panic!("no id: {error:?}"),
    };
    let Some(mailbox) = Mailbox::claim() else { panic!("RX and TX are taken") };
    let (tx, rx) = mailbox.addresses();
    if let Err(error) = spmc::map_mailbox(&mut Smc, tx, rx) {
        panic!("RX/TX: {error:?}");
    }
    ids::keep(ids);
    let entry = entry::secondary_entry_address();
    if let Err(error) = spmc::register_secondary_entry(&mut Smc, entry) {
        panic!("secondary entry: {error:?}");
    }
    gic::init();
    lines::init();
    gic::core_comes(core);
    let policy = blob.policy();
    let started = partition::with(|partition| {
        partition.platform_mut().start(Started { tables, mailbox });
        partition.start(ids.own, &policy);
    });
    if started.is_err() {
        panic!("crashed before the start");
    }
    let (all, [queue, area, device]) = partition::ram();
    log!(
        "RAM profile={} partition={all} {}={} {}={} {}={}",
        causeway_service::PROFILE,
        queue.0,
        queue.1,
        area.0,
        area.1,
        device.0,
        device.1
    );
    log!("ready id={}", ids.own);
}

/// A core that PSCI CPU_ON started, on its own stack, with the initial table.
pub(crate) extern "C" fn secondary_core(core: usize) -> ! {
    let core = core_named(core);
    regs::trap_floating_point();
    vectors::install(core);
    entry::enter_published_tables();
    gic::core_comes(core);
    cores::seen(core);
    serve::serve(core)
}

fn core_named(core: usize) -> CoreId {
    let Some(core) = CoreId::new(core) else { panic!("core {core} is beyond the platform") };
    core
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crash::on_panic(info)
}
