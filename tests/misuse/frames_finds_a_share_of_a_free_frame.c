/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a frame was shared that nobody holds \(video memory, block 0x[0-9a-f]+\) */
#include "tarn/frames.h"

int main(void)
{
    tarn_frames frames;
    tarn_frame first;
    tarn_frames_init(&frames, &(tarn_frames_options){.name = "video memory", .count = 10});
    tarn_frames_alloc(&frames, 1, &first);
    tarn_frames_release(&frames, first, 1);
    tarn_frames_share(&frames, first, 1);
    return 0;
}
