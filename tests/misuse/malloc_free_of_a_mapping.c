/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block \(malloc, block 0x[0-9a-f]+\) */
#include <sys/mman.h>

#include "malloc_misuse.h"

int main(void)
{
    void *mapping = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    free(blamed(mapping));
    return 0;
}
