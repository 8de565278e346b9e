/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_CONTROL_H
#define TARN_OVERLAY_CONTROL_H

#include "os/os.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * When to stop. Each thread has a control of its own, and all share a flag.
 */

/* How many steps lie between two looks at the clock: some 100 microseconds. */
enum { OVERLAY_STEPS_BETWEEN_LOOKS = 256 };

typedef struct overlay_control {
    atomic_bool *must_stop; /* shared: somebody has the answer, or all have to end */
    uint64_t deadline_us;   /* of os_clock_us(); UINT64_MAX: none */
    uint64_t step_limit;    /* UINT64_MAX: none */
    uint64_t steps;
    uint64_t next_look;
    /* Called with each look by the thread that has one; sets the flag to stop. */
    void (*look)(void *context);
    void *context;
    bool is_over; /* remains so */
} overlay_control;

bool overlay_look(overlay_control *control);

/* Counts steps. True if it is time to stop. */
static inline bool overlay_step(overlay_control *control, uint64_t steps)
{
    control->steps += steps;
    return control->steps >= control->next_look && overlay_look(control);
}

#endif
