/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tarn/heaps.h"
#include "tarn/overlay.h"
#include "tarn/overlay_heap.h"

#include "fatal.h"

static void assert_sound(const tarn_overlay_heap *heap)
{
    char fault[128] = "";
    if (!tarn_overlay_heap_check(heap, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

/* a and b together, or c alone; d is above them, and e has no bytes. */
static const tarn_overlay_place places[] = {
    {.name = "c", .offset = 0, .size = 96},  {.name = "a", .offset = 0, .size = 32},
    {.name = "b", .offset = 32, .size = 64}, {.name = "d", .offset = 96, .size = 32},
    {.name = "e", .offset = 40, .size = 0},
};
enum { PLACES = sizeof places / sizeof places[0] };

static void each_name_has_its_planned_place(void **state)
{
    (void)state;
    static _Alignas(64) unsigned char memory[128];
    tarn_overlay_heap heap;
    const tarn_overlay_heap_options options = {.memory = {memory, sizeof memory}, .alignment = 64};
    assert_int_equal(tarn_overlay_heap_init(&heap, places, PLACES, &options), TARN_OK);
    assert_ptr_equal(tarn_overlay_heap_alloc(&heap, "b", 64), memory + 32);
    assert_ptr_equal(tarn_overlay_heap_alloc(&heap, "a", 1), memory);
    assert_ptr_equal(tarn_overlay_heap_alloc(&heap, "e", 0), memory + 40);
    assert_ptr_equal(tarn_overlay_heap_find(&heap, "b"), memory + 32);
    assert_null(tarn_overlay_heap_find(&heap, "c"));
    assert_null(tarn_overlay_heap_find(&heap, "x"));
    memset(memory + 32, 1, 64);
    assert_sound(&heap);
    tarn_stats stats = tarn_overlay_heap_stats(&heap);
    assert_int_equal(stats.blocks, 3);
    assert_int_equal(stats.live, 96);
    tarn_overlay_heap_free(&heap, "a");
    tarn_overlay_heap_free(&heap, "b");
    tarn_overlay_heap_free(&heap, NULL);
    assert_ptr_equal(tarn_overlay_heap_alloc(&heap, "c", 96), memory);
    assert_ptr_equal(tarn_overlay_heap_alloc(&heap, "d", 32), memory + 96);
    tarn_overlay_heap_reset(&heap);
    stats = tarn_overlay_heap_stats(&heap);
    assert_int_equal(stats.blocks, 0);
    assert_int_equal(stats.live, 0);
    assert_int_equal(stats.peak_live, 128);
    assert_int_equal(stats.allocs, 5);
    assert_int_equal(stats.frees, 5);
    assert_sound(&heap);
    tarn_overlay_heap_deinit(&heap);
    memset(memory, 2, sizeof memory);
}

static void an_unknown_name_and_too_large_a_size_are_refused(void **state)
{
    (void)state;
    tarn_overlay_heap heap;
    assert_int_equal(tarn_overlay_heap_init(&heap, places, PLACES, NULL), TARN_OK);
    assert_null(tarn_overlay_heap_alloc(&heap, "x", 0));
    assert_null(tarn_overlay_heap_alloc(&heap, "", 0));
    assert_null(tarn_overlay_heap_alloc(&heap, NULL, 0));
    assert_null(tarn_overlay_heap_alloc(&heap, "a", 33));
    assert_null(tarn_overlay_heap_alloc(&heap, "e", 1));
    assert_null(tarn_overlay_heap_alloc(&heap, "a", SIZE_MAX));
    assert_int_equal(tarn_overlay_heap_stats(&heap).failures, 6);
    assert_non_null(tarn_overlay_heap_alloc(&heap, "a", 32));
    tarn_overlay_heap_deinit(&heap);
}

static void what_is_no_plan_is_refused(void **state)
{
    (void)state;
    static _Alignas(64) unsigned char memory[128];
    tarn_overlay_heap heap;
    const tarn_overlay_place no_name = {.name = NULL};
    const tarn_overlay_place twice[] = {{.name = "a"}, {.name = "b"}, {.name = "a", .offset = 9}};
    const tarn_overlay_place huge[] = {{.name = "a", .offset = SIZE_MAX, .size = 2}};
    const tarn_overlay_place large[] = {{.name = "a", .offset = PTRDIFF_MAX, .size = 1}};
    const tarn_overlay_heap_options small = {.memory = {memory, 127}};
    const tarn_overlay_heap_options odd = {.memory = {memory + 1, 128}, .alignment = 2};
    const tarn_overlay_heap_options bad = {.alignment = 24};
    assert_int_equal(tarn_overlay_heap_init(&heap, NULL, 1, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_overlay_heap_init(&heap, &no_name, 1, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_overlay_heap_init(&heap, twice, 3, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_overlay_heap_init(&heap, huge, 1, NULL), TARN_TOO_LARGE);
    assert_int_equal(tarn_overlay_heap_init(&heap, large, 1, NULL), TARN_TOO_LARGE);
    assert_int_equal(tarn_overlay_heap_init(&heap, places, PLACES, &small), TARN_NO_ROOM);
    assert_int_equal(tarn_overlay_heap_init(&heap, places, PLACES, &odd), TARN_BAD_LAYOUT);
    assert_int_equal(tarn_overlay_heap_init(&heap, places, PLACES, &bad), TARN_BAD_LAYOUT);
    assert_int_equal(tarn_overlay_heap_init(&heap, NULL, 0, NULL), TARN_OK);
    assert_null(tarn_overlay_heap_alloc(&heap, "a", 0));
    assert_sound(&heap);
    tarn_overlay_heap_deinit(&heap);
}

static void a_refusing_upstream_loses_nothing(void **state)
{
    (void)state;
    tarn_failing failing;
    tarn_counted counted;
    tarn_overlay_heap heap;
    tarn_counted_init(&counted, NULL);
    tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &counted.heap});
    const tarn_overlay_heap_options options = {.upstream = &failing.heap};
    uint64_t at = 1;
    for (;; at++) {
        tarn_failing_restart(&failing, &(tarn_failing_plan){.at = at});
        const tarn_status status = tarn_overlay_heap_init(&heap, places, PLACES, &options);
        if (status == TARN_OK) {
            break;
        }
        assert_int_equal(status, TARN_NO_MEMORY);
        assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 0);
    }
    assert_int_equal(at, 3);
    assert_int_equal(tarn_overlay_heap_stats(&heap).footprint, tarn_heap_stats(&counted.heap).live);
    tarn_overlay_heap_deinit(&heap);
    assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
}

static void living_otherwise_than_planned_is_fatal(void **state)
{
    (void)state;
    static _Alignas(64) unsigned char memory[128];
    tarn_overlay_heap heap;
    const tarn_overlay_heap_options options = {.memory = {memory, sizeof memory}, .name = "net"};
    static const char unknown[] = "x";
    assert_int_equal(tarn_overlay_heap_init(&heap, places, PLACES, &options), TARN_OK);
    tarn_overlay_heap_alloc(&heap, "b", 64);
    tarn_overlay_heap_alloc(&heap, "d", 32);
    assert_fatal(tarn_overlay_heap_alloc(&heap, "b", 64), "this name is in use already", "net",
                 memory + 32);
    assert_fatal(tarn_overlay_heap_alloc(&heap, "c", 1),
                 "another block is in the place of this one", "net", memory);
    assert_fatal(tarn_overlay_heap_free(&heap, "a"), "free of a name that is not in use", "net",
                 memory);
    assert_fatal(tarn_overlay_heap_free(&heap, unknown), "free of a name that has no place", "net",
                 unknown);
    tarn_overlay_heap_deinit(&heap);
}

static void what_has_gaps_is_compared_with_nothing(void **state)
{
    (void)state;
    static const tarn_overlay_place gapped[] = {
        {.name = "long", .offset = 0, .size = 64, .has_gaps = true},
        {.name = "in its gap", .offset = 16, .size = 16},
    };
    tarn_overlay_heap heap;
    assert_int_equal(tarn_overlay_heap_init(&heap, gapped, 2, NULL), TARN_OK);
    unsigned char *block = tarn_overlay_heap_alloc(&heap, "long", 64);
    assert_ptr_equal(tarn_overlay_heap_alloc(&heap, "in its gap", 16), block + 16);
    tarn_overlay_heap_free(&heap, "in its gap");
    memset(block, 1, 64);
    assert_sound(&heap);
    tarn_overlay_heap_deinit(&heap);
}

/* A plan by the planner, served in the order of its times: nothing is ever in the way, and every block keeps
 * what was written to it. */
static void a_plan_of_the_planner_is_served_over_its_time(void **state)
{
    (void)state;
    enum { COUNT = 60, TIMES = 100 };
    static char names[COUNT][8];
    tarn_overlay_buffer buffers[COUNT];
    tarn_overlay_place made[COUNT];
    int64_t offsets[COUNT];
    uint32_t random = 7;
    for (size_t i = 0; i < COUNT; i++) {
        random = random * 1664525 + 1013904223;
        const int64_t lower = (random >> 8) % (TIMES - 1);
        const int64_t longest = TIMES - 1 - lower;
        buffers[i] = (tarn_overlay_buffer){.lower = lower,
                                           .upper = lower + 1 + (random >> 20) % longest,
                                           .size = 1 + (random >> 12) % 200};
    }
    const tarn_overlay_options planner = {.goal = TARN_OVERLAY_ANYTIME, .step_limit = 20000};
    tarn_overlay_result result;
    assert_int_equal(tarn_overlay_plan(buffers, COUNT, &planner, offsets, &result), TARN_OK);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        made[i] = (tarn_overlay_place){
            .name = names[i], .offset = (size_t)offsets[i], .size = (size_t)buffers[i].size};
    }
    tarn_overlay_heap heap;
    assert_int_equal(tarn_overlay_heap_init(&heap, made, COUNT, NULL), TARN_OK);
    for (int64_t time = 0; time <= TIMES; time++) {
        for (size_t i = 0; i < COUNT; i++) {
            if (buffers[i].upper == time) {
                const unsigned char *block = tarn_overlay_heap_find(&heap, names[i]);
                for (size_t byte = 0; byte < made[i].size; byte++) {
                    assert_int_equal(block[byte], i);
                }
                tarn_overlay_heap_free(&heap, names[i]);
            }
        }
        for (size_t i = 0; i < COUNT; i++) {
            if (buffers[i].lower == time) {
                memset(tarn_overlay_heap_alloc(&heap, names[i], made[i].size), (int)i,
                       made[i].size);
            }
        }
        assert_sound(&heap);
    }
    assert_int_equal(tarn_overlay_heap_stats(&heap).blocks, 0);
    assert_int_equal(tarn_overlay_heap_stats(&heap).allocs, COUNT);
    tarn_overlay_heap_deinit(&heap);
}

/* Whether a block is in the way is what comparing it with all others says. */
static void a_collision_is_found_exactly_when_there_is_one(void **state)
{
    (void)state;
    enum { COUNT = 12 };
    static char names[COUNT][4];
    uint32_t random = 11;
    for (int round = 0; round < 60; round++) {
        tarn_overlay_place made[COUNT];
        bool is_live[COUNT] = {false};
        for (size_t i = 0; i < COUNT; i++) {
            random = random * 1664525 + 1013904223;
            snprintf(names[i], sizeof names[i], "%zu", i);
            made[i] = (tarn_overlay_place){
                .name = names[i], .offset = (random >> 8) % 40, .size = (random >> 20) % 12};
        }
        tarn_overlay_heap heap;
        assert_int_equal(tarn_overlay_heap_init(&heap, made, COUNT, NULL), TARN_OK);
        for (int step = 0; step < 60; step++) {
            random = random * 1664525 + 1013904223;
            const size_t i = (random >> 8) % COUNT;
            if (is_live[i]) {
                tarn_overlay_heap_free(&heap, names[i]);
                is_live[i] = false;
                continue;
            }
            bool is_in_the_way = false;
            for (size_t j = 0; j < COUNT; j++) {
                is_in_the_way |= is_live[j] && made[i].size > 0 && made[j].size > 0 &&
                                 made[i].offset < made[j].offset + made[j].size &&
                                 made[j].offset < made[i].offset + made[i].size;
            }
            if (!is_in_the_way) {
                assert_non_null(tarn_overlay_heap_alloc(&heap, names[i], made[i].size));
                is_live[i] = true;
                assert_sound(&heap);
            } else if (step % 8 == 0) {
                /* One fork for each of these. */
                assert_fatal(tarn_overlay_heap_alloc(&heap, names[i], 0),
                             "another block is in the place of this one", "overlay",
                             heap.memory + made[i].offset);
            }
        }
        tarn_overlay_heap_deinit(&heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_has_its_planned_place),
        cmocka_unit_test(an_unknown_name_and_too_large_a_size_are_refused),
        cmocka_unit_test(what_is_no_plan_is_refused),
        cmocka_unit_test(a_refusing_upstream_loses_nothing),
        cmocka_unit_test(living_otherwise_than_planned_is_fatal),
        cmocka_unit_test(what_has_gaps_is_compared_with_nothing),
        cmocka_unit_test(a_plan_of_the_planner_is_served_over_its_time),
        cmocka_unit_test(a_collision_is_found_exactly_when_there_is_one),
    };
    return cmocka_run_group_tests_name("overlay_heap", tests, NULL, NULL);
}
