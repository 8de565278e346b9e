/* SPDX-License-Identifier: MIT */
#include "tarn/malloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* This program brings a default of its own by the linker; TARN_CONF comes after it. The environment is read once, so
 * each case is a run of its own. */

#define MIB ((size_t)1 << 20)

const char *tarn_malloc_conf = "limit:64m,decay_ms:100";

static const char *self;

/* The child's exit status: 10 when `megabytes` were refused, 20 when they were given. */
static int run(const char *conf, const char *megabytes)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (conf != NULL) {
            setenv("TARN_CONF", conf, 1);
        } else {
            unsetenv("TARN_CONF");
        }
        execl(self, self, megabytes, (char *)NULL);
        _exit(99);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int answer(const char *megabytes)
{
    errno = 0;
    void *block = tarn_malloc((size_t)strtoul(megabytes, NULL, 10) * MIB);
    if (block == NULL) {
        return errno == ENOMEM ? 10 : 11;
    }
    tarn_free(block);
    return 20;
}

static void the_programs_default_holds(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, "80"), 10);
    assert_int_equal(run(NULL, "40"), 20);
    assert_int_equal(run("", "80"), 10);
    assert_int_equal(run("decay_ms:500", "80"), 10);
}

static void the_environment_comes_after_the_programs_default(void **state)
{
    (void)state;
    assert_int_equal(run("limit:128m", "80"), 20);
    assert_int_equal(run("limit:0", "800"), 20);
    assert_int_equal(run("limit:20m", "40"), 10);
}

static void the_last_of_two_values_holds(void **state)
{
    (void)state;
    assert_int_equal(run("limit:20m,limit:128m", "80"), 20);
    assert_int_equal(run("limit:128m,limit:20m", "40"), 10);
}

static void units_are_powers_of_two(void **state)
{
    (void)state;
    assert_int_equal(run("limit:1g", "900"), 20);
    assert_int_equal(run("limit:1g", "1100"), 10);
    assert_int_equal(run("limit:102400k", "80"), 20);
    assert_int_equal(run("limit:102400k", "101"), 10);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 1) {
        return answer(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_programs_default_holds),
        cmocka_unit_test(the_environment_comes_after_the_programs_default),
        cmocka_unit_test(the_last_of_two_values_holds),
        cmocka_unit_test(units_are_powers_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
