/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_MEMORY_H
#define TARN_CLI_REPORT_MEMORY_H

/*
 * Arrays that grow. A report cannot do without them: no memory is the end of the process, said.
 */

#include <stddef.h>

/* `count` things of `size` bytes, zeroed. For free(). */
void *report_zeroed(size_t count, size_t size);

/* The array with room for `count` things; for free(). */
void *report_resized(void *array, size_t count, size_t size);

/* The array with room for one thing more than `count`; `*room` is how many it has room for.
 * Constant time on average. */
void *report_grown(void *array, size_t count, size_t *room, size_t size);

#endif
