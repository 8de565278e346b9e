/* SPDX-License-Identifier: MIT */
/*
 * Spaces against their naive twin: the first byte says how many frames there are, the rest is the program.
 */
#include "unit/space_twin.h"

#include <stdint.h>
#include <stdio.h>

static void trap(const char *what, unsigned step)
{
    fprintf(stderr, "step %u: %s\n", step, what);
    __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        space_twin_run(data + 1, size - 1, data[0] % 4 == 0 ? 1000 : 4 + data[0] / 4, trap);
    }
    return 0;
}
