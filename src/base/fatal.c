/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "base/text.h"
#include "tarn/base.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Runs inside malloc, before main and in signal handlers, with the books possibly ruined: so the
 * line is put together on the stack, and nothing here calls stdio, takes a lock or allocates.
 */

/* Longer lines are cut: whole sentences of ours fit, and the caller's stack may be as small as 16
 * KiB. */
enum { LINE_SIZE = 512 };

static _Atomic(tarn_fatal_handler *) fatal_handler;

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
    char line[LINE_SIZE];
    base_text text = base_text_in(line, sizeof line - 1); /* room for the newline */
    base_text_add(&text, "tarn: ");
    base_text_add(&text, what);
    base_text_add(&text, " (");
    if (pool != NULL) {
        base_text_add(&text, pool);
        base_text_add(&text, ", ");
    }
    base_text_add(&text, "block 0x");
    base_text_add_number(&text, (uintptr_t)pointer, 16);
    base_text_add(&text, ")");

    tarn_fatal_handler *handler = atomic_load_explicit(&fatal_handler, memory_order_acquire);
    if (handler != NULL) {
        handler(line);
    } else {
        line[text.length] = '\n';
        write_line(line, text.length + 1);
    }
    abort();
}
