/* SPDX-License-Identifier: MIT */
#include "malloc/compact.h"

#include <string.h>

/*
 * Frames: pieces of files of memory.
 *
 *     file    [ 16 pages | 2 | 2 | 1 |1|   8    |  not touched yet ...          ]  FILE_BYTES, mapped once as a whole
 *
 * A frame is cut from the first file that has room; one that is free again keeps its place for the next of its kind,
 * its memory having gone back to the kernel. Windows are mapped by mremap from the file's own mapping, which
 * needs no descriptor: a program that closes all descriptors that it does not know does no harm. The descriptor
 * serves forks alone, and who it belongs to is looked at before and after.
 */

#define FILE_BYTES ((size_t)128 << 20)

struct compact_file {
    unsigned char *alias;
    int descriptor;
    uint32_t thread; /* in whose table that is; 0: the program's */
    uint64_t identity;
    int at_fork; /* a descriptor of the program's during a fork, or -1 */
    size_t cut;  /* bytes */
    compact_frame *free[FRAME_KINDS];
    compact_file *next;
};

os_lock compact_lock;
compact_frame *compact_open_frames[FRAME_KINDS];
_Atomic(size_t) compact_frame_pages_held;
_Atomic(size_t) compact_frame_sealed_windows;
_Atomic(uint64_t) compact_frames_loosened = 1;

uint32_t compact_table;

static compact_file *files;
static compact_file *left_files; /* sealed ones whose descriptor another thread has to close */
static compact_file *spare_files;
static compact_frame *spare_frames[FRAME_KINDS]; /* records without a place */

static compact_file *take_file_record(void)
{
    compact_file *file = spare_files;
    if (file != NULL) {
        spare_files = file->next;
        memset(file, 0, sizeof *file);
        return file;
    }
    return meta_take(sizeof *file);
}

static void spare_file_record(compact_file *file)
{
    file->next = spare_files;
    spare_files = file;
}

static compact_file *make_file(void)
{
    compact_file *file = take_file_record();
    if (file == NULL) {
        return NULL;
    }
    void *alias = NULL;
    int descriptor = -1;
    if (os_memory_file_create("tarn-frames", FILE_BYTES, os_page_size(), &descriptor) != 0) {
        spare_file_record(file);
        return NULL;
    }
    if (compact_table == 0) {
        descriptor = os_descriptor_raise(descriptor);
    }
    file->identity = os_file_identity(descriptor);
    if (os_file_map(descriptor, 0, FILE_BYTES, OS_READ | OS_WRITE, false, NULL, &alias) != 0) {
        (void)os_file_close(descriptor);
        spare_file_record(file);
        return NULL;
    }
    os_pages_keep_from_children(alias, FILE_BYTES);
    file->alias = alias;
    file->descriptor = descriptor;
    file->thread = compact_table;
    file->next = files;
    files = file;
    return file;
}

bool compact_frames_prepare(void)
{
    return files != NULL || make_file() != NULL;
}

static compact_frame *take_record(unsigned kind)
{
    compact_frame *frame = spare_frames[kind];
    if (frame != NULL) {
        spare_frames[kind] = frame->next;
        return frame;
    }
    return meta_take(sizeof *frame + compact_frame_words(kind) * sizeof(uint64_t));
}

static void link_open(compact_frame *frame)
{
    frame->previous = NULL;
    frame->next = compact_open_frames[frame->kind];
    if (frame->next != NULL) {
        frame->next->previous = frame;
    }
    compact_open_frames[frame->kind] = frame;
}

static void unlink_open(compact_frame *frame)
{
    if (frame->next != NULL) {
        frame->next->previous = frame->previous;
    }
    if (frame->previous != NULL) {
        frame->previous->next = frame->next;
    } else {
        compact_open_frames[frame->kind] = frame->next;
    }
}

static compact_frame *reuse(unsigned kind)
{
    for (compact_file *file = files; file != NULL; file = file->next) {
        compact_frame *frame = file->free[kind];
        if (frame != NULL) {
            file->free[kind] = frame->next;
            return frame;
        }
    }
    return NULL;
}

/* Places are cut in order, so a frame may stand across multiples of its size; nobody minds. */
static compact_frame *cut_new(unsigned kind)
{
    compact_file *file = files;
    while (file != NULL && FILE_BYTES - file->cut < compact_frame_bytes(kind)) {
        file = file->next;
    }
    if (file == NULL) {
        file = make_file();
    }
    compact_frame *frame = file != NULL ? take_record(kind) : NULL;
    if (frame != NULL) {
        frame->file = file;
        frame->alias = file->alias + file->cut;
        frame->kind = (uint8_t)kind;
        file->cut += compact_frame_bytes(kind);
    }
    return frame;
}

compact_frame *compact_frame_take(unsigned kind)
{
    compact_frame *frame = reuse(kind);
    if (frame == NULL) {
        frame = cut_new(kind);
    }
    if (frame != NULL) {
        memset(frame->taken, 0, compact_frame_words(kind) * sizeof(uint64_t));
        frame->windows = 0;
        frame->is_leaving = false;
        frame->is_stuck = false;
        link_open(frame);
        atomic_fetch_add_explicit(&compact_frame_pages_held, (size_t)1 << kind,
                                  memory_order_relaxed);
    }
    return frame;
}

void compact_frame_give(compact_frame *frame)
{
    atomic_fetch_sub_explicit(&compact_frame_pages_held, (size_t)1 << frame->kind,
                              memory_order_relaxed);
    compact_file *file = frame->file;
    if (file == NULL) {
        frame->next = spare_frames[frame->kind];
        spare_frames[frame->kind] = frame;
        return;
    }
    unlink_open(frame);
    if (os_pages_remove(frame->alias, compact_frame_bytes(frame->kind)) == 0) {
        frame->next = file->free[frame->kind];
        file->free[frame->kind] = frame;
    }
    /* Else the place stays as it is, and is not used again. */
}

void compact_frame_leave(compact_frame *frame, const uint64_t *granules)
{
    atomic_fetch_add_explicit(&compact_frames_loosened, 1, memory_order_relaxed);
    for (unsigned word = 0; word < compact_frame_words(frame->kind); word++) {
        frame->taken[word] &= ~granules[word];
    }
    frame->windows--;
    if (frame->file == NULL) {
        atomic_fetch_sub_explicit(&compact_frame_sealed_windows, 1, memory_order_relaxed);
    }
    if (frame->windows == 0) {
        compact_frame_give(frame);
    }
}

static bool is_known(const compact_file *file)
{
    return os_file_identity(file->at_fork) == file->identity;
}

void compact_frames_fork(void)
{
    for (compact_file *file = files; file != NULL; file = file->next) {
        file->at_fork = file->descriptor;
        if (file->thread != 0 &&
            os_descriptor_from(file->thread, file->descriptor, &file->at_fork) != 0) {
            file->at_fork = -1;
        }
    }
}

frame_view compact_frame_make_private(const compact_frame *frame, void *window)
{
    void *mapped = NULL;
    const compact_file *file = frame->file;
    /* A descriptor that was closed never becomes ours again: what it is after proves what it was meanwhile. */
    if (!is_known(file) || os_file_map(file->at_fork, (uint64_t)(frame->alias - file->alias),
                                       compact_frame_bytes(frame->kind), OS_READ | OS_WRITE, true,
                                       window, &mapped) != 0) {
        return FRAME_SHARED;
    }
    return is_known(file) ? FRAME_PRIVATE : FRAME_FOREIGN;
}

/* A sealed file's memory is free when nobody has it mapped, or open: so its descriptor goes, too. */
void compact_frames_close(void)
{
    while (left_files != NULL) {
        compact_file *file = left_files;
        left_files = file->next;
        if (file->thread == compact_table && compact_table != 0) {
            (void)os_file_close(file->descriptor);
        }
        spare_file_record(file);
    }
}

void compact_frames_hide(void)
{
    for (const compact_file *file = files; file != NULL; file = file->next) {
        (void)os_pages_purge(file->alias, file->cut);
    }
}

void compact_frames_seal(void)
{
    for (unsigned kind = 0; kind < FRAME_KINDS; kind++) {
        for (compact_frame *frame = compact_open_frames[kind], *next = NULL; frame != NULL;
             frame = next) {
            next = frame->next;
            frame->file = NULL;
            frame->alias = NULL;
            frame->sealed_at = (uint32_t)compact_counted.passes;
            atomic_fetch_add_explicit(&compact_frame_sealed_windows, frame->windows,
                                      memory_order_relaxed);
        }
        compact_open_frames[kind] = NULL;
    }
    while (files != NULL) {
        compact_file *file = files;
        files = file->next;
        os_pages_unmap(file->alias, FILE_BYTES);
        if (is_known(file)) {
            (void)os_file_close(file->at_fork);
        }
        for (unsigned kind = 0; kind < FRAME_KINDS; kind++) {
            while (file->free[kind] != NULL) {
                compact_frame *frame = file->free[kind];
                file->free[kind] = frame->next;
                frame->next = spare_frames[kind];
                spare_frames[kind] = frame;
            }
        }
        if (file->thread != 0) {
            file->next = left_files;
            left_files = file;
        } else {
            spare_file_record(file);
        }
    }
}
