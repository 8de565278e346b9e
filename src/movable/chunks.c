/* SPDX-License-Identifier: MIT */
#include "movable/core.h"

#include "heap/books.h"

#include <string.h>

/*
 * The arena: chunks side by side, holes in lists by size, two-level segregated fit.
 *
 *     [ live ][ hole ][ live ][ live ][ hole ][ live ]
 *                 ^----------------------^          ^ end
 *                 one list, places of the next and the one before in the holes' second granule
 *
 * Invariant: hole_granules counts every free chunk; those of at least LISTED_MIN are in the list of their size; a live
 * chunk says WORD_AFTER_HOLE exactly if one is before it.
 */

#define LOOKED_AT 8 /* holes of a list that are looked at one by one */

/* ---- sizes of blocks ---- */

size_t chunk_size(const tarn_movable *heap, uint32_t place)
{
    const uint64_t word = *word_at(heap, place);
    const uint32_t granules = word_granules(word);
    const size_t room = (size_t)(granules - 1) * GRANULE;
    if ((word & WORD_PADDED) == 0) {
        return room;
    }
    return room - ((const unsigned char *)word_at(heap, place + granules))[-1] % GRANULE;
}

void chunk_set_size(const tarn_movable *heap, uint32_t place, size_t size)
{
    movable_word *word = word_at(heap, place);
    const uint32_t granules = word_granules(*word);
    const size_t padding = (size_t)(granules - 1) * GRANULE - size;
    *word &= ~WORD_PADDED;
    if (padding > 0) {
        /* All of it is written, so that nothing of a freed block gets into an image. */
        unsigned char *end = (unsigned char *)word_at(heap, place + granules);
        *word |= WORD_PADDED;
        memset(end - padding, 0, padding);
        end[-1] = (unsigned char)padding;
    }
}

/* ---- tracts ---- */

static uint16_t start_in_tract(uint32_t place)
{
    return (uint16_t)((place & (TRACT_GRANULES - 1)) + 1);
}

void tract_add_start(const tarn_movable *heap, uint32_t place)
{
    movable_tract *tract = tract_at(heap, tract_of(place));
    const uint16_t start = start_in_tract(place);
    if (tract->first == 0 || start < tract->first) {
        tract->first = start;
    }
}

/* No chunk starts at the place any more; the next one starts at `next`, where perhaps the arena ends. */
static void tract_drop_start(const tarn_movable *heap, uint32_t place, uint32_t next)
{
    movable_tract *tract = tract_at(heap, tract_of(place));
    if (tract->first == start_in_tract(place)) {
        const bool has_next =
            next != movable_head_of(heap)->end && tract_of(next) == tract_of(place);
        tract->first = has_next ? start_in_tract(next) : 0;
    }
}

static uint16_t tract_share(uint32_t granules)
{
    return (uint16_t)(granules < TRACT_GRANULES ? granules : TRACT_GRANULES);
}

void tract_add_live(const tarn_movable *heap, uint32_t place, uint32_t granules)
{
    movable_tract *tract = tract_at(heap, tract_of(place));
    tract->live = (uint16_t)(tract->live + tract_share(granules));
}

static void tract_drop_live(const tarn_movable *heap, uint32_t place, uint32_t granules)
{
    movable_tract *tract = tract_at(heap, tract_of(place));
    tract->live = (uint16_t)(tract->live - tract_share(granules));
}

/* ---- the index of holes ---- */

static uint32_t list_of(uint32_t granules)
{
    if (granules < STEPS) {
        return granules;
    }
    const unsigned log2 = base_log2_floor(granules);
    return (log2 - STEPS_LOG2 + 1) * STEPS + ((granules >> (log2 - STEPS_LOG2)) & (STEPS - 1));
}

/* The first list whose holes are all at least so large. */
static uint32_t safe_list_of(uint32_t granules)
{
    if (granules < STEPS) {
        return granules;
    }
    const unsigned shift = base_log2_floor(granules) - STEPS_LOG2;
    const uint64_t rounded = (uint64_t)granules + (((uint64_t)1 << shift) - 1);
    return rounded <= UINT32_MAX ? list_of((uint32_t)rounded) : ROWS * STEPS;
}

static uint32_t next_of(const tarn_movable *heap, uint32_t hole)
{
    return (uint32_t)*word_at(heap, hole + 1);
}

static uint32_t previous_of(const tarn_movable *heap, uint32_t hole)
{
    return (uint32_t)(*word_at(heap, hole + 1) >> 32);
}

static void set_links(const tarn_movable *heap, uint32_t hole, uint32_t next, uint32_t previous)
{
    *word_at(heap, hole + 1) = next | (uint64_t)previous << 32;
}

static void enter_list(tarn_movable *heap, uint32_t hole, uint32_t list)
{
    movable_head *head = movable_head_of(heap);
    const uint32_t next = head->lists[list];
    set_links(heap, hole, next, 0);
    if (next != 0) {
        set_links(heap, next, next_of(heap, next), hole);
    }
    head->lists[list] = hole;
    head->step_maps[list / STEPS] |= (uint16_t)(1u << list % STEPS);
    head->row_map |= 1u << list / STEPS;
}

static void leave_list(tarn_movable *heap, uint32_t hole, uint32_t list)
{
    movable_head *head = movable_head_of(heap);
    const uint32_t next = next_of(heap, hole);
    const uint32_t previous = previous_of(heap, hole);
    const bool is_linked = next < head->end && previous < head->end &&
                           (next == 0 || previous_of(heap, next) == hole) &&
                           (previous == 0 ? head->lists[list] : next_of(heap, previous)) == hole;
    TARN_CHECK(is_linked, "a freed block was written to", movable_name(heap),
               word_at(heap, hole + 1));
    if (next != 0) {
        set_links(heap, next, next_of(heap, next), previous);
    }
    if (previous != 0) {
        set_links(heap, previous, next, previous_of(heap, previous));
        return;
    }
    head->lists[list] = next;
    if (next == 0) {
        head->step_maps[list / STEPS] &= (uint16_t) ~(1u << list % STEPS);
        if (head->step_maps[list / STEPS] == 0) {
            head->row_map &= ~(1u << list / STEPS);
        }
    }
}

/* The first list that is not empty, from `list` on; ROWS * STEPS if there is none. */
static uint32_t list_from(const movable_head *head, uint32_t list)
{
    if (list >= ROWS * STEPS) {
        return ROWS * STEPS;
    }
    uint32_t row = list / STEPS;
    const uint32_t steps = head->step_maps[row] & (uint32_t)(UINT32_MAX << list % STEPS);
    if (steps != 0) {
        return row * STEPS + base_ctz(steps);
    }
    const uint32_t rows = row + 1 < 32 ? head->row_map & (UINT32_MAX << (row + 1)) : 0;
    if (rows == 0) {
        return ROWS * STEPS;
    }
    row = base_ctz(rows);
    return row * STEPS + base_ctz(head->step_maps[row]);
}

void holes_forget(movable_head *head)
{
    head->row_map = 0;
    memset(head->step_maps, 0, sizeof head->step_maps);
    memset(head->lists, 0, sizeof head->lists);
    head->hole_granules = 0;
    head->clean = 0;
}

/* ---- holes ---- */

/* The whole pages that a hole has besides its words and links. */
static tarn_memory hole_pages(const tarn_movable *heap, uint32_t place, uint32_t granules)
{
    const size_t page = os_page_size();
    if (granules * GRANULE < page) {
        return (tarn_memory){NULL, 0};
    }
    unsigned char *start = base_align_pointer(word_at(heap, place + 2), page);
    const uintptr_t end = base_align_down((uintptr_t)word_at(heap, place + granules - 1), page);
    return (tarn_memory){start, end > (uintptr_t)start ? end - (uintptr_t)start : 0};
}

void hole_enter(tarn_movable *heap, uint32_t place, uint32_t granules)
{
    movable_head *head = movable_head_of(heap);
    *word_at(heap, place) = word_of_hole(granules);
    *word_at(heap, place + granules - 1) = word_of_hole(granules);
    *word_at(heap, place + granules) |= WORD_AFTER_HOLE;
    head->hole_granules += granules;
    if (granules >= LISTED_MIN) {
        enter_list(heap, place, list_of(granules));
    }
}

/* The hole is a part of one that was clean: its pages still are. */
static void hole_stay_clean(tarn_movable *heap, uint32_t place, uint32_t granules)
{
    const tarn_memory pages = hole_pages(heap, place, granules);
    if (pages.size > 0) {
        *word_at(heap, place) |= WORD_CLEAN;
        movable_head_of(heap)->clean += pages.size;
    }
}

void hole_leave(tarn_movable *heap, uint32_t place, uint32_t granules)
{
    movable_head *head = movable_head_of(heap);
    /* Both words are touched anyway: the chunks at either end are about to change. */
    TARN_CHECK(granules - 1 < head->end - place && word_is_free(*word_at(heap, place)) &&
                   *word_at(heap, place + granules - 1) == word_of_hole(granules),
               "the bytes around a freed block were overwritten", movable_name(heap),
               word_at(heap, place + 1));
    if ((*word_at(heap, place) & WORD_CLEAN) != 0) {
        head->clean -= hole_pages(heap, place, granules).size;
    }
    head->hole_granules -= granules;
    if (granules >= LISTED_MIN) {
        leave_list(heap, place, list_of(granules));
    }
}

size_t hole_clean(tarn_movable *heap, uint32_t place, uint32_t granules)
{
    movable_head *head = movable_head_of(heap);
    const tarn_memory pages = hole_pages(heap, place, granules);
    if (heap->options.keep_pages || pages.size == 0 || (*word_at(heap, place) & WORD_CLEAN) != 0 ||
        !os_pages_purge(pages.start, pages.size)) {
        return 0;
    }
    *word_at(heap, place) |= WORD_CLEAN;
    head->clean += pages.size;
    head->history.bytes_given_back += pages.size;
    return pages.size;
}

size_t holes_clean(tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    size_t given = 0;
    for (uint32_t list = list_from(head, list_of((uint32_t)(os_page_size() / GRANULE)));
         list < ROWS * STEPS; list = list_from(head, list + 1)) {
        for (uint32_t hole = head->lists[list]; hole != 0; hole = next_of(heap, hole)) {
            given += hole_clean(heap, hole, word_granules(*word_at(heap, hole)));
        }
    }
    return given;
}

size_t holes_largest(const tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    if (head->row_map == 0) {
        return 0;
    }
    const uint32_t row = base_log2_floor(head->row_map);
    const uint32_t list = row * STEPS + base_log2_floor(head->step_maps[row]);
    uint32_t largest = 0;
    uint32_t hole = head->lists[list];
    for (unsigned looks = 0; hole != 0 && looks < LOOKED_AT; looks++) {
        const uint32_t granules = word_granules(*word_at(heap, hole));
        largest = granules > largest ? granules : largest;
        hole = next_of(heap, hole);
    }
    return largest * GRANULE;
}

bool holes_check(const tarn_movable *heap, uint64_t listed, char *fault, size_t fault_size)
{
    const movable_head *head = movable_head_of(heap);
    uint64_t seen = 0;
    size_t clean = 0;
    for (uint32_t list = 0; list < ROWS * STEPS; list++) {
        const bool is_mapped = (head->step_maps[list / STEPS] >> list % STEPS & 1) != 0;
        if (is_mapped != (head->lists[list] != 0) ||
            (is_mapped && (head->row_map >> list / STEPS & 1) == 0)) {
            return heap_fault(fault, fault_size,
                              "the map of the lists of holes is wrong for list %u", (unsigned)list);
        }
        uint32_t previous = 0;
        for (uint32_t hole = head->lists[list]; hole != 0; hole = next_of(heap, hole)) {
            if (hole < FIRST_PLACE || hole >= head->end - 1 || seen == listed) {
                return heap_fault(fault, fault_size, "list %u of holes leads astray",
                                  (unsigned)list);
            }
            const uint64_t word = *word_at(heap, hole);
            if (!word_is_free(word) || word_granules(word) < LISTED_MIN ||
                list_of(word_granules(word)) != list || previous_of(heap, hole) != previous) {
                return heap_fault(fault, fault_size, "the hole at %zu is in the wrong list",
                                  hole * GRANULE);
            }
            if ((word & WORD_CLEAN) != 0) {
                clean += hole_pages(heap, hole, word_granules(word)).size;
            }
            previous = hole;
            seen++;
        }
    }
    if (seen != listed) {
        return heap_fault(fault, fault_size, "the lists have %llu holes but the arena has %llu",
                          (unsigned long long)seen, (unsigned long long)listed);
    }
    if (clean != head->clean) {
        return heap_fault(fault, fault_size, "%zu bytes of holes are clean but the books have %zu",
                          clean, head->clean);
    }
    return true;
}

/* ---- taking and releasing chunks ---- */

typedef struct hole_request {
    uint32_t granules;
    uint32_t alignment; /* granules */
    const hole_filter *filter;
} hole_request;

static bool hole_serves(const tarn_movable *heap, const hole_request *request, uint32_t hole)
{
    const uint32_t gap = chunk_gap(hole, request->alignment);
    if (word_granules(*word_at(heap, hole)) < (uint64_t)request->granules + gap) {
        return false;
    }
    const hole_filter *filter = request->filter;
    if (filter == NULL) {
        return true;
    }
    const uint32_t tract = tract_of(hole + gap);
    const uint16_t live = tract_at(heap, tract)->live;
    return tract != filter->tract &&
           (live > filter->live || (live == filter->live && tract < filter->tract));
}

/* Looks at the first holes of a list. */
static uint32_t look_in_list(const tarn_movable *heap, const hole_request *request, uint32_t list)
{
    uint32_t hole = movable_head_of(heap)->lists[list];
    for (unsigned looks = 0; hole != 0 && looks < LOOKED_AT; looks++) {
        if (hole_serves(heap, request, hole)) {
            return hole;
        }
        hole = next_of(heap, hole);
    }
    return 0;
}

/* Tightest list first: the one that has perhaps some that fit, then those that have nothing else. */
static uint32_t find_hole(const tarn_movable *heap, const hole_request *request)
{
    const movable_head *head = movable_head_of(heap);
    const uint32_t granules = request->granules < LISTED_MIN ? LISTED_MIN : request->granules;
    uint32_t list = list_of(granules);
    for (unsigned lists = 0; lists < LOOKED_AT; lists++) {
        list = list_from(head, list);
        if (list >= ROWS * STEPS) {
            return 0;
        }
        const uint32_t hole = look_in_list(heap, request, list);
        if (hole != 0) {
            return hole;
        }
        list++;
    }
    /* Large alignments and filters pass many by; an unfiltered request still gets what surely fits. */
    list = list_from(head, safe_list_of(granules + request->alignment - 1));
    return request->filter == NULL && list < ROWS * STEPS ? head->lists[list] : 0;
}

uint32_t chunk_take_hole(tarn_movable *heap, uint32_t granules, uint32_t alignment,
                         const hole_filter *filter, uint64_t *word)
{
    const hole_request request = {granules, alignment, filter};
    if (granules > UINT32_MAX - alignment) {
        return 0;
    }
    const uint32_t hole = find_hole(heap, &request);
    if (hole == 0) {
        return 0;
    }
    const uint32_t whole = word_granules(*word_at(heap, hole));
    const bool is_clean = (*word_at(heap, hole) & WORD_CLEAN) != 0;
    const uint32_t gap = chunk_gap(hole, alignment);
    const uint32_t place = hole + gap;
    const uint32_t rest = whole - gap - granules;
    hole_leave(heap, hole, whole);
    *word_at(heap, hole + whole) &= ~WORD_AFTER_HOLE;
    if (rest > 0) {
        tract_add_start(heap, place + granules);
        hole_enter(heap, place + granules, rest);
        if (is_clean) {
            hole_stay_clean(heap, place + granules, rest);
        }
    }
    *word = 0;
    if (gap > 0) {
        tract_add_start(heap, place);
        hole_enter(heap, hole, gap);
        if (is_clean) {
            hole_stay_clean(heap, hole, gap);
        }
        *word = WORD_AFTER_HOLE;
    }
    tract_add_live(heap, place, granules);
    return place;
}

uint32_t chunk_take_end(tarn_movable *heap, uint32_t granules, uint32_t alignment, uint64_t *word)
{
    movable_head *head = movable_head_of(heap);
    const uint32_t hole = head->end;
    const uint32_t gap = chunk_gap(hole, alignment);
    const uint32_t place = hole + gap;
    head->end = place + granules;
    if (head->end > head->touched) {
        head->touched = head->end;
    }
    *word = 0;
    tract_add_start(heap, place);
    tract_add_live(heap, place, granules);
    if (gap > 0) {
        tract_add_start(heap, hole);
        hole_enter(heap, hole, gap);
        *word = WORD_AFTER_HOLE;
    }
    return place;
}

/* Frees [place, place + granules), whose start is in the tracts and which no list has. */
static uint32_t release(tarn_movable *heap, uint32_t place, uint32_t granules, bool is_after_hole)
{
    movable_head *head = movable_head_of(heap);
    const uint32_t next = place + granules;
    head->changes++;
    if (next != head->end && word_is_free(*word_at(heap, next))) {
        const uint32_t more = word_granules(*word_at(heap, next));
        hole_leave(heap, next, more);
        tract_drop_start(heap, next, next + more);
        granules += more;
    }
    if (is_after_hole) {
        const uint32_t more = word_granules(*word_at(heap, place - 1));
        TARN_CHECK(more <= place - FIRST_PLACE, "the bytes before the block were overwritten",
                   movable_name(heap), word_at(heap, place + 1));
        hole_leave(heap, place - more, more);
        tract_drop_start(heap, place, place + granules);
        place -= more;
        granules += more;
    }
    if (place + granules == head->end) {
        tract_drop_start(heap, place, head->end);
        head->end = place;
    } else {
        hole_enter(heap, place, granules);
    }
    return place;
}

uint32_t chunk_release(tarn_movable *heap, uint32_t place)
{
    const uint64_t word = *word_at(heap, place);
    tract_drop_live(heap, place, word_granules(word));
    return release(heap, place, word_granules(word), (word & WORD_AFTER_HOLE) != 0);
}

static void set_granules(movable_word *word, uint32_t granules)
{
    *word = (*word & ~((uint64_t)LIVE_GRANULES_MAX << WORD_SIZE_SHIFT)) | (uint64_t)granules
                                                                              << WORD_SIZE_SHIFT;
}

bool chunk_resize(tarn_movable *heap, uint32_t place, uint32_t granules, uint64_t room)
{
    movable_head *head = movable_head_of(heap);
    movable_word *word = word_at(heap, place);
    const uint32_t old = word_granules(*word);
    const uint32_t next = place + old;
    if (granules > old) {
        const uint32_t more = granules - old;
        if (next == head->end) {
            if (more * GRANULE > room) {
                return false;
            }
            head->end += more;
            if (head->end > head->touched) {
                head->touched = head->end;
            }
        } else {
            const uint64_t behind = *word_at(heap, next);
            if (!word_is_free(behind) || word_granules(behind) < more) {
                return false;
            }
            const uint32_t rest = word_granules(behind) - more;
            hole_leave(heap, next, more + rest);
            tract_drop_start(heap, next, next + more + rest);
            *word_at(heap, next + more + rest) &= ~WORD_AFTER_HOLE;
            if (rest > 0) {
                tract_add_start(heap, next + more);
                hole_enter(heap, next + more, rest);
                if ((behind & WORD_CLEAN) != 0) {
                    hole_stay_clean(heap, next + more, rest);
                }
            }
        }
    }
    tract_drop_live(heap, place, old);
    set_granules(word, granules);
    tract_add_live(heap, place, granules);
    if (granules < old) {
        tract_add_start(heap, place + granules);
        (void)release(heap, place + granules, old - granules, false);
    }
    return true;
}
