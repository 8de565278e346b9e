/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

/*
 * Subject: the allocator that the driver measures, one in a process.
 *
 * It divides one range. What it calls a block is opaque to the driver: an address, or, for
 * `is_offsets`, any token that is not NULL. The driver never writes to a block, whatever it is.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct bench_subject {
    char name[64];
    /* Divides the range anew; what an earlier call made is gone. NULL: it cannot. */
    void *(*init)(void *memory, size_t size);
    void *(*alloc)(void *heap, size_t size);
    void (*free)(void *heap, void *block);
    size_t (*largest)(void *heap);    /* bytes of the largest free block; NULL: not told */
    size_t (*free_bytes)(void *heap); /* bytes that are in no block; NULL: not told */
    /* Bytes of range that are proven to suffice for so many live ones, in blocks of at most `largest`;
     * 0: not known. NULL: not told. */
    size_t (*bound)(size_t live, size_t largest);
    bool is_offsets;
} bench_subject;

/* What a subject of Tarn's may need to know beforehand. */
typedef struct bench_wish {
    size_t size;        /* bytes of the range */
    size_t alignment;   /* that requests ask for */
    size_t least, most; /* bytes that requests ask for */
    size_t partitions;  /* used and free ones that outside books have room for from the start */
    bool is_power_law;
    bool is_crowd; /* small blocks only, many of them */
} bench_wish;

/* NAME=FILE.so:INIT,ALLOC,FREE[,offsets]: an allocator in a shared object. Ends the program with a
 * message if there is none of that description. */
void subject_load(bench_subject *subject, const char *text);

/* One of Tarn's policies, "best-fit" or "best-fit/outside", or "nothing", which allocates nothing
 * and so shows what the driver itself costs. Ends the program if there is none of that name. */
void subject_name(bench_subject *subject, const char *name, const bench_wish *wish);

#endif
