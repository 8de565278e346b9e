/* SPDX-License-Identifier: MIT */
/*
 * Opening a foreign file of frames: the input alters good books, word by word. They may be refused or opened, and what is
 * opened must be whole, and serve.
 */
#define _GNU_SOURCE
#include "space/frames.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COUNT = 300, WORDS_MAX = 1024 };

static tarn_frames frames;
static uint64_t good[WORDS_MAX];
static size_t good_words;

static void require(bool condition)
{
    if (!condition) {
        __builtin_trap();
    }
}

static void make_good_books(void)
{
    tarn_frame first;
    require(tarn_frames_init(&frames, &(tarn_frames_options){.count = COUNT}) == TARN_OK);
    for (uint32_t i = 0; i < 40; i++) {
        require(tarn_frames_alloc(&frames, 1 + i % 7, &first) == TARN_OK);
        if (i % 3 == 0) {
            tarn_frames_release(&frames, first, 1 + i % 7);
        }
        if (i % 3 == 1) {
            require(tarn_frames_share(&frames, first, 1) == TARN_OK);
        }
    }
    const unsigned char *end =
        (const unsigned char *)(frames.maps->words + frames.maps->word_count);
    good_words = (size_t)(end - frames.memory) / sizeof *good;
    require(good_words <= WORDS_MAX);
    memcpy(good, frames.memory, good_words * sizeof *good);
}

/* Takes all that is free, and gives it back. */
static void use(tarn_frames *opened)
{
    static tarn_frame held[COUNT + 64];
    size_t count = 0;
    require(tarn_frames_check(opened, NULL, 0));
    while (count < COUNT + 64 && tarn_frames_alloc(opened, 1, &held[count]) == TARN_OK) {
        *(volatile char *)tarn_frames_at(opened, held[count]) = 1;
        count++;
    }
    require(tarn_frames_check(opened, NULL, 0));
    (void)tarn_frames_trim(opened);
    while (count > 0) {
        tarn_frames_release(opened, held[--count], 1);
    }
    require(tarn_frames_check(opened, NULL, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An alteration is 11 bytes: which word, how, and what with. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (good_words == 0) {
        make_good_books();
    }
    uint64_t *words = (uint64_t *)(void *)frames.memory;
    for (; size >= 11; data += 11, size -= 11) {
        uint16_t at;
        uint64_t value;
        memcpy(&at, data, sizeof at);
        memcpy(&value, data + 3, sizeof value);
        /* Half of the alterations are in the head. */
        uint64_t *word = &words[(at & 1) != 0 ? at % (sizeof(frames_head) / sizeof *words)
                                              : (at >> 1) % good_words];
        switch (data[2] % 4) {
        case 0:
            *word = value;
            break;
        case 1:
            *word ^= (uint64_t)1 << value % 64;
            break;
        case 2:
            *word += value % 512;
            break;
        default:
            *word = words[value % good_words];
            break;
        }
    }
    /* Nobody holds the lock: to wait for it would be all that is tried. */
    atomic_store(&frames.head->lock.holder, 0);
    tarn_frames opened;
    const tarn_status status = tarn_frames_open(&opened, frames.descriptor, NULL);
    require(status == TARN_OK || status == TARN_BAD_DATA);
    if (status == TARN_OK) {
        use(&opened);
        tarn_frames_deinit(&opened);
    }
    memcpy(words, good, good_words * sizeof *good);
    return 0;
}
