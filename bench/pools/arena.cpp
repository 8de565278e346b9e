/* SPDX-License-Identifier: MIT */

/*
 * Arenas: blocks of 8 to 256 random bytes, whose first word is written, and a reset after each
 * 10,000 of them, which counts.
 *
 * Every subject aligns to 8 bytes. Cycles are of different sizes: eight are drawn, and gone
 * through over and over. Beside the time, what the kernel saw:
 *
 *     faults     page faults for each cycle, in the steady state
 *     resident   bytes that the subject has resident at the end of the largest cycle, for each byte
 *                that was asked for in it
 *     used       Tarn's own count of the same: blocks, rounding, books and unused ends of chunks
 */

#include "pools.hpp"

#include "tarn/arena.h"

#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <memory_resource>
#include <obstack.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#if BENCH_HAS_APR
#include <apr_general.h>
#include <apr_pools.h>
#endif

namespace
{

enum { LEAST = 8, MOST = 256, BLOCKS = 10000, CYCLES = 8, ALIGNMENT = 8, ROOM = 4 << 20 };

/* Sizes of the blocks, cycle by cycle, and the bytes of the largest cycle. */
struct plan {
    std::vector<uint16_t> sizes;
    size_t largest = 0;
    size_t largest_cycle = 0;

    plan() : sizes(static_cast<size_t>(CYCLES) * BLOCKS)
    {
        work_random random = {1};
        for (size_t i = 0; i < CYCLES; i++) {
            size_t bytes = 0;
            for (size_t j = 0; j < BLOCKS; j++) {
                const uint32_t size = work_between(&random, LEAST, MOST);
                sizes[i * BLOCKS + j] = static_cast<uint16_t>(size);
                bytes += size;
            }
            if (bytes > largest) {
                largest = bytes;
                largest_cycle = i;
            }
        }
    }
};

/* Pages of the caller's, for subjects that are laid over a buffer. */
class buffer
{
  public:
    buffer()
        : bytes(mmap(nullptr, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
    {
        if (bytes == MAP_FAILED) {
            work_fail("no memory for the buffer");
        }
    }

    buffer(const buffer &) = delete;
    buffer &operator=(const buffer &) = delete;

    ~buffer()
    {
        munmap(bytes, ROOM);
    }

    void *data()
    {
        return bytes;
    }

  private:
    void *bytes;
};

/* The least that can be done: room is known to suffice, and nothing is asked. */
class bump_subject
{
  public:
    bump_subject() : next(static_cast<char *>(room.data()))
    {
    }

    void *alloc(size_t size)
    {
        char *const block = next;
        next += (size + ALIGNMENT - 1) & ~static_cast<size_t>(ALIGNMENT - 1);
        return block;
    }

    void reset()
    {
        next = static_cast<char *>(room.data());
    }

  private:
    buffer room;
    char *next;
};

class tarn_subject
{
  public:
    tarn_subject()
    {
        if (tarn_arena_init(&arena, nullptr) != TARN_OK) {
            work_fail("no arena");
        }
    }

    tarn_subject(const tarn_subject &) = delete;
    tarn_subject &operator=(const tarn_subject &) = delete;

    ~tarn_subject()
    {
        tarn_arena_deinit(&arena);
    }

    void *alloc(size_t size)
    {
        return tarn_arena_alloc(&arena, size);
    }

    void reset()
    {
        tarn_arena_reset(&arena);
    }

    size_t used() const
    {
        return tarn_arena_used(&arena);
    }

  private:
    tarn_arena arena;
};

class pmr_subject
{
  public:
    void *alloc(size_t size)
    {
        return resource.allocate(size, ALIGNMENT);
    }

    void reset()
    {
        resource.release();
    }

  private:
    buffer room;
    std::pmr::monotonic_buffer_resource resource{room.data(), ROOM,
                                                 std::pmr::null_memory_resource()};
};

#if BENCH_HAS_APR
class apr_subject
{
  public:
    apr_subject()
    {
        if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, nullptr) != APR_SUCCESS) {
            work_fail("no pool");
        }
    }

    void *alloc(size_t size)
    {
        return apr_palloc(pool, size);
    }

    void reset()
    {
        apr_pool_clear(pool);
    }

  private:
    apr_pool_t *pool;
};
#endif

class obstack_subject
{
  public:
    obstack_subject()
    {
        if (obstack_specify_allocation(&stack, 0, ALIGNMENT, std::malloc, std::free) == 0) {
            work_fail("no obstack");
        }
        first = obstack_alloc(&stack, 0);
    }

    void *alloc(size_t size)
    {
        return obstack_alloc(&stack, static_cast<int>(size));
    }

    void reset()
    {
        obstack_free(&stack, first);
    }

  private:
    struct obstack stack;
    void *first;
};

/* An arena of a shared object, NAME=FILE.so:CREATE,ALLOC,RESET,DESTROY:
 *
 *     void *CREATE(size_t chunk_size, void *zeros)
 *     void *ALLOC(void *arena, size_t size)
 *     void RESET(void *arena)
 *     void DESTROY(void *arena)
 *
 * `zeros` are for what else an arena may want to be made, such as where to complain. */
class peer_subject
{
  public:
    explicit peer_subject(const bench::call &asked)
    {
        const std::string text = asked.more.empty() ? "" : asked.more.front();
        const size_t equals = text.find('=');
        const size_t colon = text.find(':');
        if (equals == std::string::npos || colon == std::string::npos) {
            work_fail("which peer?");
        }
        library = dlopen(text.substr(equals + 1, colon - equals - 1).c_str(), RTLD_LAZY);
        if (library == nullptr) {
            work_fail(dlerror());
        }
        std::string names = text.substr(colon + 1) + ',';
        void *(*create)(size_t, void *) = nullptr;
        void (**const last)(void *) = &destroy;
        for (void *place : {static_cast<void *>(&create), static_cast<void *>(&allocate),
                            static_cast<void *>(&clear), static_cast<void *>(last)}) {
            const std::string name = names.substr(0, names.find(','));
            names.erase(0, name.size() + 1);
            void *const found = dlsym(library, name.c_str());
            if (found == nullptr) {
                work_fail("the peer lacks a function");
            }
            memcpy(place, &found, sizeof found);
        }
        arena = create(CHUNK, zeros);
        if (arena == nullptr) {
            work_fail("no arena");
        }
    }

    peer_subject(const peer_subject &) = delete;
    peer_subject &operator=(const peer_subject &) = delete;

    ~peer_subject()
    {
        destroy(arena);
    }

    void *alloc(size_t size)
    {
        return allocate(arena, size);
    }

    void reset()
    {
        clear(arena);
    }

  private:
    enum { CHUNK = 16 << 10 };

    void *library;
    void *(*allocate)(void *, size_t);
    void (*clear)(void *);
    void (*destroy)(void *);
    void *arena;
    alignas(64) char zeros[1024] = {};
};

/* Bytes that the kernel counts as resident and not of a file, exactly. */
size_t resident_bytes()
{
    char text[4096];
    const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    const ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (length < 0) {
        work_fail("cannot read /proc/self/smaps_rollup");
    }
    close(file);
    text[length] = '\0';
    const char *const line = strstr(text, "\nAnonymous:");
    return line == nullptr ? 0 : strtoul(line + strlen("\nAnonymous:"), nullptr, 10) * 1024;
}

long page_faults()
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

template <class Subject> void run_cycle(Subject &subject, const uint16_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bench::touch(subject.alloc(sizes[i]), i);
    }
}

/* All cycles, each with its reset. A function of its own, whose instructions can be counted. */
template <class Subject>
__attribute__((noinline)) void run_cycles(Subject &subject, const uint16_t *sizes)
{
    for (size_t i = 0; i < CYCLES; i++) {
        run_cycle(subject, sizes + i * BLOCKS, BLOCKS);
        subject.reset();
    }
}

void report_used(tarn_subject &subject, size_t asked)
{
    bench::report("used", static_cast<double>(subject.used()) / static_cast<double>(asked));
}

template <class Subject> void report_used(Subject &, size_t)
{
}

template <class Subject, class... Arguments>
void measure(const bench::call &asked, const Arguments &...arguments)
{
    enum { SLICES = 150, LEAST_WARM = 2, WARM = 12, WARM_NS = 300000000, FEW = 300 };
    const plan plan;
    const uint16_t *const sizes = plan.sizes.data();
    bench::slices row(bench::scaled(SLICES, asked.scale));
    /* Another one goes first, and stays, so that pages of the program are touched that all of them
     * share. */
    Subject first(arguments...);
    run_cycle(first, sizes, FEW);
    resident_bytes();
    const size_t before = resident_bytes();
    Subject subject(arguments...);
    bench::show(subject);
    /* Some rounds until the subject keeps what it will keep, fewer of a slow one; the clock and the counter
     * of faults are called, too, as they touch pages of their own. */
    const uint64_t end_ns = ticks_now_ns() + WARM_NS;
    for (int i = 0; i < LEAST_WARM || (i < WARM && ticks_now_ns() < end_ns); i++) {
        run_cycles(subject, sizes);
        ticks_now();
        page_faults();
    }
    run_cycle(subject, sizes + plan.largest_cycle * BLOCKS, BLOCKS);
    const size_t resident = resident_bytes() - before;
    report_used(subject, plan.largest);
    subject.reset();
    const long faults = page_faults();
    while (!row.is_full()) {
        const uint64_t from = ticks_now();
        run_cycles(subject, sizes);
        row.add(static_cast<double>(ticks_now() - from));
    }
    bench::report("faults", static_cast<double>(page_faults() - faults) /
                                static_cast<double>(row.count() * CYCLES));
    bench::report("resident", static_cast<double>(resident) / static_cast<double>(plan.largest));
    bench::report("mean_ns", row.median() * ticks_length() / (CYCLES * BLOCKS));
}

const std::vector<bench::entry> entries = {
    {"bump", [](const bench::call &asked) { measure<bump_subject>(asked); }},
    {"tarn", [](const bench::call &asked) { measure<tarn_subject>(asked); }},
    {"pmr", [](const bench::call &asked) { measure<pmr_subject>(asked); }},
#if BENCH_HAS_APR
    {"apr", [](const bench::call &asked) { measure<apr_subject>(asked); }},
#endif
    {"obstack", [](const bench::call &asked) { measure<obstack_subject>(asked); }},
    {"peer", [](const bench::call &asked) { measure<peer_subject>(asked, asked); }},
};

} // namespace

int main(int argc, char **argv)
{
    return bench::main(argc, argv, entries);
}
