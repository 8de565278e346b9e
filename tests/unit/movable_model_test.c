/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"
#include "tarn/movable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/heap_model.h"

/*
 * Random operations against a naive twin: an array of what each handle should name, how large it is, what was written
 * into it, and where it is while it is pinned.
 */

enum { SLOTS = 700, OPERATIONS = 60000, PAUSE = 400 };

typedef struct model_slot {
    tarn_handle handle; /* 0: none */
    size_t size;
    size_t alignment;
    unsigned char byte;
    unsigned pins;
    void *pinned; /* while pins is not 0 */
    bool purgeable;
    bool purged;
} model_slot;

typedef struct twin {
    tarn_movable heap;
    tarn_movable_options options;
    model_slot slots[SLOTS];
    tarn_handle stale[64];
    uint64_t random;
    uint64_t step;
    uint64_t seed;
    size_t live;
    char path[64];
} twin;

#define HOLDS(model, condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("TARN_SEED=%llu, step %llu: %s", (unsigned long long)(model)->seed,           \
                     (unsigned long long)(model)->step, #condition);                               \
        }                                                                                          \
    } while (0)

static uint64_t draw(twin *model, uint64_t below)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return (model->random >> 11) % below;
}

static bool note_purge(void *context, tarn_handle handle, void *block, size_t size)
{
    twin *model = context;
    for (model_slot *slot = model->slots; slot != model->slots + SLOTS; slot++) {
        if (slot->handle == handle) {
            HOLDS(model, slot->purgeable && slot->pins == 0 && !slot->purged);
            HOLDS(model, slot->size == size && *(unsigned char *)block == slot->byte);
            if (draw(model, 5) == 0) {
                return false;
            }
            slot->purged = true;
            model->live -= slot->size;
            return true;
        }
    }
    fail_msg("an unknown handle was purged");
    return false;
}

static void check_bytes(twin *model, const model_slot *slot, size_t size)
{
    const unsigned char *block = tarn_deref(&model->heap, slot->handle);
    for (size_t i = 0; i < size; i++) {
        HOLDS(model, block[i] == slot->byte);
    }
}

static void check_slot(twin *model, const model_slot *slot)
{
    if (slot->handle == 0) {
        return;
    }
    if (slot->purged) {
        HOLDS(model, tarn_movable_look_at(&model->heap, slot->handle) == TARN_MOVABLE_PURGED);
        return;
    }
    HOLDS(model, tarn_movable_look_at(&model->heap, slot->handle) == TARN_MOVABLE_LIVE);
    HOLDS(model, tarn_movable_size(&model->heap, slot->handle) == slot->size);
    const unsigned char *block = tarn_deref(&model->heap, slot->handle);
    HOLDS(model, (uintptr_t)block % slot->alignment == 0);
    HOLDS(model, slot->pins == 0 || block == slot->pinned);
    check_bytes(model, slot, slot->size);
}

static void check_all(twin *model)
{
    char fault[200];
    if (!tarn_movable_check(&model->heap, fault, sizeof fault)) {
        fail_msg("TARN_SEED=%llu, step %llu: %s", (unsigned long long)model->seed,
                 (unsigned long long)model->step, fault);
    }
    uint64_t blocks = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        check_slot(model, &model->slots[i]);
        blocks += model->slots[i].handle != 0 && !model->slots[i].purged;
    }
    for (size_t i = 0; i < sizeof model->stale / sizeof *model->stale; i++) {
        HOLDS(model, tarn_movable_look_at(&model->heap, model->stale[i]) == TARN_MOVABLE_STALE);
    }
    const tarn_stats stats = tarn_movable_stats(&model->heap);
    HOLDS(model, stats.live == model->live);
    HOLDS(model, stats.blocks == blocks);
    HOLDS(model, stats.allocs - stats.frees == blocks);
    HOLDS(model, stats.footprint >= stats.live);
}

static void fill(twin *model, model_slot *slot)
{
    slot->byte = (unsigned char)draw(model, 256);
    memset(tarn_deref(&model->heap, slot->handle), slot->byte, slot->size);
}

static size_t draw_size(twin *model)
{
    const uint64_t kind = draw(model, 10);
    return (size_t)(kind < 7   ? draw(model, 400)
                    : kind < 9 ? draw(model, 5000)
                               : draw(model, 60000));
}

static void do_alloc(twin *model, model_slot *slot)
{
    const size_t size = draw_size(model);
    slot->alignment = (size_t)1 << draw(model, draw(model, 20) == 0 ? 13 : 6);
    slot->handle = tarn_movable_alloc(&model->heap, size, slot->alignment);
    if (slot->handle != 0) {
        slot->size = size == 0 ? 1 : size;
        slot->pins = 0;
        slot->purgeable = false;
        slot->purged = false;
        model->live += slot->size;
        fill(model, slot);
    }
}

static void do_free(twin *model, model_slot *slot)
{
    while (slot->pins > 0) {
        tarn_unpin(&model->heap, slot->handle);
        slot->pins--;
    }
    model->live -= slot->purged ? 0 : slot->size;
    tarn_movable_free(&model->heap, slot->handle);
    model->stale[draw(model, 64)] = slot->handle;
    slot->handle = 0;
}

static void do_resize(twin *model, model_slot *slot)
{
    const size_t size = draw_size(model);
    if (!tarn_movable_resize(&model->heap, slot->handle, size)) {
        return;
    }
    HOLDS(model, !slot->purged);
    model->live -= slot->size;
    check_bytes(model, slot, size < slot->size ? size : slot->size);
    slot->size = size == 0 ? 1 : size;
    model->live += slot->size;
    fill(model, slot);
}

static void do_pin(twin *model, model_slot *slot)
{
    void *block = tarn_pin(&model->heap, slot->handle);
    HOLDS(model, (block == NULL) == slot->purged);
    if (block != NULL) {
        HOLDS(model, slot->pins == 0 || slot->pinned == block);
        slot->pinned = block;
        slot->pins++;
    }
}

static void do_compact(twin *model)
{
    tarn_movable_report report;
    tarn_movable_budget budget = {0};
    if (draw(model, 4) != 0) {
        budget.bytes = (size_t)draw(model, 60000) + 1;
    }
    if (draw(model, 4) == 0) {
        budget.microseconds = draw(model, 200) + 1;
    }
    HOLDS(model, tarn_movable_compact(&model->heap, &budget, &report) == TARN_OK);
    HOLDS(model, budget.bytes == 0 || report.bytes_moved <= budget.bytes);
}

static void do_pass(twin *model)
{
    tarn_movable_pass pass;
    tarn_movable_move moves[16];
    tarn_movable_budget budget = {.bytes = (size_t)draw(model, 100000)};
    size_t count;
    HOLDS(model, tarn_movable_begin(&model->heap, &pass, &budget) == TARN_OK);
    while ((count = tarn_movable_next_moves(&pass, moves, 1 + (size_t)draw(model, 16))) > 0) {
        check_all(model);
        for (size_t i = 0; i < count; i++) {
            moves[i].veto = draw(model, 4) == 0;
            if (!moves[i].veto) {
                memcpy(moves[i].to, moves[i].from, moves[i].size);
            }
        }
        model_slot *slot = &model->slots[draw(model, SLOTS)];
        if (slot->handle == 0) {
            do_alloc(model, slot);
        }
        if (draw(model, 20) == 0) {
            break;
        }
    }
    if (draw(model, 4) != 0) {
        tarn_movable_commit(&pass, NULL);
    } else {
        tarn_movable_abort(&pass, NULL);
    }
}

/* Saves the heap and goes on with what was loaded. */
static void do_reload(twin *model)
{
    char fault[200];
    for (size_t i = 0; i < SLOTS; i++) {
        model->slots[i].pins = 0;
    }
    const uint64_t allocs = tarn_movable_stats(&model->heap).allocs;
    HOLDS(model, tarn_movable_save(&model->heap, model->path, fault, sizeof fault) == TARN_OK);
    tarn_movable_deinit(&model->heap);
    HOLDS(model, tarn_movable_load(&model->heap, &model->options, model->path, fault,
                                   sizeof fault) == TARN_OK);
    HOLDS(model, tarn_movable_stats(&model->heap).allocs <= allocs);
}

static void do_operation(twin *model)
{
    model_slot *slot = &model->slots[draw(model, SLOTS)];
    const uint64_t kind = draw(model, 1000);
    if (kind < 20) {
        do_compact(model);
    } else if (kind < 22) {
        tarn_movable_compact(&model->heap, NULL, NULL);
    } else if (kind < 25) {
        do_pass(model);
    } else if (kind < 30) {
        tarn_movable_trim(&model->heap);
    } else if (kind < 32) {
        tarn_movable_purge(&model->heap, (size_t)draw(model, 20000));
    } else if (kind == 32) {
        do_reload(model);
    } else if (slot->handle == 0) {
        do_alloc(model, slot);
    } else if (kind < 400) {
        do_free(model, slot);
    } else if (kind < 500) {
        do_resize(model, slot);
    } else if (kind < 530) {
        do_pin(model, slot);
    } else if (kind < 600 && slot->pins > 0) {
        tarn_unpin(&model->heap, slot->handle);
        slot->pins--;
    } else if (kind < 700) {
        slot->purgeable = draw(model, 4) == 0;
        HOLDS(model, tarn_movable_set_purgeable(&model->heap, slot->handle, slot->purgeable) ==
                         !slot->purged);
    } else {
        check_slot(model, slot);
    }
}

static void run(const tarn_movable_options *options)
{
    static twin model;
    memset(&model, 0, sizeof model);
    model.seed = heap_model_seed();
    model.random = model.seed | 1;
    model.options = *options;
    model.options.on_purge = note_purge;
    model.options.context = &model;
    snprintf(model.path, sizeof model.path, "/tmp/movable-model-%ld", (long)getpid());
    assert_int_equal(tarn_movable_init(&model.heap, &model.options), TARN_OK);
    for (model.step = 0; model.step < OPERATIONS; model.step++) {
        do_operation(&model);
        if (model.step % PAUSE == 0) {
            check_all(&model);
        }
    }
    check_all(&model);
    for (size_t i = 0; i < SLOTS; i++) {
        if (model.slots[i].handle != 0) {
            do_free(&model, &model.slots[i]);
        }
    }
    check_all(&model);
    tarn_movable_compact(&model.heap, NULL, NULL);
    assert_int_equal(tarn_movable_stats(&model.heap).live, 0);
    tarn_movable_deinit(&model.heap);
    unlink(model.path);
}

static void a_growing_heap_does_as_its_twin(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    run(&(tarn_movable_options){.upstream = &pages.heap});
    assert_int_equal(tarn_heap_stats(&pages.heap).blocks, 0);
    tarn_pages_deinit(&pages);
}

static void a_heap_in_a_fixed_place_does_as_its_twin(void **state)
{
    (void)state;
    run(&(tarn_movable_options){.capacity = 1 << 20});
}

static void a_heap_for_threads_does_as_its_twin(void **state)
{
    (void)state;
    run(&(tarn_movable_options){.capacity = 1500000, .threads = true});
}

static void a_heap_in_the_callers_memory_does_as_its_twin(void **state)
{
    (void)state;
    static _Alignas(4096) unsigned char memory[700000];
    run(&(tarn_movable_options){.memory = {memory, sizeof memory}, .keep_pages = true});
}

static void a_heap_over_a_buffer_does_as_its_twin(void **state)
{
    (void)state;
    static unsigned char memory[3 << 20];
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    run(&(tarn_movable_options){.upstream = &buffer.heap});
    assert_int_equal(tarn_heap_stats(&buffer.heap).blocks, 0);
    tarn_buffer_deinit(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_growing_heap_does_as_its_twin),
        cmocka_unit_test(a_heap_in_a_fixed_place_does_as_its_twin),
        cmocka_unit_test(a_heap_for_threads_does_as_its_twin),
        cmocka_unit_test(a_heap_in_the_callers_memory_does_as_its_twin),
        cmocka_unit_test(a_heap_over_a_buffer_does_as_its_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
