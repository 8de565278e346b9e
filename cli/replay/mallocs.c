/* SPDX-License-Identifier: MIT */
#include "strategy.h"
#include "tarn/arena.h"
#include "tarn/heaps.h"
#include "tarn/malloc.h"
#include "tarn/twolevel.h"

#include <dlfcn.h>
#include <malloc.h>
#include <string.h>

/*
 * General mallocs and what takes from them: the process's own, be it libc's or one that was
 * preloaded, Tarn's as a library, two-level lists over the first, and arenas, which take pages.
 */

/* What glibc writes in front of each block. */
enum { LIBC_TAG = 8 };

static size_t tag_size;
static void (*library_stats)(tarn_malloc_stats *stats, size_t size);
static tarn_arena arena;
static tarn_twolevel twolevel;

/* -------------------------------------------------------------------------------------------------
 * The process's own.
 */
static const char *file_of(const char *function)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, function);
    return address != NULL && dladdr(address, &info) != 0 && info.dli_fname != NULL ? info.dli_fname
                                                                                    : "";
}

static void measure_mallinfo(replay_moment *moment)
{
    const struct mallinfo2 info = mallinfo2();
    moment->footprint = info.arena + info.hblkhd;
}

/* Tarn's heap as the process has it preloaded; that which is in this program is another. */
static tarn_stats (*library_heap_stats)(tarn_heap *heap);
static tarn_heap *(*library_heap)(void);

/* What is free but has not gone back to the kernel is held, too. */
static uint64_t held(tarn_stats stats, void (*get)(tarn_malloc_stats *stats, size_t size))
{
    tarn_malloc_stats all;
    get(&all, sizeof all);
    return (uint64_t)stats.footprint + all.dirty;
}

static void measure_library(replay_moment *moment)
{
    moment->footprint = held(library_heap_stats(library_heap()), library_stats);
}

static uint64_t library_peak(void)
{
    return library_heap_stats(library_heap()).peak_footprint;
}

static void measure_nothing(replay_moment *moment)
{
    (void)moment;
}

static bool find_library(void)
{
    void *heap = dlsym(RTLD_DEFAULT, "tarn_malloc_heap");
    void *heap_stats = dlsym(RTLD_DEFAULT, "tarn_heap_stats");
    void *stats = dlsym(RTLD_DEFAULT, "tarn_malloc_stats_get");
    memcpy(&library_heap, &heap, sizeof heap);
    memcpy(&library_heap_stats, &heap_stats, sizeof heap_stats);
    memcpy(&library_stats, &stats, sizeof stats);
    return heap != NULL && heap_stats != NULL && stats != NULL;
}

static size_t process_room(void *block, size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    return malloc_usable_size(block) + tag_size;
}

bool replay_open_process(replay_subject *subject, replay_job *job)
{
    (void)job;
    *subject = (replay_subject){
        .heap = tarn_system_heap(), .room = process_room, .measure = measure_nothing};
    const char *file = file_of("malloc");
    if (find_library()) {
        subject->measure = measure_library;
        subject->peak = library_peak;
    } else if (strcmp(file, file_of("mallinfo2")) == 0) {
        tag_size = strcmp(file, file_of("gnu_get_libc_version")) == 0 ? LIBC_TAG : 0;
        subject->measure = measure_mallinfo;
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Tarn's.
 */
static size_t tarn_room(void *block, size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    return tarn_malloc_usable_size(block);
}

static void measure_tarn(replay_moment *moment)
{
    moment->footprint = held(tarn_heap_stats(tarn_malloc_heap()), tarn_malloc_stats_get);
}

static uint64_t tarn_peak(void)
{
    return tarn_heap_stats(tarn_malloc_heap()).peak_footprint;
}

bool replay_open_tarn(replay_subject *subject, replay_job *job)
{
    (void)job;
    *subject = (replay_subject){
        .heap = tarn_malloc_heap(), .room = tarn_room, .measure = measure_tarn, .peak = tarn_peak};
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Two-level: everything it holds is the process's malloc's.
 */
static size_t twolevel_room(void *block, size_t size, size_t alignment)
{
    const size_t rounded = size == 0 ? 16 : (size + 15) / 16 * 16;
    return rounded <= TARN_TWOLEVEL_MAX && alignment <= 16 ? rounded
                                                           : process_room(block, size, alignment);
}

bool replay_open_twolevel(replay_subject *subject, replay_job *job)
{
    replay_open_process(subject, job);
    const tarn_status status = tarn_twolevel_init(&twolevel, NULL);
    if (status != TARN_OK) {
        return replay_job_refuse(job, REPLAY_FAILED, "no two-level pool: %s",
                                 tarn_status_text(status));
    }
    subject->heap = &twolevel.heap;
    subject->room = twolevel_room;
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Arenas.
 */
static void measure_arena(replay_moment *moment)
{
    const tarn_stats stats = tarn_arena_stats(&arena);
    moment->footprint = stats.footprint;
    moment->handed = stats.live;
}

static uint64_t arena_peak(void)
{
    return tarn_arena_stats(&arena).peak_footprint;
}

bool replay_open_arena(replay_subject *subject, replay_job *job)
{
    const tarn_status status = tarn_arena_init(&arena, NULL);
    if (status != TARN_OK) {
        return replay_job_refuse(job, REPLAY_FAILED, "no arena: %s", tarn_status_text(status));
    }
    *subject = (replay_subject){.heap = &arena.heap, .measure = measure_arena, .peak = arena_peak};
    return true;
}
