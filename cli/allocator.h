/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_ALLOCATOR_H
#define TARN_CLI_ALLOCATOR_H

/*
 * Allocators that a program can be run on: Tarn's, the system's, and any other that stands in a
 * shared library.
 */

#include <stdbool.h>
#include <stddef.h>

enum { CLI_ALLOCATORS_MAX = 16 };

typedef struct cli_allocator {
    const char *name;
    const char *library; /* absolute path; NULL: the system's malloc, nothing is preloaded */
    bool is_optional;    /* found, not asked for: left out when it does not work */
} cli_allocator;

/* Tarn's is always the first and, in a comparison, the system's the second. */
typedef struct cli_allocators {
    const char *option; /* that names them, for messages; NULL: "--compare" */
    size_t count;
    cli_allocator items[CLI_ALLOCATORS_MAX];
} cli_allocators;

/* The path of a library of Tarn's: what the environment's `variable` says, or beside this program, or where
 * it is installed. NULL, said, when there is none. */
const char *cli_own_library(const char *name, const char *variable);

/* Adds Tarn's library: TARN_MALLOC_SO, or beside this program, or where it is installed. False,
 * said, when there is none. */
bool cli_allocators_add_tarn(cli_allocators *list);

void cli_allocators_add_system(cli_allocators *list);

/* Adds every known allocator that is installed. */
void cli_allocators_add_installed(cli_allocators *list);

/* Adds Tarn's library under another name. */
bool cli_allocators_add_tarn_as(cli_allocators *list, const char *name);

/* The name of a known allocator other than Tarn's and the system's; NULL behind the last one. */
const char *cli_allocator_known(size_t index);

/* Adds those of a list with commas: "all" (the installed ones), the name of a known one, a library,
 * or NAME=LIBRARY. False, said, when one cannot be had. */
bool cli_allocators_add_listed(cli_allocators *list, const char *words);

/* The LD_PRELOAD of a run on `allocator`: what the environment has already, without the allocators
 * of the list, then the allocator. NULL: none. */
const char *cli_allocator_preload(const cli_allocators *list, const cli_allocator *allocator);

/* Starts a trial with each allocator of the finished list. Optional ones that fail leave it, said;
 * false, said, when another fails. */
bool cli_allocators_try(cli_allocators *list);

#endif
