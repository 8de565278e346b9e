/* SPDX-License-Identifier: MIT */

/*
 * Measures the movable heap: `movable compact|passes|deref [SEED]`; bench/README.md says what and
 * how.
 */

#include "../workloads/work.h"
#include "ticks.h"

#include "tarn/movable.h"

#include <stdbool.h>
#include <sys/mman.h>

enum {
    SIZE_LOW = 16,
    SIZE_HIGH = 4096,
    FREED_PERCENT = 70,
    BUDGET_US = 1000,
    PASSES = 5000,
    CHURN = 1000, /* blocks freed and allocated again between two passes */
    HOPS = 1 << 22,
    MEMMOVES = 5,
    CHASES = 5
};

static const size_t FILL = (size_t)256 << 20;

typedef struct bench_herd {
    tarn_movable heap;
    tarn_handle *handles;
    size_t count;
    size_t room;
    work_random random;
} bench_herd;

static void herd_add(bench_herd *herd)
{
    if (herd->count == herd->room) {
        herd->room = herd->room * 2 + 1024;
        herd->handles = reallocarray(herd->handles, herd->room, sizeof *herd->handles);
        if (herd->handles == NULL) {
            work_fail("no memory for the driver's own books");
        }
    }
    const uint32_t size = work_between(&herd->random, SIZE_LOW, SIZE_HIGH);
    const tarn_handle handle = tarn_movable_alloc(&herd->heap, size, 8);
    if (handle == 0) {
        work_fail("out of memory");
    }
    work_write(tarn_deref(&herd->heap, handle), size, handle);
    herd->handles[herd->count++] = handle;
}

/* Frees a random block, and examines what it held. */
static void herd_remove(bench_herd *herd)
{
    const uint32_t at = work_below(&herd->random, (uint32_t)herd->count);
    const tarn_handle handle = herd->handles[at];
    const void *const block = tarn_deref(&herd->heap, handle);
    if (work_read(block, tarn_movable_size(&herd->heap, handle)) != handle) {
        work_fail("a block did not keep its contents");
    }
    tarn_movable_free(&herd->heap, handle);
    herd->handles[at] = herd->handles[--herd->count];
}

/* Fills the heap and frees most of it again, at random. */
static void herd_init(bench_herd *herd, uint64_t seed)
{
    *herd = (struct bench_herd){.random = {seed}};
    if (tarn_movable_init(&herd->heap, NULL) != TARN_OK) {
        work_fail("no heap");
    }
    while (tarn_movable_stats(&herd->heap).live < FILL) {
        herd_add(herd);
    }
    for (size_t left = herd->count * (100 - FREED_PERCENT) / 100; herd->count > left;) {
        herd_remove(herd);
    }
}

static void herd_deinit(bench_herd *herd)
{
    while (herd->count > 0) {
        herd_remove(herd);
    }
    tarn_movable_deinit(&herd->heap);
    free(herd->handles);
}

/* Bytes in a nanosecond, of one memmove of `size` bytes to lower addresses. */
static double memmove_speed(size_t size)
{
    char *const memory = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    uint64_t least = UINT64_MAX;
    if (memory == MAP_FAILED) {
        work_fail("no memory");
    }
    memset(memory, 1, 2 * size);
    for (int i = 0; i < MEMMOVES; i++) {
        const uint64_t start = ticks_now_ns();
        memmove(memory, memory + size, size);
        work_escape(memory);
        const uint64_t took = ticks_now_ns() - start;
        least = took < least ? took : least;
    }
    munmap(memory, 2 * size);
    return (double)size / (double)least;
}

static void compact(uint64_t seed)
{
    bench_herd herd;
    tarn_movable_report report;
    herd_init(&herd, seed);
    const tarn_stats before = tarn_movable_stats(&herd.heap);
    const uint64_t start = ticks_now_ns();
    if (tarn_movable_compact(&herd.heap, &(tarn_movable_budget){0}, &report) != TARN_OK) {
        work_fail("no compaction");
    }
    const uint64_t took = ticks_now_ns() - start;
    const tarn_stats after = tarn_movable_stats(&herd.heap);
    const double speed = memmove_speed(report.bytes_moved);
    printf("live %zu\nfootprint_before %zu\nfootprint_after %zu\nover_live %.5f\n", after.live,
           before.footprint, after.footprint, (double)after.footprint / (double)after.live);
    printf("moved %zu\ncompact_gb_s %.3f\nmemmove_gb_s %.3f\nspeed %.4f\n", report.bytes_moved,
           (double)report.bytes_moved / (double)took, speed,
           (double)report.bytes_moved / (double)took / speed);
    herd_deinit(&herd);
}

/* Nanoseconds that this thread has had a processor. */
static uint64_t cpu_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void print_passes(const char *suffix, uint64_t *times)
{
    qsort(times, PASSES, sizeof *times, compare_times);
    printf("p50%s %.1f\np99%s %.1f\n", suffix, (double)times[PASSES / 2] / 1e3, suffix,
           (double)times[PASSES * 99 / 100] / 1e3);
    printf("p99.9%s %.1f\nlargest%s %.1f\n", suffix,
           (double)times[(size_t)PASSES * 999 / 1000] / 1e3, suffix,
           (double)times[PASSES - 1] / 1e3);
}

/* Passes with a budget, among blocks that come and go so that there is always something to move. */
static void passes(uint64_t seed)
{
    static uint64_t times[PASSES];
    static uint64_t cpu_times[PASSES]; /* without what others had the processor meanwhile */
    bench_herd herd;
    uint64_t moved = 0;
    herd_init(&herd, seed);
    for (size_t i = 0; i < PASSES; i++) {
        tarn_movable_report report;
        const tarn_movable_budget budget = {.microseconds = BUDGET_US};
        const uint64_t start = ticks_now_ns();
        const uint64_t cpu_start = cpu_now_ns();
        if (tarn_movable_compact(&herd.heap, &budget, &report) != TARN_OK) {
            work_fail("no pass");
        }
        cpu_times[i] = cpu_now_ns() - cpu_start;
        times[i] = ticks_now_ns() - start;
        moved += report.bytes_moved;
        for (int step = 0; step < CHURN; step++) {
            herd_remove(&herd);
            herd_add(&herd);
        }
    }
    print_passes("_us", times);
    print_passes("_cpu_us", cpu_times);
    const tarn_stats stats = tarn_movable_stats(&herd.heap);
    printf("moved_each %.0f\nover_live %.4f\n", (double)moved / PASSES,
           (double)stats.footprint / (double)stats.live);
    herd_deinit(&herd);
}

/* A link of the chase: the ways to the next one. */
typedef struct bench_link {
    tarn_handle handle;
    struct bench_link *pointer;
    struct bench_link **slot; /* a place that holds the pointer, as a table of pointers would */
    char rest[40];
} bench_link;

/* Nanoseconds for a hop from link to link by pointers, by pointers to pointers and by handles, over
 * `count` links. */
static void chase(size_t count, const char *name, uint64_t seed)
{
    tarn_movable heap;
    work_random random = {seed};
    tarn_handle *const handles = malloc(count * sizeof *handles);
    bench_link **const slots = malloc(count * sizeof *slots);
    if (handles == NULL || slots == NULL || tarn_movable_init(&heap, NULL) != TARN_OK) {
        work_fail("no heap");
    }
    for (size_t i = 0; i < count; i++) {
        handles[i] = tarn_movable_alloc(&heap, sizeof(bench_link), 0);
    }
    for (size_t i = count - 1; i > 0; i--) {
        const size_t other = work_below(&random, (uint32_t)i + 1);
        const tarn_handle handle = handles[i];
        handles[i] = handles[other];
        handles[other] = handle;
    }
    for (size_t i = 0; i < count; i++) {
        const tarn_handle next = handles[(i + 1) % count];
        bench_link *const at = tarn_deref(&heap, handles[i]);
        at->handle = next;
        at->pointer = tarn_deref(&heap, next);
        at->slot = &slots[(i + 1) % count];
        slots[i] = at;
    }
    uint64_t by_pointer = UINT64_MAX;
    uint64_t by_slot = UINT64_MAX;
    uint64_t by_handle = UINT64_MAX;
    for (int turn = 0; turn < CHASES; turn++) {
        const bench_link *pointer = tarn_deref(&heap, handles[0]);
        const bench_link *slot = pointer;
        tarn_handle handle = handles[0];
        const uint64_t start = ticks_now();
        for (size_t i = 0; i < HOPS; i++) {
            pointer = pointer->pointer;
        }
        work_escape((void *)(uintptr_t)pointer);
        const uint64_t second = ticks_now();
        for (size_t i = 0; i < HOPS; i++) {
            slot = *slot->slot;
        }
        work_escape((void *)(uintptr_t)slot);
        const uint64_t third = ticks_now();
        for (size_t i = 0; i < HOPS; i++) {
            handle = ((const bench_link *)tarn_deref(&heap, handle))->handle;
        }
        work_escape(&handle);
        const uint64_t end = ticks_now();
        by_pointer = second - start < by_pointer ? second - start : by_pointer;
        by_slot = third - second < by_slot ? third - second : by_slot;
        by_handle = end - third < by_handle ? end - third : by_handle;
    }
    const double length = ticks_length();
    printf("%s_pointer_ns %.3f\n%s_double_ns %.3f\n%s_handle_ns %.3f\n", name,
           (double)by_pointer * length / HOPS, name, (double)by_slot * length / HOPS, name,
           (double)by_handle * length / HOPS);
    printf("%s_deref %.4f\n", name, ((double)by_handle - (double)by_pointer) / (double)by_pointer);
    tarn_movable_deinit(&heap);
    free(handles);
    free(slots);
}

int main(int argc, char **argv)
{
    const char *const work = argc > 1 ? argv[1] : "";
    const uint64_t seed = work_seed(argc, argv, 2);
    if (strcmp(work, "compact") == 0) {
        compact(seed);
    } else if (strcmp(work, "passes") == 0) {
        passes(seed);
    } else if (strcmp(work, "deref") == 0) {
        chase(128, "l1", seed);
        chase(4096, "l2", seed);
    } else {
        fputs("usage: movable compact|passes|deref [SEED]\n", stderr);
        return 2;
    }
    return EXIT_SUCCESS;
}
