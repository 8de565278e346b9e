/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_ATTACH_H
#define TARN_TRACE_ATTACH_H

/*
 * What `tarn record --pid` and the recorder in the program say to each other, in the program's memory. Both are
 * of one version.
 *
 * tarn_record_attach(), which `tarn record` has a thread of the program call, answers with a plan: jumps
 * that are to be written at the start of functions, by way of islands. While they are there the program
 * is recorded.
 *
 * It is called twice: first without a place to meet, which ends what is left of an earlier recording; and again when
 * those jumps are gone and the threads have had time to leave the recorder.
 */

#include <stdint.h>

#define ATTACH_MAGIC UINT64_C(0x48434154544e5254)

enum { ATTACH_VERSION = 2, ATTACH_PATCHES = 64, ATTACH_JUMP = 5, ATTACH_ISLAND = 16 };

typedef enum attach_status {
    ATTACH_READY,
    ATTACH_BUSY,       /* it is recorded already */
    ATTACH_NO_ENTRIES, /* its malloc has none that could be switched */
    ATTACH_NO_ANSWER   /* it could not meet `tarn record` */
} attach_status;

typedef struct attach_patch {
    uint64_t entry;            /* where the jump is to be */
    uint64_t target;           /* where it is to lead */
    uint64_t island;           /* by way of this */
    unsigned char original[8]; /* what was there: ATTACH_JUMP bytes that `tarn record` keeps here */
} attach_patch;

typedef struct attach_plan {
    uint64_t magic;
    uint32_t version;
    uint32_t status;     /* attach_status */
    uint32_t is_patched; /* `tarn record`'s: the jumps are there */
    uint32_t count;
    uint32_t turn; /* of recordings that were begun so; 0: none yet */
    uint32_t reserved;
    attach_patch patches[ATTACH_PATCHES];
} attach_plan;

#endif
