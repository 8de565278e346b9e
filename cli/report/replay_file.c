/* SPDX-License-Identifier: MIT */
#include "replay_file.h"

#include "cli.h"
#include "files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };

static bool is_replay(const char *path, const json_t *root)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *version = json_object_get(root, "version");
    if (format == NULL || strcmp(format, "tarn-replay") != 0) {
        cli_error("'%s' is no result of tarn replay: it does not say \"format\": \"tarn-replay\"",
                  path);
        return false;
    }
    if (!json_is_integer(version) || json_integer_value(version) != VERSION) {
        cli_error("'%s' is of a version of tarn replay that this tarn does not know", path);
        return false;
    }
    return true;
}

char *report_replay_file_read(const char *path)
{
    size_t size;
    char *text = cli_file_read(path, &size);
    if (text == NULL) {
        return NULL;
    }
    json_error_t fault;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &fault);
    if (root == NULL) {
        cli_error("'%s', line %d: this is no JSON: %s", path, fault.line, fault.text);
    }
    const bool is_good = root != NULL && is_replay(path, root);
    json_decref(root);
    if (!is_good) {
        free(text);
        return NULL;
    }
    return text;
}
