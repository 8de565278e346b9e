/* SPDX-License-Identifier: MIT */
#include "files.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_ROOM = 1 << 16 };

static char *read_all(FILE *file, size_t *size)
{
    size_t room = FIRST_ROOM;
    char *text = malloc(room);
    *size = 0;
    while (text != NULL) {
        *size += fread(text + *size, 1, room - *size - 1, file);
        if (ferror(file)) {
            free(text);
            return NULL;
        }
        if (feof(file)) {
            text[*size] = '\0';
            return text;
        }
        if (*size == room - 1) {
            char *larger = room <= (size_t)-1 / 4 ? realloc(text, room * 2) : NULL;
            if (larger == NULL) {
                free(text);
                errno = ENOMEM;
            }
            text = larger;
            room *= 2;
        }
    }
    return NULL;
}

char *cli_file_read(const char *path, size_t *size)
{
    const bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "re");
    char *text = file != NULL ? read_all(file, size) : NULL;
    const int error = errno;
    if (file != NULL && !is_input) {
        fclose(file);
    }
    if (text == NULL) {
        cli_error("cannot read %s: %s", is_input ? "standard input" : path, strerror(error));
    }
    return text;
}

/* -------------------------------------------------------------------------------------------------
 * Replacing.
 */
static bool report(const cli_new_file *file)
{
    cli_error("cannot write %s: %s", strcmp(file->path, "-") == 0 ? "standard output" : file->path,
              strerror(errno));
    return false;
}

/* The mode of a file that is made by open(2). */
static mode_t usual_mode(void)
{
    const mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

bool cli_new_file_open(cli_new_file *file, const char *path)
{
    struct stat status;
    *file = (cli_new_file){.path = path};
    if (strcmp(path, "-") == 0) {
        file->file = stdout;
        return true;
    }
    const bool is_there = stat(path, &status) == 0;
    if (is_there && !S_ISREG(status.st_mode)) {
        file->file = fopen(path, "we");
        return file->file != NULL || report(file);
    }
    char *resolved = is_there ? realpath(path, NULL) : NULL;
    file->target = cli_copy(resolved != NULL ? resolved : path);
    free(resolved);
    file->temporary = cli_format("%s.XXXXXX", file->target);
    const int descriptor = mkostemp(file->temporary, O_CLOEXEC);
    if (descriptor < 0) {
        return report(file);
    }
    file->file = fdopen(descriptor, "w");
    /* A replaced file keeps who may read it. */
    if (file->file == NULL ||
        fchmod(descriptor, is_there ? status.st_mode & 0777 : usual_mode()) != 0) {
        report(file);
        if (file->file == NULL) {
            close(descriptor);
            unlink(file->temporary);
        } else {
            cli_new_file_drop(file);
        }
        return false;
    }
    return true;
}

bool cli_new_file_commit(cli_new_file *file)
{
    FILE *stream = file->file;
    bool is_written = fflush(stream) == 0 && !ferror(stream);
    int error = errno;
    file->file = NULL;
    if (stream != stdout && fclose(stream) != 0 && is_written) {
        is_written = false;
        error = errno;
    }
    if (is_written && file->target != NULL && rename(file->temporary, file->target) != 0) {
        is_written = false;
        error = errno;
    }
    if (!is_written) {
        if (file->target != NULL) {
            unlink(file->temporary);
        }
        errno = error;
        report(file);
    }
    return is_written;
}

void cli_new_file_drop(cli_new_file *file)
{
    if (file->file != NULL && file->file != stdout) {
        fclose(file->file);
        if (file->target != NULL) {
            unlink(file->temporary);
        }
    }
    file->file = NULL;
}
