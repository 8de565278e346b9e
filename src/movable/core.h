/* SPDX-License-Identifier: MIT */
#ifndef TARN_MOVABLE_CORE_H
#define TARN_MOVABLE_CORE_H

/*
 * The memory of a movable heap, and who works on which part of it.
 *
 *     base               end          low                        table
 *     [ head |  arena      |  gap      | entry n ... entry 2  entry 1 | tracts ]
 *              chunks, live  untouched                                  a word for each tract
 *              and free                                                 of the arena
 *
 * A place is a distance from the base in granules of 8 bytes. Nothing in here is a pointer.
 *
 *     live chunk   [ word | the block's bytes, rounded up to granules ]
 *     free chunk   [ word | links | ...                        | word ]      a hole
 *
 * The last word of a free chunk repeats its first, so that the chunk behind finds its start. A free chunk of one granule
 * is one word, one of two has no links. Free chunks never touch each other or the end.
 *
 * A tract is a stretch of the arena that compaction deals with as one: its word says where its first chunk starts and
 * how much is live in chunks that start in it.
 *
 * Everything but pins is done by one thread at a time, under the lock when the heap has `threads`. An entry's two halves
 * change together, by one 64-bit store; who does not hold the lock changes nothing but the pins.
 */

#include "base/bits.h"
#include "base/check.h"
#include "os/os.h"
#include "tarn/heaps.h"
#include "tarn/movable.h"

#define GRANULE ((size_t)TARN_MOVABLE_GRANULE)
#define PAGE_ALIGNMENT ((size_t)4096) /* the largest alignment of a block */
#define PLACES_MAX UINT32_MAX         /* granules of a heap */
#define HEAP_MAX                                                                                   \
    ((uint64_t)PLACES_MAX * GRANULE < PTRDIFF_MAX ? (uint64_t)PLACES_MAX * GRANULE                 \
                                                  : (uint64_t)PTRDIFF_MAX)
#define SMALL_HEAP_MAX ((uint64_t)1 << 32) /* bytes of a heap whose table has places in bytes */

#define TRACT_SHIFT 11 /* log2 of a tract's granules */
#define TRACT_GRANULES ((uint32_t)1 << TRACT_SHIFT)

/* The index of holes: a list for each step of each power of two. */
#define STEPS_LOG2 4
#define STEPS (1u << STEPS_LOG2)
#define ROWS (32 - STEPS_LOG2 + 1)
#define LISTED_MIN 3 /* granules of a hole that has room for links */

/* Granules of tracts' words and the entries of the table are read through this: what lies there changes its type. */
typedef uint64_t __attribute__((may_alias)) movable_word;

typedef struct movable_tract {
    uint16_t
        first; /* granules from the tract's start to its first chunk, plus one; 0: none starts in it */
    uint16_t live; /* granules of live chunks that start in it, each counted as at most a tract */
} movable_tract;

/* What incremental compaction does next. */
typedef enum movable_stage {
    STAGE_REST = 0, /* nothing since the last cycle ended */
    STAGE_EVACUATE =
        1, /* this and the next ones: blocks leave tracts that are at most so many eighths live */
    STAGE_SLIDE = 5 /* blocks slide down, from the cursor on */
} movable_stage;

/* At the base. In shared memory it is shared, so it has no pointers either. */
typedef struct movable_head {
    uint64_t magic;
    uint32_t version;
    uint32_t residue; /* of the base's address, modulo PAGE_ALIGNMENT */
    uint64_t size;    /* bytes from the base to the end of the tracts */
    os_lock lock;
    uint32_t has_threads;
    uint32_t alignment_max; /* of a block: what the base is a multiple of */
    uint32_t end;           /* place behind the last chunk, which is live */
    uint32_t touched;       /* places before this may be resident; at least `end` */
    uint32_t count;         /* entries of the table */
    uint32_t vacant;        /* number of the first entry that is not in use; 0: none */
    uint32_t generation;    /* of an entry that is used for the first time */
    uint32_t hand;          /* number of the entry that the next purge looks at first */
    uint32_t pinned;        /* blocks with pins; only kept without threads */
    uint32_t is_in_pass;    /* a pass of the form begin and commit is open */
    uint32_t stage;         /* movable_stage */
    uint32_t cursor;        /* the tract that it goes on with */
    uint64_t purgeable;     /* live blocks that may be purged, a count */
    uint64_t hole_granules;
    uint64_t changes; /* of what is free, since the last cycle of compaction began; a count */
    size_t clean;     /* bytes of pages in holes that went back to the kernel */
    tarn_handle root;
    tarn_stats books;
    tarn_movable_report history;
    uint32_t row_map;             /* a bit for each row with a list that is not empty */
    uint16_t step_maps[ROWS];     /* for each row, a bit for each list that is not empty */
    uint32_t lists[ROWS * STEPS]; /* the place of the first hole of each list, or 0 */
} movable_head;

#define FIRST_PLACE ((uint32_t)((sizeof(movable_head) + GRANULE - 1) / GRANULE))
#define MOVABLE_MAGIC UINT64_C(0x656c6261766f6d54) /* "Tmovable" where bytes are little-endian */
#define MOVABLE_VERSION 1

static inline movable_head *movable_head_of(const tarn_movable *heap)
{
    return (movable_head *)(void *)heap->base;
}

static inline void movable_lock(const tarn_movable *heap)
{
    movable_head *head = movable_head_of(heap);
    if (head->has_threads) {
        os_shared_lock_take(&head->lock);
    }
}

static inline void movable_unlock(const tarn_movable *heap)
{
    movable_head *head = movable_head_of(heap);
    if (head->has_threads) {
        os_shared_lock_release(&head->lock);
    }
}

static inline const char *movable_name(const tarn_movable *heap)
{
    return heap->options.name != NULL ? heap->options.name : "movable";
}

/* True if the heap's memory never moves and is never resized. */
static inline bool movable_is_fixed(const tarn_movable *heap)
{
    return heap->options.memory.start != NULL || heap->options.capacity != 0;
}

_Noreturn void movable_fatal(const tarn_movable *heap, const char *what, tarn_handle handle);

/* ---- words of chunks ---- */

/*
 *     live   63  number  36 35   granules   7 6 alignment 3  2 padded  1 after a hole  0
 *     free   63            granules         7                2 clean   0               1
 */
#define WORD_FREE ((uint64_t)1)
#define WORD_AFTER_HOLE ((uint64_t)2)
#define WORD_PADDED ((uint64_t)4) /* live: the last byte says how many are padding */
#define WORD_CLEAN ((uint64_t)4)  /* free: its whole pages went back to the kernel */
#define WORD_ALIGNMENT_SHIFT 3
#define WORD_SIZE_SHIFT 7
#define WORD_NUMBER_SHIFT 36
#define LIVE_GRANULES_MAX ((((uint32_t)1) << (WORD_NUMBER_SHIFT - WORD_SIZE_SHIFT)) - 1)
#define NUMBER_MAX ((((uint32_t)1) << (64 - WORD_NUMBER_SHIFT)) - 1)
#define BLOCK_MAX ((size_t)(LIVE_GRANULES_MAX - 1) * GRANULE)

static inline movable_word *word_at(const tarn_movable *heap, uint32_t place)
{
    return (movable_word *)(void *)heap->base + place;
}

static inline bool word_is_free(uint64_t word)
{
    return (word & WORD_FREE) != 0;
}

static inline uint32_t word_granules(uint64_t word)
{
    return word_is_free(word) ? (uint32_t)(word >> WORD_SIZE_SHIFT)
                              : (uint32_t)(word >> WORD_SIZE_SHIFT) & LIVE_GRANULES_MAX;
}

static inline uint32_t word_number(uint64_t word)
{
    return (uint32_t)(word >> WORD_NUMBER_SHIFT);
}

/* Granules that the block's place is a multiple of. */
static inline uint32_t word_alignment(uint64_t word)
{
    return (uint32_t)1 << ((word >> WORD_ALIGNMENT_SHIFT) & 15);
}

static inline uint64_t word_of_hole(uint32_t granules)
{
    return WORD_FREE | (uint64_t)granules << WORD_SIZE_SHIFT;
}

static inline uint64_t word_of_block(uint32_t number, uint32_t granules, unsigned alignment_log2)
{
    return (uint64_t)number << WORD_NUMBER_SHIFT | (uint64_t)granules << WORD_SIZE_SHIFT |
           (uint64_t)alignment_log2 << WORD_ALIGNMENT_SHIFT;
}

/* Granules of the chunk for a block of `size` bytes. */
static inline uint32_t chunk_granules(size_t size)
{
    return (uint32_t)((size + GRANULE - 1) / GRANULE) + 1;
}

/* Bytes of the live block in the chunk, as asked for. */
size_t chunk_size(const tarn_movable *heap, uint32_t place);

/* Notes in the chunk's word and padding that its block has `size` bytes. */
void chunk_set_size(const tarn_movable *heap, uint32_t place, size_t size);

/* Granules to leave before a chunk at `place`, so that its block is aligned. */
static inline uint32_t chunk_gap(uint32_t place, uint32_t alignment)
{
    return (uint32_t) - (place + 1) & (alignment - 1);
}

/* ---- chunks.c: the arena, its holes and its tracts ---- */

/* Which holes evacuation may use. */
typedef struct hole_filter {
    uint32_t tract; /* not one in this */
    uint16_t live; /* in a tract with more live granules than this, or with as many and before it */
} hole_filter;

/* Takes a chunk of `granules` for a block of the given alignment out of a hole, of those that the filter (may be NULL)
 * lets pass. Its word is to be written by the caller, keeping WORD_AFTER_HOLE as *word says. 0 when there is none. */
uint32_t chunk_take_hole(tarn_movable *heap, uint32_t granules, uint32_t alignment,
                         const hole_filter *filter, uint64_t *word);

/* The same at the end of the arena, which must have room for it. */
uint32_t chunk_take_end(tarn_movable *heap, uint32_t granules, uint32_t alignment, uint64_t *word);

/* Frees the live chunk at the place, merging it with its neighbours. Returns the place of the hole, or the new end. */
uint32_t chunk_release(tarn_movable *heap, uint32_t place);

/* Makes the live chunk `granules` long where it stands, if it can; never takes more than what is behind it. */
bool chunk_resize(tarn_movable *heap, uint32_t place, uint32_t granules, uint64_t room);

/* The chunk at `place` is a hole of its own from now on; its neighbours are live. Enters it in the index, not in the
 * tracts. */
void hole_enter(tarn_movable *heap, uint32_t place, uint32_t granules);
void hole_leave(tarn_movable *heap, uint32_t place, uint32_t granules);

/* Gives the hole's whole pages to the kernel; returns the bytes. */
size_t hole_clean(tarn_movable *heap, uint32_t place, uint32_t granules);

/* The same for all holes that have whole pages and are not clean. */
size_t holes_clean(tarn_movable *heap);

/* Bytes of a large hole, perhaps the largest; 0 if there is none that is listed. */
size_t holes_largest(const tarn_movable *heap);

/* Checks the lists against the holes that were counted by walking the arena. */
bool holes_check(const tarn_movable *heap, uint64_t listed, char *fault, size_t fault_size);

/* Forgets every hole. */
void holes_forget(movable_head *head);

static inline uint32_t tract_of(uint32_t place)
{
    return place >> TRACT_SHIFT;
}

static inline movable_tract *tract_at(const tarn_movable *heap, uint32_t tract)
{
    return (movable_tract *)(void *)heap->table + tract;
}

/* A chunk starts at the place; the chunks that start before it in its tract are known already. */
void tract_add_start(const tarn_movable *heap, uint32_t place);
void tract_add_live(const tarn_movable *heap, uint32_t place, uint32_t granules);

/* Bytes of the tracts' words for a heap of so many bytes. */
static inline size_t tracts_size(uint64_t heap_size)
{
    const size_t count = (size_t)(heap_size / GRANULE >> TRACT_SHIFT) + 1;
    return base_align_up(count * sizeof(movable_tract), GRANULE);
}

/* ---- table.c: entries ---- */

/*
 *     31  generation  14 13  pins  4  3 used  2 purgeable  1 kind 0
 *
 * The upper half of a handle is the state of its entry when it was new.
 */
#define KIND_VACANT 0u /* place: the number of the next vacant entry */
#define KIND_LIVE 1u
#define KIND_MOVING 2u /* live, and nobody may pin it until it is live again */
#define KIND_PURGED 3u
#define KIND_MASK 3u
#define STATE_PURGEABLE 4u
#define STATE_USED 8u /* pinned since the last purge passed */
#define STATE_PIN 16u
#define STATE_PINS 0x3ff0u
#define STATE_GENERATION 0xffffc000u
#define GENERATION_SHIFT 14

static inline tarn_movable_entry *entry_at(const tarn_movable *heap, uint32_t number)
{
    return heap->table - number;
}

/* What an entry holds, with its place in granules. */
typedef struct entry_view {
    uint32_t place;
    uint32_t state;
} entry_view;

/* In the table of a heap that is not large a place is in bytes, so that a deref need not scale it. */
static inline unsigned entry_shift(const tarn_movable *heap)
{
    return heap->is_large ? 0 : 3;
}

static inline uint64_t entry_pack(const tarn_movable *heap, uint32_t place, uint32_t state)
{
    const union {
        tarn_movable_entry entry;
        uint64_t word;
    } both = {.entry = {place << entry_shift(heap), state}};
    return both.word;
}

static inline entry_view entry_unpack(const tarn_movable *heap, uint64_t word)
{
    const union {
        uint64_t word;
        tarn_movable_entry entry;
    } both = {.word = word};
    return (entry_view){both.entry.place >> entry_shift(heap), both.entry.state};
}

static inline entry_view entry_load(const tarn_movable *heap, const tarn_movable_entry *entry)
{
    return entry_unpack(
        heap, __atomic_load_n((const movable_word *)(const void *)entry, __ATOMIC_ACQUIRE));
}

static inline void entry_store(const tarn_movable *heap, tarn_movable_entry *entry, uint32_t place,
                               uint32_t state)
{
    __atomic_store_n((movable_word *)(void *)entry, entry_pack(heap, place, state),
                     __ATOMIC_RELEASE);
}

/* True if the entry still was `from`; else `from` is what it is. */
static inline bool entry_exchange(const tarn_movable *heap, tarn_movable_entry *entry,
                                  entry_view *from, uint32_t place, uint32_t state)
{
    uint64_t word = entry_pack(heap, from->place, from->state);
    const bool done = __atomic_compare_exchange_n((movable_word *)(void *)entry, &word,
                                                  entry_pack(heap, place, state), false,
                                                  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    *from = entry_unpack(heap, word);
    return done;
}

/* The low half of a handle is how far below the end of the table its entry is, in bytes, negated. */
static inline uint32_t handle_number(tarn_handle handle)
{
    return -(uint32_t)handle / (uint32_t)sizeof(tarn_movable_entry);
}

static inline tarn_handle handle_of(uint32_t number, uint32_t state)
{
    return (uint64_t)((state & STATE_GENERATION) | KIND_LIVE) << 32 |
           (uint32_t) - (number * (uint32_t)sizeof(tarn_movable_entry));
}

/* The entry that the handle names, whatever its kind, with what it holds in *seen; NULL if the handle is stale. */
tarn_movable_entry *entry_find(const tarn_movable *heap, tarn_handle handle, entry_view *seen);

/* An entry to be used, whose number is 0 if there is none: a vacant one, or a new one for which there must be room. */
uint32_t entry_take(tarn_movable *heap);
void entry_give(tarn_movable *heap, uint32_t number);

/* Keeps everybody from pinning the entry; false if it is not live or somebody has pinned it. */
bool entry_seize(const tarn_movable *heap, tarn_movable_entry *entry);

/* Ends what entry_seize began; the block is at `place` now. */
void entry_release(const tarn_movable *heap, tarn_movable_entry *entry, uint32_t place);

/* Drops vacant entries from the end of the table; returns the bytes. Linear in the table. */
size_t table_trim(tarn_movable *heap);

/* ---- stretch.c: the heap's memory ---- */

/* Bytes between the arena and the table. */
static inline size_t stretch_gap(const tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    return (size_t)((unsigned char *)entry_at(heap, head->count) -
                    (heap->base + head->end * GRANULE));
}

/* Takes the memory that the options ask for, at least `size` bytes, and lays an empty heap over it. */
/* movable.c: the heap is made, perhaps with blocks, and a recorder may know. */
void movable_note_made(tarn_movable *heap);

tarn_status stretch_init(tarn_movable *heap, const tarn_movable_options *options, uint64_t size);
void stretch_deinit(tarn_movable *heap);

/* The table ends there. Handles count down from its end: their low halves are numbers below 2^32. */
static inline void stretch_set_table(tarn_movable *heap, void *table)
{
    heap->table = table;
    heap->entries = (uintptr_t)table - (uintptr_t)((uint64_t)1 << 32);
}

/* Where the parts are in a memory of `size` bytes. */
void stretch_lay(tarn_movable *heap, uint64_t size);

/* Makes the gap at least `bytes` long, if upstream can. */
bool stretch_grow(tarn_movable *heap, size_t bytes);

/* Gives back what is in the gap; returns the bytes. */
size_t stretch_shrink(tarn_movable *heap);

/* Gives up to `bytes` of resident pages of the gap to the kernel; returns the bytes. */
size_t stretch_clean(tarn_movable *heap, size_t bytes);

size_t stretch_footprint(const tarn_movable *heap);
void stretch_note_footprint(tarn_movable *heap);

/* ---- compact.c ---- */

/* Slides everything down. */
void compact_all(tarn_movable *heap, tarn_movable_report *report);

/* ---- check.c ---- */

/* As tarn_movable_check, without the lock. Trusts nothing but the sizes in `heap`. */
bool movable_check(const tarn_movable *heap, char *fault, size_t fault_size);

#endif
