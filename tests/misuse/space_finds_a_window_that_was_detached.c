/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a window of this space, or detached already \(space, block 0x[0-9a-f]+\) */
#include "tarn/space.h"

int main(void)
{
    tarn_frames frames;
    tarn_space space;
    void *window;
    tarn_frames_init(&frames, &(tarn_frames_options){.count = 10});
    tarn_space_init(&space, &(tarn_space_options){.frames = &frames});
    tarn_space_attach(&space, 0, 8 * 4096, NULL, &window);
    tarn_space_detach(&space, window);
    tarn_space_detach(&space, window);
    return 0;
}
