/* SPDX-License-Identifier: MIT */
#include <tarn/ring.h>

#include <stdio.h>
#include <string.h>

/*
 * Lines that arrive in pieces, in a mirrored ring: a line that passes the end of the buffer is still one stretch of
 * memory, so memchr finds its end and printf prints it where it lies.
 */

enum { LINES = 1000 };

static unsigned arrive(tarn_ring *ring, unsigned sent)
{
    size_t size;
    while (sent < LINES) {
        char *to = tarn_ring_space(ring, &size);
        const int length =
            snprintf(to, size, "line %u, which is %s\n", sent,
                     sent % 7 == 0 ? "rather long, so that edges come anywhere" : "short");
        if (length < 0 || (size_t)length >= size) {
            break; /* no space until somebody reads */
        }
        tarn_ring_commit(ring, (size_t)length);
        sent++;
    }
    return sent;
}

int main(void)
{
    static tarn_ring ring;
    unsigned sent = 0;
    unsigned read = 0;
    unsigned over_the_edge = 0;
    size_t size;
    if (tarn_ring_init(&ring, &(tarn_ring_options){.size = 4096}) != TARN_OK) {
        return 1;
    }
    while (read < LINES) {
        sent = arrive(&ring, sent);
        const char *line = tarn_ring_data(&ring, &size);
        const char *end = memchr(line, '\n', size);
        unsigned number = 0;
        if (end == NULL || sscanf(line, "line %u,", &number) != 1 || number != read) {
            return 1;
        }
        /* Where it lies, in the first mirror or across both. */
        const size_t at = (size_t)((uintptr_t)line % 4096);
        if (at + (size_t)(end - line) >= 4096) {
            over_the_edge++;
            printf("over the edge: %.*s\n", (int)(end - line), line);
        }
        tarn_ring_consume(&ring, (size_t)(end - line) + 1);
        read++;
    }
    printf("%u lines in one piece, %u of them over the edge\n", read, over_the_edge);
    tarn_ring_deinit(&ring);
    return over_the_edge > 0 ? 0 : 1;
}
