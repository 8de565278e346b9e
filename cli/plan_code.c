/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "names.h"
#include "plan.h"
#include "utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Letters, digits and single underscores, none at an end: two in a row are the compiler's in C++.
 * Lives as long as the process. */
static char *identifier_of(const char *text, size_t size, bool is_upper)
{
    char *name = cli_alloc(size + 1);
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte < 0x80 && isalnum(byte)) {
            name[used++] = (char)(is_upper ? toupper(byte) : tolower(byte));
        } else if (used > 0 && name[used - 1] != '_') {
            name[used++] = '_';
        }
    }
    used -= used > 0 && name[used - 1] == '_';
    name[used] = '\0';
    return name;
}

char *cli_plan_code_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    char *name = identifier_of(base, strcspn(base, "."), false);
    if (name[0] == '\0') {
        return cli_copy("plan");
    }
    return isdigit((unsigned char)name[0]) ? cli_format("plan_%s", name) : name;
}

/* A name for each buffer that no other has: those that would be the same are numbered from 2 on. */
static char **unique_names(const cli_buffers *buffers)
{
    char **result = cli_alloc((buffers->count + 1) * sizeof *result);
    cli_names names = {0};
    for (size_t i = 0; i < buffers->count; i++) {
        const char *id = buffers->buffers[i].id;
        char *base = identifier_of(id, strlen(id), true);
        base = base[0] == '\0' ? cli_copy("BUFFER") : base;
        char *name = base;
        size_t number = cli_names_find(&names, base)->number;
        while (number > 0) {
            name = cli_format("%s_%zu", base, ++number);
            if (cli_names_find(&names, name)->number == 0) {
                /* The next one of this base goes on from here. */
                cli_names_find(&names, base)->number = number;
                break;
            }
        }
        cli_names_find(&names, name)->number += 1;
        result[i] = name;
    }
    cli_names_free(&names);
    return result;
}

/* Compilers align to powers of two alone; what else an offset is a multiple of, it is from the start
 * of the memory on. */
static int64_t memory_alignment(const cli_buffers *buffers, bool *is_relative)
{
    int64_t most = 1;
    *is_relative = false;
    for (size_t i = 0; i < buffers->count; i++) {
        const int64_t alignment = buffers->items[i].alignment;
        if (alignment > 1) {
            const int64_t power = alignment & -alignment;
            most = power > most ? power : most;
            *is_relative |= power != alignment;
        }
    }
    return most;
}

/* A text that ends no comment. */
static void write_comment(const char *text, FILE *file)
{
    char shown[CLI_PRINTABLE_SIZE];
    for (text = cli_printable(text, shown); *text != '\0'; text++) {
        fputc((text[0] == '*' && text[1] == '/') || (text[0] == '/' && text[1] == '*') ? '.'
                                                                                       : *text,
              file);
    }
}

void cli_plan_write_code(const cli_buffers *buffers, const int64_t *offsets,
                         const cli_plan_figures *figures, const char *name, const char *source,
                         FILE *file)
{
    bool is_relative;
    char *upper = cli_copy(name);
    char **names = unique_names(buffers);
    const int64_t alignment = memory_alignment(buffers, &is_relative);
    for (char *letter = upper; *letter != '\0'; letter++) {
        *letter = (char)toupper((unsigned char)*letter);
    }
    fputs("/* Made by `tarn plan` from ", file);
    write_comment(source, file);
    fprintf(file, ": %zu buffers in %" PRId64 " bytes%s. */\n", buffers->count, figures->height,
            figures->is_proven ? ", the least there is" : "");
    fprintf(file, "#ifndef %s_H\n#define %s_H\n\n", upper, upper);
    if (is_relative) {
        fputs("/* Alignments that are no powers of two hold from the start of the memory on. */\n",
              file);
    }
    fprintf(file, "#define %s_SIZE %" PRId64 "\n#define %s_ALIGNMENT %" PRId64 "\n\n", upper,
            figures->height > 0 ? figures->height : 1, upper, alignment);
    for (size_t i = 0; i < buffers->count; i++) {
        const tarn_overlay_buffer *item = &buffers->items[i];
        fputs("/* ", file);
        write_comment(buffers->buffers[i].id, file);
        fprintf(file, ", from time %" PRId64 " to %" PRId64 " */\n", item->lower, item->upper);
        fprintf(file, "#define %s_%s_OFFSET %" PRId64 "\n#define %s_%s_SIZE %" PRId64 "\n", upper,
                names[i], offsets[i], upper, names[i], item->size);
    }
    fprintf(
        file,
        "\n/* The memory, once in each file that includes this; define %s_NO_MEMORY before where "
        "the\n * numbers are enough. */\n"
        "#ifndef %s_NO_MEMORY\n"
        "#ifdef __cplusplus\n"
        "alignas(%s_ALIGNMENT) static unsigned char %s_memory[%s_SIZE];\n"
        "#else\n"
        "static _Alignas(%s_ALIGNMENT) unsigned char %s_memory[%s_SIZE];\n"
        "#endif\n"
        "#endif\n\n#endif\n",
        upper, upper, upper, name, upper, upper, name, upper);
}
