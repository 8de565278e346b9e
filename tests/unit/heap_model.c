/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "heap_model.h"

#include "tarn/heaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCKS_MAX = 1024,
    CHECK_EVERY = 16,
    VISIT_EVERY = 128,
};

/* What the heap should have. */
typedef struct twin_block {
    unsigned char *start;
    size_t asked;     /* size as asked for, which may be 0 */
    size_t size;      /* size as served */
    size_t alignment; /* as asked for */
    uint64_t pattern; /* what its bytes were made of */
    bool is_seen;     /* by the visit that is going on */
} twin_block;

typedef struct heap_model {
    const heap_model_subject *subject;
    tarn_heap *heap;
    uint64_t seed;
    uint64_t random; /* state of the random numbers */
    bool may_refuse;
    unsigned operation;
    bool is_ok;

    twin_block blocks[BLOCKS_MAX];
    unsigned count;
    unsigned blocks_max;
    size_t live;
    size_t peak_live;
    uint64_t refused;
} heap_model;

/* ------------------------------------------------------------------------------------------------
 * Faults and choices.
 */
__attribute__((format(printf, 3, 4))) static bool expect(heap_model *model, bool condition,
                                                         const char *format, ...)
{
    if (condition || !model->is_ok) {
        return condition;
    }
    model->is_ok = false;
    va_list values;
    va_start(values, format);
    fprintf(stderr, "heap_model: %s: operation %u: ", model->subject->name, model->operation);
    vfprintf(stderr, format, values);
    fprintf(stderr, "; repeat with TARN_SEED=%" PRIu64 "\n", model->seed);
    va_end(values);
    return false;
}

uint64_t heap_model_seed(void)
{
    const char *text = getenv("TARN_SEED");
    if (text != NULL && *text != '\0') {
        return strtoull(text, NULL, 0);
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec + (uint64_t)getpid();
}

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t number = *state;
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return number ^ (number >> 31);
}

/* A number below `limit`, which is at least 1. */
static uint64_t choose(heap_model *model, uint64_t limit)
{
    return next_random(&model->random) % limit;
}

/* Each power of two is as likely as the next, and so is 0; both sides of a power are looked at
 * often. */
static size_t choose_size(heap_model *model)
{
    unsigned powers = 0;
    while (model->subject->size_max >> powers > 1) {
        powers++;
    }
    const uint64_t power = choose(model, powers + 2);
    if (power == 0) {
        return 0;
    }
    const size_t base = (size_t)1 << (power - 1);
    size_t size = base + (size_t)choose(model, base);
    if (choose(model, 4) == 0) {
        size = base + (size_t)choose(model, 3) - 1;
    }
    return size > model->subject->size_max ? model->subject->size_max : size;
}

static size_t choose_alignment(heap_model *model)
{
    if (choose(model, 4) != 0) {
        return 0;
    }
    const size_t max = model->subject->alignment_max != 0 ? model->subject->alignment_max : 4096;
    unsigned powers = 0;
    while (max >> powers > 1) {
        powers++;
    }
    return (size_t)1 << choose(model, powers + 1);
}

static twin_block *choose_block(heap_model *model)
{
    return model->count == 0 ? NULL : &model->blocks[choose(model, model->count)];
}

/* ------------------------------------------------------------------------------------------------
 * The twin.
 */
static unsigned char pattern_byte(uint64_t pattern, size_t offset)
{
    return (unsigned char)((pattern + offset * 0x9d) >> (offset & 7));
}

static void write_pattern(twin_block *block, uint64_t pattern)
{
    block->pattern = pattern;
    for (size_t i = 0; i < block->size; i++) {
        block->start[i] = pattern_byte(pattern, i);
    }
}

static void expect_pattern(heap_model *model, const unsigned char *start, size_t size,
                           uint64_t pattern)
{
    for (size_t i = 0; i < size; i++) {
        if (start[i] != pattern_byte(pattern, i)) {
            expect(model, false, "byte %zu of %zu at %p was changed", i, size, (const void *)start);
            return;
        }
    }
}

static void twin_grow(heap_model *model, size_t old_size, size_t new_size)
{
    model->live = model->live - old_size + new_size;
    if (model->live > model->peak_live) {
        model->peak_live = model->live;
    }
}

/* A block may be where the heap says: aligned, and no part of another. */
static void expect_place(heap_model *model, const twin_block *block)
{
    const size_t alignment = block->alignment == 0 ? _Alignof(max_align_t) : block->alignment;
    expect(model, (uintptr_t)block->start % alignment == 0, "%p is no multiple of %zu",
           (void *)block->start, alignment);
    for (unsigned i = 0; i < model->count; i++) {
        const twin_block *other = &model->blocks[i];
        if (other != block) {
            expect(model,
                   block->start + block->size <= other->start ||
                       other->start + other->size <= block->start,
                   "block %p of %zu bytes overlaps %p of %zu", (void *)block->start, block->size,
                   (void *)other->start, other->size);
        }
    }
}

static void expect_may_refuse(heap_model *model, size_t size)
{
    model->refused++;
    expect(model, model->may_refuse, "a request of %zu bytes was refused", size);
}

static void forget(heap_model *model, twin_block *block)
{
    twin_grow(model, block->size, 0);
    *block = model->blocks[--model->count];
}

/* ------------------------------------------------------------------------------------------------
 * Operations.
 */
static void do_alloc(heap_model *model, bool zeroed)
{
    if (model->count == model->blocks_max) {
        return;
    }
    twin_block block = {.asked = choose_size(model), .alignment = choose_alignment(model)};
    block.size = block.asked == 0 ? 1 : block.asked;
    const size_t count = 1 + (size_t)choose(model, 3);
    if (zeroed) {
        block.asked = block.asked / count * count;
        block.size = block.asked == 0 ? 1 : block.asked;
        block.start = tarn_heap_calloc(model->heap, count, block.asked / count, block.alignment);
    } else {
        block.start = tarn_heap_alloc(model->heap, block.asked, block.alignment);
    }
    if (block.start == NULL) {
        expect_may_refuse(model, block.asked);
        return;
    }
    if (zeroed) {
        for (size_t i = 0; i < block.size; i++) {
            if (!expect(model, block.start[i] == 0, "byte %zu of a zeroed block is not", i)) {
                break;
            }
        }
    }
    expect_place(model, &block);
    write_pattern(&block, next_random(&model->random));
    model->blocks[model->count++] = block;
    twin_grow(model, 0, block.size);
}

static void do_free(heap_model *model)
{
    twin_block *block = choose_block(model);
    if (block == NULL) {
        tarn_heap_free(model->heap, NULL, 17);
        return;
    }
    expect_pattern(model, block->start, block->size, block->pattern);
    tarn_heap_free(model->heap, block->start, block->asked);
    forget(model, block);
}

static void do_resize(heap_model *model)
{
    twin_block *block = choose_block(model);
    if (block == NULL) {
        return;
    }
    const size_t asked = choose_size(model);
    const size_t size = asked == 0 ? 1 : asked;
    if (!tarn_heap_resize(model->heap, block->start, block->asked, asked)) {
        expect_pattern(model, block->start, block->size, block->pattern);
        return;
    }
    expect_pattern(model, block->start, size < block->size ? size : block->size, block->pattern);
    twin_grow(model, block->size, size);
    block->asked = asked;
    block->size = size;
    expect_place(model, block);
    write_pattern(block, next_random(&model->random));
}

static void do_realloc(heap_model *model)
{
    twin_block *block = choose_block(model);
    if (block == NULL) {
        return;
    }
    const size_t asked = choose_size(model);
    const size_t size = asked == 0 ? 1 : asked;
    unsigned char *start =
        tarn_heap_realloc(model->heap, block->start, block->asked, asked, block->alignment);
    if (start == NULL) {
        expect_may_refuse(model, asked);
        expect_pattern(model, block->start, block->size, block->pattern);
        return;
    }
    expect_pattern(model, start, size < block->size ? size : block->size, block->pattern);
    twin_grow(model, block->size, size);
    block->start = start;
    block->asked = asked;
    block->size = size;
    expect_place(model, block);
    write_pattern(block, next_random(&model->random));
}

/* Requests that no heap may serve; nothing may come of them. */
static void do_impossible(heap_model *model)
{
    tarn_heap *heap = model->heap;
    expect(model, tarn_heap_alloc(heap, (size_t)PTRDIFF_MAX + 1, 0) == NULL, "too large passed");
    expect(model, tarn_heap_alloc(heap, SIZE_MAX, 1) == NULL, "SIZE_MAX passed");
    expect(model, tarn_heap_alloc(heap, 8, 24) == NULL, "an alignment of 24 passed");
    expect(model, tarn_heap_calloc(heap, SIZE_MAX / 2 + 2, 2, 0) == NULL, "an overflow passed");
    twin_block *block = choose_block(model);
    if (block != NULL) {
        expect(model,
               tarn_heap_realloc(heap, block->start, block->asked, SIZE_MAX - 7, 0) == NULL &&
                   !tarn_heap_resize(heap, block->start, block->asked, SIZE_MAX - 7),
               "a block became as large as the address space");
        expect(model, tarn_heap_realloc(heap, block->start, block->asked, 64, 3) == NULL,
               "an alignment of 3 passed");
        expect_pattern(model, block->start, block->size, block->pattern);
    }
}

static void do_check(heap_model *model)
{
    char fault[160] = "none told";
    const bool balances = tarn_heap_check(model->heap, fault, sizeof fault);
    expect(model, balances, "check found: %s", fault);
    expect(model, !balances || fault[0] == '\0', "check found nothing but told: %s", fault);
}

static void do_stats(heap_model *model)
{
    const heap_model_subject *subject = model->subject;
    const tarn_stats stats = tarn_heap_stats(model->heap);
    expect(model, subject->counts_room ? stats.live >= model->live : stats.live == model->live,
           "live is %zu but should be %zu", stats.live, model->live);
    const unsigned count = subject->counts_no_blocks ? 0 : model->count;
    expect(model, stats.blocks == count, "blocks is %" PRIu64 " but should be %u", stats.blocks,
           count);
    expect(model, !subject->counts_no_blocks || (stats.allocs == 0 && stats.frees == 0),
           "%" PRIu64 " allocs and %" PRIu64 " frees are told though none is counted", stats.allocs,
           stats.frees);
    expect(model, stats.footprint >= stats.live, "footprint %zu is below live %zu", stats.footprint,
           stats.live);
    expect(model, stats.peak_footprint >= stats.footprint, "footprint %zu is above its peak %zu",
           stats.footprint, stats.peak_footprint);
    if (subject->keeps_no_history) {
        return;
    }
    expect(model, stats.allocs - stats.frees == stats.blocks,
           "%" PRIu64 " allocs and %" PRIu64 " frees leave no %" PRIu64 " blocks", stats.allocs,
           stats.frees, stats.blocks);
    expect(model, stats.failures >= model->refused,
           "failures is %" PRIu64 " but %" PRIu64 " were seen", stats.failures, model->refused);
    /* A realloc by copy has both blocks for a moment. */
    expect(model,
           stats.peak_live >= model->peak_live &&
               (subject->counts_room || stats.peak_live <= model->peak_live + subject->size_max),
           "peak_live is %zu but should be about %zu", stats.peak_live, model->peak_live);
}

static void do_largest(heap_model *model)
{
    const size_t largest = tarn_heap_stats(model->heap).largest_free;
    if (!model->subject->promises_largest || largest == 0) {
        return;
    }
    /* One grain more must not be there, or largest_free is not the largest. That is asked first: what is
     * free may be in another order once it was in use. */
    void *block = tarn_heap_alloc(model->heap, largest + _Alignof(max_align_t), 0);
    if (!expect(model, block == NULL, "largest_free says %zu but more was served", largest)) {
        tarn_heap_free(model->heap, block, largest + _Alignof(max_align_t));
    }
    block = tarn_heap_alloc(model->heap, largest, 0);
    if (expect(model, block != NULL, "largest_free says %zu but that was refused", largest)) {
        tarn_heap_free(model->heap, block, largest);
    }
    if (model->live + largest > model->peak_live) {
        model->peak_live = model->live + largest;
    }
}

static bool see_block(void *context, void *block, size_t size)
{
    heap_model *model = context;
    for (unsigned i = 0; i < model->count; i++) {
        twin_block *twin = &model->blocks[i];
        if (twin->start == block) {
            expect(model, !twin->is_seen, "block %p is visited twice", block);
            expect(model, model->subject->visits_room ? size >= twin->size : size == twin->size,
                   "block %p is visited with %zu bytes but has %zu", block, size, twin->size);
            twin->is_seen = true;
            return true;
        }
    }
    expect(model, false, "visit shows %p, which is no block", block);
    return false;
}

static bool see_one(void *context, void *block, size_t size)
{
    (void)block;
    (void)size;
    ++*(unsigned *)context;
    return false;
}

static void do_visit(heap_model *model)
{
    for (unsigned i = 0; i < model->count; i++) {
        model->blocks[i].is_seen = false;
    }
    const tarn_status status = tarn_heap_visit(model->heap, see_block, model);
    if (model->subject->cannot_visit) {
        expect(model, status == TARN_UNSUPPORTED, "visit says: %s", tarn_status_text(status));
        return;
    }
    expect(model, status == TARN_OK, "visit says: %s", tarn_status_text(status));
    for (unsigned i = 0; i < model->count; i++) {
        expect(model, model->blocks[i].is_seen, "block %p is not visited",
               (void *)model->blocks[i].start);
    }
    unsigned seen = 0;
    tarn_heap_visit(model->heap, see_one, &seen);
    expect(model, seen == (model->count > 0), "a visit that was ended went on to %u blocks", seen);
}

static void do_trim(heap_model *model)
{
    tarn_heap_trim(model->heap);
}

static void do_reset(heap_model *model)
{
    const tarn_status status = tarn_heap_reset(model->heap);
    if (model->subject->cannot_reset) {
        expect(model, status == TARN_UNSUPPORTED, "reset says: %s", tarn_status_text(status));
        return;
    }
    expect(model, status == TARN_OK, "reset says: %s", tarn_status_text(status));
    model->count = 0;
    model->live = 0;
}

static void do_something(heap_model *model)
{
    const uint64_t what = choose(model, 256);
    if (what < 100) {
        do_alloc(model, false);
    } else if (what < 115) {
        do_alloc(model, true);
    } else if (what < 200) {
        do_free(model);
    } else if (what < 225) {
        do_realloc(model);
    } else if (what < 245) {
        do_resize(model);
    } else if (what < 250) {
        do_impossible(model);
    } else if (what < 252) {
        do_trim(model);
    } else if (what < 255) {
        do_largest(model);
    } else if (choose(model, 8) == 0) {
        do_reset(model);
    }
}

static void look_around(heap_model *model)
{
    if (model->operation % CHECK_EVERY == 0 || model->may_refuse != model->subject->may_refuse) {
        if (!model->subject->cannot_check) {
            do_check(model);
        }
        do_stats(model);
    }
    if (model->operation % VISIT_EVERY == 0) {
        do_visit(model);
    }
}

/* Frees the blocks one by one, in an order of chance, and looks at what is left. */
static void wind_up(heap_model *model)
{
    while (model->is_ok && model->count > 0) {
        do_free(model);
    }
    do_stats(model);
    if (!model->subject->cannot_check) {
        do_check(model);
    }
    if (model->subject->frees_nothing) {
        do_reset(model);
    }
    do_trim(model);
    if (!model->subject->keeps_footprint) {
        const size_t footprint = tarn_heap_stats(model->heap).footprint;
        expect(model, footprint == 0, "%zu bytes are held though nothing is live", footprint);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Runs.
 */
static heap_model *model_begin(const heap_model_subject *subject, uint64_t seed)
{
    /* Static: a model is too large for small stacks, and a test of heaps should not need one. */
    static heap_model instance;
    instance = (heap_model){
        .subject = subject,
        .seed = seed,
        .random = seed,
        .may_refuse = subject->may_refuse,
        .is_ok = true,
        .blocks_max = subject->blocks_max != 0 ? subject->blocks_max : 256,
    };
    if (instance.blocks_max > BLOCKS_MAX) {
        instance.blocks_max = BLOCKS_MAX;
    }
    return &instance;
}

static void model_go(heap_model *model, unsigned operations)
{
    const unsigned end = model->operation + operations;
    for (; model->is_ok && model->operation < end; model->operation++) {
        do_something(model);
        look_around(model);
    }
}

bool heap_model_run(const heap_model_subject *subject, uint64_t seed, unsigned operations)
{
    heap_model *model = model_begin(subject, seed);
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    model->heap = subject->open(subject->state, &pages.heap);
    if (expect(model, model->heap != NULL, "the heap cannot be made")) {
        model_go(model, operations);
        wind_up(model);
        subject->close(subject->state);
    }
    const size_t lost = tarn_heap_stats(&pages.heap).live;
    expect(model, lost == 0, "%zu bytes of upstream are lost", lost);
    tarn_pages_deinit(&pages);
    return model->is_ok;
}

/* One run under the plan. `refused` gets the requests that it met. */
static bool run_under(const heap_model_subject *subject, uint64_t seed, unsigned operations,
                      tarn_failing_plan plan, uint64_t *refused)
{
    heap_model *model = model_begin(subject, seed);
    tarn_pages pages;
    tarn_failing failing;
    tarn_pages_init(&pages, NULL);
    tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &pages.heap, .plan = plan});
    model->may_refuse = true;
    model->heap = subject->open(subject->state, &failing.heap);
    if (model->heap == NULL) {
        *refused = failing.refused;
        expect(model, failing.refused > 0, "the heap cannot be made");
    } else {
        model_go(model, operations);
        *refused = failing.refused;
        /* When memory is back, so is the heap. */
        tarn_failing_restart(&failing, NULL);
        model->may_refuse = subject->may_refuse;
        model_go(model, operations);
        wind_up(model);
        subject->close(subject->state);
    }
    const size_t lost = tarn_heap_stats(&pages.heap).live;
    expect(model, lost == 0, "%zu bytes of upstream are lost", lost);
    tarn_pages_deinit(&pages);
    return model->is_ok;
}

bool heap_model_run_short_of_memory(const heap_model_subject *subject, uint64_t seed,
                                    unsigned operations)
{
    uint64_t refused = 1;
    uint64_t request = 1;
    for (; refused > 0; request++) {
        refused = 0;
        uint64_t ignored = 0;
        if (!run_under(subject, seed, operations, (tarn_failing_plan){.at = request}, &refused) ||
            !run_under(subject, seed, operations, (tarn_failing_plan){.from = request}, &ignored)) {
            fprintf(stderr, "heap_model: %s: when upstream request %" PRIu64 " failed\n",
                    subject->name, request);
            return false;
        }
    }
    if (request == 2) {
        fprintf(stderr, "heap_model: %s: asked nothing of its upstream\n", subject->name);
        return false;
    }
    return true;
}
