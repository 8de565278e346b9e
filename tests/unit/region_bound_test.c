/* SPDX-License-Identifier: MIT */
#include "tarn/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "heap_model.h"
#include "region/range.h"
#include "region_tools.h"

/*
 * The proven bounds: a range of so many bytes never refuses, whatever is done to it, and for some
 * policies a smaller one can be made to.
 */

enum { GRANULE = 16, BUDDY_GRANULE = 64, BLOCKS = 4096 };

static tarn_region region;

/* So many granules, without memory. */
static void open_granules(tarn_region_policy policy, size_t granules)
{
    const tarn_region_options options = {
        .policy = policy, .books = TARN_BOOKS_OUTSIDE, .granule = GRANULE};
    assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, granules * GRANULE}, &options),
                     TARN_OK);
}

static size_t take(size_t granules)
{
    return tarn_region_alloc_offset(&region, granules * GRANULE, 1);
}

/* Blocks of one granule, each beside a hole that is one granule too small for `large`, with at most
 * `live` granules in use. Is `large` refused then? */
static bool is_refused_after_attack(tarn_region_policy policy, size_t granules, size_t live,
                                    size_t large)
{
    open_granules(policy, granules);
    bool is_refused = false;
    for (size_t used = 0; used + large < live && !is_refused; used++) {
        const size_t hole = take(large - 1);
        is_refused = take(1) == TARN_NO_OFFSET || hole == TARN_NO_OFFSET;
        if (hole != TARN_NO_OFFSET) {
            tarn_region_free_offset(&region, hole);
        }
    }
    is_refused = is_refused || take(large) == TARN_NO_OFFSET;
    tarn_region_deinit(&region);
    return is_refused;
}

static void the_bound_of_first_and_worst_fit_is_reached(void **state)
{
    (void)state;
    static const tarn_region_policy policies[] = {TARN_FIRST_FIT, TARN_WORST_FIT};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        for (size_t large = 2; large <= 30; large += 7) {
            for (size_t live = 2 * large; live <= 200; live += 31) {
                const size_t bound =
                    tarn_region_bound(policies[i], live * GRANULE, large * GRANULE) / GRANULE;
                assert_int_equal(bound, large * (live - large + 1));
                assert_false(is_refused_after_attack(policies[i], bound, live, large));
                assert_true(is_refused_after_attack(policies[i], bound - 1, live, large));
            }
        }
    }
}

/* A generator good enough for choices. */
static uint32_t draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (uint32_t)(*random >> 32);
}

/* Plays at random with at most `live` granules in use; returns how many requests were refused. The
 * mix changes all the time, so that the range is filled with small blocks and robbed of them. */
static size_t play(uint64_t seed, size_t granule, size_t live, size_t large, size_t steps)
{
    static size_t blocks[BLOCKS];
    static size_t needs[BLOCKS];
    uint64_t random = seed | 1;
    size_t count = 0;
    size_t used = 0;
    size_t refused = 0;
    for (size_t step = 0; step < steps; step++) {
        const uint32_t phase = draw(&random) % 8;
        const size_t most = 1 + draw(&random) % large;
        for (size_t i = draw(&random) % (2 * live); i > 0; i--) {
            if (draw(&random) % 8 < phase && count > 0) {
                const size_t at = draw(&random) % count;
                tarn_region_free_offset(&region, blocks[at]);
                used -= needs[at];
                count--;
                blocks[at] = blocks[count];
                needs[at] = needs[count];
                continue;
            }
            const size_t need = 1 + draw(&random) % most;
            size_t rounded = need;
            if (region.options.policy == TARN_BUDDY) {
                rounded = (size_t)1 << base_log2_ceil(need);
            }
            if (used + rounded > live || rounded > large || count == BLOCKS) {
                continue;
            }
            const size_t block = tarn_region_alloc_offset(&region, need * granule, 1);
            if (block == TARN_NO_OFFSET) {
                refused++;
                continue;
            }
            blocks[count] = block;
            needs[count] = rounded;
            used += rounded;
            count++;
        }
    }
    assert_balance(&region);
    return refused;
}

static void no_request_is_refused_in_a_range_of_the_bound(void **state)
{
    (void)state;
    static const tarn_region_policy policies[] = {
        TARN_BEST_FIT,  TARN_FIRST_FIT,      TARN_NEXT_FIT,
        TARN_WORST_FIT, TARN_SEGREGATED_FIT, TARN_BUDDY,
    };
    static const struct {
        size_t live;
        size_t large;
    } games[] = {{3, 2}, {8, 4}, {20, 8}, {64, 3}, {100, 64}, {512, 100}, {1000, 512}};
    const uint64_t seed = heap_model_seed();
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        const size_t granule = policies[i] == TARN_BUDDY ? BUDDY_GRANULE : GRANULE;
        for (size_t game = 0; game < sizeof games / sizeof games[0]; game++) {
            const size_t live = games[game].live;
            const size_t large = games[game].large;
            const size_t bytes = tarn_region_bound(policies[i], live * granule, large * granule);
            const tarn_region_options options = {
                .policy = policies[i], .books = TARN_BOOKS_OUTSIDE, .granule = granule};
            assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, bytes}, &options),
                             TARN_OK);
            if (play(seed, granule, live, large, 20000 / large) != 0) {
                print_error("policy %d, game %zu: TARN_SEED=%llu\n", (int)policies[i], game,
                            (unsigned long long)seed);
                fail();
            }
            tarn_region_deinit(&region);
        }
    }
}

/* Fills a range with single granules up to `live`, keeps one of each pair, and asks for pairs. */
static bool is_pair_refused(size_t granules, size_t live)
{
    const tarn_region_options options = {.policy = TARN_BUDDY, .books = TARN_BOOKS_OUTSIDE};
    assert_int_equal(
        tarn_region_init(&region, (tarn_memory){NULL, granules * BUDDY_GRANULE}, &options),
        TARN_OK);
    static bool is_taken[BLOCKS];
    size_t used = 0;
    for (size_t i = 0; i < granules; i++) {
        is_taken[i] = false;
    }
    for (; used < live; used++) {
        is_taken[tarn_region_alloc_offset(&region, 1, 1) / BUDDY_GRANULE] = true;
    }
    for (size_t i = 0; i < granules; i++) {
        const bool is_alone = i % 2 == 0 && i + 1 == granules;
        if (is_taken[i] && (is_alone || (i % 2 != 0 && is_taken[i - 1]))) {
            tarn_region_free_offset(&region, i * BUDDY_GRANULE);
            used--;
        }
    }
    bool is_refused = false;
    for (; used + 2 <= live && !is_refused; used += 2) {
        is_refused = tarn_region_alloc_offset(&region, 2 * BUDDY_GRANULE, 1) == TARN_NO_OFFSET;
    }
    tarn_region_deinit(&region);
    return is_refused;
}

static void the_bound_of_buddies_of_two_orders_is_reached(void **state)
{
    (void)state;
    for (size_t live = 4; live <= 400; live += 2) {
        const size_t bound =
            tarn_region_bound(TARN_BUDDY, live * BUDDY_GRANULE, 2 * BUDDY_GRANULE) / BUDDY_GRANULE;
        assert_false(is_pair_refused(bound, live));
        assert_true(is_pair_refused(bound - 1, live));
    }
}

static void what_is_no_size_or_not_known_is_told(void **state)
{
    (void)state;
    assert_int_equal(tarn_region_bound(TARN_BEST_FIT, SIZE_MAX, SIZE_MAX / 2), SIZE_MAX);
    assert_int_equal(tarn_region_bound(TARN_SEGREGATED_FIT, SIZE_MAX, SIZE_MAX / 2), SIZE_MAX);
    assert_int_equal(tarn_region_bound(TARN_BUDDY, SIZE_MAX, SIZE_MAX / 2), SIZE_MAX);
    assert_int_equal(tarn_region_bound(TARN_FIXED_PARTITIONS, 1000, 100), 0);
    assert_int_equal(tarn_region_bound(TARN_SINGLE, 1000, 100), 0);
    assert_int_equal(tarn_region_bound(TARN_FIRST_FIT, 0, 100), 0);
    /* A block cannot be larger than all that is live. */
    assert_int_equal(tarn_region_bound(TARN_FIRST_FIT, 1000, SIZE_MAX),
                     tarn_region_bound(TARN_FIRST_FIT, 1000, 1000));
    assert_int_equal(tarn_region_bound(TARN_BUDDY, 1000, SIZE_MAX),
                     tarn_region_bound(TARN_BUDDY, 1000, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_of_first_and_worst_fit_is_reached),
        cmocka_unit_test(no_request_is_refused_in_a_range_of_the_bound),
        cmocka_unit_test(the_bound_of_buddies_of_two_orders_is_reached),
        cmocka_unit_test(what_is_no_size_or_not_known_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
