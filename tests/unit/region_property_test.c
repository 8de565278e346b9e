/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "heap_model.h"
#include "region/range.h"
#include "region/segregated.h"
#include "region_reference.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tools.h"

/*
 * Every policy chooses the address that its reference (region_reference.h) chooses, whatever was asked of
 * it before: random operations on ranges of many sizes, at many loads, with their books inside and outside.
 *
 * TARN_OPERATIONS in the environment sets how many operations each run has; TARN_SEED repeats a run.
 */

enum {
    BLOCKS_MAX = 6000,
    PARTITIONS_FEW = 64, /* so many are compared after each operation */
    COMPARE_EVERY = 500,
    SWING_EVERY = 700, /* operations until another load is aimed at */
    FIXED_MAX = 300,   /* sizes in a list of fixed partitions */
    FILL_MAX = 512,    /* bytes that are written at the beginning of a block */
};

/* Sizes of requests: any up to the largest; each power of two as likely as the next; a few, so that
 * many partitions are equal. */
typedef enum property_sizes { EVEN, POWERS, FEW } property_sizes;

typedef struct property_shape {
    const char *name;
    uint32_t granules; /* of the range, about */
    unsigned
        granule_shift; /* outside: bytes of a granule, as a power of two; inside it has no say */
    uint32_t largest;  /* granules of the largest request, about */
    unsigned load;     /* percent of the range that is in use, on average */
    unsigned aligned;  /* percent of requests with an alignment above the granule */
    unsigned alignment_log2; /* granules of the largest such alignment, as a power of two */
    property_sizes sizes;
    bool has_memory; /* outside: blocks have addresses */
} property_shape;

static const property_shape shapes[] = {
    {"a handful of granules", 9, 4, 4, 60, 0, 0, EVEN, true},
    {"a handful of granules without memory", 7, 12, 3, 60, 20, 2, EVEN, false},
    {"some dozen granules", 60, 3, 9, 70, 10, 3, EVEN, true},
    {"some dozen granules that are full", 80, 4, 5, 99, 5, 2, EVEN, true},
    {"a hundred granules", 130, 4, 60, 50, 10, 5, POWERS, true},
    {"a strip less one", 1023, 6, 40, 75, 5, 5, POWERS, true},
    {"a strip and one", 1025, 4, 12, 90, 5, 4, FEW, true},
    {"few sizes", 4000, 4, 30, 80, 0, 0, FEW, true},
    {"small blocks, light load", 6000, 4, 40, 30, 10, 6, EVEN, true},
    {"small blocks, heavy load", 9000, 4, 40, 95, 3, 6, EVEN, true},
    {"powers, full", 17000, 4, 500, 99, 2, 8, POWERS, true},
    {"page by page", 30000, 12, 100, 85, 5, 9, EVEN, false},
    {"half a million granules", 500000, 4, 20000, 85, 5, 12, POWERS, true},
    {"large blocks", 900000, 4, 9000, 90, 5, 14, EVEN, true},
    {"tiny blocks in a large range", 1000000, 4, 3, 2, 30, 14, EVEN, true},
    {"everything that refs reach", INT32_MAX, 16, 1 << 22, 90, 5, 24, POWERS, false},
};

static const size_t shape_count = sizeof shapes / sizeof shapes[0];

typedef struct live_block {
    uint32_t start; /* granule */
    size_t size;    /* as asked for */
} live_block;

typedef struct property_run {
    const property_shape *shape;
    tarn_region region;
    region_reference reference;
    bool inside;
    bool is_fixed;
    size_t first; /* offset of a block at granule 0 */
    uintptr_t origin;
    uint64_t seed;
    uint64_t random;
    unsigned operation;
    unsigned load; /* aimed at, in percent */
    bool is_ok;

    live_block blocks[BLOCKS_MAX]; /* oldest first, about */
    unsigned count;
    uint64_t allocs;
    uint64_t frees;
    uint64_t failures;
    uint32_t seen; /* partitions, by the visit that is going on */
    size_t fixed_sizes[FIXED_MAX];
} property_run;

/* ------------------------------------------------------------------------------------------------
 * Faults and choices.
 */
static const char *const policy_names[] = {
    [TARN_BEST_FIT] = "best fit",
    [TARN_FIRST_FIT] = "first fit",
    [TARN_NEXT_FIT] = "next fit",
    [TARN_WORST_FIT] = "worst fit",
    [TARN_SEGREGATED_FIT] = "segregated fit",
    [TARN_BUDDY] = "buddy",
    [TARN_FIXED_PARTITIONS] = "fixed partitions",
    [TARN_SINGLE] = "single",
};

__attribute__((format(printf, 3, 4))) static bool expect(property_run *it, bool condition,
                                                         const char *format, ...)
{
    if (condition || !it->is_ok) {
        return condition;
    }
    it->is_ok = false;
    va_list values;
    va_start(values, format);
    fprintf(stderr,
            "region_property: %s, books %s, %s: operation %u: ", policy_names[it->reference.policy],
            it->inside ? "inside" : "outside", it->shape->name, it->operation);
    vfprintf(stderr, format, values);
    fprintf(stderr, "; repeat with TARN_SEED=%" PRIu64 "\n", it->seed);
    va_end(values);
    return false;
}

/* The run that is going on, for what ends in the fatal handler. */
static property_run *current;

static void tell_fatal(const char *line)
{
    expect(current, false, "%s", line);
}

static uint64_t next_random(property_run *it)
{
    it->random += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t number = it->random;
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return number ^ (number >> 31);
}

/* A number below `limit`, which is at least 1. */
static uint64_t choose(property_run *it, uint64_t limit)
{
    return next_random(it) % limit;
}

static bool chance(property_run *it, unsigned percent)
{
    return choose(it, 100) < percent;
}

static size_t choose_size(property_run *it)
{
    const size_t granule = it->reference.granule;
    const uint32_t largest = it->shape->largest;
    uint64_t granules = 0;
    switch (it->shape->sizes) {
    case EVEN:
        granules = choose(it, largest);
        break;
    case POWERS:
        granules = choose(it, largest) >> choose(it, base_log2_ceil(largest) + 1);
        break;
    case FEW:
        granules = largest / (1 + choose(it, 4)) - 1;
        break;
    }
    switch (choose(it, 1000)) {
    case 0:
    case 1:
        granules = choose(it, it->shape->granules);
        break;
    case 2:
        return 0;
    case 3:
        return (size_t)PTRDIFF_MAX >> choose(it, 40);
    default:
        break;
    }
    return (size_t)(granules * granule + choose(it, granule) + 1);
}

static size_t choose_alignment(property_run *it)
{
    if (!chance(it, it->shape->aligned)) {
        return choose(it, 4) == 0
                   ? 0
                   : (size_t)1 << choose(it, base_log2_floor(it->reference.granule) + 1);
    }
    size_t alignment = it->reference.granule << choose(it, it->shape->alignment_log2 + 1);
    if (choose(it, 200) == 0) {
        alignment = (size_t)1 << choose(it, 8 * sizeof alignment);
    }
    if (it->reference.policy == TARN_BUDDY) {
        /* What it does where the range itself is not aligned is its own affair. */
        while (it->reference.address % alignment != 0) {
            alignment /= 2;
        }
    }
    return alignment;
}

/* ------------------------------------------------------------------------------------------------
 * The region's side, by granules.
 */
static bool by_address(const property_run *it)
{
    return it->region.has_memory && (it->inside || (it->operation & 1) == 0);
}

static uint32_t granule_of(property_run *it, size_t offset)
{
    const size_t distance = offset - it->first;
    expect(it,
           distance % it->reference.granule == 0 &&
               distance / it->reference.granule < it->reference.granules,
           "a block is at offset %zu, where none can be", offset);
    return (uint32_t)(distance / it->reference.granule);
}

static size_t offset_of(const property_run *it, uint32_t start)
{
    return it->first + (size_t)start * it->reference.granule;
}

static void *address_of(const property_run *it, uint32_t start)
{
    return (void *)(it->origin + offset_of(it, start));
}

static uint32_t region_start_alloc(property_run *it, size_t size, size_t alignment)
{
    if (!by_address(it)) {
        const size_t offset = tarn_region_alloc_offset(&it->region, size, alignment);
        return offset == TARN_NO_OFFSET ? REFERENCE_NONE : granule_of(it, offset);
    }
    const void *block = tarn_region_alloc(&it->region, size, alignment);
    return block == NULL ? REFERENCE_NONE : granule_of(it, (uintptr_t)block - it->origin);
}

static void region_start_free(property_run *it, uint32_t start)
{
    if (by_address(it)) {
        tarn_region_free(&it->region, address_of(it, start));
    } else {
        tarn_region_free_offset(&it->region, offset_of(it, start));
    }
}

static bool region_start_resize(property_run *it, uint32_t start, size_t size)
{
    return by_address(it) ? tarn_region_resize(&it->region, address_of(it, start), size)
                          : tarn_region_resize_offset(&it->region, offset_of(it, start), size);
}

static size_t region_start_room(property_run *it, uint32_t start)
{
    return by_address(it) ? tarn_region_room(&it->region, address_of(it, start))
                          : tarn_region_room_offset(&it->region, offset_of(it, start));
}

/* What users do with their blocks must not matter, whatever the bytes look like. */
static void fill(property_run *it, uint32_t start, size_t room)
{
    static const unsigned char bytes[] = {REGION_USED, REGION_FREE, 0, 0xff};
    if (it->inside && it->reference.policy <= TARN_SEGREGATED_FIT) {
        unsigned char *block = address_of(it, start);
        const size_t end = room < 16 ? room : 16;
        memset(block, bytes[choose(it, sizeof bytes)], room < FILL_MAX ? room : FILL_MAX);
        memset(block + room - end, bytes[choose(it, sizeof bytes)], end);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Operations.
 */
static void expect_room(property_run *it, uint32_t start)
{
    const size_t room = region_start_room(it, start);
    const size_t wanted = reference_room(&it->reference, start);
    if (expect(it, room == wanted, "the block at granule %u has room for %zu instead of %zu bytes",
               start, room, wanted)) {
        fill(it, start, room);
    }
}

static void do_alloc(property_run *it)
{
    if (it->count == BLOCKS_MAX) {
        return;
    }
    const size_t size = choose_size(it);
    const size_t alignment = choose_alignment(it);
    const uint32_t wanted = reference_alloc(&it->reference, size, alignment);
    const uint32_t start = region_start_alloc(it, size, alignment);
    if (!expect(it, start == wanted,
                "%zu bytes aligned to %zu are at granule %" PRId32 " instead of %" PRId32, size,
                alignment, (int32_t)start, (int32_t)wanted)) {
        return;
    }
    if (start == REFERENCE_NONE) {
        it->failures++;
        return;
    }
    it->allocs++;
    it->blocks[it->count++] = (live_block){start, size};
    expect_room(it, start);
}

static unsigned choose_block(property_run *it)
{
    switch (choose(it, 8)) {
    case 0:
        return it->count - 1;
    case 1:
        return 0;
    default:
        return (unsigned)choose(it, it->count);
    }
}

static void free_block(property_run *it, unsigned which)
{
    const uint32_t start = it->blocks[which].start;
    it->blocks[which] = it->blocks[--it->count];
    it->frees++;
    reference_free(&it->reference, start);
    region_start_free(it, start);
}

static void do_free(property_run *it)
{
    if (it->count != 0) {
        free_block(it, choose_block(it));
    }
}

static void do_resize(property_run *it)
{
    if (it->count == 0) {
        return;
    }
    live_block *block = &it->blocks[choose_block(it)];
    const size_t size =
        choose(it, 2) == 0 ? choose_size(it) : (size_t)choose(it, block->size * 2 + 2);
    const bool wanted = reference_resize(&it->reference, block->start, size);
    const bool is_resized = region_start_resize(it, block->start, size);
    expect(it, is_resized == wanted, "a block at granule %u %s %zu bytes", block->start,
           is_resized ? "became" : "would not become", size);
    if (is_resized) {
        block->size = size;
    }
    expect_room(it, block->start);
}

static void do_reset(property_run *it)
{
    it->frees += it->count;
    it->count = 0;
    reference_reset(&it->reference);
    tarn_region_reset(&it->region);
}

static void do_something(property_run *it)
{
    const uint64_t what = choose(it, 1000);
    if (what < 150) {
        do_resize(it);
    } else if (what == 150 && choose(it, 20) == 0) {
        do_reset(it);
    } else {
        const bool is_below =
            it->reference.used * 100 < (uint64_t)it->reference.granules * it->load;
        if (chance(it, is_below ? 75 : 25)) {
            do_alloc(it);
        } else {
            do_free(it);
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * Comparisons.
 */
static bool see_partition(void *context, const tarn_partition *partition)
{
    property_run *it = context;
    if (!expect(it, it->seen < it->reference.count, "there are more than %u partitions",
                it->reference.count)) {
        return false;
    }
    const reference_partition *wanted = &it->reference.partitions[it->seen];
    const uint32_t start = wanted->start + wanted->skip;
    const void *block = it->region.has_memory ? address_of(it, start) : NULL;
    it->seen++;
    return expect(it,
                  partition->offset == offset_of(it, start) && partition->block == block &&
                      partition->size == reference_room_of(&it->reference, wanted) &&
                      partition->is_free == wanted->is_free,
                  "partition %u is %s, at offset %zu, of %zu bytes; granule %u should be %s, of "
                  "%zu bytes",
                  it->seen - 1, partition->is_free ? "free" : "used", partition->offset,
                  partition->size, start, wanted->is_free ? "free" : "used",
                  reference_room_of(&it->reference, wanted));
}

static void compare_all(property_run *it)
{
    char fault[160] = "";
    expect(it, tarn_region_check(&it->region, fault, sizeof fault), "check found: %s", fault);
    it->seen = 0;
    tarn_region_visit(&it->region, see_partition, it);
    expect(it, it->seen == it->reference.count, "there are %u partitions instead of %u", it->seen,
           it->reference.count);
    const tarn_stats stats = tarn_region_stats(&it->region);
    expect(it,
           stats.blocks == it->count && stats.allocs == it->allocs && stats.frees == it->frees &&
               stats.failures == it->failures,
           "stats tell of %" PRIu64 " blocks, %" PRIu64 " allocs, %" PRIu64 " frees, %" PRIu64
           " failures",
           stats.blocks, stats.allocs, stats.frees, stats.failures);
}

static void compare_largest(property_run *it)
{
    const size_t largest = tarn_region_largest_free(&it->region);
    const size_t wanted = reference_largest(&it->reference);
    expect(it, largest == wanted, "largest_free is %zu instead of %zu", largest, wanted);
}

static void look_around(property_run *it)
{
    if (it->operation % SWING_EVERY == 0) {
        const unsigned load = it->shape->load;
        it->load = load / 2 + (unsigned)choose(it, load);
    }
    if (it->operation % 8 == 0) {
        compare_largest(it);
    }
    if (it->operation % COMPARE_EVERY == 0 ||
        (it->reference.count <= PARTITIONS_FEW && it->operation % 4 == 0)) {
        compare_all(it);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Runs.
 */

/* One seed for everything that is run, so that it repeats whichever run it was. */
static uint64_t seed_of_all(void)
{
    static uint64_t seed;
    static bool is_chosen;
    if (!is_chosen) {
        seed = heap_model_seed();
        is_chosen = true;
    }
    return seed;
}

static unsigned operations_of_a_run(void)
{
    const char *text = getenv("TARN_OPERATIONS");
    if (text != NULL && *text != '\0') {
        return (unsigned)strtoul(text, NULL, 0);
    }
    return IS_UNDER_VALGRIND ? 1500 : IS_UNDER_NO_TOOL ? 40000 : 8000;
}

static void choose_partitions(property_run *it, tarn_region_options *options, size_t granule)
{
    const uint32_t granules = it->shape->granules;
    uint32_t typical = it->shape->largest;
    if (granules / typical > 4000) {
        typical = granules / 4000;
    }
    if (choose(it, 2) == 0) {
        options->partition_size = typical * granule - (size_t)choose(it, granule);
        return;
    }
    options->sizes = it->fixed_sizes;
    for (uint32_t left = granules; options->size_count < FIXED_MAX && left > typical;) {
        const uint32_t size = 1 + (uint32_t)choose(it, typical);
        it->fixed_sizes[options->size_count++] = size * granule - (size_t)choose(it, granule);
        left -= size;
    }
}

/* An address range that nobody may touch, or memory. */
static unsigned char *map_range(size_t size, bool may_be_touched)
{
    void *memory = mmap(NULL, size, may_be_touched ? PROT_READ | PROT_WRITE : PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static bool add_size(void *context, const tarn_partition *partition)
{
    *(size_t *)context += partition->size;
    return true;
}

static bool see_first(void *context, const tarn_partition *partition)
{
    *(tarn_partition *)context = *partition;
    return false;
}

/* A fresh region whose books left too little of the range. */
static bool has_less(tarn_region *region, size_t size)
{
    size_t sum = 0;
    tarn_region_visit(region, add_size, &sum);
    return sum < size;
}

/* Learns from the fresh region where its first block will be, and tells the reference. */
static void learn(property_run *it, const tarn_region_options *options, size_t granule,
                  tarn_memory memory)
{
    tarn_partition partition;
    tarn_region_visit(&it->region, see_first, &partition);
    const bool is_dynamic = options->policy <= TARN_SEGREGATED_FIT;
    const size_t tag = it->inside && is_dynamic ? REGION_TAG : 0;
    it->first = partition.offset;
    it->origin = (uintptr_t)memory.start;
    it->reference = (region_reference){
        .policy = options->policy,
        .granules = (uint32_t)((memory.size - partition.offset) / granule),
        .smallest = it->inside && is_dynamic ? REGION_INSIDE_MIN : 1,
        .granule = granule,
        .tag = tag,
        .address = (uintptr_t)partition.block,
        .exact = (uint32_t)((tarn_region_exact(&it->region) + tag) / granule) + 1,
        .partition_size = options->partition_size,
        .sizes = options->sizes,
        .size_count = options->size_count,
    };
    it->reference.steps = UINT32_C(1) << region_steps_log2(it->reference.granules);
    if (!it->region.has_memory) {
        it->reference.address = partition.offset;
    }
}

static void go(property_run *it, unsigned operations)
{
    for (; it->is_ok && it->operation < operations; it->operation++) {
        do_something(it);
        look_around(it);
    }
    for (; it->is_ok && it->count > 0; it->operation++) {
        do_free(it);
        compare_largest(it);
    }
    compare_all(it);
}

static bool run_shape(const property_shape *shape, tarn_region_policy policy,
                      tarn_region_books books, uint64_t seed)
{
    static property_run it; /* too large for small stacks */
    const bool inside = books == TARN_BOOKS_INSIDE;
    it = (property_run){
        .shape = shape, .inside = inside, .seed = seed, .random = seed, .is_ok = true};
    it.random ^= (uint64_t)(shape - shapes) << 32;
    if (inside && !shape->has_memory) {
        return true;
    }
    if (policy == TARN_BUDDY && shape->granules == INT32_MAX) {
        return true; /* its books, and check, would take a large part of the machine */
    }
    const size_t granule = inside ? REGION_GRANULE : (size_t)1 << shape->granule_shift;
    if (shape->granules > PTRDIFF_MAX / 4 / granule) {
        return true; /* more than addresses reach */
    }
    tarn_region_options options = {.policy = policy, .books = books};
    if (!inside || policy == TARN_BUDDY) {
        options.granule = granule;
    }
    if (policy == TARN_FIXED_PARTITIONS) {
        choose_partitions(&it, &options, granule);
    }
    /* A bad beginning and a bad end. */
    const size_t lead = inside ? (size_t)choose(&it, granule) : 0;
    const size_t size = shape->granules * granule + (size_t)choose(&it, granule);
    const size_t mapped = size * 2 + 16384;
    unsigned char *memory = NULL;
    if (shape->has_memory) {
        memory = map_range(mapped, inside);
        assert_non_null(memory);
    }
    current = &it;
    it.reference.policy = policy;
    tarn_memory range = {shape->has_memory ? memory + lead : NULL, size};
    tarn_status status = tarn_region_init(&it.region, range, &options);
    /* The books take of the range, too; of fixed partitions one is enough. */
    const size_t least = policy == TARN_FIXED_PARTITIONS ? 1 : shape->granules * granule / 4;
    while (inside && (status == TARN_NO_ROOM || has_less(&it.region, least))) {
        if (status == TARN_OK) {
            tarn_region_deinit(&it.region);
        }
        range.size += granule + size / 8;
        assert_true(lead + range.size <= mapped);
        status = tarn_region_init(&it.region, range, &options);
    }
    if (status == TARN_OK) {
        learn(&it, &options, granule, range);
        reference_open(&it.reference);
        compare_all(&it);
        go(&it, operations_of_a_run());
        reference_close(&it.reference);
        tarn_region_deinit(&it.region);
    } else {
        expect(&it, false, "init says: %s", tarn_status_text(status));
    }
    if (memory != NULL) {
        munmap(memory, mapped);
    }
    return it.is_ok;
}

static void run_all(tarn_region_policy policy, tarn_region_books books)
{
    for (size_t i = 0; i < shape_count; i++) {
        assert_true(run_shape(&shapes[i], policy, books, seed_of_all()));
    }
}

/* ------------------------------------------------------------------------------------------------
 * The tests.
 */
#define CHOOSES_AS_ITS_REFERENCE(name, policy)                                                     \
    static void name##_with_books_inside_chooses_as_its_reference(void **state)                    \
    {                                                                                              \
        (void)state;                                                                               \
        run_all(policy, TARN_BOOKS_INSIDE);                                                        \
    }                                                                                              \
    static void name##_with_books_outside_chooses_as_its_reference(void **state)                   \
    {                                                                                              \
        (void)state;                                                                               \
        run_all(policy, TARN_BOOKS_OUTSIDE);                                                       \
    }

CHOOSES_AS_ITS_REFERENCE(best_fit, TARN_BEST_FIT)
CHOOSES_AS_ITS_REFERENCE(first_fit, TARN_FIRST_FIT)
CHOOSES_AS_ITS_REFERENCE(next_fit, TARN_NEXT_FIT)
CHOOSES_AS_ITS_REFERENCE(worst_fit, TARN_WORST_FIT)
CHOOSES_AS_ITS_REFERENCE(segregated_fit, TARN_SEGREGATED_FIT)
CHOOSES_AS_ITS_REFERENCE(buddy, TARN_BUDDY)
CHOOSES_AS_ITS_REFERENCE(fixed_partitions, TARN_FIXED_PARTITIONS)
CHOOSES_AS_ITS_REFERENCE(single, TARN_SINGLE)

#define BOTH_WAYS(name)                                                                            \
    cmocka_unit_test(name##_with_books_inside_chooses_as_its_reference),                           \
        cmocka_unit_test(name##_with_books_outside_chooses_as_its_reference)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_WAYS(best_fit),         BOTH_WAYS(first_fit),      BOTH_WAYS(next_fit),
        BOTH_WAYS(worst_fit),        BOTH_WAYS(segregated_fit), BOTH_WAYS(buddy),
        BOTH_WAYS(fixed_partitions), BOTH_WAYS(single),
    };
    tarn_set_fatal_handler(tell_fatal);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
