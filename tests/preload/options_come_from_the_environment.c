/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <dirent.h>
#include <malloc.h>

/* Runs itself as a program of each kind with a TARN_CONF, and looks at how it ended and what it wrote to
 * standard error. */

#define BLOCKS 100000

/* --- what the children do --- */

static void churn(void)
{
    void **blocks = outside_memory(BLOCKS * sizeof *blocks);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(1000);
        CHECK(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, 1000);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    munmap(blocks, BLOCKS * sizeof *blocks);
}

static int threads_of_process(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    CHECK(folder != NULL, "opendir");
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count - 2;
}

static void keeps_memory(void)
{
    churn();
    sleep_ms(1200);
    CHECK(resident() > 90 * MIB, "only %zu KiB are resident", resident() / KIB);
}

static void keeps_memory_until_trim(void)
{
    keeps_memory();
    malloc_trim(0);
    CHECK(resident() < 16 * MIB, "%zu KiB are resident after malloc_trim", resident() / KIB);
}

/* On a machine so busy that the process did not get to look within the two seconds, it looks again. */
static void keeps_memory_for_two_seconds(void)
{
    bool has_looked = false;
    for (int tries = 0; tries < 5 && !has_looked; tries++) {
        const double start = seconds_now();
        churn();
        sleep_ms(1000);
        const size_t kept = resident();
        has_looked = seconds_now() - start < 1.9;
        CHECK(!has_looked || kept > 90 * MIB, "only %zu KiB are resident", kept / KIB);
    }
    CHECK(has_looked, "the machine is too busy to tell");
    sleep_ms(3000);
    CHECK(resident() < 16 * MIB, "%zu KiB are resident after the decay", resident() / KIB);
}

static void gives_back_at_once(void)
{
    churn();
    CHECK(resident() < 32 * MIB, "%zu KiB are resident", resident() / KIB);
}

static void gives_back_in_a_second(void)
{
    churn();
    sleep_ms(1000);
    CHECK(resident() < 8 * MIB, "%zu KiB are resident", resident() / KIB);
}

static void has_no_helper(void)
{
    churn();
    sleep_ms(300);
    CHECK(threads_of_process() == 1, "%d threads", threads_of_process());
    /* Without a helper decay is looked at inside calls: those of a program that still does something. */
    for (int i = 0; i < 100; i++) {
        void *blocks[100];
        for (size_t j = 0; j < 100; j++) {
            blocks[j] = malloc(j * 1000);
            CHECK(blocks[j] != NULL, "malloc");
        }
        for (size_t j = 0; j < 100; j++) {
            free(blocks[j]);
        }
        sleep_ms(10);
    }
    CHECK(threads_of_process() == 1, "%d threads", threads_of_process());
    CHECK(resident() < 24 * MIB, "%zu KiB are resident", resident() / KIB);
}

static size_t take_all(size_t size)
{
    void *list = NULL;
    size_t taken = 0;
    for (;;) {
        errno = 0;
        void **block = malloc(size);
        if (block == NULL) {
            CHECK(errno == ENOMEM, "malloc beyond the limit");
            break;
        }
        *block = list;
        list = block;
        taken += size;
        CHECK(taken <= 256 * MIB, "no limit");
    }
    while (list != NULL) {
        void **block = list;
        list = *block;
        free(block);
    }
    return taken;
}

static void lives_in_64_mib(void)
{
    const size_t sizes[] = {100, 20000, 100000, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t taken = take_all(sizes[i]);
        CHECK(taken <= 64 * MIB, "%zu KiB in blocks of %zu", taken / KIB, sizes[i]);
        CHECK(taken >= 48 * MIB, "%zu KiB in blocks of %zu", taken / KIB, sizes[i]);
    }
    errno = 0;
    CHECK(malloc(opaque_size(64 * MIB + 1)) == NULL && errno == ENOMEM, "more than 64 MiB in one");
    void *block = malloc(20 * MIB);
    CHECK(block != NULL, "20 MiB");
    errno = 0;
    CHECK(realloc(opaque(block), opaque_size(70 * MIB)) == NULL && errno == ENOMEM, "realloc");
    free(block);
}

static void takes_80_mib(void)
{
    void *block = malloc(80 * MIB);
    CHECK(block != NULL, "80 MiB");
    free(block);
}

static void does_little(void)
{
    free(malloc(100));
}

static void closes_everything(void)
{
    free(malloc(100));
    close(0);
    close(1);
    close(2);
}

static void ends_by_underscore_exit(void)
{
    free(malloc(100));
    _exit(0);
}

static const struct kind {
    const char *name;
    void (*run)(void);
} kinds[] = {{"keeps_memory", keeps_memory},
             {"keeps_memory_until_trim", keeps_memory_until_trim},
             {"keeps_memory_for_two_seconds", keeps_memory_for_two_seconds},
             {"gives_back_at_once", gives_back_at_once},
             {"gives_back_in_a_second", gives_back_in_a_second},
             {"has_no_helper", has_no_helper},
             {"lives_in_64_mib", lives_in_64_mib},
             {"takes_80_mib", takes_80_mib},
             {"does_little", does_little},
             {"closes_everything", closes_everything},
             {"ends_by_underscore_exit", ends_by_underscore_exit}};

/* --- what the parent expects --- */

static char written[65536];
static int failures;

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                 \
            dprintf(STDERR_FILENO, __VA_ARGS__);                                                   \
            dprintf(STDERR_FILENO, "\n");                                                          \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

/* Runs the kind with TARN_CONF=conf (NULL: unset); what it wrote to standard error is in `written`. */
static void run(char *self, const char *conf, const char *kind)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (conf != NULL) {
            setenv("TARN_CONF", conf, 1);
        } else {
            unsetenv("TARN_CONF");
        }
        execl(self, self, kind, (char *)NULL);
        _exit(98);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while (length < sizeof written - 1 &&
           (got = read(ends[0], written + length, sizeof written - 1 - length)) > 0) {
        length += (size_t)got;
    }
    written[length] = '\0';
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    EXPECT(status == 0, "TARN_CONF=\"%s\" %s ended with %#x and wrote \"%s\"", conf, kind,
           (unsigned)status, written);
}

static size_t lines_written(void)
{
    size_t lines = 0;
    for (const char *c = written; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    return lines;
}

static void expect_quiet(char *self, const char *conf, const char *kind)
{
    run(self, conf, kind);
    EXPECT(written[0] == '\0', "TARN_CONF=\"%s\" %s wrote \"%s\"", conf == NULL ? "" : conf, kind,
           written);
}

/* One line that holds the word; and what else the variable says is obeyed. */
static void expect_warning(char *self, const char *conf, const char *kind, const char *word)
{
    run(self, conf, kind);
    EXPECT(lines_written() == 1 && strncmp(written, "tarn: ", 6) == 0 &&
               strstr(written, word) != NULL,
           "TARN_CONF=\"%s\" %s wrote \"%s\"", conf, kind, written);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            if (strcmp(argv[1], kinds[i].name) == 0) {
                kinds[i].run();
                return 0;
            }
        }
        return 97;
    }
    expect_quiet(argv[0], NULL, "gives_back_in_a_second");
    expect_quiet(argv[0], "", "gives_back_in_a_second");
    expect_quiet(argv[0], "decay_ms:-1", "keeps_memory_until_trim");
    expect_quiet(argv[0], "decay_ms:2000", "keeps_memory_for_two_seconds");
    expect_quiet(argv[0], "decay_ms:0", "gives_back_at_once");
    expect_quiet(argv[0], "background:0", "has_no_helper");
    expect_quiet(argv[0], "background:0,decay_ms:100", "has_no_helper");
    expect_quiet(argv[0], "limit:64m", "lives_in_64_mib");
    expect_quiet(argv[0], "limit:65536k", "lives_in_64_mib");
    expect_quiet(argv[0], "limit:67108864", "lives_in_64_mib");
    expect_quiet(argv[0], "decay_ms:0,limit:64m,background:0", "lives_in_64_mib");
    expect_quiet(argv[0], "limit:2g", "takes_80_mib");
    expect_quiet(argv[0], "limit:0", "takes_80_mib");
    expect_quiet(argv[0], "stats:0", "does_little");
    expect_quiet(argv[0], "stats:1", "closes_everything");

    run(argv[0], "stats:1", "does_little");
    EXPECT(lines_written() >= 3, "stats:1 wrote \"%s\"", written);
    run(argv[0], "stats:1,decay_ms:100", "gives_back_in_a_second");
    EXPECT(lines_written() >= 3, "stats:1 wrote \"%s\"", written);

    expect_warning(argv[0], "colour:1", "does_little", "colour");
    expect_warning(argv[0], "colour:1,decay_ms:-1", "keeps_memory", "colour");
    expect_warning(argv[0], "decay_ms:-1,colour:1", "keeps_memory", "colour");
    expect_warning(argv[0], "limit:64m,colour", "lives_in_64_mib", "colour");
    expect_warning(argv[0], "decay_ms:soon", "gives_back_in_a_second", "decay_ms");
    expect_warning(argv[0], "decay_ms:", "gives_back_in_a_second", "decay_ms");
    expect_warning(argv[0], "decay_ms:-2", "gives_back_in_a_second", "decay_ms");
    expect_warning(argv[0], "decay_ms:99999999999999999999", "gives_back_in_a_second", "decay_ms");
    expect_warning(argv[0], "decay_ms:12x", "gives_back_in_a_second", "decay_ms");
    expect_warning(argv[0], "limit:64q", "takes_80_mib", "limit");
    expect_warning(argv[0], "limit:-64m", "takes_80_mib", "limit");
    expect_warning(argv[0], "limit:99999999999999999999", "takes_80_mib", "limit");
    expect_warning(argv[0], "limit:99999999999g", "takes_80_mib", "limit");
    expect_warning(argv[0], "background:2", "gives_back_in_a_second", "background");
    expect_warning(argv[0], "stats:yes", "does_little", "stats");
    expect_warning(argv[0], "stats", "does_little", "stats");
    CHECK(failures == 0, "%d expectations failed", failures);
    return 0;
}
