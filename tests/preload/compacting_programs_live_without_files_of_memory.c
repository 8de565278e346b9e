/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fragmented.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Sandboxes forbid memfd_create, as do kernels of before 3.17. Then there is nothing to compact with, and a heap all
 * the same. */

#define FRAGMENTS 200000
#define IDLE_MS 800

static bool forbid_memfd(void)
{
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof lines / sizeof *lines, lines};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        if (!forbid_memfd()) {
            return SKIPPED;
        }
        execl("/proc/self/exe", argv[0], "again", (char *)NULL);
        CHECK(false, "exec");
    }
    CHECK(memfd_create("test", MFD_CLOEXEC) < 0, "files of memory can be made");
    uint64_t random = random_seed();
    fragment *fragments = fragmented_make(FRAGMENTS, &random);
    sleep_ms(IDLE_MS);
    fragmented_check(fragments, FRAGMENTS, "without files of memory");
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        fragmented_drop(fragments, FRAGMENTS);
        _exit(0);
    }
    expect_child_passes(child, "a child");
    fragmented_drop(fragments, FRAGMENTS);
    return 0;
}
