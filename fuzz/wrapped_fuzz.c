/* SPDX-License-Identifier: MIT */
/* Every wrapping heap at once, over a buffer: guarded, locked, counted and limited, with requests that fail. */
#include "heap_run.h"
#include "tarn/heaps.h"

static unsigned char memory[1 << 18];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    tarn_buffer buffer;
    tarn_failing failing;
    tarn_limited limited;
    tarn_guarded guarded;
    tarn_counted counted;
    tarn_locked locked;
    const tarn_failing_plan plan = {.every = data[0], .at = data[1]};
    if (tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL) ||
        tarn_failing_init(&failing,
                          &(tarn_failing_options){.upstream = &buffer.heap, .plan = plan}) ||
        tarn_limited_init(&limited,
                          &(tarn_limited_options){.upstream = &failing.heap,
                                                  .hard_limit = 1 + (size_t)data[2] * 1024}) ||
        tarn_guarded_init(
            &guarded, &(tarn_guarded_options){.upstream = &limited.heap, .quarantine = 1 << 14}) ||
        tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &guarded.heap}) ||
        tarn_locked_init(&locked, &(tarn_locked_options){.upstream = &counted.heap})) {
        __builtin_trap();
    }
    heap_run(&locked.heap, data + 3, size - 3, 1 << 14);
    tarn_guarded_deinit(&guarded);
    if (tarn_heap_stats(&limited.heap).live != 0) {
        /* Something that was taken upstream has been lost. */
        __builtin_trap();
    }
    tarn_buffer_deinit(&buffer);
    return 0;
}
