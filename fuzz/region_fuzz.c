/* SPDX-License-Identifier: MIT */
/*
 * A region of any policy, with its books either way. The first bytes choose what it is:
 *
 *     [ policy, books, memory ][ granule ][ where it starts ][ size, high ][ size, low ][ book memory ]
 *
 * and then a call is four:
 *
 *     [ what and alignment ][ which block ][ size, low ][ size, shift ]
 *
 * Every block is filled with bytes of its own. A region without memory gets a stand-in, which its offsets lead into.
 */
#include "tarn/region.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    HEAD_BYTES = 6,
    CALL_BYTES = 4,
    BLOCKS = 64,
    CHECK_EVERY = 8,
    RANGE_MAX = 1 << 16,
    POLICIES = 8
};

static alignas(4096) unsigned char memory[2 * RANGE_MAX];
static alignas(64) unsigned char book_memory[1 << 15];

typedef struct block {
    size_t offset; /* TARN_NO_OFFSET: none */
    size_t size;
    unsigned char fill;
} block;

typedef struct run {
    tarn_region region;
    tarn_region_options options;
    size_t sizes[4];
    unsigned char *origin; /* what offset 0 is */
    size_t range_size;
    bool inside;
    bool has_memory;
    bool has_second; /* range */
    block blocks[BLOCKS];
    size_t count;
    unsigned char next_fill;
} run;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "region_fuzz: %s\n", what);
        __builtin_trap();
    }
}

/* ------------------------------------------------------------------------------------------------
 * The four calls, by address or by offset.
 */
static bool by_address(const run *state, uint8_t chooser)
{
    return state->has_memory && (state->inside || chooser % 2 == 0);
}

static size_t take(run *state, size_t size, size_t alignment, uint8_t chooser)
{
    if (!by_address(state, chooser)) {
        const size_t offset = tarn_region_alloc_offset(&state->region, size, alignment);
        const size_t address = state->has_memory ? (uintptr_t)state->origin + offset : offset;
        must(offset == TARN_NO_OFFSET || address % alignment == 0, "an offset is not aligned");
        return offset;
    }
    unsigned char *start = tarn_region_alloc(&state->region, size, alignment);
    must((uintptr_t)start % alignment == 0, "a block is not aligned");
    return start == NULL ? TARN_NO_OFFSET : (size_t)(start - state->origin);
}

static void give_back(run *state, size_t offset, uint8_t chooser)
{
    if (by_address(state, chooser)) {
        tarn_region_free(&state->region, state->origin + offset);
    } else {
        tarn_region_free_offset(&state->region, offset);
    }
}

static bool resize(run *state, size_t offset, size_t size, uint8_t chooser)
{
    return by_address(state, chooser)
               ? tarn_region_resize(&state->region, state->origin + offset, size)
               : tarn_region_resize_offset(&state->region, offset, size);
}

static size_t room(run *state, size_t offset, uint8_t chooser)
{
    return by_address(state, chooser) ? tarn_region_room(&state->region, state->origin + offset)
                                      : tarn_region_room_offset(&state->region, offset);
}

/* ------------------------------------------------------------------------------------------------
 * Blocks.
 */
static void fill(run *state, block *it)
{
    it->fill = ++state->next_fill;
    memset(state->origin + it->offset, it->fill, it->size);
}

static void look(const run *state, const block *it, size_t size)
{
    const unsigned char *start = state->origin + it->offset;
    for (size_t index = 0; index < size; index++) {
        must(start[index] == it->fill, "a block does not hold what was written to it");
    }
}

static void call_alloc(run *state, block *it, size_t size, size_t alignment, uint8_t chooser)
{
    const size_t offset = take(state, size, alignment, chooser);
    if (offset != TARN_NO_OFFSET) {
        it->offset = offset;
        it->size = room(state, offset, chooser);
        must(it->size >= size, "a block has less room than was asked for");
        state->count++;
        fill(state, it);
    }
}

static void call_free(run *state, block *it, uint8_t chooser)
{
    look(state, it, it->size);
    give_back(state, it->offset, chooser);
    it->offset = TARN_NO_OFFSET;
    state->count--;
}

static void call_resize(run *state, block *it, size_t size, uint8_t chooser)
{
    const bool is_resized = resize(state, it->offset, size, chooser);
    const size_t now = room(state, it->offset, chooser);
    if (is_resized) {
        must(now >= size, "a resized block has less room than was asked for");
    } else {
        must(now == it->size, "a refusal to resize changed the block");
    }
    look(state, it, now < it->size ? now : it->size);
    it->size = now;
    fill(state, it);
}

static void call_reset(run *state)
{
    tarn_region_reset(&state->region);
    for (size_t index = 0; index < BLOCKS; index++) {
        state->blocks[index].offset = TARN_NO_OFFSET;
    }
    state->count = 0;
}

static void call_add_or_remove(run *state)
{
    const tarn_memory second = {memory + RANGE_MAX, RANGE_MAX / 2};
    if (!state->has_second) {
        const tarn_status status = tarn_region_add(&state->region, second);
        must(status == TARN_OK || status == TARN_NO_ROOM || !state->has_memory,
             "a range was refused");
        state->has_second = status == TARN_OK;
        return;
    }
    const tarn_status status = tarn_region_remove(&state->region, second.start);
    must(status == TARN_OK || status == TARN_NO_ROOM, "a range was not to be removed");
    state->has_second = status != TARN_OK;
}

static void call_largest(run *state, uint8_t chooser)
{
    const size_t largest = tarn_region_largest_free(&state->region);
    /* First: what is free may be in another order once it was in use. */
    must(take(state, largest + 1, 1, chooser) == TARN_NO_OFFSET,
         "more than largest_free was served");
    /* Books that are full may refuse what there is room for. */
    if (largest != 0 && state->options.book_memory.start == NULL) {
        const size_t offset = take(state, largest, 1, chooser);
        must(offset != TARN_NO_OFFSET, "largest_free was not served");
        give_back(state, offset, chooser);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Looking at everything.
 */
typedef struct visit {
    const run *state;
    size_t used;
    size_t free_end; /* where the last partition ends if it is free */
} visit;

static bool see(void *context, const tarn_partition *partition)
{
    visit *it = context;
    const bool is_dynamic = it->state->options.policy <= TARN_SEGREGATED_FIT;
    const size_t tag = it->state->inside && is_dynamic ? 8 : 0;
    it->used += !partition->is_free;
    if (is_dynamic && partition->is_free) {
        const size_t start = partition->offset - tag;
        must(start != it->free_end || start == (size_t)(memory + RANGE_MAX - it->state->origin),
             "two free neighbours");
        it->free_end = partition->offset + partition->size;
    }
    return true;
}

static void check(run *state)
{
    char fault[200] = "";
    if (!tarn_region_check(&state->region, fault, sizeof fault)) {
        must(false, fault);
    }
    visit seen = {.state = state, .free_end = SIZE_MAX};
    tarn_region_visit(&state->region, see, &seen);
    must(seen.used == state->count, "visit does not show every block once");
    const tarn_stats stats = tarn_region_stats(&state->region);
    must(stats.blocks == state->count && stats.allocs - stats.frees == stats.blocks,
         "stats do not count the blocks");
    must(stats.footprint >= stats.live || !state->has_memory, "more is live than is held");
}

static void call(run *state, const uint8_t *bytes)
{
    block *it = &state->blocks[bytes[1] % BLOCKS];
    const size_t alignment = (size_t)1 << (bytes[0] >> 4) % 14;
    const size_t size = ((size_t)bytes[2] << bytes[3] % 12) + bytes[3] / 16;
    switch (bytes[0] % 16) {
    case 0:
        call_add_or_remove(state);
        break;
    case 1:
        if (bytes[1] == 0) {
            call_reset(state);
        } else {
            call_largest(state, bytes[3]);
        }
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        if (it->offset != TARN_NO_OFFSET) {
            call_resize(state, it, size, bytes[3]);
        }
        break;
    default:
        if (it->offset == TARN_NO_OFFSET) {
            call_alloc(state, it, size, alignment, bytes[3]);
        } else {
            call_free(state, it, bytes[3]);
        }
        break;
    }
}

/* Reads the head; false if no region can be made of it. */
static bool open_region(run *state, const uint8_t *head)
{
    tarn_region_options *options = &state->options;
    options->policy = (tarn_region_policy)(head[0] % POLICIES);
    state->inside = (head[0] & 8) == 0;
    options->books = state->inside ? TARN_BOOKS_INSIDE : TARN_BOOKS_OUTSIDE;
    state->has_memory = state->inside || (head[0] & 16) == 0;
    if (!state->inside || options->policy == TARN_BUDDY) {
        options->granule = (size_t)8 << head[1] % 10;
    }
    if (options->policy == TARN_FIXED_PARTITIONS && head[1] >= 128) {
        for (size_t index = 0; index < 4; index++) {
            state->sizes[index] = 1 + (size_t)head[1] * head[2] % (97 + index * 500);
        }
        options->sizes = state->sizes;
        options->size_count = 4;
    } else if (options->policy == TARN_FIXED_PARTITIONS) {
        options->partition_size = 1 + (size_t)head[1] * head[5];
    }
    if (!state->inside && head[5] % 4 == 1) {
        options->book_memory = (tarn_memory){book_memory + head[2] % 16, (size_t)head[5] * 120};
    }
    const size_t lead = head[2] % 128;
    state->range_size = (size_t)head[3] * 256 + head[4];
    if (state->range_size > RANGE_MAX - lead) {
        state->range_size = RANGE_MAX - lead;
    }
    state->origin = memory + lead;
    const tarn_memory range = {state->has_memory ? state->origin : NULL, state->range_size};
    if (!state->has_memory) {
        state->origin = memory;
    }
    for (size_t index = 0; index < BLOCKS; index++) {
        state->blocks[index].offset = TARN_NO_OFFSET;
    }
    return tarn_region_init(&state->region, range, options) == TARN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static run state;
    state = (run){0};
    if (size < HEAD_BYTES || !open_region(&state, data)) {
        return 0;
    }
    check(&state);
    for (size_t at = HEAD_BYTES; at + CALL_BYTES <= size; at += CALL_BYTES) {
        call(&state, data + at);
        if (at / CALL_BYTES % CHECK_EVERY == 0) {
            check(&state);
        }
    }
    for (size_t index = 0; index < BLOCKS; index++) {
        if (state.blocks[index].offset != TARN_NO_OFFSET) {
            call_free(&state, &state.blocks[index], (uint8_t)index);
        }
    }
    check(&state);
    tarn_region_deinit(&state.region);
    return 0;
}
