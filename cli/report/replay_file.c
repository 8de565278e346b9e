/* SPDX-License-Identifier: MIT */
#include "replay_file.h"

#include "cli.h"
#include "files.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { VERSION = 1 };

/* Far more than a replay of all strategies writes. */
#define SIZE_MAX_OF_FILE (UINT64_C(64) << 20)

/* -------------------------------------------------------------------------------------------------
 * What the page makes use of.
 */
typedef enum field_type { TEXT, NUMBER, TRUTH, OBJECT, LIST, NUMBERS, NUMBERS_OR_NULLS } field_type;

typedef struct field {
    const char *name; /* NULL: the last */
    field_type type;
    bool is_optional; /* may be null, or not there */
} field;

static const field fields_of_root[] = {
    {"trace", TEXT, true},          {"command", TEXT, true},    {"events", NUMBER, false},
    {"allocations", NUMBER, false}, {"threads", NUMBER, false}, {"theory", OBJECT, true},
    {"runs", LIST, false},          {"movable", OBJECT, true},  {0},
};
static const field fields_of_theory[] = {
    {"peak_live", NUMBER, false}, {"static_plan", OBJECT, true}, {"robson", OBJECT, true}, {0}};
static const field fields_of_plan[] = {
    {"height", NUMBER, false},    {"lower_bound", NUMBER, false}, {"buffers", NUMBER, false},
    {"is_optimal", TRUTH, false}, {"method", TEXT, true},         {0},
};
static const field fields_of_robson[] = {
    {"bytes", NUMBER, false}, {"largest", NUMBER, false}, {"text", TEXT, true}, {0}};
static const field fields_of_run[] = {
    {"name", TEXT, false},
    {"kind", TEXT, false},
    {"about", TEXT, false},
    {"order", TEXT, true},
    {"status", TEXT, false},
    {"error", TEXT, true},
    {"events_per_second", NUMBER, true},
    {"ns", OBJECT, true},
    {"peak_footprint", NUMBER, true},
    {"peak_resident", NUMBER, true},
    {"end_footprint", NUMBER, true},
    {"end_resident", NUMBER, true},
    {"fragmentation", OBJECT, true},
    {"failures", NUMBER, true},
    {"rank", NUMBER, true},
    {"curve", OBJECT, true},
    {0},
};
static const field fields_of_ns[] = {
    {"mean", NUMBER, true},  {"p50", NUMBER, true}, {"p99", NUMBER, true},
    {"p99_9", NUMBER, true}, {"max", NUMBER, true}, {0},
};
static const field fields_of_fragmentation[] = {
    {"external_peak", NUMBER, true},
    {"internal_peak", NUMBER, true},
    {"external_end", NUMBER, true},
    {"internal_end", NUMBER, true},
    {0},
};
static const field fields_of_curve[] = {
    {"event", NUMBERS, false},
    {"time_ns", NUMBERS, false},
    {"live", NUMBERS, false},
    {"footprint", NUMBERS_OR_NULLS, false},
    {"resident", NUMBERS_OR_NULLS, false},
    {0},
};
static const field fields_of_movable[] = {
    {"peak_footprint", NUMBER, false}, {"end_footprint", NUMBER, false},
    {"mean_footprint", NUMBER, true},  {"without", NUMBER, false},
    {"end_without", NUMBER, true},     {"mean_without", NUMBER, true},
    {"bytes_moved", NUMBER, false},    {"blocks_moved", NUMBER, false},
    {"passes", NUMBER, false},         {"longest_us", NUMBER, false},
    {"saved", NUMBER, false},          {0},
};

/* -------------------------------------------------------------------------------------------------
 * Checks.
 */
static bool has_numbers(const json_t *list, bool may_be_null)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_number(value) && !(may_be_null && json_is_null(value))) {
            return false;
        }
    }
    return json_is_array(list);
}

static bool is_of_type(const json_t *value, field_type type)
{
    switch (type) {
    case TEXT:
        return json_is_string(value);
    case NUMBER:
        return json_is_number(value);
    case TRUTH:
        return json_is_boolean(value);
    case OBJECT:
        return json_is_object(value);
    case LIST:
        return json_is_array(value);
    case NUMBERS:
        return has_numbers(value, false);
    case NUMBERS_OR_NULLS:
        return has_numbers(value, true);
    }
    return false;
}

static bool refuse(const char *path, const char *place, const char *name, const char *what)
{
    cli_error("'%s' is no result of tarn replay that a page can show: %s%s %s; make it again with "
              "tarn replay --json",
              path, place, name, what);
    return false;
}

/* `place` is the way to the object, with a dot behind it; an object that is not there is fine. */
static bool check(const char *path, const char *place, const json_t *object, const field *fields)
{
    static const char *const types[] = {"a text",
                                        "a number",
                                        "true or false",
                                        "an object",
                                        "a list",
                                        "a list of numbers",
                                        "a list of numbers or nulls"};
    if (object == NULL || json_is_null(object)) {
        return true;
    }
    if (!json_is_object(object)) {
        return refuse(path, place, "", "should be an object");
    }
    for (; fields->name != NULL; fields++) {
        const json_t *value = json_object_get(object, fields->name);
        const bool is_missing = value == NULL || json_is_null(value);
        if (is_missing ? !fields->is_optional : !is_of_type(value, fields->type)) {
            return refuse(path, place, fields->name,
                          cli_format("should be %s", types[fields->type]));
        }
    }
    return true;
}

static bool check_curve(const char *path, const char *place, const json_t *curve)
{
    if (!check(path, place, curve, fields_of_curve)) {
        return false;
    }
    const size_t count = json_array_size(json_object_get(curve, fields_of_curve[0].name));
    for (const field *at = fields_of_curve; at->name != NULL; at++) {
        if (json_array_size(json_object_get(curve, at->name)) != count) {
            return refuse(path, place, at->name, "should be as long as the other lists");
        }
    }
    return true;
}

static bool check_run(const char *path, size_t number, const json_t *run)
{
    const char *place = cli_format("runs[%zu].", number);
    if (!json_is_object(run)) {
        return refuse(path, place, "", "should be an object");
    }
    return check(path, place, run, fields_of_run) &&
           check(path, cli_format("%sns.", place), json_object_get(run, "ns"), fields_of_ns) &&
           check(path, cli_format("%sfragmentation.", place), json_object_get(run, "fragmentation"),
                 fields_of_fragmentation) &&
           check_curve(path, cli_format("%scurve.", place), json_object_get(run, "curve"));
}

static bool check_all(const char *path, const json_t *root)
{
    const json_t *theory = json_object_get(root, "theory");
    const json_t *runs = json_object_get(root, "runs");
    bool is_good =
        check(path, "", root, fields_of_root) && check(path, "theory.", theory, fields_of_theory) &&
        check(path, "theory.static_plan.", json_object_get(theory, "static_plan"),
              fields_of_plan) &&
        check(path, "theory.robson.", json_object_get(theory, "robson"), fields_of_robson) &&
        check(path, "movable.", json_object_get(root, "movable"), fields_of_movable);
    for (size_t i = 0; is_good && i < json_array_size(runs); i++) {
        is_good = check_run(path, i, json_array_get(runs, i));
    }
    return is_good;
}

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
    return check_all(path, root);
}

/* -------------------------------------------------------------------------------------------------
 * The file.
 */
static bool refuse_size(const char *path)
{
    cli_error("'%s' is no result of tarn replay: it has more than 64 MiB", path);
    return false;
}

static bool is_small(const char *path)
{
    struct stat status;
    const bool is_known = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    return !is_known || (uint64_t)status.st_size <= SIZE_MAX_OF_FILE || refuse_size(path);
}

bool report_replay_file_read(report_replay *replay, const char *path)
{
    *replay = (report_replay){0};
    size_t size;
    char *text = is_small(path) ? cli_file_read(path, &size) : NULL;
    if (text == NULL) {
        return false;
    }
    json_error_t fault;
    const bool fits = size <= SIZE_MAX_OF_FILE || refuse_size(path);
    json_t *root = fits ? json_loadb(text, size, JSON_REJECT_DUPLICATES, &fault) : NULL;
    if (fits && root == NULL) {
        cli_error("'%s', line %d: this is no JSON: %s", path, fault.line, fault.text);
    }
    const bool is_good = root != NULL && is_replay(path, root);
    const json_t *peak = json_object_get(json_object_get(root, "theory"), "peak_live");
    *replay = (report_replay){.has_peak = peak != NULL, .peak_live = json_number_value(peak)};
    json_decref(root);
    if (!is_good) {
        free(text);
        return false;
    }
    replay->text = text;
    return true;
}
