/* SPDX-License-Identifier: MIT */
#include "library.h"

#include "cli.h"
#include "elf_file.h"
#include "environment.h"
#include "signals.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIAL_SECONDS_MAX = 10, TRIAL_OUTPUT_SIZE = 4096 };

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_native_library(const char *path)
{
    cli_elf elf;
    return cli_elf_read(path, &elf) && elf.kind == CLI_ELF_NATIVE && elf.is_shared;
}

/* The newest of a directory by its version, as ls -v sorts. */
static const char *find_in_directory(const char *directory, const char *prefix)
{
    const char *newest = NULL;
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        return NULL;
    }
    for (const struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        if (!has_prefix(entry->d_name, prefix)) {
            continue;
        }
        const char *path = cli_format("%s/%s", directory, entry->d_name);
        if ((newest == NULL || strverscmp(path, newest) > 0) && is_native_library(path)) {
            newest = path;
        }
    }
    closedir(stream);
    return newest;
}

static const char *find_in_directories(const char *directories, const char *prefix)
{
    while (directories != NULL && *directories != '\0') {
        const size_t size = strcspn(directories, ":;");
        const char *path = find_in_directory(cli_copy_n(directories, size), prefix);
        if (path != NULL) {
            return path;
        }
        directories += size + (directories[size] != '\0');
    }
    return NULL;
}

/* -------------------------------------------------------------------------------------------------
 * The loader's cache, as ldconfig has written it since glibc 2.32: a header, entries sorted from
 * the newest name to the oldest, and the texts that they point into, by offsets from the header. An
 * older layout may stand before it.
 */
typedef struct cache_header {
    char magic[20]; /* "glibc-ld.so.cache1.1", no zero at its end */
    uint32_t count; /* entries */
    uint32_t text_size;
    uint32_t unused[5];
} cache_header;

typedef struct cache_entry {
    int32_t flags;
    uint32_t name;
    uint32_t path;
    uint32_t os_version;
    uint64_t hwcap;
} cache_entry;

static const char *cache_text(const char *cache, size_t size, uint32_t offset)
{
    return offset < size && memchr(cache + offset, '\0', size - offset) != NULL ? cache + offset
                                                                                : NULL;
}

static const char *find_in_cache_text(const char *cache, size_t size, const char *prefix)
{
    cache_header header;
    if (size < sizeof header) {
        return NULL;
    }
    memcpy(&header, cache, sizeof header);
    for (size_t i = 0; i < header.count; i++) {
        const size_t at = sizeof header + i * sizeof(cache_entry);
        cache_entry entry;
        if (at > size || size - at < sizeof entry) {
            break;
        }
        memcpy(&entry, cache + at, sizeof entry);
        const char *name = cache_text(cache, size, entry.name);
        const char *path = cache_text(cache, size, entry.path);
        if (name != NULL && path != NULL && has_prefix(name, prefix) && is_native_library(path)) {
            return cli_copy(path);
        }
    }
    return NULL;
}

static const char *find_in_cache(const char *prefix)
{
    static const char magic[] = "glibc-ld.so.cache1.1";
    const char *found = NULL;
    const int descriptor = open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0) {
        return NULL;
    }
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        const size_t size = (size_t)status.st_size;
        char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (bytes != MAP_FAILED) {
            const char *start = memmem(bytes, size, magic, sizeof magic - 1);
            if (start != NULL) {
                found = find_in_cache_text(start, size - (size_t)(start - bytes), prefix);
            }
            munmap(bytes, size);
        }
    }
    close(descriptor);
    return found;
}

/* Where libc itself is: the directory of this machine's libraries, whatever the distribution calls
 * it. */
static const char *libc_directory(void)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, "getenv");
    if (address == NULL || dladdr(address, &info) == 0 || info.dli_fname == NULL ||
        strrchr(info.dli_fname, '/') == NULL) {
        return "/lib";
    }
    return cli_copy_n(info.dli_fname, (size_t)(strrchr(info.dli_fname, '/') - info.dli_fname));
}

const char *cli_library_find(const char *prefix)
{
    const char *found = find_in_directories(getenv("LD_LIBRARY_PATH"), prefix);
    if (found == NULL) {
        found = find_in_cache(prefix);
    }
    if (found == NULL) {
        found = find_in_directory(libc_directory(), prefix);
    }
    if (found == NULL) {
        found = find_in_directories("/usr/local/lib:/usr/lib64:/usr/lib:/lib64:/lib", prefix);
    }
    return found;
}

const char *cli_library_fault(const char *path)
{
    cli_elf elf;
    struct stat status;
    if (strpbrk(path, " :") != NULL) {
        return "has a space or a colon in its path, which LD_PRELOAD cannot hold; link it from "
               "another place";
    }
    if (stat(path, &status) != 0) {
        return errno == ENOENT ? "does not exist"
                               : cli_format("cannot be looked at: %s", strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return "is not a file";
    }
    if (!cli_elf_read(path, &elf)) {
        return cli_format("cannot be read: %s", strerror(errno));
    }
    switch (elf.kind) {
    case CLI_ELF_NONE:
        return "is not a shared library (it has no ELF header)";
    case CLI_ELF_BROKEN:
        return "is damaged or cut off (its ELF header does not fit its size)";
    case CLI_ELF_FOREIGN:
        return elf.bits != 0 && elf.bits != (int)sizeof(void *) * 8
                   ? cli_format("is a %d-bit library, and this is a %d-bit tarn", elf.bits,
                                (int)sizeof(void *) * 8)
                   : "is built for another machine";
    case CLI_ELF_NATIVE:
        break;
    }
    return elf.is_shared ? NULL : "is not a shared library";
}

/* -------------------------------------------------------------------------------------------------
 * The trial.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

static _Noreturn void become_probe(const char *preload, int output, int errors)
{
    /* Settings of allocators can make them talk, and talk is not what the trial listens for. */
    char **environment = cli_environment_with(NULL, "LD_PRELOAD", preload);
    environment = cli_environment_with(environment, "TARN_CONF", NULL);
    char *arguments[] = {(char[]){"tarn"}, (char[]){"__probe"}, NULL};
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    /* A library that hangs while it is loaded must not hang us, whatever our caller did to this
     * signal. */
    sigset_t none;
    sigemptyset(&none);
    signal(SIGALRM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(TRIAL_SECONDS_MAX);
    execve("/proc/self/exe", arguments, environment);
    _exit(CLI_EXIT_TARN);
}

/* Reads what there is to the end; more than fits is dropped. */
static void read_all(int descriptor, char *text, size_t size)
{
    size_t used = 0;
    char rest[512] = {0};
    for (;;) {
        const bool has_room = used + 1 < size;
        const ssize_t got = read(descriptor, has_room ? text + used : rest,
                                 has_room ? size - 1 - used : sizeof rest);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        used += has_room ? (size_t)got : 0;
    }
    text[used] = '\0';
}

/* The loader's own words: "object 'PATH' from LD_PRELOAD cannot be preloaded (WHY): ignored." */
static const char *loader_complaint(const char *errors, const char *path)
{
    const char *about = strstr(errors, cli_format("object '%s' from LD_PRELOAD", path));
    const char *open = about != NULL ? strchr(about, '(') : NULL;
    const char *close = open != NULL ? strstr(open, "): ignored") : NULL;
    return close != NULL ? cli_copy_n(open + 1, (size_t)(close - open - 1)) : NULL;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat a_status;
    struct stat b_status;
    return stat(a, &a_status) == 0 && stat(b, &b_status) == 0 &&
           a_status.st_dev == b_status.st_dev && a_status.st_ino == b_status.st_ino;
}

static cli_trial judge(const char *path, int status, char *output, const char *errors)
{
    cli_elf elf;
    const char *complaint = loader_complaint(errors, path);
    if (complaint != NULL) {
        return (cli_trial){.fault = cli_format("cannot be loaded: %s", complaint)};
    }
    if (WIFSIGNALED(status)) {
        return (cli_trial){.fault = WTERMSIG(status) == SIGALRM
                                        ? cli_format("hangs: a trial did not end within %d seconds",
                                                     TRIAL_SECONDS_MAX)
                                        : cli_format("does not work: a trial was ended by %s",
                                                     cli_signal_text(WTERMSIG(status)))};
    }
    output[strcspn(output, "\n")] = '\0';
    if (WEXITSTATUS(status) != 0 || output[0] == '\0') {
        const char *line = cli_copy_n(errors, strcspn(errors, "\n"));
        return (cli_trial){.fault =
                               cli_format("does not work: a trial ended with status %d%s%s",
                                          WEXITSTATUS(status), *line != '\0' ? ": " : "", line)};
    }
    if (is_same_file(output, path)) {
        return (cli_trial){0};
    }
    if (cli_elf_read(path, &elf) && !elf.has_malloc) {
        return (cli_trial){.fault = "is no allocator: it has no malloc"};
    }
    return (cli_trial){.shadow = cli_copy(output)};
}

cli_trial cli_library_try(const char *path, const char *preload)
{
    if (IS_SANITIZED) {
        /* A sanitizer's malloc and a preloaded one do not go together in this program; looking has
         * to do. */
        cli_elf elf;
        const bool has_malloc = cli_elf_read(path, &elf) && elf.has_malloc;
        return (cli_trial){.fault = has_malloc ? NULL : "is no allocator: it has no malloc"};
    }
    int output[2];
    int errors[2];
    if (pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0) {
        cli_fail_errno("cannot make a pipe");
    }
    const pid_t child = fork();
    if (child < 0) {
        cli_fail_errno("cannot start a process");
    }
    if (child == 0) {
        become_probe(preload, output[1], errors[1]);
    }
    close(output[1]);
    close(errors[1]);
    char output_text[TRIAL_OUTPUT_SIZE];
    char errors_text[TRIAL_OUTPUT_SIZE];
    read_all(errors[0], errors_text, sizeof errors_text);
    read_all(output[0], output_text, sizeof output_text);
    close(output[0]);
    close(errors[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return judge(path, status, output_text, errors_text);
}
