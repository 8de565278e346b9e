/* SPDX-License-Identifier: MIT */
/*
 * Plans one set of buffers and verifies the plan:
 *
 *     overlays GOAL --capacity BYTES --deadline MS --seed N --threads N (FILE.csv | --random N | --even N | --churn N)
 *
 * GOAL is fits, least or anytime. A file has the columns id, lower, upper and size. --random makes
 * lives of all lengths up to a quarter of the time and sizes over three orders of magnitude,
 * --even spreads both evenly; --churn makes many short lives and some long ones, as in the record
 * of a heap. Prints lines of a name and a value.
 */
#include "tarn/overlay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const outcomes[] = {"unknown", "found", "optimal", "infeasible"};

typedef struct input {
    tarn_overlay_buffer *buffers;
    size_t count;
    size_t room;
} input;

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "overlays: %s\n", what);
    exit(2);
}

static void add(input *all, int64_t lower, int64_t upper, int64_t size)
{
    if (all->count == all->room) {
        all->room = all->room == 0 ? 1024 : 2 * all->room;
        all->buffers = realloc(all->buffers, all->room * sizeof *all->buffers);
        if (all->buffers == NULL) {
            fail("no memory");
        }
    }
    all->buffers[all->count++] =
        (tarn_overlay_buffer){.lower = lower, .upper = upper, .size = size};
}

static void read_file(input *all, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    if (file == NULL || fgets(line, sizeof line, file) == NULL ||
        strncmp(line, "id,lower,upper,size", 19) != 0) {
        fail("cannot read the file, or it has other columns than id,lower,upper,size");
    }
    while (fgets(line, sizeof line, file) != NULL) {
        char *at = strchr(line, ',');
        int64_t values[3];
        for (int i = 0; i < 3; i++) {
            char *end = at;
            values[i] = at == NULL ? 0 : strtoll(at + 1, &end, 10);
            if (at == NULL || end == at + 1) {
                fail("a line has not four numbers");
            }
            at = end;
        }
        add(all, values[0], values[1], values[2]);
    }
    fclose(file);
}

static double draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*state >> 11) * 0x1p-53;
}

/* Lives and sizes over orders of magnitude. */
static void make_random(input *all, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        const double life = exp(draw(&seed) * log((double)count / 4));
        const int64_t lower = (int64_t)(draw(&seed) * (double)count);
        const int64_t size = 64 * (1 + (int64_t)exp(draw(&seed) * log(4096)));
        add(all, lower, lower + 1 + (int64_t)life, size);
    }
}

/* Lives and sizes spread evenly: the hardest of these. */
static void make_even(input *all, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        const int64_t lower = (int64_t)(draw(&seed) * 10 * (double)count);
        const int64_t upper = lower + 1 + (int64_t)(draw(&seed) * (double)count);
        add(all, lower, upper, 1 + (int64_t)(draw(&seed) * 10000));
    }
}

/* Nine of ten live shortly. */
static void make_churn(input *all, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        const double longest = draw(&seed) < 0.9 ? 1000 : (double)count;
        const double life = exp(draw(&seed) * log(longest));
        const int64_t size = 16 * (1 + (int64_t)exp(draw(&seed) * draw(&seed) * log(65536)));
        add(all, (int64_t)i, (int64_t)i + 1 + (int64_t)life, size);
    }
}

int main(int count, char **words)
{
    input all = {0};
    tarn_overlay_options options = {.goal = TARN_OVERLAY_LEAST};
    if (count < 3) {
        fail("which goal, and what to plan?");
    }
    if (strcmp(words[1], "fits") == 0) {
        options.goal = TARN_OVERLAY_FITS;
    } else if (strcmp(words[1], "anytime") == 0) {
        options.goal = TARN_OVERLAY_ANYTIME;
    }
    for (int i = 2; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        const unsigned long long number = strtoull(value, NULL, 10);
        if (words[i][0] != '-') {
            read_file(&all, words[i]);
            continue;
        }
        i++;
        if (strcmp(words[i - 1], "--capacity") == 0) {
            options.capacity = (int64_t)number;
        } else if (strcmp(words[i - 1], "--deadline") == 0) {
            options.deadline_ms = number;
        } else if (strcmp(words[i - 1], "--seed") == 0) {
            options.seed = number;
        } else if (strcmp(words[i - 1], "--threads") == 0) {
            options.threads = (unsigned)number;
        } else if (strcmp(words[i - 1], "--random") == 0) {
            make_random(&all, number, options.seed + number);
        } else if (strcmp(words[i - 1], "--even") == 0) {
            make_even(&all, number, options.seed + number);
        } else if (strcmp(words[i - 1], "--churn") == 0) {
            make_churn(&all, number, options.seed + number);
        } else {
            fail("an option that there is not");
        }
    }
    int64_t *offsets = calloc(all.count + 1, sizeof *offsets);
    tarn_overlay_result result;
    if (offsets == NULL) {
        fail("no memory");
    }
    if (tarn_overlay_plan(all.buffers, all.count, &options, offsets, &result) != TARN_OK) {
        fail("the planner refuses");
    }
    const bool has_plan =
        result.outcome == TARN_OVERLAY_FOUND || result.outcome == TARN_OVERLAY_OPTIMAL;
    if (has_plan && tarn_overlay_verify(all.buffers, all.count, offsets, options.capacity, NULL,
                                        NULL, NULL) != TARN_OK) {
        fail("the plan does not hold");
    }
    printf("outcome %s\nheight %lld\nbound %lld\n", outcomes[result.outcome],
           (long long)result.height, (long long)result.lower_bound);
    printf("ms %llu\nbuffers %zu\npairs %zu\nnodes %llu\nplans %llu\nmemory %zu\n",
           (unsigned long long)result.elapsed_ms, all.count, result.conflicts,
           (unsigned long long)result.nodes, (unsigned long long)result.plans, result.peak_memory);
    free(offsets);
    free(all.buffers);
    return 0;
}
