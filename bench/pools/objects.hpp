/* SPDX-License-Identifier: MIT */
#ifndef BENCH_POOLS_OBJECTS_HPP
#define BENCH_POOLS_OBJECTS_HPP

/*
 * Objects of one size that come and go: the loops that one thread and two threads share.
 *
 *     same       one object, allocated and freed again and again
 *     lifo-N     N objects allocated, then freed, the newest first
 *     random-N   N objects allocated, then freed in an order drawn anew each time, while the clock
 *                stands
 *
 * A subject has `void *alloc()` and `void free(void *)`.
 */

#include "pools.hpp"

namespace bench
{

enum { OBJECT_SIZE = 64 };

class objects
{
  public:
    objects(const std::string &name, uint64_t seed)
        : pattern(name), held(pattern.count), random{seed},
          batches(pattern.pattern == "same" ? 1 : std::max<size_t>(1, 50000 / pattern.count)),
          reading(static_cast<double>(ticks_cost()))
    {
        if (pattern.pattern != "same" && pattern.pattern != "lifo" && pattern.pattern != "random") {
            work_fail("there is no such cell");
        }
    }

    /* Ticks of a slice for each alloc and its free. */
    template <class Subject> double slice(Subject &subject)
    {
        if (pattern.pattern == "same") {
            return same(subject);
        }
        double ticks = 0;
        for (size_t i = 0; i < batches; i++) {
            ticks += batch(subject);
        }
        return ticks / static_cast<double>(batches * pattern.count);
    }

  private:
    template <class Subject> double same(Subject &subject)
    {
        enum { PAIRS = 50000 };
        const uint64_t from = ticks_now();
        for (uint64_t i = 0; i < PAIRS; i++) {
            give_back(subject, touch(subject.alloc(), i));
        }
        return static_cast<double>(ticks_now() - from) / PAIRS;
    }

    template <class Subject> double batch(Subject &subject)
    {
        void **const all = held.data();
        const size_t count = held.size();
        const uint64_t from = ticks_now();
        for (size_t i = 0; i < count; i++) {
            all[i] = touch(subject.alloc(), i);
        }
        const uint64_t middle = ticks_now();
        if (pattern.pattern == "random") {
            shuffle(all, count, random);
        }
        const uint64_t again = ticks_now();
        for (size_t i = count; i-- > 0;) {
            give_back(subject, all[i]);
        }
        const uint64_t to = ticks_now();
        return static_cast<double>(middle - from) + static_cast<double>(to - again) - 2 * reading;
    }

    cell pattern;
    std::vector<void *> held;
    work_random random;
    size_t batches; /* of a slice */
    double reading; /* of the clock, in ticks */
};

/* The system's malloc, or the one that is preloaded. */
struct system_malloc {
    void *alloc()
    {
        return ::malloc(OBJECT_SIZE);
    }

    void free(void *object)
    {
        ::free(object);
    }
};

} // namespace bench

#endif
