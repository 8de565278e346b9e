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
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Threads are seized, which they do not notice, and interrupted. A thread that is about to get a signal stops
 * for that first: it is kept, and the thread gets it when it goes on.
 *
 * The kernel takes up again a system call that was interrupted by a stop when it sees the registers that the
 * stop left; so they are put back whole after a call.
 */

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

static bool refuse(cli_tracee *tracee, const char *text)
{
    cli_error("%s", text);
    cli_tracee_close(tracee);
    return false;
}

/* -------------------------------------------------------------------------------------------------
 * What /proc says.
 */

/* The value of a line of /proc/PROCESS/status, or -1. */
static long read_status(pid_t process, const char *name)
{
    char line[256];
    snprintf(line, sizeof line, "/proc/%ld/status", (long)process);
    FILE *file = fopen(line, "re");
    long value = -1;
    const size_t size = strlen(name);
    while (file != NULL && value < 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, size) == 0 && line[size] == ':') {
            value = strtol(line + size + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return value;
}

/* A thread that has ended and is still listed, as the first one is when it ended before others. */
static bool is_dead(pid_t process, pid_t id)
{
    char path[96];
    char text[512];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", (long)process, (long)id);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    if (got <= 0) {
        return true;
    }
    text[got] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && (name_end[2] == 'Z' || name_end[2] == 'X');
}

/* -------------------------------------------------------------------------------------------------
 * Threads.
 */
static void forget(cli_tracee *tracee, size_t index)
{
    tracee->threads[index] = tracee->threads[--tracee->count];
}

static bool is_known(const cli_tracee *tracee, pid_t id)
{
    for (size_t i = 0; i < tracee->count; i++) {
        if (tracee->threads[i].id == id) {
            return true;
        }
    }
    return false;
}

static void add(cli_tracee *tracee, pid_t id)
{
    if (tracee->count == tracee->room) {
        tracee->room = tracee->room != 0 ? tracee->room * 2 : 16;
        tracee->threads = realloc(tracee->threads, tracee->room * sizeof *tracee->threads);
        if (tracee->threads == NULL) {
            cli_fail_errno("no memory for the threads of process %ld", (long)tracee->process);
        }
    }
    tracee->threads[tracee->count++] = (cli_tracee_thread){.id = id};
}

static bool say_not_seized(const cli_tracee *tracee, int error)
{
    const long process = (long)tracee->process;
    const long other = read_status(tracee->process, "TracerPid");
    if (error == ESRCH) {
        cli_error("there is no process %ld", process);
    } else if (other > 0) {
        cli_error("process %ld is traced by process %ld, and a process can have but one tracer; "
                  "end that first",
                  process, other);
    } else {
        cli_error("process %ld may not be traced: %s; be its user or root, and see ptrace_scope in "
                  "ptrace(2)",
                  process, strerror(error));
    }
    return false;
}

/* Seizes the threads that are not yet known. False, said, if that may not be; `count` of them are new. */
static bool seize_new(cli_tracee *tracee, size_t *count)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/task", (long)tracee->process);
    *count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return say_not_seized(tracee, ESRCH);
    }
    const struct dirent *entry;
    bool is_sound = true;
    while (is_sound && (entry = readdir(folder)) != NULL) {
        const pid_t id = (pid_t)strtol(entry->d_name, NULL, 10);
        if (id <= 0 || is_known(tracee, id)) {
            continue;
        }
        if (ptrace(PTRACE_SEIZE, id, NULL, NULL) == 0) {
            add(tracee, id);
            (*count)++;
        } else if (errno != ESRCH && !is_dead(tracee->process, id)) {
            is_sound = say_not_seized(tracee, errno);
        }
    }
    closedir(folder);
    return is_sound;
}

/* What waitpid(2) said about the thread. False: it has ended. */
static bool note_stop(cli_tracee_thread *thread, int status)
{
    if (!WIFSTOPPED(status)) {
        return false;
    }
    const bool is_event = status >> 16 == PTRACE_EVENT_STOP;
    thread->is_stopped = true;
    thread->is_suspended = is_event && WSTOPSIG(status) != SIGTRAP;
    if (!is_event) {
        thread->signal = WSTOPSIG(status);
    }
    return true;
}

static bool wait_for_stop(cli_tracee_thread *thread)
{
    int status;
    pid_t got;
    do {
        got = waitpid(thread->id, &status, __WALL);
    } while (got < 0 && errno == EINTR);
    return got == thread->id && note_stop(thread, status);
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

bool cli_tracee_stop(cli_tracee *tracee)
{
    for (;;) {
        size_t count;
        if (!seize_new(tracee, &count)) {
            return false;
        }
        for (size_t i = 0; i < tracee->count; i++) {
            if (!tracee->threads[i].is_stopped) {
                ptrace(PTRACE_INTERRUPT, tracee->threads[i].id, NULL, NULL);
            }
        }
        for (size_t i = tracee->count; i-- > 0;) {
            if (!tracee->threads[i].is_stopped && !wait_for_stop(&tracee->threads[i])) {
                forget(tracee, i);
            }
        }
        /* Threads that are stopped start no others. */
        if (count == 0) {
            break;
        }
    }
    if (tracee->count == 0) {
        cli_error("process %ld has ended", (long)tracee->process);
    }
    return tracee->count > 0;
}

void cli_tracee_go(cli_tracee *tracee)
{
    for (size_t i = 0; i < tracee->count; i++) {
        if (tracee->threads[i].is_stopped) {
            let_go(&tracee->threads[i]);
        }
    }
}

bool cli_tracee_open(cli_tracee *tracee, pid_t process)
{
    *tracee = (cli_tracee){.process = process, .memory = -1};
    char path[64];
    if (!cli_tracee_stop(tracee)) {
        cli_tracee_close(tracee);
        return false;
    }
    snprintf(path, sizeof path, "/proc/%ld/mem", (long)process);
    tracee->memory = open(path, O_RDWR | O_CLOEXEC);
    if (tracee->memory < 0) {
        return refuse(tracee, cli_format("the memory of process %ld cannot be opened: %s",
                                         (long)process, strerror(errno)));
    }
    return true;
}

void cli_tracee_close(cli_tracee *tracee)
{
    for (size_t i = 0; i < tracee->count; i++) {
        cli_tracee_thread *thread = &tracee->threads[i];
        if (!thread->is_stopped) {
            ptrace(PTRACE_INTERRUPT, thread->id, NULL, NULL);
        }
        if (thread->is_stopped || wait_for_stop(thread)) {
            ptrace(PTRACE_DETACH, thread->id, NULL, (void *)(intptr_t)thread->signal);
        }
    }
    if (tracee->memory >= 0) {
        close(tracee->memory);
    }
    free(tracee->threads);
    *tracee = (cli_tracee){.memory = -1};
}

bool cli_tracee_read(const cli_tracee *tracee, uint64_t address, void *bytes, size_t size)
{
    return pread(tracee->memory, bytes, size, (off_t)address) == (ssize_t)size;
}

bool cli_tracee_write(const cli_tracee *tracee, uint64_t address, const void *bytes, size_t size)
{
    return pwrite(tracee->memory, bytes, size, (off_t)address) == (ssize_t)size;
}

#if defined(__x86_64__)

/* -------------------------------------------------------------------------------------------------
 * Calls.
 */
enum { RED_ZONE = 128, TEXT_MAX = 4096, XSTATE_MAX = 1 << 14 };

typedef struct tracee_state {
    struct user_regs_struct registers;
    size_t xstate_size;
    uint64_t signals; /* that are blocked */
    unsigned char xstate[XSTATE_MAX];
} tracee_state;

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

/* Faults are for us to see; the program's handlers are not to run in the middle. */
static void block_signals(pid_t id)
{
    static const int faults[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    uint64_t signals = UINT64_MAX;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        signals &= ~(UINT64_C(1) << (unsigned)(faults[i] - 1));
    }
    ptrace(PTRACE_SETSIGMASK, id, (void *)sizeof signals, &signals);
}

/* Puts arguments and return address on the stack, below what the thread has there. */
static bool prepare_call(const cli_tracee *tracee, struct user_regs_struct *registers,
                         const cli_tracee_argument arguments[2], uint64_t trap)
{
    uint64_t numbers[2];
    uint64_t stack = registers->rsp - RED_ZONE;
    for (unsigned i = 0; i < 2; i++) {
        const char *text = arguments[i].text;
        numbers[i] = arguments[i].number;
        if (text != NULL) {
            const size_t size = strlen(text) + 1;
            stack -= size;
            numbers[i] = stack;
            if (size > TEXT_MAX || !cli_tracee_write(tracee, stack, text, size)) {
                return false;
            }
        }
    }
    stack = (stack & ~UINT64_C(15)) - 8;
    registers->rsp = stack;
    registers->rdi = numbers[0];
    registers->rsi = numbers[1];
    registers->rax = 0;
    registers->orig_rax = UINT64_MAX;      /* no system call to be taken up */
    registers->eflags &= ~UINT64_C(0x500); /* neither backwards nor step by step */
    return cli_tracee_write(tracee, stack, &trap, sizeof trap);
}

/* Waits until the thread is at the trap; others come and go meanwhile. */
static bool wait_for_trap(cli_tracee *tracee, pid_t id, uint64_t trap,
                          struct user_regs_struct *registers)
{
    int kept = 0; /* what the thread is to get when it is itself again */
    for (;;) {
        int status;
        const pid_t got = waitpid(-1, &status, __WALL);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        size_t index = 0;
        while (index < tracee->count && tracee->threads[index].id != got) {
            index++;
        }
        if (got < 0 || (index == tracee->count && got == id)) {
            return false;
        }
        if (index == tracee->count) {
            continue;
        }
        cli_tracee_thread *thread = &tracee->threads[index];
        if (!note_stop(thread, status)) {
            forget(tracee, index);
            if (got == id) {
                return false;
            }
        } else if (got != id) {
            let_go(thread);
        } else if (thread->signal == SIGTRAP || thread->signal == SIGSEGV ||
                   thread->signal == SIGBUS || thread->signal == SIGILL ||
                   thread->signal == SIGFPE) {
            thread->signal = kept;
            return get_registers(id, registers) && registers->rip == trap + 1;
        } else {
            kept = thread->signal != 0 ? thread->signal : kept;
            thread->signal = 0;
            thread->is_suspended = false;
            let_go(thread);
        }
    }
}

bool cli_tracee_call(cli_tracee *tracee, size_t index, uint64_t function,
                     const cli_tracee_argument arguments[2], uint64_t trap, uint64_t *result)
{
    const pid_t id = tracee->threads[index].id;
    tracee_state state = {.xstate_size = 0};
    if (!save_state(id, &state)) {
        cli_error("thread %ld cannot be looked at: %s", (long)id, strerror(errno));
        return false;
    }
    struct user_regs_struct registers = state.registers;
    registers.rip = function;
    if (!prepare_call(tracee, &registers, arguments, trap)) {
        cli_error("the stack of thread %ld cannot be written", (long)id);
        return false;
    }
    block_signals(id);
    set_registers(id, &registers);
    cli_tracee_go(tracee);
    const bool is_back = wait_for_trap(tracee, id, trap, &registers);
    if (is_back || is_known(tracee, id)) {
        restore_state(id, &state);
    }
    if (!is_back) {
        cli_error("thread %ld of process %ld did not come back from a call", (long)id,
                  (long)tracee->process);
        return false;
    }
    *result = registers.rax;
    return cli_tracee_stop(tracee);
}

bool cli_tracee_is_supported(void)
{
    return true;
}

bool cli_tracee_place(const cli_tracee_thread *thread, uint64_t *code, uint64_t *stack)
{
    struct user_regs_struct registers;
    const bool is_known_place = get_registers(thread->id, &registers);
    *code = is_known_place ? registers.rip : 0;
    *stack = is_known_place ? registers.rsp : 0;
    return is_known_place;
}

#else

bool cli_tracee_is_supported(void)
{
    return false;
}

bool cli_tracee_place(const cli_tracee_thread *thread, uint64_t *code, uint64_t *stack)
{
    (void)thread;
    *code = 0;
    *stack = 0;
    return false;
}

bool cli_tracee_call(cli_tracee *tracee, size_t index, uint64_t function,
                     const cli_tracee_argument arguments[2], uint64_t trap, uint64_t *result)
{
    (void)tracee;
    (void)index;
    (void)function;
    (void)arguments;
    (void)trap;
    (void)result;
    return false;
}

#endif
