/* SPDX-License-Identifier: MIT */
#include "allocator.h"

#include "cli.h"
#include "library.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TARN_LIBRARY "libtarn-malloc.so"

typedef struct known_allocator {
    const char *name;
    const char *prefix;  /* of the library's file name */
    const char *package; /* Debian's */
} known_allocator;

static const known_allocator known[] = {
    {"jemalloc", "libjemalloc.so", "libjemalloc2"},
    {"mimalloc", "libmimalloc.so", "libmimalloc2.0"},
    {"tcmalloc", "libtcmalloc_minimal.so", "libtcmalloc-minimal4"},
};

enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

/* The path with neither links nor a working directory in it, for programs that change theirs. */
static const char *absolute(const char *path)
{
    char *real = realpath(path, NULL);
    const char *copy = cli_copy(real != NULL ? real : path);
    free(real);
    return copy;
}

/* -------------------------------------------------------------------------------------------------
 * The list.
 */
static const cli_allocator *find_by_name(const cli_allocators *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) {
            return &list->items[i];
        }
    }
    return NULL;
}

static const char *option_of(const cli_allocators *list)
{
    return list->option != NULL ? list->option : "--compare";
}

static bool add(cli_allocators *list, cli_allocator allocator)
{
    const cli_allocator *twin = find_by_name(list, allocator.name);
    if (twin != NULL) {
        if (twin->library != NULL && allocator.library != NULL &&
            strcmp(twin->library, allocator.library) == 0) {
            return true;
        }
        cli_error("%s has two allocators with the name '%s'; give one another: "
                  "NAME=LIBRARY",
                  option_of(list), allocator.name);
        return false;
    }
    if (list->count == CLI_ALLOCATORS_MAX) {
        cli_error("%s takes at most %d allocators", option_of(list), CLI_ALLOCATORS_MAX);
        return false;
    }
    list->items[list->count++] = allocator;
    return true;
}

void cli_allocators_add_system(cli_allocators *list)
{
    add(list, (cli_allocator){.name = "system"});
}

/* -------------------------------------------------------------------------------------------------
 * Tarn's own.
 */

/* Places relative to this program: the build tree, then an installation (the build says how its
 * library directory is reached from its program directory). */
static const char *const tarn_places[] = {
    ".",
    "..",
    "../src/preload",
    "../lib",
#ifdef TARN_LIBDIR_FROM_BINDIR
    TARN_LIBDIR_FROM_BINDIR,
#endif
};

static const char *own_directory(void)
{
    char path[PATH_MAX];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
    if (size <= 0 || (size_t)size == sizeof path) {
        return ".";
    }
    size_t end = (size_t)size;
    while (end > 1 && path[end - 1] != '/') {
        end--;
    }
    return cli_copy_n(path, end > 1 ? end - 1 : end);
}

const char *cli_own_library(const char *name, const char *variable)
{
    const char *chosen = getenv(variable);
    if (chosen != NULL && chosen[0] != '\0') {
        const char *fault = cli_library_fault(chosen);
        if (fault != NULL) {
            cli_error("%s: '%s' %s", variable, chosen, fault);
            return NULL;
        }
        return absolute(chosen);
    }
    const char *directory = own_directory();
    for (size_t i = 0; i < sizeof tarn_places / sizeof tarn_places[0]; i++) {
        const char *path = cli_format("%s/%s/%s", directory, tarn_places[i], name);
        if (access(path, F_OK) != 0) {
            continue;
        }
        path = absolute(path);
        const char *fault = cli_library_fault(path);
        if (fault != NULL) {
            cli_error("'%s' %s", path, fault);
            return NULL;
        }
        return path;
    }
    cli_error("there is no %s in %s, nor where it is built or installed beside it; "
              "build it, or set %s to its path",
              name, directory, variable);
    return NULL;
}

bool cli_allocators_add_tarn_as(cli_allocators *list, const char *name)
{
    const char *path = cli_own_library(TARN_LIBRARY, "TARN_MALLOC_SO");
    return path != NULL && add(list, (cli_allocator){.name = name, .library = path});
}

bool cli_allocators_add_tarn(cli_allocators *list)
{
    return cli_allocators_add_tarn_as(list, "tarn");
}

/* -------------------------------------------------------------------------------------------------
 * The others.
 */
const char *cli_allocator_known(size_t index)
{
    return index < KNOWN_COUNT ? known[index].name : NULL;
}

void cli_allocators_add_installed(cli_allocators *list)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        const char *path = cli_library_find(known[i].prefix);
        if (path != NULL && find_by_name(list, known[i].name) == NULL) {
            add(list, (cli_allocator){known[i].name, absolute(path), .is_optional = true});
        }
    }
}

/* What people call "lib/libjemalloc.so.2": jemalloc. */
static const char *name_of(const char *path)
{
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strncmp(name, known[i].prefix, strlen(known[i].prefix)) == 0) {
            return known[i].name;
        }
    }
    name += strncmp(name, "lib", 3) == 0 ? 3 : 0;
    const char *end = strstr(name, ".so");
    return end != NULL && end != name ? cli_copy_n(name, (size_t)(end - name)) : cli_copy(name);
}

static bool add_library(cli_allocators *list, const char *name, const char *path)
{
    const char *found = path;
    if (strchr(path, '/') == NULL && access(path, F_OK) != 0) {
        found = cli_library_find(path);
        if (found == NULL) {
            cli_error("%s: there is no library '%s' here or where the loader looks; give its path",
                      option_of(list), path);
            return false;
        }
    }
    const char *fault = cli_library_fault(found);
    if (fault != NULL) {
        cli_error("%s: '%s' %s", option_of(list), found, fault);
        return false;
    }
    return add(list, (cli_allocator){name, absolute(found), .is_optional = false});
}

static bool add_known(cli_allocators *list, const char *word)
{
    const char *names[KNOWN_COUNT + 3] = {"all", "system"};
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        names[i + 2] = known[i].name;
        if (strcmp(known[i].name, word) != 0) {
            continue;
        }
        const char *path = cli_library_find(known[i].prefix);
        if (path == NULL) {
            cli_error("%s: %s is not installed (no %s*); Debian's package is %s", option_of(list),
                      word, known[i].prefix, known[i].package);
            return false;
        }
        return add(list, (cli_allocator){known[i].name, absolute(path), .is_optional = false});
    }
    cli_unknown("allocator", word, names);
    return false;
}

static bool add_word(cli_allocators *list, const char *word)
{
    const char *equals = strchr(word, '=');
    if (word[0] == '\0') {
        cli_error("%s has an empty name in its list", option_of(list));
        return false;
    }
    /* The system's malloc is in every comparison; to ask for it is no mistake. */
    if (strcmp(word, "system") == 0) {
        return true;
    }
    if (strcmp(word, "all") == 0) {
        cli_allocators_add_installed(list);
        return true;
    }
    /* "./a=b.so" is a path: no name has a slash. */
    if (equals != NULL && memchr(word, '/', (size_t)(equals - word)) == NULL) {
        if (equals == word || equals[1] == '\0') {
            cli_error("%s: '%s' should be NAME=LIBRARY", option_of(list), word);
            return false;
        }
        return add_library(list, cli_copy_n(word, (size_t)(equals - word)), equals + 1);
    }
    if (strchr(word, '/') != NULL || strstr(word, ".so") != NULL) {
        return add_library(list, name_of(word), word);
    }
    return add_known(list, word);
}

bool cli_allocators_add_listed(cli_allocators *list, const char *words)
{
    for (;;) {
        const size_t size = strcspn(words, ",");
        if (!add_word(list, cli_copy_n(words, size))) {
            return false;
        }
        if (words[size] == '\0') {
            return true;
        }
        words += size + 1;
    }
}

/* -------------------------------------------------------------------------------------------------
 * Preloading.
 */
/* True for an entry of LD_PRELOAD that would take the place of an allocator of the list. */
static bool is_of_list(const cli_allocators *list, const char *entry)
{
    const char *name = strrchr(entry, '/') != NULL ? strrchr(entry, '/') + 1 : entry;
    if (strncmp(name, "libtarn-malloc", strlen("libtarn-malloc")) == 0) {
        return true;
    }
    for (size_t i = 0; i < list->count; i++) {
        const char *path = list->items[i].library;
        if (path != NULL && (strcmp(list->items[i].name, name_of(entry)) == 0 ||
                             strcmp(path, absolute(entry)) == 0)) {
            return true;
        }
    }
    return false;
}

const char *cli_allocator_preload(const cli_allocators *list, const cli_allocator *allocator)
{
    const char *rest = getenv("LD_PRELOAD");
    const char *preload = NULL;
    while (rest != NULL && *rest != '\0') {
        const size_t size = strcspn(rest, ": ");
        const char *entry = cli_copy_n(rest, size);
        if (size > 0 && !is_of_list(list, entry)) {
            preload = preload == NULL ? entry : cli_format("%s:%s", preload, entry);
        }
        rest += size + (rest[size] != '\0');
    }
    if (allocator->library == NULL) {
        return preload;
    }
    /* Last, so that what wraps malloc and calls the next one keeps doing so, with this allocator
     * below it. */
    return preload == NULL ? allocator->library : cli_format("%s:%s", preload, allocator->library);
}

bool cli_allocators_try(cli_allocators *list)
{
    size_t kept = 0;
    bool all_work = true;
    for (size_t i = 0; i < list->count; i++) {
        const cli_allocator *allocator = &list->items[i];
        cli_trial trial = {0};
        if (allocator->library != NULL) {
            trial = cli_library_try(allocator->library, cli_allocator_preload(list, allocator));
        }
        if (trial.fault != NULL && allocator->is_optional) {
            cli_warning("%s is left out: '%s' %s", allocator->name, allocator->library,
                        trial.fault);
            continue;
        }
        if (trial.fault != NULL) {
            cli_error("'%s' %s", allocator->library, trial.fault);
            all_work = false;
        }
        if (trial.shadow != NULL) {
            cli_warning("%s may not be in use: LD_PRELOAD has '%s' already, whose malloc comes "
                        "first; unset LD_PRELOAD unless that one calls the next",
                        allocator->name, trial.shadow);
        }
        list->items[kept++] = *allocator;
    }
    list->count = kept;
    return all_work;
}
