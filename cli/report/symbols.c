/* SPDX-License-Identifier: MIT */
#include "symbols.h"

#include "cli.h"
#include "elfutils.h"
#include "memory.h"

#include <dwarf.h>
#include <inttypes.h>
#include <libiberty/demangle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INLINES_MAX = 64, NAME_ROOM = 1 << 14 };

/* What of a module's file is open. Modules with the same path and build-id share one. */
typedef struct symbols_file {
    uint32_t path; /* texts */
    uint32_t build_id;
    Dwfl *dwfl; /* NULL: there is nothing to ask */
    Dwfl_Module *module;
    uint64_t bias; /* what the library adds to addresses of the file */
} symbols_file;

/* The frames that an address became: `count` of them from `first` on in a list. */
typedef struct symbols_span {
    uint32_t first;
    uint32_t count; /* 0: not looked up yet */
} symbols_span;

struct report_symbols {
    report_symbol_options options;
    report_texts *texts;
    const report_modules *modules;
    const report_stacks *stacks;
    report_frames *frames;
    char *debug_path; /* as the library takes it */
    Dwfl_Callbacks callbacks;
    symbols_file *files;
    size_t file_count;
    size_t file_room;
    size_t missing;      /* of the files: neither there nor a file for debuggers in their place */
    uint32_t *file_of;   /* by module; REPORT_NONE: not looked for yet */
    symbols_span *spans; /* by address of the stacks */
    uint32_t *list;
    size_t list_count;
    size_t list_room;
    uint32_t found[INLINES_MAX]; /* of the address that is looked up */
    size_t found_count;
};

/* -------------------------------------------------------------------------------------------------
 * Files.
 */

/* Set before any file is opened. */
static const cli_elfutils *elfutils;

/* Where the machine's files are, for the callback, which the library gives no better way to know.
 * */
static const char *sysroot_of_search;

/* Files for debuggers lie below a folder by the path of the program's file, which has to be the one
 * that it had on its own machine. */
static int find_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                          const char *path, const char *link, GElf_Word check, char **found)
{
    const size_t size = sysroot_of_search != NULL ? strlen(sysroot_of_search) : 0;
    if (size != 0 && path != NULL && strncmp(path, sysroot_of_search, size) == 0) {
        const int file = elfutils->dwfl_standard_find_debuginfo(module, data, name, base,
                                                                path + size, link, check, found);
        if (file >= 0) {
            return file;
        }
    }
    return elfutils->dwfl_standard_find_debuginfo(module, data, name, base, path, link, check,
                                                  found);
}

static char *make_debug_path(const report_symbol_options *options)
{
    char *path = cli_copy(":.debug");
    for (size_t i = 0; i < options->debug_count; i++) {
        path = cli_format("%s:%s", path, options->debug[i]);
    }
    if (options->sysroot != NULL) {
        path = cli_format("%s:%s/usr/lib/debug", path, options->sysroot);
    }
    return cli_format("%s:/usr/lib/debug", path);
}

static void close_file(symbols_file *file)
{
    if (file->dwfl != NULL) {
        elfutils->dwfl_end(file->dwfl);
    }
    file->dwfl = NULL;
    file->module = NULL;
}

static bool has_build_id(const report_symbols *symbols, const symbols_file *file)
{
    const char *wanted = report_texts_get(symbols->texts, file->build_id);
    const unsigned char *bytes;
    GElf_Addr where;
    const int size = elfutils->dwfl_module_build_id(file->module, &bytes, &where);
    if (*wanted == '\0') {
        return true;
    }
    char text[3] = "";
    for (int i = 0; i < size; i++) {
        snprintf(text, sizeof text, "%02x", bytes[i]);
        if (strncmp(wanted, text, 2) != 0) {
            return false;
        }
        wanted += 2;
    }
    return size > 0 && *wanted == '\0';
}

/* Opens the ELF file at `path`; false if there is none. */
static bool open_elf(report_symbols *symbols, symbols_file *file, const char *path)
{
    file->dwfl = elfutils->dwfl_begin(&symbols->callbacks);
    if (file->dwfl != NULL) {
        elfutils->dwfl_report_begin(file->dwfl);
        file->module = elfutils->dwfl_report_offline(file->dwfl, path, path, -1);
        elfutils->dwfl_report_end(file->dwfl, NULL, NULL);
    }
    GElf_Addr bias;
    if (file->module != NULL && elfutils->dwfl_module_getelf(file->module, &bias) != NULL) {
        file->bias = bias;
        return true;
    }
    close_file(file);
    return false;
}

/* The file for debuggers that has the build-id of a file that is not here. */
static void open_by_build_id(report_symbols *symbols, symbols_file *file)
{
    const char *id = report_texts_get(symbols->texts, file->build_id);
    if (strlen(id) < 3) {
        return;
    }
    char *folders = cli_copy(symbols->debug_path);
    char *rest;
    for (char *folder = strtok_r(folders, ":", &rest); folder != NULL;
         folder = strtok_r(NULL, ":", &rest)) {
        const char *path = cli_format("%s/.build-id/%.2s/%s.debug", folder, id, id + 2);
        if (*folder == '/' && open_elf(symbols, file, path)) {
            if (has_build_id(symbols, file)) {
                return;
            }
            close_file(file);
        }
    }
}

static void open_file(report_symbols *symbols, symbols_file *file)
{
    const char *path = report_texts_get(symbols->texts, file->path);
    const char *sysroot = symbols->options.sysroot;
    bool is_other = false;
    if (*path == '/') {
        const char *here = sysroot != NULL ? cli_format("%s%s", sysroot, path) : cli_copy(path);
        if (open_elf(symbols, file, here) && !has_build_id(symbols, file)) {
            is_other = true;
            close_file(file);
        }
    }
    if (file->dwfl == NULL) {
        open_by_build_id(symbols, file);
    }
    symbols->missing += *path == '/' && file->dwfl == NULL && !is_other;
    if (file->dwfl == NULL && is_other) {
        cli_warning("'%s%s' is not the file that was recorded, by its build-id; its functions are "
                    "shown as addresses",
                    sysroot != NULL ? sysroot : "", report_texts_get(symbols->texts, file->path));
    }
}

void report_symbols_tell(const report_symbols *symbols)
{
    if (symbols->options.sysroot != NULL && symbols->missing != 0) {
        cli_warning(
            "--sysroot: the files of %zu of %zu modules are not below '%s'; their functions are "
            "shown as addresses",
            symbols->missing, symbols->file_count, symbols->options.sysroot);
    }
}

static symbols_file *file_of(report_symbols *symbols, uint32_t module)
{
    uint32_t *number = &symbols->file_of[module];
    const report_module *about = &symbols->modules->all[module];
    for (uint32_t i = 0; *number == REPORT_NONE && i < symbols->file_count; i++) {
        if (symbols->files[i].path == about->path &&
            symbols->files[i].build_id == about->build_id) {
            *number = i;
        }
    }
    if (*number == REPORT_NONE) {
        symbols->files = report_grown(symbols->files, symbols->file_count, &symbols->file_room,
                                      sizeof *symbols->files);
        symbols_file *file = &symbols->files[symbols->file_count];
        *file = (symbols_file){.path = about->path, .build_id = about->build_id};
        *number = (uint32_t)symbols->file_count++;
        open_file(symbols, file);
    }
    return &symbols->files[*number];
}

report_symbols *report_symbols_create(const report_symbol_options *options, report_texts *texts,
                                      const report_modules *modules, const report_stacks *stacks,
                                      report_frames *frames)
{
    report_symbols *symbols = report_zeroed(1, sizeof *symbols);
    symbols->options = *options;
    symbols->texts = texts;
    symbols->modules = modules;
    symbols->stacks = stacks;
    symbols->frames = frames;
    symbols->spans = report_zeroed(stacks->frame_count, sizeof *symbols->spans);
    symbols->debug_path = make_debug_path(options);
    symbols->file_of = report_resized(NULL, modules->count, sizeof *symbols->file_of);
    memset(symbols->file_of, 0xff, modules->count * sizeof *symbols->file_of);
    const char *why = NULL;
    elfutils = options->is_off ? NULL : cli_elfutils_load(&why);
    if (why != NULL) {
        cli_warning("functions are shown as addresses: %s", why);
    }
    if (elfutils == NULL) {
        symbols->options.is_off = true;
        return symbols;
    }
    symbols->callbacks = (Dwfl_Callbacks){
        .find_elf = elfutils->dwfl_build_id_find_elf,
        .find_debuginfo = find_debuginfo,
        .section_address = elfutils->dwfl_offline_section_address,
        .debuginfo_path = &symbols->debug_path,
    };
    sysroot_of_search = options->sysroot;
    return symbols;
}

void report_symbols_free(report_symbols *symbols)
{
    if (symbols != NULL) {
        for (size_t i = 0; i < symbols->file_count; i++) {
            close_file(&symbols->files[i]);
        }
        free(symbols->files);
        free(symbols->file_of);
        free(symbols->spans);
        free(symbols->list);
        free(symbols);
    }
}

/* -------------------------------------------------------------------------------------------------
 * Names.
 */

/* A place in a source. */
typedef struct symbols_source {
    const char *file; /* NULL: not known */
    int line;
} symbols_source;

static bool is_mangled(const char *symbol)
{
    return symbol != NULL && (strncmp(symbol, "_Z", 2) == 0 || strncmp(symbol, "_R", 2) == 0);
}

static uint32_t name_of(report_symbols *symbols, const char *symbol)
{
    char name[NAME_ROOM];
    size_t size = strlen(symbol);
    /* What compilers make of a function for some of its callers is the same function to readers. */
    if (is_mangled(symbol)) {
        size = strcspn(symbol, ".");
    }
    if (size >= sizeof name) {
        return report_texts_add_string(symbols->texts, symbol);
    }
    memcpy(name, symbol, size);
    name[size] = '\0';
    char *readable = cplus_demangle(name, DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI);
    const uint32_t text =
        report_texts_add_string(symbols->texts, readable != NULL ? readable : name);
    free(readable);
    return text;
}

static void put(report_symbols *symbols, uint32_t function, uint32_t module, symbols_source source)
{
    if (symbols->found_count == INLINES_MAX) {
        return;
    }
    const report_frame frame = {
        .function = function,
        .file = source.file != NULL ? report_texts_add_string(symbols->texts, source.file) : 0,
        .module = module,
        .line = source.file != NULL && source.line > 0 ? (uint32_t)source.line : 0,
    };
    symbols->found[symbols->found_count++] = report_frames_add(symbols->frames, frame);
}

static const char *string_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    return elfutils->dwarf_formstring(elfutils->dwarf_attr_integrate(die, name, &attribute));
}

/* The linkage name has what a name in the source lacks: classes, parameters. In C it is a name for
 * linkers alone, if there is one. */
static const char *symbol_of(Dwarf_Die *die)
{
    const char *name = string_of(die, DW_AT_name);
    const char *symbol = string_of(die, DW_AT_linkage_name);
    if (symbol == NULL) {
        symbol = string_of(die, DW_AT_MIPS_linkage_name);
    }
    return is_mangled(symbol) || name == NULL ? symbol : name;
}

/* What the symbol table calls the place; NULL if nothing. */
static const char *symbol_at(const symbols_file *file, Dwarf_Addr place)
{
    GElf_Off distance;
    GElf_Sym symbol;
    const char *name =
        elfutils->dwfl_module_addrinfo(file->module, place, &distance, &symbol, NULL, NULL, NULL);
    return name != NULL && *name != '\0' ? name : NULL;
}

static uint64_t number_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number = 0;
    elfutils->dwarf_formudata(elfutils->dwarf_attr(die, name, &attribute), &number);
    return number;
}

/* From where the function that was put into another is called. */
static symbols_source caller_of(Dwarf_Die *unit, Dwarf_Die *inlined)
{
    Dwarf_Files *files;
    size_t count;
    const uint64_t file = number_of(inlined, DW_AT_call_file);
    symbols_source source = {.line = (int)number_of(inlined, DW_AT_call_line)};
    if (elfutils->dwarf_getsrcfiles(unit, &files, &count) == 0 && file < count) {
        source.file = elfutils->dwarf_filesrc(files, file, NULL, NULL);
    }
    return source;
}

/* The functions around a place, by what debuggers are told. False if they are not told. */
static bool put_scopes(report_symbols *symbols, const symbols_file *file, Dwarf_Addr place,
                       symbols_source source)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = elfutils->dwfl_module_addrdie(file->module, place, &bias);
    Dwarf_Die *inner = NULL;
    Dwarf_Die *scopes = NULL;
    int count = 0;
    if (unit != NULL && elfutils->dwarf_getscopes(unit, place - bias, &inner) > 0) {
        count = elfutils->dwarf_getscopes_die(&inner[0], &scopes);
    }
    bool has_function = false;
    for (int i = 0; i < count && !has_function; i++) {
        const int tag = elfutils->dwarf_tag(&scopes[i]);
        if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine) {
            const char *symbol = symbol_of(&scopes[i]);
            /* Of functions that are no one else's, only the symbol table has the whole name. */
            if (tag == DW_TAG_subprogram && !is_mangled(symbol) &&
                is_mangled(symbol_at(file, place))) {
                symbol = symbol_at(file, place);
            }
            has_function = tag == DW_TAG_subprogram && symbol != NULL;
            put(symbols, name_of(symbols, symbol != NULL ? symbol : "(inlined)"), file->path,
                source);
            if (tag == DW_TAG_inlined_subroutine) {
                source = caller_of(unit, &scopes[i]);
            }
        }
    }
    free(inner);
    free(scopes);
    return has_function;
}

static symbols_source source_of(const symbols_file *file, Dwarf_Addr place)
{
    symbols_source source = {0};
    Dwfl_Line *line = elfutils->dwfl_module_getsrc(file->module, place);
    if (line != NULL) {
        source.file = elfutils->dwfl_lineinfo(line, NULL, &source.line, NULL, NULL, NULL);
    }
    return source;
}

static void put_named(report_symbols *symbols, const symbols_file *file, uint64_t place)
{
    const symbols_source source = source_of(file, place);
    if (put_scopes(symbols, file, place, source)) {
        return;
    }
    symbols->found_count = 0;
    const char *name = symbol_at(file, place);
    if (name != NULL) {
        put(symbols, name_of(symbols, name), file->path, source);
    }
}

static void put_unnamed(report_symbols *symbols, const report_address *address)
{
    char text[40];
    if (address->module == REPORT_NONE) {
        snprintf(text, sizeof text, "%#" PRIx64, address->address);
        put(symbols, report_texts_add_string(symbols->texts, text), 0, (symbols_source){0});
        return;
    }
    const report_module *module = &symbols->modules->all[address->module];
    snprintf(text, sizeof text, "+%#" PRIx64, address->address - module->bias);
    const char *path = report_texts_get(symbols->texts, module->path);
    const char *slash = strrchr(path, '/');
    const char *name = cli_format("%s%s", slash != NULL ? slash + 1 : path, text);
    put(symbols, report_texts_add_string(symbols->texts, name), module->path, (symbols_source){0});
}

static void look_up(report_symbols *symbols, const report_address *address)
{
    symbols->found_count = 0;
    if (address->module != REPORT_NONE && !symbols->options.is_off) {
        const symbols_file *file = file_of(symbols, address->module);
        if (file->dwfl != NULL) {
            /* The call is before what it returns to. */
            const uint64_t place =
                address->address - 1 - symbols->modules->all[address->module].bias + file->bias;
            put_named(symbols, file, place);
        }
    }
    if (symbols->found_count == 0) {
        put_unnamed(symbols, address);
    }
}

const uint32_t *report_symbols_find(report_symbols *symbols, uint32_t address, size_t *count)
{
    symbols_span *span = &symbols->spans[address];
    if (span->count == 0) {
        look_up(symbols, &symbols->stacks->frames[address]);
        *span = (symbols_span){.first = (uint32_t)symbols->list_count,
                               .count = (uint32_t)symbols->found_count};
        for (size_t i = 0; i < symbols->found_count; i++) {
            symbols->list = report_grown(symbols->list, symbols->list_count, &symbols->list_room,
                                         sizeof *symbols->list);
            symbols->list[symbols->list_count++] = symbols->found[i];
        }
    }
    *count = span->count;
    return symbols->list + span->first;
}
