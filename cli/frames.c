/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include "cli.h"
#include "elfutils.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 *     innermost                                                              outermost
 *     [ libc: a call of the kernel ][ the program's ... ][ libc: start of thread or program ][ _start ]
 *
 * So is the stack of a thread that is in the middle of nothing; the first part is missing where it computes. Anywhere else a
 * frame of libc may hold one of its locks: in fork() those of all handlers, in exit(), in dl_iterate_phdr().
 *
 * Invariant: `code` is the mappings of code that `files` is of.
 */

enum { START_FRAMES = 3, STACK_MAX = 16 << 20, STACK_PART = 1 << 16, PAGE = 4096 };

struct cli_frames {
    const cli_process *process;
    const cli_tracee *tracee;
    Dwfl *files;
    uint64_t code; /* hash of the mappings of code */
    cli_frames_range *mappings;
    size_t mapping_count;
    size_t mapping_room;
};

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

/* -------------------------------------------------------------------------------------------------
 * The files in the process.
 */

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

/* What libdwfl passes nothing along for. */
static const cli_process *looked_at;

/* True if the file begins as the memory does, which has the build-id and the tables of the file in front. */
static bool is_in_memory(int file, uint64_t base)
{
    unsigned char of_file[PAGE];
    unsigned char of_memory[PAGE];
    const ssize_t size = pread(file, of_file, sizeof of_file, 0);
    return size > 0 && cli_process_read(looked_at, base, of_memory, (size_t)size) &&
           memcmp(of_file, of_memory, (size_t)size) == 0;
}

/* The end of the mapping that begins at `base`; 0: there is none. */
static uint64_t find_mapping_end(uint64_t base, FILE *maps)
{
    char line[PAGE];
    uint64_t end = 0;
    while (maps != NULL && end == 0 && fgets(line, sizeof line, maps) != NULL) {
        char *rest;
        if (strtoull(line, &rest, 16) == base && *rest == '-') {
            end = strtoull(rest + 1, NULL, 16);
        }
    }
    return end;
}

static FILE *open_maps(const cli_process *process)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/maps", (long)process->id,
             (long)cli_process_thread(process));
    return fopen(path, "re");
}

/* The file itself, where the kernel lets us, or else what is at its path in the process's own tree. */
static int open_file(const char *name, uint64_t base)
{
    char path[PAGE];
    const long thread = (long)cli_process_thread(looked_at);
    FILE *maps = open_maps(looked_at);
    const uint64_t end = find_mapping_end(base, maps);
    if (maps != NULL) {
        fclose(maps);
    }
    snprintf(path, sizeof path, "/proc/%ld/map_files/%llx-%llx", thread, (unsigned long long)base,
             (unsigned long long)end);
    int file = end != 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) {
        snprintf(path, sizeof path, "/proc/%ld/root%s", thread, name);
        file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    if (file >= 0 && !is_in_memory(file, base)) {
        close(file);
        file = -1;
    }
    return file;
}

static int find_file(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                     char **path, Elf **elf)
{
    if (name[0] != '/') {
        return elfutils->dwfl_linux_proc_find_elf(module, data, name, base, path, elf);
    }
    const int file = open_file(name, base);
    if (file >= 0) {
        *path = strdup(name);
    }
    return file;
}

static Dwfl *open_files(const cli_process *process)
{
    static const Dwfl_Callbacks callbacks = {
        .find_elf = find_file,
        .find_debuginfo = find_no_debug_file,
    };
    looked_at = process;
    Dwfl *files = elfutils->dwfl_begin(&callbacks);
    const int error = files != NULL
                          ? elfutils->dwfl_linux_proc_report(files, cli_process_thread(process))
                          : ENOMEM;
    if (error != 0 || elfutils->dwfl_report_end(files, NULL, NULL) != 0) {
        const char *text = error > 0 ? strerror(error) : elfutils->dwfl_errmsg(-1);
        if (cli_process_has_ended(process)) {
            cli_error("process %ld has ended", (long)process->id);
        } else {
            cli_error("what is in the memory of process %ld cannot be read: %s", (long)process->id,
                      text != NULL ? text : "the kernel does not say why");
        }
        elfutils->dwfl_end(files);
        return NULL;
    }
    return files;
}

static void add_mapping(cli_frames *frames, cli_frames_range mapping)
{
    if (frames->mapping_count == frames->mapping_room) {
        frames->mapping_room = frames->mapping_room != 0 ? frames->mapping_room * 2 : 256;
        frames->mappings =
            realloc(frames->mappings, frames->mapping_room * sizeof *frames->mappings);
        if (frames->mappings == NULL) {
            cli_fail_errno("no memory for the mappings of process %ld", (long)frames->process->id);
        }
    }
    frames->mappings[frames->mapping_count++] = mapping;
}

/* Reads what is mapped. The result is a hash of all code. */
static uint64_t read_mappings(cli_frames *frames)
{
    char line[PAGE];
    uint64_t hash = 0;
    FILE *maps = open_maps(frames->process);
    frames->mapping_count = 0;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        char *rest;
        const uint64_t start = strtoull(line, &rest, 16);
        const uint64_t end = *rest == '-' ? strtoull(rest + 1, &rest, 16) : 0;
        add_mapping(frames, (cli_frames_range){start, end});
        const bool is_code = strlen(rest) > 3 && rest[3] == 'x';
        for (const char *at = line; is_code && *at != '\0'; at++) {
            hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return hash;
}

/* The end of the mapping that has the address; 0: there is none. */
static uint64_t find_end(const cli_frames *frames, uint64_t address)
{
    for (size_t i = 0; i < frames->mapping_count; i++) {
        if (address >= frames->mappings[i].start && address < frames->mappings[i].end) {
            return frames->mappings[i].end;
        }
    }
    return 0;
}

/* -------------------------------------------------------------------------------------------------
 * What libdwfl asks for.
 */
static pid_t next_thread(Dwfl *files, void *context, void **thread)
{
    (void)files;
    (void)context;
    (void)thread;
    return 0;
}

static bool get_thread(Dwfl *files, pid_t id, void *context, void **thread)
{
    (void)files;
    const cli_frames *frames = context;
    for (size_t i = 0; i < frames->tracee->count; i++) {
        if (frames->tracee->threads[i].id == id) {
            *thread = &frames->tracee->threads[i];
            return true;
        }
    }
    return false;
}

static bool read_word(Dwfl *files, Dwarf_Addr address, Dwarf_Word *word, void *context)
{
    (void)files;
    const cli_frames *frames = context;
    return cli_process_read(frames->process, address, word, sizeof *word);
}

static bool set_registers(Dwfl_Thread *thread, void *context)
{
    uint64_t registers[CLI_TRACEE_REGISTERS];
    return cli_tracee_registers(context, registers) &&
           elfutils->dwfl_thread_state_registers(thread, 0, CLI_TRACEE_REGISTERS, registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = read_word,
    .set_initial_registers = set_registers,
};

bool cli_frames_renew(cli_frames *frames)
{
    const uint64_t code = read_mappings(frames);
    if (frames->files != NULL && frames->code == code) {
        return true;
    }
    elfutils->dwfl_end(frames->files);
    frames->code = code;
    frames->files = open_files(frames->process);
    if (frames->files != NULL && frames->tracee != NULL &&
        !elfutils->dwfl_attach_state(frames->files, NULL, frames->process->id, &thread_callbacks,
                                     frames)) {
        cli_error("the stacks of process %ld cannot be read: %s", (long)frames->process->id,
                  elfutils->dwfl_errmsg(-1));
        elfutils->dwfl_end(frames->files);
        frames->files = NULL;
    }
    return frames->files != NULL;
}

cli_frames *cli_frames_open(const cli_process *process, const cli_tracee *tracee)
{
    cli_frames *frames = cli_alloc(sizeof *frames);
    frames->process = process;
    frames->tracee = tracee;
    return load_elfutils() && cli_frames_renew(frames) ? frames : NULL;
}

void cli_frames_close(cli_frames *frames)
{
    if (frames != NULL) {
        elfutils->dwfl_end(frames->files);
        free(frames->mappings);
        *frames = (cli_frames){.files = NULL};
    }
}

/* -------------------------------------------------------------------------------------------------
 * Kinds of code.
 */
typedef enum frame_kind { FRAME_OTHER, FRAME_LIBC, FRAME_LOADER, FRAME_UNKNOWN } frame_kind;

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static frame_kind kind_of(Dwfl_Module *module)
{
    const char *path = module != NULL ? elfutils->dwfl_module_info(module, NULL, NULL, NULL, NULL,
                                                                   NULL, NULL, NULL)
                                      : NULL;
    if (path == NULL) {
        return FRAME_UNKNOWN;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (begins_with(name, "ld-") || begins_with(name, "ld.so")) {
        return FRAME_LOADER;
    }
    return begins_with(name, "libc.so") || begins_with(name, "libc-") ||
                   begins_with(name, "libpthread") || begins_with(name, "libdl") ||
                   begins_with(name, "librt")
               ? FRAME_LIBC
               : FRAME_OTHER;
}

/* -------------------------------------------------------------------------------------------------
 * Functions.
 */
typedef struct frames_search {
    const cli_frames *frames;
    cli_frames_function *functions;
    size_t count;
} frames_search;

/* The bytes of the file that are at an address of its own; NULL: there are not `size` of them. */
static const unsigned char *bytes_at(Elf *elf, uint64_t address, size_t size)
{
    size_t whole = 0;
    size_t segments = 0;
    const char *bytes = elfutils->elf_rawfile(elf, &whole);
    elfutils->elf_getphdrnum(elf, &segments);
    for (size_t i = 0; bytes != NULL && i < segments; i++) {
        GElf_Phdr segment;
        if (elfutils->gelf_getphdr(elf, (int)i, &segment) == NULL || segment.p_type != PT_LOAD ||
            address < segment.p_vaddr || address + size > segment.p_vaddr + segment.p_filesz) {
            continue;
        }
        const uint64_t offset = segment.p_offset + (address - segment.p_vaddr);
        return offset + size <= whole ? (const unsigned char *)bytes + offset : NULL;
    }
    return NULL;
}

static bool is_changed(const cli_frames *frames, Dwfl_Module *module, uint64_t address)
{
    enum { COMPARED = 16 };
    GElf_Addr bias = 0;
    Elf *elf = elfutils->dwfl_module_getelf(module, &bias);
    unsigned char there[COMPARED];
    const unsigned char *here = elf != NULL ? bytes_at(elf, address - bias, COMPARED) : NULL;
    return here == NULL || !cli_process_read(frames->process, address, there, sizeof there) ||
           memcmp(here, there, sizeof there) != 0;
}

static bool is_offered(const GElf_Sym *symbol)
{
    const unsigned char bind = GELF_ST_BIND(symbol->st_info);
    return symbol->st_shndx != SHN_UNDEF && GELF_ST_TYPE(symbol->st_info) == STT_FUNC &&
           (bind == STB_GLOBAL || bind == STB_WEAK);
}

static int look_for_functions(Dwfl_Module *module, void **data, const char *file, Dwarf_Addr start,
                              void *context)
{
    (void)data;
    (void)file;
    const frames_search *search = context;
    const frame_kind kind = kind_of(module);
    const int count = elfutils->dwfl_module_getsymtab(module);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        const char *name =
            elfutils->dwfl_module_getsym_info(module, i, &symbol, &address, NULL, NULL, NULL);
        if (name == NULL || !is_offered(&symbol)) {
            continue;
        }
        for (size_t f = 0; f < search->count; f++) {
            cli_frames_function *function = &search->functions[f];
            if (function->address == 0 && strcmp(name, function->name) == 0 &&
                function->is_system == (kind == FRAME_LIBC)) {
                function->address = address;
                function->size = symbol.st_size;
                function->start = start;
                function->is_changed = is_changed(search->frames, module, address);
                elfutils->dwfl_module_info(module, NULL, NULL, &function->end, NULL, NULL, NULL,
                                           NULL);
            }
        }
    }
    return DWARF_CB_OK;
}

void cli_frames_find(cli_frames *frames, cli_frames_function *functions, size_t count)
{
    frames_search search = {.frames = frames, .functions = functions, .count = count};
    elfutils->dwfl_getmodules(frames->files, look_for_functions, &search, 0);
}

cli_frames_range cli_frames_file_at(cli_frames *frames, uint64_t address)
{
    cli_frames_range range = {.start = 0};
    Dwfl_Module *module = elfutils->dwfl_addrmodule(frames->files, address);
    if (module != NULL) {
        elfutils->dwfl_module_info(module, NULL, &range.start, &range.end, NULL, NULL, NULL, NULL);
    }
    return range;
}

/* True of code that no stack goes on behind: libc says so of the start of a coroutine by having no rule for it. */
static bool is_without_rules(const cli_frames *frames, uint64_t at)
{
    Dwarf_Addr bias = 0;
    Dwfl_Module *module = elfutils->dwfl_addrmodule(frames->files, at);
    Dwarf_CFI *rules = module != NULL ? elfutils->dwfl_module_eh_cfi(module, &bias) : NULL;
    Dwarf_Frame *rule = NULL;
    const bool is_without = rules != NULL && kind_of(module) == FRAME_LIBC &&
                            elfutils->dwarf_cfi_addrframe(rules, at - bias, &rule) != 0;
    free(rule);
    return is_without;
}

/* -------------------------------------------------------------------------------------------------
 * Safe threads.
 */
typedef struct frames_look {
    const cli_frames *frames;
    cli_frames_range allocator;
    bool is_waiting;
    bool is_safe;
    unsigned inner; /* frames of libc so far, with no other so far */
    unsigned middle;
    unsigned start; /* of libc, after others */
    unsigned outer; /* after those */
    uint64_t last;
} frames_look;

/* Takes one more frame into account. False: the thread is not safe. */
static bool count_frame(frames_look *look, uint64_t at, bool is_activation)
{
    look->last = at;
    const bool is_first = look->inner + look->middle == 0;
    const frame_kind kind = kind_of(elfutils->dwfl_addrmodule(look->frames->files, at));
    const bool is_allocators = at >= look->allocator.start && at < look->allocator.end;
    /* A frame that was interrupted by a signal may have been in the middle of anything. */
    if (is_allocators || kind == FRAME_LOADER || kind == FRAME_UNKNOWN ||
        is_activation != is_first) {
        return false;
    }
    if (kind == FRAME_LIBC && look->middle == 0) {
        look->inner++;
        return look->is_waiting;
    }
    if (kind == FRAME_LIBC) {
        look->start++;
        return look->start <= START_FRAMES && look->outer == 0;
    }
    look->middle += look->start == 0;
    look->outer += look->start != 0;
    return look->outer <= 1;
}

static int look_at_frame(Dwfl_Frame *frame, void *context)
{
    frames_look *look = context;
    Dwarf_Addr code;
    bool is_activation;
    look->is_safe = elfutils->dwfl_frame_pc(frame, &code, &is_activation) &&
                    count_frame(look, code - !is_activation, is_activation);
    return look->is_safe ? DWARF_CB_OK : DWARF_CB_ABORT;
}

bool cli_frames_is_safe(cli_frames *frames, const cli_tracee_thread *thread,
                        cli_frames_range allocator)
{
    if (thread->signal != 0 || thread->is_suspended) {
        return false;
    }
    frames_look look = {.frames = frames, .allocator = allocator, .is_waiting = thread->call >= 0};
    /* A stack that cannot be followed to its end may have anything in the rest. */
    const bool is_whole =
        elfutils->dwfl_getthread_frames(frames->files, thread->id, look_at_frame, &look) == 0 ||
        is_without_rules(frames, look.last);
    return is_whole && look.is_safe && look.middle > 0 && look.start > 0;
}

/* -------------------------------------------------------------------------------------------------
 * Ranges.
 */
typedef struct frames_ranges {
    const cli_frames_range *ranges;
    size_t count;
    bool is_in;
    uint64_t last;
} frames_ranges;

static bool is_in(const frames_ranges *look, uint64_t address)
{
    for (size_t i = 0; i < look->count; i++) {
        if (address >= look->ranges[i].start && address < look->ranges[i].end) {
            return true;
        }
    }
    return false;
}

/* True if there may be such an address on the stack: a frame's, that of a frame that a signal interrupted, or one left over. */
static bool may_hold(const cli_frames *frames, uint64_t stack, const frames_ranges *look)
{
    static uint64_t words[STACK_PART / sizeof(uint64_t)];
    const uint64_t start = stack & ~UINT64_C(7);
    const uint64_t end = find_end(frames, stack);
    for (uint64_t at = start; at < end && at < start + STACK_MAX;) {
        const size_t most = end - at < sizeof words ? end - at : sizeof words;
        const size_t size = cli_process_read_some(frames->process, at, words, most);
        if (size == 0) {
            return true;
        }
        for (size_t i = 0; i < size / sizeof *words; i++) {
            if (is_in(look, words[i])) {
                return true;
            }
        }
        at += size;
    }
    return end == 0 || end > start + STACK_MAX;
}

static int look_for_range(Dwfl_Frame *frame, void *context)
{
    frames_ranges *look = context;
    Dwarf_Addr code;
    bool is_activation;
    look->is_in = !elfutils->dwfl_frame_pc(frame, &code, &is_activation) || is_in(look, code);
    look->last = look->is_in ? 0 : code - !is_activation;
    return look->is_in ? DWARF_CB_ABORT : DWARF_CB_OK;
}

bool cli_frames_may_be_in(cli_frames *frames, const cli_tracee_thread *thread,
                          const cli_frames_range *ranges, size_t count)
{
    frames_ranges look = {.ranges = ranges, .count = count};
    uint64_t code;
    uint64_t stack;
    if (!cli_tracee_place(thread, &code, &stack) || is_in(&look, code)) {
        return true;
    }
    if (!may_hold(frames, stack, &look)) {
        return false;
    }
    const bool is_whole =
        elfutils->dwfl_getthread_frames(frames->files, thread->id, look_for_range, &look) == 0 ||
        is_without_rules(frames, look.last);
    return !is_whole || look.is_in;
}
