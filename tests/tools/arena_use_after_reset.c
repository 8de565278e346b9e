/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: READ of size 1 */
/* Memcheck: Invalid read of size 1 */
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
