/* SPDX-License-Identifier: MIT */

/*
 * Growth by realloc: vectors that double when they are full, strings that grow by what is
 * appended, side by side, most of them short-lived and small, a few of some megabytes; some are
 * cut to size when they are done.
 */

#include "work.h"

enum { STRINGS = 192, VECTORS = 64, STEPS = 2600000 };

struct buffer {
    unsigned char *bytes;
    size_t size;     /* in use */
    size_t capacity; /* allocated */
    size_t goal;     /* size at which it is finished */
};

struct state {
    work_random random;
    uint64_t checksum;
    uint64_t ops;
};

static void resize(struct state *state, struct buffer *buffer, size_t capacity)
{
    buffer->bytes = work_got(realloc(buffer->bytes, capacity));
    buffer->capacity = capacity;
    state->ops++;
}

/* Reads the buffer as its user would at the end, at a stride that is no multiple of a page. */
static void finish(struct state *state, struct buffer *buffer)
{
    resize(state, buffer, buffer->size);
    uint64_t sum = 0;
    for (size_t i = 0; i < buffer->size; i += 61) {
        sum = sum * 31 + buffer->bytes[i];
    }
    state->checksum = work_mix(state->checksum ^ sum ^ buffer->size);
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

static void append(struct state *state, struct buffer *buffer, size_t size)
{
    memset(buffer->bytes + buffer->size, (int)(work_next(&state->random) & 0xff), size);
    buffer->size += size;
}

static void grow_string(struct state *state, struct buffer *string)
{
    if (string->goal == 0) {
        string->goal = work_size(&state->random, 64, 16384);
    }
    const size_t size = work_between(&state->random, 1, 96);
    if (string->size + size > string->capacity) {
        resize(state, string, string->size + size);
    }
    append(state, string, size);
    if (string->size >= string->goal) {
        finish(state, string);
    }
}

static void grow_vector(struct state *state, struct buffer *vector)
{
    if (vector->goal == 0) {
        vector->goal = work_size(&state->random, 1024, 4u << 20);
    }
    const size_t size = vector->goal / 64;
    while (vector->size + size > vector->capacity) {
        resize(state, vector, vector->capacity == 0 ? 64 : vector->capacity * 2);
    }
    append(state, vector, size);
    if (vector->size >= vector->goal) {
        finish(state, vector);
    }
}

int main(int argc, char **argv)
{
    static struct buffer strings[STRINGS];
    static struct buffer vectors[VECTORS];
    struct state state = {.random.state = work_mix(work_seed(argc, argv, 1))};
    for (size_t step = 0; step < STEPS; step++) {
        if (work_below(&state.random, 64) == 0) {
            grow_vector(&state, &vectors[work_below(&state.random, VECTORS)]);
        } else {
            grow_string(&state, &strings[work_below(&state.random, STRINGS)]);
        }
    }
    for (size_t i = 0; i < STRINGS; i++) {
        free(strings[i].bytes);
    }
    for (size_t i = 0; i < VECTORS; i++) {
        free(vectors[i].bytes);
    }
    work_report(state.ops, state.checksum);
    return 0;
}
