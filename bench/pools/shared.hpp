/* SPDX-License-Identifier: MIT */
#ifndef BENCH_POOLS_SHARED_HPP
#define BENCH_POOLS_SHARED_HPP

/*
 * Pools that two threads share.
 *
 *     same, random-N   as in objects.hpp, both threads at once, each with objects of its own
 *     relay            one thread allocates and writes, the other reads and frees; between them a
 *                      ring of pointers, which are passed on by the dozen
 *
 * A subject has, beside alloc and free, `void enter()` and `void leave()`, which each thread calls
 * once.
 */

#include "objects.hpp"

#include <atomic>
#include <sched.h>
#include <thread>

namespace bench
{

/* For the other thread, which may wait for a processor itself. */
inline void wait_a_while(unsigned &waits)
{
    if (++waits % 256 == 0) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Both threads go on until both have measured enough, so that no slice is of a thread alone. */
template <class Subject> double in_company(Subject &subject, const call &asked)
{
    enum { THREADS = 2, SLICES = 60, WARM = 10 };
    std::atomic<unsigned> ready{0};
    std::atomic<unsigned> done{0};
    double medians[THREADS] = {};
    const auto work = [&](unsigned me) {
        subject.enter();
        objects mine(asked.cell, me + 1);
        slices row(scaled(SLICES, asked.scale));
        mine.slice(subject);
        ready++;
        for (unsigned waits = 0; ready < THREADS;) {
            wait_a_while(waits);
        }
        for (int i = 0; i < WARM; i++) {
            mine.slice(subject);
        }
        while (!row.is_full()) {
            row.add(mine.slice(subject));
        }
        done++;
        while (done < THREADS) {
            mine.slice(subject);
        }
        medians[me] = row.median();
        subject.leave();
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    return (medians[0] + medians[1]) / THREADS;
}

/* A ring of pointers from one thread to one other. Each counter is on cache lines of its own. */
class ring
{
  public:
    static constexpr size_t SIZE = 4096;
    static constexpr size_t DOZEN = 64; /* pointers that are passed on at a time */

    /* Room for a dozen, which publish() passes on. */
    void **room()
    {
        for (unsigned waits = 0; put - taken.load(std::memory_order_acquire) > SIZE - DOZEN;) {
            wait_a_while(waits);
        }
        return slots + put % SIZE;
    }

    void publish()
    {
        put += DOZEN;
        published.store(put, std::memory_order_release);
    }

    /* The next dozen, whose places release() gives back. */
    void **next()
    {
        for (unsigned waits = 0; published.load(std::memory_order_acquire) == got;) {
            wait_a_while(waits);
        }
        return slots + got % SIZE;
    }

    void release()
    {
        got += DOZEN;
        taken.store(got, std::memory_order_release);
    }

  private:
    alignas(128) size_t put = 0;
    alignas(128) std::atomic<size_t> published{0};
    alignas(128) size_t got = 0;
    alignas(128) std::atomic<size_t> taken{0};
    alignas(128) void *slots[SIZE];
};

/* Ticks for each object, by the consumer's clock. */
template <class Subject> double relay(Subject &subject, const call &asked)
{
    enum { SLICES = 400, DOZENS = 100, WARM = 20 };
    static ring between;
    const size_t count = scaled(SLICES, asked.scale);
    std::thread producer([&] {
        subject.enter();
        uint64_t mark = 0;
        for (size_t i = 0; i < (count + WARM) * DOZENS; i++) {
            void **const dozen = between.room();
            for (size_t j = 0; j < ring::DOZEN; j++) {
                dozen[j] = touch(subject.alloc(), mark++);
            }
            between.publish();
        }
        subject.leave();
    });
    subject.enter();
    slices row(count);
    uint64_t mark = 0;
    uint64_t from = 0;
    for (size_t slice = 0; slice < count + WARM; slice++) {
        for (size_t i = 0; i < DOZENS; i++) {
            void **const dozen = between.next();
            for (size_t j = 0; j < ring::DOZEN; j++) {
                if (*static_cast<uint64_t *>(dozen[j]) != mark++) {
                    work_fail("an object did not keep what was written to it");
                }
                give_back(subject, dozen[j]);
            }
            between.release();
        }
        const uint64_t now = ticks_now();
        if (slice >= WARM) {
            row.add(static_cast<double>(now - from));
        }
        from = now;
    }
    subject.leave();
    producer.join();
    return row.median() / (DOZENS * ring::DOZEN);
}

template <class Subject>
__attribute__((noinline)) void measure_shared(Subject &subject, const call &asked)
{
    show(subject);
    const double ticks = asked.cell == "relay" ? relay(subject, asked) : in_company(subject, asked);
    report("mean_ns", ticks * ticks_length());
}

} // namespace bench

/* In a file of its own, because its library asks for flags of the compiler. */
#if BENCH_HAS_DPDK
void measure_dpdk(const bench::call &asked);
#endif

#endif
