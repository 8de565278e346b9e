/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_REGION_TOOLS_H
#define TARN_TESTS_REGION_TOOLS_H

/*
 * What the tests of regions share: every kind of region, and a region's partitions as a text. Include it
 * after cmocka.h.
 */

#include "tarn/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct region_kind {
    const char *name;
    tarn_region_policy policy;
    tarn_region_books books;
} region_kind;

static const region_kind region_kinds[] = {
    {"best fit inside", TARN_BEST_FIT, TARN_BOOKS_INSIDE},
    {"best fit outside", TARN_BEST_FIT, TARN_BOOKS_OUTSIDE},
    {"first fit inside", TARN_FIRST_FIT, TARN_BOOKS_INSIDE},
    {"first fit outside", TARN_FIRST_FIT, TARN_BOOKS_OUTSIDE},
    {"next fit inside", TARN_NEXT_FIT, TARN_BOOKS_INSIDE},
    {"next fit outside", TARN_NEXT_FIT, TARN_BOOKS_OUTSIDE},
    {"worst fit inside", TARN_WORST_FIT, TARN_BOOKS_INSIDE},
    {"worst fit outside", TARN_WORST_FIT, TARN_BOOKS_OUTSIDE},
    {"segregated fit inside", TARN_SEGREGATED_FIT, TARN_BOOKS_INSIDE},
    {"segregated fit outside", TARN_SEGREGATED_FIT, TARN_BOOKS_OUTSIDE},
    {"buddy inside", TARN_BUDDY, TARN_BOOKS_INSIDE},
    {"buddy outside", TARN_BUDDY, TARN_BOOKS_OUTSIDE},
    {"fixed partitions inside", TARN_FIXED_PARTITIONS, TARN_BOOKS_INSIDE},
    {"fixed partitions outside", TARN_FIXED_PARTITIONS, TARN_BOOKS_OUTSIDE},
    {"single inside", TARN_SINGLE, TARN_BOOKS_INSIDE},
    {"single outside", TARN_SINGLE, TARN_BOOKS_OUTSIDE},
};

enum { REGION_KINDS = sizeof region_kinds / sizeof region_kinds[0] };

static inline bool kind_is_dynamic(const region_kind *kind)
{
    return kind->policy <= TARN_SEGREGATED_FIT;
}

/* Equal fixed partitions are of 256 bytes. */
static inline tarn_region_options kind_options(const region_kind *kind)
{
    return (tarn_region_options){
        .name = kind->name,
        .policy = kind->policy,
        .books = kind->books,
        .partition_size = kind->policy == TARN_FIXED_PARTITIONS ? 256 : 0,
    };
}

static inline void open_kind(tarn_region *region, const region_kind *kind, void *start, size_t size)
{
    const tarn_region_options options = kind_options(kind);
    assert_int_equal(tarn_region_init(region, (tarn_memory){start, size}, &options), TARN_OK);
}

/* Fails if the books do not balance, or if check finds nothing but tells something. */
static inline void assert_balance(tarn_region *region)
{
    char fault[160] = "none told";
    const bool balances = tarn_region_check(region, fault, sizeof fault);
    assert_string_equal(fault, "");
    assert_true(balances);
}

/* The partitions in the order of addresses, each as u or f and its bytes: "u24 f1000 ". */
typedef struct region_text {
    char text[16384];
    size_t length;
} region_text;

static inline bool add_partition(void *context, const tarn_partition *partition)
{
    region_text *it = context;
    const int added = snprintf(it->text + it->length, sizeof it->text - it->length, "%c%zu ",
                               partition->is_free ? 'f' : 'u', partition->size);
    assert_true(added > 0 && it->length + (size_t)added < sizeof it->text);
    it->length += (size_t)added;
    return true;
}

static inline const char *layout(tarn_region *region, region_text *it)
{
    it->length = 0;
    it->text[0] = '\0';
    tarn_region_visit(region, add_partition, it);
    return it->text;
}

#define assert_layout(region, wanted)                                                              \
    do {                                                                                           \
        static region_text layout_is;                                                              \
        assert_string_equal(layout((region), &layout_is), (wanted));                               \
        assert_balance(region);                                                                    \
    } while (0)

#endif
