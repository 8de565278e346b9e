/* SPDX-License-Identifier: MIT */
#include <tarn/space.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

/*
 * A bank that never closes: one thread moves money between accounts by plain pointers, without a lock, all the time.
 * Another one takes images and audits them at leisure. In each image the sum is right, but for what is on its way in the
 * one transfer that was under way; in the live accounts it would have changed a thousand times during the audit.
 */

enum { PAGE = 4096, PAGES = 256, ACCOUNTS = PAGES * (PAGE / 8), START = 100 };
enum { AUDITS = 20, LATER = 1000 };

typedef struct bank {
    _Atomic(int64_t) *accounts;
    _Atomic(bool) is_closed;
    _Atomic(uint64_t) transfers;
} bank;

static void *work(void *context)
{
    bank *it = context;
    uint64_t random = 42;
    while (!atomic_load_explicit(&it->is_closed, memory_order_relaxed)) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        _Atomic(int64_t) *from = &it->accounts[(random >> 20) % ACCOUNTS];
        _Atomic(int64_t) *to = &it->accounts[(random >> 40) % ACCOUNTS];
        atomic_fetch_sub(from, 1);
        atomic_fetch_add(to, 1);
        atomic_fetch_add(&it->transfers, 1);
    }
    return NULL;
}

/* Adds up an image through a window of its own, when the clerk has gone on for a while. */
static bool audit(tarn_space *space, bank *it, int64_t *sum)
{
    static tarn_space image;
    void *window;
    if (tarn_space_snapshot(space, &image) != TARN_OK) {
        return false;
    }
    const uint64_t then = atomic_load(&it->transfers);
    while (atomic_load(&it->transfers) < then + LATER) {
        sched_yield();
    }
    const bool is_open =
        tarn_space_attach(&image, 0, (uint64_t)PAGES * PAGE, NULL, &window) == TARN_OK;
    *sum = 0;
    for (size_t i = 0; i < ACCOUNTS && is_open; i++) {
        *sum += ((const int64_t *)window)[i];
    }
    tarn_space_deinit(&image);
    return is_open;
}

int main(void)
{
    tarn_frames frames;
    static tarn_space space;
    bank it = {.is_closed = false};
    void *window;
    pthread_t clerk;
    const tarn_space_options options = {.frames = &frames, .reserves_copies = true};
    const tarn_map_options access = {.access = TARN_PAGE_USER | TARN_PAGE_WRITABLE};
    const tarn_attach_options handled = {.handles_stores = true};
    if (tarn_frames_init(&frames, &(tarn_frames_options){.count = 2 * PAGES}) != TARN_OK ||
        tarn_space_init(&space, &options) != TARN_OK ||
        tarn_space_map(&space, 0, (uint64_t)PAGES * PAGE, &access) != TARN_OK ||
        tarn_space_attach(&space, 0, (uint64_t)PAGES * PAGE, &handled, &window) != TARN_OK) {
        return 1;
    }
    it.accounts = window;
    for (size_t i = 0; i < ACCOUNTS; i++) {
        atomic_init(&it.accounts[i], START);
    }
    if (pthread_create(&clerk, NULL, work, &it) != 0) {
        return 1;
    }
    bool is_good = true;
    for (int i = 0; i < AUDITS && is_good; i++) {
        int64_t sum = 0;
        is_good = audit(&space, &it, &sum);
        const int64_t missing = (int64_t)START * ACCOUNTS - sum;
        is_good = is_good && (missing == 0 || missing == 1);
        printf("audit %2d: %lld, %lld on its way\n", i + 1, (long long)sum, (long long)missing);
    }
    atomic_store(&it.is_closed, true);
    pthread_join(clerk, NULL);
    const tarn_page_stats stats = tarn_space_stats(&space);
    printf("%llu transfers meanwhile; %llu stores met a page of an image, %llu pages were copied\n",
           (unsigned long long)atomic_load(&it.transfers), (unsigned long long)stats.stores,
           (unsigned long long)stats.copies);
    tarn_space_deinit(&space);
    tarn_frames_deinit(&frames);
    return is_good && stats.copies > 0 ? 0 : 1;
}
