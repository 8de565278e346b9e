/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_ELFUTILS_H
#define TARN_CLI_REPORT_ELFUTILS_H

/*
 * The library of elfutils that knows symbols, loaded when it is asked for: most commands of `tarn`
 * need none of it, and what it needs would be in the memory of each, and be counted against the
 * programs that they measure.
 */

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

/* What is used of it. */
#define REPORT_ELFUTILS(X)                                                                         \
    X(dwarf_attr)                                                                                  \
    X(dwarf_attr_integrate)                                                                        \
    X(dwarf_filesrc)                                                                               \
    X(dwarf_formstring)                                                                            \
    X(dwarf_formudata)                                                                             \
    X(dwarf_getscopes)                                                                             \
    X(dwarf_getscopes_die)                                                                         \
    X(dwarf_getsrcfiles)                                                                           \
    X(dwarf_tag)                                                                                   \
    X(dwfl_begin)                                                                                  \
    X(dwfl_build_id_find_elf)                                                                      \
    X(dwfl_end)                                                                                    \
    X(dwfl_lineinfo)                                                                               \
    X(dwfl_module_addrdie)                                                                         \
    X(dwfl_module_addrinfo)                                                                        \
    X(dwfl_module_build_id)                                                                        \
    X(dwfl_module_getelf)                                                                          \
    X(dwfl_module_getsrc)                                                                          \
    X(dwfl_offline_section_address)                                                                \
    X(dwfl_report_begin)                                                                           \
    X(dwfl_report_end)                                                                             \
    X(dwfl_report_offline)                                                                         \
    X(dwfl_standard_find_debuginfo)

typedef struct report_elfutils {
#define REPORT_MEMBER(name) __typeof__(name) *(name);
    REPORT_ELFUTILS(REPORT_MEMBER)
#undef REPORT_MEMBER
} report_elfutils;

/* NULL, said, if the library is not there or is not the one that it should be. It stays. */
const report_elfutils *report_elfutils_load(void);

#endif
