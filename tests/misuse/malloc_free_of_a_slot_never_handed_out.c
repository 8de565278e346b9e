/* SPDX-License-Identifier: MIT */
/* Expect: tarn: (not a block|double free) \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

/* Just past the last block of a fresh span: nobody ever got it. */
int main(void)
{
    char *last = need(malloc(3000));
    for (int i = 0; i < 5; i++) {
        char *next = need(malloc(3000));
        last = next > last ? next : last;
    }
    free(blamed(last + malloc_usable_size(last)));
    return 0;
}
