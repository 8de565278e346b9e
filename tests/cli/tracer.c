/* SPDX-License-Identifier: MIT */
#include "trace/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Writes a trace as its standard input says, to the file that it is given. A line is an event:
 *
 *     THREAD OPERATION NUMBER [SIZE [ALIGNMENT]]      malloc, calloc, aligned, free, ...
 *     THREAD realloc OLD NUMBER SIZE
 *     THREAD pool_alloc NUMBER SIZE POOL
 *     THREAD pool_free NUMBER POOL
 *     THREAD pool_reset POOL
 *
 * NUMBER is a name of a block, 0 for a request that failed. "command TEXT" says how the program was
 * called, and "repeat N" does all lines up to "end" so many times.
 */

enum { LINE_SIZE = 128, LINES_MAX = 1 << 15 };

typedef struct tracer {
    FILE *file;
    trace_writer *writer;
    uint64_t time;
} tracer;

static _Noreturn void give_up(const char *what, const char *line)
{
    fprintf(stderr, "tracer: %s: %s\n", what, line);
    exit(1);
}

static bool put(void *context, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, context) == size;
}

static unsigned op_of(const char *name, const char *line)
{
    for (unsigned i = 0; i < TRACE_OP_COUNT; i++) {
        char known[32];
        snprintf(known, sizeof known, "%s", trace_op_name(i));
        for (char *at = known; *at != '\0'; at++) {
            *at = *at == ' ' ? '_' : *at;
        }
        if (strcmp(known, name) == 0) {
            return i;
        }
    }
    give_up("no such operation", line);
}

static uint8_t log2_of(uint64_t alignment)
{
    uint8_t log2 = 0;
    while ((UINT64_C(1) << log2) < alignment) {
        log2++;
    }
    return log2;
}

/* Names are spread as addresses are. */
static uint64_t block_of(uint64_t number)
{
    return number * 4096;
}

static void write_event(tracer *tracer, const char *line)
{
    char name[32];
    uint64_t of[4] = {0};
    uint32_t thread;
    const int count = sscanf(line, "%" SCNu32 " %31s %" SCNu64 " %" SCNu64 " %" SCNu64, &thread,
                             name, &of[0], &of[1], &of[2]);
    if (count < 3) {
        give_up("no event", line);
    }
    trace_event event = {.thread = thread, .op = (uint8_t)op_of(name, line), .time = tracer->time};
    tracer->time += 1000;
    if (event.op == TRACE_REALLOC) {
        event.old_block = block_of(of[0]);
        event.block = block_of(of[1]);
        event.size = of[2];
    } else if (event.op == TRACE_POOL_RESET || event.op == TRACE_POOL_CLOSE) {
        event.pool = (uint32_t)of[0];
    } else if (event.op == TRACE_POOL_FREE) {
        event.block = block_of(of[0]);
        event.pool = (uint32_t)of[1];
    } else {
        event.block = block_of(of[0]);
        event.size = trace_op_is_alloc(event.op) ? of[1] : 0;
        event.pool = event.op == TRACE_POOL_ALLOC ? (uint32_t)of[2] : 0;
        event.alignment_log2 = event.op == TRACE_ALIGNED ? log2_of(of[2]) : 0;
    }
    if (!trace_writer_event(tracer->writer, &event)) {
        give_up("not taken", line);
    }
}

static void write_lines(tracer *tracer, char (*lines)[LINE_SIZE], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(lines[i], "command ", 8) == 0) {
            trace_writer_info(tracer->writer, "command", lines[i] + 8);
        } else if (strncmp(lines[i], "repeat ", 7) == 0) {
            size_t end = i + 1;
            while (end < count && strcmp(lines[end], "end") != 0) {
                end++;
            }
            for (long times = strtol(lines[i] + 7, NULL, 10); times > 0; times--) {
                write_lines(tracer, lines + i + 1, end - i - 1);
            }
            i = end;
        } else if (lines[i][0] != '\0') {
            write_event(tracer, lines[i]);
        }
    }
}

int main(int argc, char **argv)
{
    static char lines[LINES_MAX][LINE_SIZE];
    size_t count = 0;
    tracer tracer = {.file = argc == 2 ? fopen(argv[1], "wb") : NULL};
    if (tracer.file == NULL) {
        give_up("no file to write", argc == 2 ? strerror(errno) : "");
    }
    tracer.writer = trace_writer_create(
        &(trace_writer_options){.sink = put, .context = tracer.file, .unit_ns = 1});
    while (count < LINES_MAX && fgets(lines[count], LINE_SIZE, stdin) != NULL) {
        lines[count][strcspn(lines[count], "\n")] = '\0';
        count++;
    }
    if (tracer.writer == NULL || count == LINES_MAX) {
        give_up("no writer, or too many lines", "");
    }
    write_lines(&tracer, lines, count);
    return trace_writer_close(tracer.writer, 0) && fclose(tracer.file) == 0 ? 0 : 1;
}
