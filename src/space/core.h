/* SPDX-License-Identifier: MIT */
#ifndef TARN_SPACE_CORE_H
#define TARN_SPACE_CORE_H

/*
 * The page table and who works on it.
 *
 *     upper entry   [ address of a table, 52 bits      | even | used, 10 bits | present ]
 *     leaf entry    [ old | -- | number of a frame, 32 | bits, 12                       ]
 *
 * `used` is how many entries of the table that it names are not 0: a table that has none goes. A leaf is `even` if those
 * are neighbours and one run: most leaves are, and need not be looked through then. `old` are the bits of an access that
 * is about to change, until the windows have changed with it.
 *
 * Pages are counted from 0 to 2^(48 - shift), the upper half of the addresses behind the lower one. A walk begins at the
 * root, level 4, and ends at the leaf level: 1, or 2 or 3 where frames are large pages.
 *
 * Invariant: an entry that is present holds one reference to its frame, and is not both writable and copy on write; what
 * a window maps is what the entries say.
 */

#include "heap/lock.h"
#include "space/frames.h"
#include "tarn/heaps.h"
#include "tarn/space.h"

enum { TABLE_ENTRIES = 512, TABLE_SIZE = 4096, ROOT_LEVEL = 4, SPARES_MAX = 16, COPY_MAX = 64 };

#define ADDRESS_BITS 48
#define TLB_SHIFT 12   /* log2 of the bytes that an entry of the translation buffer is for */
#define FRAME_SHIFT 12 /* of the number in a leaf entry */
#define FRAME_ONE (UINT64_C(1) << FRAME_SHIFT)
#define FRAME_MASK (UINT64_C(0xFFFFFFFF) << FRAME_SHIFT)
#define USED_ONE UINT64_C(2)
#define USED_MASK UINT64_C(0x7FE)
#define EVEN UINT64_C(0x800)
#define TABLE_MASK (~UINT64_C(0xFFF))

#define RIGHTS ((uint64_t)(TARN_PAGE_WRITABLE | TARN_PAGE_USER))
#define PENDING (UINT64_C(1) << 63) /* old rights are in the entry */
#define OLD_SHIFT 50 /* from a right or TARN_PAGE_COPY to where the old one is kept */
#define OLD_KEPT (RIGHTS | TARN_PAGE_COPY)
#define OLD_MASK (OLD_KEPT << OLD_SHIFT | PENDING)

/* What makes two neighbours one run: all but what accesses leave behind. */
#define RUN_MASK                                                                                   \
    (FRAME_MASK | RIGHTS | TARN_PAGE_PRESENT | TARN_PAGE_COPY | (uint64_t)TARN_PAGE_SHARED)

static inline unsigned leaf_level(const tarn_space *space)
{
    return 1 + (space->shift - 12) / 9;
}

static inline uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(uintptr_t)(entry & TABLE_MASK);
}

static inline tarn_frame frame_of(uint64_t entry)
{
    return (tarn_frame)(entry >> FRAME_SHIFT);
}

static inline uint64_t page_count(const tarn_space *space)
{
    return UINT64_C(1) << (ADDRESS_BITS - space->shift);
}

/* The page of a canonical address, and the address of a page. */
static inline uint64_t page_of(const tarn_space *space, uint64_t address)
{
    return (address & ((UINT64_C(1) << ADDRESS_BITS) - 1)) >> space->shift;
}

static inline uint64_t address_of(const tarn_space *space, uint64_t page)
{
    return (uint64_t)((int64_t)(page << (space->shift + 64 - ADDRESS_BITS)) >> (64 - ADDRESS_BITS));
}

static inline bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << (64 - ADDRESS_BITS)) >> (64 - ADDRESS_BITS)) == address;
}

/* True if a write to the page has to go to a frame of its own first, or a fork would make it so. */
static inline bool is_private(uint64_t entry)
{
    return (entry & TARN_PAGE_SHARED) == 0;
}

/* ---- table.c ---- */

/* A leaf, and the upper entry that names it; NULL and NULL if there is none. */
typedef struct table_leaf {
    uint64_t *entries; /* 512 */
    uint64_t *above;
} table_leaf;

/* Neighbouring pages that are mapped alike. */
typedef struct table_run {
    uint64_t page;
    uint64_t count;
    uint64_t entry; /* of the first page; 0: nothing is mapped */
} table_run;

bool table_init(tarn_space *space);
void table_deinit(tarn_space *space);

/* Makes leaves for all pages; false with nothing changed if upstream has no memory. */
bool table_grow(tarn_space *space, uint64_t page, uint64_t count);

/* Gives up tables there that are empty. */
void table_prune(tarn_space *space, uint64_t page, uint64_t count);

/* The page's entry; NULL if it has no leaf. */
uint64_t *table_entry(const tarn_space *space, uint64_t page);

/* The run that begins at `page`, or that ends before `end`, and is within [page, end). Entries are alike if they are so
 * under the mask; with FRAME_MASK in it their frames are neighbours. */
table_run table_run_at(const tarn_space *space, uint64_t page, uint64_t end, uint64_t mask);
table_run table_run_before(const tarn_space *space, uint64_t page, uint64_t end, uint64_t mask);

/* Enters pages that were not mapped: the first as `entry` says, each next one with the next frame. The leaves are there. */
void table_enter(tarn_space *space, table_run run);

/* Removes a run of pages, which are alike at least in what is mapped. */
void table_remove(tarn_space *space, uint64_t page, uint64_t count);

/* Some entries of the page's leaf are about to change, and not all alike. */
void table_is_uneven(const tarn_space *space, uint64_t page);

/* Changes bits of the pages that are mapped. */
void table_change(tarn_space *space, uint64_t page, uint64_t count, uint64_t clear, uint64_t set);

/* Gives each page new rights and keeps the old ones; then forgets these, or takes them back. */
void table_set_rights(tarn_space *space, uint64_t page, uint64_t count, uint64_t rights);
void table_commit(tarn_space *space, uint64_t page, uint64_t count);
void table_restore(tarn_space *space, uint64_t page, uint64_t count);

/* ---- the translation buffer ---- */

void tlb_forget(tarn_space *space, uint64_t page, uint64_t count);
void tlb_forget_all(tarn_space *space);

/* Replaces the older entry of the set. */
static inline void tlb_fill(tarn_space *space, uint64_t address, uint64_t entry)
{
    const uint64_t page = address >> TLB_SHIFT;
    tarn_space_tlb_set *set = &space->tlb[page % TARN_SPACE_TLB_SETS];
    if (set->pages[0] != page) {
        set->pages[1] = set->pages[0];
        set->entries[1] = set->entries[0];
        set->pages[0] = page;
    }
    set->entries[0] = entry;
}

/* ---- space.c ---- */

/* Whether [address, address + size) are whole pages within the space's range; *page is the first. */
tarn_status space_range(const tarn_space *space, uint64_t address, uint64_t size, uint64_t *page,
                        uint64_t *count);

/* The same as tarn_space_unmap, for pages, and without the windows. */
void space_drop(tarn_space *space, uint64_t page, uint64_t count);

/* Calls come from one thread at a time; others come only with stores that windows handle. Attaching and detaching, which
 * change whether there are such windows, take the lock itself. */
static inline void space_lock(tarn_space *space)
{
    if (base_unlikely(space->handlers > 0)) {
        heap_lock_take(&space->lock);
    }
}

static inline void space_unlock(tarn_space *space)
{
    if (base_unlikely(space->handlers > 0)) {
        heap_lock_release(&space->lock);
    }
}

/* ---- fork.c ---- */

/* Gives the page, and perhaps its neighbours, frames of their own, and makes it writable if it is copy on write. Under
 * the lock. */
tarn_fault space_own(tarn_space *space, uint64_t page);

/* The same for a page that shares its frame with relatives, writable or not. */
tarn_fault space_own_only(tarn_space *space, uint64_t page);

/* ---- attach.c: under the lock ---- */

typedef struct space_window {
    struct space_window *next; /* of the same space */
    unsigned char *start;
    size_t size; /* bytes, without the strip behind it */
    uint64_t page;
    uint64_t count;
    bool handles_stores;
    bool has_slack;
    uint32_t process; /* that attached it */
    tarn_space *space;
    /* Among all windows that handle stores: see faults.c. */
    struct space_window *left;
    struct space_window *right;
    uint64_t weight;
} space_window;

typedef enum window_change {
    WINDOW_MAP,   /* frames have changed */
    WINDOW_HIDE,  /* nothing is mapped any more */
    WINDOW_ACCESS /* only what is writable has changed */
} window_change;

/* Makes the windows show what the entries say. On failure they are as they were, once the entries are, too, and
 * windows_undo() has been called: `done` says how far it got. */
typedef struct window_progress {
    space_window *window;
    uint64_t end; /* the first page of the window that was not changed */
} window_progress;

tarn_status windows_change(tarn_space *space, uint64_t page, uint64_t count, window_change change,
                           window_progress *done);

/* The same for pages that are new and one run. */
tarn_status windows_show_run(tarn_space *space, table_run run, window_progress *done);

void windows_undo(tarn_space *space, uint64_t page, uint64_t count, const window_progress *done);

/* ---- faults.c ---- */

bool faults_watch(space_window *window);
void faults_unwatch(space_window *window);

/* Waits for stores that are being handled. */
void faults_wait(tarn_space *space);

/* ---- segments.c ---- */

typedef struct space_segment {
    uint64_t base;
    uint64_t limit; /* bytes; 0: free */
    uint32_t access;
    uint32_t next; /* free entry, plus one */
    uint32_t generation;
} space_segment;

/* Makes room for one more; false if upstream has no memory. */
bool segments_prepare(tarn_space *space);
tarn_segment segments_add(tarn_space *space, uint64_t base, uint64_t limit, unsigned access);
bool segments_copy(const tarn_space *space, tarn_space *child);
void segments_deinit(tarn_space *space);

#endif
