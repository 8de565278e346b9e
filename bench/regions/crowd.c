/* SPDX-License-Identifier: MIT */
#include "ticks.h"
#include "works.h"

/*
 * What an operation costs among `count` free partitions.
 *
 *     | used | free | used | free | used | free | ...
 *
 * Twice as many small blocks are allocated and every other one is freed. Then pairs of a free, of a
 * random used block, and an allocation, of a random size, are timed. As each pair changes the free
 * partitions by one or two, only a fiftieth as many pairs are made as there are partitions before
 * all is built anew.
 */

enum { LEAST_PAIRS = 20, MOST_PAIRS = 2000 };

typedef struct bench_crowd {
    void *heap;
    void **used;
    size_t count;
} bench_crowd;

typedef struct crowd_pair {
    void *block;
    uint32_t size;
} crowd_pair;

/* False if the range is too small. */
static bool build(const bench_plan *plan, bench_crowd *crowd, work_random *random)
{
    const bench_subject *const subject = &plan->subject;
    void **const blocks = malloc(2 * (size_t)plan->count * sizeof *blocks);
    if (blocks == NULL) {
        work_fail("no memory for the driver's own books");
    }
    crowd->heap = subject->init(plan->memory, plan->size);
    if (crowd->heap == NULL) {
        work_fail("the allocator refuses the range");
    }
    bool is_served = true;
    for (size_t i = 0; is_served && i < 2 * (size_t)plan->count; i++) {
        blocks[i] = subject->alloc(crowd->heap, work_between(random, CROWD_LOW, CROWD_HIGH));
        is_served = blocks[i] != NULL;
    }
    for (size_t i = 0; is_served && i < plan->count; i++) {
        subject->free(crowd->heap, blocks[2 * i + 1]);
        crowd->used[i] = blocks[2 * i];
    }
    free(blocks);
    return is_served;
}

/* A function of its own, whose instructions can be counted apart from the rest of the program. */
__attribute__((noinline)) static void run_pairs(const bench_subject *subject, void *heap,
                                                const crowd_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        subject->free(heap, pairs[i].block);
        work_escape(subject->alloc(heap, pairs[i].size));
    }
}

/* Ticks of `count` pairs, on blocks of stretch `part` of `parts`. */
static uint64_t time_pairs(const bench_plan *plan, bench_crowd *crowd, crowd_pair *pairs,
                           size_t count, size_t part, size_t parts, work_random *random)
{
    /* One block of each stretch, so that none is drawn twice and all parts of the range are met;
     * drawn before, so that the driver's own misses are not measured. */
    const size_t stretch = plan->count / (count * parts);
    for (size_t i = 0; i < count; i++) {
        const size_t at = (i * parts + part) * stretch + work_below(random, (uint32_t)stretch);
        pairs[i] = (crowd_pair){crowd->used[at], work_between(random, CROWD_LOW, CROWD_HIGH)};
    }
    for (size_t i = count - 1; i > 0; i--) {
        const size_t other = work_below(random, (uint32_t)i + 1);
        const crowd_pair pair = pairs[i];
        pairs[i] = pairs[other];
        pairs[other] = pair;
    }
    const uint64_t start = ticks_now();
    run_pairs(&plan->subject, crowd->heap, pairs, count);
    return ticks_now() - start;
}

static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

void work_crowd(const bench_plan *plan)
{
    work_random random = {plan->seed};
    const size_t wanted = plan->ops / 2;
    const size_t allowed = plan->count / 50 > LEAST_PAIRS ? plan->count / 50 : LEAST_PAIRS;
    const size_t most = wanted < MOST_PAIRS ? wanted : MOST_PAIRS;
    const size_t count = allowed < most ? allowed : most;
    const size_t parts = (allowed < wanted ? allowed : wanted) / count;
    const size_t builds = wanted / (count * parts);
    bench_crowd crowd = {.used = malloc(plan->count * sizeof *crowd.used)};
    crowd_pair *const pairs = malloc(count * sizeof *pairs);
    double *const times = malloc(builds * parts * sizeof *times);
    if (plan->count < LEAST_PAIRS || crowd.used == NULL || pairs == NULL || times == NULL) {
        work_fail("too few partitions, or no memory for the driver's own books");
    }
    size_t done = 0;
    for (size_t i = 0; i < builds; i++) {
        if (!build(plan, &crowd, &random)) {
            work_fail("the range is too small");
        }
        for (size_t part = 0; part < parts; part++) {
            times[done++] = (double)time_pairs(plan, &crowd, pairs, count, part, parts, &random) /
                            (double)count / 2;
        }
    }
    qsort(times, done, sizeof *times, compare_doubles);
    printf("mean_ns %.2f\nops %zu\n", times[done / 2] * ticks_length(), 2 * count * done);
    free(crowd.used);
    free(pairs);
    free(times);
}
