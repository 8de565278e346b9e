/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a handle of this heap, or freed already \(second, block 0x[0-9a-f]+\) */
#include "tarn/movable.h"

int main(void)
{
    tarn_movable first;
    tarn_movable second;
    tarn_movable_init(&first, NULL);
    tarn_movable_init(&second, &(tarn_movable_options){.name = "second"});
    tarn_movable_free(&second, tarn_movable_alloc(&first, 100, 0));
    return 0;
}
