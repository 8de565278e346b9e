/* SPDX-License-Identifier: MIT */
/* Expect: tarn: frames ended while a space has them \(frames, block 0x[0-9a-f]+\) */
#include "tarn/space.h"

int main(void)
{
    tarn_frames frames;
    tarn_space space;
    tarn_frames_init(&frames, &(tarn_frames_options){.count = 10});
    tarn_space_init(&space, &(tarn_space_options){.frames = &frames});
    tarn_frames_deinit(&frames);
    return 0;
}
