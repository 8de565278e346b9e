/* SPDX-License-Identifier: MIT */
/* Environment: TARN_POOLING=0 */
/* AddressSanitizer: heap-use-after-free */
/* AddressSanitizer: is located 0 bytes inside of 100-byte region */
/* Memcheck: Invalid read of size 1 */
/* Memcheck: is 0 bytes inside a block of size 100 free'd */
#include "tarn/arena.h"

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    char *block = tarn_arena_alloc(&arena, 100);
    block[0] = 1;
    tarn_arena_reset(&arena);
    const char is_one = *(volatile char *)block;
    tarn_arena_deinit(&arena);
    return is_one - 1;
}
