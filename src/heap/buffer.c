/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/check.h"
#include "heap/books.h"
#include "heap/watch.h"
#include "os/os.h"
#include "tarn/heaps.h"

/*
 *     memory                     first                                                       end
 *     [ lists ][ row maps ][ tag |block in use ][ tag |next |prev | ... free ... | size ][ tag |
 *
 * A tag is the word before a block: the distance to the next block, two flags, and a check code
 * over the distance, the address and a secret. A free block keeps its links in its first bytes and
 * its size in its last ones, where the block behind finds it when it is freed.
 *
 * Free blocks hang in lists by size in grains: below 2^steps_log2 grains a list for each size (row
 * 0), above it each power of two (a row) is cut into 2^steps_log2 equal steps. Two bit maps find
 * the next list that is not empty.
 *
 * Invariant: from `first`, tags lead to `end`; no two neighbours are free; the free blocks are
 * those in the lists.
 */

/* Books live among the users' bytes, whatever type these had. */
typedef size_t __attribute__((may_alias)) word;
typedef unsigned char *__attribute__((may_alias)) link;

#define WORD sizeof(word)
#define GRAIN _Alignof(max_align_t)
#define MIN_TOTAL                                                                                  \
    (sizeof(word) * 4 <= GRAIN ? GRAIN : (sizeof(word) * 4 + GRAIN - 1) / GRAIN * GRAIN)

#define FREE ((size_t)1)
#define PREVIOUS_FREE ((size_t)2)
#define FLAGS (GRAIN - 1)

/* Where a word is wide enough, its high bits hold the check code. */
#if SIZE_MAX > UINT32_MAX
#define CODE_SHIFT 48
#define TOTAL_MAX ((size_t)1 << 47)
#else
#define TOTAL_MAX ((size_t)1 << 30)
#endif

/* Blocks of a list that a search looks at before it gives up on the list: what keeps it in constant
 * time. */
enum { LOOKS_PER_LIST = 16 };

_Static_assert(GRAIN >= 8, "flags fit under the grain");
_Static_assert(sizeof(((tarn_buffer *)0)->row_maps[0]) * 8 >= 16,
               "a row map has a bit for each list");

static tarn_buffer *buffer_of(tarn_heap *heap)
{
    return (tarn_buffer *)heap;
}

/* ------------------------------------------------------------------------------------------------
 * Words among hidden bytes. Only these functions touch them.
 */
HEAP_UNWATCHED static size_t load(const unsigned char *place)
{
    return *(const word *)(const void *)place;
}

HEAP_UNWATCHED static void store(unsigned char *place, size_t value)
{
    *(word *)(void *)place = value;
}

HEAP_UNWATCHED static unsigned char *load_link(const unsigned char *place)
{
    return *(const link *)(const void *)place;
}

HEAP_UNWATCHED static void store_link(unsigned char *place, unsigned char *value)
{
    *(link *)(void *)place = value;
}

/* ------------------------------------------------------------------------------------------------
 * Tags. `total` is the distance from a block to the next: its bytes, and the next one's tag.
 */
static size_t code_of(const tarn_buffer *buffer, const unsigned char *block, size_t total)
{
#ifdef CODE_SHIFT
    /* An odd constant with no pattern in its bits; the product's high bits depend on every bit
     * below. */
    const uint64_t product =
        ((uint64_t)(uintptr_t)block + total * 3 + buffer->secret) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(product >> CODE_SHIFT) << CODE_SHIFT;
#else
    (void)buffer;
    (void)block;
    (void)total;
    return 0;
#endif
}

static size_t tag_of(const unsigned char *block)
{
    return load(block - WORD);
}

static size_t total_in(size_t tag)
{
#ifdef CODE_SHIFT
    tag &= ((size_t)1 << CODE_SHIFT) - 1;
#endif
    return tag & ~FLAGS;
}

static size_t total_of(const unsigned char *block)
{
    return total_in(tag_of(block));
}

static bool is_free(const unsigned char *block)
{
    return (tag_of(block) & FREE) != 0;
}

static bool is_previous_free(const unsigned char *block)
{
    return (tag_of(block) & PREVIOUS_FREE) != 0;
}

static void set_tag(const tarn_buffer *buffer, unsigned char *block, size_t total, size_t flags)
{
    store(block - WORD, total | flags | code_of(buffer, block, total));
}

static void set_previous_free(unsigned char *block, bool is)
{
    const size_t tag = tag_of(block);
    store(block - WORD, is ? tag | PREVIOUS_FREE : tag & ~PREVIOUS_FREE);
}

/* True if the word before the block is a tag that this buffer wrote there. */
static bool has_tag(const tarn_buffer *buffer, const unsigned char *block)
{
    const size_t tag = tag_of(block);
    const size_t total = total_in(tag);
    return (tag ^ code_of(buffer, block, total)) == (total | (tag & (FREE | PREVIOUS_FREE))) &&
           total <= (size_t)(buffer->end - block) && (total >= MIN_TOTAL || block == buffer->end);
}

/* True if a block could start at the pointer, as far as its address tells. */
static bool is_place(const tarn_buffer *buffer, const void *pointer)
{
    return (uintptr_t)pointer >= (uintptr_t)buffer->first &&
           (uintptr_t)pointer < (uintptr_t)buffer->end && base_is_aligned(pointer, GRAIN);
}

/* ------------------------------------------------------------------------------------------------
 * Free blocks.
 */
typedef struct list_place {
    uint32_t row;
    uint32_t step;
} list_place;

/* The list for blocks of `total` bytes. */
static list_place place_of(const tarn_buffer *buffer, size_t total)
{
    const size_t grains = total / GRAIN;
    if (grains >> buffer->steps_log2 == 0) {
        return (list_place){.row = 0, .step = (uint32_t)grains};
    }
    const uint32_t power = base_log2_floor(grains);
    return (list_place){
        .row = power - buffer->steps_log2 + 1,
        .step = (uint32_t)(grains >> (power - buffer->steps_log2)) - (1U << buffer->steps_log2),
    };
}

static unsigned char **list_at(const tarn_buffer *buffer, list_place place)
{
    return &buffer->lists[((size_t)place.row << buffer->steps_log2) + place.step];
}

static unsigned char *next_of(const unsigned char *block)
{
    return load_link(block);
}

static unsigned char *previous_of(const unsigned char *block)
{
    return load_link(block + sizeof(link));
}

static void set_next(unsigned char *block, unsigned char *next)
{
    store_link(block, next);
}

static void set_previous(unsigned char *block, unsigned char *previous)
{
    store_link(block + sizeof(link), previous);
}

/* Makes a free block of `total` bytes at `block`, whose neighbours are in use, and puts it into its
 * list. */
static void add_free(tarn_buffer *buffer, unsigned char *block, size_t total)
{
    set_tag(buffer, block, total, FREE);
    store(block + total - 2 * WORD, total);
    set_previous_free(block + total, true);

    const list_place place = place_of(buffer, total);
    unsigned char **list = list_at(buffer, place);
    set_next(block, *list);
    set_previous(block, NULL);
    if (*list != NULL) {
        set_previous(*list, block);
    }
    *list = block;
    buffer->row_maps[place.row] |= (uint16_t)(1U << place.step);
    buffer->row_map |= UINT64_C(1) << place.row;
}

/* Takes a free block out of its list and returns its total. Who wrote into it after its free, or
 * past the end of the block before it, has broken its links or its tag. */
static size_t remove_free(tarn_buffer *buffer, unsigned char *block)
{
    TARN_CHECK(has_tag(buffer, block) && is_free(block),
               "the bytes before a free block were overwritten", buffer->heap.name, block);
    const size_t total = total_of(block);
    const list_place place = place_of(buffer, total);
    unsigned char **list = list_at(buffer, place);
    unsigned char *next = next_of(block);
    unsigned char *previous = previous_of(block);
    TARN_CHECK((previous == NULL ? *list == block
                                 : is_place(buffer, previous) && next_of(previous) == block) &&
                   (next == NULL || (is_place(buffer, next) && previous_of(next) == block)),
               "the links of a free block were overwritten", buffer->heap.name, block);

    if (next != NULL) {
        set_previous(next, previous);
    }
    if (previous != NULL) {
        set_next(previous, next);
        return total;
    }
    *list = next;
    if (next == NULL) {
        buffer->row_maps[place.row] &= (uint16_t) ~(1U << place.step);
        if (buffer->row_maps[place.row] == 0) {
            buffer->row_map &= ~(UINT64_C(1) << place.row);
        }
    }
    return total;
}

/* Moves `place` to the first list at or after it that is not empty; false if there is none. */
static bool find_list(const tarn_buffer *buffer, list_place *place)
{
    if (place->row >= buffer->row_count) {
        return false;
    }
    const uint32_t steps = (uint32_t)buffer->row_maps[place->row] >> place->step;
    if (steps != 0) {
        place->step += base_ctz(steps);
        return true;
    }
    const uint64_t rows = buffer->row_map >> place->row >> 1;
    if (rows == 0) {
        return false;
    }
    place->row += 1 + base_ctz(rows);
    place->step = base_ctz(buffer->row_maps[place->row]);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * Finding a block for a request.
 */

/* What a block for `size` bytes takes of the memory. */
static size_t total_for(size_t size)
{
    const size_t total = base_align_up(size + WORD, GRAIN);
    return total < MIN_TOTAL ? MIN_TOTAL : total;
}

/* Bytes from the free block to the first aligned place in it that leaves room for a free block
 * before, or none. */
static size_t gap_for(const unsigned char *block, size_t alignment)
{
    const uintptr_t address = (uintptr_t)block;
    const size_t gap = base_align_up(address, alignment) - address;
    return gap == 0 || gap >= MIN_TOTAL ? gap : gap + base_align_up(MIN_TOTAL - gap, alignment);
}

static bool fits(const unsigned char *block, size_t total, size_t alignment)
{
    const size_t room = total_of(block);
    const size_t gap = gap_for(block, alignment);
    return gap < room && room - gap >= total;
}

/* The first block of the lists whose every block is large enough: good fit. NULL if they are all
 * empty. */
static unsigned char *find_good_fit(const tarn_buffer *buffer, size_t total)
{
    const size_t grains = total / GRAIN;
    if (grains >> buffer->steps_log2 != 0) {
        /* Up to the next step, so that the smallest block of the list is large enough. */
        total += ((size_t)1 << (base_log2_floor(grains) - buffer->steps_log2)) * GRAIN - GRAIN;
    }
    list_place place = place_of(buffer, total);
    return find_list(buffer, &place) ? *list_at(buffer, place) : NULL;
}

/* Looks at blocks one by one, a few in each list: before it says no, a heap should have looked
 * where the blocks that are just large enough hang among those that are not. */
static unsigned char *find_one_by_one(const tarn_buffer *buffer, size_t total, size_t alignment)
{
    list_place place = place_of(buffer, total);
    for (; find_list(buffer, &place); place.step++) {
        unsigned char *block = *list_at(buffer, place);
        for (int looks = 0; block != NULL && looks < LOOKS_PER_LIST; looks++) {
            if (fits(block, total, alignment)) {
                return block;
            }
            block = next_of(block);
        }
    }
    return NULL;
}

static unsigned char *find_block(const tarn_buffer *buffer, size_t total, size_t alignment)
{
    const size_t whole = (size_t)(buffer->end - buffer->first);
    if (total > whole || alignment > TOTAL_MAX) {
        return NULL;
    }
    const size_t worst_gap = alignment <= GRAIN ? 0 : alignment + MIN_TOTAL;
    if (worst_gap <= whole - total) {
        unsigned char *block = find_good_fit(buffer, total + worst_gap);
        if (block != NULL) {
            return block;
        }
    }
    return find_one_by_one(buffer, total, alignment);
}

/* Makes the bytes from `block` + `total` to `block` + `room`, which belong to no block, a free one.
 * `block` is in use and so is what follows the room. The bytes stay with the block if they are too
 * few. Returns the block's total. */
static size_t split(tarn_buffer *buffer, unsigned char *block, size_t total, size_t room)
{
    if (room - total < MIN_TOTAL) {
        return room;
    }
    add_free(buffer, block + total, room - total);
    return total;
}

static void *alloc_block(tarn_buffer *buffer, size_t size, size_t alignment)
{
    const size_t total = total_for(size);
    unsigned char *block = find_block(buffer, total, alignment);
    if (block == NULL) {
        buffer->books.failures++;
        return NULL;
    }
    const size_t gap = gap_for(block, alignment);
    const size_t room = remove_free(buffer, block) - gap;
    if (gap > 0) {
        add_free(buffer, block, gap);
        block += gap;
    }
    set_previous_free(block + room, false);
    set_tag(buffer, block, split(buffer, block, total, room), gap > 0 ? PREVIOUS_FREE : 0);
    heap_books_give(&buffer->books, size);
    heap_watch_give(block, size);
    return block;
}

/* ------------------------------------------------------------------------------------------------
 * Taking a block back.
 */

/* What a stranger may get wrong about a block, and what an overrun leaves behind. */
static void check_block(const tarn_buffer *buffer, unsigned char *block, size_t size)
{
    const char *name = buffer->heap.name;
    TARN_CHECK(is_place(buffer, block), "not a block of this heap", name, block);
    TARN_CHECK(has_tag(buffer, block),
               "not a block of this heap, or the bytes before it were overwritten", name, block);
    TARN_CHECK(!is_free(block), "double free", name, block);
    const size_t total = total_of(block);
    /* A size that needs more than there is wraps to a huge difference. */
    TARN_CHECK(size <= PTRDIFF_MAX && total - total_for(size) < MIN_TOTAL,
               "wrong size given back with the block", name, block);
    TARN_CHECK(has_tag(buffer, block + total) && !is_previous_free(block + total),
               "the bytes behind the block were overwritten", name, block);
}

/* Takes the free neighbour behind the room of a block away from the lists. Returns the room with
 * it. */
static size_t absorb_next(tarn_buffer *buffer, unsigned char *block, size_t room)
{
    unsigned char *next = block + room;
    return is_free(next) ? room + remove_free(buffer, next) : room;
}

/* The free neighbour before a block, taken away from the lists, or the block itself. */
static unsigned char *absorb_previous(tarn_buffer *buffer, unsigned char *block)
{
    if (!is_previous_free(block)) {
        return block;
    }
    const size_t distance = load(block - 2 * WORD);
    TARN_CHECK(distance <= (size_t)(block - buffer->first) && distance % GRAIN == 0 &&
                   has_tag(buffer, block - distance) && is_free(block - distance) &&
                   total_of(block - distance) == distance,
               "the free block before this one was overwritten", buffer->heap.name, block);
    remove_free(buffer, block - distance);
    return block - distance;
}

static void free_block(tarn_buffer *buffer, unsigned char *block, size_t size)
{
    check_block(buffer, block, size);
    heap_watch_take(block, size);
    heap_books_take(&buffer->books, size);

    const size_t total = total_of(block);
    unsigned char *end = block + absorb_next(buffer, block, total);
    unsigned char *start = absorb_previous(buffer, block);
    /* Marked although a merge forgets it: the tag stays behind and gives away a second free. */
    set_tag(buffer, block, total, FREE);
    add_free(buffer, start, (size_t)(end - start));
}

static bool resize_block(tarn_buffer *buffer, unsigned char *block, size_t old_size,
                         size_t new_size)
{
    check_block(buffer, block, old_size);
    const size_t total = total_for(new_size);
    const size_t own_room = total_of(block);
    const unsigned char *next = block + own_room;
    if (total > own_room + (is_free(next) ? total_of(next) : 0)) {
        return false;
    }
    const size_t room = absorb_next(buffer, block, own_room);
    const size_t flags = tag_of(block) & PREVIOUS_FREE;
    set_previous_free(block + room, false);
    set_tag(buffer, block, split(buffer, block, total, room), flags);
    heap_books_resize(&buffer->books, old_size, new_size);
    heap_watch_resize(block, old_size, block, new_size);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * The heap.
 */
static void *buffer_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    heap_watch_pause();
    void *block = alloc_block(buffer_of(heap), size, alignment);
    heap_watch_resume();
    return block;
}

static void buffer_free(tarn_heap *heap, void *block, size_t size)
{
    heap_watch_pause();
    free_block(buffer_of(heap), block, size);
    heap_watch_resume();
}

static bool buffer_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    heap_watch_pause();
    const bool done = resize_block(buffer_of(heap), block, old_size, new_size);
    heap_watch_resume();
    return done;
}

/* The largest block that a search is sure to find. Larger lists are looked at first. */
static size_t largest_free(const tarn_buffer *buffer)
{
    if (buffer->row_map == 0) {
        return 0;
    }
    const uint32_t row = base_log2_floor(buffer->row_map);
    const uint32_t step = base_log2_floor(buffer->row_maps[row]);
    size_t largest = 0;
    const unsigned char *block = *list_at(buffer, (list_place){row, step});
    for (int looks = 0; block != NULL && looks < LOOKS_PER_LIST; looks++) {
        const size_t total = total_of(block);
        largest = total > largest ? total : largest;
        block = next_of(block);
    }
    return largest - WORD;
}

static void buffer_stats(tarn_heap *heap, tarn_stats *stats)
{
    tarn_buffer *buffer = buffer_of(heap);
    heap_watch_pause();
    *stats = buffer->books;
    stats->largest_free = largest_free(buffer);
    heap_watch_resume();
}

static bool check_lists(const tarn_buffer *buffer, uint64_t free_count, char *fault,
                        size_t fault_size)
{
    uint64_t listed = 0;
    for (uint32_t row = 0; row < buffer->row_count; row++) {
        if (((buffer->row_map >> row & 1) != 0) != (buffer->row_maps[row] != 0)) {
            return heap_fault(fault, fault_size, "the map of rows is wrong about row %u",
                              (unsigned)row);
        }
        for (uint32_t step = 0; step < 1U << buffer->steps_log2; step++) {
            const unsigned char *block = *list_at(buffer, (list_place){row, step});
            if (((buffer->row_maps[row] >> step & 1) != 0) != (block != NULL)) {
                return heap_fault(fault, fault_size, "the map of row %u is wrong about list %u",
                                  (unsigned)row, (unsigned)step);
            }
            for (const unsigned char *previous = NULL; block != NULL; block = next_of(block)) {
                if (!is_place(buffer, block) || !has_tag(buffer, block) || !is_free(block) ||
                    previous_of(block) != previous || listed == free_count) {
                    return heap_fault(fault, fault_size, "the links of a free list lead to %p",
                                      (const void *)block);
                }
                const list_place own = place_of(buffer, total_of(block));
                if (own.row != row || own.step != step) {
                    return heap_fault(fault, fault_size, "free block %p hangs in a wrong list",
                                      (const void *)block);
                }
                previous = block;
                listed++;
            }
        }
    }
    if (listed != free_count) {
        return heap_fault(fault, fault_size, "%llu blocks are free but the lists have %llu",
                          (unsigned long long)free_count, (unsigned long long)listed);
    }
    return true;
}

static bool check_blocks(const tarn_buffer *buffer, char *fault, size_t fault_size)
{
    uint64_t free_count = 0;
    uint64_t used_count = 0;
    bool was_free = false;
    const unsigned char *block = buffer->first;
    for (;; block += total_of(block)) {
        if (!has_tag(buffer, block)) {
            return heap_fault(fault, fault_size, "the bytes before block %p were overwritten",
                              (const void *)block);
        }
        if (is_previous_free(block) != was_free) {
            return heap_fault(fault, fault_size, "block %p is wrong about the block before it",
                              (const void *)block);
        }
        if (block == buffer->end) {
            break;
        }
        if (is_free(block)) {
            if (was_free) {
                return heap_fault(fault, fault_size, "free block %p follows a free block",
                                  (const void *)block);
            }
            if (load(block + total_of(block) - 2 * WORD) != total_of(block)) {
                return heap_fault(fault, fault_size, "free block %p was overwritten at its end",
                                  (const void *)block);
            }
            free_count++;
        } else {
            used_count++;
        }
        was_free = is_free(block);
    }
    if (used_count != buffer->books.blocks) {
        return heap_fault(fault, fault_size, "%llu blocks are in use but the books have %llu",
                          (unsigned long long)used_count, (unsigned long long)buffer->books.blocks);
    }
    return check_lists(buffer, free_count, fault, fault_size);
}

static bool buffer_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    heap_watch_pause();
    const bool balances = check_blocks(buffer_of(heap), fault, fault_size);
    heap_watch_resume();
    return balances;
}

static bool buffer_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    const tarn_buffer *buffer = buffer_of(heap);
    bool goes_on = true;
    unsigned char *block = buffer->first;
    while (goes_on && block != buffer->end) {
        heap_watch_pause();
        const size_t total = total_of(block);
        const bool is_live = !is_free(block);
        heap_watch_resume();
        if (is_live) {
            goes_on = visitor(context, block, total - WORD);
        }
        block += total;
    }
    return goes_on;
}

/* Makes all the memory between the books and the end one free block. */
static void lay_out(tarn_buffer *buffer)
{
    heap_watch_hide(buffer->first - WORD, (size_t)(buffer->end - buffer->first) + WORD);
    heap_watch_pause();
    const size_t list_count = (size_t)buffer->row_count << buffer->steps_log2;
    for (size_t i = 0; i < list_count; i++) {
        buffer->lists[i] = NULL;
    }
    for (uint32_t row = 0; row < buffer->row_count; row++) {
        buffer->row_maps[row] = 0;
    }
    buffer->row_map = 0;
    set_tag(buffer, buffer->end, 0, 0);
    add_free(buffer, buffer->first, (size_t)(buffer->end - buffer->first));
    heap_watch_resume();
}

static bool buffer_reset(tarn_heap *heap)
{
    tarn_buffer *buffer = buffer_of(heap);
    heap_books_take_all(&buffer->books);
    buffer->secret++; /* the tags of the blocks that are gone must not pass for tags */
    lay_out(buffer);
    return true;
}

static const tarn_heap_ops buffer_ops = {
    .alloc = buffer_alloc,
    .free = buffer_free,
    .resize = buffer_resize,
    .stats = buffer_stats,
    .check = buffer_check,
    .visit = buffer_visit,
    .reset = buffer_reset,
};

/* Finer steps waste less of a block, but their lists take more of a small memory. */
static uint32_t steps_log2_for(size_t size)
{
    return size < (size_t)16 << 10 ? 2 : size < (size_t)256 << 10 ? 3 : 4;
}

tarn_status tarn_buffer_init(tarn_buffer *buffer, tarn_memory memory,
                             const tarn_buffer_options *options)
{
    if (memory.start == NULL) {
        return TARN_BAD_ARGUMENT;
    }
    if (memory.size > TOTAL_MAX) {
        return TARN_TOO_LARGE;
    }
    const bool is_named = options != NULL && options->name != NULL;
    *buffer = (tarn_buffer){
        .heap = {.ops = &buffer_ops, .name = is_named ? options->name : "buffer"},
        .memory = memory,
        .steps_log2 = steps_log2_for(memory.size),
        .secret = os_random(),
    };
    buffer->row_count = place_of(buffer, memory.size).row + 1;

    /* Sizes, not pointers, until it is known to fit: a pointer may not leave its array. */
    const uintptr_t start = (uintptr_t)memory.start;
    const size_t list_count = (size_t)buffer->row_count << buffer->steps_log2;
    const size_t lists = base_align_up(start, _Alignof(link)) - start;
    const size_t row_maps = lists + list_count * sizeof *buffer->lists;
    const size_t books_end = row_maps + buffer->row_count * sizeof *buffer->row_maps;
    const size_t first = base_align_up(start + books_end + WORD, GRAIN) - start;
    const size_t end = base_align_down(start + memory.size, GRAIN) - start;
    if (memory.size < first + MIN_TOTAL) {
        return TARN_NO_ROOM;
    }
    unsigned char *bytes = memory.start;
    buffer->lists = (unsigned char **)(void *)(bytes + lists);
    buffer->row_maps = (uint16_t *)(void *)(bytes + row_maps);
    buffer->first = bytes + first;
    buffer->end = bytes + end;
    heap_books_hold(&buffer->books, memory.size);
    lay_out(buffer);
    return TARN_OK;
}

void tarn_buffer_deinit(tarn_buffer *buffer)
{
    heap_watch_show(buffer->memory.start, buffer->memory.size);
}
