/* SPDX-License-Identifier: MIT */
#include "recorder.h"

#include "cli.h"
#include "drain.h"
#include "tarn/base.h"
#include "trace/ring.h"
#include "trace/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 *     program --hello--> socket           one session for each program of each process
 *        ^                  |
 *        |             memory's descriptor
 *        |                  v
 *        '---- ring ----> drain -> writer -> file
 *
 * A session ends with its process, whatever ended it, or when the process says hello again: then it has
 * executed another program.
 */

enum {
    BUSY_MS = 1,
    IDLE_MS = 4,
    FLUSH_MS = 5000,
    LEVEL_SMALLEST = 16, /* zstd's */
    LEVEL_SMALL = 9,
    LEVEL_MIDDLE = 3,
    LEVEL_FAST = 1,
    RATIO_GOOD = 8, /* from here on the highest level takes not much longer than others */
    HELLO_MS = 1000,
    PEERS_MAX = 64,
    WAITS_FIRST = 2 + PEERS_MAX, /* of the sessions */
    COMMAND_MAX = 4096
};

typedef struct recorder_session {
    pid_t process;
    int pid_descriptor;
    int file;
    ring_header *ring;
    trace_writer *writer;
    cli_drain *drain;
    bool is_failed; /* the file could not be written */
    int error;
    int64_t flushed_ms;
    uint64_t flushed_events;
    cli_recording recording;
} recorder_session;

/* Somebody has connected and not yet said hello. */
typedef struct recorder_peer {
    int socket;
    pid_t process;
    bool is_stranger; /* of another user */
    int64_t until_ms;
} recorder_peer;

struct cli_recorder {
    cli_recorder_options options;
    cli_clock clock;
    uint64_t started_ns;
    char name[40];
    char key[sizeof((ring_hello *)0)->key + 1];
    char address[80]; /* name and key */
    int socket;
    int wish; /* eventfd: look at the flags */
    int done; /* eventfd: the thread has ended */
    pthread_t thread;
    pthread_mutex_t lock; /* guards: */
    bool is_end_expected;
    bool is_stopped;
    size_t active;
    /* The thread's alone. */
    recorder_session **sessions;
    size_t session_count;
    size_t session_room;
    recorder_peer peers[PEERS_MAX]; /* the oldest first */
    size_t peer_count;
    struct pollfd *waits; /* as many as sessions and peers have room, and two */
    size_t wait_room;
    bool has_said_full;
    cli_recording *recordings;
    size_t recording_count;
    size_t recording_room;
    size_t failures; /* programs that could not be recorded */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------------------------------------
 * Files.
 */

/* Writes all of it, or leaves the file as it was. */
static bool write_file(void *context, const void *bytes, size_t size)
{
    recorder_session *session = context;
    const unsigned char *at = bytes;
    size_t left = size;
    while (left > 0) {
        const ssize_t written = write(session->file, at, left);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            session->error = written < 0 ? errno : ENOSPC;
            session->is_failed = true;
            return false;
        }
        at += written;
        left -= (size_t)written;
    }
    return true;
}

/* Without what there is of a part that could not be written. */
static void cut_file(const recorder_session *session, uint64_t whole)
{
    if (ftruncate(session->file, (off_t)whole) != 0) {
        return; /* a pipe: its reader finds the end of the last part itself */
    }
}

static void append(char *text, size_t room, size_t *size, const char *more)
{
    const size_t length = strlen(more);
    if (*size + length < room) {
        memcpy(text + *size, more, length + 1);
        *size += length;
    }
}

static bool is_used(const cli_recorder *recorder, const char *path)
{
    for (size_t i = 0; i < recorder->recording_count; i++) {
        if (strcmp(recorder->recordings[i].path, path) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < recorder->session_count; i++) {
        if (strcmp(recorder->sessions[i]->recording.path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* The file's name for the process. Where the pattern does not tell processes apart, or the process has had
 * another program, a number goes before the extension. */
static char *name_file(const cli_recorder *recorder, pid_t process)
{
    char number[32];
    char path[PATH_MAX] = "";
    size_t size = 0;
    snprintf(number, sizeof number, "%ld", (long)process);
    bool has_number = false;
    for (const char *at = recorder->options.pattern; *at != '\0'; at++) {
        if (at[0] == '%' && (at[1] == 'p' || at[1] == '%')) {
            append(path, sizeof path, &size, at[1] == 'p' ? number : "%");
            has_number = has_number || at[1] == 'p';
            at++;
        } else {
            append(path, sizeof path, &size, (char[]){*at, '\0'});
        }
    }
    char *name = strdup(path);
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');
    const int stem = dot != NULL ? (int)(dot - path) : (int)size;
    for (unsigned twin = 1; name != NULL && is_used(recorder, name); twin++) {
        free(name);
        name = NULL;
        const int made =
            has_number  ? asprintf(&name, "%.*s.%u%s", stem, path, twin + 1, path + stem)
            : twin == 1 ? asprintf(&name, "%.*s.%s%s", stem, path, number, path + stem)
                        : asprintf(&name, "%.*s.%s.%u%s", stem, path, number, twin, path + stem);
        if (made < 0) {
            return NULL;
        }
    }
    return name;
}

/* -------------------------------------------------------------------------------------------------
 * Sessions.
 */
static char *read_command(pid_t process)
{
    char path[64];
    char *command = calloc(1, COMMAND_MAX);
    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)process);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (command == NULL || file < 0) {
        return command;
    }
    ssize_t got = read(file, command, COMMAND_MAX - 1);
    close(file);
    while (got > 0 && command[got - 1] == '\0') {
        got--;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (command[i] == '\0') {
            command[i] = ' ';
        } else if ((unsigned char)command[i] < ' ') {
            command[i] = '?';
        }
    }
    return command;
}

static void free_session(recorder_session *session)
{
    cli_drain_free(session->drain);
    if (session->ring != NULL) {
        munmap(session->ring, RING_SIZE);
    }
    if (session->file >= 0) {
        close(session->file);
    }
    if (session->pid_descriptor >= 0) {
        close(session->pid_descriptor);
    }
    free(session);
}

/* Nothing more is taken from the program, which goes on. */
static void let_go(recorder_session *session)
{
    atomic_store(&session->ring->is_stopped, 1);
    atomic_fetch_add(&session->ring->given_back, 1);
    syscall(SYS_futex, &session->ring->given_back, 1, INT32_MAX, NULL, NULL, 0);
}

static void say_full(cli_recorder *recorder, const recorder_session *session)
{
    if (!recorder->has_said_full) {
        recorder->has_said_full = true;
        cli_error("cannot write '%s': %s; its recording ends here, the program goes on",
                  session->recording.path, strerror(session->error));
    }
}

static void describe(trace_writer *writer, const cli_recorder *recorder,
                     const recorder_session *session)
{
    static const char *const stacks[] = {"none", "sampled", "full", "all"};
    char text[64];
    trace_writer_info(writer, "command", session->recording.command);
    trace_writer_info(writer, "stacks", stacks[recorder->options.stacks]);
    if (recorder->options.stacks == RING_STACKS_SAMPLED) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)recorder->options.sample_bytes);
        trace_writer_info(writer, "sample_bytes", text);
    }
    trace_writer_info(writer, "blocks", recorder->options.with_addresses ? "addresses" : "names");
    snprintf(text, sizeof text, "%d.%d.%d", TARN_VERSION_MAJOR, TARN_VERSION_MINOR,
             TARN_VERSION_PATCH);
    trace_writer_info(writer, "tarn", text);
}

/* Everything but the memory. False if it cannot be; the error is in errno. */
static bool open_session(cli_recorder *recorder, recorder_session *session)
{
    session->pid_descriptor = (int)syscall(SYS_pidfd_open, session->process, 0);
    session->recording.path = name_file(recorder, session->process);
    session->recording.command = read_command(session->process);
    if (session->pid_descriptor < 0 || session->recording.path == NULL ||
        session->recording.command == NULL) {
        return false;
    }
    /* A pipe that nobody reads yet would keep us, and with us all who are recorded, waiting. */
    session->file =
        open(session->recording.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
    if (session->file < 0 || fcntl(session->file, F_SETFL, 0) != 0) {
        return false;
    }
    session->writer = trace_writer_create(&(trace_writer_options){
        .sink = write_file,
        .context = session,
        .started_ns = recorder->started_ns,
        .process = (uint64_t)session->process,
    });
    if (session->writer == NULL) {
        errno = session->error != 0 ? session->error : ENOMEM;
        return false;
    }
    describe(session->writer, recorder, session);
    session->drain = cli_drain_create(session->ring, session->writer, &recorder->clock,
                                      recorder->options.with_addresses);
    session->flushed_ms = now_ms();
    return session->drain != NULL;
}

/* The memory, which can be neither shrunk nor grown: a program must not end us by shrinking it. */
static int make_memory(cli_recorder *recorder, ring_header **ring)
{
    const int memory = memfd_create("tarn-record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0) {
        return -1;
    }
    void *start = MAP_FAILED;
    if (ftruncate(memory, (off_t)RING_SIZE) == 0 &&
        fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        start = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    }
    if (start == MAP_FAILED) {
        close(memory);
        return -1;
    }
    *ring = start;
    (*ring)->recorder = (uint32_t)getpid();
    (*ring)->stacks = recorder->options.stacks;
    (*ring)->sample_bytes = recorder->options.sample_bytes;
    return memory;
}

static void answer(int peer, int memory)
{
    ring_welcome welcome = {.magic = RING_MAGIC, .size = memory >= 0 ? RING_SIZE : 0};
    union {
        struct cmsghdr header;
        unsigned char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = &welcome, .iov_len = sizeof welcome};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (memory >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof memory);
        memcpy(CMSG_DATA(header), &memory, sizeof memory);
    }
    while (sendmsg(peer, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

static bool grow(void *items, size_t *room, size_t count, size_t size)
{
    void **array = items;
    if (count < *room) {
        return true;
    }
    size_t more = *room != 0 ? 2 * *room : 16;
    while (more <= count) {
        more *= 2;
    }
    void *larger = realloc(*array, more * size);
    if (larger == NULL) {
        return false;
    }
    *array = larger;
    *room = more;
    return true;
}

static void set_active(cli_recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    recorder->active = recorder->session_count;
    pthread_mutex_unlock(&recorder->lock);
}

static void end_session(cli_recorder *recorder, size_t at)
{
    recorder_session *session = recorder->sessions[at];
    /* Of what can no longer be written it is counted how much it is. */
    cli_drain_take(session->drain, true);
    trace_writer_flush(session->writer);
    cli_recording *recording = &session->recording;
    recording->process = (uint64_t)session->process;
    recording->events = trace_writer_events(session->writer);
    recording->lost = atomic_load(&session->ring->lost) + cli_drain_damaged(session->drain) +
                      cli_drain_events(session->drain) - recording->events;
    recording->peak_live = cli_drain_peak(session->drain, &recording->is_peak_estimate);
    const uint64_t whole = trace_writer_whole(session->writer);
    recording->is_whole = trace_writer_close(session->writer, recording->lost) &&
                          atomic_load(&session->ring->is_incomplete) == 0;
    if (session->is_failed) {
        say_full(recorder, session);
        cut_file(session, whole);
    }
    const off_t end = lseek(session->file, 0, SEEK_END);
    recording->written = end > 0 ? (uint64_t)end : 0;
    if (grow(&recorder->recordings, &recorder->recording_room, recorder->recording_count,
             sizeof *recorder->recordings)) {
        recorder->recordings[recorder->recording_count++] = *recording;
    }
    let_go(session);
    free_session(session);
    recorder->sessions[at] = recorder->sessions[--recorder->session_count];
    set_active(recorder);
}

/* A process that says hello again has executed another program, and the memory of the first is gone. */
static void end_former(cli_recorder *recorder, pid_t process)
{
    for (size_t i = 0; i < recorder->session_count; i++) {
        if (recorder->sessions[i]->process == process) {
            end_session(recorder, i);
            return;
        }
    }
}

static int begin_session(cli_recorder *recorder, pid_t process)
{
    end_former(recorder, process);
    recorder_session *session = calloc(1, sizeof *session);
    if (session == NULL ||
        !grow(&recorder->sessions, &recorder->session_room, recorder->session_count,
              sizeof(recorder_session *)) ||
        !grow(&recorder->waits, &recorder->wait_room, recorder->session_count + WAITS_FIRST,
              sizeof *recorder->waits)) {
        free(session);
        recorder->failures++;
        return -1;
    }
    session->process = process;
    session->pid_descriptor = -1;
    session->file = -1;
    const int memory = make_memory(recorder, &session->ring);
    if (memory < 0 || !open_session(recorder, session)) {
        if (!recorder->has_said_full) {
            recorder->has_said_full = true;
            cli_error("cannot record process %ld%s%s%s: %s", (long)process,
                      session->recording.path != NULL ? " in '" : "",
                      session->recording.path != NULL ? session->recording.path : "",
                      session->recording.path != NULL ? "'" : "",
                      errno == ENXIO ? "nobody reads it" : strerror(errno));
        }
        if (session->writer != NULL) {
            trace_writer_close(session->writer, 0);
        }
        free(session->recording.path);
        free(session->recording.command);
        free_session(session);
        if (memory >= 0) {
            close(memory);
        }
        recorder->failures++;
        return -1;
    }
    recorder->sessions[recorder->session_count++] = session;
    set_active(recorder);
    return memory;
}

static void drop_peer(cli_recorder *recorder, size_t at)
{
    close(recorder->peers[at].socket);
    recorder->peer_count--;
    memmove(&recorder->peers[at], &recorder->peers[at + 1],
            (recorder->peer_count - at) * sizeof recorder->peers[0]);
}

/* True when the peer has said what it had to say, or is not waited for any longer. */
static bool hear(cli_recorder *recorder, const recorder_peer *peer)
{
    ring_hello hello;
    const ssize_t got = recv(peer->socket, &hello, sizeof hello, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return now_ms() >= peer->until_ms;
    }
    if (got == (ssize_t)sizeof hello && hello.magic == RING_MAGIC &&
        memcmp(hello.key, recorder->key, sizeof hello.key) == 0) {
        const int memory =
            hello.version == RING_VERSION ? begin_session(recorder, peer->process) : -1;
        answer(peer->socket, memory);
        if (memory >= 0) {
            close(memory);
        }
    }
    return true;
}

/* There is room for one more: strangers, who may be anybody on this machine, make way first, and only for
 * each other. */
static bool make_way(cli_recorder *recorder, bool for_stranger)
{
    if (recorder->peer_count < PEERS_MAX) {
        return true;
    }
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (recorder->peers[i].is_stranger) {
            drop_peer(recorder, i);
            return true;
        }
    }
    if (for_stranger) {
        return false;
    }
    drop_peer(recorder, 0);
    return true;
}

/* Those who connect say hello at once; who does not is waited for while the others are served. */
static void receive(cli_recorder *recorder)
{
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        recorder_peer peer = {
            .socket = accept4(recorder->socket, NULL, NULL, SOCK_CLOEXEC),
            .until_ms = now_ms() + HELLO_MS,
        };
        if (peer.socket < 0) {
            return;
        }
        struct ucred from;
        socklen_t size = sizeof from;
        if (getsockopt(peer.socket, SOL_SOCKET, SO_PEERCRED, &from, &size) != 0) {
            close(peer.socket);
            continue;
        }
        peer.process = from.pid;
        peer.is_stranger = from.uid != geteuid();
        if (hear(recorder, &peer) || !make_way(recorder, peer.is_stranger)) {
            close(peer.socket);
        } else {
            recorder->peers[recorder->peer_count++] = peer;
        }
    }
}

static void hear_all(cli_recorder *recorder)
{
    for (size_t i = recorder->peer_count; i-- > 0;) {
        if (hear(recorder, &recorder->peers[i])) {
            drop_peer(recorder, i);
        }
    }
}

/* -------------------------------------------------------------------------------------------------
 * The thread.
 */

/* What was taken is in the file soon, whatever becomes of us. */
static void flush_now_and_then(recorder_session *session)
{
    const int64_t now = now_ms();
    const uint64_t events = trace_writer_events(session->writer);
    if (now - session->flushed_ms >= FLUSH_MS && events != session->flushed_events) {
        trace_writer_flush(session->writer);
        session->flushed_ms = now;
        session->flushed_events = events;
    }
}

static bool attend(cli_recorder *recorder, recorder_session *session)
{
    if (session->is_failed) {
        return false;
    }
    /* A smaller file is worth the time as long as the program does not wait for us. */
    const uint32_t backlog = cli_drain_backlog(session->drain);
    const bool packs_well = trace_writer_ratio(session->writer) >= RATIO_GOOD;
    trace_writer_set_level(session->writer, backlog > RING_CHUNKS / 4    ? LEVEL_FAST
                                            : backlog > RING_CHUNKS / 16 ? LEVEL_MIDDLE
                                            : backlog > RING_CHUNKS / 64 || !packs_well
                                                ? LEVEL_SMALL
                                                : LEVEL_SMALLEST);
    const bool is_busy = cli_drain_take(session->drain, false);
    flush_now_and_then(session);
    if (session->is_failed) {
        say_full(recorder, session);
        let_go(session);
    }
    return is_busy;
}

static bool is_to_go_on(cli_recorder *recorder, bool *is_stopped)
{
    pthread_mutex_lock(&recorder->lock);
    *is_stopped = recorder->is_stopped;
    const bool is_end_expected = recorder->is_end_expected;
    pthread_mutex_unlock(&recorder->lock);
    return !*is_stopped && (!is_end_expected || recorder->session_count > 0);
}

static void wait_for_something(cli_recorder *recorder, struct pollfd *waits, int milliseconds)
{
    waits[0] = (struct pollfd){.fd = recorder->socket, .events = POLLIN};
    waits[1] = (struct pollfd){.fd = recorder->wish, .events = POLLIN};
    for (size_t i = 0; i < PEERS_MAX; i++) {
        const int socket_ = i < recorder->peer_count ? recorder->peers[i].socket : -1;
        waits[2 + i] = (struct pollfd){.fd = socket_, .events = POLLIN};
    }
    for (size_t i = 0; i < recorder->session_count; i++) {
        waits[WAITS_FIRST + i] =
            (struct pollfd){.fd = recorder->sessions[i]->pid_descriptor, .events = POLLIN};
    }
    if (poll(waits, WAITS_FIRST + recorder->session_count, milliseconds) < 0) {
        memset(waits, 0, (WAITS_FIRST + recorder->session_count) * sizeof *waits);
    }
}

static void *serve(void *context)
{
    cli_recorder *recorder = context;
    int milliseconds = IDLE_MS;
    bool is_stopped = false;
    while (is_to_go_on(recorder, &is_stopped)) {
        struct pollfd *waits = recorder->waits;
        wait_for_something(recorder, waits, milliseconds);
        if (waits[1].revents != 0) {
            uint64_t count;
            (void)!read(recorder->wish, &count, sizeof count);
        }
        const size_t count = recorder->session_count;
        milliseconds = IDLE_MS;
        for (size_t i = count; i-- > 0;) {
            if (waits[WAITS_FIRST + i].revents != 0) {
                end_session(recorder, i);
                milliseconds = 0;
            } else if (attend(recorder, recorder->sessions[i])) {
                milliseconds = BUSY_MS;
            }
        }
        const bool has_caller = waits[0].revents != 0;
        hear_all(recorder);
        if (has_caller) {
            receive(recorder);
            milliseconds = BUSY_MS;
        }
    }
    while (recorder->peer_count > 0) {
        drop_peer(recorder, recorder->peer_count - 1);
    }
    while (recorder->session_count > 0) {
        let_go(recorder->sessions[0]);
        end_session(recorder, 0);
    }
    free(recorder->waits);
    recorder->waits = NULL;
    const uint64_t one = 1;
    (void)!write(recorder->done, &one, sizeof one);
    return NULL;
}

/* -------------------------------------------------------------------------------------------------
 * From outside.
 */
static bool open_socket(cli_recorder *recorder)
{
    uint64_t random[3];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return false;
    }
    snprintf(recorder->name, sizeof recorder->name, "tarn-record-%016llx",
             (unsigned long long)random[0]);
    snprintf(recorder->key, sizeof recorder->key, "%016llx%016llx", (unsigned long long)random[1],
             (unsigned long long)random[2]);
    snprintf(recorder->address, sizeof recorder->address, "%s:%s", recorder->name, recorder->key);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t size = strlen(recorder->name);
    memcpy(address.sun_path + 1, recorder->name, size);
    recorder->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return recorder->socket >= 0 &&
           bind(recorder->socket, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size)) == 0 &&
           listen(recorder->socket, SOMAXCONN) == 0;
}

cli_recorder *cli_recorder_start(const cli_recorder_options *options)
{
    cli_recorder *recorder = cli_alloc(sizeof *recorder);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    recorder->options = *options;
    recorder->started_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    recorder->clock = cli_clock_start();
    recorder->wish = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    recorder->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&recorder->lock, NULL);
    if (!grow(&recorder->waits, &recorder->wait_room, WAITS_FIRST, sizeof *recorder->waits)) {
        cli_error("no memory to wait for programs");
        return NULL;
    }
    if (recorder->wish < 0 || recorder->done < 0 || !open_socket(recorder)) {
        cli_error("cannot open a socket for the program: %s", strerror(errno));
        return NULL;
    }
    const int error = pthread_create(&recorder->thread, NULL, serve, recorder);
    if (error != 0) {
        cli_error("cannot start a thread: %s", strerror(error));
        return NULL;
    }
    return recorder;
}

const char *cli_recorder_socket(const cli_recorder *recorder)
{
    return recorder->address;
}

int cli_recorder_descriptor(const cli_recorder *recorder)
{
    return recorder->done;
}

size_t cli_recorder_active(cli_recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    const size_t active = recorder->active;
    pthread_mutex_unlock(&recorder->lock);
    return active;
}

static void wish(cli_recorder *recorder, bool *flag)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&recorder->lock);
    *flag = true;
    pthread_mutex_unlock(&recorder->lock);
    (void)!write(recorder->wish, &one, sizeof one);
}

void cli_recorder_expect_end(cli_recorder *recorder)
{
    wish(recorder, &recorder->is_end_expected);
}

void cli_recorder_stop(cli_recorder *recorder)
{
    wish(recorder, &recorder->is_stopped);
}

const cli_recording *cli_recorder_finish(cli_recorder *recorder, size_t *count)
{
    pthread_join(recorder->thread, NULL);
    close(recorder->socket);
    *count = recorder->recording_count;
    return recorder->recordings;
}

size_t cli_recorder_failures(const cli_recorder *recorder)
{
    return recorder->failures;
}
