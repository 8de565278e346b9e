/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a frame was released that nobody holds \(frames, block 0x[0-9a-f]+\) */
#include "tarn/frames.h"

int main(void)
{
    tarn_frames frames;
    tarn_frame first;
    tarn_frames_init(&frames, &(tarn_frames_options){.count = 10});
    tarn_frames_alloc(&frames, 2, &first);
    tarn_frames_release(&frames, first, 2);
    tarn_frames_release(&frames, first, 2);
    return 0;
}
