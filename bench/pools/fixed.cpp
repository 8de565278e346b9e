/* SPDX-License-Identifier: MIT */

/*
 * Fixed-size pools, one thread: objects of 64 bytes, in the patterns of objects.hpp.
 */

#include "objects.hpp"

#include "tarn/pool.h"

#if BENCH_HAS_BOOST
#include <boost/pool/pool.hpp>
#endif

namespace
{

/* Until caches have grown as large as they will: ten batches of the largest. */
enum { SLICES = 40, WARM = 10 };

class tarn_subject
{
  public:
    explicit tarn_subject(bool has_checks)
    {
        tarn_pool_options options = {};
        options.size = bench::OBJECT_SIZE;
        options.checks = has_checks;
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
    void *alloc()
    {
        return pool.malloc();
    }

    void free(void *object)
    {
        pool.free(object);
    }

  private:
    boost::pool<> pool{bench::OBJECT_SIZE};
};
#endif

/* Never inlined: every subject is reached by its address, as in most programs; one that is used in a
 * single place would lie in the frame of the loop. */
template <class Subject>
__attribute__((noinline)) void measure(Subject &subject, const bench::call &asked)
{
    bench::show(subject);
    bench::objects objects(asked.cell, 1);
    bench::slices slices(bench::scaled(SLICES, asked.scale));
    for (int i = 0; i < WARM; i++) {
        objects.slice(subject);
    }
    while (!slices.is_full()) {
        slices.add(objects.slice(subject));
    }
    bench::report("mean_ns", slices.median() * ticks_length());
}

const std::vector<bench::entry> entries = {
    {"tarn",
     [](const bench::call &asked) {
         tarn_subject subject(false);
         measure(subject, asked);
     }},
    {"tarn-checks",
     [](const bench::call &asked) {
         tarn_subject subject(true);
         measure(subject, asked);
     }},
#if BENCH_HAS_BOOST
    {"boost",
     [](const bench::call &asked) {
         boost_subject subject;
         measure(subject, asked);
     }},
#endif
    {"malloc",
     [](const bench::call &asked) {
         bench::system_malloc subject;
         measure(subject, asked);
     }},
};

} // namespace

int main(int argc, char **argv)
{
    return bench::main(argc, argv, entries);
}
