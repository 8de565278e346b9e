/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: WRITE of size 1 */
/* Memcheck: Invalid write of size 1 */
#include "tarn/arena.h"

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    char *block = tarn_arena_alloc(&arena, 24);
    char *other = tarn_arena_alloc(&arena, 24);
    other[0] = 1;
    block[24] = 1;
    tarn_arena_deinit(&arena);
    return 0;
}
