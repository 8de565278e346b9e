/* SPDX-License-Identifier: MIT */
#ifndef TARN_MALLOC_COMPACT_H
#define TARN_MALLOC_COMPACT_H

/*
 * Compaction without moving a pointer, with compact:1. Pages of sparse spans whose slots in use do not overlap share
 * the memory of one of them: their bytes are brought together in one frame, and every one of their addresses is mapped
 * to it. The idea is Mesh's (Powers, Tench, Berger and McGregor, PLDI 2019), which joins two whole spans of one
 * class; here
 *
 *     a window    is a power of two of pages of a span: the smaller the slots, the fewer pages, so that about as
 *                 many slots lie in one whatever the class;
 *     a frame     is so many pages of shared memory, with any number of windows, of any spans, mapped to it;
 *     a granule   is 16 bytes. Windows share a frame as long as no granule is taken twice, which holds for windows of
 *                 different classes as it does for those of one.
 *
 *       span A   [ a . . | . a . | . . . ]      window 1 of A and window 0 of B
 *       span B   [ . b . | . . . | b . . ]      are both mapped to frame F
 *                             \  /
 *       frame F              [ . a . ] + [ . b . ]
 *
 * What is taken of a frame is what slots in use, or free ones on the list of their span, lie on. Free slots whose granules
 * may be another's are kept: they are on no list, and the span's span_mesh has a bit for each. When the span's list ends
 * it claims some of them, those whose granules nobody has.
 *
 * Invariant, under compact_lock: every granule of a frame is taken by one window at most; a slot of a span with a mesh is
 * in use, on the list or pending, or kept.
 *
 * A fork makes the mappings of a frame private: the kernel then copies what either process writes, as it does with all
 * other memory. The frame is sealed, no window joins it any more, and its windows may move to a new frame later.
 *
 * Who may touch what: a span's mesh changes under the lock of its heap, what a frame has under compact_lock, taken after
 * it.
 */

#include "malloc/core.h"

#define GRANULE 16
/* Of a page of 4 KiB; compaction is off where pages are larger. */
#define PAGE_GRANULES ((size_t)4096 / GRANULE)
#define UNIT_GRANULES (UNIT_SIZE / GRANULE)
#define COMPACT_CLAIMS 64 /* slots that a span claims at once, at most */
#define FRAME_KINDS 5     /* frames of 1, 2, 4, 8 and 16 pages */

/* ---- compact_frames.c ---- */

typedef struct compact_file compact_file;

typedef struct compact_frame {
    compact_file *file;         /* NULL: sealed */
    unsigned char *alias;       /* where compaction itself has it mapped; NULL when sealed */
    struct compact_frame *next; /* among the open frames of its kind, or spare ones */
    struct compact_frame *previous;
    uint32_t windows;    /* mapped to it, a count */
    uint8_t kind;        /* log2 of its pages */
    uint8_t class_index; /* of the first window, */
    uint8_t place;       /* and which of its span's windows that was */
    bool is_leaving;     /* a pass wants it empty */
    /* Sealed, but a window could not be made private: what others had there is not to be claimed. */
    bool is_stuck;
    uint32_t sealed_at; /* passes made when it was sealed, a count */
    uint64_t taken[];   /* a bit for each granule */
} compact_frame;

extern os_lock compact_lock;
/* Frames that windows may join, by kind; under compact_lock. */
extern compact_frame *compact_open_frames[FRAME_KINDS];

static inline size_t compact_frame_bytes(unsigned kind)
{
    return os_page_size() << kind;
}

/* Words of a bit for each granule. */
static inline unsigned compact_frame_words(unsigned kind)
{
    return (unsigned)(PAGE_GRANULES / 64) << kind;
}

/* True if a granule is in both. */
static inline bool compact_meets(const uint64_t *one, const uint64_t *other, unsigned words)
{
    for (unsigned word = 0; word < words; word++) {
        if ((one[word] & other[word]) != 0) {
            return true;
        }
    }
    return false;
}

/* True if the kernel lets there be frames. Under compact_lock. */
bool compact_frames_prepare(void);

/* A frame without windows, all zero; NULL when the kernel has none. Under compact_lock. */
compact_frame *compact_frame_take(unsigned kind);
/* One without windows goes back. */
void compact_frame_give(compact_frame *frame);

/* A window has gone, and `granules` with it. */
void compact_frame_leave(compact_frame *frame, const uint64_t *granules);

typedef enum frame_view {
    FRAME_PRIVATE, /* the window's mapping is private now */
    FRAME_SHARED,  /* as it was */
    FRAME_FOREIGN  /* mapped to a file that is none of ours */
} frame_view;

/* Makes the mapping of the window private, if the file's descriptor is still its own. */
frame_view compact_frame_make_private(const compact_frame *frame, void *window);
/* What compaction itself had to touch of frames is no more counted as the process's. */
void compact_frames_hide(void);
/* The thread that has a table of descriptors of its own and makes passes, while it makes one; else 0. */
extern uint32_t compact_table;
/* Closes what sealed files left in the calling thread's own table, and forgets what is in others. */
void compact_frames_close(void);
/* Gets descriptors that frame_make_private can use. */
void compact_frames_fork(void);
/* Closes the files: from here on every frame is sealed. */
void compact_frames_seal(void);

/* Pages of frames in use; a count. */
extern _Atomic(size_t) compact_frame_pages_held;
/* Windows of sealed frames: they take memory of their own as they are written to. */
extern _Atomic(size_t) compact_frame_sealed_windows;

static inline bool compact_frames_have_sealed(void)
{
    return atomic_load_explicit(&compact_frame_sealed_windows, memory_order_relaxed) != 0;
}

/* ---- compact.c: spans and their windows ---- */

struct span_mesh {
    malloc_span *span;
    struct span_mesh *next; /* among all that are in use, or spare ones */
    struct span_mesh *previous;
    uint8_t kind;    /* of its windows */
    uint8_t windows; /* that share a frame, a count */
    uint8_t size;    /* of this record in units of MESH_STEP */
    uint64_t
        nothing_at; /* granules had been let go so often when no kept slot could be claimed; 0: never seen */
    compact_frame *frames[UNIT_PAGES]; /* by window; as many as the span has */
    /* uint64_t kept[]: a bit for each slot, behind the last frame */
};

/* Pages of a window of slots of that size, as log2. */
unsigned compact_kind(uint32_t slot_size);

/* Granules in use in a window, by the slots in use of its span. */
void compact_granules(const malloc_span *span, const uint64_t *used, unsigned kind, unsigned window,
                      uint64_t *granules);

/* The slots in use of a span that changes under its heap's lock alone, and nothing else; false when it is none of those,
 * or has none in use. The lock is held. */
bool compact_is_still(const malloc_heap *heap, const malloc_span *span);
bool compact_used_slots(malloc_span *span, uint64_t *used);

/* Takes the free slots off the span's list, where it has a mesh: their granules are no longer taken. Windows without a slot
 * in use leave their frames; pages without one go back. Returns bytes that went back. The lock is held. */
size_t compact_tidy(malloc_span *span);

/* Moves a window of that kind to `*frame`, which has room for it, or to a new one when that is NULL. False, with nothing
 * changed, when that cannot be. The heap's lock is held, signals are blocked. */
bool compact_move(malloc_span *span, unsigned window, unsigned kind, compact_frame **frame);

/* Slots kept out of the list that nobody else's slots are in the way of: at most `most`. They are on the list now. */
unsigned compact_claim(malloc_span *span, uint16_t *slots, unsigned most);

/* True if the slot is one that is kept: it is free. Right without a lock for slots in use, which never are. */
bool compact_keeps(const malloc_span *span, const void *slot);
/* Adds the kept slots to the bits; returns how many there are. */
unsigned compact_add_kept(const malloc_span *span, uint64_t *bits);

/* A span without slots in use gets pages of its own back. False when the kernel refuses: the unit is then lost. */
bool compact_leave(malloc_span *span);

/* Around a fork, with every heap's lock held. */
void compact_fork(bool before, bool child);

/* ---- compact_pass.c ---- */

extern _Atomic(bool) compact_is_due;

/* A span has become a candidate. */
static inline void compact_notice(void)
{
    if (malloc_conf.compact && !atomic_load_explicit(&compact_is_due, memory_order_relaxed)) {
        atomic_store_explicit(&compact_is_due, true, memory_order_relaxed);
    }
}

/* Looks for windows that may share frames, and lets them; one pass at a time. Without locks. Returns bytes given back. */
size_t compact_pass(bool all);

/* The calling thread, which is none of the program's, makes passes from here on with descriptors that the program does not
 * see: it neither closes them nor finds its own under their numbers. */
void compact_adopt_thread(void);

/* The child of a fork does not have the thread that was in a pass. */
void compact_pass_forget(void);

typedef struct compact_counts {
    uint64_t passes;
    uint64_t tried;     /* pairs of windows that were compared */
    uint64_t joined;    /* windows that joined a frame with others */
    uint64_t recovered; /* bytes that were resident and are not since */
    uint64_t pause_us;  /* the longest time that writers to a window had to wait */
    uint64_t pause_sum_us;
} compact_counts;

extern compact_counts compact_counted; /* under compact_lock */

/* Times that granules were let go, a count from 1 on. */
extern _Atomic(uint64_t) compact_frames_loosened;

void compact_stats(tarn_malloc_compact_stats *stats);

#endif
