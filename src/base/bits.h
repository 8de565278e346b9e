/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_BITS_H
#define TARN_BASE_BITS_H

/*
 * Arithmetic on addresses, sizes and bits. Every function takes constant time and has no state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool base_is_power_of_two(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

/* `alignment` is a power of two; the sum must not pass SIZE_MAX (base_checked_align_up() for what a
 * stranger says). */
static inline size_t base_align_up(size_t size, size_t alignment)
{
    return (size + (alignment - 1)) & ~(alignment - 1);
}

static inline size_t base_align_down(size_t size, size_t alignment)
{
    return size & ~(alignment - 1);
}

static inline bool base_is_aligned(const void *pointer, size_t alignment)
{
    return ((uintptr_t)pointer & (alignment - 1)) == 0;
}

/* The first multiple of `alignment` at or after `pointer`, as a pointer into the same object. */
static inline void *base_align_pointer(void *pointer, size_t alignment)
{
    const uintptr_t address = (uintptr_t)pointer;
    return (unsigned char *)pointer + (base_align_up(address, alignment) - address);
}

/* Index of the highest bit that is set; `number` is not 0. */
static inline unsigned base_log2_floor(uint64_t number)
{
    return 63U - (unsigned)__builtin_clzll(number);
}

/* The smallest power whose 2^power is at least `number`; `number` is not 0. */
static inline unsigned base_log2_ceil(uint64_t number)
{
    return number == 1 ? 0 : base_log2_floor(number - 1) + 1;
}

/* Index of the lowest bit that is set; `number` is not 0. */
static inline unsigned base_ctz(uint64_t number)
{
#if UINTPTR_MAX == UINT32_MAX
    /* Of 64 bits at once only the compiler's library knows. */
    const uint32_t low = (uint32_t)number;
    return low != 0 ? (unsigned)__builtin_ctz(low)
                    : 32U + (unsigned)__builtin_ctz((uint32_t)(number >> 32));
#else
    return (unsigned)__builtin_ctzll(number);
#endif
}

/* How many bits are set: of two, of four, of eight neighbours, then of all. Compilers know this form
 * where there is an instruction for it; where there is none, their builtin is a call. */
static inline unsigned base_popcount(uint64_t number)
{
    number -= number >> 1 & UINT64_C(0x5555555555555555);
    number = (number & UINT64_C(0x3333333333333333)) + (number >> 2 & UINT64_C(0x3333333333333333));
    number = (number + (number >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (unsigned)(number * UINT64_C(0x0101010101010101) >> 56);
}

/* True with the sum in `result`, or false when it does not fit. */
static inline bool base_checked_add(size_t a, size_t b, size_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

/* True with the product in `result`, or false when it does not fit. */
static inline bool base_checked_mul(size_t a, size_t b, size_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

/* True with the size rounded up in `result`, or false when that does not fit. */
static inline bool base_checked_align_up(size_t size, size_t alignment, size_t *result)
{
    if (!base_checked_add(size, alignment - 1, result)) {
        return false;
    }
    *result = base_align_down(*result, alignment);
    return true;
}

#endif
