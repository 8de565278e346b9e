/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * Threads that write and check objects while the malloc moves them about in physical memory.
 *
 *     compact_stress [--seconds N] [--forks N] [--threads N] [--seed N] [--signals] [--shared-locks]
 *                    [--expect-compaction]
 *
 * A malloc that compacts copies live objects and maps their pages elsewhere while threads use them. Whatever it
 * misses shows here as a wrong byte, a lost count, a failed system call or a thread that never wakes:
 *
 *   own objects     each thread fills many, frees nine of ten at random, and works on the rest: plain stores, memcpy,
 *                   atomic exchange, and read and write by the kernel, which answers a protected page with EFAULT
 *                   where a program would fault and go on; some are resized, renewed, or freed by another thread
 *   shared counters all threads count in the same small objects: atomically in one word, plainly in a word each
 *   locked pairs    mutexes inside small objects, with two counters that are equal whenever the lock is free
 *   constants       written once, read by all
 *
 * Forks happen while all threads rest and go on the very moment that fork returns: the child then checks every
 * object as it was, while the parent's threads are writing theirs; then it writes them all itself, which the parent
 * must not see. Every other fork happens in the midst of the work; there the child knows the constants alone.
 *
 * --signals       the program has a handler of its own for SIGSEGV and SIGBUS, installed after the malloc's, and every
 *                 other thread blocks all signals, as threads of libraries do: faults of the malloc's making must
 *                 reach neither
 * --shared-locks  the mutexes are shared between processes: the kernel then knows a sleeper by the frame, not by the
 *                 address, and forgets it when the page is mapped elsewhere
 * --expect-compaction  exit status 1 if nothing was compacted
 *
 * Ends with status 0, or 1 and a line that says what went wrong first. Nothing of the program's own books is in the
 * heap. Compiled with STRESS_DIRECT it calls Tarn's functions of the static library, so that sanitizers can watch.
 */

#ifdef STRESS_DIRECT
#include "tarn/malloc.h"
#define heap_alloc tarn_malloc
#define heap_zeroed tarn_calloc
#define heap_resize tarn_realloc
#define heap_free tarn_free
#define heap_trim() (void)tarn_malloc_trim()
#else
#include <malloc.h>
#define heap_alloc malloc
#define heap_zeroed calloc
#define heap_resize realloc
#define heap_free free
#define heap_trim() (void)malloc_trim(0)
#endif

enum {
    THREADS_MAX = 16,
    OBJECTS = 3000,  /* of a thread, when it has them all */
    SURVIVORS = 300, /* when it has freed nine of ten */
    CONSTANTS = 200, /* each the survivor of a row of them */
    SHARED = 96,     /* likewise */
    LOCKED = 64,     /* likewise */
    CONTENDED = 4,   /* of them: those that half of the takers go for */
    PAGE = 4096,     /* bytes that the others of a row fill, at least */
    MAILBOX = 64,    /* objects on their way to a thread */
    SIZE_LOW = 16,   /* bytes */
    ROW_MAX = PAGE / SIZE_LOW + 2,
    SIZE_HIGH = 512,     /* most objects */
    SIZE_PIPE = 4096,    /* what a pipe takes at once */
    SIZE_LARGE = 40000,  /* a few */
    CHILD_SECONDS = 120, /* a child that takes longer hangs */
    REST_SECONDS = 120,  /* a thread that takes longer to come to rest hangs */
    WORD = 8
};

typedef struct object {
    unsigned char *start;
    uint64_t id; /* the contents follow from it */
    uint32_t size;
    uint32_t how; /* index into `ways`: how the contents were written */
} object;

enum { BY_STORES, BY_BYTES, BY_MEMCPY, BY_EXCHANGE, BY_READ, BY_READV, BY_REALLOC, WAYS };
static const char *const ways[WAYS] = {"plain stores", "byte stores", "memcpy", "atomic exchange",
                                       "read(2)",      "readv(2)",    "realloc"};

typedef struct shared {
    _Atomic(uint64_t) total;
    uint32_t own[THREADS_MAX]; /* each written by one thread alone */
} shared;

typedef struct locked {
    pthread_mutex_t mutex;
    uint64_t first;
    uint64_t second;
} locked;

typedef struct mailbox {
    pthread_mutex_t mutex;
    object letters[MAILBOX];
    size_t count;
} mailbox;

typedef struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t random;
    object objects[OBJECTS];
    size_t count;
    uint64_t counted[SHARED]; /* what this thread has added to each */
    mailbox mail;
    int ends[2]; /* of a pipe of its own */
    uint64_t next_id;
    uint64_t operations;
    uint64_t calls; /* of the kernel, with objects */
} worker;

/* All that the program knows of the heap is in here: a mapping of its own, which a child gets as it was. */
typedef struct books {
    worker workers[THREADS_MAX];
    object constants[CONSTANTS];
    shared *shared[SHARED];
    locked *locked[LOCKED];
} books;

static books *all;
static unsigned thread_count = 8;
static bool shared_locks;
static const char *whose = "parent";

static _Atomic(bool) pausing;
static _Atomic(bool) done;
static pthread_mutex_t rest_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t rest_changed = PTHREAD_COND_INITIALIZER;
static unsigned resting; /* threads, under rest_mutex */

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        char fail_text[512];                                                                       \
        const int fail_size = snprintf(fail_text, sizeof fail_text, __VA_ARGS__);                  \
        dprintf(STDERR_FILENO, "compact_stress: in the %s: %.*s\n", whose, fail_size, fail_text);  \
        _exit(1);                                                                                  \
    } while (0)

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static uint64_t draw(uint64_t *random)
{
    *random += 0x9e3779b97f4a7c15U;
    return mix(*random);
}

static size_t between(uint64_t *random, size_t low, size_t high)
{
    return low + (size_t)(draw(random) % (high - low + 1));
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void sleep_seconds(double seconds)
{
    struct timespec left = {(time_t)seconds, 0};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* ---- contents: words that count up from a number of the object's own ---- */

static uint64_t word_of(uint64_t id, size_t index)
{
    return mix(id) + index * 0x9e3779b97f4a7c15U;
}

static void make(unsigned char *bytes, size_t size, uint64_t id)
{
    size_t at = 0;
    for (; at < size; at += WORD) {
        const uint64_t word = word_of(id, at / WORD);
        memcpy(bytes + at, &word, size - at < WORD ? size - at : WORD);
    }
}

static void check_bytes(const object *one, size_t size, const char *when)
{
    for (size_t at = 0; at < size; at += WORD) {
        const uint64_t word = word_of(one->id, at / WORD);
        const size_t part = size - at < WORD ? size - at : WORD;
        if (memcmp(one->start + at, &word, part) == 0) {
            continue;
        }
        unsigned char expected[WORD];
        unsigned char found[WORD];
        memcpy(expected, &word, WORD);
        memcpy(found, one->start + at, part);
        for (size_t i = 0; i < part; i++) {
            if (found[i] != expected[i]) {
                FAIL("%s: at %p, byte %zu of an object of %u bytes at %p, written by %s: found "
                     "0x%02x, expected "
                     "0x%02x",
                     when, (void *)(one->start + at + i), at + i, one->size, (void *)one->start,
                     ways[one->how], found[i], expected[i]);
            }
        }
        FAIL("%s: the word at %p was wrong and is right now, in an object of %u bytes at %p, "
             "written by %s",
             when, (void *)(one->start + at), one->size, (void *)one->start, ways[one->how]);
    }
}

static void check(const object *one, const char *when)
{
    check_bytes(one, one->size, when);
}

/* ---- one thread's objects ---- */

static size_t some_size(uint64_t *random)
{
    const size_t kind = between(random, 0, 499);
    if (kind == 0) {
        return between(random, SIZE_PIPE, SIZE_LARGE);
    }
    return between(random, SIZE_LOW, kind < 10 ? SIZE_PIPE : SIZE_HIGH);
}

static void check_zeroed(const object *one)
{
    for (size_t i = 0; i < one->size; i++) {
        if (one->start[i] != 0) {
            FAIL("calloc of %u bytes at %p: byte %zu is 0x%02x, not zero", one->size,
                 (void *)one->start, i, one->start[i]);
        }
    }
}

static object new_object(uint64_t *random, uint64_t id)
{
    const bool zeroed = draw(random) % 4 == 0;
    object one = {NULL, id, (uint32_t)some_size(random), BY_STORES};
    one.start = zeroed ? heap_zeroed(1, one.size) : heap_alloc(one.size);
    if (one.start == NULL) {
        FAIL("no memory for %u bytes", one.size);
    }
    if (zeroed) {
        check_zeroed(&one);
    }
    make(one.start, one.size, id);
    return one;
}

static void drop_object(object *one, const char *when)
{
    check(one, when);
    memset(one->start, 0xdd, one->size);
    heap_free(one->start);
    one->start = NULL;
}

static uint64_t new_id(worker *self)
{
    return ((uint64_t)(self->number + 1) << 48) + self->next_id++;
}

static void write_by_stores(object *one, uint64_t id)
{
    one->id = id;
    one->how = BY_STORES;
    make(one->start, one->size, id);
}

static void write_by_bytes(object *one, uint64_t id)
{
    one->id = id;
    one->how = BY_BYTES;
    volatile unsigned char *bytes = one->start;
    for (size_t i = 0; i < one->size; i++) {
        bytes[i] = (unsigned char)(word_of(id, i / WORD) >> (i % WORD * 8));
    }
}

static void write_by_memcpy(object *one, uint64_t id)
{
    unsigned char bytes[SIZE_PIPE];
    if (one->size > sizeof bytes) {
        write_by_stores(one, id);
        return;
    }
    one->id = id;
    one->how = BY_MEMCPY;
    make(bytes, one->size, id);
    memcpy(one->start, bytes, one->size);
}

/* Each word is exchanged for the next contents by one atomic operation, and what was there is checked: a store that
 * went to the old frame is found at once. */
static void write_by_exchange(object *one, uint64_t id)
{
    const size_t words = one->size / WORD;
    for (size_t i = 0; i < words; i++) {
        uint64_t *word = (uint64_t *)(void *)(one->start + i * WORD);
        const uint64_t old = word_of(one->id, i);
        const uint64_t difference = old ^ word_of(id, i);
        uint64_t found = old;
        if (i % 2 == 0) {
            found = __atomic_fetch_xor(word, difference, __ATOMIC_SEQ_CST);
        } else if (!__atomic_compare_exchange_n(word, &found, old ^ difference, false,
                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            found = __atomic_load_n(word, __ATOMIC_SEQ_CST);
        }
        if (found != old) {
            FAIL("atomic exchange at %p, word %zu of an object of %u bytes at %p, written by %s: "
                 "found 0x%016llx, "
                 "expected 0x%016llx",
                 (void *)word, i, one->size, (void *)one->start, ways[one->how],
                 (unsigned long long)found, (unsigned long long)old);
        }
    }
    for (size_t i = words * WORD; i < one->size; i++) {
        one->start[i] = (unsigned char)(word_of(id, i / WORD) >> (i % WORD * 8));
    }
    one->id = id;
    one->how = BY_EXCHANGE;
}

/* The contents go through a pipe: the kernel reads them from the object, and writes them into it. */
static void write_by_kernel(object *one, uint64_t id, const int ends[2], bool in_parts)
{
    if (one->size > SIZE_PIPE) {
        write_by_stores(one, id);
        return;
    }
    write_by_stores(one, id);
    ssize_t size = write(ends[1], one->start, one->size);
    if (size != (ssize_t)one->size) {
        FAIL("write(2) of %u bytes at %p gave %zd: %s", one->size, (void *)one->start, size,
             size < 0 ? strerror(errno) : "cut short");
    }
    memset(one->start, 0, one->size);
    one->how = in_parts ? BY_READV : BY_READ;
    if (in_parts) {
        const size_t half = one->size / 2;
        const struct iovec parts[2] = {{one->start, half}, {one->start + half, one->size - half}};
        size = readv(ends[0], parts, 2);
    } else {
        size = read(ends[0], one->start, one->size);
    }
    if (size != (ssize_t)one->size) {
        FAIL("%s of %u bytes to %p gave %zd: %s", ways[one->how], one->size, (void *)one->start,
             size, size < 0 ? strerror(errno) : "cut short");
    }
}

static void resize(worker *self, object *one)
{
    const size_t size = some_size(&self->random);
    unsigned char *start = heap_resize(one->start, size);
    if (start == NULL) {
        FAIL("no memory to resize %u bytes to %zu", one->size, size);
    }
    one->start = start;
    const size_t kept = size < one->size ? size : one->size;
    one->size = (uint32_t)size;
    one->how = BY_REALLOC;
    check_bytes(one, kept, "after realloc");
    write_by_stores(one, new_id(self));
}

/* Sends the object to another thread, which frees it, and puts a new one in its place. */
static void send(worker *self, object *one)
{
    const size_t other =
        (self->number + between(&self->random, 1, thread_count - 1)) % thread_count;
    mailbox *mail = &all->workers[other].mail;
    pthread_mutex_lock(&mail->mutex);
    const bool room = mail->count < MAILBOX;
    if (room) {
        mail->letters[mail->count++] = *one;
    }
    pthread_mutex_unlock(&mail->mutex);
    if (!room) {
        drop_object(one, "before free");
    }
    *one = new_object(&self->random, new_id(self));
}

static void receive(worker *self)
{
    pthread_mutex_lock(&self->mail.mutex);
    while (self->mail.count > 0) {
        drop_object(&self->mail.letters[--self->mail.count], "as another thread's object");
    }
    pthread_mutex_unlock(&self->mail.mutex);
}

static void work_on(worker *self, object *one)
{
    const size_t choice = between(&self->random, 0, 99);
    check(one, "at work");
    if (choice < 20) {
        write_by_stores(one, new_id(self));
    } else if (choice < 30) {
        write_by_bytes(one, new_id(self));
    } else if (choice < 40) {
        write_by_memcpy(one, new_id(self));
    } else if (choice < 60) {
        write_by_exchange(one, new_id(self));
    } else if (choice < 75) {
        write_by_kernel(one, new_id(self), self->ends, choice < 68);
        self->calls += 2;
    } else if (choice < 77) {
        resize(self, one);
    } else if (choice < 79) {
        drop_object(one, "before free");
        *one = new_object(&self->random, new_id(self));
    } else if (choice < 81 && thread_count > 1) {
        send(self, one);
    }
}

static void count_shared(worker *self)
{
    const size_t index = between(&self->random, 0, SHARED - 1);
    shared *one = all->shared[index];
    const uint32_t mine = (uint32_t)self->counted[index];
    atomic_fetch_add(&one->total, 1);
    if (one->own[self->number] != mine) {
        FAIL("thread %u's own counter at %p: found %u, expected %u", self->number,
             (void *)&one->own[self->number], one->own[self->number], mine);
    }
    one->own[self->number] = mine + 1;
    self->counted[index]++;
}

static void count_locked(worker *self)
{
    const bool contended = draw(&self->random) % 2 == 0;
    locked *one = all->locked[between(&self->random, 0, (contended ? CONTENDED : LOCKED) - 1)];
    pthread_mutex_lock(&one->mutex);
    if (one->first != one->second) {
        FAIL("under the lock at %p: counters %llu and %llu differ", (void *)one,
             (unsigned long long)one->first, (unsigned long long)one->second);
    }
    one->first++;
    if (draw(&self->random) % 64 == 0) {
        sched_yield();
    }
    one->second++;
    pthread_mutex_unlock(&one->mutex);
}

static void come_to_rest(void)
{
    pthread_mutex_lock(&rest_mutex);
    resting++;
    pthread_cond_broadcast(&rest_changed);
    while (pausing) {
        pthread_cond_wait(&rest_changed, &rest_mutex);
    }
    resting--;
    pthread_cond_broadcast(&rest_changed);
    pthread_mutex_unlock(&rest_mutex);
}

static void thin_out(worker *self)
{
    while (self->count > SURVIVORS) {
        const size_t index = between(&self->random, 0, self->count - 1);
        drop_object(&self->objects[index], "when it is thinned out");
        self->objects[index] = self->objects[--self->count];
    }
}

static void *work(void *context)
{
    worker *self = context;
    while (!done) {
        while (self->count < OBJECTS && !done) {
            self->objects[self->count++] = new_object(&self->random, new_id(self));
            if (pausing) {
                come_to_rest();
            }
        }
        if (done) {
            break;
        }
        thin_out(self);
        const double end = now() + (double)between(&self->random, 50, 900) * 1e-3;
        do {
            for (size_t i = 0; i < 64 && !pausing; i++) {
                work_on(self, &self->objects[between(&self->random, 0, self->count - 1)]);
                count_shared(self);
                count_locked(self);
                check(&all->constants[between(&self->random, 0, CONSTANTS - 1)], "as a constant");
                self->operations++;
            }
            receive(self);
            if (pausing) {
                come_to_rest();
            }
            /* Pages that are always busy would never be compacted. */
            if (draw(&self->random) % 4 == 0) {
                sleep_seconds((double)between(&self->random, 1, 10) * 1e-3);
            }
        } while (!done && now() < end);
    }
    return NULL;
}

/* ---- the main thread: rest, verification, forks ---- */

static void call_to_rest(void)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += REST_SECONDS;
    pausing = true;
    pthread_mutex_lock(&rest_mutex);
    while (resting < thread_count) {
        if (pthread_cond_timedwait(&rest_changed, &rest_mutex, &limit) == ETIMEDOUT) {
            FAIL("%u of %u threads have not come to rest in %d s: a wake-up was lost, or a lock is "
                 "stuck",
                 thread_count - resting, thread_count, REST_SECONDS);
        }
    }
    pthread_mutex_unlock(&rest_mutex);
}

/* Does not wait: a thread that has not left its rest when the next one is called simply stays. */
static void call_to_work(void)
{
    pthread_mutex_lock(&rest_mutex);
    pausing = false;
    pthread_cond_broadcast(&rest_changed);
    pthread_mutex_unlock(&rest_mutex);
}

static void check_constants(const char *when)
{
    for (size_t i = 0; i < CONSTANTS; i++) {
        check(&all->constants[i], when);
    }
}

/* Everything, while all threads rest. */
static void check_all(const char *when)
{
    for (unsigned i = 0; i < thread_count; i++) {
        const worker *one = &all->workers[i];
        for (size_t j = 0; j < one->count; j++) {
            check(&one->objects[j], when);
        }
        for (size_t j = 0; j < one->mail.count; j++) {
            check(&one->mail.letters[j], when);
        }
    }
    for (size_t i = 0; i < SHARED; i++) {
        uint64_t expected = 0;
        for (unsigned j = 0; j < thread_count; j++) {
            expected += all->workers[j].counted[i];
            if (all->shared[i]->own[j] != (uint32_t)all->workers[j].counted[i]) {
                FAIL("%s: thread %u's own counter at %p: found %u, expected %u", when, j,
                     (void *)&all->shared[i]->own[j], all->shared[i]->own[j],
                     (uint32_t)all->workers[j].counted[i]);
            }
        }
        if (all->shared[i]->total != expected) {
            FAIL("%s: the shared counter at %p: found %llu, expected %llu", when,
                 (void *)all->shared[i], (unsigned long long)all->shared[i]->total,
                 (unsigned long long)expected);
        }
    }
    for (size_t i = 0; i < LOCKED; i++) {
        if (all->locked[i]->first != all->locked[i]->second) {
            FAIL("%s: the counters under the lock at %p differ", when, (void *)all->locked[i]);
        }
    }
    check_constants(when);
}

/* What stays of a row of blocks, the others of which are gone: as good as alone in its page. */
static void *lonely(size_t size, uint64_t *random)
{
    void *row[ROW_MAX];
    const size_t count = PAGE / size + 2;
    for (size_t i = 0; i < count; i++) {
        row[i] = heap_alloc(size);
        if (row[i] == NULL) {
            FAIL("no memory for %zu bytes", size);
        }
        memset(row[i], 0xee, size);
    }
    const size_t stays = between(random, 0, count - 1);
    for (size_t i = 0; i < count; i++) {
        if (i != stays) {
            heap_free(row[i]);
        }
    }
    return row[stays];
}

static void make_constants(uint64_t *random)
{
    for (size_t i = 0; i < CONSTANTS; i++) {
        object *one = &all->constants[i];
        one->size = (uint32_t)between(random, SIZE_LOW, SIZE_HIGH);
        one->start = lonely(one->size, random);
        write_by_stores(one, UINT64_MAX - i);
    }
}

static void make_shared(uint64_t *random)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (shared_locks) {
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    }
    for (size_t i = 0; i < SHARED; i++) {
        all->shared[i] = lonely(sizeof(shared), random);
        memset(all->shared[i], 0, sizeof(shared));
    }
    for (size_t i = 0; i < LOCKED; i++) {
        all->locked[i] = lonely(sizeof(locked), random);
        memset(all->locked[i], 0, sizeof(locked));
        pthread_mutex_init(&all->locked[i]->mutex, &attributes);
    }
}

/* Other blocks for the shared counters, while all threads rest. */
static void move_shared(uint64_t *random)
{
    for (size_t i = 0; i < SHARED; i++) {
        shared *fresh = lonely(sizeof *fresh, random);
        memcpy(fresh, all->shared[i], sizeof *fresh);
        heap_free(all->shared[i]);
        all->shared[i] = fresh;
    }
}

/* Writes, resizes, frees and renews an object of the parent's in the child. */
static void live_on(object *one, uint64_t *random, uint64_t id, const int ends[2])
{
    switch (between(random, 0, 5)) {
    case 0:
        write_by_exchange(one, id);
        break;
    case 1:
        write_by_kernel(one, id, ends, false);
        break;
    case 2:
        one->start = heap_resize(one->start, (size_t)one->size * 2);
        if (one->start == NULL) {
            FAIL("no memory to resize");
        }
        check(one, "after realloc");
        one->size *= 2;
        write_by_memcpy(one, id);
        break;
    case 3:
        drop_object(one, "before free");
        *one = new_object(random, id);
        break;
    default:
        write_by_stores(one, id);
        break;
    }
}

static void live_as_child(bool knows_all, uint64_t seed)
{
    whose = knows_all ? "child" : "child of busy threads";
    alarm(CHILD_SECONDS);
    uint64_t random = seed;
    uint64_t id = (uint64_t)1 << 62;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        FAIL("pipe2: %s", strerror(errno));
    }
    if (knows_all) {
        check_all("after fork");
        for (unsigned i = 0; i < thread_count; i++) {
            for (size_t j = 0; j < all->workers[i].count; j++) {
                live_on(&all->workers[i].objects[j], &random, id++, ends);
            }
        }
        for (size_t i = 0; i < SHARED; i++) {
            atomic_fetch_add(&all->shared[i]->total, 1);
            all->workers[0].counted[i]++;
            all->shared[i]->own[0]++;
        }
        for (size_t i = 0; i < LOCKED; i++) {
            pthread_mutex_lock(&all->locked[i]->mutex);
            all->locked[i]->first = all->locked[i]->second = id;
            pthread_mutex_unlock(&all->locked[i]->mutex);
        }
    }
    check_constants("after fork");
    for (size_t i = 0; i < CONSTANTS; i++) {
        live_on(&all->constants[i], &random, id++, ends);
    }
    /* Objects of its own, most of which go again. */
    static object own[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        own[i] = new_object(&random, id++);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % 10 != 0) {
            drop_object(&own[i], "before free");
        }
    }
    for (size_t i = 0; i < OBJECTS; i += 10) {
        check(&own[i], "at its end");
    }
    if (knows_all) {
        check_all("at its end");
    } else {
        check_constants("at its end");
    }
    _exit(0);
}

static void wait_for(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            FAIL("lost a child");
        }
    }
    if (WIFSIGNALED(status)) {
        FAIL("a child died: %s",
             WTERMSIG(status) == SIGALRM ? "it hung" : strsignal(WTERMSIG(status)));
    }
    if (WEXITSTATUS(status) != 0) {
        FAIL("a child ended with %d", WEXITSTATUS(status));
    }
}

/* Returns the seconds that fork itself took. */
static double fork_once(bool at_rest, uint64_t seed)
{
    if (at_rest) {
        call_to_rest();
    }
    const double start = now();
    const pid_t child = fork();
    if (child == 0) {
        live_as_child(at_rest, seed);
    }
    const double took = now() - start;
    if (at_rest) {
        call_to_work();
    }
    if (child < 0) {
        FAIL("fork: %s", strerror(errno));
    }
    wait_for(child);
    return took;
}

/* ---- what the malloc says of itself, and what the kernel sees ---- */

typedef struct report {
    char text[1 << 18];
    size_t size;
} report;

static report reported;

/* Tarn's statistics as JSON, if it is Tarn; else the text stays empty. */
typedef void report_function(int format,
                             void (*write)(void *context, const char *text, size_t size),
                             void *context);

static void keep_report(void *context, const char *text, size_t size)
{
    report *kept = context;
    const size_t room = sizeof kept->text - 1 - kept->size;
    const size_t part = size < room ? size : room;
    memcpy(kept->text + kept->size, text, part);
    kept->size += part;
}

static void ask_malloc(void)
{
    reported.size = 0;
#ifdef STRESS_DIRECT
    tarn_malloc_report(TARN_MALLOC_JSON, keep_report, &reported);
#else
    enum { FORMAT_JSON = 1 };
    report_function *ask = NULL;
    void *found = dlsym(RTLD_DEFAULT, "tarn_malloc_report");
    if (found != NULL) {
        memcpy(&ask, &found, sizeof ask);
        ask(FORMAT_JSON, keep_report, &reported);
    }
#endif
    reported.text[reported.size] = '\0';
}

/* A number of the report, or -1. */
static long long reported_number(const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *found = strstr(reported.text, quoted);
    if (found == NULL) {
        return -1;
    }
    found += strlen(quoted);
    found += strspn(found, " :");
    return strtoll(found, NULL, 10);
}

/* KiB of written pages that this process maps twice or more; only meaningful while it has no child. */
static long mapped_twice(void)
{
    char text[2048];
    const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    const ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) {
        close(file);
    }
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *found = strstr(text, "\nShared_Dirty:");
    return found == NULL ? 0 : strtol(found + strlen("\nShared_Dirty:"), NULL, 10);
}

/* ---- */

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    FAIL("%s at %p came through to the program", signal == SIGSEGV ? "SIGSEGV" : "SIGBUS",
         info->si_addr);
}

static void have_own_handlers(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* All of them, before any of them runs: they know each other. */
static void prepare(uint64_t seed)
{
    for (unsigned i = 0; i < thread_count; i++) {
        worker *one = &all->workers[i];
        one->number = i;
        one->random = mix(seed + i + 1);
        pthread_mutex_init(&one->mail.mutex, NULL);
        if (pipe2(one->ends, O_CLOEXEC) != 0) {
            FAIL("pipe2: %s", strerror(errno));
        }
    }
}

static void start(worker *one, bool blocked)
{
    sigset_t every;
    sigset_t before;
    sigfillset(&every);
    if (blocked) {
        pthread_sigmask(SIG_SETMASK, &every, &before);
    }
    if (pthread_create(&one->thread, NULL, work, one) != 0) {
        FAIL("cannot start a thread");
    }
    if (blocked) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
}

typedef struct choices {
    double seconds;
    unsigned forks;
    uint64_t seed;
    bool signals;
    bool expect_compaction;
} choices;

static choices choose(int argc, char **argv)
{
    choices choice = {.seconds = 3, .forks = 20, .seed = mix((uint64_t)time(NULL) * 1000003U)};
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--seconds") == 0 && more) {
            choice.seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--forks") == 0 && more) {
            choice.forks = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--threads") == 0 && more) {
            thread_count = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && more) {
            choice.seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--signals") == 0) {
            choice.signals = true;
        } else if (strcmp(argv[i], "--shared-locks") == 0) {
            shared_locks = true;
        } else if (strcmp(argv[i], "--expect-compaction") == 0) {
            choice.expect_compaction = true;
        } else {
            thread_count = 0;
        }
    }
    if (thread_count < 1 || thread_count > THREADS_MAX || !(choice.seconds >= 0)) {
        fprintf(stderr,
                "usage: compact_stress [--seconds N] [--forks N] [--threads 1..%d] [--seed N] "
                "[--signals] "
                "[--shared-locks] [--expect-compaction]\n",
                THREADS_MAX);
        exit(2);
    }
    return choice;
}

static void tell(const choices *choice, long twice_kib, double longest_fork, double seconds)
{
    uint64_t operations = 0;
    uint64_t calls = 0;
    for (unsigned i = 0; i < thread_count; i++) {
        operations += all->workers[i].operations;
        calls += all->workers[i].calls;
    }
    ask_malloc();
    const long long joined = reported_number("pairs_joined");
    printf("{\"seed\":%llu,\"seconds\":%.1f,\"operations\":%llu,\"system_calls\":%llu,\"forks\":%u,"
           "\"fork_us_max\":%.0f,\"mapped_twice_kib_max\":%ld,\"pairs_tried\":%lld,\"pairs_"
           "joined\":%lld,"
           "\"bytes_recovered\":%lld,\"pause_us_max\":%lld}\n",
           (unsigned long long)choice->seed, seconds, (unsigned long long)operations,
           (unsigned long long)calls, choice->forks, longest_fork * 1e6, twice_kib,
           reported_number("pairs_tried"), joined, reported_number("bytes_recovered"),
           reported_number("pause_us_max"));
    if (choice->expect_compaction && (joined >= 0 ? joined == 0 : twice_kib == 0)) {
        fflush(stdout);
        FAIL("nothing was compacted");
    }
}

int main(int argc, char **argv)
{
    const choices choice = choose(argc, argv);
    uint64_t random = choice.seed;
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) {
        FAIL("mmap: %s", strerror(errno));
    }
    if (choice.signals) {
        have_own_handlers();
    }
    prepare(choice.seed);
    make_constants(&random);
    make_shared(&random);
    const double begin = now();
    const double step = choice.forks > 0 ? choice.seconds / choice.forks : 0.1;
    for (unsigned i = 0; i < thread_count; i++) {
        start(&all->workers[i], choice.signals && i % 2 == 0);
    }

    long twice_kib = 0;
    double longest = 0;
    unsigned forks = 0;
    for (unsigned turn = 1; forks < choice.forks || now() < begin + choice.seconds; turn++) {
        const double left = begin + turn * step - now();
        if (left > 0) {
            sleep_seconds(left);
        }
        const long twice = mapped_twice();
        twice_kib = twice > twice_kib ? twice : twice_kib;
        if (turn % 16 == 0) {
            heap_trim();
        }
        if (forks < choice.forks) {
            const double took = fork_once(forks % 2 == 0, draw(&random));
            longest = took > longest ? took : longest;
            forks++;
        }
        call_to_rest();
        check_all("at rest");
        if (turn % 8 == 0) {
            move_shared(&random);
        }
        call_to_work();
    }
    done = true;
    for (unsigned i = 0; i < thread_count; i++) {
        pthread_join(all->workers[i].thread, NULL);
    }
    check_all("at the end");
    tell(&choice, twice_kib, longest, now() - begin);
    return 0;
}
