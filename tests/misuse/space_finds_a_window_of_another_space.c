/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a window of this space, or detached already \(second, block 0x[0-9a-f]+\) */
#include "tarn/space.h"

int main(void)
{
    tarn_frames frames;
    tarn_space first;
    tarn_space second;
    void *window;
    tarn_frames_init(&frames, &(tarn_frames_options){.count = 10});
    tarn_space_init(&first, &(tarn_space_options){.frames = &frames});
    tarn_space_init(&second, &(tarn_space_options){.name = "second", .frames = &frames});
    tarn_space_attach(&first, 0, 8 * 4096, NULL, &window);
    tarn_space_detach(&second, window);
    return 0;
}
