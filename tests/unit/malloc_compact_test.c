/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/malloc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Compaction by sharing frames. Passes happen when a test asks for one, by tarn_malloc_trim; those with threads ask
 * all the time. What a block holds follows from its number, so that a byte that is not its own is seen.
 */

const char *tarn_malloc_conf = "compact:1,decay_ms:-1";

enum { BLOCKS = 20000, LOW = 16, HIGH = 512, WRITERS = 4 };

typedef struct block {
    uint32_t number;
    uint32_t size; /* of the data */
    unsigned char data[];
} block;

static block *blocks[BLOCKS];
static uint64_t seed;

static uint32_t draw(uint64_t *state, uint32_t limit)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return (uint32_t)((x ^ (x >> 31)) >> 32) % limit;
}

static unsigned char byte_of(uint32_t number, uint32_t index)
{
    return (unsigned char)((number * 2654435761U >> 11) + index * 37);
}

static void fill(block *one, uint32_t number)
{
    one->number = number;
    for (uint32_t index = 0; index < one->size; index++) {
        one->data[index] = byte_of(number, index);
    }
}

static bool is_whole(const block *one)
{
    for (uint32_t index = 0; index < one->size; index++) {
        if (one->data[index] != byte_of(one->number, index)) {
            fprintf(stderr, "block %p: byte %u of %u is not its own (seed %llu)\n",
                    (const void *)one, index, one->size, (unsigned long long)seed);
            return false;
        }
    }
    return true;
}

static block *make(uint64_t *state, uint32_t number)
{
    const uint32_t size = LOW + draw(state, HIGH - LOW + 1);
    block *one = tarn_malloc(size);
    assert_non_null(one);
    one->size = size - (uint32_t)sizeof *one;
    fill(one, number);
    return one;
}

static size_t make_all(uint64_t *state)
{
    size_t bytes = 0;
    for (uint32_t index = 0; index < BLOCKS; index++) {
        blocks[index] = make(state, index);
        bytes += blocks[index]->size + sizeof *blocks[index];
    }
    return bytes;
}

/* Frees all but about `percent` in a hundred; returns the bytes of those that stay. */
static size_t keep(uint64_t *state, uint32_t percent)
{
    size_t bytes = 0;
    for (uint32_t index = 0; index < BLOCKS; index++) {
        if (blocks[index] != NULL && draw(state, 100) >= percent) {
            tarn_free(blocks[index]);
            blocks[index] = NULL;
        }
        bytes += blocks[index] != NULL ? blocks[index]->size + sizeof *blocks[index] : 0;
    }
    return bytes;
}

static bool all_are_whole(void)
{
    bool whole = true;
    for (uint32_t index = 0; index < BLOCKS; index++) {
        whole &= blocks[index] == NULL || is_whole(blocks[index]);
    }
    return whole;
}

static void free_all(void)
{
    for (uint32_t index = 0; index < BLOCKS; index++) {
        tarn_free(blocks[index]);
        blocks[index] = NULL;
    }
    tarn_malloc_trim();
}

static tarn_malloc_compact_stats stats(void)
{
    tarn_malloc_stats all;
    tarn_malloc_stats_get(&all, sizeof all);
    return all.compact;
}

/* Sparse blocks on frames, from scratch. */
static void scatter(uint64_t *state)
{
    make_all(state);
    keep(state, 10);
    tarn_malloc_trim();
}

static int wait_for(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void sparse_blocks_come_to_share_memory(void **state)
{
    (void)state;
    uint64_t chance = seed;
    const size_t all = make_all(&chance);
    const size_t live = keep(&chance, 10);
    tarn_malloc_trim();
    const tarn_malloc_compact_stats after = stats();
    assert_true(all > 8 * live);
    assert_true(after.passes > 0);
    assert_true(after.pairs_joined > 0);
    assert_true(after.pairs_tried >= after.pairs_joined);
    assert_true(after.windows >= 2 * after.frames);
    assert_true(after.bytes_recovered > live);
    /* What is shared holds nearly all that is live, in some three times as much memory; a class has few spans here. */
    assert_true(after.frames < 5 * live);
    assert_true(after.windows > 2 * live);
    assert_true(all_are_whole());
    free_all();
}

static void frames_go_when_their_blocks_are_freed(void **state)
{
    (void)state;
    uint64_t chance = seed;
    scatter(&chance);
    assert_true(stats().frames > 0);
    free_all();
    assert_int_equal(stats().frames, 0);
    assert_int_equal(stats().windows, 0);
}

static void blocks_stay_whole_through_filling_and_emptying(void **state)
{
    (void)state;
    uint64_t chance = seed;
    for (unsigned round = 0; round < 12; round++) {
        const uint32_t full = round % 3 == 0 ? 90 : round % 3 == 1 ? 5 : 30;
        for (unsigned step = 0; step < 3 * BLOCKS; step++) {
            const uint32_t index = draw(&chance, BLOCKS);
            if (blocks[index] == NULL && draw(&chance, 100) < full) {
                blocks[index] = make(&chance, index + round);
            } else if (blocks[index] != NULL && draw(&chance, 100) >= full) {
                assert_true(is_whole(blocks[index]));
                tarn_free(blocks[index]);
                blocks[index] = NULL;
            }
            if (step % BLOCKS == BLOCKS - 1) {
                tarn_malloc_trim();
            }
        }
        assert_true(all_are_whole());
    }
    assert_true(stats().pairs_joined > 300);
    free_all();
    assert_int_equal(stats().windows, 0);
}

static void room_on_frames_is_used_again(void **state)
{
    (void)state;
    uint64_t chance = seed;
    scatter(&chance);
    tarn_malloc_stats before;
    tarn_malloc_stats_get(&before, sizeof before);
    /* As many blocks as a third of the frames' room: they go where others were freed. */
    size_t room = before.compact.frames / 3;
    for (uint32_t index = 0; index < BLOCKS && room > HIGH; index++) {
        if (blocks[index] == NULL) {
            blocks[index] = make(&chance, index);
            room -= blocks[index]->size + sizeof *blocks[index];
        }
    }
    tarn_malloc_stats after;
    tarn_malloc_stats_get(&after, sizeof after);
    assert_true(all_are_whole());
    assert_int_equal(after.mapped, before.mapped);
    assert_int_equal(after.compact.windows, before.compact.windows);
    free_all();
}

static void blocks_that_are_freed_regularly_share_too(void **state)
{
    (void)state;
    enum { COUNT = 65536, EVERY = 16 };
    static unsigned char *rows[COUNT];
    for (size_t index = 0; index < COUNT; index++) {
        rows[index] = tarn_malloc(256);
        assert_non_null(rows[index]);
        memset(rows[index], (int)(index / EVERY), 256);
    }
    for (size_t index = 0; index < COUNT; index++) {
        if (index % EVERY != 0) {
            tarn_free(rows[index]);
        }
    }
    const uint64_t before = stats().pairs_joined;
    tarn_malloc_trim();
    assert_true(stats().pairs_joined - before > 500);
    for (size_t index = 0; index < COUNT; index += EVERY) {
        assert_int_equal(rows[index][0], (unsigned char)(index / EVERY));
        assert_int_equal(rows[index][255], (unsigned char)(index / EVERY));
        tarn_free(rows[index]);
    }
    tarn_malloc_trim();
}

static void *free_most(void *argument)
{
    (void)argument;
    uint64_t chance = seed + 1;
    keep(&chance, 10);
    return NULL;
}

static void blocks_that_other_threads_freed_share_too(void **state)
{
    (void)state;
    uint64_t chance = seed;
    make_all(&chance);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_most, NULL), 0);
    pthread_join(thread, NULL);
    const uint64_t before = stats().pairs_joined;
    tarn_malloc_trim();
    assert_true(stats().pairs_joined - before > 40);
    assert_true(all_are_whole());
    free_all();
}

/* ---- forks ---- */

static bool rewrite_all(uint32_t more)
{
    const bool whole = all_are_whole();
    for (uint32_t index = 0; index < BLOCKS; index++) {
        if (blocks[index] != NULL) {
            fill(blocks[index], blocks[index]->number + more);
        }
    }
    return whole;
}

static void parent_and_child_have_copies_of_their_own(void **state)
{
    (void)state;
    uint64_t chance = seed;
    scatter(&chance);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char go = 0;
        bool good = read(ends[0], &go, 1) == 1; /* the parent has written to all blocks */
        good = good && rewrite_all(100000);
        tarn_malloc_trim();
        for (uint32_t index = 0; index < BLOCKS; index += 3) {
            tarn_free(blocks[index]);
            blocks[index] = make(&chance, index);
        }
        good = good && all_are_whole();
        const pid_t grandchild = fork();
        if (grandchild == 0) {
            _exit(rewrite_all(7) && all_are_whole() ? 0 : 1);
        }
        int status = 1;
        good = good && waitpid(grandchild, &status, 0) == grandchild && status == 0;
        _exit(good && all_are_whole() ? 0 : 1);
    }
    assert_true(rewrite_all(500000));
    assert_int_equal(write(ends[1], "g", 1), 1);
    assert_int_equal(wait_for(child), 0);
    for (uint32_t index = 0; index < BLOCKS; index++) {
        assert_true(blocks[index] == NULL || blocks[index]->number == index + 500000);
    }
    assert_true(all_are_whole());
    tarn_malloc_trim();
    assert_true(all_are_whole());
    close(ends[0]);
    close(ends[1]);
    free_all();
    assert_int_equal(stats().windows, 0);
}

static void descriptors_that_the_program_closes_do_no_harm(void **state)
{
    (void)state;
    uint64_t chance = seed;
    scatter(&chance);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        scatter(&chance);
        bool good = stats().windows > 0;
        /* As daemons do; then the numbers are taken by files of the program. */
        (void)syscall(SYS_close_range, 3u, ~0u, 0u);
        for (unsigned count = 0; count < 1000; count++) {
            (void)open("/dev/zero", O_RDWR | O_CLOEXEC);
        }
        good = good && all_are_whole();
        keep(&chance, 50);
        tarn_malloc_trim();
        good = good && all_are_whole();
        const pid_t grandchild = fork();
        if (grandchild == 0) {
            _exit(rewrite_all(9) && all_are_whole() ? 0 : 1);
        }
        int status = 1;
        good = good && rewrite_all(3) && waitpid(grandchild, &status, 0) == grandchild &&
               status == 0 && all_are_whole();
        _exit(good ? 0 : 1);
    }
    assert_int_equal(wait_for(child), 0);
    free_all();
}

/* ---- what the kernel refuses ---- */

/* 77: the kernel did not let the child set the test up. */
static void judge(pid_t child)
{
    const int status = wait_for(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(status, 0);
}

static bool refuse(unsigned first, unsigned second)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static void without_files_of_memory_nothing_is_shared(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t chance = seed;
        if (!refuse(SYS_memfd_create, SYS_memfd_create)) {
            _exit(77);
        }
        scatter(&chance);
        _exit(stats().windows == 0 && stats().frames == 0 && all_are_whole() ? 0 : 1);
    }
    judge(child);
}

static void mappings_are_left_to_the_program(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t chance = seed;
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        const size_t count = 60000;
        unsigned char *pages =
            mmap(NULL, count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED) {
            _exit(77);
        }
        bool is_many = true;
        for (size_t index = 0; index < count && is_many; index += 2) {
            is_many = mprotect(pages + index * page, page, PROT_READ) == 0;
        }
        make_all(&chance);
        keep(&chance, 10);
        tarn_malloc_trim();
        _exit(stats().windows == 0 && all_are_whole() ? 0 : 1);
    }
    judge(child);
}

/* ---- writers ---- */

static _Atomic(bool) is_over;
static _Atomic(unsigned) faults;
static _Atomic(uint64_t) *counter;
static bool by_system_calls;

/* Writes to blocks of its own all the time, and to one that all write to. */
static void *write_all_the_time(void *argument)
{
    const uint32_t own = (uint32_t)(uintptr_t)argument;
    uint64_t chance = seed + own;
    int ends[2];
    if (pipe(ends) != 0) {
        faults++;
        return NULL;
    }
    while (!is_over) {
        uint32_t index = draw(&chance, BLOCKS / WRITERS) * WRITERS + own;
        block *one = blocks[index];
        if (one == NULL) {
            continue;
        }
        faults += !is_whole(one);
        if (by_system_calls && draw(&chance, 4) == 0) {
            faults += write(ends[1], one->data, one->size) != (ssize_t)one->size;
            faults += one->size > 0 && read(ends[0], one->data, one->size) != (ssize_t)one->size;
        } else {
            fill(one, one->number + 1);
        }
        atomic_fetch_add(counter, 1);
        atomic_fetch_add(&counter[1 + own], 1);
    }
    close(ends[0]);
    close(ends[1]);
    return NULL;
}

/* Blocks of a size that no other test has, so that the one that all write to lies on a page that moves. */
static void keep_company(void **company, size_t count, bool come)
{
    for (size_t index = 0; index < count; index++) {
        if (come) {
            company[index] = tarn_calloc(1, 48);
        } else {
            tarn_free(company[index]);
        }
    }
}

static unsigned write_while_pages_move(unsigned rounds)
{
    enum { COMPANY = 4000 };
    static void *company[COMPANY];
    uint64_t chance = seed;
    pthread_t threads[WRITERS];
    faults = 0;
    is_over = false;
    keep_company(company, COMPANY, true);
    counter = company[COMPANY / 2];
    company[COMPANY / 2] = NULL;
    keep_company(company, COMPANY, false);
    make_all(&chance);
    keep(&chance, 12);
    for (uint32_t index = 0; index < WRITERS; index++) {
        faults += pthread_create(&threads[index], NULL, write_all_the_time,
                                 (void *)(uintptr_t)index) != 0;
    }
    /* More blocks, sparse ones: those that are written to get new company all the time. */
    for (unsigned round = 0; round < rounds; round++) {
        enum { OTHERS = 3000 };
        static block *others[OTHERS];
        for (uint32_t index = 0; index < OTHERS; index++) {
            others[index] = make(&chance, index);
        }
        for (uint32_t index = 0; index < OTHERS; index++) {
            if (index % 8 != 0) {
                tarn_free(others[index]);
            }
        }
        tarn_malloc_trim();
        for (uint32_t index = 0; index < OTHERS; index += 8) {
            faults += !is_whole(others[index]);
            tarn_free(others[index]);
        }
        tarn_malloc_trim();
    }
    is_over = true;
    uint64_t sum = 0;
    for (uint32_t index = 0; index < WRITERS; index++) {
        pthread_join(threads[index], NULL);
        sum += counter[1 + index];
    }
    /* An addition that went to a page that was no more would be missing. */
    faults += sum != counter[0];
    faults += !all_are_whole();
    tarn_free((void *)(uintptr_t)counter);
    return faults;
}

static void writers_lose_nothing_while_pages_move(void **state)
{
    (void)state;
    const uint64_t before = stats().pairs_joined;
    tarn_malloc_trim();
    /* Where the kernel lets writers wait, that is so for those in system calls. */
    uint64_t chance = seed;
    scatter(&chance);
    by_system_calls = stats().guard == TARN_MALLOC_GUARD_KERNEL;
    free_all();
    assert_int_equal(write_while_pages_move(30), 0);
    assert_true(stats().pairs_joined - before > 100);
    free_all();
}

/* ThreadSanitizer has a thread of its own that blocks all signals, and so nothing moves where a handler is needed. */
#if defined(__SANITIZE_THREAD__)
static const bool has_blocker = true;
#else
static const bool has_blocker = false;
#endif

static sigjmp_buf back;

static void jump_back(int signal)
{
    siglongjmp(back, signal);
}

static void writers_wait_in_a_handler_where_the_kernel_has_none(void **state)
{
    (void)state;
    if (has_blocker) {
        skip();
    }
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        by_system_calls = false;
        (void)signal(SIGSEGV, jump_back);
        /* The device asks for an ioctl, which the pipes of this test do not need. */
        if (!refuse(SYS_userfaultfd, SYS_ioctl)) {
            _exit(77);
        }
        bool good = write_while_pages_move(20) == 0;
        good = good && stats().guard == TARN_MALLOC_GUARD_SIGNAL && stats().pairs_joined > 500;
        /* A fault of the program's own goes to the handler that it had. */
        void *nothing = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        volatile unsigned char *read_only = nothing;
        if (sigsetjmp(back, 1) == 0) {
            *read_only = 1;
            good = false;
        }
        _exit(good ? 0 : 1);
    }
    judge(child);
}

static void *block_signals(void *argument)
{
    int *ends = argument;
    char go = 0;
    sigset_t every;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, NULL);
    return write(ends[1], "b", 1) == 1 && read(ends[2], &go, 1) == 1 ? argument : NULL;
}

static void a_thread_that_blocks_faults_keeps_pages_where_they_are(void **state)
{
    (void)state;
    if (has_blocker) {
        skip();
    }
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t chance = seed;
        int ends[4];
        char came = 0;
        pthread_t thread;
        if (!refuse(SYS_userfaultfd, SYS_ioctl)) {
            _exit(77);
        }
        bool good = pipe(ends) == 0 && pipe(ends + 2) == 0 &&
                    pthread_create(&thread, NULL, block_signals, ends) == 0 &&
                    read(ends[0], &came, 1) == 1;
        scatter(&chance);
        good = good && stats().windows == 0;
        good = good && write(ends[3], "g", 1) == 1 && pthread_join(thread, NULL) == 0;
        tarn_malloc_trim();
        good = good && stats().windows > 0 && all_are_whole();
        _exit(good ? 0 : 1);
    }
    judge(child);
}

static void a_child_is_right_whatever_its_parents_threads_write(void **state)
{
    (void)state;
    uint64_t chance = seed;
    pthread_t thread;
    scatter(&chance);
    faults = 0;
    is_over = false;
    by_system_calls = false;
    counter = tarn_calloc(1 + WRITERS, sizeof *counter);
    assert_non_null(counter);
    /* The first thread's blocks only: the others' stand still, and have to be whole in every child. */
    assert_int_equal(pthread_create(&thread, NULL, write_all_the_time, NULL), 0);
    for (unsigned count = 0; count < 40; count++) {
        for (unsigned freed = 0; freed < 20; freed++) {
            const uint32_t index = draw(&chance, BLOCKS / WRITERS) * WRITERS + 1;
            tarn_free(blocks[index]);
            blocks[index] = NULL;
        }
        tarn_malloc_trim();
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            bool good = true;
            for (uint32_t index = 0; index < BLOCKS; index++) {
                if (index % WRITERS != 0 && blocks[index] != NULL) {
                    good &= is_whole(blocks[index]);
                    fill(blocks[index], 1);
                }
            }
            _exit(good ? 0 : 1);
        }
        assert_int_equal(wait_for(child), 0);
    }
    is_over = true;
    pthread_join(thread, NULL);
    assert_int_equal(faults, 0);
    assert_true(all_are_whole());
    tarn_free((void *)(uintptr_t)counter);
    free_all();
}

/* A test that failed leaves its blocks. */
static int clear(void **state)
{
    (void)state;
    free_all();
    return 0;
}

int main(void)
{
    const char *text = getenv("TARN_SEED");
    seed = text != NULL ? (uint64_t)strtoull(text, NULL, 0) : (uint64_t)getpid();
    printf("TARN_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(sparse_blocks_come_to_share_memory, clear),
        cmocka_unit_test_teardown(frames_go_when_their_blocks_are_freed, clear),
        cmocka_unit_test_teardown(blocks_stay_whole_through_filling_and_emptying, clear),
        cmocka_unit_test_teardown(room_on_frames_is_used_again, clear),
        cmocka_unit_test_teardown(blocks_that_are_freed_regularly_share_too, clear),
        cmocka_unit_test_teardown(blocks_that_other_threads_freed_share_too, clear),
        cmocka_unit_test_teardown(parent_and_child_have_copies_of_their_own, clear),
        cmocka_unit_test_teardown(descriptors_that_the_program_closes_do_no_harm, clear),
        cmocka_unit_test_teardown(without_files_of_memory_nothing_is_shared, clear),
        cmocka_unit_test_teardown(mappings_are_left_to_the_program, clear),
        cmocka_unit_test_teardown(writers_lose_nothing_while_pages_move, clear),
        cmocka_unit_test_teardown(writers_wait_in_a_handler_where_the_kernel_has_none, clear),
        cmocka_unit_test_teardown(a_thread_that_blocks_faults_keeps_pages_where_they_are, clear),
        cmocka_unit_test_teardown(a_child_is_right_whatever_its_parents_threads_write, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
