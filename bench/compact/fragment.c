/* SPDX-License-Identifier: MIT */

/*
 * Objects of random sizes, most of them freed at random, and then no further call: what is resident for each byte that
 * lives?
 *
 *     fragment [--objects N] [--keep PERCENT] [--low BYTES] [--high BYTES] [--idle SECONDS] [--seed N] [--watch MS]
 *
 * allocate  N objects, each byte written
 * free      all but PERCENT of them, in random order
 * idle      not one call for SECONDS
 * touch     each survivor is read and compared, written anew, and compared again
 * drop      the survivors are freed; then not one call for another second
 *
 * Prints one line, a JSON object. Times are of the phases alone, in nanoseconds; what is read from /proc in between is
 * in none of them. Memory is in KiB (memory.h tells what is counted). The table of objects is a mapping that is there
 * before anything is measured, and all figures are without it: only what malloc and the process itself take is left.
 * `base` is what was resident before the first call; it is in the others.
 *
 * --watch writes what is resident to standard error each so many milliseconds of the idle time. Looking takes the
 * lock of the address space, so it is no part of a measurement.
 */

#include "../workloads/work.h"
#include "memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

typedef struct object {
    unsigned char *start;
    uint32_t size;
    uint32_t number; /* the contents follow from it */
} object;

typedef struct choices {
    uint32_t objects;
    double keep; /* percent */
    uint32_t low;
    uint32_t high;
    double idle; /* seconds */
    uint64_t seed;
    long watch; /* ms; 0: do not */
} choices;

static object *table;
static size_t table_size; /* bytes */

static void *map(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        work_fail("out of memory");
    }
    return memory;
}

static memory_figures look(void)
{
    memory_figures now = memory_now();
    const long table_kib = (long)(table_size / 1024);
    now.resident_kib -= table_kib;
    now.pss_kib -= table_kib;
    now.rss_kib -= table_kib;
    now.statm_kib -= table_kib;
    return now;
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void rest(double seconds)
{
    struct timespec left = {(time_t)seconds, 0};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0) {
    }
}

/* The contents of an object: words that count up from a number of its own. A byte of another object, of another place
 * in this one, or of before the last writing is not what is expected. */
static uint64_t first_word(uint32_t number, uint64_t turn)
{
    return work_mix((turn << 32) + number + 1);
}

#define WORD_STEP 0x9e3779b97f4a7c15u

static void write_object(const object *one, uint64_t turn)
{
    uint64_t word = first_word(one->number, turn);
    size_t at = 0;
    for (; at + sizeof word <= one->size; at += sizeof word, word += WORD_STEP) {
        memcpy(one->start + at, &word, sizeof word);
    }
    memcpy(one->start + at, &word, one->size - at);
}

static void fail_object(const object *one, size_t at, uint64_t word)
{
    unsigned char expected[sizeof word];
    memcpy(expected, &word, sizeof word);
    for (size_t i = 0; i < sizeof word && at + i < one->size; i++) {
        if (one->start[at + i] != expected[i]) {
            fprintf(stderr,
                    "fragment: object %u at %p of %u bytes: byte %zu is 0x%02x, not 0x%02x\n",
                    one->number, (void *)one->start, one->size, at + i, one->start[at + i],
                    expected[i]);
            break;
        }
    }
    exit(EXIT_FAILURE);
}

static void check_object(const object *one, uint64_t turn)
{
    uint64_t word = first_word(one->number, turn);
    size_t at = 0;
    for (; at + sizeof word <= one->size; at += sizeof word, word += WORD_STEP) {
        if (memcmp(one->start + at, &word, sizeof word) != 0) {
            fail_object(one, at, word);
        }
    }
    if (memcmp(one->start + at, &word, one->size - at) != 0) {
        fail_object(one, at, word);
    }
}

static void allocate(const choices *choice, work_random *random)
{
    for (uint32_t i = 0; i < choice->objects; i++) {
        const uint32_t size = work_between(random, choice->low, choice->high);
        table[i] = (object){work_got(malloc(size)), size, i};
        write_object(&table[i], 0);
    }
}

static void shuffle(uint32_t count, work_random *random)
{
    for (uint32_t i = count; i > 1; i--) {
        const uint32_t j = work_below(random, i);
        const object other = table[j];
        table[j] = table[i - 1];
        table[i - 1] = other;
    }
}

static void drop(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        free(table[i].start);
        table[i].start = NULL;
    }
}

static void touch(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        check_object(&table[i], 0);
        write_object(&table[i], 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        check_object(&table[i], 1);
    }
}

static void idle(const choices *choice)
{
    if (choice->watch <= 0) {
        rest(choice->idle);
        return;
    }
    const uint64_t start = nanoseconds(CLOCK_MONOTONIC);
    for (;;) {
        const uint64_t passed = nanoseconds(CLOCK_MONOTONIC) - start;
        const memory_figures now = look();
        fprintf(stderr, "%6llu ms: resident %ld KiB, pss %ld, rss %ld, held %ld, %ld maps\n",
                (unsigned long long)(passed / 1000000), now.resident_kib, now.pss_kib, now.rss_kib,
                now.held_kib, now.maps);
        if ((double)passed >= choice->idle * 1e9) {
            return;
        }
        rest((double)choice->watch / 1e3);
    }
}

static void print_memory(const char *name, const memory_figures *figures)
{
    printf("\"%s\":{\"resident_kib\":%ld,\"pss_kib\":%ld,\"rss_kib\":%ld,\"statm_kib\":%ld,"
           "\"shmem_kib\":%ld,\"held_kib\":%ld,\"maps\":%ld},",
           name, figures->resident_kib, figures->pss_kib, figures->rss_kib, figures->statm_kib,
           figures->shmem_kib, figures->held_kib, figures->maps);
}

static double number(const char *text, double low, double high)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low) || !(value <= high)) {
        fprintf(stderr, "fragment: %s is no number from %g to %g\n", text, low, high);
        exit(2);
    }
    return value;
}

static choices choose(int argc, char **argv)
{
    choices choice = {.objects = 1000000, .keep = 10, .low = 16, .high = 512, .idle = 5, .seed = 1};
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--objects") == 0) {
            choice.objects = (uint32_t)number(value, 1, 1e8);
        } else if (strcmp(name, "--keep") == 0) {
            choice.keep = number(value, 0, 100);
        } else if (strcmp(name, "--low") == 0) {
            choice.low = (uint32_t)number(value, 1, 1e6);
        } else if (strcmp(name, "--high") == 0) {
            choice.high = (uint32_t)number(value, 1, 1e6);
        } else if (strcmp(name, "--idle") == 0) {
            choice.idle = number(value, 0, 1e5);
        } else if (strcmp(name, "--seed") == 0) {
            choice.seed = strtoull(value, NULL, 0);
        } else if (strcmp(name, "--watch") == 0) {
            choice.watch = (long)number(value, 1, 1e6);
        } else {
            fprintf(stderr,
                    "usage: fragment [--objects N] [--keep PERCENT] [--low BYTES] [--high BYTES] "
                    "[--idle SECONDS] [--seed N] [--watch MS]\n");
            exit(2);
        }
    }
    if (choice.low > choice.high) {
        work_fail("--low is above --high");
    }
    return choice;
}

int main(int argc, char **argv)
{
    const choices choice = choose(argc, argv);
    const uint32_t kept = (uint32_t)((double)choice.objects * choice.keep / 100);
    work_random random = {work_mix(choice.seed)};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    table_size = (choice.objects * sizeof *table + page - 1) / page * page;
    table = map(table_size);

    const memory_figures base = look();
    uint64_t start = nanoseconds(CLOCK_MONOTONIC);
    allocate(&choice, &random);
    const uint64_t allocate_ns = nanoseconds(CLOCK_MONOTONIC) - start;
    const memory_figures peak = look();

    shuffle(choice.objects, &random);
    uint64_t peak_bytes = 0;
    uint64_t live_bytes = 0;
    for (uint32_t i = 0; i < choice.objects; i++) {
        peak_bytes += table[i].size;
        live_bytes += i < kept ? table[i].size : 0;
    }

    start = nanoseconds(CLOCK_MONOTONIC);
    drop(kept, choice.objects);
    const uint64_t free_ns = nanoseconds(CLOCK_MONOTONIC) - start;
    const memory_figures freed = look();

    const uint64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    idle(&choice);
    const uint64_t idle_cpu_ns = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    const memory_figures end = look();

    start = nanoseconds(CLOCK_MONOTONIC);
    touch(kept);
    const uint64_t touch_ns = nanoseconds(CLOCK_MONOTONIC) - start;
    const memory_figures touched = look();

    start = nanoseconds(CLOCK_MONOTONIC);
    drop(0, kept);
    const uint64_t drop_ns = nanoseconds(CLOCK_MONOTONIC) - start;
    rest(1);
    const memory_figures empty = look();

    const uint64_t total_ns = allocate_ns + free_ns + touch_ns + drop_ns;
    printf("{\"objects\":%u,\"kept\":%u,\"seed\":%llu,\"idle_s\":%g,\"peak_bytes\":%llu,"
           "\"live_bytes\":%llu,",
           choice.objects, kept, (unsigned long long)choice.seed, choice.idle,
           (unsigned long long)peak_bytes, (unsigned long long)live_bytes);
    print_memory("base", &base);
    print_memory("peak", &peak);
    print_memory("freed", &freed);
    print_memory("end", &end);
    print_memory("touched", &touched);
    print_memory("empty", &empty);
    printf("\"peak_ratio\":%.3f,\"end_ratio\":%.3f,",
           (double)peak.resident_kib * 1024 / (double)peak_bytes,
           live_bytes == 0 ? 0.0 : (double)end.resident_kib * 1024 / (double)live_bytes);
    printf("\"allocate_ns\":%llu,\"free_ns\":%llu,\"touch_ns\":%llu,\"drop_ns\":%llu,\"total_ns\":%"
           "llu,"
           "\"idle_cpu_ns\":%llu,\"cpu_ns\":%llu}\n",
           (unsigned long long)allocate_ns, (unsigned long long)free_ns,
           (unsigned long long)touch_ns, (unsigned long long)drop_ns, (unsigned long long)total_ns,
           (unsigned long long)idle_cpu_ns,
           (unsigned long long)nanoseconds(CLOCK_PROCESS_CPUTIME_ID));
    return EXIT_SUCCESS;
}
