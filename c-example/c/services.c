/*
 * A virtual machine's use of the security services and of a secure device's interrupts, in C over
 * causeway.h: what an RTOS would do at its start. No library below it, not even libc.
 */
#include "services.h"

/* How often it looks for what takes a while; each look rests. */
#define PATIENCE 5000
#define TICKS 3

/* RFC 4231, test case 2. HMAC fills its key with zeros, so these 32 bytes are the key "Jefe". */
static const uint8_t KEY[CAUSEWAY_KEY_BYTES] = {'J', 'e', 'f', 'e'};
static const char TEXT[] = "what do ya want for nothing?";
/* 5bdcc146 bf60754e 6a042426 089575c7 5a003f08 9d273983 9dec58b9 64ec3843, in memory order. */
static const uint64_t MAC[4] = {UINT64_C(0x4e7560bf46c1dc5b), UINT64_C(0xc77595082624046a),
                                UINT64_C(0x8339279d083f005a), UINT64_C(0x4338ec64b958ec9d)};

/* One call: the status of the answer, which takes the frame's place. */
static uint16_t ask(const struct vm *vm, struct causeway_frame *frame)
{
    uint8_t call = (uint8_t)frame->word[0];
    struct causeway_regs regs = causeway_ffa_request(vm->id, vm->partition, frame);

    vm->call(&regs);
    if (causeway_ffa_answer(&regs, vm->id, vm->partition, frame) != 0) {
        return CAUSEWAY_NO_ANSWER;
    }
    return causeway_status_of(frame, call);
}

static int did(const struct vm *vm, struct causeway_frame *frame)
{
    return ask(vm, frame) == CAUSEWAY_STATUS_OK;
}

static void put(const struct vm *vm, uint32_t at, const void *bytes, uint32_t length)
{
    const uint8_t *from = bytes;
    uint32_t n;

    for (n = 0; n < length; n++) {
        vm->area[at + n] = from[n];
    }
}

/* Every service is there, and the flash may be written. */
static int ready(const struct vm *vm)
{
    const uint64_t all = CAUSEWAY_SERVICE_ENTROPY | CAUSEWAY_SERVICE_COUNTERS |
                         CAUSEWAY_SERVICE_KEYS | CAUSEWAY_SERVICE_WATCHDOG |
                         CAUSEWAY_SERVICE_FLASH_READY;
    int times;

    for (times = 0; times < PATIENCE; times++) {
        struct causeway_frame frame = causeway_call_vault_state();

        if (did(vm, &frame) && (causeway_vault_state_services(&frame) & all) == all) {
            return 1;
        }
        vm->rest();
    }
    return 0;
}

static int entropy(const struct vm *vm)
{
    struct causeway_frame one = causeway_call_entropy(CAUSEWAY_ENTROPY_MAX_BYTES);
    struct causeway_frame two = causeway_call_entropy(CAUSEWAY_ENTROPY_MAX_BYTES);

    return did(vm, &one) && did(vm, &two) &&
           causeway_entropy_count(&one) == CAUSEWAY_ENTROPY_MAX_BYTES &&
           causeway_entropy_first(&one) != causeway_entropy_first(&two);
}

static int counter(const struct vm *vm)
{
    struct causeway_frame before = causeway_call_counter_read(3);
    struct causeway_frame up = causeway_call_counter_increment(3);
    struct causeway_frame after = causeway_call_counter_read(3);
    uint64_t value;

    if (!did(vm, &before) || !did(vm, &up) || !did(vm, &after)) {
        return 0;
    }
    value = causeway_counter_read_value(&before) + 1;
    return causeway_counter_increment_value(&up) == value &&
           causeway_counter_read_value(&after) == value;
}

/* Seals a key that it knows, has a message proven, and deletes the key. */
static int key(const struct vm *vm)
{
    const uint8_t slot = 6;
    struct causeway_frame import =
        causeway_call_key_import(vm->handle, slot, CAUSEWAY_PURPOSE_MAC, 4096);
    struct causeway_frame mac =
        causeway_call_key_mac(vm->handle, slot, sizeof(TEXT) - 1, 0);
    struct causeway_frame gone = causeway_call_key_delete(slot);

    put(vm, 4096, KEY, sizeof(KEY));
    put(vm, 0, TEXT, sizeof(TEXT) - 1);
    return did(vm, &import) && did(vm, &mac) && did(vm, &gone) &&
           causeway_key_mac_first(&mac) == MAC[0] && causeway_key_mac_second(&mac) == MAC[1] &&
           causeway_key_mac_third(&mac) == MAC[2] && causeway_key_mac_fourth(&mac) == MAC[3];
}

/* Arms it for a minute, longer than this VM lives. */
static int watchdog(const struct vm *vm)
{
    struct causeway_frame start = causeway_call_watchdog_start(60000, 1000);
    struct causeway_frame ping = causeway_call_watchdog_ping();
    struct causeway_frame left = causeway_call_watchdog_left();

    return did(vm, &start) && did(vm, &ping) && did(vm, &left) &&
           causeway_watchdog_left_left_ms(&left) > 30000 &&
           causeway_watchdog_left_warned(&left) == 0;
}

/* Opens the timer, and fetches and completes its events until all have come. */
static int interrupt(const struct vm *vm)
{
    struct causeway_frame open = causeway_call_irq_unmask(vm->timer);
    struct causeway_frame arm = causeway_call_irq_arm(vm->timer, 1000, TICKS);
    uint32_t seen = 0;
    int times;

    if (!did(vm, &open) || !did(vm, &arm)) {
        return 0;
    }
    for (times = 0; times < PATIENCE && seen < TICKS; times++) {
        struct causeway_frame event = causeway_call_irq_fetch();
        struct causeway_frame done = causeway_call_irq_complete(vm->timer);
        uint16_t status = ask(vm, &event);

        if (status == CAUSEWAY_STATUS_NOTHING_WAITS) {
            vm->rest();
            continue;
        }
        if (status != CAUSEWAY_STATUS_OK || causeway_irq_fetch_source(&event) != vm->timer) {
            return 0;
        }
        seen += causeway_irq_fetch_count(&event);
        if (!did(vm, &done)) {
            return 0;
        }
    }
    return seen == TICKS;
}

/* Each wrong call has its own status. */
static int refusals(const struct vm *vm)
{
    struct causeway_frame counter = causeway_call_counter_read(200);
    struct causeway_frame empty = causeway_call_key_mac(vm->handle, 6, 1, 0);
    struct causeway_frame stop = causeway_call_watchdog_stop();
    struct causeway_frame bind = causeway_call_irq_bind(vm->timer, vm->id);
    struct causeway_frame much = causeway_call_entropy(CAUSEWAY_ENTROPY_MAX_BYTES + 1);

    return ask(vm, &counter) == CAUSEWAY_STATUS_NO_SUCH_NUMBER &&
           ask(vm, &empty) == CAUSEWAY_STATUS_SLOT_EMPTY &&
           ask(vm, &stop) == CAUSEWAY_STATUS_WATCHDOG_MAY_NOT_STOP &&
           ask(vm, &bind) == CAUSEWAY_STATUS_NOT_HYPERVISOR &&
           ask(vm, &much) == CAUSEWAY_STATUS_BAD_ARGUMENT;
}

uint32_t services_run(const struct vm *vm)
{
    uint32_t went = 0;

    went |= ready(vm) ? SERVICES_READY : 0;
    went |= entropy(vm) ? SERVICES_ENTROPY : 0;
    went |= counter(vm) ? SERVICES_COUNTER : 0;
    went |= key(vm) ? SERVICES_KEY : 0;
    went |= watchdog(vm) ? SERVICES_WATCHDOG : 0;
    went |= interrupt(vm) ? SERVICES_INTERRUPT : 0;
    went |= refusals(vm) ? SERVICES_REFUSALS : 0;
    return went;
}
