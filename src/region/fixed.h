/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_FIXED_H
#define TARN_REGION_FIXED_H

#include "tarn/region.h"

#include <stdint.h>

/* How many of the fixed partitions that `options` asks for fit into so many granules. Linear in the
 * sizes listed. */
uint32_t region_fixed_count(const tarn_region_options *options, uint32_t granules);

#endif
