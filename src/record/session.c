/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/record.h"

#include "base/bits.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/*
 *     new --(first event)--> starting --(tarn record answers)--> on --(it stops, or is gone)--> off
 *      ^                                                          |
 *      '------------------(fork: the kernel clears the page)------'
 *
 * A thread writes into a chunk of its own as long as there are plenty; the others, and threads whose
 * destructors have run, share a chunk under a lock. So at least a quarter of the chunks always goes round,
 * however many threads sit on theirs.
 */

enum {
    OWN_CHUNKS_MAX = RING_CHUNKS * 3 / 4,
    WAIT_MS = 100,
    SILENCE_MS = 10000, /* without a beat: `tarn record` hangs */
    ANSWER_SECONDS = 10
};

record_process *record_here;
__thread record_thread record_self __attribute__((tls_model("initial-exec")));

static pthread_key_t thread_end;
static bool has_thread_end;

static void end_thread(void *unused);

/* -------------------------------------------------------------------------------------------------
 * Meeting `tarn record`.
 */
static void stop(record_process *here)
{
    here->session = 0;
    atomic_store(&here->phase, PHASE_OFF);
}

/* Nobody takes what the program leaves, and nobody has said so. */
static void give_up(record_process *here)
{
    atomic_store(&here->ring->is_incomplete, 1);
    here->has_given_up = true;
    stop(here);
}

/* Where `tarn record` is and what to say there. The program may clear its environment, and its children need
 * both. */
static struct sockaddr_un home;
static socklen_t home_length; /* 0: not known */
static char home_key[sizeof((ring_hello *)0)->key];

static void take_home(const char *name)
{
    const char *colon = name != NULL ? strchr(name, ':') : NULL;
    const size_t size = colon != NULL ? (size_t)(colon - name) : 0;
    if (size != 0 && size + 1 <= sizeof home.sun_path && strlen(colon + 1) == sizeof home_key) {
        home.sun_family = AF_UNIX;
        memcpy(home.sun_path + 1, name, size);
        memcpy(home_key, colon + 1, sizeof home_key);
        home_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size);
    }
}

static bool find_home(void)
{
    if (home_length == 0) {
        take_home(getenv(RING_SOCKET));
    }
    return home_length != 0;
}

/* A connection to the socket, or -1. */
static int call(void)
{
    if (!find_home()) {
        return -1;
    }
    const int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (socket_ < 0) {
        return -1;
    }
    const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(socket_, (const struct sockaddr *)&home, home_length) != 0) {
        const int error = errno;
        close(socket_);
        errno = error;
        return -1;
    }
    return socket_;
}

/* The descriptor of the memory, or -1. */
static int ask(int socket_)
{
    ring_hello hello = {.magic = RING_MAGIC, .version = RING_VERSION};
    memcpy(hello.key, home_key, sizeof hello.key);
    if (send(socket_, &hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello) {
        return -1;
    }
    ring_welcome welcome = {0};
    union {
        struct cmsghdr header;
        unsigned char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = &welcome, .iov_len = sizeof welcome};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    const ssize_t got = recvmsg(socket_, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int descriptor = -1;
    if (got > 0 && header != NULL && header->cmsg_type == SCM_RIGHTS) {
        memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    }
    if (got != (ssize_t)sizeof welcome || welcome.magic != RING_MAGIC ||
        welcome.size != RING_SIZE) {
        if (descriptor >= 0) {
            close(descriptor);
        }
        return -1;
    }
    return descriptor;
}

static ring_header *meet(record_process *here)
{
    const int socket_ = call();
    if (socket_ < 0) {
        return NULL;
    }
    const int descriptor = ask(socket_);
    close(socket_);
    if (descriptor < 0) {
        return NULL;
    }
    void *memory = mmap(here->spare_ring, RING_SIZE, PROT_READ | PROT_WRITE,
                        MAP_SHARED | (here->spare_ring != NULL ? MAP_FIXED : 0), descriptor, 0);
    close(descriptor);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    /* A child has its own: it must not write into this one. */
    madvise(memory, RING_SIZE, MADV_DONTFORK);
    return memory;
}

/* `tarn record` is gone, and not only slow: its process is not there, and, as processes have other numbers in
 * other namespaces, nobody listens at its socket. That there is no descriptor to ask with says nothing. */
static bool is_gone(const ring_header *ring)
{
    if (kill((pid_t)ring->recorder, 0) == 0 || errno != ESRCH) {
        return false;
    }
    const int socket_ = call();
    if (socket_ < 0) {
        return errno == ECONNREFUSED;
    }
    close(socket_);
    return false;
}

static bool begin(record_process *here, record_thread *self)
{
    uint32_t is_new = PHASE_NEW;
    if (!atomic_compare_exchange_strong(&here->phase, &is_new, PHASE_STARTING)) {
        while (atomic_load(&here->phase) == PHASE_STARTING) {
            sched_yield();
        }
        return atomic_load(&here->phase) == PHASE_ON;
    }
    ring_header *ring = meet(here);
    if (ring == NULL) {
        stop(here);
        return false;
    }
    here->ring = ring;
    here->stacks = ring->stacks;
    here->sample_bytes = ring->sample_bytes;
    here->has_tsc = ring->has_tsc != 0;
    if (here->stacks != RING_STACKS_NONE &&
        (!record_unwind_start() || !record_stacks_start(here))) {
        here->stacks = RING_STACKS_NONE;
    }
    here->session = (uint64_t)getpid() | (uint64_t)here->turn << 32;
    atomic_store(&here->phase, PHASE_ON);
    record_modules(here, self);
    record_pools(here, self);
    return true;
}

static record_process *make_process(void)
{
    const size_t size = base_align_up(sizeof(record_process), os_page_size());
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED && madvise(page, size, MADV_WIPEONFORK) == 0 ? page : NULL;
}

void record_start(void)
{
    if (record_here != NULL) {
        return;
    }
    static record_process never = {.phase = PHASE_OFF};
    record_process *page = make_process();
    if (page == NULL) {
        record_here = &never;
        return;
    }
    find_home();
    has_thread_end = pthread_key_create(&thread_end, end_thread) == 0;
    record_here = page;
}

bool record_is_on(void)
{
    const record_process *here = record_process_here();
    return here != NULL && here->session != 0 && atomic_load(&here->ring->is_stopped) == 0 &&
           !is_gone(here->ring);
}

void record_end(void)
{
    record_process *here = record_process_here();
    if (here->session != 0) {
        stop(here);
    }
}

/* The page of a recording that was ended, for the next one, with what it has. */
static record_process *clear_process(record_process *page)
{
    ring_header *ring = page->ring != NULL ? page->ring : page->spare_ring;
    _Atomic(uint64_t) *table = page->stack_table;
    memset(page, 0, sizeof *page);
    page->spare_ring = ring;
    page->stack_table = table;
    return page;
}

bool record_begin_again(record_thread *self, const char *address, uint32_t turn, bool is_quiet)
{
    /* Else not the page that is there: a thread may still be on its way out of the last recording. */
    record_process *page = is_quiet ? clear_process(record_process_here()) : make_process();
    if (page == NULL) {
        return false;
    }
    home_length = 0;
    take_home(address);
    page->turn = turn;
    __atomic_store_n(&record_here, page, __ATOMIC_RELEASE);
    return record_prepare(page, self, RING_EVENT_BYTES_MAX);
}

/* -------------------------------------------------------------------------------------------------
 * Chunks.
 */

/* A free chunk's number, or RING_CHUNKS. The lowest first, so that a program that does little touches
 * little memory. */
static uint32_t take_free(ring_header *ring)
{
    for (uint32_t i = 0; i < RING_CHUNKS / 64; i++) {
        uint64_t bits = atomic_load_explicit(&ring->free_chunks[i], memory_order_relaxed);
        while (bits != 0) {
            if (atomic_compare_exchange_weak_explicit(&ring->free_chunks[i], &bits,
                                                      bits & (bits - 1), memory_order_acquire,
                                                      memory_order_relaxed)) {
                return i * 64 + (uint32_t)__builtin_ctzll(bits);
            }
        }
    }
    return RING_CHUNKS;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits until chunks are given back. False if that will never be. */
static bool wait_for_free(ring_header *ring)
{
    const uint32_t seen = atomic_load(&ring->given_back);
    if (atomic_load(&ring->is_stopped) != 0) {
        return false;
    }
    bool is_there = false;
    for (uint32_t i = 0; i < RING_CHUNKS / 64; i++) {
        is_there = is_there || atomic_load(&ring->free_chunks[i]) != 0;
    }
    if (is_there) {
        return true;
    }
    atomic_fetch_add(&ring->sleepers, 1);
    bool is_alive = true;
    uint32_t beat = atomic_load(&ring->beat);
    /* By the clock: signals of the program may end each wait at once. */
    for (uint64_t heard = now_ms(); is_alive && atomic_load(&ring->given_back) == seen;) {
        const struct timespec patience = {.tv_nsec = WAIT_MS * 1000000L};
        /* The word is shared with another process: not private. FUTEX_WAIT is 0. */
        syscall(SYS_futex, &ring->given_back, 0, seen, &patience, NULL, 0);
        const uint32_t now = atomic_load(&ring->beat);
        heard = now == beat ? heard : now_ms();
        beat = now;
        const uint64_t silence = now_ms() - heard;
        is_alive = atomic_load(&ring->is_stopped) == 0 && silence < SILENCE_MS &&
                   (silence < WAIT_MS || !is_gone(ring));
    }
    atomic_fetch_sub(&ring->sleepers, 1);
    return is_alive;
}

static ring_chunk *take_chunk(record_process *here)
{
    ring_header *ring = here->ring;
    if (atomic_load_explicit(&ring->is_stopped, memory_order_relaxed) != 0) {
        stop(here);
        return NULL;
    }
    for (;;) {
        const uint32_t number = take_free(ring);
        if (number < RING_CHUNKS) {
            return ring_chunk_at(ring, number);
        }
        if (!wait_for_free(ring)) {
            if (atomic_load(&ring->is_stopped) != 0) {
                stop(here);
            } else {
                give_up(here);
            }
            return NULL;
        }
    }
}

static void queue_chunk(record_process *here, record_stream *stream)
{
    if (stream->chunk == NULL) {
        return;
    }
    ring_header *ring = here->ring;
    const size_t offset = (size_t)((unsigned char *)stream->chunk - (unsigned char *)ring);
    const uint32_t number = (uint32_t)((offset - RING_HEADER_SIZE) / RING_CHUNK_SIZE);
    const uint64_t place = atomic_fetch_add(&ring->tail, 1);
    atomic_store_explicit(&ring->queue[place % RING_CHUNKS], number + 1, memory_order_release);
    stream->chunk = NULL;
    stream->at = NULL;
    stream->end = NULL;
}

/* A new chunk for the stream, in place of the one it has. */
static bool renew(record_process *here, record_stream *stream, uint32_t thread)
{
    queue_chunk(here, stream);
    ring_chunk *chunk = take_chunk(here);
    if (chunk == NULL) {
        return false;
    }
    stream->ticks = record_ticks(here);
    stream->chunk = chunk;
    stream->at = (unsigned char *)chunk + sizeof *chunk;
    stream->end = (unsigned char *)chunk + RING_CHUNK_SIZE;
    stream->thread = thread;
    chunk->ticks = stream->ticks;
    chunk->stream = stream == &here->common ? RING_COMMON_STREAM : thread;
    atomic_store_explicit(&chunk->used, (uint32_t)sizeof *chunk, memory_order_relaxed);
    atomic_store_explicit(&chunk->thread, thread, memory_order_release);
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Threads.
 */
static void tell_thread(const record_thread *self, record_stream *stream)
{
    struct {
        uint64_t number;
        uint64_t system_id;
        char name[16];
    } note = {.number = self->number, .system_id = (uint64_t)syscall(SYS_gettid)};
    prctl(PR_GET_NAME, note.name);
    record_word(stream, RING_NOTE | RING_NOTE_THREAD << 4 | (uint64_t)sizeof note << 32);
    memcpy(stream->at, &note, sizeof note);
    stream->at += sizeof note;
    record_publish(stream);
}

/* Every thread leaves its chunk to others when it ends. glibc frees what it keeps for a thread after
 * that: those events go into the common stream. */
static void end_thread(void *unused)
{
    (void)unused;
    record_thread *self = &record_self;
    const bool was_busy = self->is_busy;
    self->is_busy = true;
    record_process *here = record_process_here();
    if (here->session != 0 && self->session == here->session && !self->is_ended) {
        if (self->stream.chunk != NULL) {
            queue_chunk(here, &self->stream);
            atomic_fetch_sub(&here->own_chunks, 1);
        }
        self->is_ended = true;
    }
    if (self->walk != NULL) {
        munmap(self->walk, sizeof *self->walk);
        self->walk = NULL;
    }
    self->is_busy = was_busy;
}

/* False: nothing is recorded. */
static bool enter(record_process *here, record_thread *self)
{
    if (atomic_load_explicit(&here->phase, memory_order_acquire) != PHASE_ON) {
        if (atomic_load(&here->phase) == PHASE_OFF || !begin(here, self)) {
            return false;
        }
    }
    if (self->session == here->session) {
        return here->session != 0;
    }
    const bool is_own_stack_known = self->has_stack_range;
    self->stream = (record_stream){0};
    self->is_ended = !has_thread_end;
    self->has_stack_range = is_own_stack_known;
    self->number = atomic_fetch_add(&here->threads, 1) + 1;
    self->random = self->number * UINT64_C(0x9E3779B97F4A7C15) + 1;
    self->sample_left = 0;
    self->now_left = 0;
    self->session = here->session;
    if (has_thread_end) {
        pthread_setspecific(thread_end, self);
    }
    return true;
}

bool record_prepare(record_process *here, record_thread *self, size_t bytes)
{
    if (record_is_ready(here, self, bytes)) {
        return true;
    }
    const int error = errno;
    bool is_ready = false;
    if (enter(here, self) && !self->is_ended) {
        const bool has_own = self->stream.chunk != NULL;
        if (has_own || atomic_load(&here->own_chunks) < OWN_CHUNKS_MAX) {
            is_ready = renew(here, &self->stream, self->number);
            if (!has_own && is_ready) {
                atomic_fetch_add(&here->own_chunks, 1);
                tell_thread(self, &self->stream);
            }
        }
    }
    errno = error;
    return is_ready;
}

record_stream *record_open_common(record_process *here, record_thread *self, size_t bytes)
{
    const int error = errno;
    record_stream *stream = NULL;
    if (enter(here, self)) {
        os_lock_take(&here->common_lock);
        stream = &here->common;
        const size_t most = bytes + 80;
        bool is_ready = (size_t)(stream->end - stream->at) >= most;
        if (!is_ready) {
            is_ready = renew(here, stream, self->number);
            if (is_ready) {
                tell_thread(self, stream);
            }
        }
        if (is_ready && stream->thread != self->number) {
            tell_thread(self, stream);
            stream->thread = self->number;
        }
        if (!is_ready) {
            os_lock_release(&here->common_lock);
            stream = NULL;
        }
    }
    errno = error;
    return stream;
}

void record_lose(record_process *here)
{
    if (here->has_given_up) {
        atomic_fetch_add_explicit(&here->ring->lost, 1, memory_order_relaxed);
    }
}

void record_close_common(record_process *here)
{
    record_publish(&here->common);
    os_lock_release(&here->common_lock);
}
