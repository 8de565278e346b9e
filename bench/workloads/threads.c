/* SPDX-License-Identifier: MIT */

/*
 * Many short threads: a server that starts a thread for each request.
 *
 * Each thread frees what an earlier one left, allocates some blocks, frees every other one, leaves
 * the rest to a thread that is not born yet, and ends.
 */

#include "work.h"

#include <pthread.h>

enum { THREADS = 8000, AT_ONCE = 8, LEFT = 48, SIZE_LOW = 16, SIZE_HIGH = 4096 };

struct request {
    pthread_t thread;
    work_random random;
    uint64_t checksum;
    void *left[LEFT]; /* by the thread before */
    uint32_t sizes[LEFT];
};

static void *serve(void *argument)
{
    struct request *request = argument;
    for (size_t i = 0; i < LEFT; i++) {
        if (request->left[i] != NULL) {
            request->checksum += work_read(request->left[i], request->sizes[i]);
            free(request->left[i]);
        }
        const uint32_t size = work_size(&request->random, SIZE_LOW, SIZE_HIGH);
        void *scratch = work_got(malloc(size));
        work_write(scratch, size, work_next(&request->random));
        request->sizes[i] = work_size(&request->random, SIZE_LOW, SIZE_HIGH);
        request->left[i] = work_got(malloc(request->sizes[i]));
        work_write(request->left[i], request->sizes[i], work_next(&request->random));
        request->checksum += work_read(scratch, size);
        free(scratch);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct request requests[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++) {
        requests[i].random.state = work_mix(work_seed(argc, argv, 1)) + i;
    }
    for (size_t started = 0; started < THREADS; started++) {
        struct request *request = &requests[started % AT_ONCE];
        if (started >= AT_ONCE) {
            pthread_join(request->thread, NULL);
        }
        if (pthread_create(&request->thread, NULL, serve, request) != 0) {
            work_fail("cannot start a thread");
        }
    }
    uint64_t checksum = 0;
    for (size_t i = 0; i < AT_ONCE; i++) {
        pthread_join(requests[i].thread, NULL);
        for (size_t j = 0; j < LEFT; j++) {
            checksum += work_read(requests[i].left[j], requests[i].sizes[j]);
            free(requests[i].left[j]);
        }
        checksum += requests[i].checksum;
    }
    work_report((uint64_t)THREADS * LEFT * 2, checksum);
    return 0;
}
