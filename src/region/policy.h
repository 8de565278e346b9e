/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_POLICY_H
#define TARN_REGION_POLICY_H

#include "region/inside.h"
#include "region/outside.h"

/*
 * REGION_POLICY(NAME, INDEX, INDEX_SIZE, ANCHORS) makes region_NAME_inside and region_NAME_outside
 * of the constants INDEX_inside and INDEX_outside.
 */
#define REGION_POLICY_OF(books, name, index, index_size_of, anchors_of)                            \
    HEAP_UNWATCHED static void books##_##name##_open(region_range *range)                          \
    {                                                                                              \
        books##_open(range, &index##_##books);                                                     \
    }                                                                                              \
    HEAP_UNWATCHED static void *books##_##name##_take(tarn_region *region, size_t size,            \
                                                      size_t alignment)                            \
    {                                                                                              \
        return books##_take(region, size, alignment, &index##_##books);                            \
    }                                                                                              \
    HEAP_UNWATCHED static void books##_##name##_give(tarn_region *region, void *block)             \
    {                                                                                              \
        books##_give(region, block, &index##_##books);                                             \
    }                                                                                              \
    HEAP_UNWATCHED static uint32_t books##_##name##_alloc(region_range *range, size_t size,        \
                                                          size_t alignment)                        \
    {                                                                                              \
        return books##_alloc(range, size, alignment, &index##_##books);                            \
    }                                                                                              \
    HEAP_UNWATCHED static void books##_##name##_free(region_range *range, uint32_t start)          \
    {                                                                                              \
        books##_free(range, start, &index##_##books);                                              \
    }                                                                                              \
    HEAP_UNWATCHED static bool books##_##name##_resize(region_range *range, uint32_t start,        \
                                                       size_t size)                                \
    {                                                                                              \
        return books##_resize(range, start, size, &index##_##books);                               \
    }                                                                                              \
    HEAP_UNWATCHED static size_t books##_##name##_room(region_range *range, uint32_t start)        \
    {                                                                                              \
        return books##_room(range, start);                                                         \
    }                                                                                              \
    HEAP_UNWATCHED static size_t books##_##name##_largest(region_range *range)                     \
    {                                                                                              \
        return books##_largest(range, &index##_##books);                                           \
    }                                                                                              \
    HEAP_UNWATCHED static uint64_t books##_##name##_rank(region_range *range, size_t size,         \
                                                         size_t alignment)                         \
    {                                                                                              \
        (void)alignment;                                                                           \
        return books##_rank(range, size, &index##_##books);                                        \
    }                                                                                              \
    HEAP_UNWATCHED static bool books##_##name##_check(region_range *range, char *fault,            \
                                                      size_t fault_size)                           \
    {                                                                                              \
        return books##_check(range, &index##_##books, fault, fault_size);                          \
    }                                                                                              \
    HEAP_UNWATCHED static bool books##_##name##_visit(                                             \
        region_range *range, tarn_partition_visitor *visitor, void *context)                       \
    {                                                                                              \
        return books##_visit(range, visitor, context);                                             \
    }                                                                                              \
    const region_policy region_##name##_##books = {                                                \
        .take = books##_##name##_take,                                                             \
        .give = books##_##name##_give,                                                             \
        .index_size = (index_size_of),                                                             \
        .anchors = (anchors_of),                                                                   \
        .open = books##_##name##_open,                                                             \
        .alloc = books##_##name##_alloc,                                                           \
        .free = books##_##name##_free,                                                             \
        .resize = books##_##name##_resize,                                                         \
        .room = books##_##name##_room,                                                             \
        .largest = books##_##name##_largest,                                                       \
        .rank = books##_##name##_rank,                                                             \
        .check = books##_##name##_check,                                                           \
        .visit = books##_##name##_visit,                                                           \
    }

#define REGION_POLICY(name, index, index_size_of, anchors_of)                                      \
    REGION_POLICY_OF(inside, name, index, index_size_of, anchors_of);                              \
    REGION_POLICY_OF(outside, name, index, index_size_of, anchors_of)

/* REGION_INDEX(INDEX, ROVER) makes INDEX_inside and INDEX_outside of functions that take which one they
 * are for as their last argument: INDEX_find(range, need, outside) and so on. */
#define REGION_INDEX_OF(books, is_outside, index, rover)                                           \
    REGION_INLINE void index##_open_##books(region_range *range)                                   \
    {                                                                                              \
        index##_open(range, is_outside);                                                           \
    }                                                                                              \
    REGION_INLINE region_found index##_find_##books(region_range *range, uint32_t need)            \
    {                                                                                              \
        return index##_find(range, need, is_outside);                                              \
    }                                                                                              \
    REGION_INLINE void index##_insert_##books(region_range *range, region_node *node,              \
                                              uint32_t ref)                                        \
    {                                                                                              \
        index##_insert(range, node, ref, is_outside);                                              \
    }                                                                                              \
    REGION_INLINE void index##_remove_##books(region_range *range, region_node *node,              \
                                              uint32_t ref, uint32_t size)                         \
    {                                                                                              \
        index##_remove(range, node, ref, size, is_outside);                                        \
    }                                                                                              \
    REGION_INLINE void index##_change_##books(region_range *range, region_node *node,              \
                                              uint32_t ref, uint32_t old, uint32_t new)            \
    {                                                                                              \
        index##_change(range, node, ref, old, new, is_outside);                                    \
    }                                                                                              \
    REGION_INLINE uint32_t index##_largest_##books(region_range *range)                            \
    {                                                                                              \
        return index##_largest(range, is_outside);                                                 \
    }                                                                                              \
    REGION_INLINE uint64_t index##_rank_##books(region_range *range, uint32_t need)                \
    {                                                                                              \
        return index##_rank(range, need, is_outside);                                              \
    }                                                                                              \
    REGION_INLINE bool index##_has_##books(region_range *range, const region_node *node,           \
                                           uint32_t ref)                                           \
    {                                                                                              \
        return index##_has(range, node, ref, is_outside);                                          \
    }                                                                                              \
    REGION_INLINE bool index##_balances_##books(region_range *range, uint32_t count)               \
    {                                                                                              \
        return index##_balances(range, count, is_outside);                                         \
    }                                                                                              \
    static const region_index index##_##books = {.open = index##_open_##books,                     \
                                                 .find = index##_find_##books,                     \
                                                 .insert = index##_insert_##books,                 \
                                                 .remove = index##_remove_##books,                 \
                                                 .change = index##_change_##books,                 \
                                                 .largest = index##_largest_##books,               \
                                                 .rank = index##_rank_##books,                     \
                                                 .has = index##_has_##books,                       \
                                                 .balances = index##_balances_##books,             \
                                                 .keeps_rover = (rover)}

#define REGION_INDEX(index, rover)                                                                 \
    REGION_INDEX_OF(inside, false, index, rover);                                                  \
    REGION_INDEX_OF(outside, true, index, rover)

#endif
