/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "unit/space_twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "unit/tools.h"

/*
 * Random programs against the naive twin: map, share, unmap, protect, fork, images, reads, writes, stores by pointers,
 * windows. Half of them have too few frames.
 */

enum { PROGRAM = 2000 };

static uint64_t seed;

static void tell(const char *what, unsigned step)
{
    fail_msg("TARN_SEED=%llu, step %u: %s", (unsigned long long)seed, step, what);
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void run(size_t frames)
{
    static uint8_t bytes[PROGRAM];
    const char *wanted = getenv("TARN_SEED");
    const unsigned programs = wanted != NULL ? 1 : IS_UNDER_NO_TOOL ? 60 : 8;
    seed = wanted != NULL ? strtoull(wanted, NULL, 10) : (uint64_t)time(NULL) << 20 | 1;
    for (unsigned i = 0; i < programs; i++) {
        uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)(draw(&state) >> 33);
        }
        space_twin_run(bytes, sizeof bytes, frames, tell);
        seed++;
    }
}

static void spaces_do_what_the_naive_twin_does(void **state)
{
    (void)state;
    run(1000);
}

static void spaces_do_so_also_when_frames_are_scarce(void **state)
{
    (void)state;
    run(40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spaces_do_what_the_naive_twin_does),
        cmocka_unit_test(spaces_do_so_also_when_frames_are_scarce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
