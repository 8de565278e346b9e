/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

#include "base/bits.h"

/*
 * Memory for books: taken from the kernel a piece at a time, handed out upwards, never given back. Who no
 * longer needs a record keeps it on a list of its own kind, so that a record stays a record of its kind for ever and
 * a late look at it is harmless.
 */

#define TAGGED_TRIES 16
#define PIECE_SIZE ((size_t)128 << 10)

static os_lock meta_lock;
/* The first piece needs nothing from the kernel: its pages are zero until touched. */
static _Alignas(128) unsigned char first_piece[PIECE_SIZE / 2];
static unsigned char *piece = first_piece;
static size_t piece_left = sizeof first_piece;
static _Atomic(size_t) taken;

void *meta_take(size_t size)
{
    size = base_align_up(size, 128);
    os_lock_take(&meta_lock);
    if (size > piece_left) {
        const size_t ask = base_align_up(size > PIECE_SIZE ? size : PIECE_SIZE, os_page_size());
        unsigned char *fresh = os_pages_map(ask, os_page_size());
        if (fresh == NULL) {
            os_lock_release(&meta_lock);
            return NULL;
        }
        piece = fresh;
        piece_left = ask;
    }
    void *start = piece;
    piece += size;
    piece_left -= size;
    os_lock_release(&meta_lock);
    atomic_fetch_add_explicit(&taken, size, memory_order_relaxed);
    return start;
}

static bool is_tagged(const void *start, size_t size)
{
    const uint32_t first = (uint32_t)(uintptr_t)start;
    return first >> 31 == 1 && first + (uint32_t)(size - 1) >= first;
}

/* A piece with bit 31 set in every address; the upper half of each 4 GiB has them. */
static void *map_tagged(size_t size)
{
    unsigned char *start = os_pages_map(size, os_page_size());
    for (unsigned tries = 0; start != NULL && !is_tagged(start, size) && tries < TAGGED_TRIES;
         tries++) {
        const uintptr_t window = ((uintptr_t)start >> 32) - tries;
        const uintptr_t within = 0x80000000u + (os_random() & 0x3fff0000u);
        os_pages_unmap(start, size);
        start = os_pages_map_near(window << 32 | within, size);
    }
    return start;
}

void *meta_take_tagged(size_t size)
{
    static unsigned char *tagged;
    static size_t tagged_left;
    size = base_align_up(size, 128);
    os_lock_take(&meta_lock);
    if (size > tagged_left) {
        const size_t ask = base_align_up(size > PIECE_SIZE ? size : PIECE_SIZE, os_page_size());
        tagged = map_tagged(ask);
        tagged_left = tagged != NULL ? ask : 0;
    }
    void *start = NULL;
    if (tagged_left >= size) {
        start = tagged;
        tagged += size;
        tagged_left -= size;
        atomic_fetch_add_explicit(&taken, size, memory_order_relaxed);
    }
    os_lock_release(&meta_lock);
    return start;
}

size_t meta_bytes(void)
{
    return atomic_load_explicit(&taken, memory_order_relaxed);
}

void meta_fork(bool before)
{
    if (before) {
        os_lock_take(&meta_lock);
    } else {
        os_lock_release(&meta_lock);
    }
}
