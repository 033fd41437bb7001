/*
 * Owns what the virtual machine of services.c finds around it: its call, its local area, its wait. On
 * any RTOS these are an HVC, two pages and a WFI. Never decides anything.
 */
#ifndef SERVICES_H
#define SERVICES_H

#include "causeway.h"

struct vm {
    /* The VM's FF-A id, and the partition's. */
    uint16_t id;
    uint16_t partition;
    /* A local area of two pages: its handle, and where it lies. */
    uint64_t handle;
    volatile uint8_t *area;
    /* A source of interrupts that can tick and is the VM's. */
    uint16_t timer;
    /* HVC with x0-x17; the answer takes the place of the arguments. */
    void (*call)(struct causeway_regs *regs);
    /* WFI. */
    void (*rest)(void);
};

/* What went as it should, a bit for each. */
enum services_step {
    SERVICES_READY = 1 << 0,
    SERVICES_ENTROPY = 1 << 1,
    SERVICES_COUNTER = 1 << 2,
    SERVICES_KEY = 1 << 3,
    SERVICES_WATCHDOG = 1 << 4,
    SERVICES_INTERRUPT = 1 << 5,
    SERVICES_REFUSALS = 1 << 6
};

/* Goes through the example. Returns the steps that went as they should. */
uint32_t services_run(const struct vm *vm);

#endif /* SERVICES_H */
