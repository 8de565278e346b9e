/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_RANGE_H
#define TARN_REGION_RANGE_H

/*
 * What the front and the policies of regions share: a range, its nodes, and what a policy does.
 *
 * Each range has its own index, so that one can be added or removed without a look at the others.
 * Within a range everything is counted in granules and named by 32-bit numbers: a *start* is the
 * granule at which a partition begins, a *ref* leads to the node that describes it.
 *
 *     inside     ref == start; the node is the first bytes of the partition
 *     outside    ref is the number of a record; see outside.h
 *
 * Either way a node is found by arithmetic from `nodes`, so the indexes (lists.h, tree.h, strips.h)
 * do not know which way the books are kept.
 */

#include "base/bits.h"
#include "base/check.h"
#include "heap/watch.h"
#include "tarn/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Functions that read and write books among hidden bytes, inlined into each policy, where the
 * compiler resolves which way the books are kept. With -Os the compiler
 * says what it inlines: the code of all policies is a fifth then. */
#ifdef __OPTIMIZE_SIZE__
#define REGION_INLINE static inline HEAP_UNWATCHED
#else
#define REGION_INLINE static inline __attribute__((always_inline)) HEAP_UNWATCHED
#endif

#define REGION_NONE UINT32_MAX

/* What the start of a free partition, or a record, holds. Of a used partition with its books inside
 * only the first 8 bytes, the tag, exist. Books live among the users' bytes, whatever their type. */
typedef struct __attribute__((may_alias)) region_node {
    uint32_t size; /* granules */
    uint16_t code; /* inside: proves that this is a tag; see inside.h */
    uint8_t state; /* REGION_USED or REGION_FREE */
    uint8_t
        before_free; /* inside: the partition before is free, and its size is in its last bytes */
    uint32_t a;      /* links of an index: next or left; of a used record: next in the hash chain */
    uint32_t b;      /* previous or right */
    uint32_t max;    /* strips: largest size in this subtree */
    uint32_t start;  /* granule at which the partition begins; free partitions and records */
} region_node;

/* Odd numbers that user data rarely looks like. */
enum { REGION_USED = 0xA5, REGION_FREE = 0x5B };

#define REGION_GRANULE _Alignof(max_align_t)
#define REGION_GRANULE_SHIFT ((unsigned)__builtin_ctz((unsigned)REGION_GRANULE))
/* Bytes of a tag, which inside books put before each block. */
#define REGION_TAG ((size_t)8)
/* Granules of the smallest partition with its books inside: a node, and its size at the end. */
#define REGION_INSIDE_MIN                                                                          \
    ((uint32_t)((sizeof(region_node) + sizeof(uint32_t) + REGION_GRANULE - 1) / REGION_GRANULE))
#define REGION_RECORD_SHIFT 5U
/* How many refs apart the anchors of lists are, so that the links of one, which are the last that it
 * has, end before the next: where granules are small, an anchor is more than one. */
#define REGION_ANCHOR_REFS                                                                         \
    ((uint32_t)((offsetof(region_node, max) + REGION_GRANULE - 1) / REGION_GRANULE))

/* Granules of a strip of the address index, as a power of two. */
enum { REGION_STRIP_SHIFT = 8, REGION_FAN = 16, REGION_LEVELS_MAX = 8 };

typedef struct region_range region_range;

/* Lists by size (lists.h) and trees of what is larger (tree.h). */
typedef struct region_lists {
    uint64_t *words;   /* a bit for each list that is not empty */
    uint64_t summary;  /* a bit for each of the words that is not 0 */
    uint32_t count;    /* lists; the anchors are before range->nodes */
    uint32_t tree_map; /* a bit for each of the trees that is not empty */
    uint32_t trees[32];
} region_lists;

/* The address index (strips.h). */
typedef struct region_strips {
    uint32_t *roots;                     /* for each strip the root of its tree */
    uint32_t *levels[REGION_LEVELS_MAX]; /* levels[0]: the largest size in each strip; [i + 1]: in
                                             REGION_FAN entries of [i] */
    uint32_t count;                      /* strips */
    uint32_t level_count;
} region_strips;

/* Records of outside books (outside.h). */
typedef struct region_records {
    uint32_t *buckets; /* hash table from start to record */
    uint32_t bucket_shift;
    uint32_t capacity;  /* records */
    uint32_t touched;   /* records ever used */
    uint32_t vacant;    /* chain of records not in use */
    uint32_t spare;     /* length of that chain */
    uint32_t anchors;   /* records before the first, which are anchors of lists */
    void *block;        /* chunk with anchors and records, or NULL if in the caller's memory */
    size_t block_size;  /* bytes */
    size_t bucket_size; /* bytes of the chunk with the buckets */
    bool is_fixed;      /* in the caller's memory: cannot grow */
} region_records;

struct region_range {
    unsigned char *nodes; /* where ref 0 is */
    uint32_t granules;    /* of the range, without its books */
    uint32_t shift;       /* bytes of a granule, as a power of two */
    uint32_t tag;         /* bytes between the start of a partition and its block */
    uint32_t salt;        /* of check codes and hashes; another after each reset */
    uint32_t blocks;      /* live */
    size_t largest;       /* bytes of a block that is the whole range */
    uintptr_t base;       /* address of granule 0; or its offset, without memory */
    tarn_region *region;
    region_range *next; /* at higher addresses */
    union {
        region_lists lists;
        region_strips strips;
        void *own; /* what another policy keeps */
    } index;
    region_records records;
    unsigned char *index_memory; /* what the policy asked for by index_size */
    tarn_memory memory;          /* as given, or from upstream */
    void *books;                 /* outside: chunk with this struct and the index, or NULL */
    size_t books_size;           /* bytes */
    bool is_owned;               /* the range is from upstream */
};

/*
 * What a policy does with one range. `start` is a granule. The front has checked that alignments are
 * powers of two and sizes between 1 and PTRDIFF_MAX, and that a start is below range->granules.
 *
 *   index_size  bytes of index that it needs for so many granules, besides anchors; a multiple of 16
 *   anchors     refs that the anchors of its lists need right before range->nodes
 *   open        makes the index with everything free; for init and reset
 *   alloc       the start of a new block, or REGION_NONE with nothing changed
 *   free        takes a block back; no live block at start is fatal
 *   resize      in place; false with nothing changed
 *   room        bytes of the block, or 0 if no live block begins at start
 *   largest     bytes of the largest request that is certain to be served; 0: none
 *   rank        how well this range would serve, the least is best; UINT64_MAX: it cannot. Only
 *               regions of several ranges ask
 *   check       true, or false with the fault told
 *   visit       calls for each partition in the order of addresses; false if the visitor ended it
 */
typedef struct region_policy {
    /* alloc and free of blocks by address, for a region of one range that nobody watches: all at once,
     * without a way through the front. They hand what is not plain to region_alloc_slow() and
     * region_free_slow(). NULL: the front does it. */
    void *(*take)(tarn_region *region, size_t size, size_t alignment);
    void (*give)(tarn_region *region, void *block);
    size_t (*index_size)(const tarn_region_options *options, uint32_t granules);
    uint32_t (*anchors)(const tarn_region_options *options, uint32_t granules);
    void (*open)(region_range *range);
    uint32_t (*alloc)(region_range *range, size_t size, size_t alignment);
    void (*free)(region_range *range, uint32_t start);
    bool (*resize)(region_range *range, uint32_t start, size_t size);
    size_t (*room)(region_range *range, uint32_t start);
    size_t (*largest)(region_range *range);
    uint64_t (*rank)(region_range *range, size_t size, size_t alignment);
    bool (*check)(region_range *range, char *fault, size_t fault_size);
    bool (*visit)(region_range *range, tarn_partition_visitor *visitor, void *context);
} region_policy;

/* One for each policy and way of keeping the books. */
extern const region_policy region_best_inside, region_best_outside;
extern const region_policy region_first_inside, region_first_outside;
extern const region_policy region_next_inside, region_next_outside;
extern const region_policy region_worst_inside, region_worst_outside;
extern const region_policy region_segregated_inside, region_segregated_outside;
/* The same with fewer steps, for small ranges. */
extern const region_policy region_coarse_inside, region_coarse_outside;
/* These keep no books among the blocks, so one serves both ways: inside, the index is at the start
 * of the range. */
extern const region_policy region_buddy, region_fixed, region_single;

/* Fatal: the links of the free partition at `start`, or one that leads there, were overwritten. */
_Noreturn void region_links_overwritten(const region_range *range, uint32_t start)
    __attribute__((cold, noinline));

REGION_INLINE region_node *region_node_in(unsigned char *nodes, uint32_t ref, bool outside)
{
    const unsigned shift = outside ? REGION_RECORD_SHIFT : REGION_GRANULE_SHIFT;
    /* Anchors have negative refs. */
    return (region_node *)(void *)(nodes + (ptrdiff_t)(int32_t)ref * ((ptrdiff_t)1 << shift));
}

REGION_INLINE region_node *region_node_at(const region_range *range, uint32_t ref, bool outside)
{
    return region_node_in(range->nodes, ref, outside);
}

/* The node that a link leads to; links among the users' bytes may have been overwritten. */
REGION_INLINE region_node *region_child(const region_range *range, uint32_t ref, bool outside)
{
    if (!outside && base_unlikely(ref >= range->granules)) {
        region_links_overwritten(range, ref);
    }
    return region_node_at(range, ref, outside);
}

REGION_INLINE uint32_t region_ref_of(const region_range *range, const region_node *node,
                                     bool outside)
{
    const unsigned shift = outside ? REGION_RECORD_SHIFT : REGION_GRANULE_SHIFT;
    return (uint32_t)((size_t)((const unsigned char *)node - range->nodes) >> shift);
}

/* For check, which must survive overwritten links: does `ref` lead to a free partition's node? */
REGION_INLINE bool region_is_free_ref(const region_range *range, uint32_t ref, bool outside)
{
    return ref < (outside ? range->records.touched : range->granules) &&
           region_node_at(range, ref, outside)->state == REGION_FREE;
}

/* The address of a start, without a tag. */
REGION_INLINE uintptr_t region_address(const region_range *range, uint32_t start)
{
    return range->base + ((uintptr_t)start << range->shift);
}

/* The books of a block of so many granules. */
REGION_INLINE void region_give(region_range *range, uint32_t granules)
{
    tarn_region *region = range->region;
    range->blocks++;
    region->allocs++;
    region->live += granules;
    if (base_unlikely(region->live > region->peak_live)) {
        region->peak_live = region->live;
    }
}

REGION_INLINE void region_take(region_range *range, uint32_t granules)
{
    tarn_region *region = range->region;
    range->blocks--;
    region->live -= granules;
}

/* A block that grew or shrank from old to new granules. */
REGION_INLINE void region_change(region_range *range, uint32_t old, uint32_t new)
{
    tarn_region *region = range->region;
    region->live = region->live - old + new;
    if (base_unlikely(region->live > region->peak_live)) {
        region->peak_live = region->live;
    }
}

/* What the front does with any region and any argument. */
void *region_alloc_slow(tarn_region *region, size_t size, size_t alignment);
void region_free_slow(tarn_region *region, void *block);

/* True for no alignment, and for powers of two up to that of max_align_t. */
REGION_INLINE bool region_is_small_alignment(size_t alignment)
{
    return alignment <= REGION_GRANULE && (alignment & (alignment - 1)) == 0;
}

/* Fatal: nothing that begins at `start` is a live block. */
_Noreturn void region_not_a_block(const region_range *range, uint32_t start, bool is_free)
    __attribute__((cold, noinline));
/* Fatal: the books around `start` were overwritten. */
_Noreturn void region_overwritten(const region_range *range, uint32_t start)
    __attribute__((cold, noinline));

/* Fatal: the end of the free partition before `start` was overwritten. */
_Noreturn void region_before_overwritten(const region_range *range, uint32_t start)
    __attribute__((cold, noinline));

/* Tells a fault for check, at a start; returns false. */
bool region_fault(const region_range *range, uint32_t start, const char *what, char *fault,
                  size_t fault_size);

/* Calls the visitor for one partition. `bytes` is its room. */
bool region_show(const region_range *range, uint32_t start, size_t bytes, bool is_free,
                 tarn_partition_visitor *visitor, void *context);

#endif
