/* SPDX-License-Identifier: MIT */
#include <tarn/movable.h>

#include <stdio.h>
#include <string.h>

/*
 * A cache that uses what memory there is and no more: what it holds may be purged when something more important needs
 * room, and is computed again when it is asked for.
 */

enum { PICTURES = 64, PICTURE_SIZE = 3000 };

static _Alignas(64) unsigned char memory[128 * 1024];

static tarn_movable heap;
static tarn_handle pictures[PICTURES];
static unsigned computed;

/* The picture, pinned; NULL if there is no memory for it. The caller unpins. */
static const unsigned char *get_picture(unsigned number)
{
    unsigned char *picture = pictures[number] != 0 ? tarn_pin(&heap, pictures[number]) : NULL;
    if (picture != NULL) {
        return picture;
    }
    /* Never computed, or purged: a purged handle still has to be freed. */
    tarn_movable_free(&heap, pictures[number]);
    pictures[number] = tarn_movable_alloc(&heap, PICTURE_SIZE, 0);
    if (pictures[number] == 0) {
        return NULL;
    }
    picture = tarn_pin(&heap, pictures[number]);
    memset(picture, (int)number, PICTURE_SIZE);
    computed++;
    tarn_movable_set_purgeable(&heap, pictures[number], true);
    return picture;
}

static bool show(unsigned first, unsigned last)
{
    bool good = true;
    for (unsigned number = first; number < last; number++) {
        const unsigned char *picture = get_picture(number);
        good = good && picture != NULL && picture[PICTURE_SIZE - 1] == number;
        if (picture != NULL) {
            tarn_unpin(&heap, pictures[number]);
        }
    }
    return good;
}

int main(void)
{
    if (tarn_movable_init(&heap, &(tarn_movable_options){.name = "pictures",
                                                         .memory = {memory, sizeof memory}})) {
        return 1;
    }
    bool good = show(0, PICTURES);
    printf("%u pictures of %d bytes went through %zu KiB; ", computed, PICTURE_SIZE,
           sizeof memory / 1024);
    const unsigned before = computed;
    good = show(PICTURES - 20, PICTURES) && good;
    printf("the newest 20 were still there: %s\n", computed == before ? "yes" : "no");
    /* Something more important: the cache makes room for it, in one piece. */
    const tarn_handle important = tarn_movable_alloc(&heap, sizeof memory / 2, 0);
    printf("half of the memory in one block: %s\n", important != 0 ? "yes" : "no");
    good = good && important != 0 && show(0, 5);
    tarn_movable_deinit(&heap);
    return good && computed > PICTURES ? 0 : 1;
}
