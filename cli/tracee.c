/* SPDX-License-Identifier: MIT */
#include "tracee.h"

#include "cli.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * Threads are seized, which they do not notice, and interrupted. A thread that is about to get a signal stops
 * for that first: it is kept, and the thread gets it when it goes on.
 *
 * The kernel takes up again a system call that was interrupted by a stop when it sees the registers that the
 * stop left; so they are put back whole after a call. A few it does not take up, but ends early: those are begun
 * anew.
 *
 * Nothing is waited for without end while the process stands still: a thread may be where no stop reaches it, such as
 * in vfork().
 */

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

enum {
    STOP_MS = 300,       /* that the others stand still for one that does not stop */
    STOP_PAUSE_MS = 300, /* that they then run before the next try */
    STOP_ALL_MS = 30000,
    CALL_MS = 5000, /* until it is said that a call does not come back */
    NAP_US = 100
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void rest_us(long microseconds)
{
    const struct timespec pause = {.tv_sec = microseconds / 1000000,
                                   .tv_nsec = microseconds % 1000000 * 1000};
    nanosleep(&pause, NULL);
}

/* -------------------------------------------------------------------------------------------------
 * Registers.
 */
#if defined(__x86_64__)

static bool get_registers(pid_t id, struct user_regs_struct *registers)
{
    struct iovec part = {.iov_base = registers, .iov_len = sizeof *registers};
    return ptrace(PTRACE_GETREGSET, id, (void *)NT_PRSTATUS, &part) == 0;
}

static bool set_registers(pid_t id, struct user_regs_struct *registers)
{
    struct iovec part = {.iov_base = registers, .iov_len = sizeof *registers};
    return ptrace(PTRACE_SETREGSET, id, (void *)NT_PRSTATUS, &part) == 0;
}

bool cli_tracee_registers(const cli_tracee_thread *thread, uint64_t registers[CLI_TRACEE_REGISTERS])
{
    struct user_regs_struct all;
    if (!get_registers(thread->id, &all)) {
        return false;
    }
    const uint64_t ordered[CLI_TRACEE_REGISTERS] = {
        all.rax, all.rdx, all.rcx, all.rbx, all.rsi, all.rdi, all.rbp, all.rsp, all.r8,
        all.r9,  all.r10, all.r11, all.r12, all.r13, all.r14, all.r15, all.rip,
    };
    memcpy(registers, ordered, sizeof ordered);
    return true;
}

bool cli_tracee_place(const cli_tracee_thread *thread, uint64_t *code, uint64_t *stack)
{
    struct user_regs_struct registers;
    const bool is_known = get_registers(thread->id, &registers);
    *code = is_known ? registers.rip : 0;
    *stack = is_known ? registers.rsp : 0;
    return is_known;
}

/* Calls of the kernel in which threads wait for the outside, or for each other by way of conditions, joins and
 * semaphores: not for a lock of libc's, which is FUTEX_WAIT. */
static bool is_wait(const struct user_regs_struct *registers)
{
    enum { FUTEX_OPERATION = 0x7f, FUTEX_WAIT_BITSET = 9 };
    switch (registers->orig_rax) {
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case 441: /* epoll_pwait2 */
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_restart_syscall: /* one that has a time limit, for the second time */
    case SYS_wait4:
    case SYS_waitid:
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_msgrcv:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_io_getevents:
    case SYS_flock:
        return true;
    case SYS_futex:
        return (registers->rsi & FUTEX_OPERATION) == FUTEX_WAIT_BITSET;
    default:
        return false;
    }
}

/* Calls that a stop ends with EINTR, where the kernel takes up all others: see signal(7). */
static bool ends_early(const struct user_regs_struct *registers)
{
    switch (registers->orig_rax) {
    case SYS_read: /* of a socket with a time limit, as the next ones */
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case 441: /* epoll_pwait2 */
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_rt_sigtimedwait:
    case SYS_io_getevents:
        return true;
    default:
        return false;
    }
}

/* A signal for the thread explains why a call ended early, and the program is to see that. */
static bool has_signal_waiting(pid_t process, pid_t thread)
{
    uint64_t own = 0;
    uint64_t shared = 0;
    uint64_t blocked = 0;
    return !cli_process_status(process, thread, "SigPnd", 16, &own) ||
           !cli_process_status(process, thread, "ShdPnd", 16, &shared) ||
           !cli_process_status(process, thread, "SigBlk", 16, &blocked) ||
           ((own | shared) & ~blocked) != 0;
}

/* Finds out whether the thread waits in the kernel, after a stop that was none of the program's. */
static void note_call(const cli_tracee *tracee, cli_tracee_thread *thread)
{
    enum { RESTART_LAST = -516, RESTART_FIRST = -512, CALL_SIZE = 2 };
    struct user_regs_struct registers;
    thread->call = -1;
    if (!get_registers(thread->id, &registers) || (int64_t)registers.orig_rax < 0) {
        return;
    }
    const int64_t result = (int64_t)registers.rax;
    unsigned char code[CALL_SIZE];
    if (result == -EINTR && ends_early(&registers) &&
        cli_process_read(tracee->process, registers.rip - CALL_SIZE, code, sizeof code) &&
        code[0] == 0x0f && code[1] == 0x05 &&
        !has_signal_waiting(tracee->process->id, thread->id)) {
        thread->call = is_wait(&registers) ? (int)registers.orig_rax : -1;
        registers.rax = registers.orig_rax;
        registers.orig_rax = UINT64_MAX;
        registers.rip -= CALL_SIZE;
        set_registers(thread->id, &registers);
    } else if (result >= RESTART_LAST && result <= RESTART_FIRST && is_wait(&registers)) {
        thread->call = (int)registers.orig_rax;
    }
}

#else

static void note_call(const cli_tracee *tracee, cli_tracee_thread *thread)
{
    (void)tracee;
    thread->call = -1;
}

bool cli_tracee_registers(const cli_tracee_thread *thread, uint64_t registers[CLI_TRACEE_REGISTERS])
{
    (void)thread;
    memset(registers, 0, CLI_TRACEE_REGISTERS * sizeof *registers);
    return false;
}

bool cli_tracee_place(const cli_tracee_thread *thread, uint64_t *code, uint64_t *stack)
{
    (void)thread;
    *code = 0;
    *stack = 0;
    return false;
}

#endif

/* -------------------------------------------------------------------------------------------------
 * Threads.
 */
static cli_tracee_thread *find(const cli_tracee *tracee, pid_t id)
{
    for (size_t i = 0; i < tracee->count; i++) {
        if (tracee->threads[i].id == id) {
            return &tracee->threads[i];
        }
    }
    return NULL;
}

/* The thread is no more. What it was about to get is the process's again. */
static void forget(cli_tracee *tracee, cli_tracee_thread *thread)
{
    if (thread->signal != 0) {
        syscall(SYS_pidfd_send_signal, tracee->process->handle, thread->signal, NULL, 0);
    }
    *thread = tracee->threads[--tracee->count];
}

static cli_tracee_thread *add(cli_tracee *tracee, pid_t id)
{
    if (tracee->count == tracee->room) {
        tracee->room = tracee->room != 0 ? tracee->room * 2 : 16;
        tracee->threads = realloc(tracee->threads, tracee->room * sizeof *tracee->threads);
        if (tracee->threads == NULL) {
            cli_fail_errno("no memory for the threads of process %ld", (long)tracee->process->id);
        }
    }
    tracee->threads[tracee->count] = (cli_tracee_thread){.id = id, .call = -1};
    return &tracee->threads[tracee->count++];
}

static bool is_dead(pid_t process, pid_t id)
{
    const char state = cli_process_state(process, id);
    return state == 0 || state == 'Z' || state == 'X';
}

static bool say_not_seized(const cli_tracee *tracee, int error)
{
    const pid_t id = tracee->process->id;
    uint64_t other = 0;
    cli_process_status(id, id, "TracerPid", 10, &other);
    if (error == ESRCH) {
        cli_error("process %ld has ended", (long)id);
    } else if (other > 0) {
        cli_error("process %ld is traced by process %llu, and a process can have but one tracer; "
                  "end that first",
                  (long)id, (unsigned long long)other);
    } else {
        cli_error("process %ld may not be traced: %s; be its user or root, and see ptrace_scope in "
                  "ptrace(2)",
                  (long)id, strerror(error));
    }
    return false;
}

/* Seizes the threads that are not yet known. False, said, if that may not be; `count` of them are new. */
static bool seize_new(cli_tracee *tracee, size_t *count)
{
    const pid_t process = tracee->process->id;
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/task", (long)process);
    *count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return say_not_seized(tracee, ESRCH);
    }
    const struct dirent *entry;
    bool is_sound = true;
    while (is_sound && (entry = readdir(folder)) != NULL) {
        const pid_t id = (pid_t)strtol(entry->d_name, NULL, 10);
        if (id <= 0 || find(tracee, id) != NULL) {
            continue;
        }
        if (ptrace(PTRACE_SEIZE, id, NULL, (void *)(intptr_t)PTRACE_O_TRACEEXEC) == 0) {
            add(tracee, id);
            (*count)++;
        } else if (errno != ESRCH && !is_dead(process, id)) {
            is_sound = say_not_seized(tracee, errno);
        }
    }
    closedir(folder);
    return is_sound;
}

/* -------------------------------------------------------------------------------------------------
 * Reports: what waitpid(2) says of the threads.
 */

/* Of the threads only the first is left, and it is another program's. */
static void note_exec(cli_tracee *tracee, pid_t id)
{
    tracee->has_executed = true;
    for (size_t i = tracee->count; i-- > 0;) {
        if (tracee->threads[i].id != id) {
            forget(tracee, &tracee->threads[i]);
        }
    }
    cli_tracee_thread *thread = find(tracee, id);
    thread = thread != NULL ? thread : add(tracee, id);
    thread->is_stopped = true;
    thread->is_suspended = false;
}

static void note_report(cli_tracee *tracee, pid_t id, int status)
{
    cli_tracee_thread *thread = find(tracee, id);
    const int event = status >> 16;
    if (WIFSTOPPED(status) && event == PTRACE_EVENT_EXEC) {
        note_exec(tracee, id);
    } else if (WIFSTOPPED(status) && thread != NULL) {
        const bool is_event = event == PTRACE_EVENT_STOP;
        thread->is_stopped = true;
        thread->is_suspended = is_event && WSTOPSIG(status) != SIGTRAP;
        thread->signal = is_event ? 0 : WSTOPSIG(status);
        thread->call = -1;
        thread->is_interrupted = thread->is_interrupted && !is_event;
        if (is_event && !thread->is_suspended) {
            note_call(tracee, thread);
        }
    } else if (!WIFSTOPPED(status) && thread != NULL) {
        forget(tracee, thread);
    }
}

/* Takes the reports that are there. False: there are none. */
static bool take_reports(cli_tracee *tracee)
{
    bool is_any = false;
    int status;
    pid_t id;
    while ((id = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
        note_report(tracee, id, status);
        is_any = true;
    }
    return is_any;
}

static void let_go(cli_tracee_thread *thread)
{
    if (thread->is_suspended) {
        ptrace(PTRACE_LISTEN, thread->id, NULL, NULL);
    } else {
        ptrace(PTRACE_CONT, thread->id, NULL, (void *)(intptr_t)thread->signal);
    }
    thread->signal = 0;
    thread->is_stopped = false;
}

static void let_all_go(cli_tracee *tracee)
{
    for (size_t i = 0; i < tracee->count && !tracee->has_executed; i++) {
        if (tracee->threads[i].is_stopped) {
            let_go(&tracee->threads[i]);
        }
    }
}

/* A thread that stopped for a signal stops once more for what interrupted it: it is not to stand there meanwhile. */
static void run(cli_tracee *tracee, unsigned milliseconds)
{
    const uint64_t end = now_ms() + milliseconds;
    do {
        let_all_go(tracee);
        if (!take_reports(tracee)) {
            rest_us(NAP_US);
        }
    } while (now_ms() < end && !tracee->has_executed);
    let_all_go(tracee);
}

/* -------------------------------------------------------------------------------------------------
 * Stopping.
 */

/* A thread that does not stand still; NULL: all do. */
static cli_tracee_thread *find_running(const cli_tracee *tracee)
{
    for (size_t i = 0; i < tracee->count; i++) {
        if (!tracee->threads[i].is_stopped) {
            return &tracee->threads[i];
        }
    }
    return NULL;
}

/* The first thread, when it ends before others, says nothing of it. */
static void forget_dead(cli_tracee *tracee)
{
    for (size_t i = tracee->count; i-- > 0;) {
        cli_tracee_thread *thread = &tracee->threads[i];
        if (!thread->is_stopped && is_dead(tracee->process->id, thread->id)) {
            forget(tracee, thread);
        }
    }
}

/* Interrupts the known threads, and waits for them until `end`. False: one of them does not stop. */
static bool interrupt_known(cli_tracee *tracee, uint64_t end)
{
    for (size_t i = tracee->count; i-- > 0;) {
        cli_tracee_thread *thread = &tracee->threads[i];
        if (!thread->is_stopped && !thread->is_interrupted) {
            thread->is_interrupted = ptrace(PTRACE_INTERRUPT, thread->id, NULL, NULL) == 0;
        }
    }
    for (unsigned i = 1; find_running(tracee) != NULL; i++) {
        if (take_reports(tracee)) {
            continue;
        }
        if (i % 64 == 0) {
            forget_dead(tracee);
        }
        if (now_ms() >= end) {
            return false;
        }
        rest_us(NAP_US);
    }
    return true;
}

/* Stops all, at most until `end`. False: one does not stop, or, said, `may_be` is false. */
static bool try_to_stop(cli_tracee *tracee, uint64_t end, bool *may_be)
{
    size_t count;
    do {
        *may_be = seize_new(tracee, &count);
        if (!*may_be || !interrupt_known(tracee, end)) {
            return false;
        }
        /* Threads that are stopped start no others. */
    } while (count != 0 && !tracee->has_executed);
    return true;
}

/* The number may be another process's by now, and the process another program's. */
static bool is_still_the_same(cli_tracee *tracee)
{
    const long id = (long)tracee->process->id;
    if (cli_process_has_ended(tracee->process) || tracee->count == 0) {
        cli_error("process %ld has ended", id);
        return false;
    }
    tracee->has_executed = tracee->has_executed || cli_process_has_executed(tracee->process);
    if (tracee->has_executed) {
        cli_error("process %ld has executed another program", id);
    }
    return !tracee->has_executed;
}

bool cli_tracee_stop(cli_tracee *tracee)
{
    const uint64_t end = now_ms() + STOP_ALL_MS;
    bool may_be;
    while (!try_to_stop(tracee, now_ms() + STOP_MS, &may_be)) {
        if (!may_be) {
            return false;
        }
        const cli_tracee_thread *running = find_running(tracee);
        if (now_ms() >= end && running != NULL) {
            cli_error("thread %ld of process %ld cannot be stopped: it is %s; try again later",
                      (long)running->id, (long)tracee->process->id,
                      cli_process_place(tracee->process->id, running->id));
            return false;
        }
        run(tracee, STOP_PAUSE_MS);
    }
    return is_still_the_same(tracee);
}

bool cli_tracee_pass(cli_tracee *tracee, unsigned milliseconds)
{
    run(tracee, milliseconds);
    return cli_tracee_stop(tracee);
}

bool cli_tracee_open(cli_tracee *tracee, const cli_process *process)
{
    *tracee = (cli_tracee){.process = process};
    if (!cli_tracee_stop(tracee)) {
        cli_tracee_close(tracee);
        return false;
    }
    return true;
}

void cli_tracee_close(cli_tracee *tracee)
{
    /* One that cannot be stopped, which was said, is let go by the kernel when `tarn` ends. */
    interrupt_known(tracee, now_ms() + STOP_MS);
    for (size_t i = tracee->count; i-- > 0;) {
        const cli_tracee_thread *thread = &tracee->threads[i];
        if (thread->is_stopped) {
            ptrace(PTRACE_DETACH, thread->id, NULL, (void *)(intptr_t)thread->signal);
        }
    }
    free(tracee->threads);
    *tracee = (cli_tracee){.process = tracee->process};
}

#if defined(__x86_64__)

/* -------------------------------------------------------------------------------------------------
 * Calls.
 */
enum { RED_ZONE = 128, TEXT_MAX = 4096, XSTATE_MAX = 1 << 14, KEPT_MAX = 64 };

typedef struct tracee_state {
    struct user_regs_struct registers;
    size_t xstate_size;
    uint64_t signals; /* that are blocked */
    unsigned char xstate[XSTATE_MAX];
} tracee_state;

/* What a thread that is in a call is to get when it is itself again. */
typedef struct tracee_kept {
    size_t count;
    int signals[KEPT_MAX];
} tracee_kept;

static void keep(tracee_kept *kept, cli_tracee_thread *thread)
{
    if (thread->signal != 0 && kept->count < KEPT_MAX) {
        kept->signals[kept->count++] = thread->signal;
    }
    thread->signal = 0;
}

static bool save_state(pid_t id, tracee_state *state)
{
    struct iovec part = {.iov_base = state->xstate, .iov_len = sizeof state->xstate};
    if (!get_registers(id, &state->registers) ||
        ptrace(PTRACE_GETREGSET, id, (void *)NT_X86_XSTATE, &part) != 0 ||
        ptrace(PTRACE_GETSIGMASK, id, (void *)sizeof state->signals, &state->signals) != 0) {
        return false;
    }
    state->xstate_size = part.iov_len;
    return true;
}

static void restore_state(pid_t id, tracee_state *state)
{
    struct iovec part = {.iov_base = state->xstate, .iov_len = state->xstate_size};
    ptrace(PTRACE_SETREGSET, id, (void *)NT_X86_XSTATE, &part);
    ptrace(PTRACE_SETSIGMASK, id, (void *)sizeof state->signals, &state->signals);
    set_registers(id, &state->registers);
}

static bool is_fault(int signal)
{
    return signal == SIGTRAP || signal == SIGSEGV || signal == SIGBUS || signal == SIGILL ||
           signal == SIGFPE;
}

/* Faults are for us to see; the program's handlers are not to run in the middle. */
static void block_signals(pid_t id)
{
    uint64_t signals = UINT64_MAX;
    for (int i = 1; i <= 64; i++) {
        signals &= is_fault(i) ? ~(UINT64_C(1) << (unsigned)(i - 1)) : UINT64_MAX;
    }
    ptrace(PTRACE_SETSIGMASK, id, (void *)sizeof signals, &signals);
}

/* Puts texts and the return address on the stack. */
static bool prepare_call(const cli_tracee *tracee, struct user_regs_struct *registers,
                         const cli_tracee_call *call)
{
    uint64_t numbers[CLI_TRACEE_ARGUMENTS];
    uint64_t stack = call->stack != 0 ? call->stack : registers->rsp - RED_ZONE;
    for (unsigned i = 0; i < CLI_TRACEE_ARGUMENTS; i++) {
        const char *text = call->arguments[i].text;
        numbers[i] = call->arguments[i].number;
        if (text != NULL) {
            const size_t size = strlen(text) + 1;
            stack -= size;
            numbers[i] = stack;
            if (size > TEXT_MAX || !cli_process_write(tracee->process, stack, text, size)) {
                return false;
            }
        }
    }
    stack = (stack & ~UINT64_C(15)) - 8;
    registers->rip = call->function;
    registers->rsp = stack;
    registers->rdi = numbers[0];
    registers->rsi = numbers[1];
    registers->rdx = numbers[2];
    registers->rcx = numbers[3];
    registers->r8 = numbers[4];
    registers->r9 = numbers[5];
    registers->rax = 0;
    registers->orig_rax = UINT64_MAX;      /* no system call to be taken up */
    registers->eflags &= ~UINT64_C(0x500); /* neither backwards nor step by step */
    return cli_process_write(tracee->process, stack, &call->trap, sizeof call->trap);
}

/* True if the fault that the thread is stopped for is its own, not a signal that somebody sent. */
static bool has_faulted(const cli_tracee_thread *thread)
{
    siginfo_t info = {0};
    return is_fault(thread->signal) && ptrace(PTRACE_GETSIGINFO, thread->id, NULL, &info) == 0 &&
           info.si_code > 0;
}

/* That the user asks for the end is seen without taking the request, which others wait for. */
static bool is_end_asked_for(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
           sigismember(&pending, SIGHUP) == 1;
}

typedef struct tracee_patience {
    uint64_t end;
    bool is_over;
    bool has_refused; /* to end */
} tracee_patience;

static void say_waiting(const cli_tracee *tracee, pid_t id, tracee_patience *patience)
{
    const long process = (long)tracee->process->id;
    if (!patience->is_over && now_ms() >= patience->end) {
        patience->is_over = true;
        cli_note("process %ld takes long to load the recorder: its thread %ld is %s", process,
                 (long)id, cli_process_place(tracee->process->id, id));
    }
    if (patience->is_over && !patience->has_refused && is_end_asked_for()) {
        patience->has_refused = true;
        cli_note(
            "this cannot be ended before thread %ld of process %ld is back, which then goes on "
            "as before",
            (long)id, process);
    }
}

/* Waits until the thread is at the trap; the others run, and come and go. False: it is not, and never will be. */
static bool wait_for_trap(cli_tracee *tracee, pid_t id, uint64_t trap, tracee_kept *kept,
                          struct user_regs_struct *registers)
{
    tracee_patience patience = {.end = now_ms() + CALL_MS};
    for (unsigned naps = 1; !tracee->has_executed && find(tracee, id) != NULL;) {
        if (!take_reports(tracee)) {
            if (naps++ % 64 == 0) {
                say_waiting(tracee, id, &patience);
                forget_dead(tracee);
            }
            rest_us(NAP_US);
            continue;
        }
        for (size_t i = 0; i < tracee->count && !tracee->has_executed; i++) {
            cli_tracee_thread *thread = &tracee->threads[i];
            if (!thread->is_stopped) {
                continue;
            }
            if (thread->id == id && has_faulted(thread)) {
                thread->signal = 0;
                return get_registers(id, registers) && registers->rip == trap + 1;
            }
            if (thread->id == id) {
                keep(kept, thread);
                thread->is_suspended = false;
            }
            let_go(thread);
        }
    }
    return false;
}

static bool say_not_back(const cli_tracee *tracee, pid_t id)
{
    const long process = (long)tracee->process->id;
    if (tracee->has_executed) {
        cli_error("process %ld has executed another program", process);
    } else if (tracee->count == 0 || cli_process_has_ended(tracee->process)) {
        cli_error("process %ld has ended", process);
    } else {
        cli_error("thread %ld of process %ld did not come back from a call", (long)id, process);
    }
    return false;
}

bool cli_tracee_have_call(cli_tracee *tracee, pid_t id, const cli_tracee_call *call,
                          uint64_t *result)
{
    cli_tracee_thread *thread = find(tracee, id);
    tracee_state state = {.xstate_size = 0};
    tracee_kept kept = {.count = 0};
    if (thread == NULL || !save_state(id, &state)) {
        cli_error("thread %ld of process %ld has ended", (long)id, (long)tracee->process->id);
        return false;
    }
    struct user_regs_struct registers = state.registers;
    if (!prepare_call(tracee, &registers, call)) {
        cli_error("the stack of thread %ld cannot be written", (long)id);
        return false;
    }
    keep(&kept, thread);
    block_signals(id);
    set_registers(id, &registers);
    let_all_go(tracee);
    const bool is_back = wait_for_trap(tracee, id, call->trap, &kept, &registers);
    /* What has executed another program has the number of this thread, perhaps, but not its registers. */
    if (!tracee->has_executed && find(tracee, id) != NULL) {
        restore_state(id, &state);
    }
    for (size_t i = 0; i < kept.count; i++) {
        if (syscall(SYS_tgkill, tracee->process->id, id, kept.signals[i]) != 0) {
            syscall(SYS_pidfd_send_signal, tracee->process->handle, kept.signals[i], NULL, 0);
        }
    }
    if (!is_back) {
        return say_not_back(tracee, id);
    }
    *result = registers.rax;
    return cli_tracee_stop(tracee);
}

bool cli_tracee_is_supported(void)
{
    return true;
}

#else

bool cli_tracee_is_supported(void)
{
    return false;
}

bool cli_tracee_have_call(cli_tracee *tracee, pid_t id, const cli_tracee_call *call,
                          uint64_t *result)
{
    (void)tracee;
    (void)id;
    (void)call;
    (void)result;
    return false;
}

#endif
