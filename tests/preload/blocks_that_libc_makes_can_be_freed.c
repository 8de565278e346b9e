/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <dirent.h>
#include <glob.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <regex.h>
#include <search.h>

/* libc allocates on a program's behalf, and for itself, by the same names. */

static int by_value(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left;
    const uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void strings(void)
{
    char *text = strdup("a string");
    CHECK(text != NULL && strcmp(text, "a string") == 0, "strdup");
    free(text);
    text = strndup("another string", 7);
    CHECK(text != NULL && strcmp(text, "another") == 0, "strndup");
    text = realloc(text, 10000);
    CHECK(text != NULL && strcmp(text, "another") == 0, "realloc of strndup's block");
    free(text);
    CHECK(asprintf(&text, "%0*d", 20000, 5) == 20000, "asprintf");
    free(text);
    text = getcwd(NULL, 0);
    CHECK(text != NULL, "getcwd");
    free(text);
    text = realpath("/proc/self", NULL);
    CHECK(text != NULL, "realpath");
    free(text);
    CHECK(setenv("TEST_VARIABLE", "1", 1) == 0 && setenv("TEST_VARIABLE", "22222222222", 1) == 0 &&
              strcmp(getenv("TEST_VARIABLE"), "22222222222") == 0 && unsetenv("TEST_VARIABLE") == 0,
          "setenv");
}

static void files(void)
{
    char *line = NULL;
    size_t room = 0;
    size_t lines = 0;
    FILE *stream = fopen("/proc/self/smaps", "r");
    CHECK(stream != NULL, "fopen");
    CHECK(setvbuf(stream, NULL, _IOFBF, 100000) == 0, "setvbuf");
    while (getline(&line, &room, stream) > 0) {
        lines++;
    }
    CHECK(lines > 50, "getline read %zu lines", lines);
    free(line);
    fclose(stream);
    char *memory = NULL;
    size_t size = 0;
    stream = open_memstream(&memory, &size);
    CHECK(stream != NULL, "open_memstream");
    for (int i = 0; i < 100000; i++) {
        fputs("0123456789", stream);
    }
    fclose(stream);
    CHECK(size == 1000000 && memory[999999] == '9', "open_memstream made %zu bytes", size);
    free(memory);
    struct dirent **entries = NULL;
    const int count = scandir("/proc/self", &entries, NULL, alphasort);
    CHECK(count > 5, "scandir found %d", count);
    for (int i = 0; i < count; i++) {
        free(entries[i]);
    }
    free(entries);
    glob_t found;
    CHECK(glob("/proc/self/*", 0, NULL, &found) == 0 && found.gl_pathc > 5, "glob");
    globfree(&found);
    int number = 0;
    char *word = NULL;
    CHECK(sscanf("12 hello", "%d %ms", &number, &word) == 2 && strcmp(word, "hello") == 0,
          "sscanf");
    free(word);
}

static void others(void)
{
    enum { COUNT = 300000 };
    uint64_t state = 5;
    uint64_t *values = malloc(COUNT * sizeof *values);
    CHECK(values != NULL, "malloc");
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = random_next(&state);
    }
    qsort(values, COUNT, sizeof *values, by_value);
    for (size_t i = 1; i < COUNT; i++) {
        CHECK(values[i - 1] <= values[i], "qsort");
    }
    free(values);
    regex_t pattern;
    CHECK(regcomp(&pattern, "^(a|b)*[[:digit:]]{2,30}(x+y?)*$", REG_EXTENDED) == 0, "regcomp");
    CHECK(regexec(&pattern, "abab123xxyxy", 0, NULL, 0) == 0, "regexec");
    regfree(&pattern);
    const iconv_t converter = iconv_open("UTF-16", "UTF-8");
    CHECK(converter != (iconv_t)-1, "iconv_open");
    iconv_close(converter);
    CHECK(setlocale(LC_ALL, "C.UTF-8") != NULL && setlocale(LC_ALL, "C") != NULL, "setlocale");
    locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    CHECK(locale != (locale_t)0, "newlocale");
    freelocale(locale);
    struct addrinfo *addresses = NULL;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
    CHECK(getaddrinfo("127.0.0.1", "80", &hints, &addresses) == 0, "getaddrinfo");
    freeaddrinfo(addresses);
    void *root = NULL;
    for (size_t i = 1; i < 1000; i++) {
        char *key = NULL;
        CHECK(asprintf(&key, "%zu", i * 7919 % 1000) > 0, "asprintf");
        CHECK(tsearch(key, &root, (int (*)(const void *, const void *))strcmp) != NULL, "tsearch");
    }
    tdestroy(root, free);
}

int main(void)
{
    for (int i = 0; i < 20; i++) {
        strings();
        files();
        others();
    }
    return 0;
}
