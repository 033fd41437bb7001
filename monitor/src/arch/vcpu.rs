//! Owns a virtual processor's registers and the switch into it and back. Never decides when to run it.

use super::sysreg::{isb, read_sysreg, write_sysreg};
use causeway_monitor::layout::Processor;
use causeway_monitor::trap::Trap;
use core::arch::global_asm;

/// General registers, in the order in which `world.s` stores them.
#[repr(C)]
#[derive(Clone, Debug)]
struct Context {
    x: [u64; 31],
    elr: u64,
    spsr: u64,
}

/// Why `Vcpu::run` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A synchronous exception.
    Trap(Trap),
    /// A physical interrupt is pending.
    Interrupt,
    /// The VM caused an asynchronous abort.
    SystemError,
}

macro_rules! el1_registers {
    ($($field:ident = $name:literal;)+) => {
        /// The EL1 and EL0 registers that belong to a VM.
        #[derive(Clone, Debug)]
        struct El1 { $($field: u64,)+ }

        impl El1 {
            const fn new() -> Self {
                Self { $($field: 0,)+ }
            }

            fn save(&mut self) {
                $(self.$field = read_sysreg!($name);)+
            }

            fn load(&self) {
                // While EL2 runs, EL1's registers influence nothing but speculation.
                $(write_sysreg!($name, self.$field);)+
                isb();
            }
        }
    };
}

el1_registers! {
    sctlr = "sctlr_el1";
    ttbr0 = "ttbr0_el1";
    ttbr1 = "ttbr1_el1";
    tcr = "tcr_el1";
    mair = "mair_el1";
    amair = "amair_el1";
    vbar = "vbar_el1";
    cpacr = "cpacr_el1";
    sp_el1 = "sp_el1";
    sp_el0 = "sp_el0";
    elr = "elr_el1";
    spsr = "spsr_el1";
    esr = "esr_el1";
    far = "far_el1";
    afsr0 = "afsr0_el1";
    afsr1 = "afsr1_el1";
    par = "par_el1";
    tpidr = "tpidr_el1";
    tpidr_el0 = "tpidr_el0";
    tpidrro = "tpidrro_el0";
    cntkctl = "cntkctl_el1";
    contextidr = "contextidr_el1";
    csselr = "csselr_el1";
    cntv_ctl = "cntv_ctl_el0";
    cntv_cval = "cntv_cval_el0";
}

/// A virtual processor.
#[derive(Clone, Debug)]
pub(crate) struct Vcpu {
    context: Context,
    el1: El1,
    starts: u64,
}

/// SPSR: EL1h, everything masked.
const SPSR_EL1H_MASKED: u64 = 0x3c5;
/// SCTLR_EL1 with only its RES1 bits: MMU and caches off.
const SCTLR_OFF: u64 = 0x30d0_0800;

impl Vcpu {
    /// A processor that has not been started.
    pub(crate) const fn new() -> Self {
        Self { context: Context { x: [0; 31], elr: 0, spsr: 0 }, el1: El1::new(), starts: 0 }
    }

    /// Puts the processor at the entry of an image, in the state that docs/monitor.md promises.
    pub(crate) fn reset(&mut self, entry: u64, argument: u64) {
        *self = Self { starts: self.starts + 1, ..Self::new() };
        self.context.x[0] = argument;
        self.context.elr = entry;
        self.context.spsr = SPSR_EL1H_MASKED;
        self.el1.sctlr = SCTLR_OFF;
    }

    /// Returns how often the processor was put at an entry.
    pub(crate) fn starts(&self) -> u64 {
        self.starts
    }

    /// Makes this processor's EL1 registers and its VM's stage 2 the ones of this core.
    pub(crate) fn load(&self, processor: Processor, stage2_root: u64) {
        // The VMID is the VM's id, which is unique while the VM lives.
        let vmid = u64::from(processor.vm.id().get());
        write_sysreg!("vttbr_el2", stage2_root | vmid << 48);
        // Bit 31 is RES1.
        write_sysreg!("vmpidr_el2", 1 << 31 | processor.number as u64);
        self.el1.load();
    }

    /// Takes the EL1 registers off this core, before another is loaded.
    pub(crate) fn save(&mut self) {
        self.el1.save();
    }

    /// Runs the loaded processor until it stops.
    pub(crate) fn run(&mut self) -> Exit {
        // SAFETY: `context` is valid and exclusively borrowed for the whole run; the assembly
        // follows the C calling convention and touches nothing else of the monitor's. What the VM
        // does in between is bounded by stage 2, which maps no memory of the monitor.
        let kind = unsafe { world_run(&raw mut self.context) };
        match kind {
            0 => {
                let (esr, far) = (read_sysreg!("esr_el2"), read_sysreg!("far_el2"));
                Exit::Trap(Trap::decode(esr, far, read_sysreg!("hpfar_el2")))
            }
            3 => Exit::SystemError,
            _ => Exit::Interrupt,
        }
    }

    /// Returns x0-x7.
    pub(crate) fn arguments(&self) -> [u64; 8] {
        let mut out = [0; 8];
        out.copy_from_slice(&self.context.x[..8]);
        out
    }

    /// Sets x0-x7. SMCCC lets x8-x17 change too; they keep what the VM put there.
    pub(crate) fn answer(&mut self, regs: &[u64; 8]) {
        self.context.x[..8].copy_from_slice(regs);
    }

    /// Steps over the instruction that trapped.
    pub(crate) fn skip_instruction(&mut self) {
        self.context.elr = self.context.elr.wrapping_add(4);
    }

    /// Takes an "undefined instruction" exception to the VM's own EL1. The VM must be loaded.
    pub(crate) fn inject_undefined(&mut self) {
        /// Vector offsets for an exception from EL1 with SP_EL0, with SP_EL1, and from EL0.
        const OFFSETS: [u64; 3] = [0x0, 0x200, 0x400];
        let mode = self.context.spsr & 0xf;
        let offset = OFFSETS[match mode {
            0b0101 => 1,
            0b0100 => 0,
            _ => 2,
        }];
        write_sysreg!("elr_el1", self.context.elr);
        write_sysreg!("spsr_el1", self.context.spsr);
        // Class 0 (unknown reason), 32-bit instruction.
        write_sysreg!("esr_el1", 1 << 25);
        isb();
        self.context.elr = read_sysreg!("vbar_el1").wrapping_add(offset);
        self.context.spsr = SPSR_EL1H_MASKED;
    }
}

/// HCR_EL2: VM, SWIO, FMO, IMO, AMO, FB, BSU = inner shareable, TWI, TSC, TIDCP, TACR, TSW, RW, TLOR,
/// TERR. What a VM could leave behind in a register that is not saved, traps.
const HCR: u64 = 1
    | 0b11_1010
    | 1 << 9
    | 1 << 10
    | 1 << 13
    | 1 << 19
    | 1 << 20
    | 1 << 21
    | 1 << 22
    | 1 << 31
    | 1 << 35
    | 1 << 36;
/// HCR_EL2.VI: a virtual interrupt is pending for the VM that runs.
const HCR_VI: u64 = 1 << 7;

/// What the VM that runs next on this core sees of its interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VirtualIrq {
    /// Raised: the VM takes it as soon as it lets interrupts through.
    Pending,
    /// Low.
    None,
}

/// Sets this core's virtual interrupt line.
pub(crate) fn show_interrupt(line: VirtualIrq) {
    let bit = match line {
        VirtualIrq::Pending => HCR_VI,
        VirtualIrq::None => 0,
    };
    write_sysreg!("hcr_el2", HCR | bit);
    isb();
}

/// Sets up what every VM has in common on this core.
pub(crate) fn init_core() {
    write_sysreg!("hcr_el2", HCR);
    // 39-bit guest-physical addresses, walk from level 1, write-back inner-shareable walks, 40-bit
    // output, 8-bit VMID; bit 31 is RES1.
    let vtcr = 25 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 2 << 16 | 1 << 31;
    write_sysreg!("vtcr_el2", vtcr);
    // RES1 bits (which trap SVE and SME where they exist), TFP: softfloat guests have no FP; TTA
    // and TAM: trace and activity monitors.
    write_sysreg!("cptr_el2", 0x33ff | 1 << 10 | 1 << 20 | 1 << 30);
    // TPMCR, TPM, TDE, TDA, TDOSA, TDRA, TPMS, TTRF: debug, performance monitors, profiling and
    // trace filters trap; HPMN keeps its reset value.
    let mdcr = read_sysreg!("mdcr_el2") & 0x1f;
    write_sysreg!("mdcr_el2", mdcr | 0b1111_0110_0000 | 1 << 14 | 1 << 19);
    // VMs may read the physical counter; the physical timer traps.
    write_sysreg!("cnthctl_el2", 1);
    write_sysreg!("cntvoff_el2", 0);
    write_sysreg!("vpidr_el2", read_sysreg!("midr_el1"));
    write_sysreg!("vttbr_el2", 0);
    isb();
    super::sysreg::tlbi_all_guests();
}

/// Makes this core use the monitor's exception vectors.
pub(crate) fn set_vectors() {
    unsafe extern "C" {
        safe static monitor_vectors: [u8; 0];
    }
    write_sysreg!("vbar_el2", monitor_vectors.as_ptr() as u64);
    isb();
}

unsafe extern "C" {
    /// Enters the VM and returns the kind of exception that ended it (0 sync, 1 IRQ, 2 FIQ, 3 SError).
    fn world_run(context: *mut Context) -> u64;
}

#[unsafe(no_mangle)]
extern "C" fn monitor_fault(kind: u64) -> ! {
    panic!(
        "exception at EL2: kind={kind} esr={:#x} elr={:#x} far={:#x}",
        read_sysreg!("esr_el2"),
        read_sysreg!("elr_el2"),
        read_sysreg!("far_el2")
    );
}

global_asm!(include_str!("world.s"));
