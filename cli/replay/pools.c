/* SPDX-License-Identifier: MIT */
#include "strategy.h"
#include "tarn/heaps.h"
#include "tarn/pool.h"

#include <unistd.h>

/*
 * A fixed-size pool for each class of sizes, and the kernel's pages for what is large or has a
 * large alignment: what a program would do that gives each of its types a pool.
 */

enum { POOL_SIZE_MAX = 1 << 15, POOL_COUNT = REPLAY_CLASS_EQUAL + (15 - 7) * 8 };

static tarn_pages pages;
static tarn_pool pools[POOL_COUNT];
static size_t page_size;

static bool is_pooled(size_t size, size_t alignment)
{
    return size <= POOL_SIZE_MAX && alignment <= REPLAY_CLASS_STEP;
}

static void *pools_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    (void)heap;
    return is_pooled(size, alignment) ? tarn_pool_alloc(&pools[replay_class_of(size)])
                                      : tarn_heap_alloc(&pages.heap, size, alignment);
}

/* A block of a small size is the kernel's if its alignment was large; then it begins a page. */
static bool is_of_pool(void *block, size_t size)
{
    return size <= POOL_SIZE_MAX && ((uintptr_t)block % page_size != 0 ||
                                     tarn_pool_owns(&pools[replay_class_of(size)], block));
}

static void pools_free(tarn_heap *heap, void *block, size_t size)
{
    (void)heap;
    if (is_of_pool(block, size)) {
        tarn_pool_free(&pools[replay_class_of(size)], block);
    } else {
        tarn_heap_free(&pages.heap, block, size);
    }
}

static bool pools_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    (void)heap;
    if (is_of_pool(block, old_size)) {
        return new_size <= POOL_SIZE_MAX && replay_class_of(new_size) == replay_class_of(old_size);
    }
    return new_size > POOL_SIZE_MAX && tarn_heap_resize(&pages.heap, block, old_size, new_size);
}

static void *pools_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                        size_t alignment)
{
    (void)heap;
    return old_size > POOL_SIZE_MAX && new_size > POOL_SIZE_MAX
               ? tarn_heap_realloc(&pages.heap, block, old_size, new_size, alignment)
               : NULL;
}

static const tarn_heap_ops ops = {
    .alloc = pools_alloc,
    .free = pools_free,
    .resize = pools_resize,
    .move = pools_move,
};

static tarn_heap heap = {.ops = &ops, .name = "pools"};

static size_t room(void *block, size_t size, size_t alignment)
{
    (void)block;
    return is_pooled(size, alignment) ? (size_t)replay_class_size(replay_class_of(size))
                                      : (size + page_size - 1) / page_size * page_size;
}

static void measure(replay_moment *moment)
{
    moment->footprint = tarn_heap_stats(&pages.heap).footprint;
}

static uint64_t peak(void)
{
    return tarn_heap_stats(&pages.heap).peak_footprint;
}

bool replay_open_pools(replay_subject *subject, replay_job *job)
{
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    tarn_pages_init(&pages, NULL);
    for (unsigned i = 0; i < POOL_COUNT; i++) {
        const tarn_pool_options options = {.size = (size_t)replay_class_size(i),
                                           .alignment = REPLAY_CLASS_STEP,
                                           .upstream = &pages.heap};
        const tarn_status status = tarn_pool_init(&pools[i], &options);
        if (status != TARN_OK) {
            return replay_job_refuse(job, REPLAY_FAILED, "no pool: %s", tarn_status_text(status));
        }
    }
    *subject = (replay_subject){.heap = &heap, .room = room, .measure = measure, .peak = peak};
    return true;
}
