/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/space.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/space_tools.h"
#include "unit/tools.h"

enum { THREADS = 4, HELD = 40 };

typedef struct worker {
    pthread_t thread;
    tarn_frames *frames;
    tarn_space *parent; /* of a fork; NULL: none */
    tarn_space child;
    unsigned number;
    unsigned errors;
} worker;

static int rounds(void)
{
    return IS_UNDER_NO_TOOL ? 20000 : 1500;
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 20;
}

/* Allocates, writes its number, and finds it again: nobody else has the frame. */
static unsigned use_frames(tarn_frames *frames, uint64_t number, int count)
{
    tarn_frame held[HELD] = {0};
    uint64_t state = number * 7919 + 1;
    unsigned errors = 0;
    for (int i = 0; i < count; i++) {
        const size_t slot = draw(&state) % HELD;
        if (held[slot] != 0) {
            const uint64_t *words = tarn_frames_at(frames, held[slot]);
            errors += words[0] != number || words[511] != slot;
            tarn_frames_release(frames, held[slot], 1);
            held[slot] = 0;
        } else if (tarn_frames_alloc(frames, 1, &held[slot]) == TARN_OK) {
            uint64_t *words = tarn_frames_at(frames, held[slot]);
            errors += words[0] != 0 || words[511] != 0;
            words[0] = number;
            words[511] = slot;
        } else {
            held[slot] = 0;
        }
    }
    for (size_t slot = 0; slot < HELD; slot++) {
        if (held[slot] != 0) {
            tarn_frames_release(frames, held[slot], 1);
        }
    }
    return errors;
}

static void *work_on_frames(void *context)
{
    worker *it = context;
    it->errors = use_frames(it->frames, it->number, rounds());
    return NULL;
}

static void threads_never_get_the_same_frame(void **state)
{
    (void)state;
    tarn_frames frames;
    static worker workers[THREADS];
    make_frames(&frames, 100);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.frames = &frames, .number = i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_on_frames, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].errors, 0);
    }
    end_frames(&frames);
}

static void processes_never_get_the_same_frame(void **state)
{
    (void)state;
    tarn_frames frames;
    pid_t children[THREADS];
    make_frames(&frames, 100);
    fflush(NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            tarn_frames mine;
            if (tarn_frames_open(&mine, tarn_frames_descriptor(&frames), NULL) != TARN_OK) {
                _exit(1);
            }
            _exit(use_frames(&mine, i + 1, rounds()) == 0 ? 0 : 2);
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        int status = 0;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    end_frames(&frames);
}

/* Another process, which has the descriptor alone: the frame is at other addresses of both kinds there. */
static int answer(int descriptor)
{
    tarn_frames frames;
    tarn_space space;
    void *window = NULL;
    if (tarn_frames_open(&frames, descriptor, NULL) != TARN_OK ||
        tarn_space_init(&space, &(tarn_space_options){.frames = &frames}) != TARN_OK ||
        tarn_space_map(&space, 77 * PAGE, PAGE,
                       &(tarn_map_options){.access = RW, .frame = tarn_frames_root(&frames)}) !=
            TARN_OK ||
        tarn_space_attach(&space, 77 * PAGE, PAGE, NULL, &window) != TARN_OK ||
        strcmp(window, "question") != 0) {
        return 1;
    }
    strcpy(window, "answer");
    tarn_space_deinit(&space);
    tarn_frames_deinit(&frames);
    return 0;
}

static void processes_share_a_page_by_the_number_of_its_frame(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    int status = 0;
    make_frames(&frames, 100);
    make_space(&space, &frames);
    assert_int_equal(
        tarn_space_map(&space, 0, PAGE, &(tarn_map_options){.access = RW | TARN_PAGE_SHARED}),
        TARN_OK);
    put(&space, 0, "question");
    tarn_frames_set_root(&frames, tarn_space_walk(&space, 0, TARN_ACCESS_READ).frame);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        _exit(answer(tarn_frames_descriptor(&frames)));
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_text(&space, 0, "answer");
    assert_int_equal(tarn_frames_references(&frames, tarn_frames_root(&frames)), 1);
    tarn_frames_set_root(&frames, 0);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

/* Each has a space of its own, all of them with the frames of one parent, and writes all over. */
static void *work_on_a_fork(void *context)
{
    worker *it = context;
    uint64_t state = it->number * 7919 + 1;
    uint64_t values[HELD] = {0};
    for (int i = 0; i < rounds() / 4; i++) {
        const uint64_t page = draw(&state) % HELD;
        uint64_t there = 0;
        it->errors += tarn_space_read(&it->child, page * PAGE, &there, sizeof there, 0, NULL) != 0;
        it->errors += values[page] != 0 ? there != values[page] : there != page + 1000;
        values[page] = (uint64_t)it->number << 32 | (unsigned)(i + 1);
        it->errors += tarn_space_write(&it->child, page * PAGE, &values[page], sizeof values[page],
                                       0, NULL) != 0;
        if (i % 500 == 499) {
            tarn_space second;
            if (tarn_space_fork(&it->child, &second, NULL) == TARN_OK) {
                tarn_space_deinit(&second);
            }
        }
    }
    it->errors += !tarn_space_check(&it->child, NULL, 0);
    return NULL;
}

static void forks_of_one_space_are_independent_in_threads(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space parent;
    static worker workers[THREADS];
    make_frames(&frames, (THREADS + 1) * HELD);
    make_space(&parent, &frames);
    assert_int_equal(map(&parent, 0, HELD, RW), TARN_OK);
    for (uint64_t page = 0; page < HELD; page++) {
        const uint64_t value = page + 1000;
        assert_int_equal(tarn_space_write(&parent, page * PAGE, &value, sizeof value, 0, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.frames = &frames, .number = i + 1};
        assert_int_equal(tarn_space_fork(&parent, &workers[i].child, NULL), TARN_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_on_a_fork, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].errors, 0);
        tarn_space_deinit(&workers[i].child);
    }
    tarn_space_deinit(&parent);
    end_frames(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_never_get_the_same_frame),
        cmocka_unit_test(processes_never_get_the_same_frame),
        cmocka_unit_test(processes_share_a_page_by_the_number_of_its_frame),
        cmocka_unit_test(forks_of_one_space_are_independent_in_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
