/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_SPACE_TWIN_H
#define TARN_TESTS_SPACE_TWIN_H

/*
 * Spaces against a naive twin: a plain array from pages to their bytes, where a fork copies everything at once. Bytes are
 * the program: which calls, with what.
 */

#include <stddef.h>
#include <stdint.h>

/* Called with what does not hold; does not return. */
typedef void space_twin_failure(const char *what, unsigned step);

/* Runs the program with so many frames: few of them, and calls fail for want of frames. */
void space_twin_run(const uint8_t *bytes, size_t size, size_t frames, space_twin_failure *failure);

#endif
