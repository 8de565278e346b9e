/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_RESIDENT_H
#define TARN_CLI_REPLAY_RESIDENT_H

/*
 * What the kernel counts against this process, beyond what it did when asked to begin. Allocates
 * nothing.
 */

#include <stdint.h>

/* Brings in the pages of all files that are mapped, so that code which runs for the first time
 * later does not count, and resets the kernel's mark of the most. */
void replay_resident_begin(void);

/* Bytes now, and at most since then. */
uint64_t replay_resident_now(void);
uint64_t replay_resident_peak(void);

/* Bytes of memory that can be had on this machine now without harm to what else runs: half of
 * what the kernel calls available. */
uint64_t replay_resident_bound(void);

#endif
