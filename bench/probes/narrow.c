/* SPDX-License-Identifier: MIT */

/*
 * Threads on stacks of 64 KiB that allocate, in a process with little address space: bench/run
 * starts it under a limit. A library with much static TLS leaves such threads no stack, one that
 * reserves address space leaves no room.
 */

#include "../workloads/work.h"

#include <pthread.h>

enum { STACK = 64 << 10, TURNS = 8, AT_ONCE = 4, BLOCKS = 60, SIZE_HIGH = 16384 };

static void *work(void *argument)
{
    work_random random = {work_mix((uintptr_t)argument + 1)};
    void *blocks[BLOCKS];
    uint32_t sizes[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        sizes[i] = work_size(&random, 8, SIZE_HIGH);
        blocks[i] = work_got(malloc(sizes[i]));
        work_write(blocks[i], sizes[i], i * 37);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if ((work_read(blocks[i], sizes[i]) & 0xff) != (i * 37 & 0xff)) {
            work_fail("a block did not keep what was written to it");
        }
        free(blocks[i]);
    }
    return NULL;
}

int main(void)
{
    pthread_attr_t narrow;
    pthread_t threads[AT_ONCE];
    pthread_attr_init(&narrow);
    if (pthread_attr_setstacksize(&narrow, STACK) != 0) {
        work_fail("a stack of 64 KiB is too small for the static TLS");
    }
    for (size_t turn = 0; turn < TURNS; turn++) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            const int error =
                pthread_create(&threads[i], &narrow, work, (void *)(turn * AT_ONCE + i));
            if (error != 0) {
                work_fail(strerror(error));
            }
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    puts("threads ran");
    return EXIT_SUCCESS;
}
