/* SPDX-License-Identifier: MIT */
#include "start.h"
#include "tarn-region.h"

/*
 * Runs regions of every policy where there is no libc: random operations, with what every block holds compared with
 * what was written there, and the books checked on the way. It is linked with nothing but the pair tarn-region.h and
 * tarn-region.c, and with start.c.
 */

#ifndef OPERATIONS
#define OPERATIONS 20000UL
#endif

enum { LIVE_MAX = 200, SIZE_MAX_ASKED = 700 };

/* As a small microcontroller has them, neither side by side nor equally aligned. */
static _Alignas(16) unsigned char sram[64 * 1024];
static _Alignas(16) unsigned char ccm[16 * 1024];
static _Alignas(16) unsigned char books[24 * 1024];
static _Alignas(16) unsigned char system_heap[256 * 1024];

static const char *running = "before the first region";

static _Noreturn void fail(const char *what, unsigned long line)
{
    start_say("region_run.c:");
    start_say_number(line);
    start_say(": ");
    start_say(what);
    start_say(" (");
    start_say(running);
    start_say(")\n");
    start_end(1);
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail(#condition, __LINE__);                                                            \
        }                                                                                          \
    } while (0)

/* ------------------------------------------------------------------------------------------------
 * Random numbers (xorshift), the same ones in every run.
 */
static uint32_t state = 2463534242U;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (uint32_t)((uint64_t)state * limit >> 32);
}

/* ------------------------------------------------------------------------------------------------
 * What should be there.
 */
typedef struct block {
    size_t offset; /* with memory: its address */
    size_t size;
    uint32_t mark; /* what its bytes are made from */
} block;

static block blocks[LIVE_MAX];
static size_t live;
static uint32_t next_mark;

static unsigned char byte_of(const block *of, size_t at)
{
    return (unsigned char)(of->mark * 31 + at * 7);
}

static void fill(const block *which, size_t from)
{
    unsigned char *bytes = (unsigned char *)which->offset;
    for (size_t i = from; i < which->size; i++) {
        bytes[i] = byte_of(which, i);
    }
}

static void expect_contents(const block *which, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)which->offset;
    for (size_t i = 0; i < size; i++) {
        EXPECT(bytes[i] == byte_of(which, i));
    }
}

/* Without memory nothing can be written; then blocks must not overlap. */
static void expect_apart(const block *which)
{
    for (size_t i = 0; i < live; i++) {
        const block *other = &blocks[i];
        EXPECT(other == which || which->offset + which->size <= other->offset ||
               other->offset + other->size <= which->offset);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Operations.
 */
typedef struct setup {
    const char *name;
    tarn_region_options options;
    bool has_memory;
    bool has_second;
} setup;

static tarn_region region;

static size_t random_size(void)
{
    return below(4) != 0 ? below(100) : below(SIZE_MAX_ASKED);
}

static void alloc(bool has_memory)
{
    if (live == LIVE_MAX) {
        return;
    }
    const size_t size = random_size();
    const size_t alignment = below(4) != 0 ? 0 : (size_t)1 << below(9);
    const size_t at_least = alignment == 0 ? _Alignof(max_align_t) : alignment;
    block made = {0, size == 0 ? 1 : size, next_mark++};
    if (has_memory) {
        made.offset = (size_t)tarn_region_alloc(&region, size, alignment);
        if (made.offset == 0) {
            return;
        }
        EXPECT(tarn_region_room(&region, (const void *)made.offset) >= made.size);
        fill(&made, 0);
    } else {
        made.offset = tarn_region_alloc_offset(&region, size, alignment);
        if (made.offset == TARN_NO_OFFSET) {
            return;
        }
        EXPECT(tarn_region_room_offset(&region, made.offset) >= made.size);
    }
    EXPECT(made.offset % at_least == 0);
    blocks[live++] = made;
    expect_apart(&blocks[live - 1]);
}

static void free_one(bool has_memory)
{
    if (live == 0) {
        return;
    }
    block *which = &blocks[below((uint32_t)live)];
    if (has_memory) {
        expect_contents(which, which->size);
        tarn_region_free(&region, (void *)which->offset);
    } else {
        tarn_region_free_offset(&region, which->offset);
    }
    *which = blocks[--live];
}

static void resize_one(bool has_memory)
{
    if (live == 0) {
        return;
    }
    block *which = &blocks[below((uint32_t)live)];
    const size_t asked = random_size();
    const size_t size = asked == 0 ? 1 : asked;
    const size_t kept = size < which->size ? size : which->size;
    if (has_memory) {
        expect_contents(which, which->size);
        if (tarn_region_resize(&region, (void *)which->offset, asked)) {
            expect_contents(which, kept);
            which->size = size;
            fill(which, kept);
        }
    } else if (tarn_region_resize_offset(&region, which->offset, asked)) {
        which->size = size;
    }
    expect_apart(which);
}

static bool count_used(void *context, const tarn_partition *partition)
{
    size_t *used = context;
    *used += !partition->is_free;
    return true;
}

static void expect_balance(void)
{
    char fault[120];
    if (!tarn_region_check(&region, fault, sizeof fault)) {
        fail(fault, __LINE__);
    }
    size_t used = 0;
    tarn_region_visit(&region, count_used, &used);
    EXPECT(used == live);
    EXPECT(tarn_region_stats(&region).blocks == live);
}

static void run(const setup *with)
{
    running = with->name;
    /* Not aligned, and not of a round size. */
    const tarn_memory memory = with->has_memory ? (tarn_memory){sram + 5, sizeof sram - 12}
                                                : (tarn_memory){NULL, sizeof sram};
    EXPECT(tarn_region_init(&region, memory, &with->options) == TARN_OK);
    if (with->has_second) {
        EXPECT(tarn_region_add(&region, (tarn_memory){sram + 100, 1000}) == TARN_BAD_ARGUMENT);
        EXPECT(tarn_region_add(&region, (tarn_memory){ccm, sizeof ccm}) == TARN_OK);
    }
    const size_t largest = tarn_region_largest_free(&region);
    EXPECT(largest != 0);
    live = 0;
    for (unsigned long i = 1; i <= OPERATIONS; i++) {
        const uint32_t what = below(10);
        if (what < 5) {
            alloc(with->has_memory);
        } else if (what < 9) {
            free_one(with->has_memory);
        } else {
            resize_one(with->has_memory);
        }
        if (i % 64 == 0) {
            expect_balance();
        }
        if (i == OPERATIONS / 2) {
            tarn_region_reset(&region);
            live = 0;
        }
    }
    EXPECT(tarn_region_stats(&region).allocs > OPERATIONS / 8 ||
           with->options.policy == TARN_SINGLE);
    while (live > 0) {
        free_one(with->has_memory);
    }
    expect_balance();
    EXPECT(tarn_region_largest_free(&region) == largest);
    if (with->has_second) {
        EXPECT(tarn_region_remove(&region, ccm) == TARN_OK);
        expect_balance();
    }
    tarn_region_deinit(&region);
}

/* ------------------------------------------------------------------------------------------------
 * Every policy, each way of the books.
 */
static const struct policy {
    const char *name;
    tarn_region_policy policy;
} policies[] = {
    {"best fit", TARN_BEST_FIT},
    {"first fit", TARN_FIRST_FIT},
    {"next fit", TARN_NEXT_FIT},
    {"worst fit", TARN_WORST_FIT},
    {"segregated fit", TARN_SEGREGATED_FIT},
    {"buddy", TARN_BUDDY},
    {"fixed partitions", TARN_FIXED_PARTITIONS},
    {"single", TARN_SINGLE},
};

static void run_all(tarn_heap *heap)
{
    static const size_t sizes[] = {64, 700, 16,   3000, 128, 128, 256,
                                   40, 24,  9000, 512,  512, 64,  100};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        const bool is_fixed = policies[i].policy == TARN_FIXED_PARTITIONS;
        setup with = {
            .name = policies[i].name,
            .options = {.policy = policies[i].policy, .partition_size = is_fixed ? 240 : 0},
            .has_memory = true,
        };
        run(&with);
        with.has_second = true;
        run(&with);
        if (is_fixed) {
            with.options.partition_size = 0;
            with.options.sizes = sizes;
            with.options.size_count = sizeof sizes / sizeof *sizes;
            run(&with);
        }
        /* Books that cannot grow, and books that do. */
        with.has_second = false;
        with.options.books = TARN_BOOKS_OUTSIDE;
        with.options.book_memory = (tarn_memory){books, sizeof books};
        run(&with);
        with.has_memory = false;
        run(&with);
        with.options.book_memory = (tarn_memory){NULL, 0};
        with.options.upstream = heap;
        run(&with);
        with.has_memory = true;
        with.has_second = true;
        run(&with);
    }
}

/* ------------------------------------------------------------------------------------------------
 * What differs where there is no system.
 */
static void expect_no_upstream(void)
{
    running = "no upstream";
    const tarn_memory nowhere = {NULL, 4096};
    const tarn_memory memory = {sram, sizeof sram};
    tarn_region_options options = {0};
    EXPECT(tarn_region_init(&region, nowhere, &options) == TARN_BAD_ARGUMENT);
    EXPECT(tarn_region_init(&region, memory, &options) == TARN_OK);
    EXPECT(tarn_region_add(&region, nowhere) == TARN_BAD_ARGUMENT);
    tarn_region_deinit(&region);
    options.books = TARN_BOOKS_OUTSIDE;
    EXPECT(tarn_region_init(&region, memory, &options) == TARN_BAD_ARGUMENT);
    options.book_memory = (tarn_memory){books, sizeof books};
    EXPECT(tarn_region_init(&region, memory, &options) == TARN_OK);
    EXPECT(tarn_region_add(&region, (tarn_memory){ccm, sizeof ccm}) == TARN_BAD_ARGUMENT);
    tarn_region_deinit(&region);
}

static void expect_heap(tarn_heap *heap)
{
    running = "the region as a heap";
    for (size_t size = 1; size < 300; size += 7) {
        unsigned char *bytes = tarn_heap_calloc(heap, size, 1, 0);
        EXPECT(bytes != NULL);
        for (size_t i = 0; i < size; i++) {
            EXPECT(bytes[i] == 0);
        }
        block made = {(size_t)bytes, size, next_mark++};
        fill(&made, 0);
        /* Something behind it, so that it has to move. */
        void *behind = tarn_heap_alloc(heap, 1, 0);
        made.offset = (size_t)tarn_heap_realloc(heap, bytes, size, size + 3001, 0);
        EXPECT(made.offset != 0);
        expect_contents(&made, size);
        tarn_heap_free(heap, (void *)made.offset, size + 3001);
        tarn_heap_free(heap, behind, 1);
    }
    EXPECT(tarn_heap_check(heap, NULL, 0));
    EXPECT(tarn_heap_stats(heap).blocks == 0);
}

/* The last thing that happens. */
static void end_well(const char *line)
{
    static const char expected[] = "tarn: double free (main, block 0x";
    for (size_t i = 0; i < sizeof expected - 1; i++) {
        EXPECT(line[i] == expected[i]);
    }
    start_end(0);
}

static void expect_misuse(void)
{
    running = "misuse";
    const tarn_region_options options = {.name = "main"};
    EXPECT(tarn_region_init(&region, (tarn_memory){sram, sizeof sram}, &options) == TARN_OK);
    void *freed = tarn_region_alloc(&region, 100, 0);
    tarn_region_free(&region, freed);
    EXPECT(tarn_set_fatal_handler(end_well) == NULL);
    tarn_region_free(&region, freed);
}

int main(void)
{
    static tarn_region upstream;
    const tarn_memory memory = {system_heap, sizeof system_heap};
    const tarn_region_options options = {.name = "upstream", .policy = TARN_SEGREGATED_FIT};
    EXPECT(tarn_region_init(&upstream, memory, &options) == TARN_OK);
    run_all(&upstream.heap);
    EXPECT(tarn_region_stats(&upstream).blocks == 0);
    expect_heap(&upstream.heap);
    expect_no_upstream();
    expect_misuse();
    fail("a double free was not found", __LINE__);
}
