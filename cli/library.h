/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_LIBRARY_H
#define TARN_CLI_LIBRARY_H

/*
 * Shared libraries: where the dynamic loader would find one, and whether it can be preloaded.
 */

/* The path of an installed library whose file name starts with `prefix` ("libjemalloc.so") and fits
 * this machine, from LD_LIBRARY_PATH, the loader's cache, or the usual directories; NULL when there
 * is none. */
const char *cli_library_find(const char *prefix);

/* Why the file cannot be preloaded, as far as looking at it tells, to follow its name; NULL when it
 * can. */
const char *cli_library_fault(const char *path);

/* What the library does in a trial: this program is started once with `preload` as LD_PRELOAD and
 * uses malloc. */
typedef struct cli_trial {
    const char *fault; /* why it cannot be used, to follow its name; NULL: it works */
    const char
        *shadow; /* the file whose malloc comes first instead; NULL: the library's own is used */
} cli_trial;

cli_trial cli_library_try(const char *path, const char *preload);

#endif
