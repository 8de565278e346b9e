/* SPDX-License-Identifier: MIT */
#ifndef TARN_MALLOC_CORE_H
#define TARN_MALLOC_CORE_H

/*
 * The types of the general malloc, and the invariants that hold them together.
 *
 * Address space comes from the kernel in chunks of up to 64 units; a unit is 64 KiB at a multiple of 64 KiB. A chunk
 * hands out whole units, which become spans of small slots, or runs of pages, which are large blocks.
 *
 * A free slot's first word is its link, and the span's `head` is a word of the same form:
 *
 *      63        48 47                        16 15           0
 *     [  label     |            tag             |   offset     ]
 *
 * offset  of the next free slot from the span's base
 * tag     low half of the span's address, which the kernel's randomisation hides; in the last link its upper half is
 *         flipped, so that taking a slot fails its one comparison both at the end of the list and when the link
 *         was overwritten, while freeing compares the lower half alone and so suspects the last slot too
 * label   twice the slots in use at that depth of the list, less an offset: see span_used. Taking a slot restores
 *         the label that was stored with it, so only freeing counts; the subtraction borrows exactly when
 *         the span reaches one of its marks, and that is the only test that frees pay for it.
 */

#include "base/check.h"
#include "malloc/classes.h"
#include "os/os.h"
#include "tarn/heap.h"
#include "tarn/malloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNIT_SHIFT 16
#define UNIT_SIZE ((size_t)1 << UNIT_SHIFT)
#define CHUNK_UNITS 64
#define CHUNK_SIZE (CHUNK_UNITS * UNIT_SIZE)
#define CHUNK_PAGES 1024 /* at most; fewer where the kernel's page is larger than 4 KiB */
#define UNIT_PAGES 16    /* at most, likewise */
#define PAGE_RUN_MAX ((size_t)1 << 20)  /* a longer run is made of units */
#define UNIT_RUN_MAX ((size_t)32 << 20) /* a longer block is a mapping of its own */
#define BLOCK_MAX ((size_t)1 << 46)     /* more than any address space has room for */
#define WORTH_BYTES                                                                                \
    ((size_t)6 << 20) /* handed out at once: less is not worth a thread that gives it back */
#define CACHE_LINE ((size_t)64)

#define LABEL_SHIFT 48
#define LABEL_STEP ((uint64_t)2 << LABEL_SHIFT)
#define TAG_SHIFT 16
#define END_FLIP ((uint32_t)0x7fff0000)
#define UNIT_NONE UINTPTR_MAX
#define SINCE_PURGED UINT64_MAX /* `since` of a span whose free pages have gone back */
#define MARK_NEVER (-8192)      /* a mark that no count of slots in use reaches */

#define LABEL_EMPTY ((uint64_t)0xffff) /* of a head with no slot in use: freeing needs none */
#define SPARE_COUNT 4                  /* empty spans that a thread keeps at hand */

/* Spans that a thread finds by one look at its table, by the low bits of the unit. */
#define OWN_COUNT 256

typedef struct malloc_heap malloc_heap;
typedef struct malloc_span malloc_span;
typedef struct malloc_chunk malloc_chunk;
typedef struct page_heap page_heap;
typedef struct span_mesh span_mesh;

typedef enum span_state {
    SPAN_FREE = 0, /* the unit belongs to the page heap */
    SPAN_CURRENT, /* the one that its heap takes slots of this class from; its list is never empty */
    SPAN_PARTIAL, /* in its heap's queue for the class; has free slots, linked or on purged pages */
    SPAN_SPARSE,  /* the same with few slots in use; only touched under its heap's lock */
    SPAN_SPARE,   /* no slot is in use; its thread keeps it at hand */
    SPAN_DRAINED, /* no slot is in use and no page resident; others did that, its thread has yet to see it */
    SPAN_FULL /* every slot that was ever linked is in use; in its heap's list of full spans */
} span_state;

/* The books of one unit that is cut into slots. Kept apart from the unit, so that slots start at its base and
 * overruns do not reach the books. The struct stays valid as long as its chunk. */
typedef struct malloc_span {
    /* What every malloc and free reads: one cache line. Written by the owner alone. */
    _Alignas(2 * CACHE_LINE) _Atomic(uint64_t) head;
    uintptr_t base;     /* address of slot 0 */
    uintptr_t bound;    /* bytes from base to the end of the last slot ever linked */
    uint64_t step;      /* LABEL_STEP, kept in memory to be an operand of the one subtraction */
    uint32_t inverse;   /* 2^32 / slot_size, rounded up: finds whether an offset is a slot's */
    uint32_t residue;   /* the same once more: each use has its own operand */
    int32_t mark;       /* see span_used_at */
    uint32_t slot_size; /* bytes */
    _Atomic(malloc_heap *) owner;
    uintptr_t unit; /* base >> UNIT_SHIFT, or UNIT_NONE while the unit is free */

    struct malloc_span *next_young; /* neighbours in the owner's list of young sparse spans */
    struct malloc_span *previous_young;
    struct malloc_span *next; /* neighbours in the owner's queue or full list */
    struct malloc_span *previous;
    malloc_chunk *chunk;
    /* Slots freed by other threads and not on the list yet: they count as used. */
    struct parcel *pending;
    /* os_clock_ms when it got its first free slot, became sparse, or was left to central. */
    uint64_t since;
    uint32_t turn; /* its heap's turns when it became current, or empty as the current one */
    uint16_t pending_count; /* slots in them */
    uint32_t reach; /* the largest bound since the unit was taken: bytes that may be resident */
    uint16_t slot_count; /* that the unit has room for */
    uint16_t touched;    /* slots ever linked: always the first ones */
    uint16_t purged;     /* pages given back; a bit for each; slots that touch one are in no list */
    uint8_t class_index;
    uint8_t state; /* span_state */
    bool is_young; /* sparse by count, but not for long enough: its thread still has it to itself */
    uint8_t empties; /* times that it became empty since it became current, a count */
    uint16_t looked; /* slots in use when compaction last looked at it */
    span_mesh *mesh; /* of a span that shares frames with others: see compact.h */
} malloc_span;

/* Slots of one span that another thread frees travel to their owner together, linked as on the span's list, through
 * the first of them. The labels are those of the list of a span that has no other slot free: see parcel_base. */
typedef struct parcel {
    uint64_t link;       /* as of any free slot */
    struct parcel *next; /* in the owner's list of parcels, or the span's */
} parcel;

/* A parcel while a thread fills it. */
typedef struct parcel_box {
    malloc_span *span; /* NULL: empty */
    uint64_t head;     /* as a span's */
    unsigned count;    /* slots in it */
} parcel_box;

#define REMOTE_LISTS 4 /* opened side by side, so that the waits for their blocks overlap */
#define PARCEL_BOXES 64
#define PARCEL_BYTES 4096 /* a parcel is sent when it holds so much, */
#define PARCEL_SLOTS 64   /* or so many */

typedef struct span_queue {
    malloc_span *first;
    malloc_span *last;
} span_queue;

typedef enum heap_kind {
    HEAP_THREAD, /* a thread's cache: its thread alone takes and gives slots of current and partial spans; all else is
                   * under the lock, so that the scavenger can do for a sleeping thread what is safe */
    HEAP_CENTRAL, /* spans that no thread owns: under its lock */
    HEAP_OWN      /* a first-class heap: under its lock */
} heap_kind;

/* Whoever owns spans. */
struct malloc_heap {
    tarn_heap interface;
    heap_kind kind;
    page_heap *pages;
    os_lock lock;
    malloc_span *current[CLASS_COUNT];
    span_queue partial[CLASS_COUNT];
    /* A full span with slots never linked, for when no other has free ones. */
    malloc_span *reserve[CLASS_COUNT];
    unsigned young_count;
    span_queue young; /* by the time that they became sparse */
    span_queue full;
    span_queue drained;
    /* of what its thread frees of others, by the low bits of the unit */
    parcel_box boxes[PARCEL_BOXES];
    uint32_t turns;                   /* times that a class went for another span, a count */
    malloc_span *spares[SPARE_COUNT]; /* thread caches: empty spans, oldest first */
    unsigned spare_count;
    _Atomic(uint64_t) span_count; /* a count; read by others as a hint */
    struct malloc_heap *next;     /* among idle thread caches, or among first-class heaps */
    struct malloc_heap *previous;
    struct malloc_heap *next_known; /* among all thread caches ever made; never changes */
    /* scavenger: what was sent at its last look; when still so, the thread sleeps */
    _Atomic(uintptr_t) seen;
    uint64_t failures; /* a count */
    uint64_t allocs;   /* first-class heaps: counts for tarn_stats */
    uint64_t frees;
    size_t live; /* first-class heaps: bytes as asked for */
    size_t peak_live;
    tarn_malloc_options options; /* first-class heaps */
    uint32_t record;             /* first-class heaps: its number where the program is recorded */
    bool soft_passed;
    /* spans that purge_sparse has not looked at; read without the lock as a hint */
    _Atomic(bool) has_sparse;
    /* partial spans with pending parcels are in its thread's table; under the lock */
    bool has_parked;
    bool in_use;    /* thread caches: a thread has it */
    bool is_orphan; /* its thread did not survive a fork */
    /* Written by other threads: a line of its own. */
    _Alignas(CACHE_LINE) _Atomic(parcel *) remote[REMOTE_LISTS];
};

/* ---- words and labels ---- */

static inline uint32_t span_tag(const malloc_span *span)
{
    return (uint32_t)(uintptr_t)span;
}

static inline uint64_t span_word(const malloc_span *span, uint64_t label, uintptr_t block)
{
    return label << LABEL_SHIFT | (uint64_t)span_tag(span) << TAG_SHIFT | (block & (UNIT_SIZE - 1));
}

static inline uint64_t span_end_word(const malloc_span *span, uint64_t label)
{
    return label << LABEL_SHIFT | (uint64_t)(span_tag(span) ^ END_FLIP) << TAG_SHIFT;
}

/* Even labels count down to the span's mark, odd ones from below the mark to an empty span:
 *     even: used == label / 2 + mark        odd: used == label / 2 + 1
 * so a span reports twice, when it becomes sparse and when it becomes empty, and no list is ever relabelled. */
static inline int32_t span_used_at(const malloc_span *span, uint64_t word)
{
    const uint32_t label = (uint32_t)(word >> LABEL_SHIFT);
    if (label == LABEL_EMPTY) {
        return 0;
    }
    return (int32_t)(label / 2) + ((label & 1) != 0 ? 1 : span->mark);
}

/* The label of the last link of a parcel: with a mark of 1, that of a span whose slots are all in use. */
static inline uint64_t parcel_base(const malloc_span *span)
{
    return 2 * ((uint64_t)span->slot_count - 1);
}

static inline uint64_t span_head(malloc_span *span)
{
    return atomic_load_explicit(&span->head, memory_order_relaxed);
}

static inline void span_set_head(malloc_span *span, uint64_t word)
{
    atomic_store_explicit(&span->head, word, memory_order_relaxed);
}

static inline bool span_is_slot(const malloc_span *span, uintptr_t block)
{
    /* A block below the base wraps to a huge offset, so one comparison covers both ends. */
    const uintptr_t offset = block - span->base;
    return offset < __atomic_load_n(&span->bound, __ATOMIC_RELAXED) &&
           (uint32_t)offset * span->inverse < span->residue;
}

/* A count that one thread at a time changes and others read as a hint. */
static inline void count_add(_Atomic(uint64_t) *count, uint64_t more)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* ---- map.c: from an address to who keeps its books ---- */

typedef enum map_kind { MAP_SPAN = 0, MAP_RUNS = 1, MAP_HUGE = 2 } map_kind;

/* What the unit of `address` belongs to: a span, chunk or huge with its map_kind in the low bits, or 0. */
uintptr_t map_get(uintptr_t address);

/* Makes room for the entries of [start, start + size), so that map_set cannot fail. */
bool map_reserve(uintptr_t start, size_t size);
void map_set(uintptr_t address, uintptr_t entry);

void map_fork(bool before);

/* ---- meta.c: memory for books ---- */

/* `size` zeroed bytes at a cache line, for ever. NULL when the kernel refuses. Takes its own lock. */
void *meta_take(size_t size);

/* The same for books whose address is a tag: with bit 31 set, so that the tag, where it stands in a link, sets the bit
 * that no pointer of a program has, wherever the kernel lets that be. */
void *meta_take_tagged(size_t size);
size_t meta_bytes(void);
void meta_fork(bool before);

/* ---- page_heap.c ---- */

typedef struct malloc_huge {
    uintptr_t start;
    size_t size; /* mapped bytes */
    page_heap *pages;
    struct malloc_huge *next;
    struct malloc_huge *previous;
    bool is_live;
} malloc_huge;

/* Chunks stand on two shelves: those cut at pages, and those cut at units for blocks that need many pages. */
typedef enum chunk_shelf { SHELF_PAGES, SHELF_UNITS, SHELF_COUNT } chunk_shelf;

/* One stretch of address space of at most CHUNK_PAGES grains, which are pages or units by its shelf. */
struct malloc_chunk {
    page_heap *pages;
    uintptr_t base;
    chunk_shelf shelf;
    unsigned grain_shift; /* log2 of a grain's bytes */
    unsigned grain_count;
    unsigned longest;    /* grains of the longest free run */
    uint64_t free_units; /* on the shelf of pages: a bit for each wholly free unit */
    malloc_chunk *next_all, *previous_all;
    malloc_chunk *next_unit, *previous_unit; /* while free_units is not 0 */
    malloc_chunk *next_run, *previous_run;   /* while longest is not 0 */
    /* A bit for each grain. Dirty: perhaps resident; counted only while free. Old: already so at the last tick. */
    uint64_t free[CHUNK_PAGES / 64];
    uint64_t dirty[CHUNK_PAGES / 64];
    uint64_t old[CHUNK_PAGES / 64];
    uint16_t run[CHUNK_PAGES]; /* grains of the live run that starts here, or 0 */
    malloc_span spans[CHUNK_UNITS];
};

struct page_heap {
    os_lock lock;
    os_lock purge_lock;  /* taken before `lock` by who gives pages back */
    malloc_heap *heap;   /* a first-class heap's; NULL for the process's own */
    malloc_chunk *all;   /* every chunk */
    malloc_chunk *units; /* those with a free unit */
    /* those with a free run, by the log2 of the longest in grains */
    malloc_chunk *runs[SHELF_COUNT][11];
    malloc_chunk *spare_books; /* books of chunks that were unmapped */
    malloc_huge *spare_huge;
    malloc_huge *live_huge;
    unsigned next_units[SHELF_COUNT]; /* units of the next chunk */
    size_t run_max
        [SHELF_COUNT];    /* bytes of the longest run; blocks past both are mappings of their own */
    tarn_memory confined; /* when start is not NULL: the only memory there is */
    uintptr_t *entries;   /* confined: what map_get would say, for each unit of it */
    uintptr_t first_unit; /* confined: address of the first unit */
    size_t confined_units;    /* confined: a count */
    malloc_huge *free_ranges; /* confined: unused units, by address */
    size_t limit;             /* of `footprint` or, for the process's own, of `mapped`; 0: none */
    size_t footprint;         /* bytes of units, runs and mappings handed out */
    size_t peak_footprint;
    size_t mapped; /* bytes held from the kernel */
    size_t peak_mapped;
    _Atomic(size_t) dirty; /* bytes free and perhaps resident */
    size_t large_bytes, huge_bytes;
    uint64_t large_count, huge_count;
    uint64_t purges;
    size_t purged;
};

extern page_heap process_pages;

/* A unit, as a span of state SPAN_FREE with base and chunk set; NULL when there is none to be had. */
malloc_span *page_heap_take_unit(page_heap *pages);
/* The same if there is one that may be resident. */
malloc_span *page_heap_take_dirty_unit(page_heap *pages);
void page_heap_give_unit(malloc_span *span);

/* A run or mapping of at least `size` bytes at a multiple of `alignment`; *clean when it reads as zero. */
void *page_heap_take(page_heap *pages, size_t size, size_t alignment, bool *clean);

/* What map_get says of a large or huge block. */
bool page_heap_is_block(uintptr_t entry, uintptr_t block);
size_t page_heap_size(uintptr_t entry, uintptr_t block);
page_heap *page_heap_of(uintptr_t entry);
/* False when it is no block any more. */
bool page_heap_give(uintptr_t entry, uintptr_t block);

/* True when `block` is in memory of the page heap that nobody has: most likely it was freed before. */
bool page_heap_is_free(uintptr_t entry, uintptr_t block);

/* Makes the block `size` bytes where it stands, or says no. */
bool page_heap_resize(uintptr_t entry, uintptr_t block, size_t size);
/* Moves the block's pages, not its bytes, to where `size` bytes have room; NULL when it cannot. */
void *page_heap_move(uintptr_t entry, uintptr_t block, size_t size);

/* A tick: gives back to the kernel what was free at the last one already. Or, where `want` is not 0, that many bytes and
 * what comes with them, however new; SIZE_MAX for all. Returns bytes. */
size_t page_heap_purge(page_heap *pages, size_t want);
/* Calls for every live run and mapping until the visitor returns false; the caller keeps others out. */
typedef bool page_heap_visitor(void *context, uintptr_t block, size_t size);
void page_heap_visit(page_heap *pages, page_heap_visitor *visit, void *context);
/* Forgets and gives back everything. */
void page_heap_reset(page_heap *pages);
/* The entry of a block of a confined page heap, which the map does not know. */
uintptr_t page_heap_find(page_heap *pages, uintptr_t address);

void page_heap_fork(page_heap *pages, bool before);

/* Bytes of the largest block that needs nothing from the kernel. */
size_t page_heap_largest(page_heap *pages);

/* Calls for the books of every unit that can be a span; whether it is one is for who holds its owner's lock to see. */
void page_heap_visit_units(page_heap *pages, void (*visit)(void *context, malloc_span *span),
                           void *context);

/* Calls for every span in use in the page heap; all owners stand still. */
void page_heap_visit_spans(page_heap *pages, void (*visit)(void *context, malloc_span *span),
                           void *context);

/* ---- cache.c: spans in the hands of a heap ---- */

extern malloc_span nil_span;

void heap_init(malloc_heap *heap, heap_kind kind, page_heap *pages);

/* A slot of the class, or NULL. A thread's cache: only its thread, without the lock. Others: under the lock. */
void *heap_take(malloc_heap *heap, unsigned class_index);

/* True when heap_take needs no new span for the class. */
bool heap_has_slot(const malloc_heap *heap, unsigned class_index);

/* Gives a slot of a span that the heap owns; under the lock. The slot has been checked. */
void heap_give(malloc_heap *heap, malloc_span *span, void *given);

/* The same for a thread's own cache, without the lock, with the check for a double free. */
void heap_give_own(malloc_heap *heap, malloc_span *span, void *slot);

/* For any other heap: at once if its lock is free, else by heap_send. */
void heap_give_locked(malloc_heap *owner, malloc_span *span, void *slot);

/* Ends in the fatal handler if the slot is free already. */
void heap_check_free(const malloc_heap *heap, malloc_span *span, const void *slot);

/* Frees slots that other threads sent; under the lock, for a thread's cache by its thread or when it has none. */
void heap_collect(malloc_heap *heap);

/* Frees a slot that another heap owns: it travels with others, and costs one atomic operation at most. `self` is the
 * calling thread's cache, or NULL. */
void heap_send(malloc_heap *self, malloc_span *span, void *slot);

/* Sends what waits for company; only the heap's thread. */
void heap_send_all(malloc_heap *self);

/* What another thread can do for a cache whose thread sleeps: see cache.c. Returns the bytes given back. */
size_t heap_scavenge(malloc_heap *heap, uint64_t age);

/* True when other threads have sent something; a hint. */
bool heap_has_mail(const malloc_heap *heap);

/* True when that may find something; a hint. */
bool heap_has_work(const malloc_heap *heap);

/* Gives back everything that the calling thread's cache can spare, pages inside spans too; returns bytes. */
size_t heap_trim_own(malloc_heap *heap);

/* Gives every span away: empty ones to the page heap, the others to central; under the lock. */
void heap_abandon_all(malloc_heap *heap);

/* Gives back to the page heap the spans that have no slot in use; under the lock. */
void heap_release_unused(malloc_heap *heap);

/* Slots in use; exact for the owner, an estimate for others. */
unsigned span_used(malloc_span *span);

/* The slots in use of a span whose owner stands still. False if the visitor ended it. */
bool span_visit(malloc_span *span, tarn_visitor *visitor, void *context);

/* False when the span's books do not balance; the owner stands still. */
bool span_check(malloc_span *span);

/* Takes the wholly free pages out of the span's list and gives them back; returns their bytes. */
size_t span_purge(malloc_span *span);

#define SLOT_WORDS (UNIT_SIZE / 8 / 64)

/* A bit for each slot that is free: on the list, or kept out of it. False when the list is broken; the owner stands
 * still. */
bool span_free_slots(malloc_span *span, uint64_t *bits);

/* Adds the slots that are pending. */
void span_add_pending(const malloc_span *span, uint64_t *bits);

/* Empties the list of a span with slots in use, and what is pending: the caller keeps the free ones. */
void span_unlink_all(malloc_span *span);

void span_queue_append(span_queue *queue, malloc_span *span);
void span_queue_remove(span_queue *queue, malloc_span *span);

/* ---- central.c: spans that no thread owns ---- */

extern malloc_heap central;

/* Takes over a span, in no queue, that a thread gives away. */
void central_leave(malloc_span *span);

/* A span of the class with free slots, owned by `heap` from now on; NULL when there is none. */
malloc_span *central_adopt(malloc_heap *heap, unsigned class_index);

/* Tells that central has a span of the class; under its lock. */
void central_note(unsigned class_index);

/* Gives back the free pages of spans that nothing happened to for `age` ms; returns bytes. */
size_t central_purge(uint64_t age);

/* True while there are spans that central_purge has not looked at since their last change. */
bool central_has_work(void);

/* ---- thread.c: a thread and its cache ---- */

typedef struct thread_state {
    malloc_span *table[TABLE_COUNT]; /* by (size + 15) / 16: the span to take from, or nil_span */
    /* by the low bits of the unit: a span of this thread, or nil_span */
    malloc_span *own[OWN_COUNT];
    malloc_heap *heap; /* NULL before the first allocation and after the thread's end */
    unsigned sent;     /* slots of others freed without a cache, a count */
    bool ended;        /* the cache was given back: late calls share a locked heap */
} thread_state;

extern _Thread_local thread_state thread_self;

/* The thread's cache, made at its first use; NULL when there is no memory for one, or the thread has ended. */
malloc_heap *thread_heap(void);

/* For threads past their end; under its lock. */
extern malloc_heap late_heap;

/* Does what can be done for sleeping and ended threads' caches; returns the bytes given back. */
size_t thread_scavenge(uint64_t age);

/* True when that may find something. */
bool thread_has_work(void);

/* True in a child of a fork until thread_adopt_orphans was called. */
extern _Atomic(bool) thread_has_orphans;

/* After a fork: spans of caches whose threads the child does not have go to central. Without locks. */
void thread_adopt_orphans(void);

/* Caches in use, a count; under thread_lock_all. */
uint64_t thread_count(void);
/* Keeps every cache, late_heap and central as they are; but for heads, which their threads go on to change. */
void thread_lock_all(void);
void thread_unlock_all(bool child);

/* ---- start.c ---- */

/* What the first allocation needs; once, under a lock of the caller's. */
void malloc_prepare(void);

/* ---- scavenger.c: memory goes back by itself ---- */

/* Called without locks after something was freed: wakes the helper when there is reason to, or does its work now and
 * then where there is none. Never makes a thread: libc frees under locks of its own that pthread_create takes. */
void scavenger_notice(page_heap *pages);
/* The same after something was sent to another thread's cache. */
void scavenger_notice_sent(const malloc_heap *owner);
/* Called when the last thread that had a cache ends: the helper ends too, so that the process can. */
void scavenger_end(void);
/* True once a page heap has handed out so much that giving back is worth a thread. */
extern _Atomic(bool) scavenger_is_worth;
/* Called without locks after memory was taken from a page heap: makes the helper once it is worth one. */
void scavenger_prepare(void);
/* Everything that can go back goes back now; returns bytes. */
size_t scavenger_trim(void);
void scavenger_fork(bool before, bool child);

/* ---- options.c ---- */

typedef struct malloc_options {
    int64_t decay_ms; /* -1: never */
    size_t limit;     /* bytes; 0: none */
    bool background;
    bool stats;
    bool compact;
} malloc_options;

extern malloc_options malloc_conf;
void options_load(void);

/* ---- heaps.c: first-class heaps ---- */

/* Calls for each heap, which stays while it does. */
void heaps_visit(void (*visit)(void *context, malloc_heap *heap), void *context);
void heaps_fork(bool before);
/* A large block went back by free(): the heap's own books follow. */
void heaps_note_free(malloc_heap *heap, const void *block, size_t size);

/* ---- malloc.c ---- */

void *malloc_aligned(size_t alignment, size_t size);
/* free() by who knows what was asked for; alignment 1 when none was. */
void malloc_free_sized(void *block, size_t alignment, size_t size);
/* What is wrong with freeing `block`, which no books know: ends in the fatal handler. */
_Noreturn void malloc_misuse(uintptr_t entry, const void *block);

#endif
