/* SPDX-License-Identifier: MIT */
#include "works.h"

/*
 * How much a range can hold.
 *
 * Fresh: blocks are allocated and none is freed, until the first failure. Aged: blocks come and go,
 * and the load rises evenly from one half to the whole over the operations, until the first
 * failure.
 */

static const double FIRST_LOAD = 0.5;

enum { POINTS = 200 };

static double part_of(size_t bytes, const bench_plan *plan)
{
    return (double)bytes / (double)plan->size;
}

static double fresh_load(const bench_plan *plan)
{
    bench_life life;
    life_init(&life, &plan->subject, &plan->draw, plan->memory, plan->size, plan->alignment,
              plan->seed);
    life_fill(&life);
    const double load = part_of(life.live, plan);
    life_deinit(&life);
    return load;
}

static void print_point(const bench_plan *plan, const bench_life *life, uint64_t ops)
{
    const bench_subject *const subject = life->subject;
    printf("point %llu %.5f %.7f %.7f\n", (unsigned long long)ops, part_of(life->live, plan),
           part_of(subject->largest(life->heap), plan),
           part_of(subject->free_bytes(life->heap), plan));
}

/* The load at the first failure of an ageing range. With `is_watched`, prints points on the way:
 * operations so far, load, and as parts of the range the largest free block and all free bytes. */
static double aged_load(const bench_plan *plan, bool is_watched)
{
    bench_life life;
    life_step step;
    life_init(&life, &plan->subject, &plan->draw, plan->memory, plan->size, plan->alignment,
              plan->seed);
    for (uint64_t i = 0; life.failures == 0; i++) {
        const double done = (double)i / (double)plan->ops;
        const double load = FIRST_LOAD + (1 - FIRST_LOAD) * (done < 1 ? done : 1);
        /* A subject that still serves at the end is filled until it does not. */
        life.target = i < plan->ops ? (size_t)(load * (double)plan->size) : SIZE_MAX;
        if (i == 0) {
            life_fill(&life);
        }
        if (is_watched && i % (plan->ops / POINTS + 1) == 0) {
            print_point(plan, &life, i);
        }
        life_go(&life, &step);
        if (is_watched && life.failures != 0) {
            print_point(plan, &life, i);
        }
    }
    const double load = part_of(life.live, plan);
    life_deinit(&life);
    return load;
}

/* Bytes of range for each live one that are proven to suffice, for as many live bytes as the aged
 * range could hold. */
static void print_bound(const bench_plan *plan, double aged)
{
    const size_t live = (size_t)(aged * (double)plan->size);
    const size_t largest = plan->draw.sizes[LIFE_QUANTILES - 1];
    const size_t bound = plan->subject.bound != NULL ? plan->subject.bound(live, largest) : 0;
    if (bound != 0 && bound != SIZE_MAX) {
        printf("bound %.3f\n", (double)bound / (double)live);
    }
}

void work_load(const bench_plan *plan)
{
    const double fresh = fresh_load(plan);
    const double aged = aged_load(plan, false);
    printf("fresh %.4f\naged %.4f\n", fresh, aged);
    print_bound(plan, aged);
}

void work_curve(const bench_plan *plan)
{
    if (plan->subject.largest == NULL || plan->subject.free_bytes == NULL) {
        work_fail("the allocator does not tell its largest free block");
    }
    printf("aged %.4f\n", aged_load(plan, true));
}
