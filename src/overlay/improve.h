/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_IMPROVE_H
#define TARN_OVERLAY_IMPROVE_H

#include "overlay/control.h"
#include "overlay/problem.h"

/*
 * Local search: betters a plan.
 */
typedef struct overlay_improve overlay_improve;

/* For a problem that has neighbours, and for one thread; NULL when upstream refuses. */
overlay_improve *overlay_improve_create(const overlay_problem *problem, overlay_memory *memory);

/*
 * Looks for a plan of the component of at most height `target`, from the one in `offsets`, for
 * about `steps` steps. True with that plan in `offsets`, or false with nothing of use in the
 * component's offsets.
 */
bool overlay_improve_run(overlay_improve *improve, const overlay_component *component,
                         int64_t target, uint64_t steps, uint64_t *random, overlay_control *control,
                         int64_t *offsets);

#endif
