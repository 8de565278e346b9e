/* SPDX-License-Identifier: MIT */
#include "program.h"

#include "cli.h"
#include "elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 *   argv[0] --PATH--> file --#!--> interpreter --#!--> ... --> ELF file
 *
 * The file is what is run; the ELF file at the end decides whether LD_PRELOAD is heard.
 */

enum { SHEBANGS_MAX = 4, SHEBANG_SIZE = 256 };

static bool is_file(const char *path, mode_t type)
{
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & S_IFMT) == type;
}

/* The first executable file of that name in PATH; else the first one that is not executable, with
 * `error` EACCES; else NULL with ENOENT. An empty element of PATH is the working directory. */
static const char *search_path(const char *name, int *error)
{
    const char *directories = getenv("PATH");
    const char *forbidden = NULL;
    if (directories == NULL) {
        directories = "/bin:/usr/bin";
    }
    for (const char *start = directories;; start++) {
        const size_t size = strcspn(start, ":");
        const char *path =
            size == 0 ? cli_format("./%s", name) : cli_format("%.*s/%s", (int)size, start, name);
        if (is_file(path, S_IFREG)) {
            if (access(path, X_OK) == 0) {
                *error = 0;
                return path;
            }
            forbidden = forbidden == NULL ? path : forbidden;
        }
        start += size;
        if (*start == '\0') {
            break;
        }
    }
    *error = forbidden != NULL ? EACCES : ENOENT;
    return forbidden;
}

/* The words after `#!`: the interpreter, and what follows it or NULL. False when the file has none.
 * */
static bool read_shebang(const char *path, char **interpreter, char **argument)
{
    char line[SHEBANG_SIZE];
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        return false;
    }
    const ssize_t size = read(descriptor, line, sizeof line - 1);
    close(descriptor);
    if (size < 2 || line[0] != '#' || line[1] != '!') {
        return false;
    }
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *word = line + 2 + strspn(line + 2, " \t");
    const size_t word_size = strcspn(word, " \t");
    char *rest = word + word_size + strspn(word + word_size, " \t");
    *interpreter = cli_copy_n(word, word_size);
    *argument = *rest != '\0' ? cli_copy(rest) : NULL;
    return word_size > 0;
}

/* The program that `env ARGUMENT` starts: past options and assignments, found in PATH. NULL when it
 * cannot be told. */
static const char *program_of_env(const char *argument)
{
    int error;
    while (argument != NULL && *argument != '\0') {
        const size_t size = strcspn(argument, " \t\r");
        const char *word = cli_copy_n(argument, size);
        if (word[0] != '-' && strchr(word, '=') == NULL) {
            const char *path = strchr(word, '/') != NULL ? word : search_path(word, &error);
            return path != NULL && access(path, X_OK) == 0 ? path : NULL;
        }
        argument += size + strspn(argument + size, " \t\r");
    }
    return NULL;
}

static bool is_named(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash != NULL ? slash + 1 : path, name) == 0;
}

/* The file at the end of the chain of `#!` lines; NULL, said, when an interpreter on the way does
 * not exist. */
static const char *follow_shebangs(const char *path)
{
    for (int i = 0; i < SHEBANGS_MAX; i++) {
        char *interpreter;
        char *argument;
        if (!read_shebang(path, &interpreter, &argument)) {
            return path;
        }
        if (access(interpreter, F_OK) != 0) {
            const size_t size = strlen(interpreter);
            if (interpreter[size - 1] == '\r') {
                interpreter[size - 1] = '\0';
                cli_error("'%s' has Windows line ends, so its interpreter '%s' is not found; "
                          "'dos2unix %s' mends it",
                          path, interpreter, path);
            } else {
                cli_error("'%s' asks for the interpreter '%s', which does not exist; install it or "
                          "correct the first line",
                          path, interpreter);
            }
            return NULL;
        }
        const char *next = is_named(interpreter, "env") ? program_of_env(argument) : NULL;
        path = next != NULL ? next : interpreter;
    }
    return path;
}

/* What makes the dynamic loader distrust its environment; NULL when nothing does. */
static const char *privilege_of(const char *path)
{
    struct stat status;
    struct statvfs mount;
    if (stat(path, &status) != 0 ||
        (statvfs(path, &mount) == 0 && (mount.f_flag & ST_NOSUID) != 0)) {
        return NULL;
    }
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) {
        return "is setuid";
    }
    /* A setgid bit without the group's execute bit meant mandatory locking and gives no privilege.
     * */
    if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
        status.st_gid != getgid()) {
        return "is setgid";
    }
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0) {
        return "has file capabilities";
    }
    return NULL;
}

/* Fills what the ELF file at the end of the chain tells. */
static void judge_reach(cli_program *program, const char *path)
{
    cli_elf elf;
    const char *privilege = privilege_of(path);
    if (!cli_elf_read(path, &elf)) {
        /* Executable but not readable: nothing can be told, and it may well work. */
        elf = (cli_elf){.kind = CLI_ELF_NONE};
    }
    program->allocator = elf.allocator;
    if (privilege != NULL) {
        program->unreached =
            cli_format("'%s' %s, so the loader ignores LD_PRELOAD", path, privilege);
    } else if (elf.kind == CLI_ELF_FOREIGN && elf.bits != 0 &&
               elf.bits != (int)sizeof(void *) * 8) {
        program->unreached =
            cli_format("'%s' is a %d-bit program and Tarn's library is not", path, elf.bits);
    } else if (elf.kind == CLI_ELF_FOREIGN) {
        program->unreached = cli_format("'%s' is a program for another machine", path);
    } else if (elf.kind == CLI_ELF_NATIVE && elf.loader == NULL && !elf.is_loader) {
        program->unreached =
            cli_format("'%s' is linked statically, so no library can be preloaded", path);
    } else if (elf.kind == CLI_ELF_NATIVE && elf.loader != NULL &&
               strstr(elf.loader, "ld-musl") != NULL) {
        program->unreached =
            cli_format("'%s' is built for the musl C library and Tarn's library for glibc", path);
    } else if (elf.kind == CLI_ELF_NATIVE && elf.has_malloc) {
        program->unreached =
            cli_format("'%s' defines a malloc of its own, which comes before any other", path);
    }
}

/* Reports a file that is there but cannot be run. */
static int report_forbidden(const char *path)
{
    if (is_file(path, S_IFDIR)) {
        cli_error("'%s' is a directory, not a program", path);
    } else {
        cli_error("'%s' is not executable; 'chmod +x %s' makes it so", path, path);
    }
    return CLI_EXIT_NOT_EXECUTABLE;
}

static int report_missing(const char *name)
{
    if (strchr(name, '/') != NULL) {
        cli_error("there is no program '%s'; check its path", name);
    } else if (access(name, X_OK) == 0 && is_file(name, S_IFREG)) {
        cli_error("there is no program '%s' in PATH; './%s' is the one in this directory", name,
                  name);
    } else {
        cli_error("there is no program '%s' in PATH; install it or give its path", name);
    }
    return CLI_EXIT_NOT_FOUND;
}

static char **shell_argv_of(const cli_program *program)
{
    cli_elf elf;
    if (!cli_elf_read(program->path, &elf) || elf.kind != CLI_ELF_NONE) {
        return NULL;
    }
    size_t count = 0;
    while (program->argv[count] != NULL) {
        count++;
    }
    char **arguments = cli_alloc((count + 2) * sizeof *arguments);
    arguments[0] = cli_copy("sh");
    arguments[1] = cli_copy(program->path);
    for (size_t i = 1; i < count; i++) {
        arguments[i + 1] = program->argv[i];
    }
    return arguments;
}

int cli_program_find(cli_program *program, char **argv)
{
    const char *name = argv[0];
    int error = 0;
    *program = (cli_program){.path = name, .argv = argv};
    if (name[0] == '\0') {
        cli_error("the name of the program is empty");
        return CLI_EXIT_NOT_FOUND;
    }
    if (strchr(name, '/') == NULL) {
        program->path = search_path(name, &error);
    } else if (access(name, F_OK) != 0) {
        error = errno;
    } else if (!is_file(name, S_IFREG) || access(name, X_OK) != 0) {
        error = EACCES;
    }
    if (error == EACCES && access(program->path, F_OK) == 0) {
        return report_forbidden(program->path);
    }
    if (error == ENOENT || error == ENOTDIR) {
        return report_missing(name);
    }
    if (error != 0) {
        cli_error("cannot run '%s': %s", name, strerror(error));
        return CLI_EXIT_NOT_EXECUTABLE;
    }
    const char *binary = follow_shebangs(program->path);
    if (binary == NULL) {
        return CLI_EXIT_NOT_FOUND;
    }
    judge_reach(program, binary);
    program->shell_argv = shell_argv_of(program);
    return 0;
}

void cli_program_exec(const cli_program *program, char *const *environment)
{
    execve(program->path, program->argv, environment);
    if (errno == ENOEXEC && program->shell_argv != NULL) {
        execve("/bin/sh", program->shell_argv, environment);
    }
}

int cli_program_exec_failed(const cli_program *program, int error)
{
    cli_elf elf = {.kind = CLI_ELF_NONE};
    if (error == ENOENT && cli_elf_read(program->path, &elf) && elf.loader != NULL) {
        cli_error("'%s' asks for the loader '%s', which does not exist; install the C library that "
                  "it was built for",
                  program->path, elf.loader);
        return CLI_EXIT_NOT_FOUND;
    }
    if (error == ENOEXEC && cli_elf_read(program->path, &elf)) {
        cli_error("cannot run '%s': %s", program->path,
                  elf.kind == CLI_ELF_FOREIGN  ? "it is a program for another machine"
                  : elf.kind == CLI_ELF_BROKEN ? "its ELF file is damaged or cut off"
                                               : "it is no program that this system knows");
        return CLI_EXIT_NOT_EXECUTABLE;
    }
    cli_error("cannot run '%s': %s", program->path, strerror(error));
    return error == ENOENT ? CLI_EXIT_NOT_FOUND : CLI_EXIT_NOT_EXECUTABLE;
}
