/* SPDX-License-Identifier: MIT */
#include "tarn/arena.h"
#include "tarn/malloc.h"
#include "tarn/movable.h"
#include "tarn/overlay_heap.h"
#include "tarn/pool.h"
#include "tarn/region.h"
#include "tarn/twolevel.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void use_twolevel(void)
{
    tarn_twolevel *twolevel = tarn_twolevel_create(&(tarn_twolevel_options){.name = "nodes"});
    void *small = tarn_twolevel_alloc(twolevel, 41);
    small = tarn_twolevel_realloc(twolevel, small, 41, 42);
    tarn_twolevel_free(twolevel, small, 42);
    void *large = tarn_twolevel_alloc(twolevel, 4721);
    large = tarn_twolevel_realloc(twolevel, large, 4721, 4722);
    tarn_twolevel_free(twolevel, large, 4722);
    (void)tarn_heap_alloc(&twolevel->heap, 4723, 64);
    tarn_twolevel_reset(twolevel);
    tarn_twolevel_destroy(twolevel);
    void *own = tarn_twolevel_alloc(tarn_twolevel_of_thread(), 43);
    tarn_twolevel_free(tarn_twolevel_of_process(), own, 43);
}

static void use_movable(void)
{
    tarn_movable heap;
    if (tarn_movable_init(&heap, &(tarn_movable_options){.name = "texts"}) != TARN_OK) {
        return;
    }
    const tarn_handle first = tarn_movable_alloc(&heap, 4731, 0);
    const tarn_handle second = tarn_movable_alloc(&heap, 4732, 0);
    tarn_movable_free(&heap, first);
    tarn_movable_resize(&heap, second, 4733);
    tarn_movable_compact(&heap, NULL, NULL);
    tarn_movable_set_purgeable(&heap, second, true);
    tarn_movable_purge(&heap, 1);
    tarn_movable_free(&heap, second);
    tarn_movable_deinit(&heap);
}

static void use_overlay(void)
{
    static const tarn_overlay_place places[] = {{"a", 0, 4741, false}, {"b", 8192, 4742, false}};
    tarn_overlay_heap heap;
    if (tarn_overlay_heap_init(&heap, places, 2, &(tarn_overlay_heap_options){.name = "levels"}) !=
        TARN_OK) {
        return;
    }
    (void)tarn_overlay_heap_alloc(&heap, "a", 4741);
    (void)tarn_overlay_heap_alloc(&heap, "b", 4742);
    tarn_overlay_heap_free(&heap, "a");
    tarn_overlay_heap_reset(&heap);
    tarn_overlay_heap_deinit(&heap);
}

static void use_malloc_heap(void)
{
    tarn_heap *heap = tarn_malloc_create(&(tarn_malloc_options){.name = "session"});
    void *block = tarn_heap_alloc(heap, 4751, 0);
    block = tarn_heap_realloc(heap, block, 4751, 475200, 0);
    tarn_heap_free(heap, block, 475200);
    tarn_free(tarn_heap_alloc(heap, 4753, 0));
    (void)tarn_heap_alloc(heap, 4754, 0);
    (void)tarn_heap_reset(heap);
    tarn_malloc_destroy(heap);
}

/* A program with pools, whose blocks have sizes that nobody else asks for. */
int main(void)
{
    tarn_arena *arena = tarn_arena_create(&(tarn_arena_options){.name = "requests"});
    tarn_pool *pool;
    if (arena == NULL ||
        tarn_pool_create(&pool, &(tarn_pool_options){.name = "messages",
                                                     .size = 4712,
                                                     .upstream = &arena->heap}) != TARN_OK) {
        return 1;
    }
    tarn_arena *child = tarn_arena_create(&(tarn_arena_options){.name = "child", .parent = arena});
    void *first = tarn_pool_alloc(pool);
    void *second = tarn_pool_alloc(pool);
    tarn_pool_free(pool, first);
    void *block = tarn_arena_alloc(arena, 4713);
    block = tarn_arena_realloc(arena, block, 4713, 4714);
    tarn_arena_free(arena, block, 4714);
    (void)tarn_arena_alloc(child, 4715);
    const tarn_arena_point mark = tarn_arena_mark(child);
    (void)tarn_arena_alloc_aligned(child, 4716, 64);
    tarn_arena_release(child, mark);
    tarn_arena_reset(child);
    tarn_region region;
    void *range = tarn_arena_alloc(arena, 65536);
    if (tarn_region_init(&region, (tarn_memory){range, 65536},
                         &(tarn_region_options){.name = "strip", .upstream = &arena->heap}) !=
        TARN_OK) {
        return 1;
    }
    void *piece = tarn_region_alloc(&region, 4717, 0);
    (void)tarn_region_resize(&region, piece, 4718);
    tarn_region_free(&region, piece);
    tarn_region_reset(&region);
    tarn_region_deinit(&region);
    fflush(stdout);
    if (fork() == 0) {
        tarn_pool_free(pool, second);
        _exit(0);
    }
    wait(NULL);
    tarn_pool_reset(pool);
    tarn_pool_destroy(pool);
    tarn_arena_destroy(arena);
    use_twolevel();
    use_movable();
    use_overlay();
    use_malloc_heap();
    puts("done");
    return 0;
}
