/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include "suggest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* All blocks are kept on one list that a static reaches, so that what lives as long as the process
 * is no leak. */
typedef struct kept_block {
    struct kept_block *next;
    _Alignas(max_align_t) unsigned char bytes[];
} kept_block;

static kept_block *kept;
static const char *command_name = "tarn";
static bool progress_stands;

void *cli_alloc(size_t size)
{
    kept_block *block = size <= SIZE_MAX / 2 ? calloc(1, sizeof *block + size) : NULL;
    if (block == NULL) {
        fputs("tarn: out of memory\n", stderr);
        exit(CLI_EXIT_TARN);
    }
    block->next = kept;
    kept = block;
    return block->bytes;
}

char *cli_copy_n(const char *text, size_t size)
{
    char *copy = cli_alloc(size + 1);
    memcpy(copy, text, size);
    return copy;
}

char *cli_copy(const char *text)
{
    return cli_copy_n(text, strlen(text));
}

char *cli_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = cli_alloc((size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return text;
}

void cli_set_name(const char *name)
{
    command_name = name;
}

bool cli_has_colour(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return (no_color == NULL || no_color[0] == '\0') && isatty(STDERR_FILENO) && term != NULL &&
           strcmp(term, "dumb") != 0;
}

bool cli_has_utf8(void)
{
    /* Asked without setlocale(), which would read locale files into a process that should stay
     * small. */
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
        }
    }
    return false;
}

size_t cli_columns(void)
{
    struct winsize window;
    return isatty(STDERR_FILENO) && ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col
                                                                                   : 0;
}

static void say(const char *colour, const char *kind, const char *format, va_list arguments)
{
    cli_progress_wipe();
    const bool coloured = cli_has_colour() && colour != NULL;
    fprintf(stderr, "%s: %s%s%s", command_name, coloured ? colour : "", kind,
            coloured ? "\033[0m" : "");
    vfprintf(stderr, format, arguments);
}

void cli_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("\033[31m", "error: ", format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void cli_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("\033[33m", "warning: ", format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void cli_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(NULL, "", format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

_Noreturn void cli_fail_errno(const char *format, ...)
{
    const int error = errno;
    va_list arguments;
    va_start(arguments, format);
    say("\033[31m", "error: ", format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(CLI_EXIT_TARN);
}

static void say_where_help_is(void)
{
    fprintf(stderr, "Try '%s --help'.\n", command_name);
}

void cli_usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("\033[31m", "error: ", format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    say_where_help_is();
}

void cli_unknown(const char *kind, const char *word, const char *const *known)
{
    const char *nearest = cli_suggest(word, known);
    if (nearest != NULL) {
        cli_error("unknown %s '%s'; did you mean '%s'?", kind, word, nearest);
    } else {
        cli_error("unknown %s '%s'", kind, word);
    }
    say_where_help_is();
}

void cli_progress(const char *format, ...)
{
    const size_t columns = cli_columns();
    if (columns == 0) {
        return;
    }
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    /* A line that wraps could not be wiped. */
    if (columns < sizeof line) {
        line[columns - 1] = '\0';
    }
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    progress_stands = true;
}

void cli_progress_wipe(void)
{
    if (progress_stands) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        progress_stands = false;
    }
}
