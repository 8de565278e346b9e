/* SPDX-License-Identifier: MIT */
/* Expect: tarn: more was consumed than there is \(log, block 0x[0-9a-f]+\) */
#include "tarn/ring.h"

int main(void)
{
    static tarn_ring ring;
    tarn_ring_init(&ring, &(tarn_ring_options){.name = "log", .size = 4096});
    tarn_ring_commit(&ring, 10);
    tarn_ring_consume(&ring, 11);
    return 0;
}
