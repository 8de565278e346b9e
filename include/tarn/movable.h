/* SPDX-License-Identifier: MIT */
#ifndef TARN_MOVABLE_H
#define TARN_MOVABLE_H

#include "tarn/base.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The movable heap: blocks that may move, reached by handles.
 *
 * A handle is a logical address. Its entry in the heap's table is what the dynamic relocation
 * register is to a machine: the base that is added to every access (where the block is now), beside
 * the block's limit (how large it is). So the heap can move blocks together and give the memory
 * between them back, and whoever has a handle never notices.
 *
 *     handle ----> entry ----> [ block ]        compaction moves the block and changes the entry;
 *     handle ----> entry -------------> [ block ]        handles stay as they are
 *
 * Everything inside the heap's memory is an offset, nothing is a pointer. So the memory can be saved
 * to a file and loaded at another address, and two processes can use one heap that each has mapped
 * elsewhere.
 *
 * Pointers. tarn_deref() gives a pointer that is good until the next call on the heap that is not
 * one of tarn_deref, tarn_movable_at, _find, _size, _look, tarn_pin, tarn_unpin: allocating may move
 * blocks, too. A block that is pinned stays where it is.
 *
 * Where the memory comes from. By default one chunk of upstream that grows and shrinks, and may move
 * as a whole while nothing is pinned. With `capacity` so much is taken from upstream at once and
 * stays where it is; the pages are touched as they are needed, and those that are not needed any
 * more go back to the kernel. With `memory` the same in memory of the caller's.
 *
 * Cost. Each block has 8 bytes in front of it and 8 bytes in the table, and is rounded up to 8
 * bytes. alloc, free and resize take constant time, except that a resize may copy the block and that
 * an alloc that finds no room asks upstream, compacts the heap, or purges blocks before it refuses.
 *
 * Limits. A heap has at most 32 GiB and 2^28 - 1 blocks, a block at most 4 GiB less 8 bytes; the
 * books of a block take so few bytes because of that. A handle that was freed is recognised until
 * its entry has been used again 2^18 times.
 *
 * Threads. One at a time, unless the options say `threads`: then every function may be called by any
 * thread, pins are lock-free, everything else takes one lock inside, and pointers are good only
 * while their block is pinned: threads pin and read while another compacts. Between processes the
 * same holds. A process that dies inside a call leaves the heap locked.
 *
 * Misuse that is found: a handle that was freed already, that another heap gave, or that is none;
 * freeing a pinned block; unpinning one that is not pinned; overwritten books. Fatal, see
 * tarn/base.h; the line shows the handle in the block's place.
 *
 * Sources: Knuth, The Art of Computer Programming, volume 1, section 2.5 (boundary tags,
 * compaction); Masmano, Ripoll, Crespo and Real, "TLSF: a New Dynamic Memory Allocator for Real-Time
 * Systems" (ECRTS 2004), for the index of holes; Jones, Hosking and Moss, The Garbage Collection
 * Handbook (2012), chapter 3, for sliding.
 */

/* The name of a movable block; 0 is no handle. Handles may be stored inside blocks. */
typedef uint64_t tarn_handle;

#define TARN_MOVABLE_GRANULE 8 /* bytes; every block starts at a multiple of it */

/* The relocation register of a block. Private. */
typedef struct tarn_movable_entry {
    uint32_t place; /* from the base of the heap to the block: bytes, or granules if it is large */
    uint32_t state; /* generation, pins, flags */
} tarn_movable_entry;

typedef struct tarn_movable_options {
    const char *name;    /* for messages and reports; must outlive the heap; NULL: "movable" */
    tarn_heap *upstream; /* NULL: tarn_pages_heap(); not used when `memory` is given */
    /* When start is not NULL: the heap lives here and takes nothing from anywhere else. */
    tarn_memory memory;
    size_t capacity; /* bytes taken from upstream at once; 0: grows and shrinks as needed */
    bool threads;    /* any thread may call; needs `memory` or `capacity` */
    bool keep_pages; /* free pages inside are not given back to the kernel, only whole chunks */
    /* Called before a purgeable block is purged; NULL: always yes. True lets it go. `block` may be
     * read, for instance to be saved elsewhere. It must not call back into the heap. */
    bool (*on_purge)(void *context, tarn_handle handle, void *block, size_t size);
    void *context;
} tarn_movable_options;

/* A movable heap, as one process sees it. It lives in the caller's storage and must not be copied or
 * moved while in use. All fields are private. */
typedef struct tarn_movable {
    unsigned char *base;       /* of the heap's memory */
    uintptr_t entries;         /* where the entry of a handle with a low half of 0 would be */
    tarn_movable_entry *table; /* the end of the table: entries are below, the first one last */
    void *chunk;               /* as it came from upstream or the caller */
    size_t held;               /* bytes of it */
    size_t alignment;          /* of the chunk that upstream gave, bytes */
    bool is_large;             /* more than 4 GiB: places of entries are granules */
    uint32_t record;           /* its number where the program is recorded, else 0 */
    tarn_movable_options options;
} tarn_movable;

/* Makes an empty heap. NULL options are the zero ones. On failure nothing is held: TARN_NO_MEMORY;
 * TARN_NO_ROOM if memory or capacity is below what the books need (under 4 KiB); TARN_TOO_LARGE
 * above 32 GiB; TARN_BAD_ARGUMENT for `threads` without a fixed place. */
TARN_API tarn_status tarn_movable_init(tarn_movable *heap, const tarn_movable_options *options);

/* Opens the heap that another tarn_movable, perhaps of another process, has made in
 * options->memory: the same bytes, mapped anywhere at the same offset within a page. Whether it is
 * for threads has been said by who made it, and `on_purge` is called in the process that purges.
 * TARN_BAD_DATA if there is no heap that this library understands. Linear in the blocks: the books
 * are checked first. */
TARN_API tarn_status tarn_movable_attach(tarn_movable *heap, const tarn_movable_options *options);

/* Closes what tarn_movable_attach opened; the heap goes on in its memory. */
TARN_API void tarn_movable_detach(tarn_movable *heap);

/* Ends the heap, blocks and all, and gives its memory back. */
TARN_API void tarn_movable_deinit(tarn_movable *heap);

/* ------------------------------------------------------------------------------------------------
 * Blocks
 */

/* Returns the handle of a new block of `size` bytes with undefined contents at a multiple of
 * `alignment` (0: that of max_align_t), which it keeps wherever it moves; or 0, with nothing
 * changed: no memory, a size above the limit, an alignment that is no power of two or larger than
 * 4096 (in memory of the caller's: than what the memory starts at a multiple of). A size of 0 is
 * served as 1. */
TARN_API tarn_handle tarn_movable_alloc(tarn_movable *heap, size_t size, size_t alignment);

/* Frees the block, or the handle of a purged one. Ignores 0. */
TARN_API void tarn_movable_free(tarn_movable *heap, tarn_handle handle);

/* Makes the block new_size bytes (0: 1), contents kept up to the smaller size; the handle stays.
 * False with nothing changed if there is no memory, or if the block is pinned and there is no room
 * behind it, or if it is purged or being moved. */
TARN_API bool tarn_movable_resize(tarn_movable *heap, tarn_handle handle, size_t new_size);

/* What a handle stands for. */
typedef enum tarn_movable_look {
    TARN_MOVABLE_STALE = 0, /* freed, or no handle of this heap */
    TARN_MOVABLE_LIVE,      /* a block */
    TARN_MOVABLE_PURGED     /* its block was purged; the handle is to be freed */
} tarn_movable_look;

/* Looks; never fatal. Constant time. */
TARN_API tarn_movable_look tarn_movable_look_at(const tarn_movable *heap, tarn_handle handle);

/* The block's address, as of tarn_deref, or NULL if the handle is stale or purged. In all builds. */
TARN_API void *tarn_movable_find(const tarn_movable *heap, tarn_handle handle);

/* Bytes as asked for; 0 for a purged block. A stale handle is fatal. */
TARN_API size_t tarn_movable_size(const tarn_movable *heap, tarn_handle handle);

/* Fatal unless `size` bytes from `offset` are inside the live block. */
TARN_API void tarn_movable_check_access(const tarn_movable *heap, tarn_handle handle, size_t offset,
                                        size_t size);

/* Where the block is now: one load of its entry. The handle must be live; builds without NDEBUG
 * check that. */
static inline void *tarn_deref(const tarn_movable *heap, tarn_handle handle)
{
#ifndef NDEBUG
    tarn_movable_check_access(heap, handle, 0, 0);
#endif
    const tarn_movable_entry *entry =
        (const tarn_movable_entry *)(heap->entries + (uintptr_t)(uint32_t)handle);
    size_t place = __atomic_load_n(&entry->place, __ATOMIC_RELAXED);
    /* A heap is large or not for long, so the jump is foreseen, while scaling would always take time. */
    if (__builtin_expect(heap->is_large, 0)) {
        place *= TARN_MOVABLE_GRANULE;
    }
    return heap->base + place;
}

/* The address of `size` bytes at `offset` into the block. Builds without NDEBUG check them against
 * the block's limit. */
static inline void *tarn_movable_at(const tarn_movable *heap, tarn_handle handle, size_t offset,
                                    size_t size)
{
#ifndef NDEBUG
    tarn_movable_check_access(heap, handle, offset, size);
#endif
    (void)size;
    return (unsigned char *)tarn_deref(heap, handle) + offset;
}

/* One handle that is kept with the heap, also in its image: the way to all others. 0 at first. */
TARN_API void tarn_movable_set_root(tarn_movable *heap, tarn_handle handle);
TARN_API tarn_handle tarn_movable_root(const tarn_movable *heap);

/* ------------------------------------------------------------------------------------------------
 * Pins
 */

/* The block's address, which stays until as many unpins have followed; NULL if it was purged.
 * Lock-free; waits only while another thread is moving this very block. At most 1023 pins of a block
 * at once. A stale handle is fatal. */
TARN_API void *tarn_pin(tarn_movable *heap, tarn_handle handle);
TARN_API void tarn_unpin(tarn_movable *heap, tarn_handle handle);

/* A pin that ends with its scope, for compilers with __attribute__((cleanup)):
 *
 *     TARN_PINNED(text, &heap, handle);
 *     puts(text.block);
 */
typedef struct tarn_pinned {
    tarn_movable *heap;
    tarn_handle handle;
    void *block; /* NULL if it was purged */
} tarn_pinned;

static inline tarn_pinned tarn_pinned_begin(tarn_movable *heap, tarn_handle handle)
{
    tarn_pinned pinned;
    pinned.heap = heap;
    pinned.handle = handle;
    pinned.block = tarn_pin(heap, handle);
    return pinned;
}

static inline void tarn_pinned_end(tarn_pinned *pinned)
{
    if (pinned->block != NULL) {
        tarn_unpin(pinned->heap, pinned->handle);
        pinned->block = NULL;
    }
}

#define TARN_PINNED(variable, heap, handle)                                                        \
    __attribute__((cleanup(tarn_pinned_end))) tarn_pinned variable =                               \
        tarn_pinned_begin((heap), (handle))

/* ------------------------------------------------------------------------------------------------
 * Purging
 */

/* Says whether the block may be purged when memory is short. False if it is purged already. */
TARN_API bool tarn_movable_set_purgeable(tarn_movable *heap, tarn_handle handle, bool purgeable);

/* Purges purgeable blocks that are not pinned until `size` bytes of them are free, those first that
 * have not been pinned for long. Returns the bytes freed. */
TARN_API size_t tarn_movable_purge(tarn_movable *heap, size_t size);

/* ------------------------------------------------------------------------------------------------
 * Compaction
 */

/* What a pass may cost; 0 is no limit, and no limit in both is a full compaction. */
typedef struct tarn_movable_budget {
    size_t bytes;          /* of blocks to be moved, at most */
    uint64_t microseconds; /* from the call to its return, about */
} tarn_movable_budget;

typedef struct tarn_movable_report {
    size_t bytes_moved;
    size_t bytes_given_back; /* to upstream, and of free pages to the kernel */
    uint64_t blocks_moved;   /* a count */
    uint64_t blocks_vetoed;  /* moves that the caller did not want, a count */
    uint64_t microseconds;   /* of the pass; in a history, of the longest one */
    bool is_finished;        /* another pass of this budget would find nothing to do */
} tarn_movable_report;

/* Moves blocks together and gives back the memory that this frees.
 *
 * A full compaction slides every block that is not pinned to the low end, in the order of
 * addresses: one walk over the heap. One with a budget works until the budget is spent and goes on
 * in the next call: first blocks leave the emptiest stretches of pages for holes in fuller ones, so
 * that pages become free soon; then blocks slide as above. Under a budget in microseconds a block
 * too large to be moved within it stays where it is.
 *
 * `report` may be NULL. TARN_BAD_ARGUMENT while a pass of the other form is open. */
TARN_API tarn_status tarn_movable_compact(tarn_movable *heap, const tarn_movable_budget *budget,
                                          tarn_movable_report *report);

/* The other form, for who has pointers of his own into the blocks and can correct them:
 *
 *     tarn_movable_pass pass;
 *     tarn_movable_move moves[64];
 *     tarn_movable_begin(&heap, &pass, &budget);
 *     while ((count = tarn_movable_next_moves(&pass, moves, 64)) > 0) {
 *         for (size_t i = 0; i < count; i++) {
 *             copy moves[i].size bytes from moves[i].from to moves[i].to and correct the pointers,
 *             or say moves[i].veto = true
 *         }
 *     }
 *     tarn_movable_commit(&pass, &report);
 */
typedef struct tarn_movable_move {
    void *from;
    void *to; /* never overlaps the `from` of any move */
    size_t size;
    tarn_handle handle;
    bool veto; /* for the caller to set: the block stays */
} tarn_movable_move;

/* Private. */
typedef struct tarn_movable_pass {
    tarn_movable *heap;
    tarn_movable_move *moves; /* the batch that the caller works on */
    size_t count;
    uint32_t resume; /* place in the tract that is being planned */
    tarn_movable_budget budget;
    uint64_t begun; /* microseconds of the clock */
    tarn_movable_report report;
} tarn_movable_pass;

/* Opens a pass, one at a time: TARN_BAD_ARGUMENT if there is one. Meanwhile blocks may be
 * allocated, freed and pinned, except that those of the batch may be neither freed nor resized, and
 * a thread that pins one waits for the end of the batch. */
TARN_API tarn_status tarn_movable_begin(tarn_movable *heap, tarn_movable_pass *pass,
                                        const tarn_movable_budget *budget);

/* Settles the moves of the batch before and plans the next one, of at most `capacity` moves, into
 * `moves`, which stays the caller's and has to last until the next call. 0 when there is nothing
 * left to move or the budget is spent. */
TARN_API size_t tarn_movable_next_moves(tarn_movable_pass *pass, tarn_movable_move *moves,
                                        size_t capacity);

/* Settles the last batch and ends the pass. */
TARN_API void tarn_movable_commit(tarn_movable_pass *pass, tarn_movable_report *report);

/* Ends the pass; the moves of the last batch do not take place. */
TARN_API void tarn_movable_abort(tarn_movable_pass *pass, tarn_movable_report *report);

/* The sum of all passes since the heap was made or loaded. */
TARN_API tarn_movable_report tarn_movable_history(const tarn_movable *heap);

/* The hint that defragmenting programs need, for a block of any pool: would freeing it and allocating
 * it again help to free pages? See tarn_heap_should_move. */
static inline bool tarn_movable_should_move(tarn_heap *pool, void *block, size_t size)
{
    return tarn_heap_should_move(pool, block, size);
}

/* ------------------------------------------------------------------------------------------------
 * Images
 *
 * An image is the heap in a file: blocks, handles, root and purgeable marks, not pins. Free memory is
 * written as zeros. It carries checksums over everything. Loaded on a machine of the same byte order
 * and word size, every handle means what it meant. `fault` (may be NULL when fault_size is 0) gets
 * one line that says what went wrong and where.
 */

/* Writes the image to a new file and then puts that in the place of `path`, so that whoever opens
 * the path gets an old image or a new one, even after a crash. Blocks of a pass that is open are
 * saved where they were. TARN_IO_FAILED if the system refuses; then what was at the path is still
 * there. */
TARN_API tarn_status tarn_movable_save(tarn_movable *heap, const char *path, char *fault,
                                       size_t fault_size);

/* The same to a descriptor, from where it stands. */
TARN_API tarn_status tarn_movable_save_to(tarn_movable *heap, int descriptor, char *fault,
                                          size_t fault_size);

/* As tarn_movable_init, with the blocks of an image. TARN_BAD_DATA if it is no image, is of another
 * version or kind of machine, was cut off or altered; TARN_IO_FAILED if it cannot be read; and what
 * tarn_movable_init says, TARN_NO_ROOM if the image does not fit. On failure nothing is held, and
 * options->memory has undefined contents. */
TARN_API tarn_status tarn_movable_load(tarn_movable *heap, const tarn_movable_options *options,
                                       const char *path, char *fault, size_t fault_size);

/* The same from a descriptor, from where it stands to the end of the image. */
TARN_API tarn_status tarn_movable_load_from(tarn_movable *heap, const tarn_movable_options *options,
                                            int descriptor, char *fault, size_t fault_size);

/* ------------------------------------------------------------------------------------------------
 * Books
 */

/* As tarn_heap_stats. The footprint is what is held from upstream, or of a heap in a fixed place
 * the pages in use, less the free pages inside that went back to the kernel. */
TARN_API tarn_stats tarn_movable_stats(const tarn_movable *heap);

/* As tarn_heap_check. Linear in the blocks. */
TARN_API bool tarn_movable_check(const tarn_movable *heap, char *fault, size_t fault_size);

/* Called once for a live block, in the order of addresses; returns false to end the visit. The heap
 * must not be changed from inside. */
typedef bool tarn_movable_visitor(void *context, tarn_handle handle, void *block, size_t size);

TARN_API void tarn_movable_visit(const tarn_movable *heap, tarn_movable_visitor *visitor,
                                 void *context);

/* Gives back what can be without moving a block; returns the bytes. */
TARN_API size_t tarn_movable_trim(tarn_movable *heap);

/* Frees every block and makes every handle stale. TARN_BAD_ARGUMENT, with nothing changed, while a
 * block is pinned or a pass is open. */
TARN_API tarn_status tarn_movable_reset(tarn_movable *heap);

#ifdef __cplusplus
}
#endif

#endif
