/* SPDX-License-Identifier: MIT */
/*
 * Measures spaces: `space ROUNDS`. Everything is measured in turn, round by round, and each figure is the median of the
 * rounds: what the machine does beside it falls on all alike. The least is there, too. Prints lines of a name and a value;
 * times are nanoseconds unless the name says more.
 */
#include "tarn/ring.h"
#include "tarn/space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, HIT_PAGES = 200, ADDRESSES = 4096, WALK_TABLES = 128, BLOCK = 1000 };
enum { WINDOW = 4096, ROUNDS_MAX = 1000, FIGURES_MAX = 40, IMAGE_PAGES = 16384 };

typedef struct figure {
    const char *name;
    double values[ROUNDS_MAX];
    unsigned count;
} figure;

static figure figures[FIGURES_MAX];
static unsigned figure_count;
static volatile uint64_t sink;

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "space: %s\n", what);
    exit(2);
}

static void require(int is_true, const char *what)
{
    if (!is_true) {
        fail(what);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void note(const char *name, double value)
{
    unsigned at = 0;
    while (at < figure_count && strcmp(figures[at].name, name) != 0) {
        at++;
    }
    if (at == figure_count) {
        require(figure_count < FIGURES_MAX, "too many figures");
        figures[figure_count++].name = name;
    }
    figures[at].values[figures[at].count++] = value;
}

static int compare(const void *a, const void *b)
{
    const double one = *(const double *)a;
    const double other = *(const double *)b;
    return (one > other) - (one < other);
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- translations ---- */

static uint64_t addresses[ADDRESSES];

static void measure_hits(tarn_space *space)
{
    uint64_t random = 88172645463325252u;
    enum { TURNS = 200 };
    for (int i = 0; i < ADDRESSES; i++) {
        addresses[i] = draw(&random) % HIT_PAGES * PAGE + draw(&random) % PAGE;
    }
    for (int i = 0; i < ADDRESSES; i++) {
        sink += tarn_space_translate(space, addresses[i], TARN_ACCESS_WRITE).frame;
    }
    const uint64_t walks = tarn_space_stats(space).walks;
    double start = now();
    uint64_t sum = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < ADDRESSES; i++) {
            const tarn_translation to = tarn_space_translate(space, addresses[i], TARN_ACCESS_READ);
            sum += to.frame + to.offset;
        }
    }
    note("hit", (now() - start) / TURNS / ADDRESSES);
    /* Each address depends on the translation before. */
    start = now();
    uint64_t index = 0;
    for (int turn = 0; turn < TURNS * ADDRESSES; turn++) {
        const tarn_translation to =
            tarn_space_translate(space, addresses[index % ADDRESSES], TARN_ACCESS_READ);
        index += to.frame | 1;
    }
    note("hit_chain", (now() - start) / TURNS / ADDRESSES);
    require(tarn_space_stats(space).walks == walks, "a hit was a miss");
    sink += sum + index;
}

/* Random pages over so many leaf tables. */
static void measure_walks(tarn_space *space, unsigned tables, const char *name, const char *chain)
{
    uint64_t random = 88172645463325252u;
    enum { TURNS = 50 };
    for (int i = 0; i < ADDRESSES; i++) {
        addresses[i] = draw(&random) % (tables * 512) * PAGE;
    }
    uint64_t sum = 0;
    double start = 0;
    for (int turn = -1; turn < TURNS; turn++) {
        start = turn == 0 ? now() : start;
        for (int i = 0; i < ADDRESSES; i++) {
            sum += tarn_space_walk(space, addresses[i], TARN_ACCESS_READ).frame;
        }
    }
    note(name, (now() - start) / TURNS / ADDRESSES);
    uint64_t index = 0;
    start = now();
    for (int turn = 0; turn < TURNS * ADDRESSES; turn++) {
        index += tarn_space_walk(space, addresses[index % ADDRESSES], TARN_ACCESS_READ).frame | 1;
    }
    note(chain, (now() - start) / TURNS / ADDRESSES);
    sink += sum + index;
}

/* ---- mapping ---- */

typedef struct scene {
    tarn_frames *frames;
    tarn_space *space;
    unsigned char *window;     /* of the space */
    unsigned char *reserve;    /* as large, for the kernel's calls */
    tarn_frame run;            /* neighbours */
    tarn_frame singles[BLOCK]; /* in no order */
} scene;

static void touch(const unsigned char *start)
{
    for (size_t i = 0; i < BLOCK; i++) {
        sink += ((const volatile unsigned char *)start)[i * PAGE];
    }
}

static void map_ours(const scene *it, uint64_t page, tarn_frame frame, size_t count)
{
    const tarn_map_options options = {.access = TARN_PAGE_WRITABLE | TARN_PAGE_USER,
                                      .frame = frame};
    require(tarn_space_map(it->space, page * PAGE, count * PAGE, &options) == TARN_OK, "map");
}

static void unmap_ours(const scene *it, uint64_t page, size_t count)
{
    require(tarn_space_unmap(it->space, page * PAGE, count * PAGE) == TARN_OK, "unmap");
}

static void map_raw(const scene *it, uint64_t page, tarn_frame frame, size_t count)
{
    require(mmap(it->reserve + page * PAGE, count * PAGE, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED, tarn_frames_descriptor(it->frames),
                 (off_t)frame * PAGE) != MAP_FAILED,
            "mmap");
}

/* The addresses stay reserved, as those of a window do. */
static void unmap_raw(const scene *it, uint64_t page, size_t count)
{
    require(mmap(it->reserve + page * PAGE, count * PAGE, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED,
            "mmap");
}

static double run_ours(const scene *it, unsigned turns, int is_touched)
{
    const double start = now();
    for (unsigned turn = 0; turn < turns; turn++) {
        map_ours(it, 7, it->run, BLOCK);
        if (is_touched) {
            touch(it->window + 7 * PAGE);
        }
        unmap_ours(it, 7, BLOCK);
    }
    return (now() - start) / turns;
}

static double run_raw(const scene *it, unsigned turns, int is_touched)
{
    const double start = now();
    for (unsigned turn = 0; turn < turns; turn++) {
        map_raw(it, 7, it->run, BLOCK);
        if (is_touched) {
            touch(it->reserve + 7 * PAGE);
        }
        unmap_raw(it, 7, BLOCK);
    }
    return (now() - start) / turns;
}

/* mmap and munmap: the addresses are anybody's in between. */
static double run_raw_free(const scene *it, unsigned turns)
{
    const double start = now();
    for (unsigned turn = 0; turn < turns; turn++) {
        void *at = mmap(NULL, (size_t)BLOCK * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
                        tarn_frames_descriptor(it->frames), (off_t)it->run * PAGE);
        require(at != MAP_FAILED && munmap(at, (size_t)BLOCK * PAGE) == 0, "munmap");
    }
    return (now() - start) / turns;
}

/* A thousand pages one by one, whose frames are no neighbours. */
static double run_singles(const scene *it, void (*map)(const scene *, uint64_t, tarn_frame, size_t),
                          void (*unmap)(const scene *, uint64_t, size_t))
{
    const double start = now();
    for (unsigned i = 0; i < BLOCK; i++) {
        map(it, 7 + i, it->singles[i], 1);
    }
    for (unsigned i = 0; i < BLOCK; i++) {
        unmap(it, 7 + i, 1);
    }
    return now() - start;
}

/* In turn, a few at a time, and each goes first as often: whoever does finds the caches cold. */
static void measure_maps(const scene *it)
{
    enum { PARTS = 20 };
    double sums[7] = {0};
    for (int part = 0; part < PARTS; part++) {
        for (int turn = 0; turn < 2; turn++) {
            if (turn == part % 2) {
                sums[0] += run_ours(it, 10, 0);
            } else {
                sums[1] += run_raw(it, 10, 0);
            }
        }
        sums[2] += run_raw_free(it, 10);
        for (int turn = 0; turn < 2; turn++) {
            if (turn == part % 2) {
                sums[3] += run_ours(it, 1, 1);
            } else {
                sums[4] += run_raw(it, 1, 1);
            }
        }
    }
    for (int turn = 0; turn < 4; turn++) {
        if (turn % 3 == 0) {
            sums[5] += run_singles(it, map_ours, unmap_ours);
        } else {
            sums[6] += run_singles(it, map_raw, unmap_raw);
        }
    }
    note("map_ours", sums[0] / PARTS);
    note("map_raw", sums[1] / PARTS);
    note("map_raw_free", sums[2] / PARTS);
    note("touched_ours", sums[3] / PARTS);
    note("touched_raw", sums[4] / PARTS);
    note("singles_ours", sums[5] / 2);
    note("singles_raw", sums[6] / 2);
    note("map_ratio", sums[0] / sums[1]);
    note("touched_ratio", sums[3] / sums[4]);
    note("singles_ratio", sums[5] / sums[6]);
}

/* ---- forks ---- */

static void measure_image(tarn_frames *frames)
{
    static tarn_space space;
    static tarn_space image;
    void *window = NULL;
    require(tarn_space_init(&space, &(tarn_space_options){.frames = frames}) == TARN_OK, "init");
    require(tarn_space_map(&space, 0, (uint64_t)IMAGE_PAGES * PAGE,
                           &(tarn_map_options){.access = TARN_PAGE_WRITABLE | TARN_PAGE_USER}) ==
                TARN_OK,
            "map");
    require(tarn_space_attach(&space, 0, (uint64_t)IMAGE_PAGES * PAGE,
                              &(tarn_attach_options){.handles_stores = true}, &window) == TARN_OK,
            "attach");
    unsigned char *bytes = window;
    for (size_t i = 0; i < IMAGE_PAGES; i++) {
        bytes[i * PAGE] = 1;
    }
    double start = now();
    require(tarn_space_snapshot(&space, &image) == TARN_OK, "snapshot");
    note("snapshot_us", (now() - start) / 1e3);
    start = now();
    for (size_t i = 0; i < BLOCK; i++) {
        bytes[i * 16 * PAGE] = 2;
    }
    note("first_store_us", (now() - start) / 1e3 / BLOCK);
    tarn_space_deinit(&image);
    tarn_space_deinit(&space);
}

int main(int count, char **words)
{
    static tarn_frames frames;
    static tarn_space hits;
    static tarn_space walks;
    static tarn_space mapped;
    static scene it = {.frames = &frames, .space = &mapped};
    void *window = NULL;
    const int rounds = count > 1 ? atoi(words[1]) : 20;
    require(rounds > 0 && rounds <= ROUNDS_MAX, "how many rounds?");
    const size_t all = (size_t)4 * WALK_TABLES * 512;
    require(tarn_frames_init(&frames, &(tarn_frames_options){.count = all}) == TARN_OK, "frames");
    const tarn_map_options access = {.access = TARN_PAGE_WRITABLE | TARN_PAGE_USER};
    require(tarn_space_init(&hits, &(tarn_space_options){.frames = &frames}) == TARN_OK &&
                tarn_space_map(&hits, 0, (uint64_t)HIT_PAGES * PAGE, &access) == TARN_OK &&
                tarn_space_init(&walks, &(tarn_space_options){.frames = &frames}) == TARN_OK &&
                tarn_space_map(&walks, 0, (uint64_t)WALK_TABLES * 512 * PAGE, &access) == TARN_OK &&
                tarn_space_init(&mapped, &(tarn_space_options){.frames = &frames}) == TARN_OK &&
                tarn_space_attach(&mapped, 0, (uint64_t)WINDOW * PAGE, NULL, &window) == TARN_OK &&
                tarn_frames_alloc(&frames, BLOCK, &it.run) == TARN_OK,
            "the scene");
    for (unsigned i = 0; i < BLOCK; i++) {
        tarn_frame apart = 0;
        require(tarn_frames_alloc(&frames, 1, &it.singles[i]) == TARN_OK &&
                    tarn_frames_alloc(&frames, 1, &apart) == TARN_OK,
                "the scene");
    }
    it.window = window;
    /* As far from a multiple of 2 MiB as the window, so that both need as many of the kernel's tables. */
    it.reserve = mmap(NULL, (size_t)WINDOW * PAGE + (2 << 20), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(it.reserve != MAP_FAILED, "mmap");
    it.reserve += ((uintptr_t)it.window - (uintptr_t)it.reserve) % (2 << 20);
    memset(tarn_frames_at(&frames, it.run), 1, (size_t)BLOCK * PAGE);
    for (int round = 0; round < rounds; round++) {
        measure_hits(&hits);
        measure_walks(&walks, 1, "walk_near", "walk_near_chain");
        measure_walks(&walks, WALK_TABLES, "walk", "walk_chain");
        measure_maps(&it);
        measure_image(&frames);
    }
    for (unsigned i = 0; i < figure_count; i++) {
        qsort(figures[i].values, figures[i].count, sizeof *figures[i].values, compare);
        printf("%s %.3f\n%s_least %.3f\n", figures[i].name, figures[i].values[figures[i].count / 2],
               figures[i].name, figures[i].values[0]);
    }
    return 0;
}
