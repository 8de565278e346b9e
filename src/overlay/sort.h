/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_SORT_H
#define TARN_OVERLAY_SORT_H

#include <stddef.h>

/*
 * OVERLAY_DEFINE_SORT(NAME, TYPE, IS_BEFORE) makes a function that sorts an array in place:
 * quicksort by the median of three, insertion sort for short ranges, and heapsort for ranges that
 * turn out to be split badly (Musser, "Introspective Sorting and Selection Algorithms", 1997). It
 * takes O(n log n) at worst and no memory; qsort() would allocate from libc's malloc. IS_BEFORE
 * takes two pointers; equal things may change places.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): types and names of functions cannot stand in them. */
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
    static void name##_heap(type *things, size_t count)                                            \
    {                                                                                              \
        for (size_t root = count / 2; root-- > 0;) {                                               \
            name##_sift(things, root, count);                                                      \
        }                                                                                          \
        for (size_t end = count; end-- > 1;) {                                                     \
            const type last = things[end];                                                         \
            things[end] = things[0];                                                               \
            things[0] = last;                                                                      \
            name##_sift(things, 0, end);                                                           \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name##_insert(type *things, size_t count)                                          \
    {                                                                                              \
        for (size_t i = 1; i < count; i++) {                                                       \
            const type moved = things[i];                                                          \
            size_t at = i;                                                                         \
            for (; at > 0 && is_before(&moved, &things[at - 1]); at--) {                           \
                things[at] = things[at - 1];                                                       \
            }                                                                                      \
            things[at] = moved;                                                                    \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static size_t name##_split(type *things, size_t count)                                         \
    {                                                                                              \
        const type *a = &things[0];                                                                \
        const type *b = &things[count / 2];                                                        \
        const type *c = &things[count - 1];                                                        \
        const type middle = is_before(a, b) ? (is_before(b, c)   ? *b                              \
                                               : is_before(a, c) ? *c                              \
                                                                 : *a)                             \
                                            : (is_before(a, c)   ? *a                              \
                                               : is_before(b, c) ? *c                              \
                                                                 : *b);                            \
        size_t left = 0;                                                                           \
        size_t right = count - 1;                                                                  \
        for (;;) {                                                                                 \
            while (is_before(&things[left], &middle)) {                                            \
                left++;                                                                            \
            }                                                                                      \
            while (is_before(&middle, &things[right])) {                                           \
                right--;                                                                           \
            }                                                                                      \
            if (left >= right) {                                                                   \
                return left > 0 ? left : 1;                                                        \
            }                                                                                      \
            const type swapped = things[left];                                                     \
            things[left++] = things[right];                                                        \
            things[right--] = swapped;                                                             \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name##_part(type *things, size_t count, unsigned depth)                            \
    {                                                                                              \
        while (count > 24) {                                                                       \
            if (depth-- == 0) {                                                                    \
                name##_heap(things, count);                                                        \
                return;                                                                            \
            }                                                                                      \
            const size_t at = name##_split(things, count);                                         \
            if (at < count - at) {                                                                 \
                name##_part(things, at, depth);                                                    \
                things += at;                                                                      \
                count -= at;                                                                       \
            } else {                                                                               \
                name##_part(things + at, count - at, depth);                                       \
                count = at;                                                                        \
            }                                                                                      \
        }                                                                                          \
        name##_insert(things, count);                                                              \
    }                                                                                              \
                                                                                                   \
    static void name(type *things, size_t count)                                                   \
    {                                                                                              \
        unsigned depth = 2;                                                                        \
        for (size_t rest = count; rest > 1; rest /= 2) {                                           \
            depth += 2;                                                                            \
        }                                                                                          \
        name##_part(things, count, depth);                                                         \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
