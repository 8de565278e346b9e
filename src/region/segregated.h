/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_SEGREGATED_H
#define TARN_REGION_SEGREGATED_H

#include <stdint.h>

/* Into how many steps, as a power of two, segregated fit cuts each power of two of sizes in a range of
 * so many granules. */
uint32_t region_steps_log2(uint32_t granules);

#endif
