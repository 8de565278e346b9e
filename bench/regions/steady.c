/* SPDX-License-Identifier: MIT */
#include "ticks.h"
#include "works.h"

/*
 * The steps are recorded once and replayed from a fresh range several times. An allocator does the
 * same in every replay, so the least time of a step is the step's own: what the machine did to it
 * besides, an interrupt or a neighbour, hardly ever hits the same step each time.
 *
 *     [ fill to the load | settle, ops / 4 | measured, ops ]
 *
 * Half of the replays are timed in batches, for the mean; the others step by step.
 */

enum { BATCH = 4096 };

typedef struct bench_recording {
    life_step *steps;
    size_t count;
    size_t measured; /* the first step that is measured */
    uint32_t slots;
    uint64_t failures; /* among the measured steps */
} bench_recording;

static void *array_of(size_t count, size_t size)
{
    void *const array = calloc(count, size);
    if (array == NULL) {
        work_fail("no memory for the driver's own books");
    }
    return array;
}

static size_t target_of(const bench_plan *plan)
{
    return (size_t)(plan->load * (double)plan->size);
}

static bench_recording record(const bench_plan *plan)
{
    bench_life life;
    const size_t most = plan->size / plan->draw.sizes[0] + 1;
    bench_recording made = {.steps = array_of(most + plan->ops + plan->ops / 4, sizeof(life_step))};
    life_init(&life, &plan->subject, &plan->draw, plan->memory, plan->size, plan->alignment,
              plan->seed);
    life.target = target_of(plan);
    bool is_served = true;
    while (is_served && life.live < life.target) {
        is_served = life_alloc(&life, &made.steps[made.count++]);
    }
    for (uint64_t i = 0; i < plan->ops / 4; i++) {
        life_go(&life, &made.steps[made.count++]);
    }
    made.measured = made.count;
    const uint64_t before = life.failures;
    double live = 0;
    for (uint64_t i = 0; i < plan->ops; i++) {
        life_go(&life, &made.steps[made.count++]);
        live += (double)life.live;
    }
    made.slots = life.slot_count + 1;
    made.failures = life.failures - before;
    printf("load %.4f\n", live / (double)plan->ops / (double)plan->size);
    printf("blocks %zu\n", life.count);
    life_deinit(&life);
    return made;
}

static inline void take_step(const bench_subject *subject, void *heap, void **slots, life_step step)
{
    if (step.size != 0) {
        slots[step.slot] = subject->alloc(heap, step.size);
    } else {
        subject->free(heap, slots[step.slot]);
    }
}

/* A fresh range, after the steps that are not measured. */
static void *prepare(const bench_plan *plan, const bench_recording *recording, void **slots)
{
    void *const heap = plan->subject.init(plan->memory, plan->size);
    for (size_t i = 0; i < recording->measured; i++) {
        take_step(&plan->subject, heap, slots, recording->steps[i]);
    }
    return heap;
}

/* A function of its own, whose instructions can be counted apart from the rest of the program. */
__attribute__((noinline)) static void run_steps(const bench_subject *subject, void *heap,
                                                void **slots, const life_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        take_step(subject, heap, slots, steps[i]);
    }
}

/* Keeps the least time of each batch. */
static void replay_batches(const bench_plan *plan, const bench_recording *recording, void **slots,
                           uint64_t *least)
{
    void *const heap = prepare(plan, recording, slots);
    for (size_t from = recording->measured; from < recording->count; from += BATCH, least++) {
        const size_t to = from + BATCH < recording->count ? from + BATCH : recording->count;
        const uint64_t start = ticks_now();
        run_steps(&plan->subject, heap, slots, recording->steps + from, to - from);
        const uint64_t took = ticks_now() - start;
        *least = *least == 0 || took < *least ? took : *least;
    }
}

/* Keeps the least time of each step. */
static void replay_steps(const bench_plan *plan, const bench_recording *recording, void **slots,
                         uint32_t *least)
{
    const bench_subject subject = plan->subject;
    void *const heap = prepare(plan, recording, slots);
    uint64_t failures = 0;
    for (size_t i = recording->measured; i < recording->count; i++, least++) {
        const life_step step = recording->steps[i];
        const uint64_t start = ticks_now();
        take_step(&subject, heap, slots, step);
        const uint64_t took = ticks_now() - start;
        if (took < *least) {
            *least = (uint32_t)took;
        }
        failures += step.size != 0 && slots[step.slot] == NULL;
    }
    if (failures != recording->failures) {
        work_fail("a replay went another way than the recording");
    }
}

static int compare_times(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a;
    const uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void print_times(uint32_t *times, size_t count)
{
    static const struct {
        const char *name;
        double part;
    } points[] = {
        {"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"largest", 1}};
    const double length = ticks_length();
    const uint64_t cost = ticks_cost();
    qsort(times, count, sizeof *times, compare_times);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        const size_t at = (size_t)(points[i].part * (double)(count - 1));
        const double ticks = times[at] > cost ? (double)(times[at] - cost) : 0;
        printf("%s_ns %.1f\n", points[i].name, ticks * length);
    }
}

void work_steady(const bench_plan *plan)
{
    const bench_recording recording = record(plan);
    const size_t batches = (plan->ops + BATCH - 1) / BATCH;
    void **const slots = array_of(recording.slots, sizeof *slots);
    uint64_t *const batch_times = array_of(batches, sizeof *batch_times);
    uint32_t *const step_times = array_of(plan->ops, sizeof *step_times);
    memset(step_times, 0xff, plan->ops * sizeof *step_times);
    for (uint32_t i = 0; i < plan->replays; i++) {
        replay_batches(plan, &recording, slots, batch_times);
        replay_steps(plan, &recording, slots, step_times);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < batches; i++) {
        sum += batch_times[i];
    }
    printf("mean_ns %.2f\n", (double)sum * ticks_length() / (double)plan->ops);
    print_times(step_times, plan->ops);
    printf("failures %llu\n", (unsigned long long)recording.failures);
    free(slots);
    free(batch_times);
    free(step_times);
    free(recording.steps);
}

void work_plain(const bench_plan *plan)
{
    const bench_recording recording = record(plan);
    void **const slots = array_of(recording.slots, sizeof *slots);
    void *const heap = prepare(plan, &recording, slots);
    run_steps(&plan->subject, heap, slots, recording.steps + recording.measured, plan->ops);
    printf("failures %llu\n", (unsigned long long)recording.failures);
    free(slots);
    free(recording.steps);
}
