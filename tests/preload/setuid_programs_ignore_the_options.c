/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <tarn/malloc.h>

#include <grp.h>
#include <sys/stat.h>

/*
 * Who runs a setuid program must not steer its allocator. The dynamic linker ignores LD_PRELOAD there by itself, so
 * this one has Tarn linked in: root makes a setuid copy of it, and nobody runs both.
 */

#define NOBODY 65534

static int answer_whether_limited(void)
{
    void *block = tarn_malloc(opaque_size(100 * MIB));
    const int limited = block == NULL;
    tarn_free(block);
    return limited ? 10 : 20;
}

static void copy(const char *from, const char *to, mode_t mode)
{
    static char room[65536];
    const int source = open(from, O_RDONLY | O_CLOEXEC);
    const int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    CHECK(source >= 0 && target >= 0, "cannot copy %s to %s", from, to);
    ssize_t got;
    while ((got = read(source, room, sizeof room)) > 0) {
        CHECK(write(target, room, (size_t)got) == got, "write");
    }
    CHECK(fchmod(target, mode) == 0, "fchmod");
    close(source);
    close(target);
}

static int run_as_nobody(const char *program)
{
    const pid_t child = fork();
    if (child == 0) {
        setenv("TARN_CONF", "limit:16m", 1);
        unsetenv("LD_PRELOAD");
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0) {
            _exit(30);
        }
        execl(program, program, "answer", (char *)NULL);
        _exit(31);
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status),
          "%s ended with %#x", program, (unsigned)status);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        /* A setuid program that the kernel does not honour (nosuid, no new privileges) tells nothing. */
        if (strcmp(basename(argv[0]), "setuid") == 0 && geteuid() != 0) {
            return SKIPPED;
        }
        return answer_whether_limited();
    }
    if (geteuid() != 0) {
        dprintf(STDOUT_FILENO, "only root can make a program of its own setuid\n");
        return SKIPPED;
    }
    char folder[] = "/tmp/tarn-setuid-XXXXXX";
    char plain[64];
    char setuid_copy[64];
    CHECK(mkdtemp(folder) != NULL && chmod(folder, 0755) == 0, "mkdtemp");
    snprintf(plain, sizeof plain, "%s/plain", folder);
    snprintf(setuid_copy, sizeof setuid_copy, "%s/setuid", folder);
    copy("/proc/self/exe", plain, 0755);
    copy("/proc/self/exe", setuid_copy, 04755);
    const int by_plain = run_as_nobody(plain);
    const int by_setuid = run_as_nobody(setuid_copy);
    unlink(plain);
    unlink(setuid_copy);
    rmdir(folder);
    if (by_plain == 30 || by_setuid == SKIPPED) {
        dprintf(STDOUT_FILENO, "setuid programs are not honoured here\n");
        return SKIPPED;
    }
    CHECK(by_plain == 10, "a plain program obeys TARN_CONF: %d", by_plain);
    CHECK(by_setuid == 20, "a setuid program ignores it: %d", by_setuid);
    return 0;
}
