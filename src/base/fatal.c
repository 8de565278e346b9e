/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "base/freestanding.h"
#include "base/text.h"
#include "tarn/base.h"

#include <stddef.h>
#include <stdint.h>
#if !TARN_FREESTANDING
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#endif

/*
 * Runs inside malloc, before main and in signal handlers, with the books possibly ruined: so the
 * line is put together on the stack, and nothing here calls stdio, takes a lock or allocates.
 */

#if TARN_FREESTANDING

/* The longest of our sentences fits with a short name; stacks are of a few hundred bytes. */
enum { LINE_SIZE = 144 };

static tarn_fatal_handler *fatal_handler;

static tarn_fatal_handler *exchange_handler(tarn_fatal_handler *handler)
{
    tarn_fatal_handler *before = fatal_handler;
    fatal_handler = handler;
    return before;
}

static tarn_fatal_handler *load_handler(void)
{
    return fatal_handler;
}

/* There is nobody to tell. */
static void write_line(const char *text, size_t size)
{
    (void)text;
    (void)size;
}

static _Noreturn void end(void)
{
    __builtin_trap();
}

#else

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

static tarn_fatal_handler *exchange_handler(tarn_fatal_handler *handler)
{
    return atomic_exchange_explicit(&fatal_handler, handler, memory_order_acq_rel);
}

static tarn_fatal_handler *load_handler(void)
{
    return atomic_load_explicit(&fatal_handler, memory_order_acquire);
}

static _Noreturn void end(void)
{
    abort();
}

#endif

tarn_fatal_handler *tarn_set_fatal_handler(tarn_fatal_handler *handler)
{
    return exchange_handler(handler);
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

    tarn_fatal_handler *handler = load_handler();
    if (handler != NULL) {
        handler(line);
    } else {
        line[text.length] = '\n';
        write_line(line, text.length + 1);
    }
    end();
}
