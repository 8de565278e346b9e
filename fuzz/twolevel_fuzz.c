/* SPDX-License-Identifier: MIT */
/*
 * Two-level: the first byte chooses the options, the second which interface is used, the third how much memory there is.
 * Under the fuzzer's AddressSanitizer instances have checks; the lists as such are the same.
 */
#include "heap_run.h"
#include "tarn/heaps.h"
#include "tarn/twolevel.h"

#include <stdio.h>
#include <string.h>

enum { BLOCKS = 32, CALL_BYTES = 3, SIZE_TOP = 160 };

static _Alignas(64) unsigned char memory[1 << 16];

typedef struct block {
    unsigned char *start; /* NULL: none */
    size_t size;
    unsigned char fill;
} block;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "twolevel_fuzz: %s\n", what);
        __builtin_trap();
    }
}

static void look(const block *it, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        must(it->start[i] == it->fill, "a block does not hold what was written to it");
    }
}

static void take(block *it, void *start, size_t size, unsigned char fill)
{
    must((uintptr_t)start % (size % 16 == 0 ? 16 : 8) == 0, "a block is not aligned");
    *it = (block){.start = start, .size = size, .fill = fill};
    memset(start, fill, size);
}

static void check(tarn_twolevel *twolevel)
{
    char fault[200] = "";
    if (!tarn_twolevel_check(twolevel, fault, sizeof fault)) {
        must(false, fault);
    }
}

/* A call is three bytes: what and which block; the size; what is written. */
static void call(tarn_twolevel *twolevel, block *blocks, const uint8_t *bytes)
{
    block *it = &blocks[bytes[0] >> 3];
    const size_t size = 1 + bytes[1] % SIZE_TOP;
    switch (bytes[0] % 8) {
    case 6:
        if (it->start != NULL) {
            void *moved = tarn_twolevel_realloc(twolevel, it->start, it->size, size);
            if (moved != NULL) {
                it->start = moved;
                look(it, size < it->size ? size : it->size);
                take(it, moved, size, bytes[2]);
            } else {
                look(it, it->size);
            }
        }
        break;
    case 7:
        if (bytes[1] == 0) {
            (void)tarn_twolevel_reset(twolevel);
            memset(blocks, 0, BLOCKS * sizeof *blocks);
        } else {
            (void)tarn_twolevel_trim(twolevel);
        }
        check(twolevel);
        break;
    default:
        if (it->start == NULL) {
            void *start = tarn_twolevel_alloc(twolevel, size);
            if (start != NULL) {
                take(it, start, size, bytes[2]);
            }
        } else {
            look(it, it->size);
            tarn_twolevel_free(twolevel, it->start, it->size);
            it->start = NULL;
        }
        break;
    }
}

static void run_typed(tarn_twolevel *twolevel, const uint8_t *data, size_t size)
{
    block blocks[BLOCKS] = {0};
    for (size_t at = 0; at + CALL_BYTES <= size; at += CALL_BYTES) {
        call(twolevel, blocks, data + at);
    }
    check(twolevel);
    size_t count = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].start != NULL) {
            look(&blocks[i], blocks[i].size);
            count++;
        }
    }
    must(tarn_twolevel_stats(twolevel).blocks == count, "stats do not count the blocks");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    tarn_buffer buffer;
    const size_t room = 2048 + (size_t)data[2] * 200;
    if (tarn_buffer_init(&buffer, (tarn_memory){memory, room}, NULL) != TARN_OK) {
        return 0;
    }
    tarn_twolevel twolevel;
    (void)tarn_twolevel_init(&twolevel, &(tarn_twolevel_options){
                                            .upstream = &buffer.heap,
                                            .threads = (data[0] & 1) != 0,
                                            .checks = (data[0] & 2) != 0,
                                            .use_malloc = (data[0] & 12) == 12,
                                            .chunk_min = (data[0] & 16) != 0 ? 1000 : 0,
                                        });
    if (data[1] % 2 == 0) {
        run_typed(&twolevel, data + 3, size - 3);
    } else {
        heap_run(&twolevel.heap, data + 3, size - 3, data[1] % 4 == 1 ? 160 : 2000);
    }
    tarn_twolevel_deinit(&twolevel);
    must(tarn_heap_stats(&buffer.heap).live == 0, "memory of upstream is lost");
    tarn_buffer_deinit(&buffer);
    return 0;
}
