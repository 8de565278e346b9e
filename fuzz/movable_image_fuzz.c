/* SPDX-License-Identifier: MIT */
/*
 * Loading images: the input alters a good image, word by word, and most often makes the checksums good again, so that
 * what they cannot find has to be found by the loader itself. It may refuse or load, and what it loads must be whole.
 */
#define _GNU_SOURCE
#include "movable/image.h"
#include "tarn/movable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS_MAX = 8192 };

static int file = -1;
static uint64_t good[WORDS_MAX];
static size_t good_words;

static void require(bool condition)
{
    if (!condition) {
        __builtin_trap();
    }
}

static void make_good_image(void)
{
    static unsigned char memory[1 << 16];
    static tarn_handle handles[60];
    tarn_movable heap;
    file = memfd_create("image", 0);
    require(file >= 0);
    require(tarn_movable_init(&heap, &(tarn_movable_options){.memory = {memory, sizeof memory}}) ==
            TARN_OK);
    for (size_t i = 0; i < 60; i++) {
        handles[i] = tarn_movable_alloc(&heap, 1 + i * 31 % 400, (size_t)1 << i % 5);
        memset(tarn_deref(&heap, handles[i]), 0x11, tarn_movable_size(&heap, handles[i]));
    }
    for (size_t i = 0; i < 60; i += 4) {
        tarn_movable_free(&heap, handles[i]);
    }
    tarn_movable_set_purgeable(&heap, handles[1], true);
    tarn_movable_purge(&heap, 1);
    tarn_movable_set_purgeable(&heap, handles[2], true);
    require(tarn_movable_save_to(&heap, file, NULL, 0) == TARN_OK);
    good_words = (size_t)lseek(file, 0, SEEK_CUR) / sizeof *good;
    require(good_words < WORDS_MAX);
    require(pread(file, good, sizeof good, 0) == (ssize_t)(good_words * sizeof *good));
}

/* Makes the hashes of `count` words of pieces good, from `at` on; returns the word behind them. */
static size_t seal(uint64_t *words, size_t size, size_t at, uint64_t count, uint64_t *hash)
{
    while (count > 0) {
        const size_t now = count < IMAGE_PIECE_WORDS ? (size_t)count : IMAGE_PIECE_WORDS;
        if (size - at <= now) {
            return size;
        }
        *hash = image_hash(*hash, words + at, now);
        words[at + now] = *hash;
        at += now + 1;
        count -= now;
    }
    return at;
}

static void seal_image(uint64_t *words, size_t size)
{
    image_preface *preface = (image_preface *)(void *)words;
    if (size < sizeof *preface / sizeof *words) {
        return;
    }
    preface->hash = image_preface_hash(preface);
    uint64_t hash = preface->hash;
    const uint64_t granules = preface->end > preface->first ? preface->end - preface->first : 0;
    const size_t at = seal(words, size, sizeof *preface / sizeof *words, granules, &hash);
    (void)seal(words, size, at, preface->count, &hash);
}

static bool count_block(void *context, tarn_handle handle, void *block, size_t size)
{
    (void)handle;
    /* Every byte is the heap's to read. */
    const volatile unsigned char *bytes = block;
    (void)bytes[0];
    (void)bytes[size - 1];
    (*(uint64_t *)context)++;
    return true;
}

static void use(tarn_movable *heap)
{
    uint64_t blocks = 0;
    require(tarn_movable_check(heap, NULL, 0));
    tarn_movable_visit(heap, count_block, &blocks);
    require(blocks == tarn_movable_stats(heap).blocks);
    (void)tarn_movable_alloc(heap, 100, 0);
    tarn_movable_compact(heap, NULL, NULL);
    require(tarn_movable_check(heap, NULL, 0));
    tarn_movable_purge(heap, SIZE_MAX);
    require(tarn_movable_reset(heap) == TARN_OK);
    require(tarn_movable_check(heap, NULL, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An alteration is 11 bytes: which word, how, and what with. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t words[WORDS_MAX];
    static _Alignas(4096) unsigned char memory[1 << 16];
    if (file < 0) {
        make_good_image();
    }
    memcpy(words, good, sizeof words);
    size_t count = good_words;
    const bool sealed = size % 8 != 0;
    for (; size >= 11; data += 11, size -= 11) {
        uint16_t at;
        uint64_t value;
        memcpy(&at, data, sizeof at);
        memcpy(&value, data + 3, sizeof value);
        uint64_t *word = &words[at % good_words];
        switch (data[2] % 6) {
        case 0:
            *word = value;
            break;
        case 1:
            *word ^= (uint64_t)1 << value % 64;
            break;
        case 2:
            *word += value % 512 << 7;
            break;
        case 3:
            *word = words[value % good_words];
            break;
        case 4:
            *word += value % 64 << 36;
            break;
        default:
            count = value % (good_words + 1);
            break;
        }
    }
    if (sealed) {
        seal_image(words, count);
    }
    require(ftruncate(file, 0) == 0);
    require(pwrite(file, words, count * sizeof *words, 0) == (ssize_t)(count * sizeof *words));
    require(lseek(file, 0, SEEK_SET) == 0);
    tarn_movable heap;
    char fault[200];
    const tarn_movable_options options = {.memory = {memory, sizeof memory}};
    const tarn_status status = tarn_movable_load_from(&heap, &options, file, fault, sizeof fault);
    if (status == TARN_OK) {
        use(&heap);
        tarn_movable_deinit(&heap);
    } else {
        require(fault[0] != '\0');
    }
    return 0;
}
