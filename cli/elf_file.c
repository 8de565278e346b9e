/* SPDX-License-Identifier: MIT */
#include "elf_file.h"

#include "cli.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 *   [ header | program headers ... | dynamic section ... | symbols ... | section headers ]
 *
 * Addresses in the dynamic section become offsets in the file by way of the loadable segments.
 */

typedef struct image {
    const unsigned char *bytes;
    size_t size;
} image;

/* Copied out, because nothing in the file need be aligned; false when it is not all there. */
static bool copy_out(image file, uint64_t offset, void *to, size_t size)
{
    if (offset > file.size || size > file.size - offset) {
        return false;
    }
    memcpy(to, file.bytes + offset, size);
    return true;
}

/* The text at an offset if it ends inside the file, else NULL. */
static const char *text_at(image file, uint64_t offset)
{
    if (offset >= file.size ||
        memchr(file.bytes + offset, '\0', file.size - (size_t)offset) == NULL) {
        return NULL;
    }
    return (const char *)file.bytes + offset;
}

static bool program_header(image file, const ElfW(Ehdr) * header, size_t index, ElfW(Phdr) * entry)
{
    return header->e_phentsize == sizeof *entry &&
           copy_out(file, header->e_phoff + (uint64_t)index * sizeof *entry, entry, sizeof *entry);
}

static bool section_header(image file, const ElfW(Ehdr) * header, size_t index, ElfW(Shdr) * entry)
{
    return header->e_shentsize == sizeof *entry &&
           copy_out(file, header->e_shoff + (uint64_t)index * sizeof *entry, entry, sizeof *entry);
}

/* Where in the file an address is loaded from; UINT64_MAX when nowhere. */
static uint64_t offset_of(image file, const ElfW(Ehdr) * header, uint64_t address)
{
    for (size_t i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) entry;
        if (program_header(file, header, i, &entry) && entry.p_type == PT_LOAD &&
            address >= entry.p_vaddr && address - entry.p_vaddr < entry.p_filesz) {
            return entry.p_offset + (address - entry.p_vaddr);
        }
    }
    return UINT64_MAX;
}

static bool is_allocator_name(const char *name)
{
    static const char *const known[] = {"libjemalloc", "libmimalloc", "libtcmalloc",   "libhoard",
                                        "libsnmalloc", "librpmalloc", "libtarn-malloc"};
    const char *slash = strrchr(name, '/');
    name = slash != NULL ? slash + 1 : name;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(name, known[i], strlen(known[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool dynamic_entry(image file, const ElfW(Phdr) * dynamic, size_t index, ElfW(Dyn) * entry)
{
    const uint64_t offset = (uint64_t)index * sizeof *entry;
    return offset < dynamic->p_filesz &&
           copy_out(file, dynamic->p_offset + offset, entry, sizeof *entry) &&
           entry->d_tag != DT_NULL;
}

static void read_dynamic(image file, const ElfW(Ehdr) * header, const ElfW(Phdr) * dynamic,
                         cli_elf *elf)
{
    ElfW(Dyn) entry;
    uint64_t strings = UINT64_MAX;
    for (size_t i = 0; dynamic_entry(file, dynamic, i, &entry); i++) {
        if (entry.d_tag == DT_STRTAB) {
            strings = offset_of(file, header, entry.d_un.d_ptr);
        }
    }
    if (strings == UINT64_MAX) {
        return;
    }
    for (size_t i = 0; dynamic_entry(file, dynamic, i, &entry); i++) {
        if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_SONAME) {
            continue;
        }
        const char *name = text_at(file, strings + entry.d_un.d_val);
        if (name == NULL) {
            continue;
        }
        if (entry.d_tag == DT_SONAME) {
            elf->is_loader = strncmp(name, "ld-", 3) == 0 || strncmp(name, "ld.", 3) == 0 ||
                             strncmp(name, "ld64.", 5) == 0;
        } else if (elf->allocator == NULL && is_allocator_name(name)) {
            elf->allocator = cli_copy(name);
        }
    }
}

static bool is_malloc(image file, const ElfW(Shdr) * strings, const ElfW(Sym) * symbol)
{
    const unsigned char type = symbol->st_info & 0xf;
    const unsigned char binding = symbol->st_info >> 4;
    if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC) ||
        (binding != STB_GLOBAL && binding != STB_WEAK)) {
        return false;
    }
    const char *name = text_at(file, strings->sh_offset + symbol->st_name);
    return name != NULL && strcmp(name, "malloc") == 0;
}

static bool has_malloc(image file, const ElfW(Ehdr) * header)
{
    for (size_t i = 0; i < header->e_shnum; i++) {
        ElfW(Shdr) table;
        ElfW(Shdr) strings;
        if (!section_header(file, header, i, &table) || table.sh_type != SHT_DYNSYM ||
            !section_header(file, header, table.sh_link, &strings)) {
            continue;
        }
        ElfW(Sym) symbol;
        for (uint64_t at = 0; at < table.sh_size; at += sizeof symbol) {
            if (!copy_out(file, table.sh_offset + at, &symbol, sizeof symbol)) {
                break;
            }
            if (is_malloc(file, &strings, &symbol)) {
                return true;
            }
        }
    }
    return false;
}

/* Two files run on the same machine when these fields agree; ours is the running program. */
static bool is_native(const ElfW(Ehdr) * header)
{
    static ElfW(Ehdr) own;
    if (own.e_machine == EM_NONE) {
        const int descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        if (descriptor < 0 || read(descriptor, &own, sizeof own) != sizeof own) {
            cli_fail_errno("cannot read /proc/self/exe");
        }
        close(descriptor);
    }
    return header->e_ident[EI_CLASS] == own.e_ident[EI_CLASS] &&
           header->e_ident[EI_DATA] == own.e_ident[EI_DATA] && header->e_machine == own.e_machine;
}

static void read_image(image file, cli_elf *elf)
{
    ElfW(Ehdr) header;
    if (file.size < SELFMAG || memcmp(file.bytes, ELFMAG, SELFMAG) != 0) {
        elf->kind = CLI_ELF_NONE;
        return;
    }
    if (!copy_out(file, 0, &header, sizeof header)) {
        elf->kind = CLI_ELF_BROKEN;
        return;
    }
    elf->bits = header.e_ident[EI_CLASS] == ELFCLASS64   ? 64
                : header.e_ident[EI_CLASS] == ELFCLASS32 ? 32
                                                         : 0;
    if (!is_native(&header)) {
        elf->kind = CLI_ELF_FOREIGN;
        return;
    }
    elf->kind = CLI_ELF_NATIVE;
    elf->is_shared = header.e_type == ET_DYN;
    for (size_t i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) entry;
        if (!program_header(file, &header, i, &entry)) {
            elf->kind = CLI_ELF_BROKEN;
            return;
        }
        if (entry.p_type == PT_INTERP) {
            const char *loader = text_at(file, entry.p_offset);
            elf->loader = loader != NULL ? cli_copy(loader) : NULL;
        } else if (entry.p_type == PT_DYNAMIC) {
            read_dynamic(file, &header, &entry, elf);
        }
    }
    elf->has_malloc = has_malloc(file, &header);
}

bool cli_elf_read(const char *path, cli_elf *elf)
{
    *elf = (cli_elf){.kind = CLI_ELF_NONE};
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (descriptor < 0) {
        return false;
    }
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
        close(descriptor);
        return true;
    }
    const size_t size = (size_t)status.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int error = errno;
    close(descriptor);
    if (bytes == MAP_FAILED) {
        errno = error;
        return false;
    }
    read_image((image){bytes, size}, elf);
    munmap(bytes, size);
    return true;
}
