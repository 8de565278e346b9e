/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_MAP_H
#define TARN_CLI_REPLAY_MAP_H

/*
 * Memory for those who play: none of it may come from the malloc that is measured.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

/* Zeroed memory; `is_touched` brings its pages in at once, so that they are there before
 * anything is measured. A size of 0 is served as 1. NULL if there is none. */
static inline void *replay_map(size_t size, bool is_touched)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (is_touched ? MAP_POPULATE : MAP_NORESERVE);
    void *memory = mmap(NULL, size != 0 ? size : 1, PROT_READ | PROT_WRITE, flags, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

static inline void replay_unmap(void *memory, size_t size)
{
    munmap(memory, size != 0 ? size : 1);
}

#endif
