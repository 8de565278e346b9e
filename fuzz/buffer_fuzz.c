/* SPDX-License-Identifier: MIT */
/* The buffer heap: the first bytes choose how large its memory is and where it starts. */
#include "heap_run.h"
#include "tarn/heaps.h"

static unsigned char memory[1 << 16];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    const size_t offset = data[0] % 64;
    const size_t room = (size_t)data[1] * 256 + data[2];
    tarn_buffer buffer;
    const tarn_memory given = {memory + offset,
                               room <= sizeof memory - offset ? room : sizeof memory - offset};
    if (tarn_buffer_init(&buffer, given, NULL) == TARN_OK) {
        heap_run(&buffer.heap, data + 3, size - 3, sizeof memory / 2);
        tarn_buffer_deinit(&buffer);
    }
    return 0;
}
