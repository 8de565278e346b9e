/* SPDX-License-Identifier: MIT */
#ifndef TARN_POOL_ARENA_H
#define TARN_POOL_ARENA_H

/*
 * What the files of the arena share.
 *
 *     arena.c          set up and end, reset, marks, cleanups
 *     arena_blocks.c   alloc, resize, free; the arena as a heap
 *     arena_chunks.c   chunks and what is held from upstream
 *     arena_records.c  large blocks, and every block of a closed arena
 *     arena_text.c     strings and bytes
 *     arena_tree.c     parents, children, the listing
 *     arena_check.c    stats and check
 *
 * An arena is *open* when blocks are cut inline and nothing is known about them. It is *closed*
 * when each block has to be seen: then the inline functions find no room for ever, and the true
 * place is `closed_place`.
 */

#include "base/bits.h"
#include "base/check.h"
#include "heap/ledger.h"
#include "tarn/arena.h"

#define POOL_ARENA_GRAIN ((size_t)8)  /* blocks are multiples of it */
#define POOL_ARENA_ALIGN ((size_t)16) /* of chunks: what a size alone may ask for */
#define POOL_ARENA_GAP ((size_t)16)   /* hidden bytes behind a block that is watched */
#define POOL_ARENA_LIVE 0x6172656eU   /* `state` */

_Static_assert(_Alignof(max_align_t) <= POOL_ARENA_ALIGN, "chunks are aligned for every type");
_Static_assert(offsetof(tarn_arena, heap) == 0, "a heap of an arena is the arena");

/* At the end of the chunk that it describes, so that a full chunk of upstream's serves blocks from
 * its start. */
struct tarn_arena_chunk {
    struct tarn_arena_chunk *next;
    unsigned char *start; /* as it came from upstream, or the buffer's */
    size_t size;          /* bytes, this included */
    size_t before;        /* bytes of room in all chunks before this one */
    uint64_t code;        /* proves the above */
};

/* Among the blocks. */
struct tarn_arena_cleanup {
    struct tarn_arena_cleanup *older;
    struct tarn_arena_cleanup *newer; /* of a vacant one: the next vacant one */
    void (*function)(void *context);
    void *context;
    uint64_t serial; /* 0: vacant */
    uint64_t code;   /* proves the above */
};

/* How an arena is asked for a block. */
enum {
    POOL_ARENA_NAMED = 1,  /* by its own functions: Valgrind may know it */
    POOL_ARENA_ZEROED = 2, /* zero it */
};

static inline size_t pool_arena_served(size_t size)
{
    return size == 0 ? 1 : size;
}

/* Where the next block is really cut. */
static inline tarn_arena_place *pool_arena_place(tarn_arena *arena)
{
    return arena->is_closed ? &arena->closed_place : &arena->place;
}

static inline const tarn_arena_place *pool_arena_const_place(const tarn_arena *arena)
{
    return arena->is_closed ? &arena->closed_place : &arena->place;
}

/* Bytes that a block takes of a chunk, beside what its alignment skips. */
static inline size_t pool_arena_taken(const tarn_arena *arena, size_t size)
{
    return base_align_up(size, POOL_ARENA_GRAIN) + arena->gap;
}

/* Figures that other threads may read meanwhile. */
#define POOL_ARENA_PUBLISH(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define POOL_ARENA_READ(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* What an overrun, or who forges a cleanup, does not know. Set before the first arena is made. */
extern uint64_t pool_arena_secret;

/* A number that says that these four words at this place were written by this library in this
 * process. */
static inline uint64_t pool_arena_code(const void *place, uint64_t a, uint64_t b, uint64_t c,
                                       uint64_t d)
{
    /* Odd numbers without a pattern, one for each word, so that no two words can be exchanged. */
    const uint64_t sum =
        (__atomic_load_n(&pool_arena_secret, __ATOMIC_RELAXED) ^ (uintptr_t)place) *
            UINT64_C(0x9E3779B97F4A7C15) +
        a * UINT64_C(0xBF58476D1CE4E5B9) + b * UINT64_C(0x94D049BB133111EB) +
        c * UINT64_C(0xD6E8FEB86659FD93) + d * UINT64_C(0xA0761D6478BD642F);
    return (sum ^ (sum >> 32)) * UINT64_C(0xE7037ED1A0B428DB);
}

/* ------------------------------------------------------------------------------------------------
 * arena.c
 */

/* Where an arena without room cuts blocks: nowhere. */
extern unsigned char pool_arena_nowhere[];

/* Fatal if the arena was never made or has ended. */
static inline void pool_arena_expect_live(const tarn_arena *arena)
{
    TARN_CHECK(arena->state == POOL_ARENA_LIVE, "use of an arena that has ended", NULL, arena);
}

bool pool_arena_cleanup_is_good(const tarn_arena_cleanup *cleanup);

/* ------------------------------------------------------------------------------------------------
 * arena_chunks.c
 */

/* The first byte for blocks, and the room for them. */
static inline unsigned char *pool_arena_chunk_blocks(const struct tarn_arena_chunk *chunk)
{
    return base_align_pointer(chunk->start, POOL_ARENA_ALIGN);
}

static inline size_t pool_arena_chunk_room(const struct tarn_arena_chunk *chunk)
{
    return (size_t)((const unsigned char *)chunk - pool_arena_chunk_blocks(chunk));
}

bool pool_arena_chunk_is_good(const struct tarn_arena_chunk *chunk);

/* Counts `size` bytes as held from upstream, unless a limit of the arena or one above it would be
 * passed; or no longer. */
bool pool_arena_hold(tarn_arena *arena, size_t size);
void pool_arena_unhold(tarn_arena *arena, size_t size);

/* The parent, if what the arena holds counts for it too. */
tarn_arena *pool_arena_above(const tarn_arena *arena);

/* Makes the buffer the first chunk. False if it is too small. */
bool pool_arena_use_buffer(tarn_arena *arena, size_t lead);

/* Takes the first chunk, with room for `lead` bytes of the arena itself. False: no memory. */
bool pool_arena_take_first(tarn_arena *arena, size_t lead);

/* Cuts a block from the current chunk, or from one that comes after it. The alignment is at least
 * the grain. NULL: no memory. */
void *pool_arena_cut(tarn_arena *arena, size_t size, size_t alignment);
void *pool_arena_take(tarn_arena *arena, size_t size, size_t alignment);

/* Bytes of chunks before the place where the next block is cut. */
static inline size_t pool_arena_position(const tarn_arena *arena)
{
    return arena->chunk == NULL
               ? 0
               : arena->chunk->before + (size_t)(pool_arena_const_place(arena)->at -
                                                 pool_arena_chunk_blocks(arena->chunk));
}

static inline size_t pool_arena_used(const tarn_arena *arena)
{
    return pool_arena_position(arena) - (arena->chunk != NULL ? arena->lead : 0) +
           arena->large_bytes;
}

static inline void pool_arena_note_peak(tarn_arena *arena)
{
    const size_t used = pool_arena_used(arena);
    if (used > arena->peak_used) {
        arena->peak_used = used;
    }
}

/* Everything from `at` in `chunk` (NULL: from the start) to the place now is free; chunks that are
 * not likely to be needed go back upstream. */
void pool_arena_rewind(tarn_arena *arena, struct tarn_arena_chunk *chunk, unsigned char *at,
                       bool is_reset);

/* The bytes are free, and are cleared, poisoned or hidden as the arena wants it. */
void pool_arena_wipe(const tarn_arena *arena, unsigned char *from, const unsigned char *to);

/* Gives the chunks from `chunk` on back upstream, which come after `previous` (NULL: none).
 * Returns the bytes. */
size_t pool_arena_drop_chunks(tarn_arena *arena, struct tarn_arena_chunk *previous);

/* The chunk, of those in use, that the address is in the room of; or NULL. */
struct tarn_arena_chunk *pool_arena_chunk_of(const tarn_arena *arena, const void *address);

/* Tells other threads what is in use, and keeps the peak. */
void pool_arena_publish(tarn_arena *arena);

/* ------------------------------------------------------------------------------------------------
 * arena_records.c
 */
typedef enum pool_arena_kind {
    POOL_ARENA_CHUNK, /* cut from a chunk */
    POOL_ARENA_LARGE, /* a block of upstream's */
    POOL_ARENA_SYSTEM /* a block of the system heap's */
} pool_arena_kind;

typedef struct pool_arena_record {
    heap_ledger_entry entry;
    uint64_t serial;
    uint32_t older; /* number plus one; 0: none */
    uint32_t newer;
    uint8_t kind;
    uint8_t alignment_log2;
    bool is_named; /* Valgrind knows the block */
    bool is_free;  /* by a free that could not give it back */
} pool_arena_record;

/* The record of the block, or NULL. */
pool_arena_record *pool_arena_record_of(const tarn_arena *arena, const void *block);

/* The record that the links call `link`. */
pool_arena_record *pool_arena_record_at(const tarn_arena *arena, uint32_t link);

/* A large block. NULL: no memory. */
void *pool_arena_take_large(tarn_arena *arena, size_t size, size_t alignment, bool zeroed);
void pool_arena_free_large(tarn_arena *arena, pool_arena_record *record);

/* The same for a block of a closed arena, of any size. */
void *pool_arena_take_recorded(tarn_arena *arena, size_t size, size_t alignment, unsigned how);
void pool_arena_free_recorded(tarn_arena *arena, void *block, size_t size);
bool pool_arena_resize_recorded(tarn_arena *arena, void *block, size_t old_size, size_t new_size);

/* Resizes a large block in place. */
bool pool_arena_resize_large(tarn_arena *arena, pool_arena_record *record, size_t new_size);

/* Moves a large block, or one of the system heap, without copying where they can. NULL with
 * nothing changed. */
void *pool_arena_move(tarn_arena *arena, pool_arena_record *record, size_t new_size,
                      size_t alignment);

/* Frees every block with a record newer than `serial`. */
void pool_arena_free_records(tarn_arena *arena, uint64_t serial);

/* Gives the memory of the records back; there are none. Returns the bytes that were upstream's. */
size_t pool_arena_end_records(tarn_arena *arena);

/* ------------------------------------------------------------------------------------------------
 * arena_blocks.c
 */
extern const tarn_heap_ops pool_arena_ops;
extern const tarn_heap_ops pool_arena_closed_ops;

void *pool_arena_alloc(tarn_arena *arena, size_t size, size_t alignment, unsigned how);

/* ------------------------------------------------------------------------------------------------
 * arena_tree.c
 */

/* Puts the arena into the tree, or into the listing. */
void pool_arena_attach(tarn_arena *arena);

/* Takes it out. */
void pool_arena_detach(tarn_arena *arena);

/* Detaches the youngest child that came after `serial` and returns it; NULL: none. */
tarn_arena *pool_arena_detach_youngest(tarn_arena *arena, uint64_t serial);

void pool_arena_lock_tree(const tarn_arena *arena);
void pool_arena_unlock_tree(const tarn_arena *arena);

#endif
