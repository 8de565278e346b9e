/* SPDX-License-Identifier: MIT */

/*
 * Blocks freed by other threads in random order: in each round every thread fills its row of a
 * table, and then frees a share of all the rows, chosen at random.
 */

#include "work.h"

#include <pthread.h>

enum {
    THREADS = 4,
    ROW = 12000,
    ALL = THREADS * ROW,
    ROUNDS = 60,
    SIZE_LOW = 16,
    SIZE_HIGH = 1024
};

struct worker {
    pthread_t thread;
    work_random random;
    uint64_t checksum;
    unsigned place;
};

static void *blocks[ALL];
static uint32_t sizes[ALL];
static uint32_t order[ALL]; /* of freeing: a shuffle of all the places, made anew by thread 0 */
static pthread_barrier_t barrier;

static void shuffle(work_random *random)
{
    for (uint32_t i = 0; i < ALL; i++) {
        const uint32_t j = work_below(random, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}

static void *work(void *argument)
{
    struct worker *self = argument;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = self->place * (size_t)ROW; i < (self->place + 1) * (size_t)ROW; i++) {
            sizes[i] = work_size(&self->random, SIZE_LOW, SIZE_HIGH);
            blocks[i] = work_got(malloc(sizes[i]));
            work_write(blocks[i], sizes[i], work_next(&self->random));
        }
        if (self->place == 0) {
            shuffle(&self->random);
        }
        pthread_barrier_wait(&barrier);
        for (size_t i = self->place; i < ALL; i += THREADS) {
            self->checksum += work_read(blocks[order[i]], sizes[order[i]]);
            free(blocks[order[i]]);
        }
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].random.state = work_mix(work_seed(argc, argv, 1)) + i;
        workers[i].place = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            work_fail("cannot start a thread");
        }
    }
    uint64_t checksum = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        checksum += workers[i].checksum;
    }
    work_report((uint64_t)ALL * ROUNDS * 2, checksum);
    return 0;
}
