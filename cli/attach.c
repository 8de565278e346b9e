/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include "cli.h"
#include "elfutils.h"
#include "tracee.h"
#include "utf8.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 *     seize -> find a thread at a safe place -> dlopen, dlsym, tarn_record_attach -> write jumps -> let go
 *
 * A thread is at a safe place if nothing on its stack belongs to the allocator or to the loader, whose locks
 * it might hold or whose books it might be changing; and, in libc, only if it waits in a system call.
 */

enum { TRIES_MAX = 2000, TRY_MS = 2, STACK_NEEDED = 128 * 1024 };

typedef struct attach_symbols {
    uint64_t
        entry;     /* tarn_record_entry: that it is there says that the allocator can be switched */
    uint64_t trap; /* a breakpoint instruction: the last island of the allocator */
    uint64_t dlopen;
    uint64_t dlsym;
    uint64_t dlerror;
    GElf_Addr allocator_start; /* of libtarn-malloc in memory */
    GElf_Addr allocator_end;
} attach_symbols;

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = TRY_MS * 1000000L};
    nanosleep(&pause, NULL);
}

/* -------------------------------------------------------------------------------------------------
 * The files in the process.
 */
static const cli_elfutils *elfutils;

static bool load_elfutils(void)
{
    const char *why = NULL;
    elfutils = cli_elfutils_load(&why);
    if (elfutils == NULL) {
        cli_error("--pid needs elfutils (libdw.so.1, Debian's package libdw1): %s", why);
    }
    return elfutils != NULL;
}

/* Their own symbols do: nothing is looked for anywhere else. */
static int find_no_debug_file(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                              const char *file, const char *link, GElf_Word check, char **found)
{
    (void)module;
    (void)data;
    (void)name;
    (void)base;
    (void)file;
    (void)link;
    (void)check;
    (void)found;
    return -1;
}

static Dwfl *open_process(pid_t process)
{
    static Dwfl_Callbacks callbacks; /* it is kept */
    callbacks = (Dwfl_Callbacks){
        .find_elf = elfutils->dwfl_linux_proc_find_elf,
        .find_debuginfo = find_no_debug_file,
    };
    Dwfl *files = elfutils->dwfl_begin(&callbacks);
    const int error = files != NULL ? elfutils->dwfl_linux_proc_report(files, process) : ENOMEM;
    if (error != 0 || elfutils->dwfl_report_end(files, NULL, NULL) != 0) {
        const char *text = error > 0 ? strerror(error) : elfutils->dwfl_errmsg(-1);
        cli_error("what is in the memory of process %ld cannot be read: %s", (long)process,
                  text != NULL ? text : "the kernel does not say why");
        elfutils->dwfl_end(files);
        return NULL;
    }
    return files;
}

static int take_symbols(Dwfl_Module *module, void **data, const char *file, Dwarf_Addr start,
                        void *context)
{
    (void)data;
    (void)file;
    attach_symbols *symbols = context;
    const struct {
        const char *name;
        uint64_t *address;
    } wanted[] = {
        {"tarn_record_entry", &symbols->entry}, {"tarn_record_islands", &symbols->trap},
        {"dlopen", &symbols->dlopen},           {"dlsym", &symbols->dlsym},
        {"dlerror", &symbols->dlerror},
    };
    const int count = elfutils->dwfl_module_getsymtab(module);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        const char *name =
            elfutils->dwfl_module_getsym_info(module, i, &symbol, &address, NULL, NULL, NULL);
        if (name == NULL || symbol.st_shndx == SHN_UNDEF ||
            GELF_ST_TYPE(symbol.st_info) != STT_FUNC) {
            continue;
        }
        for (size_t w = 0; w < sizeof wanted / sizeof wanted[0]; w++) {
            if (*wanted[w].address == 0 && strcmp(name, wanted[w].name) == 0) {
                *wanted[w].address = address;
                if (wanted[w].address == &symbols->trap) {
                    symbols->trap += symbol.st_size - ATTACH_ISLAND;
                }
                if (wanted[w].address == &symbols->entry) {
                    symbols->allocator_start = start;
                    elfutils->dwfl_module_info(module, NULL, NULL, &symbols->allocator_end, NULL,
                                               NULL, NULL, NULL);
                }
            }
        }
    }
    return DWARF_CB_OK;
}

static bool find_symbols(pid_t process, attach_symbols *symbols)
{
    *symbols = (attach_symbols){0};
    Dwfl *files = open_process(process);
    if (files == NULL) {
        return false;
    }
    elfutils->dwfl_getmodules(files, take_symbols, symbols, 0);
    elfutils->dwfl_end(files);
    if (symbols->entry == 0 || symbols->trap == 0) {
        cli_error("process %ld does not run on libtarn-malloc, the one allocator in which "
                  "recording can be "
                  "switched on; start the program by 'tarn run' or with libtarn-malloc preloaded, "
                  "or record it "
                  "from its start: 'tarn record -- PROGRAM'",
                  (long)process);
        return false;
    }
    if (symbols->dlopen == 0 || symbols->dlsym == 0 || symbols->dlerror == 0) {
        cli_error("process %ld has no dlopen, so that it cannot load the recorder", (long)process);
        return false;
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Safe places.
 */
typedef struct attach_look {
    const attach_symbols *symbols;
    Dwfl *files;
    unsigned frames;
    bool is_in_call; /* of the kernel */
    bool is_safe;
} attach_look;

static bool is_loader(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return strncmp(slash != NULL ? slash + 1 : "", "ld-", 3) == 0 ||
           strncmp(slash != NULL ? slash + 1 : "", "ld.so", 5) == 0;
}

static bool is_libc(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return strncmp(slash != NULL ? slash + 1 : "", "libc.so", 7) == 0 ||
           strncmp(slash != NULL ? slash + 1 : "", "libc-", 5) == 0;
}

static int look_at_frame(Dwfl_Frame *frame, void *context)
{
    attach_look *look = context;
    Dwarf_Addr code;
    bool is_activation;
    if (!elfutils->dwfl_frame_pc(frame, &code, &is_activation)) {
        look->is_safe = false;
        return DWARF_CB_ABORT;
    }
    const Dwarf_Addr at = code - !is_activation;
    const char *path = NULL;
    Dwfl_Module *module = elfutils->dwfl_addrmodule(look->files, at);
    if (module != NULL) {
        elfutils->dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, &path, NULL);
    }
    const bool is_allocators =
        at >= look->symbols->allocator_start && at < look->symbols->allocator_end;
    if (is_allocators || is_loader(path) ||
        (look->frames == 0 && !look->is_in_call && is_libc(path))) {
        look->is_safe = false;
        return DWARF_CB_ABORT;
    }
    look->frames++;
    return DWARF_CB_OK;
}

/* True if the instruction before is a call of the kernel. */
static bool is_in_call(const cli_tracee *tracee, uint64_t code)
{
    unsigned char bytes[2];
    return cli_tracee_read(tracee, code - sizeof bytes, bytes, sizeof bytes) && bytes[0] == 0x0f &&
           bytes[1] == 0x05;
}

/* A thread whose stack is too small for the loader is left alone. */
static bool has_room(const cli_tracee *tracee, const cli_tracee_thread *thread, uint64_t stack)
{
    unsigned char byte;
    return thread->id == tracee->process || cli_tracee_read(tracee, stack - STACK_NEEDED, &byte, 1);
}

static bool is_at_safe_place(const cli_tracee *tracee, const attach_symbols *symbols, Dwfl *files,
                             const cli_tracee_thread *thread)
{
    uint64_t code;
    uint64_t stack;
    if (thread->signal != 0 || thread->is_suspended || !cli_tracee_place(thread, &code, &stack) ||
        !has_room(tracee, thread, stack)) {
        return false;
    }
    attach_look look = {.symbols = symbols,
                        .files = files,
                        .is_in_call = is_in_call(tracee, code),
                        .is_safe = true};
    elfutils->dwfl_getthread_frames(files, thread->id, look_at_frame, &look);
    return look.is_safe && look.frames > 0;
}

/* The first thread before all others: it has the largest stack. tracee->count if none is. */
static size_t find_safe_thread(const cli_tracee *tracee, const attach_symbols *symbols)
{
    size_t found = tracee->count;
    Dwfl *files = open_process(tracee->process);
    if (files == NULL || elfutils->dwfl_linux_proc_attach(files, tracee->process, true) != 0) {
        elfutils->dwfl_end(files);
        return found;
    }
    for (size_t i = 0; i < tracee->count && found == tracee->count; i++) {
        if (tracee->threads[i].id == tracee->process &&
            is_at_safe_place(tracee, symbols, files, &tracee->threads[i])) {
            found = i;
        }
    }
    for (size_t i = 0; i < tracee->count && found == tracee->count; i++) {
        if (tracee->threads[i].id != tracee->process &&
            is_at_safe_place(tracee, symbols, files, &tracee->threads[i])) {
            found = i;
        }
    }
    elfutils->dwfl_end(files);
    return found;
}

static bool wait_for_safe_thread(cli_tracee *tracee, const attach_symbols *symbols, size_t *index)
{
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        *index = find_safe_thread(tracee, symbols);
        if (*index < tracee->count) {
            return true;
        }
        cli_tracee_go(tracee);
        rest();
        if (!cli_tracee_stop(tracee)) {
            return false;
        }
    }
    cli_error("no thread of process %ld can be had load the recorder: each is stopped, in the "
              "allocator or in the "
              "loader all the time; try again later",
              (long)tracee->process);
    return false;
}

/* -------------------------------------------------------------------------------------------------
 * Loading.
 */
typedef struct attach_caller {
    cli_tracee *tracee;
    size_t index; /* of the thread that calls */
    pid_t thread;
    uint64_t trap;
} attach_caller;

static bool call(attach_caller *caller, uint64_t function, cli_tracee_argument first,
                 cli_tracee_argument second, uint64_t *result)
{
    const cli_tracee_argument arguments[2] = {first, second};
    for (size_t i = 0; i < caller->tracee->count; i++) {
        if (caller->tracee->threads[i].id == caller->thread) {
            return cli_tracee_call(caller->tracee, i, function, arguments, caller->trap, result);
        }
    }
    cli_error("thread %ld has ended", (long)caller->thread);
    return false;
}

static void say_not_loaded(attach_caller *caller, const attach_symbols *symbols,
                           const char *library)
{
    char text[256] = "";
    uint64_t address = 0;
    if (call(caller, symbols->dlerror, (cli_tracee_argument){0}, (cli_tracee_argument){0},
             &address) &&
        address != 0) {
        for (size_t i = 0; i + 1 < sizeof text; i++) {
            if (!cli_tracee_read(caller->tracee, address + i, &text[i], 1) || text[i] == '\0') {
                text[i] = '\0';
                break;
            }
        }
    }
    char shown[CLI_PRINTABLE_SIZE];
    cli_error("process %ld cannot load '%s': %s", (long)caller->tracee->process, library,
              text[0] != '\0' ? cli_printable(text, shown) : "no reason given");
}

static bool check_plan(const cli_attachment *attachment)
{
    const attach_plan *plan = &attachment->plan;
    const long process = (long)attachment->process;
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
                  "namespace, or have no "
                  "file descriptor left",
                  process);
        return false;
    default:
        cli_error("the allocator of process %ld cannot be switched", process);
        return false;
    }
}

/* Fills the plan. */
static bool load(cli_attachment *attachment, cli_tracee *tracee, const attach_symbols *symbols,
                 const char *library, const char *home)
{
    attach_caller caller = {.tracee = tracee, .trap = symbols->trap};
    size_t index;
    if (!wait_for_safe_thread(tracee, symbols, &index)) {
        return false;
    }
    caller.thread = tracee->threads[index].id;
    uint64_t handle;
    uint64_t function;
    if (!call(&caller, symbols->dlopen, (cli_tracee_argument){.text = library},
              (cli_tracee_argument){.number = RTLD_NOW}, &handle)) {
        return false;
    }
    if (handle == 0 ||
        !call(&caller, symbols->dlsym, (cli_tracee_argument){.number = handle},
              (cli_tracee_argument){.text = "tarn_record_attach"}, &function) ||
        function == 0) {
        say_not_loaded(&caller, symbols, library);
        return false;
    }
    if (!call(&caller, function, (cli_tracee_argument){.text = home}, (cli_tracee_argument){0},
              &attachment->plan_at)) {
        return false;
    }
    if (!cli_tracee_read(tracee, attachment->plan_at, &attachment->plan, sizeof attachment->plan)) {
        cli_error("the recorder's answer cannot be read in process %ld", (long)tracee->process);
        return false;
    }
    return check_plan(attachment);
}

/* -------------------------------------------------------------------------------------------------
 * Jumps.
 */

/* True if no thread is behind the first byte of what a jump overwrites. */
static bool are_all_clear(const cli_tracee *tracee, const attach_plan *plan)
{
    for (size_t i = 0; i < tracee->count; i++) {
        uint64_t code;
        uint64_t stack;
        cli_tracee_place(&tracee->threads[i], &code, &stack);
        for (uint32_t p = 0; p < plan->count; p++) {
            if (code - plan->patches[p].entry - 1 < ATTACH_JUMP - 1) {
                return false;
            }
        }
    }
    return true;
}

static bool wait_until_clear(cli_tracee *tracee, const attach_plan *plan)
{
    while (!are_all_clear(tracee, plan)) {
        cli_tracee_go(tracee);
        rest();
        if (!cli_tracee_stop(tracee)) {
            return false;
        }
    }
    return true;
}

/* The island: jmp *0(%rip), and the address behind it. */
static bool write_island(const cli_tracee *tracee, const attach_patch *patch)
{
    unsigned char island[14] = {0xff, 0x25};
    memcpy(island + 6, &patch->target, sizeof patch->target);
    return cli_tracee_write(tracee, patch->island, island, sizeof island);
}

static bool write_jump(const cli_tracee *tracee, const attach_patch *patch)
{
    unsigned char jump[ATTACH_JUMP] = {0xe9};
    const int64_t distance = (int64_t)(patch->island - (patch->entry + ATTACH_JUMP));
    const int32_t near = (int32_t)distance;
    memcpy(jump + 1, &near, sizeof near);
    return near == distance && cli_tracee_write(tracee, patch->entry, jump, sizeof jump);
}

static bool take_jumps_away(const cli_tracee *tracee, const attach_plan *plan)
{
    bool is_done = true;
    for (uint32_t i = 0; i < plan->count; i++) {
        const attach_patch *patch = &plan->patches[i];
        is_done = cli_tracee_write(tracee, patch->entry, patch->original, ATTACH_JUMP) && is_done;
    }
    return is_done;
}

/* The plan with the bytes that were there goes back to the process first: whoever comes later can undo it. */
static bool put_jumps(const cli_tracee *tracee, cli_attachment *attachment)
{
    attach_plan *plan = &attachment->plan;
    if (plan->is_patched != 0) {
        return true; /* a tarn record that was killed has left them */
    }
    bool is_done = true;
    for (uint32_t i = 0; i < plan->count; i++) {
        is_done = is_done && cli_tracee_read(tracee, plan->patches[i].entry,
                                             plan->patches[i].original, ATTACH_JUMP);
    }
    plan->is_patched = 1;
    is_done = is_done && cli_tracee_write(tracee, attachment->plan_at, plan, sizeof *plan);
    if (!is_done) {
        return false;
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        is_done = is_done && write_island(tracee, &plan->patches[i]);
    }
    for (uint32_t i = 0; is_done && i < plan->count; i++) {
        is_done = write_jump(tracee, &plan->patches[i]);
    }
    if (!is_done) {
        take_jumps_away(tracee, plan);
    }
    return is_done;
}

static bool mark_unpatched(const cli_tracee *tracee, const cli_attachment *attachment)
{
    const uint32_t no = 0;
    return cli_tracee_write(tracee, attachment->plan_at + offsetof(attach_plan, is_patched), &no,
                            sizeof no);
}

bool cli_attach(cli_attachment *attachment, pid_t process, const char *library, const char *home)
{
    *attachment = (cli_attachment){.process = process};
    attach_symbols symbols;
    cli_tracee tracee;
    if (!cli_tracee_is_supported()) {
        cli_error("recording cannot be switched on in a running process on this kind of machine");
        return false;
    }
    if (kill(process, 0) != 0 && errno == ESRCH) {
        cli_error("there is no process %ld", (long)process);
        return false;
    }
    if (!load_elfutils() || !find_symbols(process, &symbols) ||
        !cli_tracee_open(&tracee, process)) {
        return false;
    }
    bool is_on = load(attachment, &tracee, &symbols, library, home);
    if (is_on) {
        is_on = wait_until_clear(&tracee, &attachment->plan);
        if (is_on && !put_jumps(&tracee, attachment)) {
            cli_error("the allocator's code cannot be written in process %ld", (long)process);
            is_on = false;
        }
    }
    if (!is_on) {
        attachment->plan_at = 0;
    }
    cli_tracee_close(&tracee);
    return is_on;
}

void cli_attach_end(cli_attachment *attachment)
{
    cli_tracee tracee;
    if (attachment->plan_at == 0 || (kill(attachment->process, 0) != 0 && errno == ESRCH) ||
        !cli_tracee_open(&tracee, attachment->process)) {
        return;
    }
    if (!take_jumps_away(&tracee, &attachment->plan) || !mark_unpatched(&tracee, attachment)) {
        cli_warning(
            "recording could not be switched off in process %ld, which goes on a little slower",
            (long)attachment->process);
    }
    cli_tracee_close(&tracee);
    attachment->plan_at = 0;
}
