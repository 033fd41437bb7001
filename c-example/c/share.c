/*
 * Owns the bytes of a memory transaction (DEN0077A 1.1, tables 10.16, 10.20, 10.21, 10.22). Never
 * sends one.
 */
#include "platform.h"

#include <string.h>

/* Offsets and lengths of the parts. */
enum {
    HEADER = 48,
    ACCESS = 16,
    COMPOSITE = HEADER + 2 * ACCESS,
    RANGE = COMPOSITE + 16,
    END = RANGE + 16
};

/* Normal memory, write-back, inner shareable. */
#define ATTRIBUTES 0x2f
/* Read-write; whether code may run there is not for a share to say. */
#define READ_WRITE 2

static void put(uint8_t *at, uint64_t value, int bytes)
{
    int n;

    for (n = 0; n < bytes; n++) {
        at[n] = (uint8_t)(value >> (8 * n));
    }
}

size_t share_pack(uint8_t *into, size_t size, uint16_t owner, const uint16_t borrowers[2],
                  uint64_t address, uint32_t page_count)
{
    int n;

    if (size < END) {
        return 0;
    }
    memset(into, 0, END);
    put(into, owner, 2);
    put(into + 2, ATTRIBUTES, 2);
    put(into + 24, ACCESS, 4);
    put(into + 28, 2, 4);
    put(into + 32, HEADER, 4);
    for (n = 0; n < 2; n++) {
        uint8_t *access = into + HEADER + n * ACCESS;

        put(access, borrowers[n], 2);
        put(access + 2, READ_WRITE, 1);
        put(access + 4, COMPOSITE, 4);
    }
    put(into + COMPOSITE, page_count, 4);
    put(into + COMPOSITE + 4, 1, 4);
    put(into + RANGE, address, 8);
    put(into + RANGE + 8, page_count, 4);
    return END;
}
