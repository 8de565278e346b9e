/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Freezing pages, in one of two ways.
 *
 * By userfaultfd: the range is registered and write-protected there. A writer, in the program or in the kernel, sleeps
 * in its page fault until the range is woken; nobody has to read the descriptor for that. Other pages put in the place
 * of frozen ones (mremap, mmap) end the registration by themselves, and then the sleepers have only to be woken.
 *
 * By mprotect, where the kernel does not let the process have faults of the kernel's own: a handler of SIGSEGV waits
 * until the range thaws, and the instruction is tried again.
 */

/* Newer than some of the headers that this is built with. */
#define FEATURE_WP_UNPOPULATED ((uint64_t)1 << 13)

static _Atomic(int) faults = -1; /* the userfaultfd */
static _Atomic(os_freezer) freezer;
static bool has_unpopulated; /* pages that are not there yet can be frozen as well */

/* The frozen range, for the handler; a count that is odd while there is one, and that its waiters sleep on. */
static _Atomic(uintptr_t) frozen_start;
static _Atomic(uintptr_t) frozen_size;
static _Atomic(uint32_t) freezes;
static struct sigaction handler_before;

static const char faults_name[] = "anon_inode:[userfaultfd]";

/* A program may close a descriptor that it does not know, and open another file under its number. */
static bool is_ours(int descriptor)
{
    char path[48];
    char name[sizeof faults_name];
    if (descriptor < 0) {
        return false;
    }
    base_text text = base_text_in(path, sizeof path);
    base_text_add(&text, "/proc/thread-self/fd/");
    base_text_add_number(&text, (uint32_t)descriptor, 10);
    const ssize_t got = readlink(path, name, sizeof name);
    return got == (ssize_t)sizeof faults_name - 1 && memcmp(name, faults_name, (size_t)got) == 0;
}

static bool control(unsigned long request, void *argument)
{
    return ioctl(atomic_load_explicit(&faults, memory_order_relaxed), request, argument) == 0;
}

/* ---- by the kernel ---- */

static int open_faults(void)
{
    const int descriptor = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (descriptor >= 0) {
        return descriptor;
    }
    /* Since Linux 6.1 the device's permissions decide as well. */
    const int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        return -1;
    }
    const int made = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    (void)close(device);
    return made;
}

/* A descriptor with these features, or -1: the kernel lets each be asked once. */
static int open_with(uint64_t features)
{
    const int opened = open_faults();
    if (opened < 0) {
        return -1;
    }
    const int descriptor = os_descriptor_raise(opened);
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    if (ioctl(descriptor, UFFDIO_API, &api) != 0) {
        (void)close(descriptor);
        return -1;
    }
    return descriptor;
}

static bool prepare_kernel(void)
{
    /* Shared memory came with Linux 5.19, pages that were never touched with 6.4. */
    const uint64_t needed = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
    int descriptor = open_with(needed | FEATURE_WP_UNPOPULATED);
    has_unpopulated = descriptor >= 0;
    if (descriptor < 0) {
        descriptor = open_with(needed);
    }
    atomic_store_explicit(&faults, descriptor, memory_order_relaxed);
    return descriptor >= 0;
}

/* Private pages that were never touched become the kernel's page of zeros, which can be frozen. */
static void touch(uintptr_t start, size_t size)
{
    for (size_t offset = 0; offset < size; offset += os_page_size()) {
        (void)__atomic_load_n((const unsigned char *)(start + offset), __ATOMIC_RELAXED);
    }
}

static bool freeze_by_kernel(uintptr_t start, size_t size)
{
    if (!has_unpopulated) {
        touch(start, size);
    }
    struct uffdio_register registration = {.range = {.start = start, .len = size},
                                           .mode = UFFDIO_REGISTER_MODE_WP};
    if (!control(UFFDIO_REGISTER, &registration)) {
        return false;
    }
    struct uffdio_writeprotect protection = {.range = registration.range,
                                             .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    if (!control(UFFDIO_WRITEPROTECT, &protection)) {
        (void)control(UFFDIO_UNREGISTER, &registration.range);
        return false;
    }
    return true;
}

static void thaw_by_kernel(uintptr_t start, size_t size, bool replaced)
{
    struct uffdio_range range = {.start = start, .len = size};
    if (replaced) {
        (void)control(UFFDIO_WAKE, &range);
    } else {
        struct uffdio_writeprotect protection = {.range = range};
        (void)control(UFFDIO_WRITEPROTECT, &protection);
        (void)control(UFFDIO_UNREGISTER, &range);
    }
}

/* ---- by a signal ---- */

/* True if the word at `address` can be written; does so without changing it, and without a fault. */
static bool is_writable(uintptr_t address)
{
    uint32_t unused = 0;
    const uint32_t add_nothing = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0);
    return syscall(SYS_futex, &unused, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, NULL,
                   address & ~(uintptr_t)3, add_nothing) >= 0;
}

/* A fault that was none of ours goes to whom it would have gone without us. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    /* A handler that was put in our place before we were put before it may hand the fault back to us, with the same
     * siginfo, from deeper in the stack: then nobody wants it. */
    static _Atomic(uintptr_t) last_info;
    static _Atomic(uintptr_t) last_depth;
    const uintptr_t depth = (uintptr_t)__builtin_frame_address(0);
    const bool is_handed_back =
        atomic_load(&last_info) == (uintptr_t)info && depth < atomic_load(&last_depth);
    atomic_store(&last_info, (uintptr_t)info);
    atomic_store(&last_depth, depth);
    if (is_handed_back) {
        const struct sigaction standard = {.sa_handler = SIG_DFL};
        (void)sigaction(signal, &standard, NULL);
        return;
    }
    const struct sigaction action = handler_before;
    if ((action.sa_flags & (int)SA_RESETHAND) != 0) {
        handler_before = (struct sigaction){.sa_handler = SIG_DFL}; /* it wants one call */
    }
    if ((action.sa_flags & SA_NODEFER) == 0) {
        sigset_t itself;
        sigemptyset(&itself);
        sigaddset(&itself, signal);
        (void)sigprocmask(SIG_BLOCK, &itself, NULL);
    }
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        action.sa_sigaction(signal, info, context);
    } else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
        action.sa_handler(signal);
    } else {
        /* The instruction faults again, and now ends the process as it should. */
        const struct sigaction standard = {.sa_handler = SIG_DFL};
        (void)sigaction(signal, &standard, NULL);
    }
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    const int saved = errno;
    const uintptr_t address = (uintptr_t)info->si_addr;
    bool is_ours_to_mend = false;
    while (info->si_code == SEGV_ACCERR && !is_ours_to_mend) {
        const uint32_t count = atomic_load(&freezes);
        if ((count & 1) != 0 && address - atomic_load(&frozen_start) < atomic_load(&frozen_size)) {
            os_wait(&freezes, count, UINT64_MAX);
            is_ours_to_mend = true;
        } else if (is_writable(address)) {
            /* It has thawed meanwhile: the instruction will do at its next try. */
            is_ours_to_mend = true;
        } else if (atomic_load(&freezes) == count) {
            break;
        }
    }
    errno = saved;
    if (!is_ours_to_mend) {
        pass_on(signal, info, context);
    }
}

/* True if the text of /proc/PID/status says that the signal is blocked. */
static bool says_blocked(const char *text, int signal)
{
    const char *line = strstr(text, "SigBlk:");
    if (line == NULL) {
        return true;
    }
    uint64_t mask = 0;
    for (line += strlen("SigBlk:"); *line == '\t' || *line == ' '; line++) {
    }
    for (; (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'); line++) {
        mask = mask << 4 | (uint64_t)(*line <= '9' ? *line - '0' : *line - 'a' + 10);
    }
    return (mask >> (signal - 1) & 1) != 0;
}

static bool thread_blocks(const char *name, int signal)
{
    char path[64];
    char text[4096];
    int descriptor = -1;
    size_t got = 0;
    base_text file = base_text_in(path, sizeof path);
    base_text_add(&file, "/proc/self/task/");
    base_text_add(&file, name);
    base_text_add(&file, "/status");
    if (os_file_open(path, &descriptor) != 0) {
        return false; /* it has ended */
    }
    (void)os_file_read(descriptor, text, sizeof text - 1, &got);
    (void)os_file_close(descriptor);
    text[got] = '\0';
    return got > 0 && says_blocked(text, signal);
}

/* True if a thread, other than the calling one, blocks the signal: a fault would be its end, whatever the handler. */
static bool any_thread_blocks(int signal)
{
    _Alignas(uint64_t) char entries[2048];
    const pid_t self = (pid_t)syscall(SYS_gettid);
    const int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_blocked = folder < 0;
    long got = 0;
    while (!is_blocked && (got = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got && !is_blocked;) {
            /* An entry: inode and offset of 8 bytes each, its length of 2, a type of 1, the name. */
            uint16_t length = 0;
            memcpy(&length, entries + at + 16, sizeof length);
            const char *name = entries + at + 19;
            pid_t thread = 0;
            for (const char *digit = name; *digit >= '0' && *digit <= '9'; digit++) {
                thread = thread * 10 + (*digit - '0');
            }
            is_blocked = thread != 0 && thread != self && thread_blocks(name, signal);
            at += length;
        }
    }
    if (folder >= 0) {
        (void)close(folder);
    }
    return is_blocked;
}

/* The program may have put a handler of its own in our place. */
static bool install_handler(void)
{
    struct sigaction current;
    if (sigaction(SIGSEGV, NULL, &current) != 0) {
        return false;
    }
    if ((current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == on_fault) {
        return true;
    }
    handler_before = current;
    /* Who waits in the handler does not block the signal, and so does not look like a thread that always does. */
    struct sigaction ours = {.sa_sigaction = on_fault,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    ours.sa_mask = current.sa_mask;
    sigdelset(&ours.sa_mask, SIGSEGV);
    return sigaction(SIGSEGV, &ours, NULL) == 0;
}

/* ---- the contract ---- */

os_freezer os_freezer_prepare(void)
{
    const int saved = errno;
    freezer = prepare_kernel() ? OS_FREEZER_KERNEL : OS_FREEZER_SIGNAL;
    if (freezer == OS_FREEZER_SIGNAL && (any_thread_blocks(SIGSEGV) || !install_handler())) {
        freezer = OS_FREEZER_NONE;
    }
    errno = saved;
    return freezer;
}

void os_freezer_finish(void)
{
    const int saved = errno;
    const int descriptor = atomic_exchange_explicit(&faults, -1, memory_order_relaxed);
    if (is_ours(descriptor)) {
        (void)close(descriptor);
    }
    errno = saved;
}

os_freezer os_freezer_used(void)
{
    return freezer;
}

bool os_pages_freeze(void *start, size_t size)
{
    const int saved = errno;
    bool done = false;
    if (freezer == OS_FREEZER_KERNEL) {
        done = freeze_by_kernel((uintptr_t)start, size);
    } else if (freezer == OS_FREEZER_SIGNAL) {
        atomic_store(&frozen_start, (uintptr_t)start);
        atomic_store(&frozen_size, size);
        atomic_fetch_add(&freezes, 1);
        done = os_pages_set_access(start, size, OS_READ) == 0;
        if (!done) {
            atomic_fetch_add(&freezes, 1);
            os_wake(&freezes, INT32_MAX);
        }
    }
    errno = saved;
    return done;
}

void os_pages_thaw(void *start, size_t size, bool replaced)
{
    const int saved = errno;
    if (freezer == OS_FREEZER_KERNEL) {
        thaw_by_kernel((uintptr_t)start, size, replaced);
    } else if (freezer == OS_FREEZER_SIGNAL) {
        if (!replaced) {
            (void)os_pages_set_access(start, size, OS_READ | OS_WRITE);
        }
        atomic_fetch_add(&freezes, 1);
        os_wake(&freezes, INT32_MAX);
    }
    errno = saved;
}
