/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_LOCK_H
#define TARN_HEAP_LOCK_H

/*
 * The os_lock inside a heap's public struct, which shows it as a plain word because atomics are no
 * part of C++. Nothing else touches the word.
 */

#include "os/os.h"

/* NOLINTNEXTLINE(misc-redundant-expression): both sides are equal, which is what is asserted */
_Static_assert(sizeof(os_lock) == sizeof(uint32_t) && _Alignof(os_lock) == _Alignof(uint32_t),
               "a word of a public struct holds an os_lock");

static inline os_lock *heap_lock_of(uint32_t *word)
{
    return (os_lock *)(void *)word;
}

static inline void heap_lock_init(uint32_t *word)
{
    atomic_init(&heap_lock_of(word)->state, 0);
}

static inline void heap_lock_take(uint32_t *word)
{
    os_lock_take(heap_lock_of(word));
}

static inline void heap_lock_release(uint32_t *word)
{
    os_lock_release(heap_lock_of(word));
}

#endif
