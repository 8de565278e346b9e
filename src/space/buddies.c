/* SPDX-License-Identifier: MIT */
#include "space/frames.h"

#include "heap/books.h"

/*
 * Free frames as buddies.
 *
 *     order 2   [ free          ][               ]    a bit for each free block,
 *     order 1   [      ][       ][ free ][       ]    in a map that finds its first bit
 *     order 0   [  ][  ][   ][  ][   ][  ][  ][fr]    without a scan
 *     place      0   1   2   3    4   5   6   7       of the frame, from the first that can be handed out
 *
 * A block of order k has 2^k frames and begins at a place that is a multiple of that many. A block whose buddy lies past
 * the end never merges with it, because that one is never free.
 */

size_t buddies_words(uint32_t count)
{
    size_t words = 0;
    for (uint32_t blocks = count; blocks > 0; blocks /= 2) {
        words += base_bitmap_words(blocks);
    }
    return words;
}

void buddies_lay(frames_maps *maps, uint64_t *words, uint32_t count)
{
    maps->words = words;
    maps->word_count = buddies_words(count);
    maps->top = base_log2_floor(count);
    for (uint32_t order = 0; order <= maps->top; order++) {
        base_bitmap *map = &maps->orders[order];
        base_bitmap_init(map, words, count >> order);
        /* The words are of a file that reads as zero, or of somebody who has opened them. */
        map->opened = count >> order;
        words += base_bitmap_words(count >> order);
    }
}

static bool is_empty(const base_bitmap *map)
{
    return map->levels[map->depth - 1][0] == 0;
}

static void put(tarn_frames *frames, uint32_t order, uint32_t number)
{
    base_bitmap_set(&frames->maps->orders[order], number);
    frames->head->order_map |= UINT32_C(1) << order;
}

static void drop(tarn_frames *frames, uint32_t order, uint32_t number)
{
    base_bitmap *map = &frames->maps->orders[order];
    base_bitmap_clear(map, number);
    if (is_empty(map)) {
        frames->head->order_map &= ~(UINT32_C(1) << order);
    }
}

static bool is_free(const tarn_frames *frames, uint32_t order, uint32_t number)
{
    return number < frames->maps->orders[order].opened &&
           base_bitmap_test(&frames->maps->orders[order], number);
}

static void give_block(tarn_frames *frames, uint32_t place, uint32_t order)
{
    uint32_t number = place >> order;
    while (order < frames->maps->top && is_free(frames, order, number ^ 1)) {
        drop(frames, order, number ^ 1);
        number /= 2;
        order++;
    }
    put(frames, order, number);
}

void buddies_give(tarn_frames *frames, frames_run run)
{
    uint32_t place = run.first - frames->first;
    while (run.count > 0) {
        const uint32_t fits = base_log2_floor(run.count);
        const uint32_t aligned = place != 0 ? base_ctz(place) : fits;
        const uint32_t order = aligned < fits ? aligned : fits;
        give_block(frames, place, order);
        place += UINT32_C(1) << order;
        run.count -= UINT32_C(1) << order;
    }
}

/* Takes the first free block of the smallest order that is at least `order`; there is one. */
static tarn_frame take_block(tarn_frames *frames, uint32_t order)
{
    uint32_t from = order + base_ctz(frames->head->order_map >> order);
    const base_bitmap *map = &frames->maps->orders[from];
    TARN_CHECK(from <= frames->maps->top && !is_empty(map), "the books of frames were overwritten",
               frames->name, NULL);
    const size_t word = base_bitmap_first_word(map);
    uint32_t number = (uint32_t)(word * 64 + base_ctz(map->levels[0][word]));
    drop(frames, from, number);
    while (from > order) {
        from--;
        number *= 2;
        put(frames, from, number + 1);
    }
    return frames->first + (number << order);
}

frames_run buddies_take(tarn_frames *frames, uint32_t count)
{
    const uint32_t order = base_log2_ceil(count);
    if (order > frames->maps->top || frames->head->order_map >> order == 0) {
        return (frames_run){0, 0};
    }
    const tarn_frame first = take_block(frames, order);
    buddies_give(frames, (frames_run){first + count, (UINT32_C(1) << order) - count});
    return (frames_run){first, count};
}

frames_run buddies_take_some(tarn_frames *frames, uint32_t count)
{
    const frames_run run = buddies_take(frames, count);
    if (run.count > 0 || frames->head->order_map == 0) {
        return run;
    }
    const uint32_t order = base_log2_floor(frames->head->order_map);
    return (frames_run){take_block(frames, order), UINT32_C(1) << order};
}

uint32_t buddies_largest(const tarn_frames *frames)
{
    const uint32_t map = frames->head->order_map;
    return map == 0 ? 0 : UINT32_C(1) << base_log2_floor(map);
}

frames_run buddies_block_at(const tarn_frames *frames, tarn_frame frame)
{
    for (uint32_t order = 0; order <= frames->maps->top; order++) {
        const uint32_t place = frame - frames->first;
        if (place % (UINT32_C(1) << order) != 0) {
            break;
        }
        if (is_free(frames, order, place >> order)) {
            return (frames_run){frame, UINT32_C(1) << order};
        }
    }
    return (frames_run){0, 0};
}

void buddies_rebuild(tarn_frames *frames)
{
    frames_head *head = frames->head;
    const frames_maps *maps = frames->maps;
    for (size_t word = 0; word < maps->word_count; word++) {
        maps->words[word] = 0;
    }
    head->order_map = 0;
    head->free = 0;
    for (tarn_frame frame = frames->first; frame < frames->total;) {
        tarn_frame end = frame;
        while (end < frames->total && (frames->counts[end] & COUNT_MAX) == 0) {
            end++;
        }
        buddies_give(frames, (frames_run){frame, end - frame});
        head->free += end - frame;
        frame = end + 1;
    }
    if (head->reserved > head->free) {
        head->reserved = head->free;
    }
}

/* ---- check ---- */

/* Every bit above the lowest level says whether its word is 0. */
static bool check_summary(const base_bitmap *map)
{
    size_t words = base_bitmap_words_for(map->opened);
    for (unsigned level = 1; level < map->depth; level++) {
        for (size_t word = 0; word < words; word++) {
            const bool is_noted = (map->levels[level][word / 64] >> word % 64 & 1) != 0;
            if (is_noted != (map->levels[level - 1][word] != 0)) {
                return false;
            }
        }
        if (words % 64 != 0 && map->levels[level][words / 64] >> words % 64 != 0) {
            return false;
        }
        words = base_bitmap_words_for(words);
    }
    return true;
}

static uint64_t count_bits(const base_bitmap *map)
{
    uint64_t bits = 0;
    for (size_t word = 0; word < base_bitmap_words_for(map->opened); word++) {
        bits += base_popcount(map->levels[0][word]);
    }
    return bits;
}

bool buddies_check(const tarn_frames *frames, char *fault, size_t fault_size)
{
    const frames_maps *maps = frames->maps;
    uint64_t noted = 0;
    for (uint32_t order = 0; order <= maps->top; order++) {
        const base_bitmap *map = &maps->orders[order];
        if (!check_summary(map) ||
            (frames->head->order_map >> order & 1) != (is_empty(map) ? 0U : 1U)) {
            return heap_fault(fault, fault_size, "the map of free blocks of %u frames is wrong",
                              1U << order);
        }
        noted += count_bits(map);
    }
    if (maps->top < FRAMES_ORDERS - 1 && frames->head->order_map >> (maps->top + 1) != 0) {
        return heap_fault(fault, fault_size, "there are free blocks larger than all frames");
    }
    uint64_t blocks = 0;
    uint64_t free = 0;
    for (tarn_frame frame = frames->first; frame < frames->total;) {
        if ((frames->counts[frame] & COUNT_MAX) != 0) {
            frame++;
            continue;
        }
        const frames_run run = buddies_block_at(frames, frame);
        if (run.count == 0 || run.count > frames->total - frame) {
            return heap_fault(fault, fault_size, "frame %u is free but in no free block", frame);
        }
        const uint32_t order = base_ctz(run.count);
        if (order < maps->top && is_free(frames, order, ((frame - frames->first) >> order) ^ 1)) {
            return heap_fault(fault, fault_size, "frame %u begins one of two free buddies", frame);
        }
        for (const tarn_frame end = frame + run.count; frame < end; frame++) {
            if ((frames->counts[frame] & COUNT_MAX) != 0) {
                return heap_fault(fault, fault_size, "frame %u is used but in a free block", frame);
            }
        }
        blocks++;
        free += run.count;
    }
    if (blocks != noted) {
        return heap_fault(fault, fault_size, "%llu free blocks are noted, and %llu are there",
                          (unsigned long long)noted, (unsigned long long)blocks);
    }
    if (free != frames->head->free || frames->head->reserved > frames->head->free) {
        return heap_fault(fault, fault_size, "%llu frames are free but the books have %u",
                          (unsigned long long)free, frames->head->free);
    }
    return true;
}
