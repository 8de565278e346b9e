/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_HEAP_RUN_H
#define FUZZ_HEAP_RUN_H

/*
 * Reads the fuzzer's bytes as a program of calls to any heap and runs it: what the blocks hold is compared with what was
 * written to them, and the heap's books with those of the run. A difference is a trap.
 */

#include "tarn/heap.h"

#include <stddef.h>
#include <stdint.h>

/* Runs the program and frees every block that is left. Requests are of at most `largest` bytes. */
void heap_run(tarn_heap *heap, const uint8_t *data, size_t size, size_t largest);

#endif
