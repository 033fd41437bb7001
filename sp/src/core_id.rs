//! Owns the names of physical cores; never decides what runs on them.

/// Cores that TF-A's qemu platform can have (PLATFORM_CORE_COUNT), whatever `-smp` says. The
/// manifest's `execution-ctx-count` is the same number.
pub(crate) const CORES: usize = 32;

/// Cores per cluster, log 2 (PLATFORM_CPU_PER_CLUSTER_SHIFT of TF-A's qemu platform; QEMU fills
/// clusters of 16 where it has a GICv3).
const CLUSTER_SHIFT: u32 = 4;

/// The linear number of a core, below [`CORES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoreId(usize);

impl CoreId {
    /// Accepts a linear core number.
    pub(crate) const fn new(linear: usize) -> Option<Self> {
        if linear < CORES { Some(Self(linear)) } else { None }
    }

    /// Reads the number out of MPIDR_EL1, as TF-A's `plat_qemu_calc_core_pos` does.
    pub(crate) fn from_mpidr(mpidr: u64) -> Option<Self> {
        let [aff0, aff1, ..] = mpidr.to_le_bytes();
        Self::new((usize::from(aff1) << CLUSTER_SHIFT) + usize::from(aff0))
    }

    /// Returns the linear number.
    pub(crate) const fn get(self) -> usize {
        self.0
    }

    /// Returns the value of ICC_ASGI1R_EL1 that raises SGI `intid` (0-15) on this core alone.
    /// Source: IHI0069, ICC_ASGI1R_EL1: INTID 27:24, Aff1 23:16, target list 15:0, range 47:44.
    #[cfg_attr(feature = "hafnium", expect(dead_code, reason = "Hafnium has the controller"))]
    pub(crate) fn sgi_register(self, intid: u8) -> u64 {
        let (aff1, list) = self.sgi_target();
        (u64::from(intid & 0xf) << 24) | (u64::from(aff1) << 16) | u64::from(list)
    }

    /// Returns Aff1 and the target list that name this core alone.
    #[cfg_attr(feature = "hafnium", expect(dead_code, reason = "Hafnium has the controller"))]
    pub(crate) const fn sgi_target(self) -> (u8, u16) {
        let aff0 = self.0 & ((1 << CLUSTER_SHIFT) - 1);
        ((self.0 >> CLUSTER_SHIFT) as u8, 1 << aff0)
    }

    /// Returns the affinity fields by which the interrupt controller knows this core.
    #[cfg_attr(feature = "hafnium", expect(dead_code, reason = "Hafnium has the controller"))]
    pub(crate) const fn mpidr(self) -> u64 {
        let aff0 = self.0 & ((1 << CLUSTER_SHIFT) - 1);
        ((self.0 >> CLUSTER_SHIFT) << 8 | aff0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_beyond_the_platform_has_no_name() {
        assert_eq!(CoreId::new(CORES), None);
        assert_eq!(CoreId::new(CORES - 1).map(CoreId::get), Some(31));
    }

    #[test]
    fn an_sgi_goes_to_one_core_of_the_right_cluster() {
        assert_eq!(CoreId::new(2).unwrap().sgi_register(5), 5 << 24 | 1 << 2);
        assert_eq!(CoreId::new(17).unwrap().sgi_register(7), 7 << 24 | 1 << 16 | 1 << 1);
        assert_eq!(CoreId::new(17).unwrap().mpidr(), 0x101);
        assert_eq!(CoreId::from_mpidr(CoreId::new(31).unwrap().mpidr()), CoreId::new(31));
    }
}
