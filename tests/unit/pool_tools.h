/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_POOL_TOOLS_H
#define TARN_TESTS_POOL_TOOLS_H

/*
 * What the tests of fixed-size pools share: every way that calls can go, and an upstream that keeps a record.
 * Include it after cmocka.h.
 */

#include "tarn/heaps.h"
#include "tarn/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "unit/tools.h"

#ifndef TARN_HARDENED
#define TARN_HARDENED 0
#endif

/* ------------------------------------------------------------------------------------------------
 * The ways that calls can go.
 */
static const tarn_pool_options pool_kinds[] = {
    {.name = "alone"},
    {.name = "alone, small cache", .cache_objects = 4},
    {.name = "alone, cache of one", .cache_objects = 1},
    {.name = "alone, small chunks", .first_objects = 3, .chunk_objects_max = 10},
    {.name = "shared", .threads = TARN_SHARED},
    {.name = "shared, small magazines", .threads = TARN_SHARED, .cache_objects = 4},
    {.name = "shared, no cache", .threads = TARN_SHARED, .cache_objects = 1},
    {.name = "checks", .checks = true},
    {.name = "history", .history = true},
    {.name = "zero", .zero = true},
    {.name = "poison", .poison = true},
    {.name = "shared, checks", .threads = TARN_SHARED, .checks = true},
    {.name = "shared, history", .threads = TARN_SHARED, .history = true},
    {.name = "shared, zero and poison", .threads = TARN_SHARED, .zero = true, .poison = true},
};

enum { POOL_KINDS = sizeof pool_kinds / sizeof pool_kinds[0] };

/* Of objects of this size and alignment, over this upstream. */
static inline tarn_pool_options kind_of(size_t kind, size_t size, size_t alignment,
                                        tarn_heap *upstream)
{
    tarn_pool_options options = pool_kinds[kind];
    options.size = size;
    options.alignment = alignment;
    options.upstream = upstream;
    return options;
}

/* True if calls to a pool of these options go the long way, without a cache. */
static inline bool sees_each_call(const tarn_pool_options *options)
{
    return options->checks || options->history || options->zero || options->poison ||
           TARN_HARDENED || heap_watch_is_on();
}

/* True if pools without such options have a cache in this build and under this tool. */
static inline bool pools_have_caches(void)
{
    return sees_each_call(&(tarn_pool_options){0}) == false;
}

static inline void init_pool(tarn_pool *pool, const tarn_pool_options *options)
{
    const tarn_status status = tarn_pool_init(pool, options);
    if (status != TARN_OK) {
        fail_msg("%s: %s", options->name != NULL ? options->name : "pool",
                 tarn_status_text(status));
    }
}

static inline void assert_balance(tarn_pool *pool)
{
    char fault[300] = "";
    if (!tarn_pool_check(pool, fault, sizeof fault)) {
        fail_msg("%s: %s", pool->heap.name, fault);
    }
    assert_string_equal(fault, "");
}

/* Objects until there are no more, at most `most`; returns how many. */
static inline size_t take_all(tarn_pool *pool, void **objects, size_t most)
{
    size_t count = 0;
    while (count < most && (objects[count] = tarn_pool_alloc(pool)) != NULL) {
        count++;
    }
    return count;
}

static inline void free_all(tarn_pool *pool, void *const *objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tarn_pool_free(pool, objects[i]);
    }
}

/* A permutation of the numbers below `count` for a prime step that does not divide it. */
static inline size_t shuffled(size_t i, size_t count)
{
    return (size_t)((uint64_t)i * 1000003 % count);
}

/* ------------------------------------------------------------------------------------------------
 * An upstream that writes down what it is asked for. It hands everything on to another heap.
 */
enum { RECORDED = 1 << 15 };

typedef struct recorder {
    tarn_heap heap;
    tarn_heap *upstream;
    uint64_t calls;    /* allocs and frees, a count */
    uint64_t requests; /* allocs, those refused included, a count */
    size_t count;      /* blocks held */
    size_t held;       /* bytes of them */
    size_t peak_held;
    tarn_memory blocks[RECORDED];
} recorder;

static inline void *recorder_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    recorder *record = (recorder *)heap;
    record->calls++;
    record->requests++;
    void *block = tarn_heap_alloc(record->upstream, size, alignment);
    if (block != NULL) {
        assert_true(record->count < RECORDED);
        record->blocks[record->count++] = (tarn_memory){block, size};
        record->held += size;
        if (record->held > record->peak_held) {
            record->peak_held = record->held;
        }
    }
    return block;
}

static inline void recorder_free(tarn_heap *heap, void *block, size_t size)
{
    recorder *record = (recorder *)heap;
    record->calls++;
    size_t i = 0;
    while (i < record->count && record->blocks[i].start != block) {
        i++;
    }
    assert_true(i < record->count);
    assert_int_equal(record->blocks[i].size, size);
    record->blocks[i] = record->blocks[--record->count];
    record->held -= size;
    /* Whoever still uses it, or has left it hidden from the tools, shows. */
    const size_t ends = size < 4096 ? size : 4096;
    memset(block, 0x43, ends);
    memset((char *)block + size - ends, 0x43, ends);
    tarn_heap_free(record->upstream, block, size);
}

static const tarn_heap_ops recorder_ops = {.alloc = recorder_alloc, .free = recorder_free};

static inline tarn_heap *recorder_init(recorder *record, tarn_heap *upstream)
{
    *record = (recorder){
        .heap = {.ops = &recorder_ops, .name = "recorder"},
        .upstream = upstream != NULL ? upstream : tarn_pages_heap(),
    };
    return &record->heap;
}

#endif
