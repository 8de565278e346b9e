/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a frame that can be handed out \(frames, block 0x1388\) */
#include "tarn/frames.h"

int main(void)
{
    tarn_frames frames;
    tarn_frames_init(&frames, &(tarn_frames_options){.count = 10});
    *(char *)tarn_frames_at(&frames, 5000) = 1;
    return 0;
}
