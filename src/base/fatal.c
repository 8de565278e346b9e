/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "tarn/base.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Runs inside malloc, before main and in signal handlers, with the books possibly ruined: so the line is put
 * together on the stack, and nothing here calls stdio, takes a lock or allocates.
 */

/* Longer lines are cut: whole sentences of ours fit, and the caller's stack may be as small as 16 KiB. */
enum { LINE_SIZE = 512 };

/* The line while it is put together; `length` never passes LINE_SIZE - 1, so that a newline or a NUL fits. */
typedef struct fatal_line {
    char text[LINE_SIZE];
    size_t length;
} fatal_line;

static _Atomic(tarn_fatal_handler *) fatal_handler;

static void append(fatal_line *line, const char *text)
{
    for (; *text != '\0' && line->length < LINE_SIZE - 1; text++) {
        line->text[line->length++] = *text;
    }
}

static void append_hex(fatal_line *line, uintptr_t number)
{
    char digits[2 * sizeof number + 1];
    char *digit = digits + sizeof digits - 1;
    *digit = '\0';
    do {
        *--digit = "0123456789abcdef"[number & 0xf];
        number >>= 4;
    } while (number != 0);
    append(line, digit);
}

/* One write, so that the lines of two dying threads do not mix; more only if it is cut short. */
static void write_line(const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(STDERR_FILENO, text, size);
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            return;
        }
    }
}

tarn_fatal_handler *tarn_set_fatal_handler(tarn_fatal_handler *handler)
{
    return atomic_exchange_explicit(&fatal_handler, handler, memory_order_acq_rel);
}

void base_fatal(const char *what, const char *pool, const void *pointer)
{
    fatal_line line;
    line.length = 0;
    append(&line, "tarn: ");
    append(&line, what);
    append(&line, " (");
    if (pool != NULL) {
        append(&line, pool);
        append(&line, ", ");
    }
    append(&line, "block 0x");
    append_hex(&line, (uintptr_t)pointer);
    append(&line, ")");

    tarn_fatal_handler *handler = atomic_load_explicit(&fatal_handler, memory_order_acquire);
    if (handler != NULL) {
        line.text[line.length] = '\0';
        handler(line.text);
    } else {
        line.text[line.length] = '\n';
        write_line(line.text, line.length + 1);
    }
    abort();
}
