/* SPDX-License-Identifier: MIT */
#include "region_reference.h"

#include <stdio.h>
#include <stdlib.h>

static const uint32_t nowhere = UINT32_MAX;

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "region_reference: %s\n", what);
        abort();
    }
}

/* ------------------------------------------------------------------------------------------------
 * The array of partitions.
 */
static void make_room(region_reference *reference, uint32_t at)
{
    if (reference->count == reference->capacity) {
        reference->capacity = reference->capacity * 2 + 16;
        reference->partitions =
            realloc(reference->partitions, reference->capacity * sizeof(reference_partition));
        must(reference->partitions != NULL, "no memory");
    }
    for (uint32_t i = reference->count; i > at; i--) {
        reference->partitions[i] = reference->partitions[i - 1];
    }
    reference->count++;
}

static void leave_out(region_reference *reference, uint32_t at)
{
    reference->count--;
    for (uint32_t i = at; i < reference->count; i++) {
        reference->partitions[i] = reference->partitions[i + 1];
    }
}

static uint32_t find_block(const region_reference *reference, uint32_t block)
{
    for (uint32_t i = 0; i < reference->count; i++) {
        const reference_partition *it = &reference->partitions[i];
        if (!it->is_free && it->start + it->skip == block) {
            return i;
        }
    }
    must(false, "asked for a block that it does not have");
    return nowhere;
}

static bool is_free_at(const region_reference *reference, uint32_t i)
{
    return i < reference->count && reference->partitions[i].is_free;
}

/* ------------------------------------------------------------------------------------------------
 * Groups: free partitions that hang in one list. Best fit has one for each of the sizes below `exact`,
 * segregated fit one for each size below `steps` and then `steps` in each power of two.
 */
static uint32_t group_of(const region_reference *reference, uint32_t size)
{
    if (reference->policy == TARN_BEST_FIT) {
        return size < reference->exact ? size : nowhere;
    }
    uint32_t step = 1;
    uint32_t row = 0;
    while (size / step >= 2 * reference->steps) {
        step *= 2;
        row++;
    }
    return row * reference->steps + size / step;
}

static uint32_t smallest_of_group(const region_reference *reference, uint32_t group)
{
    if (group < reference->steps) {
        return group;
    }
    const uint32_t row = group / reference->steps - 1;
    return (group - row * reference->steps) << row;
}

/* The head of the group's list, or nowhere. */
static uint32_t head_of(const region_reference *reference, uint32_t group)
{
    uint32_t head = nowhere;
    for (uint32_t i = 0; i < reference->count; i++) {
        const reference_partition *it = &reference->partitions[i];
        if (it->is_free && group_of(reference, it->size) == group &&
            (head == nowhere || it->place < reference->partitions[head].place)) {
            head = i;
        }
    }
    return head;
}

/* Frees the partition, which becomes the head of its list if it begins before the head, else the end. */
static void insert(region_reference *reference, uint32_t at)
{
    reference_partition *it = &reference->partitions[at];
    it->is_free = true;
    it->skip = 0;
    it->place = 0;
    if (reference->policy != TARN_BEST_FIT && reference->policy != TARN_SEGREGATED_FIT) {
        return;
    }
    const uint32_t group = group_of(reference, it->size);
    const reference_partition *head = NULL;
    int64_t last = INT64_MIN;
    for (uint32_t i = 0; i < reference->count; i++) {
        const reference_partition *other = &reference->partitions[i];
        if (i != at && other->is_free && group_of(reference, other->size) == group) {
            head = head == NULL || other->place < head->place ? other : head;
            last = other->place > last ? other->place : last;
        }
    }
    if (head != NULL) {
        it->place = it->start < head->start ? head->place - 1 : last + 1;
    }
}

/* ------------------------------------------------------------------------------------------------
 * The choice of each policy among the free partitions of at least `need` granules.
 */
static uint32_t choose_first(const region_reference *reference, uint32_t need, uint32_t from)
{
    for (uint32_t i = 0; i < reference->count; i++) {
        const reference_partition *it = &reference->partitions[i];
        if (it->is_free && it->start >= from && it->size >= need) {
            return i;
        }
    }
    return nowhere;
}

static uint32_t choose_next(const region_reference *reference, uint32_t need)
{
    const uint32_t found = choose_first(reference, need, reference->rover);
    return found != nowhere ? found : choose_first(reference, need, 0);
}

/* The smallest or largest, among equals the first. */
static uint32_t choose_extreme(const region_reference *reference, uint32_t need, bool largest)
{
    uint32_t found = nowhere;
    for (uint32_t i = 0; i < reference->count; i++) {
        const reference_partition *it = &reference->partitions[i];
        if (!it->is_free || it->size < need) {
            continue;
        }
        const uint32_t size = found == nowhere ? 0 : reference->partitions[found].size;
        if (found == nowhere || (largest ? it->size > size : it->size < size)) {
            found = i;
        }
    }
    return found;
}

static uint32_t choose_best(const region_reference *reference, uint32_t need)
{
    const uint32_t found = choose_extreme(reference, need, false);
    if (found == nowhere) {
        return nowhere;
    }
    const uint32_t group = group_of(reference, reference->partitions[found].size);
    return group == nowhere ? found : head_of(reference, group);
}

static uint32_t choose_segregated(const region_reference *reference, uint32_t need)
{
    const uint32_t own = head_of(reference, group_of(reference, need));
    if (own != nowhere && reference->partitions[own].size >= need) {
        return own;
    }
    uint32_t lowest = nowhere;
    for (uint32_t i = 0; i < reference->count; i++) {
        const reference_partition *it = &reference->partitions[i];
        const uint32_t group = group_of(reference, it->size);
        if (it->is_free && smallest_of_group(reference, group) >= need && group < lowest) {
            lowest = group;
        }
    }
    return lowest == nowhere ? nowhere : head_of(reference, lowest);
}

static uint32_t choose(const region_reference *reference, uint64_t need)
{
    if (need > reference->granules) {
        return nowhere;
    }
    const uint32_t granules = (uint32_t)need;
    switch (reference->policy) {
    case TARN_BEST_FIT:
        return choose_best(reference, granules);
    case TARN_NEXT_FIT:
        return choose_next(reference, granules);
    case TARN_WORST_FIT:
        return choose_extreme(reference, granules, true);
    case TARN_SEGREGATED_FIT:
        return choose_segregated(reference, granules);
    case TARN_BUDDY:
    case TARN_FIXED_PARTITIONS:
        return choose_extreme(reference, granules, false);
    case TARN_FIRST_FIT:
    case TARN_SINGLE:
        break;
    }
    return choose_first(reference, granules, 0);
}

/* ------------------------------------------------------------------------------------------------
 * Sizes and places.
 */
static bool is_dynamic(const region_reference *reference)
{
    return reference->policy <= TARN_SEGREGATED_FIT;
}

static bool is_buddy(const region_reference *reference)
{
    return reference->policy == TARN_BUDDY;
}

static uint64_t need_of(const region_reference *reference, size_t size)
{
    const uint64_t bytes = (uint64_t)(size == 0 ? 1 : size) + reference->tag;
    uint64_t need = (bytes + reference->granule - 1) / reference->granule;
    if (is_buddy(reference)) {
        uint64_t power = 1;
        while (power < need) {
            power *= 2;
        }
        need = power;
    }
    return need < reference->smallest ? reference->smallest : need;
}

/* How far into the partition the lowest aligned block may begin: what is before it is a partition too. */
static uint64_t skip_in(const region_reference *reference, const reference_partition *partition,
                        size_t alignment)
{
    const uint64_t step = alignment <= reference->granule ? 1 : alignment / reference->granule;
    const uint64_t first = reference->address / reference->granule + partition->start;
    uint64_t skip = (first + step - 1) / step * step - first;
    while (is_dynamic(reference) && skip != 0 && skip < reference->smallest) {
        skip += step;
    }
    return skip;
}

/* Finds a partition for an aligned block; `skip` gets how far into it. */
static uint32_t choose_aligned(const region_reference *reference, uint64_t need, size_t alignment,
                               uint64_t *skip)
{
    *skip = 0;
    uint32_t found = choose(reference, need);
    if (found == nowhere || alignment <= reference->granule) {
        return found;
    }
    *skip = skip_in(reference, &reference->partitions[found], alignment);
    if (*skip + need > reference->partitions[found].size) {
        found = choose(reference, need + alignment / reference->granule + reference->smallest - 1);
        if (found != nowhere) {
            *skip = skip_in(reference, &reference->partitions[found], alignment);
        }
    }
    return found;
}

/* ------------------------------------------------------------------------------------------------
 * Dynamic partitions.
 */

/* Makes `before` free granules, a used partition and `after` free granules of one partition. Returns where
 * the used one is. */
static uint32_t cut(region_reference *reference, uint32_t at, uint32_t before, uint32_t after)
{
    reference->partitions[at].is_free = false;
    reference->partitions[at].skip = 0;
    const reference_partition whole = reference->partitions[at];
    uint32_t used = at;
    if (before != 0) {
        make_room(reference, at);
        used++;
        reference->partitions[at].size = before;
        reference->partitions[used].start = whole.start + before;
        insert(reference, at);
    }
    reference->partitions[used].size = whole.size - before - after;
    if (after != 0) {
        make_room(reference, used);
        reference->partitions[used + 1] = reference->partitions[used];
        reference->partitions[used + 1].size = after;
        reference->partitions[used + 1].start = whole.start + whole.size - after;
        insert(reference, used + 1);
    }
    return used;
}

static uint32_t alloc_dynamic(region_reference *reference, uint64_t need, size_t alignment)
{
    uint64_t skip;
    const uint32_t found = choose_aligned(reference, need, alignment, &skip);
    if (found == nowhere) {
        return nowhere;
    }
    const reference_partition whole = reference->partitions[found];
    uint64_t before = skip;
    uint64_t after = whole.size - skip - need;
    if (after < reference->smallest) {
        after = 0;
    }
    const bool is_aligned = alignment > reference->granule;
    if (!is_aligned) {
        /* The high end. */
        before = after;
        after = 0;
    }
    const uint32_t used = cut(reference, found, (uint32_t)before, (uint32_t)after);
    reference->rover = is_aligned ? reference->partitions[used].start : whole.start;
    return used;
}

static void free_dynamic(region_reference *reference, uint32_t at)
{
    if (is_free_at(reference, at + 1)) {
        reference->partitions[at].size += reference->partitions[at + 1].size;
        leave_out(reference, at + 1);
    }
    if (at > 0 && is_free_at(reference, at - 1)) {
        reference->partitions[at - 1].size += reference->partitions[at].size;
        leave_out(reference, at);
        at--;
    }
    insert(reference, at);
}

static bool resize_dynamic(region_reference *reference, uint32_t at, uint64_t need)
{
    const uint32_t old = reference->partitions[at].size;
    const bool has_behind = is_free_at(reference, at + 1);
    const uint64_t whole = (uint64_t)old + (has_behind ? reference->partitions[at + 1].size : 0);
    if (need > whole) {
        return false;
    }
    if (need == old || (!has_behind && old - need < reference->smallest)) {
        return true;
    }
    if (has_behind) {
        leave_out(reference, at + 1);
    }
    reference->partitions[at].size = (uint32_t)whole;
    const uint64_t after = whole - need < reference->smallest ? 0 : whole - need;
    cut(reference, at, 0, (uint32_t)after);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * Buddies.
 */
static void open_buddies(region_reference *reference)
{
    uint32_t start = 0;
    for (uint32_t size = UINT32_C(1) << 31; size != 0; size /= 2) {
        if ((reference->granules & size) != 0) {
            make_room(reference, reference->count);
            reference->partitions[reference->count - 1] =
                (reference_partition){.start = start, .size = size, .is_free = true};
            start += size;
        }
    }
}

/* Keeps the low half; the high one is free. */
static void halve(region_reference *reference, uint32_t at)
{
    const uint32_t half = reference->partitions[at].size / 2;
    make_room(reference, at);
    reference->partitions[at].size = half;
    reference->partitions[at + 1] = reference->partitions[at];
    reference->partitions[at + 1].start += half;
    reference->partitions[at + 1].is_free = true;
}

static uint32_t alloc_buddy(region_reference *reference, uint64_t need, size_t alignment)
{
    const uint64_t aligned = alignment / reference->granule;
    need = need < aligned ? aligned : need;
    const uint32_t found = choose(reference, need);
    if (found == nowhere) {
        return nowhere;
    }
    while (reference->partitions[found].size / 2 >= need) {
        halve(reference, found);
    }
    reference->partitions[found].is_free = false;
    return found;
}

static bool is_free_buddy(const region_reference *reference, uint32_t at, uint32_t start,
                          uint32_t size)
{
    return is_free_at(reference, at) && reference->partitions[at].start == start &&
           reference->partitions[at].size == size;
}

static void free_buddy(region_reference *reference, uint32_t at)
{
    reference->partitions[at].is_free = true;
    for (;;) {
        const uint32_t size = reference->partitions[at].size;
        const uint32_t buddy = reference->partitions[at].start ^ size;
        if (is_free_buddy(reference, at + 1, buddy, size)) {
            leave_out(reference, at + 1);
        } else if (at > 0 && is_free_buddy(reference, at - 1, buddy, size)) {
            leave_out(reference, at);
            at--;
        } else {
            return;
        }
        reference->partitions[at].size = size * 2;
    }
}

static bool resize_buddy(region_reference *reference, uint32_t at, uint64_t need)
{
    const uint32_t start = reference->partitions[at].start;
    uint64_t size = reference->partitions[at].size;
    uint32_t behind = 0;
    for (; size < need; size *= 2) {
        behind++;
        if ((start & size) != 0 ||
            !is_free_buddy(reference, at + behind, start + (uint32_t)size, (uint32_t)size)) {
            return false;
        }
    }
    for (; behind > 0; behind--) {
        leave_out(reference, at + 1);
    }
    reference->partitions[at].size = (uint32_t)size;
    while (reference->partitions[at].size > need) {
        halve(reference, at);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * Fixed partitions, and the single one.
 */
static void add_fixed(region_reference *reference, uint64_t size)
{
    const uint32_t count = reference->count;
    const uint32_t start =
        count == 0 ? 0
                   : reference->partitions[count - 1].start + reference->partitions[count - 1].size;
    make_room(reference, count);
    reference->partitions[count] =
        (reference_partition){.start = start, .size = (uint32_t)size, .is_free = true};
}

static void open_fixed(region_reference *reference)
{
    uint64_t left = reference->granules;
    for (size_t i = 0; reference->sizes == NULL || i < reference->size_count; i++) {
        const uint64_t size = need_of(
            reference, reference->sizes == NULL ? reference->partition_size : reference->sizes[i]);
        if (size > left) {
            return;
        }
        add_fixed(reference, size);
        left -= size;
    }
}

static uint32_t alloc_fixed(region_reference *reference, uint64_t need, size_t alignment)
{
    uint64_t skip;
    const uint32_t found = choose_aligned(reference, need, alignment, &skip);
    if (found == nowhere || skip + need > reference->partitions[found].size) {
        return nowhere;
    }
    reference->partitions[found].is_free = false;
    reference->partitions[found].skip = (uint32_t)skip;
    return found;
}

/* ------------------------------------------------------------------------------------------------
 * What a region has, too.
 */
void reference_reset(region_reference *reference)
{
    reference->count = 0;
    reference->rover = 0;
    reference->used = 0;
    if (is_buddy(reference)) {
        open_buddies(reference);
    } else if (reference->policy == TARN_FIXED_PARTITIONS) {
        open_fixed(reference);
    } else {
        add_fixed(reference, reference->granules);
    }
}

void reference_open(region_reference *reference)
{
    reference->partitions = NULL;
    reference->capacity = 0;
    reference_reset(reference);
}

void reference_close(region_reference *reference)
{
    free(reference->partitions);
}

uint32_t reference_alloc(region_reference *reference, size_t size, size_t alignment)
{
    const uint64_t need = need_of(reference, size);
    alignment = alignment == 0 ? _Alignof(max_align_t) : alignment;
    uint32_t at;
    if (is_dynamic(reference)) {
        at = alloc_dynamic(reference, need, alignment);
    } else if (is_buddy(reference)) {
        at = alloc_buddy(reference, need, alignment);
    } else {
        at = alloc_fixed(reference, need, alignment);
    }
    if (at == nowhere) {
        return REFERENCE_NONE;
    }
    const reference_partition *it = &reference->partitions[at];
    reference->used += it->size - it->skip;
    return it->start + it->skip;
}

void reference_free(region_reference *reference, uint32_t block)
{
    const uint32_t at = find_block(reference, block);
    reference->used -= reference->partitions[at].size - reference->partitions[at].skip;
    if (is_dynamic(reference)) {
        free_dynamic(reference, at);
    } else if (is_buddy(reference)) {
        free_buddy(reference, at);
    } else {
        insert(reference, at);
    }
}

bool reference_resize(region_reference *reference, uint32_t block, size_t size)
{
    const uint32_t at = find_block(reference, block);
    const uint64_t need = need_of(reference, size);
    const reference_partition *it = &reference->partitions[at];
    if (!is_dynamic(reference) && !is_buddy(reference)) {
        return need <= it->size - it->skip;
    }
    reference->used -= it->size;
    const bool is_resized = is_dynamic(reference) ? resize_dynamic(reference, at, need)
                                                  : resize_buddy(reference, at, need);
    reference->used += reference->partitions[at].size;
    return is_resized;
}

size_t reference_room_of(const region_reference *reference, const reference_partition *partition)
{
    return (size_t)(partition->size - partition->skip) * reference->granule - reference->tag;
}

size_t reference_room(const region_reference *reference, uint32_t block)
{
    return reference_room_of(reference, &reference->partitions[find_block(reference, block)]);
}

size_t reference_largest(const region_reference *reference)
{
    uint32_t found = choose_extreme(reference, 1, true);
    if (found == nowhere) {
        return 0;
    }
    if (reference->policy == TARN_SEGREGATED_FIT) {
        /* Only the heads of lists are looked at. */
        found = head_of(reference, group_of(reference, reference->partitions[found].size));
    }
    return reference_room_of(reference, &reference->partitions[found]);
}
