/* SPDX-License-Identifier: MIT */
/* Expect: tarn: more was committed than there is space for \(ring, block 0x[0-9a-f]+\) */
#include "tarn/ring.h"

int main(void)
{
    static tarn_ring ring;
    tarn_ring_init(&ring, &(tarn_ring_options){.size = 4096});
    tarn_ring_commit(&ring, 4097);
    return 0;
}
