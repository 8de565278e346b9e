/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_H
#define TARN_BASE_H

/*
 * What every Tarn header shares: the export mark, statuses, layouts, stretches of memory, and the one place
 * where proven misuse ends.
 *
 * Threads: everything here may be called from any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARN_VERSION_MAJOR 0
#define TARN_VERSION_MINOR 1
#define TARN_VERSION_PATCH 0

#if defined(__GNUC__)
#define TARN_API __attribute__((visibility("default")))
#else
#define TARN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* How a call ended. Zero is success, so `if (status)` reads "if it failed". */
typedef enum tarn_status {
    TARN_OK = 0,
    TARN_NO_MEMORY,    /* upstream had nothing left to give */
    TARN_NO_ROOM,      /* the memory that the caller gave is too small */
    TARN_TOO_LARGE,    /* the size, or a sum or product on the way to it, passes PTRDIFF_MAX */
    TARN_BAD_LAYOUT,   /* a needed size is zero, or an alignment is no power of two */
    TARN_BAD_ARGUMENT, /* any other argument that the call's contract excludes */
    TARN_UNSUPPORTED,  /* this heap, or this machine, cannot do that */
    TARN_BAD_DATA,     /* what was to be read is damaged, or is of another kind or version */
    TARN_IO_FAILED,    /* the system could not read or write */
    TARN_BUSY          /* what would have to go is in use */
} tarn_status;

/* The status in a short English phrase, in static storage; never NULL. */
TARN_API const char *tarn_status_text(tarn_status status);

/* What an object needs: its bytes and the power of two that its address is a multiple of. */
typedef struct tarn_layout {
    size_t size;
    size_t alignment; /* 0 means that of max_align_t */
} tarn_layout;

/* A stretch of memory: `size` bytes from `start`. */
typedef struct tarn_memory {
    void *start;
    size_t size;
} tarn_memory;

/* Receives the one line, without its newline, that describes a proven misuse (double free, foreign pointer,
 * overwritten book-keeping). The books are not to be trusted any more: a handler must not call back into
 * the pool, must not rely on any allocation, and should not return; when it does, the process is aborted. */
typedef void tarn_fatal_handler(const char *line);

/* Replaces the handler for the whole process and returns the one before; NULL restores the built-in one,
 * which writes the line to standard error with one write(2) and aborts. In a freestanding build there is
 * nowhere to write to: the built-in one traps, and so does a handler that returns. There it is a plain
 * variable, to be set before other contexts run. Constant time. */
TARN_API tarn_fatal_handler *tarn_set_fatal_handler(tarn_fatal_handler *handler);

#ifdef __cplusplus
}
#endif

#endif
