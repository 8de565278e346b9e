/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"
#include "tarn/overlay_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Random trees and random calls against a naive twin, which knows of each segment what is stored,
 * what should be in memory if it is resident, and whom it excludes: everything that is neither
 * above nor below it. Reads and writes fail at random. The area and the spare area are of a heap
 * that finds overruns.
 */

enum { SEGMENTS_MOST = 40, SIZE_MOST = 300, DEPTH_MOST = 60, TREES = 150, STEPS = 400 };

typedef struct part {
    struct twin *model;
    tarn_overlay_segment name;
    int parent; /* -1: it is the root */
    tarn_overlay_segment_options options;
    bool can_write;
    unsigned char stored[SIZE_MOST];  /* what should be in the store, and is where `actual` is it */
    unsigned char actual[SIZE_MOST];  /* the store of callbacks */
    unsigned char content[SIZE_MOST]; /* what should be in memory */
    size_t next_offset;               /* of a load in parts */
    bool is_resident;
    bool is_dirty;
    unsigned pins;
    uint64_t loads;
} part;

typedef struct twin {
    tarn_overlay_tree tree;
    part parts[SEGMENTS_MOST];
    int count;
    int entered[DEPTH_MOST];
    int depth;
    bool in_place;
    int file;
    unsigned fail_in;  /* calls of callbacks until they fail; 0: they do not */
    unsigned fail_for; /* how many calls in a row */
    unsigned failed;   /* calls of callbacks that failed in this step */
    uint64_t enters;
    uint64_t hits;
    uint64_t failures;
    uint64_t random;
    uint64_t seed;
    uint64_t step;
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

static void draw_bytes(twin *model, unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)draw(model, 256);
    }
}

/* ---- the store ---- */

static bool fails_now(twin *model)
{
    if (model->fail_in > 1) {
        model->fail_in--;
        return false;
    }
    if (model->fail_in == 0) {
        return false;
    }
    model->fail_for--;
    if (model->fail_for == 0) {
        model->fail_in = 0;
    }
    model->failed++;
    return true;
}

static tarn_status load(void *context, tarn_overlay_segment segment, size_t offset, void *to,
                        size_t size)
{
    part *it = context;
    twin *model = it->model;
    HOLDS(model, it->name == 0 || it->name == segment);
    HOLDS(model, size > 0 && size <= it->options.stored_size - offset);
    HOLDS(model, offset == 0 || offset == it->next_offset);
    HOLDS(model, ((uintptr_t)to - offset) % it->options.alignment == 0);
    it->next_offset = offset + size;
    if (fails_now(model)) {
        memset(to, 0xEE, size / 2);
        return TARN_IO_FAILED;
    }
    memcpy(to, it->actual + offset, size);
    return TARN_OK;
}

static tarn_status store(void *context, tarn_overlay_segment segment, const void *from, size_t size)
{
    part *it = context;
    twin *model = it->model;
    HOLDS(model, it->name == segment && it->is_dirty && it->is_resident);
    HOLDS(model, size == it->options.stored_size);
    HOLDS(model, memcmp(from, it->content, size) == 0);
    if (fails_now(model)) {
        return TARN_IO_FAILED;
    }
    memcpy(it->actual, from, size);
    return TARN_OK;
}

static void read_actual(twin *model, int index, unsigned char *bytes)
{
    const part *it = &model->parts[index];
    const size_t size = it->options.stored_size;
    if (it->options.source == TARN_OVERLAY_FILE) {
        HOLDS(model, pread(model->file, bytes, size, (off_t)it->options.offset) == (ssize_t)size);
    } else {
        memcpy(bytes, it->actual, size);
    }
}

/* ---- making a tree ---- */

static void draw_part(twin *model, int index)
{
    part *it = &model->parts[index];
    memset(it, 0, sizeof *it);
    it->model = model;
    it->parent = index == 0 ? -1 : (int)draw(model, (uint64_t)index);
    if (index > 0 && draw(model, 2) == 0) {
        it->parent = index - 1; /* deep ones, too */
    }
    tarn_overlay_segment_options *options = &it->options;
    options->size = (size_t)(draw(model, 8) == 0 ? 0 : draw(model, SIZE_MOST) + 1);
    options->stored_size =
        draw(model, 4) == 0 && options->size > 0 ? draw(model, options->size) + 1 : options->size;
    options->alignment = (size_t)1 << draw(model, 8);
    options->source = (tarn_overlay_source)draw(model, 3);
    options->descriptor = model->file;
    options->offset = (uint64_t)index * SIZE_MOST;
    options->is_writable = draw(model, 3) != 0;
    options->load = load;
    options->store = options->is_writable ? store : NULL;
    options->context = it;
    it->can_write = options->is_writable && options->source != TARN_OVERLAY_ZEROS;
    draw_bytes(model, it->stored, options->stored_size);
    memcpy(it->actual, it->stored, sizeof it->stored);
    if (options->source == TARN_OVERLAY_ZEROS) {
        memset(it->stored, 0, sizeof it->stored);
        memset(it->actual, 0, sizeof it->actual);
    } else if (options->source == TARN_OVERLAY_FILE) {
        HOLDS(model,
              pwrite(model->file, it->stored, SIZE_MOST, (off_t)options->offset) == SIZE_MOST);
    }
}

static void becomes_resident(part *it)
{
    it->is_resident = true;
    it->loads++;
    memset(it->content, 0, sizeof it->content);
    memcpy(it->content, it->stored, it->options.stored_size);
}

static void make(twin *model, tarn_heap *upstream)
{
    model->count = 1 + (int)draw(model, SEGMENTS_MOST);
    model->in_place = draw(model, 3) == 0;
    draw_part(model, 0);
    const tarn_overlay_tree_options options = {.upstream = upstream,
                                               .root = model->parts[0].options,
                                               .in_place = model->in_place,
                                               .depth = (size_t)draw(model, 4)};
    HOLDS(model, tarn_overlay_tree_init(&model->tree, &options) == TARN_OK);
    model->parts[0].name = tarn_overlay_tree_root(&model->tree);
    for (int index = 1; index < model->count; index++) {
        draw_part(model, index);
        part *it = &model->parts[index];
        it->options.parent = model->parts[it->parent].name;
        HOLDS(model, tarn_overlay_tree_add(&model->tree, &it->options, &it->name) == TARN_OK);
    }
    HOLDS(model, tarn_overlay_tree_seal(&model->tree) == TARN_OK);
    becomes_resident(&model->parts[0]);
}

/* ---- the naive twin ---- */

static bool is_above(const twin *model, int upper, int lower)
{
    while (lower >= 0 && lower != upper) {
        lower = model->parts[lower].parent;
    }
    return lower == upper;
}

static bool excludes(const twin *model, int one, int other)
{
    return !is_above(model, one, other) && !is_above(model, other, one);
}

static bool is_pinned_out(const twin *model, int wanted)
{
    for (int i = 0; i < model->count; i++) {
        if (model->parts[i].pins > 0 && excludes(model, i, wanted)) {
            return true;
        }
    }
    return false;
}

typedef struct look {
    twin *model;
    int index;
} look;

/* What the tree says is clean now has to be in the store. */
static bool compare(void *context, const tarn_overlay_view *view)
{
    look *at = context;
    twin *model = at->model;
    part *it = &model->parts[at->index];
    unsigned char actual[SIZE_MOST];
    HOLDS(model, view->segment == it->name);
    HOLDS(model, view->pins == it->pins);
    if (it->is_dirty && !view->is_dirty) {
        memcpy(it->stored, it->content, it->options.stored_size);
        it->is_dirty = false;
    }
    HOLDS(model, view->is_dirty == it->is_dirty);
    read_actual(model, at->index, actual);
    HOLDS(model, memcmp(actual, it->stored, it->options.stored_size) == 0);
    at->index++;
    return true;
}

static void settle_writes(twin *model)
{
    look at = {.model = model};
    tarn_overlay_tree_visit(&model->tree, compare, &at);
    HOLDS(model, at.index == model->count);
}

static bool is_resident_now(const twin *model, int index)
{
    return tarn_overlay_address(&model->tree, model->parts[index].name) != NULL;
}

/* In place, after a failure: what was excluded is back as it is stored; or gone with all below it,
 * if that failed, too. */
static void settle_failure_in_place(twin *model, int wanted)
{
    for (int i = 0; i < model->count; i++) {
        part *it = &model->parts[i];
        if (it->is_resident && excludes(model, i, wanted)) {
            it->is_resident = is_resident_now(model, i);
            HOLDS(model, it->is_resident || model->failed > 1);
            if (it->is_resident) {
                /* It was read again, unless the failure was a write-back, before anything went. */
                if (!tarn_overlay_tree_failure(&model->tree).is_write) {
                    becomes_resident(it);
                }
            }
        }
    }
}

/* The tree was asked to make `wanted` resident, and answered with `status`. */
static void settle(twin *model, int wanted, tarn_status status)
{
    const bool is_out = !model->parts[wanted].is_resident && is_pinned_out(model, wanted);
    const tarn_status right = is_out ? TARN_BUSY : model->failed > 0 ? TARN_IO_FAILED : TARN_OK;
    HOLDS(model, status == right);
    settle_writes(model);
    model->failures += status != TARN_OK;
    if (status == TARN_OK) {
        for (int i = 0; i < model->count; i++) {
            part *it = &model->parts[i];
            if (excludes(model, i, wanted)) {
                HOLDS(model, !it->is_dirty);
                it->is_resident = false;
            } else if (!it->is_resident && is_above(model, i, wanted)) {
                becomes_resident(it);
            }
        }
    } else if (model->in_place && status == TARN_IO_FAILED) {
        settle_failure_in_place(model, wanted);
    }
}

static void check_all(twin *model)
{
    char fault[200];
    size_t resident = 0;
    uint64_t loads = 0;
    if (!tarn_overlay_tree_check(&model->tree, fault, sizeof fault)) {
        fail_msg("TARN_SEED=%llu, step %llu: %s", (unsigned long long)model->seed,
                 (unsigned long long)model->step, fault);
    }
    for (int i = 0; i < model->count; i++) {
        const part *it = &model->parts[i];
        const unsigned char *bytes = tarn_overlay_address(&model->tree, it->name);
        HOLDS(model, (bytes != NULL) == it->is_resident);
        loads += it->loads;
        if (bytes != NULL) {
            HOLDS(model, (uintptr_t)bytes % it->options.alignment == 0);
            HOLDS(model, memcmp(bytes, it->content, it->options.size) == 0);
            resident += it->options.size;
        }
    }
    const tarn_overlay_stats stats = tarn_overlay_tree_stats(&model->tree);
    HOLDS(model, stats.resident == resident);
    HOLDS(model, stats.enters == model->enters);
    HOLDS(model, stats.hits == model->hits);
    HOLDS(model, stats.failures == model->failures);
    HOLDS(model, model->in_place || stats.loads == loads);
    HOLDS(model, tarn_overlay_current(&model->tree) ==
                     (model->depth > 0 ? model->parts[model->entered[model->depth - 1]].name : 0));
}

/* ---- calls ---- */

static void do_enter(twin *model, int index)
{
    const bool is_hit = model->parts[index].is_resident;
    const tarn_status status = tarn_overlay_enter(&model->tree, model->parts[index].name);
    settle(model, index, status);
    if (status == TARN_OK) {
        model->entered[model->depth++] = index;
        model->enters++;
        model->hits += is_hit;
    }
}

static void do_leave(twin *model)
{
    const int index = model->entered[model->depth - 1];
    const int before = model->depth > 1 ? model->entered[model->depth - 2] : index;
    /* Nothing is looked for when the same is still entered. */
    const bool is_same = model->depth == 1 || before == index;
    const tarn_status status = tarn_overlay_leave(&model->tree, model->parts[index].name);
    if (is_same) {
        HOLDS(model, status == TARN_OK);
    } else {
        settle(model, before, status);
    }
    model->depth -= status == TARN_OK;
}

static void do_pin(twin *model, int index)
{
    const bool is_hit = model->parts[index].is_resident;
    const tarn_status status = tarn_overlay_pin(&model->tree, model->parts[index].name);
    /* The visit that settles sees the pin. */
    const bool is_out = !is_hit && is_pinned_out(model, index);
    HOLDS(model, !is_out || status == TARN_BUSY);
    model->parts[index].pins += status == TARN_OK;
    settle(model, index, status);
    if (status == TARN_OK) {
        model->enters++;
        model->hits += is_hit;
    }
}

static void do_evict(twin *model, int index)
{
    bool is_held = index == 0;
    for (int i = 0; i < model->count; i++) {
        if (model->parts[i].is_resident && is_above(model, index, i)) {
            is_held = is_held || model->parts[i].pins > 0 ||
                      (model->depth > 0 && model->entered[model->depth - 1] == i);
        }
    }
    is_held = is_held && model->parts[index].is_resident;
    const tarn_status status = tarn_overlay_evict(&model->tree, model->parts[index].name);
    HOLDS(model, status == (is_held ? TARN_BUSY : model->failed > 0 ? TARN_IO_FAILED : TARN_OK));
    settle_writes(model);
    model->failures += status != TARN_OK;
    for (int i = 0; i < model->count && status == TARN_OK; i++) {
        if (is_above(model, index, i)) {
            HOLDS(model, !model->parts[i].is_dirty);
            model->parts[i].is_resident = false;
        }
    }
}

static void do_flush(twin *model)
{
    const tarn_status status = tarn_overlay_flush(&model->tree);
    HOLDS(model, status == (model->failed > 0 ? TARN_IO_FAILED : TARN_OK));
    settle_writes(model);
    model->failures += status != TARN_OK;
    for (int i = 0; i < model->count && status == TARN_OK; i++) {
        HOLDS(model, !model->parts[i].is_dirty);
    }
}

/* Changes what is resident, and mostly says so. */
static void do_change(twin *model, int index)
{
    part *it = &model->parts[index];
    if (it->is_resident) {
        draw_bytes(model, it->content, it->options.size);
        memcpy(tarn_overlay_address(&model->tree, it->name), it->content, it->options.size);
        if (it->can_write && draw(model, 4) != 0) {
            HOLDS(model, tarn_overlay_set_dirty(&model->tree, it->name) == TARN_OK);
            it->is_dirty = true;
        }
    }
}

static void step(twin *model)
{
    const int index = (int)draw(model, (uint64_t)model->count);
    const uint64_t kind = draw(model, 100);
    model->failed = 0;
    if (model->fail_in == 0 && draw(model, 6) == 0) {
        model->fail_in = 1 + (unsigned)draw(model, 6);
        model->fail_for = 1 + (unsigned)draw(model, 3);
    }
    if (kind < 40 && model->depth < DEPTH_MOST) {
        do_enter(model, index);
    } else if (kind < 65 && model->depth > 0) {
        do_leave(model);
    } else if (kind < 70) {
        do_pin(model, index);
    } else if (kind < 80) {
        for (int i = 0; i < model->count; i++) {
            if (model->parts[i].pins > 0) {
                tarn_overlay_unpin(&model->tree, model->parts[i].name);
                model->parts[i].pins--;
            }
        }
    } else if (kind < 85) {
        do_evict(model, index);
    } else if (kind < 88) {
        do_flush(model);
    } else {
        for (int i = 0; i < model->count; i++) {
            do_change(model, i);
        }
    }
    check_all(model);
}

static void run(twin *model, uint64_t seed, uint64_t trees)
{
    for (uint64_t i = 0; i < trees; i++) {
        tarn_guarded guarded;
        const int file = model->file;
        memset(model, 0, sizeof *model);
        model->file = file;
        model->seed = seed + i;
        model->random = (seed + i) * UINT64_C(0x9E3779B97F4A7C15) | 1;
        assert_int_equal(tarn_guarded_init(&guarded, NULL), TARN_OK);
        make(model, &guarded.heap);
        check_all(model);
        for (model->step = 1; model->step <= STEPS; model->step++) {
            step(model);
        }
        HOLDS(model, tarn_heap_check(&guarded.heap, NULL, 0));
        tarn_overlay_tree_deinit(&model->tree);
        HOLDS(model, tarn_heap_stats(&guarded.heap).blocks == 0);
        tarn_guarded_deinit(&guarded);
    }
}

static void every_tree_behaves_as_its_naive_twin(void **state)
{
    (void)state;
    static twin model;
    const char *seed = getenv("TARN_SEED");
    FILE *file = tmpfile();
    assert_non_null(file);
    model.file = fileno(file);
    run(&model, seed != NULL ? strtoull(seed, NULL, 10) : 1, seed != NULL ? 1 : TREES);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tree_behaves_as_its_naive_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
