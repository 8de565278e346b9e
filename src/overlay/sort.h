/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_SORT_H
#define TARN_OVERLAY_SORT_H

#include <stddef.h>

/*
 * OVERLAY_DEFINE_SORT(NAME, TYPE, IS_BEFORE) makes a function that sorts an array in place:
 * heapsort, which takes O(n log n) at worst and no memory, with insertion sort for short ones.
 * qsort() would allocate from libc's malloc. IS_BEFORE takes two pointers; equal things may change
 * places.
 */
#define OVERLAY_DEFINE_SORT(name, type, is_before)                                                 \
    static void name##_sift(type *things, size_t root, size_t count)                               \
    {                                                                                              \
        const type moved = things[root];                                                           \
        for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {                   \
            if (child + 1 < count && is_before(&things[child], &things[child + 1])) {              \
                child++;                                                                           \
            }                                                                                      \
            if (!is_before(&moved, &things[child])) {                                              \
                break;                                                                             \
            }                                                                                      \
            things[root] = things[child];                                                          \
            root = child;                                                                          \
        }                                                                                          \
        things[root] = moved;                                                                      \
    }                                                                                              \
                                                                                                   \
    static void name(type *things, size_t count)                                                   \
    {                                                                                              \
        if (count <= 24) {                                                                         \
            for (size_t i = 1; i < count; i++) {                                                   \
                const type moved = things[i];                                                      \
                size_t at = i;                                                                     \
                for (; at > 0 && is_before(&moved, &things[at - 1]); at--) {                       \
                    things[at] = things[at - 1];                                                   \
                }                                                                                  \
                things[at] = moved;                                                                \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (size_t root = count / 2; root-- > 0;) {                                               \
            name##_sift(things, root, count);                                                      \
        }                                                                                          \
        for (size_t end = count; end-- > 1;) {                                                     \
            const type last = things[end];                                                         \
            things[end] = things[0];                                                               \
            things[0] = last;                                                                      \
            name##_sift(things, 0, end);                                                           \
        }                                                                                          \
    }

#endif
