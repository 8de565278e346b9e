/* SPDX-License-Identifier: MIT */
/* The movable heap: the first byte chooses where its memory comes from, the others are a program of calls. */
#include "tarn/heaps.h"
#include "tarn/movable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SLOTS = 64 };

typedef struct slot {
    tarn_handle handle;
    size_t size;
    unsigned char byte;
    unsigned pins;
    void *pinned;
    bool purged;
} slot;

typedef struct input {
    const uint8_t *bytes;
    size_t left;
} input;

static tarn_movable heap;
static slot slots[SLOTS];

static void require(bool condition)
{
    if (!condition) {
        __builtin_trap();
    }
}

static unsigned take(input *from)
{
    if (from->left == 0) {
        return 0;
    }
    from->left--;
    return *from->bytes++;
}

/* Few large ones, many small ones. */
static size_t take_size(input *from)
{
    const unsigned first = take(from);
    return first < 200 ? first : first < 250 ? (size_t)take(from) * 16 : (size_t)take(from) * 300;
}

static bool note_purge(void *context, tarn_handle handle, void *block, size_t size)
{
    (void)context;
    for (slot *it = slots; it != slots + SLOTS; it++) {
        if (it->handle == handle) {
            require(it->size == size && it->pins == 0 && !it->purged);
            require(*(unsigned char *)block == it->byte);
            it->purged = it->byte % 4 != 0;
            return it->purged;
        }
    }
    require(false);
    return false;
}

static void check_bytes(const slot *it, size_t size)
{
    const unsigned char *block = tarn_deref(&heap, it->handle);
    require(it->pins == 0 || block == it->pinned);
    for (size_t i = 0; i < size; i++) {
        require(block[i] == it->byte);
    }
}

static void fill(slot *it, unsigned byte)
{
    it->byte = (unsigned char)byte;
    memset(tarn_deref(&heap, it->handle), it->byte, it->size);
}

static void check_all(void)
{
    require(tarn_movable_check(&heap, NULL, 0));
    size_t live = 0;
    for (const slot *it = slots; it != slots + SLOTS; it++) {
        if (it->handle != 0 && !it->purged) {
            require(tarn_movable_size(&heap, it->handle) == it->size);
            check_bytes(it, it->size);
            live += it->size;
        }
        require(it->handle == 0 || tarn_movable_look_at(&heap, it->handle) ==
                                       (it->purged ? TARN_MOVABLE_PURGED : TARN_MOVABLE_LIVE));
    }
    require(tarn_movable_stats(&heap).live == live);
}

static void run_alloc(slot *it, input *from)
{
    const size_t size = take_size(from);
    const size_t alignment = (size_t)1 << take(from) % 13;
    it->handle = tarn_movable_alloc(&heap, size, alignment);
    if (it->handle != 0) {
        require((uintptr_t)tarn_deref(&heap, it->handle) % alignment == 0);
        it->size = size == 0 ? 1 : size;
        it->purged = false;
        fill(it, take(from));
    }
}

static void run_free(slot *it)
{
    for (; it->pins > 0; it->pins--) {
        tarn_unpin(&heap, it->handle);
    }
    const tarn_handle stale = it->handle;
    tarn_movable_free(&heap, stale);
    it->handle = 0;
    require(tarn_movable_look_at(&heap, stale) == TARN_MOVABLE_STALE);
}

static void run_resize(slot *it, input *from)
{
    const size_t size = take_size(from);
    if (tarn_movable_resize(&heap, it->handle, size)) {
        check_bytes(it, size < it->size ? size : it->size);
        it->size = size == 0 ? 1 : size;
        fill(it, take(from));
    }
}

static void run_pin(slot *it)
{
    void *block = tarn_pin(&heap, it->handle);
    require((block == NULL) == it->purged);
    if (block != NULL) {
        it->pinned = block;
        it->pins++;
    }
}

static void run_pass(input *from)
{
    tarn_movable_pass pass;
    tarn_movable_move moves[8];
    const tarn_movable_budget budget = {.bytes = take_size(from) * 8};
    size_t count;
    require(tarn_movable_begin(&heap, &pass, &budget) == TARN_OK);
    while ((count = tarn_movable_next_moves(&pass, moves, 1 + take(from) % 8)) > 0) {
        const unsigned vetoes = take(from);
        for (size_t i = 0; i < count; i++) {
            moves[i].veto = (vetoes >> i & 1) != 0;
            if (!moves[i].veto) {
                memcpy(moves[i].to, moves[i].from, moves[i].size);
            }
        }
        check_all();
    }
    if (take(from) % 2 == 0) {
        tarn_movable_commit(&pass, NULL);
    } else {
        tarn_movable_abort(&pass, NULL);
    }
}

static void run_call(input *from)
{
    const unsigned call = take(from) % 32;
    slot *it = &slots[take(from) % SLOTS];
    if (call == 0) {
        tarn_movable_compact(&heap, NULL, NULL);
    } else if (call < 4) {
        const tarn_movable_budget budget = {.bytes = take_size(from) + 1};
        tarn_movable_compact(&heap, &budget, NULL);
    } else if (call == 4) {
        run_pass(from);
    } else if (call == 5) {
        tarn_movable_trim(&heap);
    } else if (call == 6) {
        tarn_movable_purge(&heap, take_size(from));
    } else if (it->handle == 0) {
        run_alloc(it, from);
    } else if (call < 16) {
        run_free(it);
    } else if (call < 22) {
        run_resize(it, from);
    } else if (call < 24) {
        run_pin(it);
    } else if (call < 26 && it->pins > 0) {
        tarn_unpin(&heap, it->handle);
        it->pins--;
    } else {
        require(tarn_movable_set_purgeable(&heap, it->handle, call % 2 == 0) == !it->purged);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(4096) unsigned char memory[1 << 17];
    static unsigned char under[1 << 20];
    input from = {data, size};
    tarn_buffer buffer;
    tarn_movable_options options = {.on_purge = note_purge};
    tarn_buffer_init(&buffer, (tarn_memory){under, sizeof under}, NULL);
    switch (take(&from) % 3) {
    case 0:
        options.upstream = &buffer.heap;
        break;
    case 1:
        options.memory = (tarn_memory){memory, sizeof memory};
        break;
    default:
        options.upstream = &buffer.heap;
        options.capacity = 1 << 17;
        options.threads = true;
        break;
    }
    memset(slots, 0, sizeof slots);
    require(tarn_movable_init(&heap, &options) == TARN_OK);
    for (unsigned calls = 0; from.left > 0; calls++) {
        run_call(&from);
        if (calls % 16 == 0) {
            check_all();
        }
    }
    check_all();
    tarn_movable_deinit(&heap);
    require(tarn_heap_stats(&buffer.heap).blocks == 0);
    tarn_buffer_deinit(&buffer);
    return 0;
}
