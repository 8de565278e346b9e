/* SPDX-License-Identifier: MIT */
#include "cli/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The naive twin: a list of the live blocks. */
enum { TWIN_ROOM = 6000, POOLS = 5, STEPS = 200000 };

typedef struct twin_block {
    uint64_t block;
    uint32_t pool;
    uint32_t slot;
} twin_block;

typedef struct twin {
    size_t count;
    twin_block blocks[TWIN_ROOM];
    bool is_taken[TWIN_ROOM * 2];
} twin;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static twin_block *twin_find(twin *naive, uint32_t pool, uint64_t block)
{
    for (size_t i = 0; i < naive->count; i++) {
        if (naive->blocks[i].pool == pool && naive->blocks[i].block == block) {
            return &naive->blocks[i];
        }
    }
    return NULL;
}

static void twin_drop(twin *naive, twin_block *at)
{
    naive->is_taken[at->slot] = false;
    *at = naive->blocks[--naive->count];
}

static void twin_gone(void *context, uint32_t slot)
{
    twin *naive = context;
    for (size_t i = 0; i < naive->count; i++) {
        if (naive->blocks[i].slot == slot) {
            twin_drop(naive, &naive->blocks[i]);
            return;
        }
    }
    fail_msg("number %u was not live", slot);
}

static size_t twin_of_pool(const twin *naive, uint32_t pool)
{
    size_t count = 0;
    for (size_t i = 0; i < naive->count; i++) {
        count += naive->blocks[i].pool == pool;
    }
    return count;
}

static void add_or_remove(cli_slots *slots, twin *naive, uint32_t pool, uint64_t block, bool grows)
{
    twin_block *known = twin_find(naive, pool, block);
    assert_int_equal(cli_slots_find(slots, pool, block),
                     known != NULL ? known->slot : CLI_SLOT_NONE);
    if (known != NULL || !grows || naive->count == TWIN_ROOM) {
        assert_int_equal(cli_slots_remove(slots, pool, block),
                         known != NULL ? known->slot : CLI_SLOT_NONE);
        if (known != NULL) {
            twin_drop(naive, known);
        }
        return;
    }
    const uint32_t slot = cli_slots_add(slots, pool, block);
    assert_true(slot < TWIN_ROOM);
    assert_false(naive->is_taken[slot]);
    naive->is_taken[slot] = true;
    naive->blocks[naive->count++] = (twin_block){.block = block, .pool = pool, .slot = slot};
}

static void numbers_are_those_of_a_naive_twin(void **state)
{
    (void)state;
    uint64_t random = 20261129;
    print_message("seed %llu\n", (unsigned long long)random);
    cli_slots *slots = cli_slots_create();
    twin *naive = calloc(1, sizeof *naive);
    assert_non_null(naive);
    for (unsigned step = 0; step < STEPS; step++) {
        const uint64_t draw = next_random(&random);
        const uint32_t pool = (uint32_t)(draw % POOLS);
        const uint64_t block = (draw >> 8) % 2000 * 16 + 16;
        if (draw >> 52 == 0 && pool != 0) {
            cli_slots_remove_pool(slots, pool, twin_gone, naive);
            assert_int_equal(twin_of_pool(naive, pool), 0);
        } else {
            add_or_remove(slots, naive, pool, block, step % 20000 < 14000);
        }
        assert_int_equal(cli_slots_live(slots), naive->count);
    }
    assert_true(cli_slots_count(slots) <= TWIN_ROOM);
    cli_slots_free(slots);
    free(naive);
}

static void a_number_that_was_freed_is_given_again(void **state)
{
    (void)state;
    cli_slots *slots = cli_slots_create();
    const uint32_t first = cli_slots_add(slots, 0, 0x1000);
    const uint32_t second = cli_slots_add(slots, 0, 0x2000);
    assert_int_not_equal(first, second);
    assert_int_equal(cli_slots_remove(slots, 0, 0x1000), first);
    assert_int_equal(cli_slots_add(slots, 0, 0x3000), first);
    assert_int_equal(cli_slots_count(slots), 2);
    cli_slots_free(slots);
}

static void the_same_address_in_two_pools_is_two_blocks(void **state)
{
    (void)state;
    cli_slots *slots = cli_slots_create();
    const uint32_t outer = cli_slots_add(slots, 0, 0x1000);
    const uint32_t inner = cli_slots_add(slots, 7, 0x1000);
    assert_int_not_equal(outer, inner);
    assert_int_equal(cli_slots_find(slots, 7, 0x1000), inner);
    assert_int_equal(cli_slots_find(slots, 8, 0x1000), CLI_SLOT_NONE);
    assert_int_equal(cli_slots_remove(slots, 0, 0x1000), outer);
    assert_int_equal(cli_slots_find(slots, 7, 0x1000), inner);
    cli_slots_free(slots);
}

static void block_0_and_pool_0_are_no_blocks_to_be_taken_back(void **state)
{
    (void)state;
    cli_slots *slots = cli_slots_create();
    cli_slots_add(slots, 0, 0x1000);
    assert_int_equal(cli_slots_find(slots, 0, 0), CLI_SLOT_NONE);
    assert_int_equal(cli_slots_remove(slots, 3, 0), CLI_SLOT_NONE);
    cli_slots_remove_pool(slots, 0, twin_gone, NULL);
    cli_slots_remove_pool(slots, 1000, twin_gone, NULL);
    assert_int_equal(cli_slots_live(slots), 1);
    cli_slots_free(slots);
    cli_slots_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_a_naive_twin),
        cmocka_unit_test(a_number_that_was_freed_is_given_again),
        cmocka_unit_test(the_same_address_in_two_pools_is_two_blocks),
        cmocka_unit_test(block_0_and_pool_0_are_no_blocks_to_be_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
