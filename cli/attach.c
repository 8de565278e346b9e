/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include "cli.h"
#include "frames.h"
#include "tracee.h"
#include "utf8.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 *     seize -> find a thread that is safe -> dlopen, dlsym, tarn_record_attach -> take left jumps away
 *           -> wait until nobody is in the recorder -> tarn_record_attach -> write jumps -> let go
 *
 * Whatever has to be waited for, the process runs meanwhile, and only so long.
 */

enum {
    TRY_MS = 2,
    SAFE_MS = 20000,  /* until there is a thread that is safe */
    QUIET_MS = 3000,  /* until nobody is in the recorder */
    CLEAR_MS = 10000, /* until nobody is in the middle of what jumps overwrite */
    STACK_SIZE = 256 * 1024
};

enum { ENTRY, ISLANDS, DLOPEN, DLSYM, DLERROR, MMAP, MUNMAP, FUNCTIONS };

typedef struct attach_work {
    cli_attachment *attachment;
    cli_tracee tracee;
    cli_frames *frames;
    cli_frames_function functions[FUNCTIONS];
    uint64_t trap;  /* a breakpoint instruction: the last island of the allocator */
    pid_t caller;   /* the thread that calls; 0: none can */
    uint64_t stack; /* for what it calls: a coroutine's own may be too small; 0: none yet */
} attach_work;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Lets the process run for a moment. */
static bool pass_time(attach_work *work)
{
    work->caller = 0;
    return cli_tracee_pass(&work->tracee, TRY_MS) && cli_frames_renew(work->frames);
}

static long number_of(const attach_work *work)
{
    return (long)work->attachment->process.id;
}

/* -------------------------------------------------------------------------------------------------
 * Whether it can be done.
 */

/* False, said, if a function is not there, or is not what the files say. */
static bool check_functions(attach_work *work)
{
    const cli_frames_function *functions = work->functions;
    if (functions[ENTRY].address == 0 || functions[ISLANDS].address == 0) {
        cli_error(
            "process %ld does not run on libtarn-malloc, the one allocator in which "
            "recording can be switched on; start the program by 'tarn run' or with "
            "libtarn-malloc preloaded, or record it from its start: 'tarn record -- PROGRAM'; "
            "if libtarn-malloc was installed anew since, start the program again",
            number_of(work));
        return false;
    }
    for (unsigned i = DLOPEN; i < FUNCTIONS; i++) {
        if (functions[i].address == 0) {
            cli_error("process %ld has no %s, so that it cannot load the recorder, or its libc is "
                      "no longer that of the disk",
                      number_of(work), functions[i].name);
            return false;
        }
        if (functions[i].is_changed) {
            cli_error("something has changed %s in process %ld, so that it is not called",
                      functions[i].name, number_of(work));
            return false;
        }
    }
    unsigned char trap = 0;
    work->trap = functions[ISLANDS].address + functions[ISLANDS].size - ATTACH_ISLAND;
    if (!cli_process_read(&work->attachment->process, work->trap, &trap, 1) || trap != 0xcc) {
        cli_error(
            "libtarn-malloc in process %ld is not the one on the disk; start the program again",
            number_of(work));
        return false;
    }
    return true;
}

static bool find_functions(attach_work *work)
{
    static const cli_frames_function wanted[FUNCTIONS] = {
        [ENTRY] = {.name = "tarn_record_entry"},
        [ISLANDS] = {.name = "tarn_record_islands"},
        [DLOPEN] = {.name = "dlopen", .is_system = true},
        [DLSYM] = {.name = "dlsym", .is_system = true},
        [DLERROR] = {.name = "dlerror", .is_system = true},
        [MMAP] = {.name = "mmap", .is_system = true},
        [MUNMAP] = {.name = "munmap", .is_system = true},
    };
    memcpy(work->functions, wanted, sizeof wanted);
    cli_frames *frames = cli_frames_open(&work->attachment->process, NULL);
    if (frames == NULL) {
        return false;
    }
    cli_frames_find(frames, work->functions, FUNCTIONS);
    cli_frames_close(frames);
    return check_functions(work);
}

/* A filter that is not ours as well may end the process for what the recorder asks of the kernel. */
static bool is_filtered(const attach_work *work, pid_t thread)
{
    uint64_t mode = 0;
    uint64_t filters = 0;
    uint64_t own_filters = 0;
    const pid_t self = getpid();
    cli_process_status(work->attachment->process.id, thread, "Seccomp", 10, &mode);
    cli_process_status(work->attachment->process.id, thread, "Seccomp_filters", 10, &filters);
    cli_process_status(self, self, "Seccomp_filters", 10, &own_filters);
    return mode != 0 && (filters == 0 || filters > own_filters);
}

static bool check_threads(const attach_work *work, bool is_first)
{
    for (size_t i = 0; i < work->tracee.count; i++) {
        const cli_tracee_thread *thread = &work->tracee.threads[i];
        if (thread->is_suspended) {
            cli_error("process %ld is stopped (SIGSTOP, or Ctrl-Z); let it go on first: kill -CONT "
                      "%ld",
                      number_of(work), number_of(work));
            return false;
        }
        if (is_first && is_filtered(work, thread->id)) {
            cli_error(
                "process %ld has forbidden itself calls of the kernel (seccomp), and might be "
                "ended for those of the recorder; record it from its start: 'tarn record -- "
                "PROGRAM'",
                number_of(work));
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Calls.
 */
static pid_t find_safe_thread(const attach_work *work)
{
    const cli_frames_range allocator = {work->functions[ENTRY].start, work->functions[ENTRY].end};
    for (size_t i = 0; i < work->tracee.count; i++) {
        const cli_tracee_thread *thread = &work->tracee.threads[i];
        if (cli_frames_is_safe(work->frames, thread, allocator)) {
            return thread->id;
        }
    }
    return 0;
}

static bool wait_for_caller(attach_work *work)
{
    const uint64_t end = now_ms() + SAFE_MS;
    while ((work->caller = find_safe_thread(work)) == 0) {
        if (!check_threads(work, false)) {
            return false;
        }
        if (now_ms() >= end) {
            cli_error(
                "no thread of process %ld can be had load the recorder: each is in the "
                "allocator, the loader, libc or a signal handler all the time, or has a stack "
                "that cannot be followed; try again later",
                number_of(work));
            return false;
        }
        if (!pass_time(work)) {
            return false;
        }
    }
    return true;
}

static bool call(attach_work *work, uint64_t function, cli_tracee_argument first,
                 cli_tracee_argument second, uint64_t *result)
{
    const cli_tracee_call what = {.function = function,
                                  .arguments = {first, second},
                                  .stack = work->stack,
                                  .trap = work->trap};
    if (!cli_tracee_have_call(&work->tracee, work->caller, &what, result)) {
        work->caller = 0;
        return false;
    }
    return true;
}

/* The memory for the stack is asked for on the thread's own, where a signal would have to fit as well. */
static bool make_stack(attach_work *work)
{
    const cli_tracee_call what = {
        .function = work->functions[MMAP].address,
        .arguments = {{.number = 0},
                      {.number = STACK_SIZE},
                      {.number = PROT_READ | PROT_WRITE},
                      {.number = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK},
                      {.number = UINT64_MAX},
                      {.number = 0}},
        .trap = work->trap,
    };
    uint64_t memory;
    if (!cli_tracee_have_call(&work->tracee, work->caller, &what, &memory)) {
        return false;
    }
    if (memory == UINT64_MAX) {
        cli_error("process %ld has no memory left to load the recorder", number_of(work));
        return false;
    }
    work->stack = memory + STACK_SIZE;
    return true;
}

static bool drop_stack(attach_work *work)
{
    const cli_tracee_argument memory = {.number = work->stack - STACK_SIZE};
    const cli_tracee_argument size = {.number = STACK_SIZE};
    uint64_t result;
    work->stack = 0;
    return call(work, work->functions[MUNMAP].address, memory, size, &result);
}

/* -------------------------------------------------------------------------------------------------
 * Loading.
 */
static void say_not_loaded(attach_work *work, const char *library)
{
    char text[256] = "";
    uint64_t address = 0;
    if (call(work, work->functions[DLERROR].address, (cli_tracee_argument){0},
             (cli_tracee_argument){0}, &address) &&
        address != 0) {
        cli_process_read_some(&work->attachment->process, address, text, sizeof text - 1);
    }
    char shown[CLI_PRINTABLE_SIZE];
    cli_error("process %ld cannot load '%s': %s", number_of(work), library,
              text[0] != '\0' ? cli_printable(text, shown) : "no reason given");
}

static bool load(attach_work *work, const char *library, uint64_t *function)
{
    uint64_t handle;
    if (!call(work, work->functions[DLOPEN].address, (cli_tracee_argument){.text = library},
              (cli_tracee_argument){.number = RTLD_NOW}, &handle)) {
        return false;
    }
    if (handle != 0 &&
        !call(work, work->functions[DLSYM].address, (cli_tracee_argument){.number = handle},
              (cli_tracee_argument){.text = "tarn_record_attach"}, function)) {
        return false;
    }
    if (handle == 0 || *function == 0) {
        say_not_loaded(work, library);
        return false;
    }
    return true;
}

static bool check_plan(const attach_work *work)
{
    const attach_plan *plan = &work->attachment->plan;
    const long process = number_of(work);
    if (plan->magic != ATTACH_MAGIC || plan->version != ATTACH_VERSION ||
        plan->count > ATTACH_PATCHES) {
        cli_error("process %ld has loaded a recorder of another version of Tarn", process);
        return false;
    }
    switch (plan->status) {
    case ATTACH_READY:
        return true;
    case ATTACH_BUSY:
        cli_error("process %ld is being recorded already; end that first", process);
        return false;
    case ATTACH_NO_ANSWER:
        cli_error("process %ld cannot reach this tarn record: it may be in another network "
                  "namespace, or have no file descriptor left",
                  process);
        return false;
    default:
        cli_error("the allocator of process %ld cannot be switched", process);
        return false;
    }
}

/* Has the recorder fill its plan, and reads it. */
static bool ask_for_plan(attach_work *work, uint64_t function, const char *home, bool is_quiet)
{
    cli_attachment *attachment = work->attachment;
    if (!call(work, function, (cli_tracee_argument){.text = home},
              (cli_tracee_argument){.number = is_quiet}, &attachment->plan_at)) {
        return false;
    }
    if (!cli_process_read(&attachment->process, attachment->plan_at, &attachment->plan,
                          sizeof attachment->plan)) {
        cli_error("the recorder's answer cannot be read in process %ld", number_of(work));
        return false;
    }
    return check_plan(work);
}

/* -------------------------------------------------------------------------------------------------
 * Jumps.
 */

/* The island: jmp *0(%rip), and the address behind it. */
static bool write_island(const cli_process *process, const attach_patch *patch)
{
    unsigned char island[14] = {0xff, 0x25};
    memcpy(island + 6, &patch->target, sizeof patch->target);
    return cli_process_write(process, patch->island, island, sizeof island);
}

/* False: the island is not within reach. */
static bool make_jump(const attach_patch *patch, unsigned char jump[ATTACH_JUMP])
{
    const int64_t distance = (int64_t)(patch->island - (patch->entry + ATTACH_JUMP));
    const int32_t near = (int32_t)distance;
    jump[0] = 0xe9;
    memcpy(jump + 1, &near, sizeof near);
    return near == distance;
}

static bool write_jump(const cli_process *process, const attach_patch *patch)
{
    unsigned char jump[ATTACH_JUMP];
    return make_jump(patch, jump) && cli_process_write(process, patch->entry, jump, sizeof jump);
}

/* True if each entry is as it was before, or has the jump. Whoever was killed may have got half-way. */
static bool are_entries_known(const cli_process *process, const attach_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const attach_patch *patch = &plan->patches[i];
        unsigned char jump[ATTACH_JUMP];
        unsigned char there[ATTACH_JUMP];
        if (!make_jump(patch, jump) ||
            !cli_process_read(process, patch->entry, there, sizeof there) ||
            (memcmp(jump, there, sizeof jump) != 0 &&
             memcmp(patch->original, there, sizeof there) != 0)) {
            return false;
        }
    }
    return true;
}

static bool restore_entries(const cli_process *process, const attach_plan *plan)
{
    bool is_done = true;
    for (uint32_t i = 0; i < plan->count; i++) {
        const attach_patch *patch = &plan->patches[i];
        is_done = cli_process_write(process, patch->entry, patch->original, ATTACH_JUMP) && is_done;
    }
    return is_done;
}

/* No thread can be in the middle of a jump, so that they may go at any time. */
static bool take_jumps_away(const cli_attachment *attachment)
{
    const uint32_t no = 0;
    return are_entries_known(&attachment->process, &attachment->plan) &&
           restore_entries(&attachment->process, &attachment->plan) &&
           cli_process_write(&attachment->process,
                             attachment->plan_at + offsetof(attach_plan, is_patched), &no,
                             sizeof no);
}

/* The plan with the bytes that were there goes back to the process first: whoever comes later can undo it. */
static bool put_jumps(cli_attachment *attachment)
{
    const cli_process *process = &attachment->process;
    attach_plan *plan = &attachment->plan;
    bool is_done = true;
    for (uint32_t i = 0; i < plan->count; i++) {
        is_done = is_done && cli_process_read(process, plan->patches[i].entry,
                                              plan->patches[i].original, ATTACH_JUMP);
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        is_done = is_done && write_island(process, &plan->patches[i]);
    }
    plan->is_patched = 1;
    is_done = is_done && cli_process_write(process, attachment->plan_at, plan, sizeof *plan);
    for (uint32_t i = 0; is_done && i < plan->count; i++) {
        is_done = write_jump(process, &plan->patches[i]);
        if (!is_done) {
            restore_entries(process, plan);
        }
    }
    return is_done;
}

/* -------------------------------------------------------------------------------------------------
 * Who is where.
 */

/* A thread that is in one of the ranges, or may come back to one; 0: none is. */
static pid_t find_thread_in(const attach_work *work, const cli_frames_range *ranges, size_t count)
{
    for (size_t i = 0; i < work->tracee.count; i++) {
        if (cli_frames_may_be_in(work->frames, &work->tracee.threads[i], ranges, count)) {
            return work->tracee.threads[i].id;
        }
    }
    return 0;
}

/* Waits until no thread is in the recorder, of which an earlier recording may have left some, and there is a
 * caller. False, said, if there is none. */
static bool wait_until_quiet(attach_work *work, bool *is_quiet)
{
    const uint64_t end = now_ms() + QUIET_MS;
    if (!cli_frames_renew(work->frames)) {
        return false;
    }
    const cli_frames_range recorder = cli_frames_file_at(work->frames, work->attachment->plan_at);
    do {
        *is_quiet = recorder.end != 0 && find_thread_in(work, &recorder, 1) == 0;
        work->caller = *is_quiet ? find_safe_thread(work) : 0;
        if (work->caller != 0) {
            return true;
        }
        if (!pass_time(work)) {
            return false;
        }
    } while (now_ms() < end);
    *is_quiet = false;
    return wait_for_caller(work);
}

/* Waits until no thread is behind the first byte of what a jump overwrites, or will come back there from a signal
 * handler. */
static bool wait_until_clear(attach_work *work)
{
    const attach_plan *plan = &work->attachment->plan;
    const uint64_t end = now_ms() + CLEAR_MS;
    cli_frames_range ranges[ATTACH_PATCHES];
    for (uint32_t i = 0; i < plan->count; i++) {
        ranges[i].start = plan->patches[i].entry + 1;
        ranges[i].end = plan->patches[i].entry + ATTACH_JUMP;
    }
    pid_t thread;
    while ((thread = find_thread_in(work, ranges, plan->count)) != 0) {
        if (now_ms() >= end) {
            cli_error(
                "thread %ld of process %ld stays where a jump would be in its way, such as in "
                "a handler of a signal that came in malloc; try again later",
                (long)thread, number_of(work));
            return false;
        }
        if (!pass_time(work)) {
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * On and off.
 */

/* What a `tarn record` that was killed has left. */
static bool clear_left_jumps(attach_work *work)
{
    if (work->attachment->plan.is_patched == 0 || take_jumps_away(work->attachment)) {
        return true;
    }
    cli_error("the jumps of an earlier recording cannot be taken away in process %ld",
              number_of(work));
    return false;
}

static bool switch_on(attach_work *work, const char *library, const char *home)
{
    cli_attachment *attachment = work->attachment;
    uint64_t function = 0;
    bool is_quiet = false;
    if (!check_threads(work, true) || !wait_for_caller(work) || !make_stack(work) ||
        !load(work, library, &function) || !ask_for_plan(work, function, NULL, false) ||
        !clear_left_jumps(work)) {
        return false;
    }
    if (attachment->plan.turn != 0 && !wait_until_quiet(work, &is_quiet)) {
        return false;
    }
    if (!ask_for_plan(work, function, home, is_quiet) || !drop_stack(work) ||
        !cli_frames_renew(work->frames) || !wait_until_clear(work)) {
        return false;
    }
    if (!put_jumps(attachment)) {
        cli_error("the allocator's code cannot be written in process %ld", number_of(work));
        return false;
    }
    return true;
}

bool cli_attach(cli_attachment *attachment, pid_t process, const char *library, const char *home)
{
    *attachment = (cli_attachment){.plan_at = 0};
    if (!cli_tracee_is_supported()) {
        cli_error("recording cannot be switched on in a running process on this kind of machine");
        return false;
    }
    if (!cli_process_open(&attachment->process, process)) {
        return false;
    }
    attach_work work = {.attachment = attachment};
    bool is_on = false;
    if (find_functions(&work) && cli_tracee_open(&work.tracee, &attachment->process)) {
        work.frames = cli_frames_open(&attachment->process, &work.tracee);
        is_on = work.frames != NULL && switch_on(&work, library, home);
        if (work.stack != 0 && work.caller != 0) {
            drop_stack(&work);
        }
        cli_frames_close(work.frames);
        cli_tracee_close(&work.tracee);
    }
    if (!is_on) {
        attachment->plan_at = 0;
        cli_process_close(&attachment->process);
    }
    return is_on;
}

/* True if the plan is the one that the jumps were written by. */
static bool is_own_plan(const cli_attachment *attachment)
{
    attach_plan there;
    const attach_plan *plan = &attachment->plan;
    return cli_process_read(&attachment->process, attachment->plan_at, &there, sizeof there) &&
           there.magic == plan->magic && there.version == plan->version &&
           there.turn == plan->turn && there.is_patched != 0 && there.count == plan->count &&
           memcmp(there.patches, plan->patches, sizeof there.patches) == 0;
}

bool cli_attach_end(cli_attachment *attachment)
{
    const cli_process *process = &attachment->process;
    bool is_off = attachment->plan_at == 0 || cli_process_has_ended(process) ||
                  cli_process_has_executed(process);
    cli_tracee tracee;
    if (!is_off && cli_tracee_open(&tracee, process)) {
        is_off = is_own_plan(attachment) && take_jumps_away(attachment);
        cli_tracee_close(&tracee);
    }
    /* Either may have happened in between. */
    is_off = is_off || cli_process_has_ended(process) || cli_process_has_executed(process);
    if (!is_off) {
        cli_error("recording could not be switched off in process %ld, which goes on a little "
                  "slower; the next 'tarn record --pid' tidies up",
                  (long)process->id);
    }
    if (attachment->plan_at != 0) {
        cli_process_close(&attachment->process);
    }
    attachment->plan_at = 0;
    return is_off;
}
