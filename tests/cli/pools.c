/* SPDX-License-Identifier: MIT */
#include "tarn/arena.h"
#include "tarn/pool.h"
#include "tarn/region.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

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
    puts("done");
    return 0;
}
