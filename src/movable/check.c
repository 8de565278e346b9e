/* SPDX-License-Identifier: MIT */
#include "movable/core.h"

#include "heap/books.h"

/*
 * Walks the arena, then the table, then the lists, and compares what it counts with the books. It reads memory that may
 * hold anything, so that each figure is looked at before it is used.
 */

typedef struct arena_walk {
    const tarn_movable *heap;
    char *fault;
    size_t fault_size;
    uint64_t blocks;
    uint64_t live;     /* bytes */
    uint64_t reserved; /* chunks that an open pass has set aside, a count */
    uint64_t hole_granules;
    uint64_t listed; /* holes, a count */
    uint32_t tract;  /* that the walk is in */
    movable_tract counted;
} arena_walk;

static bool check_tract(const arena_walk *walk)
{
    const movable_tract noted = *tract_at(walk->heap, walk->tract);
    if (noted.first != walk->counted.first || noted.live != walk->counted.live) {
        return heap_fault(walk->fault, walk->fault_size,
                          "tract %u starts at %u with %u live granules but is noted as %u, %u",
                          (unsigned)walk->tract, walk->counted.first, walk->counted.live,
                          noted.first, noted.live);
    }
    return true;
}

/* The walk has come to a chunk at `place`: compares the tracts that it has left behind. */
static bool enter_tract(arena_walk *walk, uint32_t place)
{
    while (walk->tract != tract_of(place)) {
        if (!check_tract(walk)) {
            return false;
        }
        walk->tract++;
        walk->counted = (movable_tract){0};
    }
    if (walk->counted.first == 0) {
        walk->counted.first = (uint16_t)((place & (TRACT_GRANULES - 1)) + 1);
    }
    return true;
}

static bool check_hole(arena_walk *walk, uint32_t place, uint32_t granules, bool is_after_hole)
{
    const uint32_t end = movable_head_of(walk->heap)->end;
    const uint64_t last = *word_at(walk->heap, place + granules - 1);
    if (is_after_hole || place + granules == end) {
        return heap_fault(walk->fault, walk->fault_size, "the hole at %zu was not merged",
                          place * GRANULE);
    }
    if (last >> WORD_SIZE_SHIFT != granules || !word_is_free(last)) {
        return heap_fault(walk->fault, walk->fault_size, "the hole at %zu has another end",
                          place * GRANULE);
    }
    walk->hole_granules += granules;
    walk->listed += granules >= LISTED_MIN;
    return true;
}

static bool check_block(arena_walk *walk, uint32_t place, uint64_t word, bool is_after_hole)
{
    const tarn_movable *heap = walk->heap;
    const movable_head *head = movable_head_of(heap);
    const uint32_t granules = word_granules(word);
    const uint32_t number = word_number(word);
    if (granules < 2 || number == 0 || number > head->count) {
        return heap_fault(walk->fault, walk->fault_size, "the word at %zu was overwritten",
                          place * GRANULE);
    }
    const entry_view entry = entry_load(heap, entry_at(heap, number));
    const uint32_t kind = entry.state & KIND_MASK;
    const bool is_reserved = kind == KIND_MOVING && head->is_in_pass && entry.place != place + 1;
    if ((kind != KIND_LIVE && kind != KIND_MOVING) || (entry.place != place + 1 && !is_reserved)) {
        return heap_fault(walk->fault, walk->fault_size,
                          "the block at %zu and the entry %u do not know each other",
                          (place + 1) * GRANULE, (unsigned)number);
    }
    if (((word & WORD_AFTER_HOLE) != 0) != is_after_hole) {
        return heap_fault(walk->fault, walk->fault_size,
                          "the block at %zu is wrong about what is before it",
                          (place + 1) * GRANULE);
    }
    if (chunk_gap(place, word_alignment(word)) != 0 ||
        word_alignment(word) * GRANULE > head->alignment_max) {
        return heap_fault(walk->fault, walk->fault_size, "the block at %zu is not aligned",
                          (place + 1) * GRANULE);
    }
    walk->counted.live =
        (uint16_t)(walk->counted.live + (granules < TRACT_GRANULES ? granules : TRACT_GRANULES));
    if (is_reserved) {
        walk->reserved++;
        return true;
    }
    const size_t size = chunk_size(heap, place);
    if ((word & WORD_PADDED) != 0 && size == (size_t)(granules - 1) * GRANULE) {
        return heap_fault(walk->fault, walk->fault_size,
                          "the bytes behind the block at %zu were overwritten",
                          (place + 1) * GRANULE);
    }
    walk->live += size;
    walk->blocks++;
    return true;
}

static bool check_arena(arena_walk *walk)
{
    const tarn_movable *heap = walk->heap;
    const movable_head *head = movable_head_of(heap);
    bool is_after_hole = false;
    for (uint32_t place = FIRST_PLACE; place != head->end;) {
        const uint64_t word = *word_at(heap, place);
        const uint32_t granules = word_granules(word);
        if (granules == 0 || granules > head->end - place ||
            (word_is_free(word) && word >> WORD_SIZE_SHIFT != granules)) {
            return heap_fault(walk->fault, walk->fault_size, "the word at %zu was overwritten",
                              place * GRANULE);
        }
        if (!enter_tract(walk, place) ||
            !(word_is_free(word) ? check_hole(walk, place, granules, is_after_hole)
                                 : check_block(walk, place, word, is_after_hole))) {
            return false;
        }
        is_after_hole = word_is_free(word);
        place += granules;
    }
    return check_tract(walk);
}

static bool check_table(const arena_walk *walk)
{
    const tarn_movable *heap = walk->heap;
    const movable_head *head = movable_head_of(heap);
    uint64_t live = 0;
    uint64_t vacant = 0;
    uint64_t purgeable = 0;
    for (uint32_t number = 1; number <= head->count; number++) {
        const uint32_t state = entry_load(heap, entry_at(heap, number)).state;
        const uint32_t kind = state & KIND_MASK;
        vacant += kind == KIND_VACANT;
        live += kind == KIND_LIVE || kind == KIND_MOVING;
        purgeable += kind != KIND_VACANT && kind != KIND_PURGED && (state & STATE_PURGEABLE) != 0;
    }
    if (live != walk->blocks) {
        return heap_fault(walk->fault, walk->fault_size,
                          "the table has %llu blocks but the arena has %llu",
                          (unsigned long long)live, (unsigned long long)walk->blocks);
    }
    if (purgeable != head->purgeable) {
        return heap_fault(walk->fault, walk->fault_size,
                          "%llu blocks may be purged but the books have %llu",
                          (unsigned long long)purgeable, (unsigned long long)head->purgeable);
    }
    for (uint32_t number = head->vacant; number != 0; vacant--) {
        if (number > head->count || vacant == 0 ||
            (entry_load(heap, entry_at(heap, number)).state & KIND_MASK) != KIND_VACANT) {
            return heap_fault(walk->fault, walk->fault_size, "the list of vacant entries is wrong");
        }
        number = entry_load(heap, entry_at(heap, number)).place;
    }
    if (vacant != 0) {
        return heap_fault(walk->fault, walk->fault_size,
                          "%llu vacant entries are not in their list", (unsigned long long)vacant);
    }
    return true;
}

bool movable_check(const tarn_movable *heap, char *fault, size_t fault_size)
{
    const movable_head *head = movable_head_of(heap);
    const uint64_t room = (uint64_t)((unsigned char *)heap->table - heap->base);
    if (head->end < FIRST_PLACE || head->end > room / GRANULE || head->count > NUMBER_MAX ||
        head->end * GRANULE + head->count * sizeof(tarn_movable_entry) > room) {
        return heap_fault(fault, fault_size, "the arena and the table overlap");
    }
    arena_walk walk = {.heap = heap, .fault = fault, .fault_size = fault_size};
    if (!check_arena(&walk) || !check_table(&walk) ||
        !holes_check(heap, walk.listed, fault, fault_size)) {
        return false;
    }
    if (walk.blocks != head->books.blocks || walk.live != head->books.live) {
        return heap_fault(fault, fault_size,
                          "%llu blocks of %llu bytes but the books have %llu of %zu",
                          (unsigned long long)walk.blocks, (unsigned long long)walk.live,
                          (unsigned long long)head->books.blocks, head->books.live);
    }
    if (walk.hole_granules != head->hole_granules) {
        return heap_fault(fault, fault_size, "the holes have %llu granules but the books have %llu",
                          (unsigned long long)walk.hole_granules,
                          (unsigned long long)head->hole_granules);
    }
    return true;
}
