/* SPDX-License-Identifier: MIT */
#ifndef TARN_MALLOC_FAST_H
#define TARN_MALLOC_FAST_H

/*
 * The two paths that nearly every call takes, inlined into each name that libc has for them. Every
 * condition that fails here is looked at again, and named, by the slow functions.
 */

#include "malloc/core.h"

void *malloc_slow(size_t size);
void free_slow(void *block);
/* A span's mark was reached; the checks of free_fast have passed. */
void free_marked(malloc_span *span, void *block);

/* Loads that may be unaligned and alias anything. */
typedef uint16_t __attribute__((may_alias, aligned(1))) fast_half;
typedef uint32_t __attribute__((may_alias, aligned(1))) fast_tag;
typedef uint64_t __attribute__((may_alias)) fast_word;

/* Bits 16 to 47 of a slot's word are its tag: one comparison with memory where the byte order allows. */
static inline bool slot_has_tag(const void *slot, const malloc_span *span)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return *(const fast_tag *)((const unsigned char *)slot + TAG_SHIFT / 8) == span_tag(span);
#else
    return (uint32_t)(*(const fast_word *)slot >> TAG_SHIFT) == span_tag(span);
#endif
}

/* The lower half of the tag, which the last slot of a list bears too. */
static inline bool slot_is_suspect(const void *slot, const malloc_span *span)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return *(const fast_half *)((const unsigned char *)slot + TAG_SHIFT / 8) ==
           (uint16_t)span_tag(span);
#else
    return (uint16_t)(*(const fast_word *)slot >> TAG_SHIFT) == (uint16_t)span_tag(span);
#endif
}

/* The word with its offset replaced by that of `slot`. One instruction where registers have a lower half, which
 * compilers do not find by themselves. */
static inline uint64_t word_with_offset(uint64_t word, uintptr_t slot)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __asm__("movw %w1, %w0" : "+r"(word) : "r"(slot));
    return word;
#else
    return (word & ~(uint64_t)0xffff) | (slot & 0xffff);
#endif
}

static inline uintptr_t head_offset(const malloc_span *span)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return *(const fast_half *)&span->head;
#else
    return (uint16_t)span->head;
#endif
}

static inline void *malloc_fast(size_t size)
{
    if (base_likely(size <= TABLE_MAX)) {
        malloc_span *const span = thread_self.table[(size + 15) / 16];
        fast_word *const slot = (fast_word *)(span->base + head_offset(span));
        if (base_likely(slot_has_tag(slot, span))) {
            span_set_head(span, *slot);
            /* A fork may catch the thread anywhere: the list is whole at each store. */
            atomic_signal_fence(memory_order_release);
            /* A slot in use bears no tag, or freeing it would suspect a double free. */
            *slot = 0;
            return slot;
        }
    }
    return malloc_slow(size);
}

/* As span_is_slot, for a span of the calling thread, which alone changes its bound. */
static inline bool span_is_own_slot(const malloc_span *span, uintptr_t block)
{
    const uintptr_t offset = block - span->base;
    return offset < span->bound && (uint32_t)offset * span->inverse < span->residue;
}

static inline void free_fast(void *block)
{
    const uintptr_t address = (uintptr_t)block;
    malloc_span *const span = thread_self.own[(address >> UNIT_SHIFT) % OWN_COUNT];
    if (base_likely(span_is_own_slot(span, address) && !slot_is_suspect(block, span))) {
        const uint64_t head = span_head(span);
        uint64_t next;
        *(fast_word *)block = head;
        if (base_likely(
                !__builtin_sub_overflow(word_with_offset(head, address), span->step, &next))) {
            atomic_signal_fence(memory_order_release);
            span_set_head(span, next);
            return;
        }
        free_marked(span, block);
        return;
    }
    free_slow(block);
}

#endif
