/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_CLI_ELFUTILS_H
#define TARN_CLI_CLI_ELFUTILS_H

/*
 * The library of elfutils that knows symbols and the stacks of processes, loaded when it is asked
 * for: most commands of `tarn` need none of it, and what it needs would be in the memory of each, and
 * be counted against the programs that they measure.
 */

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <gelf.h>

/* What is used of it. */
#define CLI_ELFUTILS(X)                                                                            \
    X(dwarf_attr)                                                                                  \
    X(dwarf_attr_integrate)                                                                        \
    X(dwarf_cfi_addrframe)                                                                         \
    X(dwarf_filesrc)                                                                               \
    X(dwarf_formstring)                                                                            \
    X(dwarf_formudata)                                                                             \
    X(dwarf_getscopes)                                                                             \
    X(dwarf_getscopes_die)                                                                         \
    X(dwarf_getsrcfiles)                                                                           \
    X(dwarf_tag)                                                                                   \
    X(dwfl_addrmodule)                                                                             \
    X(dwfl_attach_state)                                                                           \
    X(dwfl_begin)                                                                                  \
    X(dwfl_build_id_find_elf)                                                                      \
    X(dwfl_end)                                                                                    \
    X(dwfl_errmsg)                                                                                 \
    X(dwfl_frame_pc)                                                                               \
    X(dwfl_getmodules)                                                                             \
    X(dwfl_getthread_frames)                                                                       \
    X(dwfl_lineinfo)                                                                               \
    X(dwfl_linux_proc_find_elf)                                                                    \
    X(dwfl_linux_proc_report)                                                                      \
    X(dwfl_module_addrdie)                                                                         \
    X(dwfl_module_addrinfo)                                                                        \
    X(dwfl_module_build_id)                                                                        \
    X(dwfl_module_eh_cfi)                                                                          \
    X(dwfl_module_getelf)                                                                          \
    X(dwfl_module_getsrc)                                                                          \
    X(dwfl_module_getsym_info)                                                                     \
    X(dwfl_module_getsymtab)                                                                       \
    X(dwfl_module_info)                                                                            \
    X(dwfl_offline_section_address)                                                                \
    X(dwfl_report_begin)                                                                           \
    X(dwfl_report_end)                                                                             \
    X(dwfl_report_offline)                                                                         \
    X(dwfl_standard_find_debuginfo)                                                                \
    X(dwfl_thread_state_registers)                                                                 \
    X(elf_getphdrnum)                                                                              \
    X(elf_rawfile)                                                                                 \
    X(gelf_getphdr)

typedef struct cli_elfutils {
#define CLI_MEMBER(name) __typeof__(name) *(name);
    CLI_ELFUTILS(CLI_MEMBER)
#undef CLI_MEMBER
} cli_elfutils;

/* NULL, with the reason in *why, if the library is not there or is not the one that it should be. It stays. */
const cli_elfutils *cli_elfutils_load(const char **why);

#endif
