/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: READ of size 1 */
/* Memcheck: Invalid read of size 1 */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel twolevel;
    tarn_twolevel_init(&twolevel, NULL);
    char *block = tarn_twolevel_alloc(&twolevel, 48);
    block[40] = 1;
    tarn_twolevel_free(&twolevel, block, 48);
    const char is_one = ((volatile char *)block)[40];
    tarn_twolevel_deinit(&twolevel);
    return is_one - 1;
}
