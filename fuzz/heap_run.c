/* SPDX-License-Identifier: MIT */
#include "heap_run.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * A call is four bytes:
 *
 *     [ what and alignment ][ which block ][ size, low ][ size, high ]
 *
 * Every block is filled with a byte of its own, so a block that overlaps another, or was not moved whole, shows.
 */

enum { BLOCKS = 32, CALL_BYTES = 4, CHECK_EVERY = 16 };

typedef struct block {
    unsigned char *start; /* NULL: none */
    size_t size;
    size_t alignment;
    unsigned char fill;
} block;

typedef struct run {
    tarn_heap *heap;
    block blocks[BLOCKS];
    size_t live; /* bytes of all blocks */
    size_t count;
    unsigned char next_fill;
} run;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "heap_run: %s\n", what);
        __builtin_trap();
    }
}

static void look(const block *it, size_t size)
{
    for (size_t index = 0; index < size; index++) {
        must(it->start[index] == it->fill, "a block does not hold what was written to it");
    }
}

static void fill(run *state, block *it)
{
    it->fill = ++state->next_fill;
    memset(it->start, it->fill, it->size);
}

static void take(run *state, block *it, void *start, size_t size, size_t alignment)
{
    must((uintptr_t)start % alignment == 0, "a block is not aligned");
    *it = (block){.start = start, .size = size, .alignment = alignment};
    state->live += size;
    state->count++;
    fill(state, it);
}

static void drop(run *state, block *it)
{
    look(it, it->size);
    tarn_heap_free(state->heap, it->start, it->size);
    state->live -= it->size;
    state->count--;
    it->start = NULL;
}

static void resized(run *state, block *it, void *start, size_t size)
{
    must((uintptr_t)start % it->alignment == 0, "a block that was moved is not aligned");
    state->live = state->live - it->size + size;
    it->start = start;
    look(it, size < it->size ? size : it->size);
    it->size = size;
    fill(state, it);
}

static bool count_block(void *context, void *start, size_t size)
{
    (void)start;
    (void)size;
    ++*(size_t *)context;
    return true;
}

static void check(run *state)
{
    char fault[200] = "";
    if (!tarn_heap_check(state->heap, fault, sizeof fault)) {
        must(false, fault);
    }
    size_t seen = 0;
    if (tarn_heap_visit(state->heap, count_block, &seen) == TARN_OK) {
        must(seen == state->count, "visit does not show every block once");
    }
}

static void call(run *state, const uint8_t *bytes, size_t largest)
{
    block *it = &state->blocks[bytes[1] % BLOCKS];
    const size_t alignment = (size_t)1 << (bytes[0] >> 4) % 13;
    /* The high byte shifts the low one, so that every order of magnitude is as likely. */
    size_t size = 1 + (((size_t)bytes[2] << bytes[3] % 24) % largest);
    switch (bytes[0] % 8) {
    case 0:
    case 1:
    case 2:
        if (it->start == NULL) {
            void *start = tarn_heap_alloc(state->heap, size, alignment);
            if (start != NULL) {
                take(state, it, start, size, alignment);
            }
        } else {
            drop(state, it);
        }
        break;
    case 3:
        if (it->start == NULL) {
            unsigned char *start = tarn_heap_calloc(state->heap, 1, size, alignment);
            if (start != NULL) {
                for (size_t index = 0; index < size; index++) {
                    must(start[index] == 0, "calloc gave memory that is not zero");
                }
                take(state, it, start, size, alignment);
            }
        }
        break;
    case 4:
    case 5:
        if (it->start != NULL) {
            void *start = tarn_heap_realloc(state->heap, it->start, it->size, size, it->alignment);
            if (start != NULL) {
                resized(state, it, start, size);
            } else {
                look(it, it->size);
            }
        }
        break;
    case 6:
        if (it->start != NULL && tarn_heap_resize(state->heap, it->start, it->size, size)) {
            resized(state, it, it->start, size);
        }
        break;
    default:
        (void)tarn_heap_trim(state->heap);
        break;
    }
}

void heap_run(tarn_heap *heap, const uint8_t *data, size_t size, size_t largest)
{
    run state = {.heap = heap};
    for (size_t at = 0; at + CALL_BYTES <= size; at += CALL_BYTES) {
        call(&state, data + at, largest);
        if (at / CALL_BYTES % CHECK_EVERY == 0) {
            check(&state);
        }
    }
    for (size_t index = 0; index < BLOCKS; index++) {
        if (state.blocks[index].start != NULL) {
            drop(&state, &state.blocks[index]);
        }
    }
    check(&state);
}
