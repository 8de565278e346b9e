/* SPDX-License-Identifier: MIT */
/* Expect: tarn: the books of frames were overwritten \(frames, block (0x[0-9a-f]+|\(nil\))\) */
#include "tarn/frames.h"

#include <string.h>

int main(void)
{
    tarn_frames frames;
    tarn_frame first;
    tarn_frames_init(&frames, &(tarn_frames_options){.count = 1000});
    tarn_frames_alloc(&frames, 1, &first);
    /* An overrun backwards, out of the first frame into the maps of free blocks. */
    memset((char *)tarn_frames_at(&frames, frames.first) - 4096, 0, 4096);
    for (int i = 0; i < 1000; i++) {
        tarn_frames_alloc(&frames, 1, &first);
    }
    return 0;
}
