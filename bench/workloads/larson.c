/* SPDX-License-Identifier: MIT */

/*
 * Server threads, after Larson and Krishnan, "Memory Allocation for Long-Running Server
 * Applications" (1998).
 *
 * Each lane is a line of threads. A thread replaces blocks of its lane's table at random, then
 * starts its successor, leaves it the table, and ends: so most blocks are freed by a thread that
 * did not allocate them, and whose owner is dead.
 */

#include "work.h"

#include <pthread.h>
#include <semaphore.h>

enum { LANES = 4, SLOTS = 4000, GENERATIONS = 56, OPS = 40000, SIZE_MIN = 8, SIZE_MAX_ = 1000 };

struct lane {
    work_random random;
    uint64_t checksum;
    unsigned generation;
    sem_t *done;
    void *blocks[SLOTS];
    uint32_t sizes[SLOTS];
};

static void replace(struct lane *lane, size_t slot)
{
    if (lane->blocks[slot] != NULL) {
        lane->checksum += work_read(lane->blocks[slot], lane->sizes[slot]);
        free(lane->blocks[slot]);
    }
    const uint32_t size = work_between(&lane->random, SIZE_MIN, SIZE_MAX_);
    lane->blocks[slot] = work_got(malloc(size));
    lane->sizes[slot] = size;
    work_write(lane->blocks[slot], size, work_next(&lane->random));
}

static void start(struct lane *lane);

static void *serve(void *argument)
{
    struct lane *lane = argument;
    for (size_t i = 0; i < OPS; i++) {
        replace(lane, work_below(&lane->random, SLOTS));
    }
    lane->generation++;
    if (lane->generation < GENERATIONS) {
        start(lane);
    } else {
        sem_post(lane->done);
    }
    return NULL;
}

static void start(struct lane *lane)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, lane) != 0 || pthread_detach(thread) != 0) {
        work_fail("cannot start a thread");
    }
}

int main(int argc, char **argv)
{
    static struct lane lanes[LANES];
    sem_t done;
    sem_init(&done, 0, 0);
    for (size_t i = 0; i < LANES; i++) {
        lanes[i].random.state = work_mix(work_seed(argc, argv, 1)) + i;
        lanes[i].done = &done;
        for (size_t slot = 0; slot < SLOTS; slot++) {
            replace(&lanes[i], slot);
        }
    }
    for (size_t i = 0; i < LANES; i++) {
        start(&lanes[i]);
    }
    for (size_t i = 0; i < LANES; i++) {
        while (sem_wait(&done) != 0) {
        }
    }
    uint64_t checksum = 0;
    for (size_t i = 0; i < LANES; i++) {
        for (size_t slot = 0; slot < SLOTS; slot++) {
            checksum += work_read(lanes[i].blocks[slot], lanes[i].sizes[slot]);
            free(lanes[i].blocks[slot]);
        }
        checksum += lanes[i].checksum;
    }
    work_report((uint64_t)LANES * (GENERATIONS * OPS + SLOTS), checksum);
    return 0;
}
