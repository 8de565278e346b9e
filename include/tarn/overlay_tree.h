/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_TREE_H
#define TARN_OVERLAY_TREE_H

#include "tarn/base.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The overlay tree: a program's segments, in an area that is smaller than all of them.
 *
 *     address
 *       ^   +---------+         +---+                 root
 *       |   | inverse |         | b |                 |-- fft
 *       |   +---------+-------+ +---+----+ +------+   |   |-- inverse
 *       |   |       fft       | | filter | | text |   |-- filter
 *       |   +-----------------+ +--------+ +------+   |   `-- b
 *       |   |               root                  |   `-- text
 *       +---+-------------------------------------+-> one of the branches at a time
 *
 * A segment lies behind its parent, and branches of one parent exclude each other: they have the
 * same addresses. So the area is as large as the longest path, and a segment is always at the same
 * address, whenever it is resident.
 *
 * tarn_overlay_enter() makes a segment and its ancestors resident, as a call of one of its routines
 * would need; tarn_overlay_leave() is the return, and makes resident again what was entered before.
 * A segment stays resident until another one needs its place. What is displaced is written back
 * first if it is dirty; what is pinned is not displaced.
 *
 *     Invariant: the resident segments are the path from the root to one of them.
 *
 * When it fails. Nothing is displaced before all that displaces it has been read: the bytes of the
 * new path that belong where the old one still is go to a spare area first. So a read that fails or
 * is short leaves what was resident as it was; and so does a write-back that fails, since all of
 * them come before the first read. The spare area has the size of the second largest branch of a
 * parent, since two branches have in common no more than the smaller one takes. With `in_place`
 * there is none: then what was displaced is read again when a read fails, and is no longer resident
 * if that fails, too.
 *
 * Memory: the area and the spare area are the caller's or from upstream, taken once. The books are
 * from upstream: some 180 bytes for each segment, in a table that doubles, and 16 for each level of
 * nested enters. Sizes are in bytes.
 *
 * Cost: entering, leaving and pinning what is resident takes constant time; else, time linear in
 * the segments and bytes that are read and written.
 *
 * Threads: one at a time. Callbacks are called by the thread that calls, and must not call into the
 * tree.
 *
 * Misuse that is found: leaving what was not entered or was not entered last, unpinning what is not
 * pinned, a segment of another tree, marking as dirty what is not resident, and calls from
 * callbacks. Fatal, see tarn/base.h; the line shows the segment in the block's place.
 *
 * Sources: Pankhurst, "Operating Systems: Program Overlay Techniques" (Communications of the ACM
 * 11:2, 1968); Levine, Linkers and Loaders (1999), chapter 8, for trees of overlays and calls
 * across branches.
 */

/* The name of a segment; 0 is none. */
typedef uint64_t tarn_overlay_segment;

/* Where the contents of a segment come from. */
typedef enum tarn_overlay_source {
    TARN_OVERLAY_ZEROS = 0, /* nowhere: they are zeros with each load, and cannot be written back */
    TARN_OVERLAY_FILE,      /* from a file, by its descriptor, wherever that stands */
    TARN_OVERLAY_CALLS      /* from callbacks */
} tarn_overlay_source;

typedef struct tarn_overlay_segment_options {
    const char *name; /* for messages and reports; must outlive the tree; NULL: "segment" */
    tarn_overlay_segment parent; /* 0: the root */
    size_t size;                 /* 0: a branch that has only a name */
    size_t alignment;            /* a power of two; 0: that of max_align_t */
    tarn_overlay_source source;
    /* What is stored of it: that many bytes from its start, the rest being zeros with each load. 0:
     * all of them. */
    size_t stored_size;

    /* TARN_OVERLAY_FILE: a descriptor open for reading, and for writing if it is to be written
     * back. It stays the caller's and must stay open. */
    int descriptor;
    uint64_t offset; /* of the segment's first byte in the file */
    bool is_writable;

    /* TARN_OVERLAY_CALLS. `load` gives `to` the segment's `size` bytes from `offset` on and returns
     * TARN_OK; or it says why it cannot: TARN_IO_FAILED, or TARN_BAD_DATA if there are too few. One
     * load of a segment is one call, or two for its two parts, of which the first is for the spare
     * area; `to` is not always where the segment will be. `store` writes all that is stored back;
     * NULL: cannot be written back. */
    tarn_status (*load)(void *context, tarn_overlay_segment segment, size_t offset, void *to,
                        size_t size);
    tarn_status (*store)(void *context, tarn_overlay_segment segment, const void *from,
                         size_t size);
    void *context;
} tarn_overlay_segment_options;

typedef struct tarn_overlay_tree_options {
    const char *name;    /* for messages and reports; must outlive the tree; NULL: "overlay" */
    tarn_heap *upstream; /* where memory comes from; NULL: tarn_pages_heap() */
    /* The root segment, which is resident from the seal on; its parent is ignored. All zero: an
     * empty one. */
    tarn_overlay_segment_options root;
    /* When start is not NULL: the area is here, at the first address that suits all alignments. */
    tarn_memory memory;
    tarn_memory spare; /* the same for the spare area */
    bool in_place;     /* no spare area, see above */
    /* Nested enters that will not ask upstream for memory: runs of the same segment count as one.
     * 0: 16. */
    size_t depth;
    /* Called when a segment stands in its place, for instance to relocate its code or to flush the
     * machine's instruction cache, and when its bytes are about to go, after they were written
     * back. Either may be NULL. */
    void (*on_load)(void *context, tarn_overlay_segment segment, void *address, size_t size);
    void (*on_evict)(void *context, tarn_overlay_segment segment, void *address, size_t size);
    void *context;
} tarn_overlay_tree_options;

/* What a tree takes. */
typedef struct tarn_overlay_needs {
    size_t size;       /* of the area: the longest path */
    size_t spare_size; /* of the spare area; 0 with `in_place` */
    size_t alignment;  /* of both */
    size_t sum;        /* of the sizes of all segments: what they would take side by side */
} tarn_overlay_needs;

/* The last failure of a call on the tree, other than adding. */
typedef struct tarn_overlay_failure {
    tarn_status status; /* TARN_OK: there was none */
    /* That was in the way, or could not be read or written back; else the one that was asked
     * for. */
    tarn_overlay_segment segment;
    bool is_pinned; /* it is pinned and in the way */
    bool is_read;   /* it could not be read */
    bool is_write;  /* it could not be written back */
    int error;      /* the system's error number; 0: none */
    size_t size;    /* of a short read: bytes wanted, */
    size_t got;     /* and bytes there */
} tarn_overlay_failure;

typedef struct tarn_overlay_stats {
    tarn_overlay_needs needs;
    size_t footprint; /* bytes held from upstream: books, and the areas that are not the caller's */
    size_t resident;  /* bytes of resident segments */
    uint64_t segments;      /* the root among them */
    uint64_t enters;        /* enters and pins that succeeded */
    uint64_t hits;          /* of these, those that found their segment resident */
    uint64_t loads;         /* segments that became resident */
    uint64_t evictions;     /* segments that ceased to be */
    uint64_t restores;      /* leaves that had to make resident again what was entered before */
    uint64_t bytes_read;    /* of segments read as a whole, whether or not they became resident */
    uint64_t writes;        /* segments written back */
    uint64_t bytes_written; /* by that */
    uint64_t failures;      /* calls that failed, other than adding */
    uint64_t refusals;      /* of these, by TARN_BUSY */
} tarn_overlay_stats;

struct overlay_segment;
struct overlay_run;

/* The type is complete so that it can live in static storage; its fields are private. It must not
 * be copied or moved while in use. */
typedef struct tarn_overlay_tree {
    tarn_overlay_tree_options options; /* as given, with the defaults filled in */
    uint32_t tag;                      /* in the segments' names */
    uint32_t count;                    /* segments */
    uint32_t capacity;                 /* of the table */
    uint32_t deepest;                  /* the resident segment that is farthest from the root */
    struct overlay_segment
        *segments;       /* the table; the root is the first one, parents before children */
    unsigned char *area; /* NULL: not sealed */
    unsigned char *spare;
    void *area_block; /* as it came from upstream; NULL: the caller's */
    void *spare_block;
    struct overlay_run *runs; /* what was entered and not left, oldest first */
    size_t run_count;
    size_t run_capacity;
    bool is_sealed;
    bool is_inside; /* of a call: callbacks must not call */
    tarn_overlay_failure failure;
    tarn_overlay_stats books;
} tarn_overlay_tree;

/* Makes a tree that has only its root. Options may be NULL for the zero ones.
 *
 * On failure `tree` is unusable and holds nothing: TARN_NO_MEMORY, or as tarn_overlay_tree_add()
 * says of the root. Constant time. */
TARN_API tarn_status tarn_overlay_tree_init(tarn_overlay_tree *tree,
                                            const tarn_overlay_tree_options *options);

/* Ends the tree and gives its memory back upstream. Writes nothing back: tarn_overlay_flush()
 * does. */
TARN_API void tarn_overlay_tree_deinit(tarn_overlay_tree *tree);

/* Adds a segment below its parent, which was added before; its name is in `segment` (may be NULL).
 *
 * On failure nothing has changed: TARN_BAD_LAYOUT for an alignment that is no power of two,
 * TARN_TOO_LARGE if the path to its end would pass PTRDIFF_MAX, the end in its file INT64_MAX, or
 * the segments 2^31; TARN_BAD_ARGUMENT if the tree is sealed, if stored_size is larger than size,
 * or if there is no `load` for TARN_OVERLAY_CALLS; TARN_NO_MEMORY. Constant time, amortised. */
TARN_API tarn_status tarn_overlay_tree_add(tarn_overlay_tree *tree,
                                           const tarn_overlay_segment_options *options,
                                           tarn_overlay_segment *segment);

/* What the tree takes as it is now. Linear in the segments before the seal, then constant. */
TARN_API tarn_overlay_needs tarn_overlay_tree_needs(tarn_overlay_tree *tree);

/* Ends the adding: takes the area, the spare area and the books of enters, and loads the root.
 *
 * On failure the tree is as it was, and can be sealed later: TARN_NO_MEMORY; TARN_NO_ROOM if the
 * memory given is smaller than tarn_overlay_tree_needs() says, aligned; TARN_BAD_ARGUMENT if it is
 * sealed already; and as tarn_overlay_enter() when the root cannot be read. Linear in the segments,
 * and the reading. */
TARN_API tarn_status tarn_overlay_tree_seal(tarn_overlay_tree *tree);

/* The root's name. */
TARN_API tarn_overlay_segment tarn_overlay_tree_root(const tarn_overlay_tree *tree);

/* Makes the segment and its ancestors resident, and notes that it was entered. What was entered
 * before may be displaced by that, and is resident again after tarn_overlay_leave().
 *
 * On failure it was not entered, and what was resident is resident, with its contents as they were
 * (`in_place`: see above):
 * TARN_BUSY          a segment that would have to go is pinned.
 * TARN_IO_FAILED     the system or a callback could not read, or not write back.
 * TARN_BAD_DATA      a file was too short, or a callback says so.
 * others             as a callback returned them.
 * TARN_NO_MEMORY     upstream has no memory for the books of one more nested enter.
 * TARN_BAD_ARGUMENT  the tree is not sealed.
 * tarn_overlay_tree_failure() has more. Segments that were written back until then are no longer dirty. */
TARN_API tarn_status tarn_overlay_enter(tarn_overlay_tree *tree, tarn_overlay_segment segment);

/* Ends the last enter, which was of this segment, and makes resident again what was entered before.
 * The segment itself stays resident if it can. On failure, as that of an enter, it is still
 * entered. */
TARN_API tarn_status tarn_overlay_leave(tarn_overlay_tree *tree, tarn_overlay_segment segment);

/* What was entered last and not left; 0: nothing. */
TARN_API tarn_overlay_segment tarn_overlay_current(const tarn_overlay_tree *tree);

/* Makes the segment and its ancestors resident as an enter does, and keeps them so until as many
 * unpins have followed, in whatever order. Fails as tarn_overlay_enter(), except for memory;
 * TARN_TOO_LARGE after 2^32 - 1 pins. */
TARN_API tarn_status tarn_overlay_pin(tarn_overlay_tree *tree, tarn_overlay_segment segment);
TARN_API void tarn_overlay_unpin(tarn_overlay_tree *tree, tarn_overlay_segment segment);

/* Says that the resident segment's contents were changed and have to be written back before it
 * goes. TARN_UNSUPPORTED if it cannot be written back. Changes that nobody tells of are lost with
 * the place. Constant time. */
TARN_API tarn_status tarn_overlay_set_dirty(tarn_overlay_tree *tree, tarn_overlay_segment segment);

/* Writes back all that is dirty; it stays resident. Stops at the first failure, as of an enter. */
TARN_API tarn_status tarn_overlay_flush(tarn_overlay_tree *tree);

/* Ends the residence of the segment and of all below it, written back if dirty: so that the next
 * enter reads it again. Does nothing where it is not resident. TARN_BUSY, with nothing changed, if
 * one of them is pinned or was entered last, and for the root; else fails as an enter when it
 * cannot be written back. */
TARN_API tarn_status tarn_overlay_evict(tarn_overlay_tree *tree, tarn_overlay_segment segment);

/* Where the segment is; NULL while it is not resident. Constant time. */
TARN_API void *tarn_overlay_address(const tarn_overlay_tree *tree, tarn_overlay_segment segment);

/* Bytes from the start of the area to the segment, for ever. Constant time. */
TARN_API size_t tarn_overlay_offset(const tarn_overlay_tree *tree, tarn_overlay_segment segment);

/* The tree's books. Constant time. */
TARN_API tarn_overlay_stats tarn_overlay_tree_stats(const tarn_overlay_tree *tree);

/* What the last call that failed, failed for; later successes do not change it. */
TARN_API tarn_overlay_failure tarn_overlay_tree_failure(const tarn_overlay_tree *tree);

/* The same in one line, which names the tree and the segment: always terminated, cut to text_size
 * (at least 1). */
TARN_API void tarn_overlay_tree_failure_text(const tarn_overlay_tree *tree, char *text,
                                             size_t text_size);

/* True if the books balance; else the first fault is in `fault` (always terminated, cut to
 * fault_size; may be NULL with 0). Reports, never aborts. Linear in the segments and nested
 * enters. */
TARN_API bool tarn_overlay_tree_check(const tarn_overlay_tree *tree, char *fault,
                                      size_t fault_size);

/* A segment, as a visitor sees it. */
typedef struct tarn_overlay_view {
    tarn_overlay_segment segment;
    tarn_overlay_segment parent; /* 0: it is the root */
    const char *name;
    size_t offset;    /* bytes from the start of the area */
    size_t size;      /* bytes */
    uint32_t depth;   /* ancestors, a count */
    uint32_t pins;    /* a count */
    uint64_t entered; /* enters not left yet, a count */
    uint64_t loads;   /* times it became resident */
    bool is_resident;
    bool is_dirty;
} tarn_overlay_view;

/* Called once for each segment; returns false to end the visit. The tree must not be changed from
 * inside. */
typedef bool tarn_overlay_visitor(void *context, const tarn_overlay_view *view);

/* Calls `visitor` for every segment, parents before children. Linear in the segments. */
TARN_API void tarn_overlay_tree_visit(const tarn_overlay_tree *tree, tarn_overlay_visitor *visitor,
                                      void *context);

#ifdef __cplusplus
}
#endif

#endif
