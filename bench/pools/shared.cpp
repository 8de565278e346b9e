/* SPDX-License-Identifier: MIT */

/*
 * Fixed-size pools that two threads share: objects of 64 bytes, in the patterns of shared.hpp.
 */

#include "shared.hpp"

#include "tarn/pool.h"

#include <mutex>

#if BENCH_HAS_BOOST
#include <boost/pool/pool.hpp>
#endif
#if BENCH_HAS_GLIB
#include <glib.h>
#endif

namespace
{

class tarn_subject
{
  public:
    tarn_subject()
    {
        tarn_pool_options options = {};
        options.size = bench::OBJECT_SIZE;
        options.threads = TARN_SHARED;
        if (tarn_pool_init(&pool, &options) != TARN_OK) {
            work_fail("no pool");
        }
    }

    tarn_subject(const tarn_subject &) = delete;
    tarn_subject &operator=(const tarn_subject &) = delete;

    ~tarn_subject()
    {
        tarn_pool_deinit(&pool);
    }

    void enter()
    {
    }

    void leave()
    {
    }

    void *alloc()
    {
        return tarn_pool_alloc(&pool);
    }

    void free(void *object)
    {
        tarn_pool_free(&pool, object);
    }

  private:
    tarn_pool pool;
};

#if BENCH_HAS_BOOST
class boost_subject
{
  public:
    void enter()
    {
    }

    void leave()
    {
    }

    void *alloc()
    {
        const std::lock_guard<std::mutex> guard(mutex);
        return pool.malloc();
    }

    void free(void *object)
    {
        const std::lock_guard<std::mutex> guard(mutex);
        pool.free(object);
    }

  private:
    std::mutex mutex;
    boost::pool<> pool{bench::OBJECT_SIZE};
};
#endif

#if BENCH_HAS_GLIB
struct glib_subject {
    void enter()
    {
    }

    void leave()
    {
    }

    void *alloc()
    {
        return g_slice_alloc(bench::OBJECT_SIZE);
    }

    void free(void *object)
    {
        g_slice_free1(bench::OBJECT_SIZE, object);
    }
};
#endif

/* No pool: objects that were there before, in turn, so that the driver's own time is seen. There are
 * more of them than any cell has live. */
class nothing_subject
{
  public:
    nothing_subject() : places(static_cast<size_t>(2) * COUNT)
    {
    }

    void enter()
    {
        mine = places.data() + static_cast<size_t>(COUNT) * entered++;
        next = 0;
    }

    void leave()
    {
    }

    void *alloc()
    {
        return &mine[next++ % COUNT];
    }

    void free(void *)
    {
    }

  private:
    static constexpr unsigned COUNT = 8192;

    struct alignas(64) place {
        unsigned char bytes[bench::OBJECT_SIZE];
    };

    std::vector<place> places;
    std::atomic<unsigned> entered{0};
    static thread_local place *mine;
    static thread_local unsigned next;
};

thread_local nothing_subject::place *nothing_subject::mine;
thread_local unsigned nothing_subject::next;

struct malloc_subject : bench::system_malloc {
    void enter()
    {
    }

    void leave()
    {
    }
};

template <class Subject> void measure(const bench::call &asked)
{
    Subject subject;
    bench::measure_shared(subject, asked);
}

const std::vector<bench::entry> entries = {
    {"tarn", measure<tarn_subject>},
#if BENCH_HAS_DPDK
    {"dpdk", measure_dpdk},
#endif
#if BENCH_HAS_BOOST
    {"boost-mutex", measure<boost_subject>},
#endif
#if BENCH_HAS_GLIB
    {"glib-slices", measure<glib_subject>},
#endif
    {"nothing", measure<nothing_subject>},
    {"malloc", measure<malloc_subject>},
};

} // namespace

int main(int argc, char **argv)
{
    return bench::main(argc, argv, entries);
}
