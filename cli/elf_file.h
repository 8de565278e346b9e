/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_ELF_FILE_H
#define TARN_CLI_ELF_FILE_H

/*
 * What an ELF file says about itself, as far as it matters to preloading. Nothing in the file is
 * trusted: every offset is checked against its size.
 */

#include <stdbool.h>

typedef enum cli_elf_kind {
    CLI_ELF_NONE,    /* no ELF file */
    CLI_ELF_BROKEN,  /* starts as one, but is cut off or makes no sense */
    CLI_ELF_FOREIGN, /* for a machine, word size or byte order that tarn itself is not built for */
    CLI_ELF_NATIVE
} cli_elf_kind;

/* The fields after `kind` are set for native files only. */
typedef struct cli_elf {
    cli_elf_kind kind;
    int bits;        /* 32 or 64; set for foreign files as well, 0 when it is neither */
    bool is_shared;  /* ET_DYN: a shared library or a position-independent program */
    bool is_loader;  /* the dynamic loader itself */
    bool has_malloc; /* defines a function malloc that others see */
    char *loader; /* the dynamic loader that it asks for; NULL: it is loaded by the kernel alone */
    char *allocator; /* the first library it needs that is a known allocator; NULL: none */
} cli_elf;

/* Reads the file; false, with errno, when it cannot be opened or mapped. */
bool cli_elf_read(const char *path, cli_elf *elf);

#endif
