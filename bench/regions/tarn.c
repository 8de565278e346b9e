/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include "tarn/region.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Tarn's own policies, and one that does nothing.
 */

enum { FIXED_STEPS = 8, FIXED_CLASSES = 16, INSIDE_TAG = 16, BUDDY_LEAST = 16 };

static const struct {
    const char *name;
    tarn_region_policy policy;
} policies[] = {{"first-fit", TARN_FIRST_FIT},       {"next-fit", TARN_NEXT_FIT},
                {"best-fit", TARN_BEST_FIT},         {"worst-fit", TARN_WORST_FIT},
                {"segregated", TARN_SEGREGATED_FIT}, {"buddy", TARN_BUDDY},
                {"fixed", TARN_FIXED_PARTITIONS},    {"single", TARN_SINGLE}};

static tarn_region region;
static tarn_region_options options;
static size_t alignment;
static bool is_made;

/* Where outside books come from: memory that is resident, as the range is. A page that the kernel
 * has yet to find would otherwise be the slowest operation of all. */
static void *resident_alloc(tarn_heap *heap, size_t size, size_t align)
{
    (void)heap;
    void *const block = aligned_alloc(align, (size + align - 1) / align * align);
    return block != NULL ? memset(block, 0, size) : NULL;
}

static void resident_free(tarn_heap *heap, void *block, size_t size)
{
    (void)heap;
    (void)size;
    free(block);
}

static const tarn_heap_ops resident_ops = {.alloc = resident_alloc, .free = resident_free};
static tarn_heap resident = {&resident_ops, "resident"};

static void *init(void *memory, size_t size)
{
    const bool is_outside = options.books == TARN_BOOKS_OUTSIDE;
    if (is_made) {
        tarn_region_deinit(&region);
    }
    const tarn_status status =
        tarn_region_init(&region, (tarn_memory){is_outside ? NULL : memory, size}, &options);
    if (status != TARN_OK) {
        fprintf(stderr, "driver: tarn_region_init: %s\n", tarn_status_text(status));
    }
    is_made = status == TARN_OK;
    return is_made ? &region : NULL;
}

static void *inside_alloc(void *heap, size_t size)
{
    return tarn_region_alloc(heap, size, alignment);
}

static void inside_free(void *heap, void *block)
{
    tarn_region_free(heap, block);
}

/* An offset and one, so that the first is not NULL, and TARN_NO_OFFSET is. */
static void *outside_alloc(void *heap, size_t size)
{
    return (void *)(uintptr_t)(tarn_region_alloc_offset(heap, size, alignment) + 1);
}

static void outside_free(void *heap, void *block)
{
    tarn_region_free_offset(heap, (size_t)(uintptr_t)block - 1);
}

static size_t largest(void *heap)
{
    return tarn_region_largest_free(heap);
}

static bool add_free(void *context, const tarn_partition *partition)
{
    size_t *const sum = context;
    *sum += partition->is_free ? partition->size : 0;
    return true;
}

static size_t free_bytes(void *heap)
{
    size_t sum = 0;
    tarn_region_visit(heap, add_free, &sum);
    return sum;
}

static size_t bound(size_t live, size_t most)
{
    return tarn_region_bound(options.policy, live, most);
}

/* As who knows the requests would lay fixed partitions out: as many of each size as requests will
 * want them. The sizes are even steps to the largest, or doublings where requests are of a power
 * law, of which each then has 1 / sqrt(2) as many as the one before. */
static void plan_fixed(const bench_wish *wish, size_t tag)
{
    size_t sizes[FIXED_CLASSES];
    double weights[FIXED_CLASSES];
    size_t classes = 0;
    double bytes = 0;
    if (wish->is_power_law) {
        double weight = 1;
        for (size_t size = wish->least * 2; size <= wish->most; size *= 2) {
            sizes[classes] = size + tag;
            weights[classes++] = weight;
            weight /= 1.41421356;
        }
    } else {
        for (size_t i = 1; i <= FIXED_STEPS; i++) {
            sizes[classes] = wish->most * i / FIXED_STEPS + tag;
            weights[classes++] = 1;
        }
    }
    for (size_t i = 0; i < classes; i++) {
        bytes += weights[i] * (double)sizes[i];
    }
    const double units = (double)wish->size / bytes;
    size_t *const list = malloc((size_t)(units * (double)classes + 1) * sizeof *list);
    if (list == NULL) {
        return;
    }
    size_t count = 0;
    for (size_t i = 0; i < classes; i++) {
        for (size_t j = (size_t)(units * weights[i]); j > 0; j--) {
            list[count++] = sizes[i];
        }
    }
    options.sizes = list;
    options.size_count = count;
}

static void choose(bench_subject *subject, tarn_region_policy policy, const bench_wish *wish)
{
    const bool is_outside = subject->is_offsets;
    const size_t tag = is_outside ? 0 : INSIDE_TAG;
    alignment = wish->alignment;
    options = (tarn_region_options){.policy = policy,
                                    .books = is_outside ? TARN_BOOKS_OUTSIDE : TARN_BOOKS_INSIDE};
    if (policy == TARN_BUDDY) {
        options.granule = BUDDY_LEAST;
    } else if (is_outside) {
        options.granule = wish->alignment;
    }
    if (is_outside) {
        options.upstream = &resident;
        options.partitions = wish->partitions;
    }
    if (policy == TARN_FIXED_PARTITIONS && wish->is_crowd) {
        options.partition_size = wish->most + tag;
    } else if (policy == TARN_FIXED_PARTITIONS) {
        plan_fixed(wish, tag);
    }
    subject->init = init;
    subject->alloc = is_outside ? outside_alloc : inside_alloc;
    subject->free = is_outside ? outside_free : inside_free;
    subject->largest = largest;
    subject->free_bytes = free_bytes;
    subject->bound = bound;
}

/* Distinct addresses inside the range, for as long as the driver likes. */
static size_t nothing_at;
static size_t nothing_size;

static void *nothing_init(void *memory, size_t size)
{
    nothing_size = size / 2;
    nothing_at = 0;
    return memory;
}

static void *nothing_alloc(void *heap, size_t size)
{
    (void)size;
    nothing_at = nothing_at + 16 < nothing_size ? nothing_at + 16 : 0;
    return (char *)heap + nothing_at;
}

static void nothing_free(void *heap, void *block)
{
    (void)heap;
    (void)block;
}

void subject_name(bench_subject *subject, const char *name, const bench_wish *wish)
{
    const char *const slash = strchr(name, '/');
    const size_t length = slash != NULL ? (size_t)(slash - name) : strlen(name);
    *subject = (bench_subject){.init = nothing_init, .alloc = nothing_alloc, .free = nothing_free};
    snprintf(subject->name, sizeof subject->name, "%s", name);
    if (strcmp(name, "nothing") == 0) {
        return;
    }
    subject->is_offsets = slash != NULL && strcmp(slash, "/outside") == 0;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (strlen(policies[i].name) == length && strncmp(policies[i].name, name, length) == 0 &&
            (slash == NULL || subject->is_offsets)) {
            choose(subject, policies[i].policy, wish);
            return;
        }
    }
    fprintf(stderr, "driver: no policy %s\n", name);
    exit(EXIT_FAILURE);
}
