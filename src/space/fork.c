/* SPDX-License-Identifier: MIT */
#include "space/core.h"

#include <string.h>

/*
 * Copy on write.
 *
 *     before the fork    parent [ a, writable ]                         frame a: 1 reference
 *     after              parent [ a, copy ]      child [ a, copy ]      frame a: 2
 *     parent writes      parent [ b, writable ]  child [ a, copy ]      frames a, b: 1 each
 *     child writes                               child [ a, writable ]  nobody else has it
 *
 * While a page is copy on write nobody writes to its frame: not through another entry, since all relatives are copy on
 * write or read only, and not through a window, since the processor has it read only. So the copy can be made while other
 * threads read.
 */

/* ---- who writes first ---- */

#define WANTED UINT32_MAX /* in the place of a frame: one is needed */

/* The pages that get their frames together. */
typedef struct group {
    uint64_t page;
    unsigned count;
    unsigned copies; /* of them: with a frame that others have, too */
    uint64_t entries[COPY_MAX];
    tarn_frame frames[COPY_MAX]; /* the new ones, or WANTED; 0: it stays */
} group;

/* The neighbours of the page, within its block, that are copy on write. */
static void gather(const tarn_space *space, uint64_t page, uint64_t block, bool is_forced,
                   group *pages)
{
    const uint64_t first = page - page % block;
    uint64_t from = page;
    uint64_t end = page + 1;
    const uint64_t *slot = table_entry(space, page);
    if (!is_forced) {
        while (from > first && (slot[-(int64_t)(page - from) - 1] & TARN_PAGE_COPY) != 0) {
            from--;
        }
        while (end < first + block && (slot[end - page] & TARN_PAGE_COPY) != 0) {
            end++;
        }
    }
    pages->page = from;
    pages->count = (unsigned)(end - from);
    pages->copies = 0;
    memcpy(pages->entries, slot - (page - from), pages->count * sizeof *slot);
    frames_lock(space->frames);
    for (unsigned i = 0; i < pages->count; i++) {
        const uint32_t count = space->frames->counts[frame_of(pages->entries[i])] & COUNT_MAX;
        pages->frames[i] = count > 1 ? WANTED : 0;
        pages->copies += count > 1;
    }
    frames_unlock(space->frames);
}

static void release_new(tarn_space *space, const group *pages)
{
    for (unsigned i = 0; i < pages->count; i++) {
        if (pages->frames[i] != 0 && pages->frames[i] != WANTED) {
            tarn_frames_release(space->frames, pages->frames[i], 1);
        }
    }
}

/* Finds frames for the copies, in a row if there are; false with nothing changed if there are too few. */
static bool find_frames(tarn_space *space, group *pages, bool is_reserved)
{
    unsigned needed = pages->copies;
    frames_run run = {0, 0};
    for (unsigned i = 0; i < pages->count; i++) {
        if (pages->frames[i] == 0) {
            continue;
        }
        if (run.count == 0) {
            bool is_dirty = false;
            run = is_reserved ? frames_take_reserved(space->frames, needed, &is_dirty)
                              : frames_take(space->frames, needed, &is_dirty);
            if (run.count == 0) {
                release_new(space, pages);
                return false;
            }
        }
        pages->frames[i] = run.first++;
        run.count--;
        needed--;
    }
    return true;
}

static void copy_frames(const tarn_space *space, const group *pages)
{
    for (unsigned i = 0; i < pages->count; i++) {
        if (pages->frames[i] != 0) {
            memcpy(frames_at(space->frames, pages->frames[i]),
                   frames_at(space->frames, frame_of(pages->entries[i])),
                   frames_frame_size(space->frames));
        }
    }
}

static void put_entries(tarn_space *space, const group *pages, bool is_new)
{
    uint64_t *slot = table_entry(space, pages->page);
    table_is_uneven(space, pages->page);
    for (unsigned i = 0; i < pages->count; i++) {
        uint64_t entry = pages->entries[i];
        if (is_new) {
            if (pages->frames[i] != 0) {
                entry = (entry & ~FRAME_MASK) | (uint64_t)pages->frames[i] << FRAME_SHIFT;
            }
            if ((entry & TARN_PAGE_COPY) != 0) {
                entry = (entry & ~(uint64_t)TARN_PAGE_COPY) | TARN_PAGE_WRITABLE;
            }
        }
        space->books.copy_pages += (entry / TARN_PAGE_COPY & 1) - (slot[i] / TARN_PAGE_COPY & 1);
        slot[i] = entry;
    }
}

static bool was_copy(const group *pages)
{
    return (pages->entries[0] & TARN_PAGE_COPY) != 0;
}

/* Gives the references back that the entries had, and what was put aside for pages that needed no copy. */
static void settle(tarn_space *space, const group *pages)
{
    for (unsigned i = 0; i < pages->count; i++) {
        if (pages->frames[i] != 0) {
            tarn_frames_release(space->frames, frame_of(pages->entries[i]), 1);
        }
    }
    if (space->options.reserves_copies && was_copy(pages)) {
        frames_unreserve(space->frames, pages->count - pages->copies);
        space->reserved -= pages->count;
    }
    space->books.copies += pages->copies;
}

static tarn_fault own_group(tarn_space *space, group *pages)
{
    const bool is_reserved = space->options.reserves_copies && was_copy(pages);
    window_progress done;
    if (!find_frames(space, pages, is_reserved)) {
        return TARN_FAULT_NO_FRAME;
    }
    copy_frames(space, pages);
    put_entries(space, pages, true);
    const window_change change = pages->copies > 0 ? WINDOW_MAP : WINDOW_ACCESS;
    if (windows_change(space, pages->page, pages->count, change, &done) != TARN_OK) {
        put_entries(space, pages, false);
        windows_undo(space, pages->page, pages->count, &done);
        if (is_reserved) {
            frames_put_aside(space->frames, pages->frames, pages->count, WANTED);
        } else {
            release_new(space, pages);
        }
        return TARN_FAULT_NO_MEMORY;
    }
    tlb_forget(space, pages->page, pages->count);
    settle(space, pages);
    return TARN_FAULT_NONE;
}

tarn_fault space_own(tarn_space *space, uint64_t page)
{
    group pages;
    const uint64_t block = space->options.copy_pages;
    gather(space, page, block, false, &pages);
    tarn_fault fault = own_group(space, &pages);
    if (fault == TARN_FAULT_NO_FRAME && pages.count > 1) {
        gather(space, page, 1, false, &pages);
        fault = own_group(space, &pages);
    }
    return fault;
}

tarn_fault space_own_only(tarn_space *space, uint64_t page)
{
    group pages;
    const uint64_t entry = *table_entry(space, page);
    if (!is_private(entry)) {
        return TARN_FAULT_NONE;
    }
    gather(space, page, 1, true, &pages);
    if (pages.copies == 0 && (entry & TARN_PAGE_COPY) == 0) {
        return TARN_FAULT_NONE;
    }
    return own_group(space, &pages);
}

/* ---- forks ---- */

/* What a fork does with neighbouring pages that are alike. */
static bool becomes_copy(uint64_t entry)
{
    return is_private(entry) && (entry & (TARN_PAGE_WRITABLE | TARN_PAGE_COPY)) != 0;
}

static uint64_t child_bits(uint64_t entry, bool is_image)
{
    uint64_t bits =
        entry & (FRAME_MASK | TARN_PAGE_PRESENT | TARN_PAGE_USER | (uint64_t)TARN_PAGE_SHARED);
    if (!is_image) {
        bits |= becomes_copy(entry) ? (uint64_t)TARN_PAGE_COPY : entry & TARN_PAGE_WRITABLE;
    }
    return bits;
}

/* The frames of [0, end) get a reference less. */
static void release_frames(const tarn_space *space, uint64_t end)
{
    for (uint64_t page = 0; page < end;) {
        const table_run run = table_run_at(space, page, end, FRAME_MASK | TARN_PAGE_PRESENT);
        if (run.entry != 0) {
            tarn_frames_release(space->frames, frame_of(run.entry), (size_t)run.count);
        }
        page += run.count;
    }
}

/* All frames get a reference more, or none does. */
static tarn_status hold_frames(const tarn_space *space)
{
    for (uint64_t page = 0; page < page_count(space);) {
        const table_run run =
            table_run_at(space, page, page_count(space), FRAME_MASK | TARN_PAGE_PRESENT);
        if (run.entry != 0) {
            const tarn_status status =
                tarn_frames_share(space->frames, frame_of(run.entry), (size_t)run.count);
            if (status != TARN_OK) {
                release_frames(space, page);
                return status;
            }
        }
        page += run.count;
    }
    return TARN_OK;
}

/* Tables of the child for all pages. */
static bool grow_child(const tarn_space *space, tarn_space *child)
{
    for (uint64_t page = 0; page < page_count(space);) {
        const table_run run = table_run_at(space, page, page_count(space), TARN_PAGE_PRESENT);
        if (run.entry != 0 && !table_grow(child, page, run.count)) {
            table_prune(child, 0, page);
            return false;
        }
        page += run.count;
    }
    return true;
}

static void fill_child(const tarn_space *space, tarn_space *child, bool is_image)
{
    for (uint64_t page = 0; page < page_count(space);) {
        const table_run run = table_run_at(space, page, page_count(space), RUN_MASK);
        if (run.entry != 0) {
            table_enter(child, (table_run){page, run.count, child_bits(run.entry, is_image)});
        }
        page += run.count;
    }
}

/* What is private and writable becomes copy on write, with the old rights kept. */
static uint64_t choose_copies(tarn_space *space)
{
    uint64_t count = 0;
    for (uint64_t page = 0; page < page_count(space);) {
        const table_run run = table_run_at(space, page, page_count(space), RUN_MASK & ~FRAME_MASK);
        if (becomes_copy(run.entry)) {
            table_set_rights(space, page, run.count, (run.entry & TARN_PAGE_USER) | TARN_PAGE_COPY);
            count += run.count;
        }
        page += run.count;
    }
    return count;
}

/* Puts frames aside for the copies of both, or for neither. */
static bool reserve_copies(tarn_space *space, tarn_space *child, size_t child_copies)
{
    const size_t wanted =
        space->options.reserves_copies ? space->books.copy_pages - space->reserved : 0;
    if (!frames_reserve(space->frames, wanted)) {
        return false;
    }
    if (child->options.reserves_copies && !frames_reserve(space->frames, child_copies)) {
        frames_unreserve(space->frames, wanted);
        return false;
    }
    space->reserved += wanted;
    child->reserved = child->options.reserves_copies ? child_copies : 0;
    return true;
}

static void unreserve_copies(tarn_space *space, tarn_space *child)
{
    if (space->options.reserves_copies) {
        frames_unreserve(space->frames, space->reserved - space->books.copy_pages);
        space->reserved = space->books.copy_pages;
    }
    frames_unreserve(space->frames, child->reserved);
    child->reserved = 0;
}

/* The child has its tables, and all frames one reference more. */
static tarn_status divide(tarn_space *space, tarn_space *child, bool is_image)
{
    const uint64_t pages = page_count(space);
    window_progress done;
    const uint64_t copies = choose_copies(space);
    if (!reserve_copies(space, child, is_image ? 0 : (size_t)copies)) {
        table_restore(space, 0, pages);
        return TARN_NO_ROOM;
    }
    const tarn_status status = windows_change(space, 0, pages, WINDOW_ACCESS, &done);
    if (status != TARN_OK) {
        table_restore(space, 0, pages);
        windows_undo(space, 0, pages, &done);
        unreserve_copies(space, child);
        return status;
    }
    table_commit(space, 0, pages);
    tlb_forget_all(space);
    fill_child(space, child, is_image);
    return TARN_OK;
}

static tarn_status fork_locked(tarn_space *space, tarn_space *child, bool is_image)
{
    if (!grow_child(space, child)) {
        return TARN_NO_MEMORY;
    }
    tarn_status status = hold_frames(space);
    if (status == TARN_OK) {
        status = divide(space, child, is_image);
        if (status != TARN_OK) {
            release_frames(space, page_count(space));
        }
    }
    if (status != TARN_OK) {
        table_prune(child, 0, page_count(space));
    }
    return status;
}

tarn_status tarn_space_fork(tarn_space *space, tarn_space *child, const tarn_fork_options *options)
{
    const tarn_fork_options none = {0};
    options = options != NULL ? options : &none;
    tarn_space_options child_options = space->options;
    child_options.reserves_copies = options->reserves_copies;
    if (options->name != NULL) {
        child_options.name = options->name;
    }
    if (options->upstream != NULL) {
        child_options.upstream = options->upstream;
    }
    tarn_status status = tarn_space_init(child, &child_options);
    if (status != TARN_OK) {
        return status;
    }
    space_lock(space);
    status = segments_copy(space, child) ? TARN_OK : TARN_NO_MEMORY;
    if (status == TARN_OK) {
        status = fork_locked(space, child, options->is_image);
    }
    space_unlock(space);
    if (status != TARN_OK) {
        tarn_space_deinit(child);
    }
    return status;
}

tarn_status tarn_space_snapshot(tarn_space *space, tarn_space *image)
{
    return tarn_space_fork(space, image, &(tarn_fork_options){.is_image = true});
}
