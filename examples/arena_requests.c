/* SPDX-License-Identifier: MIT */
#include <tarn/arena.h>
#include <tarn/heaps.h>

#include <stdio.h>
#include <string.h>

/*
 * A web server's requests: each is handled out of an arena, and nothing is freed one by one. The arena stands over a limited
 * heap, so a request that asks for too much is answered with an error and takes no memory from the others. What is
 * not memory, a file here, is closed by a cleanup, however the request ends.
 */

enum { REQUESTS = 10000, LIMIT = 256 * 1024 };

static unsigned files_open;
static unsigned files_opened;

static void close_file(void *context)
{
    (void)context;
    files_open--;
}

static bool open_file(tarn_arena *arena)
{
    if (tarn_arena_on_reset(arena, close_file, NULL) == NULL) {
        return false;
    }
    files_open++;
    files_opened++;
    return true;
}

typedef struct header {
    struct header *next;
    const char *name;
    const char *value;
} header;

/* The answer's headers, or NULL when the request needs more memory than one may. */
static header *handle(tarn_arena *arena, unsigned number)
{
    header *headers = NULL;
    const char *const path = tarn_arena_printf(arena, "/articles/%u", number);
    if (path == NULL || !open_file(arena)) {
        return NULL;
    }
    for (unsigned i = 0; i < 12; i++) {
        header *const made = TARN_ARENA_NEW(arena, header);
        if (made == NULL) {
            return NULL;
        }
        made->next = headers;
        made->name = tarn_arena_printf(arena, "X-Header-%u", i);
        made->value = tarn_arena_strdup(arena, path);
        if (made->name == NULL || made->value == NULL) {
            return NULL;
        }
        headers = made;
    }
    /* Now and then somebody sends a body that is too large. */
    const size_t body_size = number % 1000 == 999 ? 10 * LIMIT : 2000 + number % 5000;
    char *const body = tarn_arena_alloc(arena, body_size);
    if (body == NULL) {
        return NULL;
    }
    memset(body, 'x', body_size);
    return headers;
}

int main(void)
{
    tarn_limited limited;
    tarn_counted counted;
    tarn_arena arena;
    if (tarn_limited_init(&limited, &(tarn_limited_options){.hard_limit = LIMIT}) != TARN_OK ||
        tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &limited.heap}) !=
            TARN_OK ||
        tarn_arena_init(&arena, &(tarn_arena_options){.name = "request",
                                                      .upstream = &counted.heap}) != TARN_OK) {
        return 1;
    }
    unsigned answered = 0;
    unsigned refused = 0;
    unsigned long long asked_first = 0;
    for (unsigned number = 0; number < REQUESTS; number++) {
        if (handle(&arena, number) != NULL) {
            answered++;
        } else {
            refused++;
        }
        tarn_arena_reset(&arena);
        if (number == REQUESTS / 2) {
            asked_first = counted.counts.allocs;
        }
    }
    const unsigned long long asked_later = counted.counts.allocs - asked_first;
    const tarn_stats stats = tarn_heap_stats(&limited.heap);
    printf("%u requests answered, %u refused as too large\n", answered, refused);
    printf("at most %zu KiB at once, the limit is %d KiB\n", stats.peak_live / 1024, LIMIT / 1024);
    printf("%u files opened, %u still open\n", files_opened, files_open);
    printf("memory asked for %llu times in the first half, %llu times in the second\n", asked_first,
           asked_later);
    tarn_arena_deinit(&arena);
    const bool is_empty = tarn_heap_stats(&limited.heap).live == 0;
    return refused == REQUESTS / 1000 && files_open == 0 && is_empty && stats.peak_live <= LIMIT
               ? 0
               : 1;
}
