/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_FORMAT_H
#define TARN_TRACE_FORMAT_H

/*
 * The numbers of docs/trace-format.md.
 *
 *     file:  [header] [part] [part] ... [index]
 *     part:  [skippable frame: part header] [zstd frame: payload]
 *
 * Header and index are zstd's skippable frames too, so that the whole file is a sequence of zstd
 * frames.
 */

#include <stddef.h>
#include <stdint.h>

#define FORMAT_SKIPPABLE UINT32_C(0x184D2A54) /* one of the sixteen that zstd leaves to its users */
#define FORMAT_NAME "TARNTRC\n"
#define FORMAT_END_NAME "TARNEND\n"

enum {
    FORMAT_MAJOR = 1, /* a reader refuses a greater one */
    FORMAT_MINOR = 0, /* a greater one has parts and names that a reader may skip */

    FORMAT_FRAME_SIZE =
        8, /* in front of a skippable frame: its number, and the size of what follows */
    FORMAT_NAME_SIZE = 8,
    FORMAT_HEADER_SIZE = 48,
    FORMAT_PART_SIZE = 48,
    FORMAT_INDEX_ENTRY_SIZE = 32,
    FORMAT_INDEX_FIXED_SIZE = 40, /* before the entries */
    FORMAT_END_SIZE = 20, /* behind them: where the index begins, a check, FORMAT_END_NAME */

    FORMAT_PART_EVENTS = 1,
    FORMAT_PART_DEFINITIONS = 2,

    FORMAT_PAYLOAD_MAX = 1 << 26, /* bytes of a part before compression */
    FORMAT_PARTS_MAX = 1 << 24,   /* of an index */

    /* The byte of an event in the column of operations. */
    FORMAT_OP_MASK = 0x0F,
    FORMAT_OP_ESCAPE = 15, /* operation and alignment are in the column of extras */
    FORMAT_MODE_SHIFT = 4,
    FORMAT_MODE_MASK = 3,
    FORMAT_STACK_EXPECTED = 0x40,
    FORMAT_SIZE_EXPECTED = 0x80
};

/* The columns of a part of events, in their order. Each is of one kind of number, which zstd packs tighter
 * than a mixture. */
enum {
    COLUMN_THREADS,   /* runs: thread, events */
    COLUMN_TIMES,     /* runs: events, units to the next time */
    COLUMN_OPS,       /* a byte for each event */
    COLUMN_DEPTHS,    /* of freed blocks that are given */
    COLUMN_ADDRESSES, /* that are given */
    COLUMN_NEAR,      /* blocks that are taken back, by one of three ways */
    COLUMN_AGES,
    COLUMN_TAKEN,
    COLUMN_REALLOCS, /* what they give */
    COLUMN_SIZES,
    COLUMN_STACKS,
    COLUMN_EXTRAS, /* operations that are escaped, alignments, pools */
    FORMAT_COLUMNS
};

/* How the block of an allocation is told. */
enum {
    FORMAT_GIVES_NEWEST = 0, /* the newest freed one of the class */
    FORMAT_GIVES_FREED = 1,  /* a freed one: its depth is in the column */
    FORMAT_GIVES_ADDRESS = 2,
    FORMAT_GIVES_NEXT = 3 /* the one that follows the last allocation */
};

/* How the block of a free is told. */
enum {
    FORMAT_TAKES_NEWEST = 0, /* the last one that was allocated */
    FORMAT_TAKES_NEAR = 1,   /* by the distance to the allocation of the last one freed */
    FORMAT_TAKES_RECENT = 2, /* by how many allocations ago */
    FORMAT_TAKES_ADDRESS = 3
};

/* What a realloc gives. */
enum {
    FORMAT_REALLOC_SAME = 0,
    FORMAT_REALLOC_NONE = 1,
    FORMAT_REALLOC_OTHER = 2, /* its address follows */
    FORMAT_REALLOC_FREED = 3  /* plus the depth */
};

/* FNV-1a of 32 bits, against what a disk or a hand does to headers; payloads have zstd's own. */
static inline uint32_t format_check(const unsigned char *bytes, size_t size)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT32_C(16777619);
    }
    return hash;
}

#endif
