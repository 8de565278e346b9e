/* SPDX-License-Identifier: MIT */

/*
 * Containers of nodes, 100,000 of them live; for each operation an element comes and another goes.
 *
 *     fifo   a list: one at its end, the first one goes
 *     list   a list: one at its end, a random one goes
 *     map    a map: one with a random key, a random one goes
 *
 * What is random is drawn while the clock stands.
 */

#include "pools.hpp"

#include "tarn/cxx.hpp"

#include <iterator>
#include <list>
#include <map>
#include <memory_resource>

#if BENCH_HAS_BOOST
#include <boost/pool/pool_alloc.hpp>
#endif
#if defined(__GLIBCXX__)
#include <ext/mt_allocator.h>
#include <ext/pool_allocator.h>
#endif

namespace
{

enum { LIVE = 100000, OPS = 20000, SLICES = 50, WARM = 10 };

/* What a slice does: which element goes, and the key of the one that comes. */
class draws
{
  public:
    draws() : places(OPS), keys(OPS)
    {
    }

    void draw()
    {
        for (size_t i = 0; i < OPS; i++) {
            places[i] = work_below(&random, LIVE);
            keys[i] = work_next(&random);
        }
    }

    std::vector<uint32_t> places;
    std::vector<uint64_t> keys;
    work_random random = {1};
};

template <class List> class fifo_work
{
  public:
    template <class Allocator> explicit fifo_work(const Allocator &allocator) : list(allocator)
    {
        for (uint64_t i = 0; i < LIVE; i++) {
            list.push_back(i);
        }
    }

    void go(const draws &drawn)
    {
        for (const uint64_t key : drawn.keys) {
            list.push_back(key);
            sum += list.front();
            list.pop_front();
        }
    }

    uint64_t sum = 0;

  private:
    List list;
};

template <class List> class list_work
{
  public:
    template <class Allocator>
    explicit list_work(const Allocator &allocator) : list(allocator), elements(LIVE)
    {
        for (uint64_t i = 0; i < LIVE; i++) {
            list.push_back(i);
            elements[i] = std::prev(list.end());
        }
    }

    void go(const draws &drawn)
    {
        for (size_t i = 0; i < OPS; i++) {
            auto &element = elements[drawn.places[i]];
            sum += *element;
            list.erase(element);
            list.push_back(drawn.keys[i]);
            element = std::prev(list.end());
        }
    }

    uint64_t sum = 0;

  private:
    List list;
    std::vector<typename List::iterator> elements;
};

template <class Map> class map_work
{
  public:
    template <class Allocator>
    explicit map_work(const Allocator &allocator)
        : map(std::less<uint64_t>(), allocator), keys(LIVE)
    {
        work_random random = {2};
        for (uint64_t &key : keys) {
            key = work_next(&random);
            map.emplace(key, key);
        }
    }

    void go(const draws &drawn)
    {
        for (size_t i = 0; i < OPS; i++) {
            uint64_t &key = keys[drawn.places[i]];
            sum += map.erase(key);
            key = drawn.keys[i];
            map.emplace(key, key);
        }
    }

    uint64_t sum = 0;

  private:
    Map map;
    std::vector<uint64_t> keys;
};

template <class Work> __attribute__((noinline)) void time_work(Work &work, const bench::call &asked)
{
    draws drawn;
    bench::slices row(bench::scaled(SLICES, asked.scale));
    bench::show(work);
    for (int warm = 0; !row.is_full(); warm++) {
        drawn.draw();
        const uint64_t from = ticks_now();
        work.go(drawn);
        const uint64_t ticks = ticks_now() - from;
        if (warm >= WARM) {
            row.add(static_cast<double>(ticks));
        }
    }
    work_escape(&work.sum);
    bench::report("mean_ns", row.median() * ticks_length() / OPS);
}

/* `Source` has a template `allocator` and `get()`, which gives what one is made from. */
template <class Source> void measure(const bench::call &asked)
{
    using element = std::pair<const uint64_t, uint64_t>;
    using list = std::list<uint64_t, typename Source::template allocator<uint64_t>>;
    using map = std::map<uint64_t, uint64_t, std::less<uint64_t>,
                         typename Source::template allocator<element>>;

    Source source;
    const typename list::allocator_type for_list(source.get());
    const typename map::allocator_type for_map(source.get());
    if (asked.cell == "fifo") {
        fifo_work<list> work(for_list);
        time_work(work, asked);
    } else if (asked.cell == "list") {
        list_work<list> work(for_list);
        time_work(work, asked);
    } else if (asked.cell == "map") {
        map_work<map> work(for_map);
        time_work(work, asked);
    } else {
        work_fail("there is no such cell");
    }
}

struct tarn_source {
    template <class T> using allocator = tarn::pool_allocator<T>;

    tarn::pools &get()
    {
        return pools;
    }

    tarn::pools pools;
};

struct pmr_source {
    template <class T> using allocator = std::pmr::polymorphic_allocator<T>;

    std::pmr::memory_resource *get()
    {
        return &resource;
    }

    std::pmr::unsynchronized_pool_resource resource;
};

/* An allocator that is made from nothing. */
template <template <class> class Allocator> struct plain_source {
    template <class T> using allocator = Allocator<T>;

    Allocator<uint64_t> get()
    {
        return {};
    }
};

#if BENCH_HAS_BOOST
template <class T>
using boost_allocator = boost::fast_pool_allocator<T, boost::default_user_allocator_new_delete,
                                                   boost::details::pool::null_mutex>;
#endif

#if defined(__GLIBCXX__)
template <class T> using mt_allocator = __gnu_cxx::__mt_alloc<T>;
#endif

const std::vector<bench::entry> entries = {
    {"tarn", measure<tarn_source>},
    {"tarn-shared", measure<plain_source<tarn::allocator>>},
#if BENCH_HAS_BOOST
    {"boost", measure<plain_source<boost_allocator>>},
#endif
#if defined(__GLIBCXX__)
    {"pool_alloc", measure<plain_source<__gnu_cxx::__pool_alloc>>},
    {"mt_alloc", measure<plain_source<mt_allocator>>},
#endif
    {"pmr", measure<pmr_source>},
    {"malloc", measure<plain_source<std::allocator>>},
};

} // namespace

int main(int argc, char **argv)
{
    return bench::main(argc, argv, entries);
}
