/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    void *block = blamed(need(malloc(100)));
    free(block);
    if (realloc(hidden(block), 0) != NULL) {
        return 3;
    }
    return 0;
}
