/* SPDX-License-Identifier: MIT */

/*
 * DPDK's mempool, with a cache for each thread. Without huge pages, devices and root, as any program
 * can have it.
 */

#include "shared.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

namespace
{

enum { OBJECTS = (1 << 16) - 1, CACHE = 512 };

class dpdk_subject
{
  public:
    dpdk_subject()
    {
        /* It binds the calling thread to one processor, and so those that this one makes. */
        cpu_set_t everywhere;
        sched_getaffinity(0, sizeof everywhere, &everywhere);
        const char *line[] = {"pools-shared",   "--no-huge",   "-m",       "256", "--no-pci",
                              "--no-telemetry", "--no-shconf", "--lcores", "0@0", "--log-level=3"};
        if (rte_eal_init(sizeof line / sizeof line[0], const_cast<char **>(line)) < 0) {
            work_fail(rte_strerror(rte_errno));
        }
        sched_setaffinity(0, sizeof everywhere, &everywhere);
        pool = rte_mempool_create("bench", OBJECTS, bench::OBJECT_SIZE, CACHE, 0, nullptr, nullptr,
                                  nullptr, nullptr, SOCKET_ID_ANY, 0);
        if (pool == nullptr) {
            work_fail(rte_strerror(rte_errno));
        }
    }

    /* Its caches belong to threads that it knows. */
    void enter()
    {
        if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() != 0) {
            work_fail(rte_strerror(rte_errno));
        }
        if (rte_mempool_default_cache(pool, rte_lcore_id()) == nullptr) {
            work_fail("a thread without a cache");
        }
    }

    void leave()
    {
    }

    void *alloc()
    {
        void *object;
        return rte_mempool_get(pool, &object) == 0 ? object : nullptr;
    }

    void free(void *object)
    {
        rte_mempool_put(pool, object);
    }

  private:
    rte_mempool *pool;
};

} // namespace

void measure_dpdk(const bench::call &asked)
{
    dpdk_subject subject;
    bench::measure_shared(subject, asked);
}
