/* SPDX-License-Identifier: MIT */
#ifndef TARN_ARENA_H
#define TARN_ARENA_H

#include "tarn/base.h"
#include "tarn/heap.h"
#include "tarn/heaps.h"

#include <stdarg.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Arenas: blocks of any size that end together.
 *
 * A block is cut from a chunk by moving a pointer. Nothing is written down about it, and it is not
 * freed: the arena is reset, or released to a mark, and everything goes at once.
 *
 *     chunk  [ block | block | block |    free     ]
 *                                    ^ at          ^ end
 *
 *     tarn_arena arena;
 *     tarn_arena_init(&arena, NULL);
 *     for each request:
 *         char *path = tarn_arena_strdup(&arena, text);
 *         struct header *header = TARN_ARENA_NEW(&arena, struct header);
 *         ...
 *         tarn_arena_reset(&arena);
 *     tarn_arena_deinit(&arena);
 *
 * Memory. The first chunk is taken with the first block; each further one is twice as large, up to
 * a maximum. A request that does not fit into the rest of a chunk and is larger than a quarter of
 * that maximum is *large*: a block of upstream's of its own, which is given back when it is freed.
 * Only large blocks and the newest block are really given back by a free; any other waits for the
 * reset. Blocks are rounded up to 8 bytes; that and the unused ends of chunks are the only
 * overhead.
 *
 * Reset keeps the chunks that the next cycle will need, so that in a steady state it calls neither
 * upstream nor the kernel, and no page is touched for the first time. The rule: the need of a cycle
 * counts in full at once, and a sixteenth of the difference less with each cycle that needs less; a
 * quarter more than that is kept. Releases count by what they free, so that many small scopes are
 * not many cycles. What a cycle needs more than any before it, beyond chunk_size_max, is kept only
 * when a second cycle needs it, too. So a single burst is given back by the reset that ends it, and
 * what was kept for several decays. tarn_arena_trim() gives all of it back.
 *
 * Trees. An arena may have a parent: it ends, with all below it, when the parent is reset, released
 * to an older mark, or ended. Children and cleanups of a parent end in the reverse of the order in
 * which they came.
 *
 * Alignment. A function that takes only a size aligns for every C type whose sizeof that is: to 16
 * if the size is a multiple of 16, else to 8. An alignment of 0 means that of max_align_t.
 *
 * Sizes and failure. A size of 0 is served as 1. NULL if there is no memory, if the limit would be
 * passed, or if the size, or a product on the way to it, passes PTRDIFF_MAX; then nothing has
 * changed.
 *
 * Cost. An alloc is inline: 16 instructions, 6 to 9 where the size is a constant; a chunk's end
 * costs a function call, or upstream's cost of a chunk and a step for each arena above. Everything
 * else says what it costs.
 *
 * Misuse. In every build these are found, and fatal (see tarn/base.h): a mark of another arena,
 * from before a reset, or from before one of the last four releases to an older mark; a cleanup or
 * the end of a chunk that was overwritten; a large block freed twice; the use of an arena that has
 * ended; a reset from inside a cleanup. With `checks` also every double free, every pointer that is
 * no block, and wrong sizes.
 *
 * Tools. Under Valgrind or AddressSanitizer an arena has `checks`, keeps 16 bytes behind each block
 * that nobody may touch, and hides what was freed until it is handed out again: a use after a reset
 * and a write past a block are reported. Valgrind knows the blocks by name where they were asked
 * for by the functions of this header, not where a heap asked for a chunk. When tarn_pooling() is
 * false, each block is one of the system heap's, and the room of a buffer is no bound.
 *
 * Threads. One thread at a time uses an arena. A child may be used, and ended, by another thread
 * than its parent is used by, even at the same time; but making a child is a use of the parent, and
 * whatever ends children (reset, release, deinit, destroy of the parent) has to wait until nobody
 * uses them. Upstream is then called by both threads: the pages, system and malloc heaps are made
 * for that. The listing of all arenas may be asked for by any thread at any time.
 *
 * Sources: Hanson, "Fast Allocation and Deallocation of Memory Based on Object Lifetimes",
 * Software: Practice and Experience 20 (1990); Ross, "The AED Free Storage Package", CACM 10
 * (1967), for zones in zones; nginx's and the Apache runtime's pools for cleanups and children,
 * PostgreSQL's memory contexts for names and the listing.
 */

/* ------------------------------------------------------------------------------------------------
 * Set up and end
 */
typedef struct tarn_arena tarn_arena;

/* Called when upstream has no memory, or the limit has no room, for a request of `size` bytes. It
 * may free what it can do without (not reset this arena), and may leave by longjmp or an exception.
 * True: the request is tried again; false: it is refused. No lock is held. */
typedef bool tarn_arena_handler(void *context, size_t size);

typedef struct tarn_arena_options {
    const char *name;    /* for messages and reports; must outlive the arena; NULL: "arena" */
    tarn_arena *parent;  /* with which it ends; NULL: none */
    tarn_heap *upstream; /* must outlive the arena; NULL: the parent's, or else tarn_pages_heap() */
    /* Memory of the caller's, for instance on the stack: used before any chunk, and kept by every
     * reset. It must outlive the arena. A few bytes at its ends are for books and alignment. */
    tarn_memory buffer;
    size_t chunk_size;     /* bytes of the first chunk, books included; 0: 16 KiB */
    size_t chunk_size_max; /* bytes that they double to; 0: 1 MiB, or chunk_size if that is more */
    /* Bytes from upstream that are never passed by this arena and all below it together; 0: none.
     * The buffer does not count, nor what a child takes from the parent itself. */
    size_t limit;
    tarn_arena_handler *on_no_memory; /* NULL: the parent's, or else requests are refused at once */
    void *context;                    /* for on_no_memory */
    bool fixed;                       /* takes no chunks: the buffer is all there is */
    bool zero;     /* every block is zero when it is new; what was used is cleared by the reset */
    bool poison;   /* bytes that a free, release or reset gave back are filled with 0xdd */
    bool checks;   /* misuse of blocks is found, stats are exact, visit works; no call is inline */
    bool unlisted; /* an arena without a parent is not in the listing of all; saves two locks */
} tarn_arena_options;

/* What blocks are cut from. Private. */
typedef struct tarn_arena_place {
    unsigned char *at;  /* the next block, aligned to 8 */
    unsigned char *end; /* of the chunk's room, aligned to 16 */
} tarn_arena_place;

/* An arena. It lives in the caller's storage or its own, and must not be copied or moved while in
 * use. All fields but `heap` are private. */
struct tarn_arena {
    tarn_heap heap;
    tarn_arena_place place; /* in the current chunk; empty for ever if the arena is closed */
    struct tarn_arena_chunk *chunk; /* the current one; those after it are spare */
    unsigned char *floor;  /* blocks of the current chunk before it are older than a mark */
    uint64_t serial;       /* of the newest mark, cleanup, child or record; never goes back */
    uint64_t reset_serial; /* marks up to it are stale */
    struct tarn_arena_stale {
        uint64_t after;
        uint64_t until;
    } stale[4]; /* and those after one up to the other: what releases ended, the newest last */
    struct tarn_arena_cleanup *cleanups; /* the newest */
    struct tarn_arena_cleanup *vacant;   /* room of cleanups that were cancelled */
    uint32_t newest;                     /* record, its number plus one; 0: none */
    uint32_t state;                      /* proves that it was made and has not ended */
    uint32_t stale_count;                /* of `stale` */
    tarn_arena_place closed_place;       /* the true one if the arena is closed */
    struct tarn_arena_chunk *first;
    struct tarn_arena_chunk *last;
    size_t need;           /* bytes of chunks that a cycle needs, by experience */
    size_t cycle_peak;     /* bytes that this cycle has needed, as far as releases saw it */
    size_t released;       /* bytes, since the need last fell */
    size_t lead;           /* bytes of the first chunk that the arena itself lives in */
    size_t large_min;      /* requests of more bytes are large */
    size_t chunk_size;     /* bytes of the next chunk */
    size_t chunk_size_min; /* bytes of the first one */
    size_t chunk_size_max;
    size_t gap; /* hidden bytes behind each block */
    tarn_heap *upstream;
    tarn_memory buffer;
    tarn_arena_handler *on_no_memory;
    void *context;
    bool is_created;   /* it lives in its own first chunk */
    bool is_closed;    /* every call is a function's, and every block has a record */
    bool is_watched;   /* by Valgrind or AddressSanitizer */
    uint32_t record;   /* its number where the program is recorded, else 0 */
    bool is_unpooled;  /* blocks are the system heap's */
    bool is_unwinding; /* cleanups are run and children ended */
    bool is_listed;    /* in the listing while it has no parent */
    bool fixed;
    bool zero;
    bool poison;
    bool wipes;              /* bytes that go back are cleared, poisoned or hidden */
    uint32_t lock;           /* of a root: guards the links and tree_held of its whole tree */
    struct tarn_arena *root; /* of the tree; itself if there is no parent */
    struct tarn_arena *parent;
    struct tarn_arena *youngest; /* child */
    struct tarn_arena *eldest;   /* child */
    struct tarn_arena *older;    /* child of the same parent, or root in the listing */
    struct tarn_arena *younger;
    uint64_t order;   /* the parent's serial when it came */
    size_t limit;     /* bytes */
    size_t tree_held; /* bytes that count for the limit */
    /* Written by whoever uses the arena, read by any thread that lists it. */
    size_t held;        /* bytes from upstream */
    size_t used_then;   /* bytes in use when a chunk or a large block last came or went */
    size_t chunk_count; /* the buffer is one */
    size_t large_count;
    /* The books. */
    size_t large_bytes; /* of large blocks */
    size_t peak_used;   /* bytes */
    size_t peak_held;   /* bytes */
    uint64_t failures;
    tarn_stats books;   /* of the blocks, if the arena is closed */
    tarn_ledger ledger; /* records of the large blocks; of all blocks if the arena is closed */
};

/* Makes an empty arena, which takes nothing from upstream yet. NULL options are the zero ones. On
 * failure nothing is held: TARN_NO_ROOM if a buffer is given that is too small for any block, or
 * none to a `fixed` arena. Constant time. */
TARN_API tarn_status tarn_arena_init(tarn_arena *arena, const tarn_arena_options *options);

/* Ends the arena: runs its cleanups, ends its children, gives all memory back. Harmless for an
 * arena that has ended already, by itself or with its parent, and for one that is all zero. Linear
 * in the chunks, large blocks, cleanups and children. */
TARN_API void tarn_arena_deinit(tarn_arena *arena);

/* The same in memory of the arena's own: the start of its buffer or of its first chunk, which it
 * takes at once. NULL: no memory, or what tarn_arena_init() fails for. */
TARN_API tarn_arena *tarn_arena_create(const tarn_arena_options *options);

/* Ends an arena that tarn_arena_create() made; ignores NULL. One that has ended with its parent is
 * gone and must not be destroyed again. */
TARN_API void tarn_arena_destroy(tarn_arena *arena);

/* ------------------------------------------------------------------------------------------------
 * Blocks
 */

/* What the inline functions leave over. Private. */
TARN_API void *tarn_arena_alloc_more(tarn_arena *arena, size_t size);
TARN_API void *tarn_arena_alloc_aligned_more(tarn_arena *arena, size_t size, size_t alignment);
TARN_API void *tarn_arena_alloc_zeroed_more(tarn_arena *arena, size_t size);

/* True if a block of `size` bytes may end at `next`, which is where it starts and `size`, rounded
 * up; `room` is what is left from the start. Private. */
static inline bool tarn_arena_fits(size_t size, uintptr_t next, uintptr_t end, size_t room)
{
#if UINTPTR_MAX > UINT32_MAX
    /* Chunks lie in the lower half of all addresses, so that with a size up to PTRDIFF_MAX no sum
     * passes the top. */
    (void)room;
    return (ptrdiff_t)size > 0 && next <= end;
#else
    (void)next;
    (void)end;
    return size - 1 < room;
#endif
}

/* Returns a block of `size` bytes with undefined contents, or NULL. */
static inline void *tarn_arena_alloc(tarn_arena *arena, size_t size)
{
    unsigned char *block = arena->place.at;
    unsigned char *end = arena->place.end;
    /* The bit that has to be added is set in a place that is a multiple of 8 and not of 16, and the
     * shift leaves it where it is for multiples of 16 alone. */
    block += (uintptr_t)block & ((size_t)8 >> (size & 15));
    const size_t rounded = (size + 7) & ~(size_t)7;
    if (__builtin_expect(tarn_arena_fits(size, (uintptr_t)block + rounded, (uintptr_t)end,
                                         (size_t)(end - block)),
                         1)) {
        arena->place.at = block + rounded;
        if ((uintptr_t)block == 0) {
            __builtin_unreachable(); /* so callers' tests for NULL are not compiled into this way */
        }
        return block;
    }
    return tarn_arena_alloc_more(arena, size);
}

/* The same at a multiple of `alignment` (0: that of max_align_t); NULL also if it is no power of
 * two. An alignment below 8 is served as 8. */
static inline void *tarn_arena_alloc_aligned(tarn_arena *arena, size_t size, size_t alignment)
{
    if (__builtin_constant_p(alignment) && alignment == 0) {
        alignment = 16;
    }
    unsigned char *at = arena->place.at;
    const uintptr_t end = (uintptr_t)arena->place.end;
    const size_t rounded = (size + 7) & ~(size_t)7;
    const size_t low = alignment - 1; /* of an alignment of 0 it asks for more than there is */
    const size_t pad = ((size_t)0 - (uintptr_t)at) & low & ~(size_t)7;
    const size_t room = (size_t)(end - (uintptr_t)at);
    const bool is_near =
        UINTPTR_MAX > UINT32_MAX && __builtin_constant_p(alignment) && alignment <= 4096;
    const bool fits = is_near ? tarn_arena_fits(size, (uintptr_t)at + pad + rounded, end, room)
                              : pad <= room && size - 1 < room - pad;
    if (__builtin_expect((alignment & low) == 0 && fits, 1)) {
        arena->place.at = at + pad + rounded;
        return at + pad;
    }
    return tarn_arena_alloc_aligned_more(arena, size, alignment);
}

/* As tarn_arena_alloc, zeroed. Large blocks of the kernel's fresh pages are not touched. */
static inline void *tarn_arena_alloc_zeroed(tarn_arena *arena, size_t size)
{
    if (__builtin_constant_p(size) && size <= 256) {
        void *block = tarn_arena_alloc(arena, size);
        if (block != NULL) {
            memset(block, 0, size); /* a few stores */
        }
        return block;
    }
    return tarn_arena_alloc_zeroed_more(arena, size);
}

/* As tarn_arena_alloc, for `count` things of `size` bytes. */
static inline void *tarn_arena_alloc_array(tarn_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        total = SIZE_MAX;
    }
    return tarn_arena_alloc(arena, total);
}

/* The same, zeroed. */
static inline void *tarn_arena_alloc_array_zeroed(tarn_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        total = SIZE_MAX;
    }
    return tarn_arena_alloc_zeroed(arena, total);
}

#ifdef __cplusplus
#define TARN_ARENA_ALIGNOF(type) alignof(type)
#else
#define TARN_ARENA_ALIGNOF(type) _Alignof(type)
#endif

/* A `type *` to a new one, or to the first of `count`; undefined contents, aligned for the type, or
 * NULL. */
#define TARN_ARENA_NEW(arena, type)                                                                \
    ((type *)tarn_arena_alloc_aligned((arena), sizeof(type), TARN_ARENA_ALIGNOF(type)))
#define TARN_ARENA_NEW_ARRAY(arena, type, count)                                                   \
    ((type *)tarn_arena_alloc_array_aligned((arena), (count), sizeof(type),                        \
                                            TARN_ARENA_ALIGNOF(type)))

static inline void *tarn_arena_alloc_array_aligned(tarn_arena *arena, size_t count, size_t size,
                                                   size_t alignment)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        total = SIZE_MAX;
    }
    return tarn_arena_alloc_aligned(arena, total, alignment);
}

/* Makes `block` new_size bytes where it stands: true, or false with nothing changed. The newest
 * block grows into the rest of the chunk, and gives back what it loses, unless a mark came after
 * it; any other shrinks without giving anything back. A large block grows as upstream lets it, and
 * does not shrink to a size that is not large. `old_size` is what was asked for last. Constant
 * time, beside upstream's. */
TARN_API bool tarn_arena_resize(tarn_arena *arena, void *block, size_t old_size, size_t new_size);

/* Makes `block` new_size bytes, here or elsewhere, keeping its contents up to the smaller size.
 * Returns its address, or NULL with the old block as it was. A NULL block is allocated; a new_size
 * of 0 is served as 1. It stays where it is if tarn_arena_resize() can do it, and moves to a place
 * aligned for both sizes else, by upstream's realloc if it stays large, by a copy if not. For marks
 * a block that moved is a new one. */
TARN_API void *tarn_arena_realloc(tarn_arena *arena, void *block, size_t old_size, size_t new_size);

/* The same for a block at a multiple of `alignment`, which it keeps; it moves if it is at none. */
TARN_API void *tarn_arena_realloc_aligned(tarn_arena *arena, void *block, size_t old_size,
                                          size_t new_size, size_t alignment);

/* Gives `block` back; ignores NULL. `size` is what was asked for last. The newest block's room is
 * used again, and so is that of the one before it if it is freed next, and so on; a large block
 * goes back upstream; all else waits for the reset. Constant time, beside upstream's; but a block
 * of a large size that was cut from a chunk is looked for among the chunks. */
TARN_API void tarn_arena_free(tarn_arena *arena, void *block, size_t size);

/* Frees every block, runs the cleanups, ends the children. The chunks that the next cycle is likely
 * to need are kept, as above. Constant time beside the cleanups, children and large blocks, and the
 * chunks that are given back; with `zero`, `poison` or `checks` linear in what was used. */
TARN_API void tarn_arena_reset(tarn_arena *arena);

/* ------------------------------------------------------------------------------------------------
 * Marks: everything that came after one goes at once
 */
typedef struct tarn_arena_point {
    const tarn_arena *arena;
    struct tarn_arena_chunk *chunk;
    unsigned char *at;
    uint64_t serial;
} tarn_arena_point; /* its fields are private */

/* Where the arena stands. A mark is good until a reset, or a release to an older mark; it needs not
 * be released to. Constant time. */
TARN_API tarn_arena_point tarn_arena_mark(tarn_arena *arena);

/* Frees every block, runs every cleanup and ends every child that came after the mark, which stays
 * good. Chunks past it are given back upstream, except those that releases have needed lately, by
 * the rule of the reset. A child that takes its chunks from this arena itself must have taken none
 * since the mark, unless it ends with it. Constant time beside the cleanups, children and large
 * blocks, and the chunks in between. */
TARN_API void tarn_arena_release(tarn_arena *arena, tarn_arena_point mark);

/* A mark that is released to at the end of its scope, for compilers with
 * __attribute__((cleanup)):
 *
 *     TARN_ARENA_SCOPE(scratch, &arena);
 *     char *text = tarn_arena_printf(&arena, ...);
 */
typedef struct tarn_arena_scope {
    tarn_arena *arena;
    tarn_arena_point mark;
} tarn_arena_scope;

static inline tarn_arena_scope tarn_arena_scope_begin(tarn_arena *arena)
{
    tarn_arena_scope scope;
    scope.arena = arena;
    scope.mark = tarn_arena_mark(arena);
    return scope;
}

static inline void tarn_arena_scope_end(tarn_arena_scope *scope)
{
    tarn_arena_release(scope->arena, scope->mark);
}

#define TARN_ARENA_SCOPE(variable, arena)                                                          \
    __attribute__((cleanup(tarn_arena_scope_end))) tarn_arena_scope variable =                     \
        tarn_arena_scope_begin(arena)

/* ------------------------------------------------------------------------------------------------
 * Cleanups: what is to be done when the memory goes
 */

/* Private. */
typedef struct tarn_arena_cleanup tarn_arena_cleanup;

/* Has `function` called with `context` when the arena is reset, released to a mark from before this
 * call, or ended; the newest first, and before any memory goes. It may use the arena, register
 * cleanups and end other arenas, but not reset, release or end this one or those above it. Returns
 * the cleanup, good until then, or NULL if there is no memory. Constant time. */
TARN_API tarn_arena_cleanup *tarn_arena_on_reset(tarn_arena *arena, void (*function)(void *context),
                                                 void *context);

/* Forgets the cleanup without calling it; ignores NULL. Constant time. */
TARN_API void tarn_arena_cancel(tarn_arena *arena, tarn_arena_cleanup *cleanup);

/* Forgets the cleanup and calls it now; ignores NULL. */
TARN_API void tarn_arena_run(tarn_arena *arena, tarn_arena_cleanup *cleanup);

/* ------------------------------------------------------------------------------------------------
 * Text and bytes. Each returns a block of its own, or NULL.
 */

/* A copy of the string, of at most `size` bytes of it, of `size` bytes. strndup adds a NUL and
 * looks no further than the first. */
TARN_API char *tarn_arena_strdup(tarn_arena *arena, const char *text);
TARN_API char *tarn_arena_strndup(tarn_arena *arena, const char *text, size_t size);
TARN_API void *tarn_arena_memdup(tarn_arena *arena, const void *bytes, size_t size);

/* The strings of the list one after another; the list ends with (char *)NULL. */
TARN_API char *tarn_arena_strcat(tarn_arena *arena, const char *first, ...)
    __attribute__((sentinel));

/* Formats into the rest of the chunk if the text fits there, else measures it first. NULL also if
 * the format cannot be served. */
TARN_API char *tarn_arena_printf(tarn_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
TARN_API char *tarn_arena_vprintf(tarn_arena *arena, const char *format, va_list values)
    __attribute__((format(printf, 2, 0)));

/* `text`, which is the arena's and as long as its block (NULL: empty), with more text at its end:
 * in place if it is the newest block. Returns its address, or NULL with `text` as it was. */
TARN_API char *tarn_arena_printf_append(tarn_arena *arena, char *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
TARN_API char *tarn_arena_vprintf_append(tarn_arena *arena, char *text, const char *format,
                                         va_list values) __attribute__((format(printf, 3, 0)));

/* `block` of `size` bytes (NULL: 0) with `more_size` bytes added at its end: in place if it is the
 * newest. Returns its address, or NULL with `block` as it was. `more` must not be part of it. */
TARN_API void *tarn_arena_append(tarn_arena *arena, void *block, size_t size, const void *more,
                                 size_t more_size);

/* ------------------------------------------------------------------------------------------------
 * Trees
 */

/* NULL if it has none. */
TARN_API tarn_arena *tarn_arena_parent(const tarn_arena *arena);

/* Makes the arena, with all below it, the youngest child of `parent` (NULL: of none). A use of both
 * parents and of all below the arena. TARN_BAD_ARGUMENT if `parent` is the arena or below it, or if
 * the arena takes its chunks from its old parent; TARN_NO_MEMORY if a limit would be passed. Then
 * nothing has changed. Linear in the arenas below it and above `parent`. */
TARN_API tarn_status tarn_arena_set_parent(tarn_arena *arena, tarn_arena *parent);

/* From now on; `name` must outlive the arena; NULL: "arena". */
TARN_API void tarn_arena_set_name(tarn_arena *arena, const char *name);

/* From now on; 0: none. What is held already may be more, then nothing is added to it. */
TARN_API void tarn_arena_set_limit(tarn_arena *arena, size_t limit);

/* ------------------------------------------------------------------------------------------------
 * Books
 */

typedef struct tarn_arena_info {
    const char *name;
    const tarn_arena *arena; /* only to be compared */
    size_t depth;            /* 0 for the arena that the visit began with, or for a root */
    size_t used;             /* bytes of blocks, rounding and unused ends of chunks */
    size_t footprint;        /* bytes held from upstream, and the buffer */
    size_t chunks;           /* a count; the buffer is one */
    size_t larges;           /* large blocks, a count */
    size_t tree_footprint;   /* bytes held from upstream by it and all below it, as for its limit */
    size_t limit;            /* bytes; 0: none */
} tarn_arena_info;

/* Returns false to end the visit. */
typedef bool tarn_arena_visitor(void *context, const tarn_arena_info *info);

/* Calls `visitor` for the arena and all below it, each before its children, the oldest child first.
 * A use of all of them. False if the visitor ended it.
 *
 * With NULL for the arena: for all arenas of the process that are not `unlisted`, and all below
 * them. This is no use of them: any thread may ask at any time. `used` is then what it was when a
 * chunk or large block last came or went, or at the last reset. Locks are held: the visitor must
 * not make or end arenas or use any. */
TARN_API bool tarn_arena_visit_tree(const tarn_arena *arena, tarn_arena_visitor *visitor,
                                    void *context);

/* Writes the same as a table, a line for each arena and one with the sums, a piece at a time;
 * allocates nothing. */
TARN_API void tarn_arena_report(const tarn_arena *arena,
                                void (*write)(void *context, const char *text, size_t size),
                                void *context);

/* Bytes of blocks, rounding and unused ends of chunks. Constant time. */
TARN_API size_t tarn_arena_used(const tarn_arena *arena);

/* Bytes that the next block can have without a further chunk. Constant time. */
TARN_API size_t tarn_arena_room(const tarn_arena *arena);

/* True if the address is inside of what the arena has handed out: of a block, or of the rounding
 * behind it. Its children are not looked at. Linear in the chunks and large blocks; without
 * pooling, in the blocks. */
TARN_API bool tarn_arena_owns(const tarn_arena *arena, const void *address);

/* Gives back upstream the chunks that are not in use, and forgets what was needed before; returns
 * the bytes. Linear in these chunks. */
TARN_API size_t tarn_arena_trim(tarn_arena *arena);

/* As tarn_heap_stats. Without `checks` the arena does not know its blocks: `live` is what
 * tarn_arena_used() says, and blocks, allocs and frees are 0. */
TARN_API tarn_stats tarn_arena_stats(const tarn_arena *arena);

/* True if the books balance; else the first fault is in `fault` (always terminated, cut to
 * fault_size; may be NULL with 0). Reports, never aborts. Linear in the chunks, large blocks,
 * cleanups and children; with `checks`, in the blocks. */
TARN_API bool tarn_arena_check(const tarn_arena *arena, char *fault, size_t fault_size);

/* Calls `visitor` for every live block, the oldest first. TARN_UNSUPPORTED without `checks`. */
TARN_API tarn_status tarn_arena_visit(const tarn_arena *arena, tarn_visitor *visitor,
                                      void *context);

#ifdef __cplusplus
}
#endif

#endif
