/* SPDX-License-Identifier: MIT */

/*
 * Producers and consumers: `handoff PRODUCERS CONSUMERS`.
 *
 * Producers make messages, a header and a body each, and put them in batches on one bounded queue;
 * consumers take batches, read the messages and free them. Every block is freed by a thread that
 * did not allocate it.
 */

#include "work.h"

#include <pthread.h>

enum { MESSAGES = 3000000, BATCH = 64, QUEUE_BATCHES = 64, THREADS_MAX = 16 };

struct message {
    struct message *next;
    char *body;
    uint32_t size; /* bytes of the body */
};

/* A ring of batches, each a list of BATCH messages at most. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_full;
    pthread_cond_t not_empty;
    struct message *batches[QUEUE_BATCHES]; /* guarded by lock, as the rest */
    size_t first;
    size_t count;
    unsigned producers; /* still running */
};

struct worker {
    pthread_t thread;
    work_random random;
    uint64_t messages; /* to make, of a producer */
    uint64_t checksum; /* of what a consumer has read */
    struct queue *queue;
};

static void put(struct queue *queue, struct message *batch)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->count == QUEUE_BATCHES) {
        pthread_cond_wait(&queue->not_full, &queue->lock);
    }
    queue->batches[(queue->first + queue->count) % QUEUE_BATCHES] = batch;
    queue->count++;
    pthread_cond_signal(&queue->not_empty);
    pthread_mutex_unlock(&queue->lock);
}

/* The oldest batch, or NULL when there is none and never will be. */
static struct message *take(struct queue *queue)
{
    struct message *batch = NULL;
    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && queue->producers > 0) {
        pthread_cond_wait(&queue->not_empty, &queue->lock);
    }
    if (queue->count > 0) {
        batch = queue->batches[queue->first];
        queue->first = (queue->first + 1) % QUEUE_BATCHES;
        queue->count--;
        pthread_cond_signal(&queue->not_full);
    }
    pthread_mutex_unlock(&queue->lock);
    return batch;
}

static struct message *make(work_random *random)
{
    struct message *message = work_got(malloc(sizeof *message));
    message->size = work_size(random, 16, 1024);
    message->body = work_got(malloc(message->size));
    work_write(message->body, message->size, work_next(random));
    return message;
}

static void *produce(void *argument)
{
    struct worker *self = argument;
    for (uint64_t made = 0; made < self->messages;) {
        struct message *batch = NULL;
        for (size_t i = 0; i < BATCH && made < self->messages; i++, made++) {
            struct message *next = make(&self->random);
            next->next = batch;
            batch = next;
        }
        put(self->queue, batch);
    }
    pthread_mutex_lock(&self->queue->lock);
    self->queue->producers--;
    pthread_cond_broadcast(&self->queue->not_empty);
    pthread_mutex_unlock(&self->queue->lock);
    return NULL;
}

static void *consume(void *argument)
{
    struct worker *self = argument;
    for (struct message *batch = take(self->queue); batch != NULL; batch = take(self->queue)) {
        while (batch != NULL) {
            struct message *next = batch->next;
            self->checksum += work_read(batch->body, batch->size);
            free(batch->body);
            free(batch);
            batch = next;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const unsigned producers = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    const unsigned consumers = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    if (producers < 1 || consumers < 1 || producers > THREADS_MAX || consumers > THREADS_MAX) {
        work_fail("usage: handoff PRODUCERS CONSUMERS [SEED], 1 to 16 of each");
    }
    static struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                 .not_full = PTHREAD_COND_INITIALIZER,
                                 .not_empty = PTHREAD_COND_INITIALIZER};
    static struct worker workers[2 * THREADS_MAX];
    queue.producers = producers;
    for (unsigned i = 0; i < producers + consumers; i++) {
        workers[i].queue = &queue;
        workers[i].messages = MESSAGES / producers;
        workers[i].random.state = work_mix(work_seed(argc, argv, 3)) + i;
        if (pthread_create(&workers[i].thread, NULL, i < producers ? produce : consume,
                           &workers[i]) != 0) {
            work_fail("cannot start a thread");
        }
    }
    uint64_t checksum = 0;
    for (unsigned i = 0; i < producers + consumers; i++) {
        pthread_join(workers[i].thread, NULL);
        checksum += workers[i].checksum;
    }
    work_report((uint64_t)(MESSAGES / producers) * producers * 2, checksum);
    return 0;
}
