/* SPDX-License-Identifier: MIT */

/*
 * Asks a Redis server, checks every reply, and measures how long single requests take.
 *
 *     requests load  SOCKET FIRST COUNT SIZE              SETs the keys, many at a time; after each batch a GET and a SET
 *                                                         of random ones of them, one at a time
 *     requests ask   SOCKET FIRST COUNT SIZE N            GETs and SETs N random ones of them, one at a time
 *     requests check SOCKET FIRST COUNT SIZE              GETs them all, many at a time
 *
 * Keys are numbered from FIRST; a key's name follows from its number, and its value from its number and SIZE. So any
 * value that the server has kept can be compared with what it should be. One that it has evicted is no fault.
 *
 * Prints one line, a JSON object. A reply that says no is counted in `failed`, and the first of them is told on
 * standard error. A wrong value or a lost connection ends the program at once with status 1.
 */

#include "../workloads/work.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64,
    KEY_SIZE = 16,
    SIZE_MAX_ASKED = 4096,
    REQUEST_MAX = SIZE_MAX_ASKED + 128,
    SAMPLES_MAX = 1000000,
    READ_SIZE = 1 << 16
};

static int server = -1;
static char sent[BATCH * REQUEST_MAX];
static size_t sent_size; /* bytes to be sent */
static char got[READ_SIZE];
static size_t got_at;   /* the next byte to be read */
static size_t got_size; /* bytes that were read */
static uint64_t failed;

static void fail(const char *what)
{
    fprintf(stderr, "requests: %s\n", what);
    exit(EXIT_FAILURE);
}

static void join(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        fail("the name of the socket is too long");
    }
    memcpy(address.sun_path, path, strlen(path));
    server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
        fail("cannot connect");
    }
}

static void flush(void)
{
    size_t at = 0;
    while (at < sent_size) {
        const ssize_t size = write(server, sent + at, sent_size - at);
        if (size < 0 && errno != EINTR) {
            fail("the server does not take requests any more");
        }
        at += size > 0 ? (size_t)size : 0;
    }
    sent_size = 0;
}

static char next_byte(void)
{
    while (got_at == got_size) {
        const ssize_t size = read(server, got, sizeof got);
        if (size == 0 || (size < 0 && errno != EINTR)) {
            fail("the server has closed the connection");
        }
        got_size = size > 0 ? (size_t)size : 0;
        got_at = 0;
    }
    return got[got_at++];
}

/* Reads up to the end of the line, without it. */
static void read_line(char *line, size_t size)
{
    size_t length = 0;
    for (char byte = next_byte(); byte != '\r'; byte = next_byte()) {
        if (length < size - 1) {
            line[length++] = byte;
        }
    }
    next_byte();
    line[length] = '\0';
}

static void note_failure(const char *line)
{
    if (failed++ == 0) {
        fprintf(stderr, "requests: the server says %s\n", line);
    }
}

static void name_key(uint64_t number, char key[KEY_SIZE + 1])
{
    snprintf(key, KEY_SIZE + 1, "key:%012llx",
             (unsigned long long)(work_mix(number + 1) & 0xffffffffffffu));
}

static void make_value(uint64_t number, size_t size, char *value)
{
    uint64_t word = work_mix((number << 16) + size);
    for (size_t i = 0; i < size; i++) {
        value[i] = (char)('0' + (word & 63));
        word = (word >> 6) | (word << 58);
    }
}

static void add(const char *text, size_t size)
{
    memcpy(sent + sent_size, text, size);
    sent_size += size;
}

static void add_set(uint64_t number, size_t size)
{
    char key[KEY_SIZE + 1];
    char head[128];
    name_key(number, key);
    const int length = snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%zu\r\n",
                                KEY_SIZE, key, size);
    add(head, (size_t)length);
    make_value(number, size, sent + sent_size);
    sent_size += size;
    add("\r\n", 2);
}

static void add_get(uint64_t number)
{
    char key[KEY_SIZE + 1];
    char head[128];
    name_key(number, key);
    const int length =
        snprintf(head, sizeof head, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", KEY_SIZE, key);
    add(head, (size_t)length);
}

static void take_set(void)
{
    char line[256];
    read_line(line, sizeof line);
    if (strcmp(line, "+OK") != 0) {
        note_failure(line);
    }
}

/* True if the server still has the key. */
static bool take_get(uint64_t number, size_t size)
{
    static char expected[SIZE_MAX_ASKED];
    char line[256];
    read_line(line, sizeof line);
    if (line[0] != '$') {
        note_failure(line);
        return false;
    }
    if (strcmp(line, "$-1") == 0) {
        return false;
    }
    if (strtoull(line + 1, NULL, 10) != size) {
        fail("a value has not the size that it was given");
    }
    make_value(number, size, expected);
    for (size_t i = 0; i < size; i++) {
        const char byte = next_byte();
        if (byte != expected[i]) {
            fprintf(stderr, "requests: key %llu: byte %zu of its value is 0x%02x, not 0x%02x\n",
                    (unsigned long long)number, i, (unsigned)(unsigned char)byte,
                    (unsigned)(unsigned char)expected[i]);
            exit(EXIT_FAILURE);
        }
    }
    next_byte();
    next_byte();
    return true;
}

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void check(uint64_t first, uint64_t count, size_t size)
{
    uint64_t kept = 0;
    for (uint64_t done = 0; done < count; done += BATCH) {
        const uint64_t batch = count - done < BATCH ? count - done : BATCH;
        for (uint64_t i = 0; i < batch; i++) {
            add_get(first + done + i);
        }
        flush();
        for (uint64_t i = 0; i < batch; i++) {
            kept += take_get(first + done + i, size);
        }
    }
    printf("{\"requests\":%llu,\"failed\":%llu,\"kept\":%llu}\n", (unsigned long long)count,
           (unsigned long long)failed, (unsigned long long)kept);
}

static int by_size(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left;
    const uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void print_times(const char *name, uint32_t *times, size_t count)
{
    qsort(times, count, sizeof *times, by_size);
    printf("\"%s\":{\"median_ns\":%u,\"p99_ns\":%u,\"p999_ns\":%u,\"max_ns\":%u}", name,
           times[count / 2], times[count - 1 - count / 100], times[count - 1 - count / 1000],
           times[count - 1]);
}

static uint32_t gets[SAMPLES_MAX]; /* ns that each took */
static uint32_t sets[SAMPLES_MAX];
static size_t samples;
static uint64_t kept; /* GETs whose key was there */

/* One GET and one SET of random keys among `count` from `first`. */
static void ask_once(uint64_t first, uint64_t count, size_t size, work_random *random)
{
    const uint64_t asked = first + work_below(random, (uint32_t)count);
    const uint64_t given = first + work_below(random, (uint32_t)count);
    const uint64_t start = nanoseconds();
    add_get(asked);
    flush();
    kept += take_get(asked, size);
    const uint64_t between = nanoseconds();
    add_set(given, size);
    flush();
    take_set();
    const uint64_t end = nanoseconds();
    if (samples < SAMPLES_MAX) {
        gets[samples] = (uint32_t)(between - start);
        sets[samples] = (uint32_t)(end - between);
        samples++;
    }
}

static void print_asked(uint64_t requests, uint64_t ns)
{
    printf("{\"requests\":%llu,\"failed\":%llu,\"kept\":%llu,\"ns\":%llu,",
           (unsigned long long)requests, (unsigned long long)failed, (unsigned long long)kept,
           (unsigned long long)ns);
    print_times("get", gets, samples);
    printf(",");
    print_times("set", sets, samples);
    printf("}\n");
}

static void ask(uint64_t first, uint64_t count, size_t size, uint64_t times)
{
    work_random random = {work_mix(first + size)};
    const uint64_t start = nanoseconds();
    for (uint64_t i = 0; i < times; i++) {
        ask_once(first, count, size, &random);
    }
    print_asked(2 * times, nanoseconds() - start);
}

static void load(uint64_t first, uint64_t count, size_t size)
{
    work_random random = {work_mix(first + size)};
    uint64_t requests = 0;
    const uint64_t start = nanoseconds();
    for (uint64_t done = 0; done < count; done += BATCH) {
        const uint64_t batch = count - done < BATCH ? count - done : BATCH;
        for (uint64_t i = 0; i < batch; i++) {
            add_set(first + done + i, size);
        }
        flush();
        for (uint64_t i = 0; i < batch; i++) {
            take_set();
        }
        ask_once(first, done + batch, size, &random);
        requests += batch + 2;
    }
    print_asked(requests, nanoseconds() - start);
}

int main(int argc, char **argv)
{
    const char *what = argc > 5 ? argv[1] : "";
    const bool asks = strcmp(what, "ask") == 0 && argc == 7;
    if (!asks && !(argc == 6 && (strcmp(what, "load") == 0 || strcmp(what, "check") == 0))) {
        fprintf(stderr, "usage: requests load|check SOCKET FIRST COUNT SIZE\n"
                        "       requests ask SOCKET FIRST COUNT SIZE N\n");
        return 2;
    }
    const uint64_t first = strtoull(argv[3], NULL, 10);
    const uint64_t count = strtoull(argv[4], NULL, 10);
    const size_t size = strtoull(argv[5], NULL, 10);
    if (size == 0 || size > SIZE_MAX_ASKED || count == 0 || count > UINT32_MAX) {
        fail("SIZE or COUNT is out of range");
    }
    join(argv[2]);
    if (asks) {
        ask(first, count, size, strtoull(argv[6], NULL, 10));
    } else if (what[0] == 'l') {
        load(first, count, size);
    } else {
        check(first, count, size);
    }
    return EXIT_SUCCESS;
}
