/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "region/range.h"
#include "region/segregated.h"

/*
 * The proven bounds. Everything is in granules: n are live at most, a block has k <= m of them.
 *
 *     | gap | block |   gap   | block | gap |        a request for k is refused
 *
 * No block can be placed: no gap is of u or more, where u is k or, if a policy looks at less than
 * all partitions, somewhat more. At most n - k are live, in at most n - k blocks, with one gap more
 * than blocks. So a range of (n - k) + (n - k + 1)(u - 1) granules at most can refuse, and one of
 * (n - k + 1) u granules never does. docs/regions.md has the proof for buddies, too.
 */

enum { BUDDY_SHIFT = 6 }; /* bytes of its granule if the options name none, as a power of two */

/* (n - k + 1) u, or SIZE_MAX if that is no size. */
static size_t enough_for(size_t n, size_t k, size_t u)
{
    size_t granules;
    return base_checked_mul(n - k + 1, u, &granules) ? granules : SIZE_MAX;
}

static size_t larger(size_t one, size_t other)
{
    return one > other ? one : other;
}

/* Policies that serve a request whenever a partition is large enough. */
static size_t bound_of_fits(size_t n, size_t m)
{
    /* (n - k + 1) k grows up to the middle. */
    const size_t middle = n / 2 + n % 2;
    const size_t k = m < middle ? m : middle;
    return enough_for(n, k, k);
}

/* Segregated fit looks at the head of the request's own group only: partitions up to the next group
 * may be overlooked, unless the request is for the least of its group. */
static size_t bound_of_groups(size_t n, size_t m, unsigned steps_log2)
{
    const size_t steps = (size_t)1 << steps_log2;
    size_t granules = bound_of_fits(n, m);
    for (unsigned row = 1; steps << row <= m; row++) {
        const size_t step = (size_t)1 << row;
        for (size_t least = steps << row; least < steps << (row + 1) && least < m; least += step) {
            granules = larger(granules, enough_for(n, least + 1, least + step));
        }
    }
    return granules;
}

static size_t bound_of_segregated_fit(size_t n, size_t m)
{
    const size_t fine = bound_of_groups(n, m, region_steps_log2(INT32_MAX));
    if (fine > INT32_MAX || region_steps_log2((uint32_t)fine) == region_steps_log2(INT32_MAX)) {
        return fine;
    }
    /* The range is so small that it has fewer groups. */
    return bound_of_groups(n, m, region_steps_log2((uint32_t)fine));
}

/* For each order, how many of its places in the range have smaller blocks in them at worst, and
 * from that how many are not free at all. */
static uint64_t bound_of_buddies(uint64_t n, unsigned highest)
{
    uint64_t granules = n;
    uint64_t occupied = n; /* granules of the places of one order that are not free */
    for (unsigned order = 1; order <= highest; order++) {
        const uint64_t size = UINT64_C(1) << order;
        /* A new one is begun only when both halves of each other one are occupied. */
        uint64_t shared = ((occupied >> (order - 1)) + 1) / 2;
        shared = shared < n ? shared : n;
        occupied = (shared + ((n - shared) >> order)) << order;
        /* When a request of this order is refused. */
        const uint64_t others = n - size;
        shared = shared < others ? shared : others;
        const uint64_t enough = (shared + ((others - shared) >> order) + 1) << order;
        granules = enough > granules ? enough : granules;
    }
    return granules;
}

static size_t granules_of(size_t bytes, unsigned shift)
{
    return (bytes >> shift) + ((bytes & (((size_t)1 << shift) - 1)) != 0);
}

static size_t bytes_of(uint64_t granules, unsigned shift)
{
    return granules > SIZE_MAX >> shift ? SIZE_MAX : (size_t)granules << shift;
}

size_t tarn_region_bound(tarn_region_policy policy, size_t live, size_t largest)
{
    const unsigned shift = policy == TARN_BUDDY ? BUDDY_SHIFT : REGION_GRANULE_SHIFT;
    const size_t n = granules_of(live, shift);
    size_t m = granules_of(largest, shift);
    m = m < n ? m : n;
    if (m == 0) {
        return 0;
    }
    switch (policy) {
    case TARN_BEST_FIT:
    case TARN_FIRST_FIT:
    case TARN_NEXT_FIT:
    case TARN_WORST_FIT:
        return bytes_of(bound_of_fits(n, m), shift);
    case TARN_SEGREGATED_FIT:
        return bytes_of(bound_of_segregated_fit(n, m), shift);
    case TARN_BUDDY: {
        /* No more than `live` can be asked for, whatever a size is rounded up to. */
        const unsigned highest = base_log2_ceil(m);
        const bool is_live = (UINT64_C(1) << highest) <= n;
        return bytes_of(bound_of_buddies(n, is_live ? highest : highest - 1), shift);
    }
    case TARN_FIXED_PARTITIONS:
    case TARN_SINGLE:
        break;
    }
    return 0;
}
