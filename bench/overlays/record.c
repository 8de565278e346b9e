/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Preloaded into any program: writes down the lifetimes of the first blocks that it asks malloc for, as a file for the
 * overlay planner. A buffer is a block; the time is a count of calls.
 *
 *     RECORD_FILE=FILE.csv RECORD_BLOCKS=100000 LD_PRELOAD=librecord.so PROGRAM...
 *
 * Blocks that are still there when the last one was asked for, or when the program ends, live until then. The file is
 * written at the end of the process that began; its children write none.
 */

enum { EARLY_BYTES = 4096 };

typedef struct block {
    void *address; /* NULL: freed */
    size_t size;   /* bytes */
    int64_t lower;
    int64_t upper;
} block;

static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
static void *(*next_realloc)(void *, size_t);
static void *(*next_calloc)(size_t, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void *(*next_aligned_alloc)(size_t, size_t);

/* dlsym() may ask for memory before there is anybody to ask. */
static _Alignas(16) unsigned char early[EARLY_BYTES];
static size_t early_used;
static bool is_starting;

static atomic_flag lock = ATOMIC_FLAG_INIT;
static block *blocks; /* in the order in which they were asked for */
static size_t block_count;
static size_t block_max;
static uint32_t *table; /* number of a block plus one, by its address; 0: none */
static size_t table_size;
static int64_t clock_now;
static bool is_recording;

static void take(void)
{
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) {
    }
}

static void release(void)
{
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static size_t place_of(const void *address)
{
    return (size_t)((uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15) >> 20) &
           (table_size - 1);
}

/* The place of the live block there, or of the end of the search. */
static size_t find(const void *address)
{
    size_t place = place_of(address);
    while (table[place] != 0 && blocks[table[place] - 1].address != address) {
        place = (place + 1) & (table_size - 1);
    }
    return place;
}

/* A place for a block at that address: an empty one, or one of a block that was freed. */
static size_t find_room(const void *address)
{
    size_t place = place_of(address);
    while (table[place] != 0 && blocks[table[place] - 1].address != NULL) {
        place = (place + 1) & (table_size - 1);
    }
    return place;
}

static void note_alloc(void *address, size_t size)
{
    if (!is_recording || address == NULL || size == 0) {
        return;
    }
    take();
    if (is_recording) {
        table[find_room(address)] = (uint32_t)(block_count + 1);
        blocks[block_count++] = (block){address, size, clock_now++, -1};
        is_recording = block_count < block_max;
    }
    release();
}

static void note_free(const void *address)
{
    if (!is_recording || address == NULL) {
        return;
    }
    take();
    const size_t place = find(address);
    if (is_recording && table[place] != 0) {
        block *const it = &blocks[table[place] - 1];
        it->upper = clock_now++;
        it->address = NULL;
    }
    release();
}

static void *pages(size_t size)
{
    void *const memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

/* What dlsym() finds is a function, which C does not let a void * become. */
static void *find_next(const char *name)
{
    void *const symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) {
        abort();
    }
    return symbol;
}

#define FIND_NEXT(name)                                                                            \
    do {                                                                                           \
        void *const symbol_ = find_next(#name);                                                    \
        memcpy(&next_##name, &symbol_, sizeof symbol_);                                            \
    } while (0)

static void start(void)
{
    is_starting = true;
    FIND_NEXT(free);
    FIND_NEXT(realloc);
    FIND_NEXT(calloc);
    FIND_NEXT(posix_memalign);
    FIND_NEXT(aligned_alloc);
    FIND_NEXT(malloc);
    is_starting = false;
    const char *const count = getenv("RECORD_BLOCKS");
    block_max = count != NULL ? strtoul(count, NULL, 10) : 100000;
    for (table_size = 1024; table_size < 4 * block_max;) {
        table_size *= 2;
    }
    blocks = pages(block_max * sizeof *blocks);
    table = pages(table_size * sizeof *table);
    is_recording =
        getenv("RECORD_FILE") != NULL && block_max > 0 && blocks != NULL && table != NULL;
    unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void)
{
    take();
    is_recording = false;
    release();
    const char *const path = getenv("RECORD_FILE");
    FILE *const file = path != NULL && block_count > 0 ? fopen(path, "w") : NULL;
    if (file == NULL) {
        return;
    }
    fputs("id,lower,upper,size\n", file);
    for (size_t i = 0; i < block_count; i++) {
        const int64_t upper = blocks[i].upper >= 0 ? blocks[i].upper : clock_now;
        fprintf(file, "%zu,%lld,%lld,%zu\n", i, (long long)blocks[i].lower, (long long)upper,
                blocks[i].size);
    }
    fclose(file);
}

static void *early_alloc(size_t size)
{
    const size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded > EARLY_BYTES - early_used) {
        abort();
    }
    early_used += rounded;
    return early + early_used - rounded;
}

static bool is_early(const void *address)
{
    return (uintptr_t)address - (uintptr_t)early < EARLY_BYTES;
}

void *malloc(size_t size)
{
    if (is_starting) {
        return early_alloc(size);
    }
    if (next_malloc == NULL) {
        start();
    }
    void *const memory = next_malloc(size);
    note_alloc(memory, size);
    return memory;
}

void free(void *memory)
{
    if (memory == NULL || is_early(memory)) {
        return;
    }
    note_free(memory);
    next_free(memory);
}

void *calloc(size_t count, size_t size)
{
    if (is_starting) {
        return early_alloc(count * size); /* static memory is zero */
    }
    if (next_malloc == NULL) {
        start();
    }
    void *const memory = next_calloc(count, size);
    note_alloc(memory, count * size);
    return memory;
}

void *realloc(void *memory, size_t size)
{
    if (memory == NULL) {
        return malloc(size);
    }
    if (is_early(memory)) {
        void *const moved = malloc(size);
        if (moved != NULL) {
            const size_t rest = (size_t)(early + EARLY_BYTES - (unsigned char *)memory);
            memcpy(moved, memory, size < rest ? size : rest);
        }
        return moved;
    }
    /* Before it is another thread's. One that fails counts as a block of its own from here on. */
    note_free(memory);
    void *const moved = next_realloc(memory, size);
    note_alloc(moved != NULL ? moved : memory, size);
    return moved;
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (next_malloc == NULL) {
        start();
    }
    const int status = next_posix_memalign(memory, alignment, size);
    if (status == 0) {
        note_alloc(*memory, size);
    }
    return status;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    if (next_malloc == NULL) {
        start();
    }
    void *const memory = next_aligned_alloc(alignment, size);
    note_alloc(memory, size);
    return memory;
}
