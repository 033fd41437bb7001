/*
 * Owns what the hypervisor finds below and around it: the way to the SPMC, the partition's interrupt,
 * a clock, its memory. Here a fake SPMC in the same process gives it (src/main.rs); on a machine this
 * is an SMC, a handler, a timer and a pointer. Never decides anything.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include "causeway.h"

#include <stddef.h>

struct platform {
    void *context;
    /* The hypervisor's TX page: its address, below 2^48. */
    uint64_t tx_address;
    /* Its RX page. */
    uint64_t rx_address;
    /* The RAM of VM 1. */
    uint64_t vm_address;
    /* The partition's FF-A id. */
    uint16_t partition;
    /* Makes a call at EL3; the answer takes the place of the arguments. */
    void (*call)(void *context, struct causeway_regs *regs);
    /* Whether the partition raised its interrupt since the last look. */
    int (*take_bell)(void *context);
    /* Lets time pass. */
    void (*pass)(void *context, uint64_t milliseconds);
    /* Writes to TX. 0, or not 0 if the bytes do not lie in it. */
    int (*write_tx)(void *context, const uint8_t *bytes, size_t length);
    /* Prints a line. */
    void (*say)(void *context, const char *line);
};

/* Packs an FFA_MEM_SHARE of one range for two borrowers, read-write, as FF-A 1.1 has it. Returns the
 * bytes used, 0 if `size` is too small. */
size_t share_pack(uint8_t *into, size_t size, uint16_t owner, const uint16_t borrowers[2],
                  uint64_t address, uint32_t page_count);

/* Goes through the example. 0 if all went as it should. */
int hypervisor_run(const struct platform *platform);

#endif /* PLATFORM_H */
