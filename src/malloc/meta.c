/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

#include "base/bits.h"

/*
 * Memory for books: taken from the kernel a piece at a time, handed out upwards, never given back. Who no
 * longer needs a record keeps it on a list of its own kind, so that a record stays a record of its kind for ever and
 * a late look at it is harmless.
 */

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
