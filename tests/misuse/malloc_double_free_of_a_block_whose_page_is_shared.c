/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

/* Where the block was, another address has bytes in use by now. */
int main(int count, char **arguments)
{
    enum { BLOCKS = 20000, KEPT = 10 };
    static void *blocks[BLOCKS];
    if (getenv("TARN_CONF") == NULL) {
        setenv("TARN_CONF", "compact:1,decay_ms:-1", 1);
        execv("/proc/self/exe", arguments);
    }
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = need(malloc(256));
        memset(blocks[i], count, 256);
    }
    void *block = blamed(blocks[BLOCKS / 2 + 1]);
    for (int i = 0; i < BLOCKS; i++) {
        if (i % KEPT != 0) {
            free(blocks[i]);
        }
    }
    malloc_trim(0);
    free(hidden(block));
    return 0;
}
