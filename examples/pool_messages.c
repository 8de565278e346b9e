/* SPDX-License-Identifier: MIT */
#include <tarn/heaps.h>
#include <tarn/pool.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

/*
 * Messages between two threads, as a trading system has them: a feed makes orders, an engine takes them up and ends them.
 * The pool is shared and bounded, and has all its memory from the start: once it is made nobody asks for memory, a
 * lock is taken once for some hundred orders, and when the engine falls behind, the feed waits instead of
 * taking more and more memory.
 */

enum { ORDERS_AT_ONCE = 4096, ORDERS = 1000000, RING = 8192 };

typedef struct order {
    unsigned number;
    int quantity; /* to buy; negative: to sell */
    long price;   /* in cents */
    char symbol[8];
} order;

static tarn_pool orders;
static _Atomic(order *) ring[RING]; /* NULL: an empty place */
static unsigned waits;

static void *feed(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < ORDERS; i++) {
        order *made;
        while ((made = tarn_pool_alloc(&orders)) == NULL) {
            waits++;
            sched_yield();
        }
        *made = (order){i, i % 3 == 0 ? -50 : 25, 10000 + i % 100, "TARN"};
        _Atomic(order *) *const place = &ring[i % RING];
        while (atomic_load_explicit(place, memory_order_acquire) != NULL) {
            sched_yield();
        }
        atomic_store_explicit(place, made, memory_order_release);
    }
    return NULL;
}

/* Ends each order of the feed. True if none was lost or changed. */
static bool engine(long *position)
{
    bool is_good = true;
    for (unsigned i = 0; i < ORDERS; i++) {
        _Atomic(order *) *const place = &ring[i % RING];
        order *taken;
        while ((taken = atomic_load_explicit(place, memory_order_acquire)) == NULL) {
            sched_yield();
        }
        atomic_store_explicit(place, NULL, memory_order_release);
        is_good = is_good && taken->number == i;
        *position += taken->quantity;
        tarn_pool_free(&orders, taken);
    }
    /* What it keeps at hand is for the feed again. */
    tarn_pool_flush(&orders);
    return is_good;
}

int main(void)
{
    /* Counts what the pool asks for. */
    tarn_counted upstream;
    if (tarn_counted_init(&upstream, NULL) != TARN_OK ||
        tarn_pool_init(&orders, &(tarn_pool_options){.size = sizeof(order),
                                                     .upstream = &upstream.heap,
                                                     .name = "orders",
                                                     .threads = TARN_SHARED,
                                                     .max_objects = ORDERS_AT_ONCE,
                                                     .preallocate = true,
                                                     .thread_caches = 2}) != TARN_OK) {
        fputs("no memory for the orders\n", stderr);
        return 1;
    }
    const unsigned long long before = upstream.counts.allocs;
    pthread_t thread;
    if (pthread_create(&thread, NULL, feed, NULL) != 0) {
        fputs("no thread for the feed\n", stderr);
        return 1;
    }
    long position = 0;
    const bool is_good = engine(&position);
    pthread_join(thread, NULL);
    const unsigned long long asked = upstream.counts.allocs - before;
    const tarn_stats stats = tarn_pool_stats(&orders);
    printf("%d orders of %zu bytes, never more than %d at once, in %zu KiB\n", ORDERS,
           sizeof(order), ORDERS_AT_ONCE, stats.footprint / 1024);
    printf("position %ld; %llu orders live, memory asked for %llu times since the start\n",
           position, (unsigned long long)stats.blocks, asked);
    printf("the feed waited %s\n", waits > 0 ? "for the engine at times" : "never");
    tarn_pool_deinit(&orders);
    return is_good && stats.blocks == 0 && asked == 0 ? 0 : 1;
}
