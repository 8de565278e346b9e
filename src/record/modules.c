/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/record.h"

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/*
 * The files that are in memory, with what is needed to find their symbols later, on whatever machine: where
 * they are, and their build-ids. Looked at when recording begins and when a call site is seen for the first
 * time: code that was loaded since then is new.
 */

typedef struct module_count {
    uint64_t added;
    uint64_t removed;
} module_count;

static int count_modules(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    module_count *counted = context;
    counted->added = info->dlpi_adds;
    counted->removed = info->dlpi_subs;
    return 1;
}

/* A note as the ring has it. */
typedef struct module_note {
    uint64_t start;
    uint64_t size;
    uint64_t bias;
    uint64_t build_id_size;
    uint64_t path_size;
    unsigned char bytes[64 + RING_NAME_MAX];
} module_note;

_Static_assert(sizeof(module_note) <= RING_NOTE_BYTES_MAX, "a module's note fits");

/* The build-id among the notes of a segment, or NULL. */
static const unsigned char *find_build_id(const unsigned char *at, size_t size, size_t *id_size)
{
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) head;
        memcpy(&head, at, sizeof head);
        const size_t name_size = ((size_t)head.n_namesz + 3) & ~(size_t)3;
        const size_t whole = sizeof head + name_size + (((size_t)head.n_descsz + 3) & ~(size_t)3);
        if (whole > size) {
            return NULL;
        }
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
            memcmp(at + sizeof head, "GNU", 4) == 0 && head.n_descsz <= 64) {
            *id_size = head.n_descsz;
            return at + sizeof head + name_size;
        }
        at += whole;
        size -= whole;
    }
    return NULL;
}

typedef struct module_teller {
    record_process *here;
    record_thread *self;
} module_teller;

static int tell_module(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    module_note note = {.bias = info->dlpi_addr};
    uint64_t start = UINT64_MAX;
    uint64_t end = 0;
    const unsigned char *build_id = NULL;
    size_t build_id_size = 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const uint64_t from = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD) {
            start = from < start ? from : start;
            end = from + segment->p_memsz > end ? from + segment->p_memsz : end;
        }
        if (segment->p_type == PT_NOTE && build_id == NULL) {
            build_id = find_build_id((const unsigned char *)(uintptr_t)from, segment->p_memsz,
                                     &build_id_size);
        }
    }
    if (start >= end) {
        return 0;
    }
    note.start = start;
    note.size = end - start;
    note.build_id_size = build_id != NULL ? build_id_size : 0;
    if (build_id != NULL) {
        memcpy(note.bytes, build_id, build_id_size);
    }
    char *path = (char *)note.bytes + note.build_id_size;
    if (info->dlpi_name != NULL && info->dlpi_name[0] != '\0') {
        note.path_size = strnlen(info->dlpi_name, RING_NAME_MAX);
        memcpy(path, info->dlpi_name, note.path_size);
    } else {
        const ssize_t got = readlink("/proc/self/exe", path, RING_NAME_MAX);
        note.path_size = got > 0 ? (uint64_t)got : 0;
    }
    const module_teller *teller = context;
    record_note(teller->here, teller->self, RING_NOTE_MODULE, &note,
                offsetof(module_note, bytes) + note.build_id_size + note.path_size);
    return 0;
}

record_change record_modules(record_process *here, record_thread *self)
{
    module_count counted = {0};
    dl_iterate_phdr(count_modules, &counted);
    if (counted.added == here->modules_added && counted.removed == here->modules_removed) {
        return RECORD_SAME;
    }
    /* Whoever is at it tells them all. */
    if (!os_lock_try(&here->modules_lock)) {
        return RECORD_SAME;
    }
    const bool are_some_gone = counted.removed != here->modules_removed;
    here->modules_added = counted.added;
    here->modules_removed = counted.removed;
    os_lock_release(&here->modules_lock);
    module_teller teller = {.here = here, .self = self};
    dl_iterate_phdr(tell_module, &teller);
    return are_some_gone ? RECORD_SOME_GONE : RECORD_SOME_NEW;
}
