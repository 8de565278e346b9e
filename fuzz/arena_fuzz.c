/* SPDX-License-Identifier: MIT */
/*
 * Arenas: the first byte chooses the options, the second whether the arena's own functions or its
 * heap is used, the third how much memory there is. Under the fuzzer's AddressSanitizer arenas are
 * closed; chunks, marks, cleanups and children are the same.
 */
#include "heap_run.h"
#include "tarn/arena.h"

#include <stdio.h>
#include <string.h>

enum { BLOCKS = 64, MARKS = 8, CALL_BYTES = 3, SIZE_TOP = 3000 };

static _Alignas(64) unsigned char memory[1 << 16];
static unsigned char first_memory[1500];

typedef struct block {
    unsigned char *start; /* NULL: none */
    size_t size;
    unsigned char fill;
} block;

/* What a release to the mark leaves. */
typedef struct mark {
    tarn_arena_point point;
    size_t count; /* of blocks */
    size_t used;
    size_t cleanups;
} mark;

typedef struct run {
    tarn_arena *arena;
    block blocks[BLOCKS]; /* the oldest first */
    size_t count;
    mark marks[MARKS]; /* good ones, the oldest first */
    size_t mark_count;
    size_t cleanups; /* registered and not called */
    bool clears;     /* new blocks are zero */
} run;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "arena_fuzz: %s\n", what);
        __builtin_trap();
    }
}

static void look(const block *it, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        must(it->start[i] == it->fill, "a block does not hold what was written to it");
    }
}

static void check(const tarn_arena *arena)
{
    char fault[200] = "";
    if (!tarn_arena_check(arena, fault, sizeof fault)) {
        must(false, fault);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Calls
 */

/* The newest block is `start`. */
static void push(run *it, void *start, size_t size, unsigned char fill)
{
    it->blocks[it->count++] = (block){.start = start, .size = size, .fill = fill};
    memset(start, fill, size);
}

static void alloc(run *it, size_t size, unsigned char fill)
{
    if (it->count == BLOCKS) {
        return;
    }
    const size_t alignment = fill % 4 == 0 ? (size_t)1 << (fill / 4 % 10) : 0;
    unsigned char *start = alignment != 0 ? tarn_arena_alloc_aligned(it->arena, size, alignment)
                                          : tarn_arena_alloc(it->arena, size);
    if (start == NULL) {
        return;
    }
    const size_t wanted = alignment != 0 ? alignment : size % 16 == 0 ? 16 : 8;
    must((uintptr_t)start % wanted == 0, "a block is not aligned");
    for (size_t i = 0; it->clears && i < size; i++) {
        must(start[i] == 0, "a block is not zero");
    }
    push(it, start, size, fill);
}

/* A block may have gone since a mark; then the marks after it would promise too much. */
static size_t first_after_marks(const run *it)
{
    return it->mark_count == 0 ? 0 : it->marks[it->mark_count - 1].count;
}

static void free_newest(run *it)
{
    if (it->count > first_after_marks(it)) {
        const block *newest = &it->blocks[--it->count];
        look(newest, newest->size);
        tarn_arena_free(it->arena, newest->start, newest->size);
    }
}

static void resize(run *it, size_t index, size_t size, unsigned char fill)
{
    const size_t oldest = first_after_marks(it);
    if (it->count == oldest) {
        return;
    }
    block *one = &it->blocks[oldest + index % (it->count - oldest)];
    unsigned char *moved = tarn_arena_realloc(it->arena, one->start, one->size, size);
    if (moved == NULL) {
        look(one, one->size);
        return;
    }
    one->start = moved;
    look(one, size < one->size ? size : one->size);
    *one = (block){.start = moved, .size = size, .fill = fill};
    memset(moved, fill, size);
}

static void print(run *it, size_t length, unsigned char fill)
{
    if (it->count == BLOCKS) {
        return;
    }
    char *text = tarn_arena_printf(it->arena, "%0*d", (int)length, 7);
    if (text != NULL) {
        must(strlen(text) == length && text[length - 1] == '7', "a text is wrong");
        push(it, text, length + 1, fill);
    }
}

static void note_cleanup(void *context)
{
    run *it = context;
    must(it->cleanups > 0, "a cleanup was called twice");
    it->cleanups--;
    /* Cleanups come before any memory goes. */
    for (size_t i = 0; i < it->count; i++) {
        look(&it->blocks[i], it->blocks[i].size);
    }
}

/* A cleanup of the arena, or of a child that has memory of its own. */
static void add_cleanup(run *it, bool is_of_child)
{
    tarn_arena *arena = it->arena;
    if (is_of_child) {
        arena = tarn_arena_create(&(tarn_arena_options){.parent = arena, .chunk_size = 1024});
        if (arena == NULL) {
            return;
        }
    }
    if (tarn_arena_on_reset(arena, note_cleanup, it) != NULL) {
        it->cleanups++;
    }
}

static void set_mark(run *it)
{
    if (it->mark_count < MARKS) {
        it->marks[it->mark_count++] = (mark){
            .point = tarn_arena_mark(it->arena),
            .count = it->count,
            .used = tarn_arena_used(it->arena),
            .cleanups = it->cleanups,
        };
    }
}

static void release(run *it, size_t index)
{
    if (it->mark_count == 0) {
        return;
    }
    const mark *to = &it->marks[index % it->mark_count];
    tarn_arena_release(it->arena, to->point);
    must(it->cleanups == to->cleanups, "a release called the wrong cleanups");
    must(tarn_arena_used(it->arena) <= to->used, "a release left something");
    it->count = to->count;
    it->mark_count = index % it->mark_count + 1; /* it stays good */
    check(it->arena);
}

static void reset(run *it)
{
    tarn_arena_reset(it->arena);
    must(it->cleanups == 0, "a reset forgot a cleanup");
    must(tarn_arena_used(it->arena) == 0, "a reset left something");
    it->count = 0;
    it->mark_count = 0;
    check(it->arena);
}

/* A call is three bytes: what and, of a few, which; the size; what is written. */
static void call(run *it, const uint8_t *bytes)
{
    const size_t size = 1 + (size_t)bytes[1] * (bytes[2] % 8 == 7 ? SIZE_TOP / 256 : 1);
    switch (bytes[0] % 16) {
    case 8:
        free_newest(it);
        break;
    case 9:
        resize(it, bytes[0] >> 4, size, bytes[2]);
        break;
    case 10:
        print(it, size, bytes[2]);
        break;
    case 11:
        add_cleanup(it, bytes[1] % 4 == 0);
        break;
    case 12:
        set_mark(it);
        break;
    case 13:
        release(it, bytes[0] >> 4);
        break;
    case 14:
        (void)tarn_arena_trim(it->arena);
        check(it->arena);
        break;
    case 15:
        if (bytes[1] % 8 == 0) {
            reset(it);
        }
        break;
    default:
        alloc(it, size, bytes[2]);
        break;
    }
}

static void run_typed(tarn_arena *arena, bool clears, const uint8_t *data, size_t size)
{
    static run state;
    state = (run){.arena = arena, .clears = clears};
    for (size_t at = 0; at + CALL_BYTES <= size; at += CALL_BYTES) {
        call(&state, data + at);
    }
    check(arena);
    for (size_t i = 0; i < state.count; i++) {
        look(&state.blocks[i], state.blocks[i].size);
        must(tarn_arena_owns(arena, state.blocks[i].start), "a block is not known");
    }
    reset(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    tarn_buffer upstream;
    const size_t room = 2048 + (size_t)data[2] * 200;
    if (tarn_buffer_init(&upstream, (tarn_memory){memory, room}, NULL) != TARN_OK) {
        return 0;
    }
    const bool has_buffer = (data[0] & 1) != 0;
    const bool is_created = (data[0] & 32) != 0;
    const tarn_arena_options options = {
        .upstream = &upstream.heap,
        .buffer = {has_buffer ? first_memory + data[1] % 16 : NULL, has_buffer ? 1400 : 0},
        .checks = (data[0] & 2) != 0,
        .zero = (data[0] & 4) != 0,
        .poison = (data[0] & 8) != 0,
        .chunk_size = 512,
        .chunk_size_max = 4096,
        .limit = (data[0] & 16) != 0 ? 20000 : 0,
    };
    tarn_arena storage;
    tarn_arena *arena = &storage;
    if (is_created) {
        arena = tarn_arena_create(&options);
    } else {
        must(tarn_arena_init(&storage, &options) == TARN_OK, "an arena cannot be made");
    }
    if (arena != NULL) {
        if (data[1] % 4 != 0) {
            run_typed(arena, options.zero, data + 3, size - 3);
        } else {
            heap_run(&arena->heap, data + 3, size - 3, 2000);
        }
        if (is_created) {
            tarn_arena_destroy(arena);
        } else {
            tarn_arena_deinit(arena);
        }
    }
    must(tarn_heap_stats(&upstream.heap).live == 0, "memory of upstream is lost");
    tarn_buffer_deinit(&upstream);
    return 0;
}
