/* SPDX-License-Identifier: MIT */
/* Expect: tarn: the instance of a thread or of the process cannot be ended \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel_deinit(tarn_twolevel_of_thread());
    return 0;
}
