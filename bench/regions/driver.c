/* SPDX-License-Identifier: MIT */

/*
 * Measures one allocator of one range; bench/README.md says what and how.
 */

#include "works.h"

#include <getopt.h>
#include <sys/mman.h>

static const char USAGE[] =
    "usage: driver (--policy NAME[/outside] | --with NAME=FILE.so:INIT,ALLOC,FREE[,offsets])\n"
    "              --work steady|plain|load|curve|crowd [--size BYTES]\n"
    "              [--sizes uniform|power-law] [--exponent X] [--load PART] [--ops N]\n"
    "              [--replays N] [--count N] [--alignment N] [--seed N]\n";

static const struct {
    const char *name;
    void (*run)(const bench_plan *plan);
} works[] = {{"steady", work_steady},
             {"plain", work_plain},
             {"load", work_load},
             {"curve", work_curve},
             {"crowd", work_crowd}};

enum {
    UNIFORM_LOW = 16,
    UNIFORM_HIGH = 4096,
    POWER_LAW_LOW = 16,
    POWER_LAW_HIGH = 65536,
    HUGE_PAGE = 1 << 21
};

typedef struct bench_choice {
    const char *policy, *peer, *work, *sizes;
    double exponent;
    bench_plan plan;
} bench_choice;

static void refuse(void)
{
    fputs(USAGE, stderr);
    exit(2);
}

static uint64_t number_of(const char *text)
{
    char *end;
    const unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        refuse();
    }
    return number;
}

static double real_of(const char *text)
{
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0 && number <= 100)) {
        refuse();
    }
    return number;
}

static void read_option(bench_choice *choice, const char *name, const char *value)
{
    bench_plan *const plan = &choice->plan;
    if (strcmp(name, "policy") == 0) {
        choice->policy = value;
    } else if (strcmp(name, "with") == 0) {
        choice->peer = value;
    } else if (strcmp(name, "work") == 0) {
        choice->work = value;
    } else if (strcmp(name, "sizes") == 0) {
        choice->sizes = value;
    } else if (strcmp(name, "exponent") == 0) {
        choice->exponent = real_of(value);
    } else if (strcmp(name, "load") == 0) {
        plan->load = real_of(value);
    } else if (strcmp(name, "size") == 0) {
        plan->size = number_of(value);
    } else if (strcmp(name, "ops") == 0) {
        plan->ops = number_of(value);
    } else if (strcmp(name, "replays") == 0) {
        plan->replays = (uint32_t)number_of(value);
    } else if (strcmp(name, "count") == 0) {
        plan->count = (uint32_t)number_of(value);
    } else if (strcmp(name, "alignment") == 0) {
        plan->alignment = number_of(value);
    } else {
        plan->seed = number_of(value);
    }
}

static void read_options(bench_choice *choice, int argc, char **argv)
{
    static const struct option known[] = {{"policy", required_argument, NULL, 0},
                                          {"with", required_argument, NULL, 0},
                                          {"work", required_argument, NULL, 0},
                                          {"sizes", required_argument, NULL, 0},
                                          {"exponent", required_argument, NULL, 0},
                                          {"load", required_argument, NULL, 0},
                                          {"size", required_argument, NULL, 0},
                                          {"ops", required_argument, NULL, 0},
                                          {"replays", required_argument, NULL, 0},
                                          {"count", required_argument, NULL, 0},
                                          {"alignment", required_argument, NULL, 0},
                                          {"seed", required_argument, NULL, 0},
                                          {NULL, 0, NULL, 0}};
    int at = 0;
    int letter;
    while ((letter = getopt_long(argc, argv, "", known, &at)) != -1) {
        if (letter != 0) {
            refuse();
        }
        read_option(choice, known[at].name, optarg);
    }
    if (optind != argc || choice->work == NULL ||
        (choice->policy == NULL) == (choice->peer == NULL)) {
        refuse();
    }
}

/* `size` bytes at a multiple of the huge page, so that the range lies alike in every run. */
static void *map_range(size_t size)
{
    char *const map = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        work_fail("no memory for the range");
    }
    return map + (-(uintptr_t)map & (HUGE_PAGE - 1));
}

int main(int argc, char **argv)
{
    static bench_choice choice = {.sizes = "uniform",
                                  .exponent = 1.5,
                                  .plan = {.size = 64 << 20,
                                           .alignment = 8,
                                           .load = 0.9,
                                           .ops = 1000000,
                                           .replays = 5,
                                           .count = 1000,
                                           .seed = 1}};
    bench_plan *const plan = &choice.plan;
    read_options(&choice, argc, argv);
    const bool is_uniform = strcmp(choice.sizes, "uniform") == 0;
    if (!is_uniform && strcmp(choice.sizes, "power-law") != 0) {
        refuse();
    }
    const uint32_t least = is_uniform ? UNIFORM_LOW : POWER_LAW_LOW;
    const uint32_t most = is_uniform ? UNIFORM_HIGH : POWER_LAW_HIGH;
    life_draw_init(&plan->draw, is_uniform ? LIFE_UNIFORM : LIFE_POWER_LAW, least, most,
                   choice.exponent);
    if (choice.peer != NULL) {
        subject_load(&plan->subject, choice.peer);
    } else {
        const bool is_crowd = strcmp(choice.work, "crowd") == 0;
        const bench_wish wish = {.size = plan->size,
                                 .alignment = plan->alignment,
                                 .least = least,
                                 .most = is_crowd ? CROWD_HIGH : most,
                                 .partitions =
                                     is_crowd ? 4 * (size_t)plan->count : plan->size / 512,
                                 .is_power_law = !is_uniform,
                                 .is_crowd = is_crowd};
        subject_name(&plan->subject, choice.policy, &wish);
    }
    plan->memory = map_range(plan->size);
    if (!plan->subject.is_offsets) {
        memset(plan->memory, 0, plan->size);
    }
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, choice.work) == 0) {
            works[i].run(plan);
            return EXIT_SUCCESS;
        }
    }
    refuse();
}
