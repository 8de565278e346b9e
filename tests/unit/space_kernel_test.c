/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/ring.h"
#include "tarn/space.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/space_tools.h"
#include "unit/tools.h"

/*
 * The kernel refuses the first, second, n-th request for mappings in each operation: the space is as it was each time, and
 * its window too.
 *
 * A seccomp filter turns the calls into signals; the handler counts, refuses one, and makes the others in the program's
 * place, with a mark that the filter lets pass: the upper half of the fifth argument, of which the kernel looks at the
 * lower one only.
 */

#if defined(__x86_64__)

#define MARK UINT64_C(0x7461726e)

static volatile unsigned requests;
static volatile unsigned refuse_at; /* 0: none */

static void on_request(int number, siginfo_t *info, void *context)
{
    ucontext_t *thread = context;
    greg_t *registers = thread->uc_mcontext.gregs;
    (void)number;
    requests++;
    if (requests == refuse_at) {
        registers[REG_RAX] = -ENOMEM;
        return;
    }
    const uint64_t fifth = ((uint64_t)registers[REG_R8] & UINT32_MAX) | MARK << 32;
    register uint64_t r10 __asm__("r10") = (uint64_t)registers[REG_R10];
    register uint64_t r8 __asm__("r8") = fifth;
    register uint64_t r9 __asm__("r9") = (uint64_t)registers[REG_R9];
    uint64_t result = (uint64_t)info->si_syscall;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(registers[REG_RDI]), "S"(registers[REG_RSI]), "d"(registers[REG_RDX]),
                       "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    registers[REG_RAX] = (greg_t)result;
}

/* False where the system allows no filters. */
static bool trap_requests(void)
{
    enum { HIGH = offsetof(struct seccomp_data, args[4]) + 4 };
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mprotect, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, HIGH),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)MARK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    const struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    const struct sigaction action = {.sa_sigaction = on_request,
                                     .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "request %u: %s\n", refuse_at, what);
        _exit(1);
    }
}

#define HOLDS(condition) require((condition), #condition)

/* ---- the scene ---- */

enum { WINDOW_PAGES = 64 };

typedef struct scene {
    tarn_frames frames;
    tarn_space space;
    tarn_space child;
    unsigned char *window;
    unsigned char *second;
    tarn_frame singles[10];
    tarn_frame apart[10];
} scene;

static scene it;

static void set_up(bool has_copies)
{
    void *window = NULL;
    memset(&it, 0, sizeof it);
    HOLDS(tarn_frames_init(&it.frames, &(tarn_frames_options){.count = 300}) == TARN_OK);
    HOLDS(tarn_space_init(&it.space, &(tarn_space_options){.frames = &it.frames,
                                                           .reserves_copies = true,
                                                           .copy_pages = 4}) == TARN_OK);
    for (size_t i = 0; i < 10; i++) {
        HOLDS(tarn_frames_alloc(&it.frames, 1, &it.singles[i]) == TARN_OK);
        HOLDS(tarn_frames_alloc(&it.frames, 1, &it.apart[i]) == TARN_OK);
    }
    /* Neighbours, strangers, and pages with other rights. */
    HOLDS(tarn_space_map(&it.space, 0, 20 * PAGE, &(tarn_map_options){.access = RW}) == TARN_OK);
    for (size_t i = 0; i < 10; i++) {
        HOLDS(tarn_space_map(&it.space, (24 + i) * PAGE, PAGE,
                             &(tarn_map_options){.access = RW, .frame = it.singles[i]}) == TARN_OK);
    }
    HOLDS(tarn_space_protect(&it.space, 5 * PAGE, 3 * PAGE, RO) == TARN_OK);
    HOLDS(tarn_space_protect(&it.space, 10 * PAGE, 2 * PAGE, 0) == TARN_OK);
    HOLDS(tarn_space_attach(&it.space, 0, WINDOW_PAGES * PAGE,
                            &(tarn_attach_options){.handles_stores = true}, &window) == TARN_OK);
    it.window = window;
    HOLDS(tarn_space_attach(&it.space, 16 * PAGE, 32 * PAGE, NULL, &window) == TARN_OK);
    it.second = window;
    for (size_t page = 0; page < 5; page++) {
        it.window[page * PAGE] = (unsigned char)(page + 1);
    }
    if (has_copies) {
        HOLDS(tarn_space_fork(&it.space, &it.child, NULL) == TARN_OK);
    }
}

static void tear_down(bool has_copies)
{
    if (has_copies) {
        tarn_space_deinit(&it.child);
    }
    tarn_space_deinit(&it.space);
    for (size_t i = 0; i < 10; i++) {
        tarn_frames_release(&it.frames, it.singles[i], 1);
        tarn_frames_release(&it.frames, it.apart[i], 1);
    }
    HOLDS(tarn_frames_check(&it.frames, NULL, 0));
    HOLDS(tarn_frames_stats(&it.frames).used == 0);
    HOLDS(tarn_frames_stats(&it.frames).reserved == 0);
    tarn_frames_deinit(&it.frames);
}

/* What a line of /proc/self/maps says of an address: rights and place in the file. */
static void look_at_map(const void *address, char *access, uint64_t *offset)
{
    char line[512];
    FILE *file = fopen("/proc/self/maps", "r");
    HOLDS(file != NULL);
    strcpy(access, "none");
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long start;
        unsigned long end;
        unsigned long from;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s %lx", &start, &end, rights, &from) == 4 &&
            (uintptr_t)address >= start && (uintptr_t)address < end) {
            strcpy(access, rights);
            *offset = from + ((uintptr_t)address - start);
        }
    }
    fclose(file);
}

static void check_window(const unsigned char *window, uint64_t first, uint64_t count)
{
    for (uint64_t page = first; page < first + count; page++) {
        tarn_frame frame = 0;
        char access[5];
        uint64_t offset = 0;
        const unsigned bits = tarn_space_look(&it.space, page * PAGE, &frame);
        look_at_map(window + (page - first) * PAGE, access, &offset);
        if ((bits & TARN_PAGE_USER) == 0) {
            HOLDS(strcmp(access, "---p") == 0);
        } else {
            HOLDS(strcmp(access, (bits & TARN_PAGE_WRITABLE) != 0 ? "rw-s" : "r--s") == 0);
            HOLDS(offset == frame * PAGE);
        }
    }
}

static void check_scene(void)
{
    HOLDS(tarn_space_check(&it.space, NULL, 0));
    HOLDS(tarn_frames_check(&it.frames, NULL, 0));
    check_window(it.window, 0, WINDOW_PAGES);
    check_window(it.second, 16, 32);
}

/* ---- operations ---- */

typedef tarn_status operation(void);

static tarn_status map_new(void)
{
    return tarn_space_map(&it.space, 40 * PAGE, 8 * PAGE, &(tarn_map_options){.access = RW});
}

static tarn_status share_strangers(void)
{
    return tarn_space_share(&it.space, 36 * PAGE, &it.space, 24 * PAGE, 10 * PAGE, RW);
}

static tarn_status unmap_both(void)
{
    return tarn_space_unmap(&it.space, 4 * PAGE, 24 * PAGE);
}

static tarn_status protect_all(void)
{
    return tarn_space_protect(&it.space, 0, 20 * PAGE, RO);
}

static tarn_status show_all(void)
{
    return tarn_space_protect(&it.space, 2 * PAGE, 18 * PAGE, RW);
}

static tarn_status attach_third(void)
{
    void *third = NULL;
    const tarn_status status = tarn_space_attach(&it.space, 0, WINDOW_PAGES * PAGE, NULL, &third);
    tarn_space_detach(&it.space, status == TARN_OK ? third : NULL);
    return status;
}

static tarn_status fork_and_end(void)
{
    tarn_space second;
    const tarn_status status = tarn_space_fork(&it.space, &second, NULL);
    if (status == TARN_OK) {
        tarn_space_deinit(&second);
    }
    return status;
}

/* Pages that were copy on write get frames. */
static tarn_status write_all(void)
{
    for (uint64_t page = 0; page < 20; page++) {
        const tarn_fault fault = tarn_space_write(&it.space, page * PAGE, "w", 1, 0, NULL);
        if (fault == TARN_FAULT_NO_MEMORY) {
            return TARN_NO_MEMORY;
        }
        HOLDS(fault == TARN_FAULT_NONE || fault == TARN_FAULT_PROTECTION);
    }
    return TARN_OK;
}

/* A window of 16 TiB, nearly all of it empty: what is undone is not looked through page by page. */
static tarn_status change_far_apart(void)
{
    const uint64_t far = UINT64_C(1) << 43;
    void *window = NULL;
    tarn_status status = tarn_space_attach(&it.space, 0, 2 * far, NULL, &window);
    if (status != TARN_OK) {
        return status;
    }
    status = tarn_space_map(&it.space, far, PAGE, &(tarn_map_options){.access = RW});
    if (status == TARN_OK) {
        status = tarn_space_unmap(&it.space, 40 * PAGE, far);
    }
    if (status != TARN_OK && tarn_space_look(&it.space, far, NULL) != 0) {
        HOLDS(tarn_space_unmap(&it.space, far, PAGE) == TARN_OK);
    }
    HOLDS(((volatile unsigned char *)window)[4 * PAGE] == 5);
    tarn_space_detach(&it.space, window);
    return status;
}

static tarn_status make_ring(void)
{
    static tarn_ring ring;
    const tarn_status status =
        tarn_ring_init(&ring, &(tarn_ring_options){.size = 3 * PAGE, .frames = &it.frames});
    if (status == TARN_OK) {
        tarn_ring_deinit(&ring);
    }
    return status;
}

/* Refuses the n-th request of the operation, for each n that it gets to. */
static void refuse_each(operation *act, bool has_copies)
{
    bool was_refused = true;
    unsigned count = 0;
    for (unsigned nth = 1; was_refused; nth++) {
        set_up(has_copies);
        const tarn_frame_stats before = tarn_frames_stats(&it.frames);
        const tarn_page_stats pages = tarn_space_stats(&it.space);
        requests = 0;
        refuse_at = nth;
        const tarn_status status = act();
        was_refused = requests >= nth;
        refuse_at = 0;
        HOLDS(status == TARN_OK || (status == TARN_NO_MEMORY && was_refused));
        count += status != TARN_OK;
        if (status != TARN_OK && act != write_all) {
            const tarn_frame_stats after = tarn_frames_stats(&it.frames);
            const tarn_page_stats now = tarn_space_stats(&it.space);
            HOLDS(after.used == before.used && after.reserved == before.reserved);
            HOLDS(now.pages == pages.pages && now.copy_pages == pages.copy_pages);
            HOLDS(now.footprint >= pages.footprint && now.windows == pages.windows);
        }
        check_scene();
        /* What was refused once can be done now. */
        HOLDS(status == TARN_OK || act() == TARN_OK);
        check_scene();
        tear_down(has_copies);
    }
    require(count > 0, "no request was refused");
}

static void run_all(void)
{
    static operation *const operations[] = {map_new,   share_strangers, unmap_both, protect_all,
                                            show_all,  attach_third,    write_all,  fork_and_end,
                                            make_ring, change_far_apart};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        refuse_each(operations[i], operations[i] == write_all || operations[i] == protect_all);
    }
}

static void whichever_request_the_kernel_refuses_nothing_has_changed(void **state)
{
    (void)state;
    if (!IS_UNDER_NO_TOOL) {
        skip(); /* the tools' own requests would be refused, too */
    }
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        if (trap_requests()) {
            run_all();
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#else

static void whichever_request_the_kernel_refuses_nothing_has_changed(void **state)
{
    (void)state;
    skip(); /* written for one kind of processor */
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whichever_request_the_kernel_refuses_nothing_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
