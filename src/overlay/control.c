/* SPDX-License-Identifier: MIT */
#include "overlay/control.h"

bool overlay_look(overlay_control *control)
{
    if (control->is_over) {
        return true;
    }
    if (control->look != NULL) {
        control->look(control->context);
    }
    control->is_over =
        atomic_load_explicit(control->must_stop, memory_order_relaxed) ||
        control->steps >= control->step_limit ||
        (control->deadline_us != UINT64_MAX && os_clock_us() >= control->deadline_us);
    control->next_look = control->steps + OVERLAY_STEPS_BETWEEN_LOOKS;
    if (control->next_look > control->step_limit) {
        control->next_look = control->step_limit;
    }
    return control->is_over;
}
