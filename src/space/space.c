/* SPDX-License-Identifier: MIT */
#include "space/core.h"

/*
 * Spaces: what is mapped where. Every change has three parts:
 *
 *     1. what may fail    tables, frames, references
 *     2. the entries      cannot fail
 *     3. the windows      may fail: then 2 and 1 are undone
 */

/* ---- spaces ---- */

static bool are_options_good(const tarn_space_options *options)
{
    const tarn_frames *frames = options->frames;
    if (frames == NULL) {
        return false;
    }
    const uint64_t page_size = frames_frame_size(frames);
    return options->limit % page_size == 0 &&
           (options->limit <= UINT64_C(1) << (ADDRESS_BITS - 1)) &&
           (options->copy_pages == 0 ||
            (base_is_power_of_two(options->copy_pages) && options->copy_pages <= COPY_MAX));
}

tarn_status tarn_space_init(tarn_space *space, const tarn_space_options *options)
{
    if (!are_options_good(options)) {
        return TARN_BAD_ARGUMENT;
    }
    const uint32_t shift = options->frames->shift;
    *space = (tarn_space){.offset_mask = (UINT32_C(1) << shift) - 1,
                          .shift = shift,
                          .frames = options->frames,
                          .options = *options};
    if (space->options.name == NULL) {
        space->options.name = "space";
    }
    if (space->options.upstream == NULL) {
        space->options.upstream = tarn_pages_heap();
    }
    if (space->options.copy_pages == 0) {
        space->options.copy_pages = 1;
    }
    heap_lock_init(&space->lock);
    tlb_forget_all(space);
    if (!table_init(space)) {
        return TARN_NO_MEMORY;
    }
    (void)__atomic_add_fetch(&space->frames->spaces, 1, __ATOMIC_ACQ_REL);
    return TARN_OK;
}

void tarn_space_deinit(tarn_space *space)
{
    TARN_CHECK(space->root != NULL, "the space has ended already", space->options.name, space);
    while (space->windows != NULL) {
        tarn_space_detach(space, space->windows->start);
    }
    faults_wait(space);
    space_drop(space, 0, page_count(space));
    segments_deinit(space);
    table_deinit(space);
    (void)__atomic_sub_fetch(&space->frames->spaces, 1, __ATOMIC_ACQ_REL);
}

tarn_page_stats tarn_space_stats(tarn_space *space)
{
    space_lock(space);
    const tarn_page_stats stats = space->books;
    space_unlock(space);
    return stats;
}

/* ---- ranges ---- */

tarn_status space_range(const tarn_space *space, uint64_t address, uint64_t size, uint64_t *page,
                        uint64_t *count)
{
    if (size == 0 || ((address | size) & (frames_frame_size(space->frames) - 1)) != 0) {
        return TARN_BAD_LAYOUT;
    }
    const uint64_t last = address + (size - 1);
    const uint64_t limit = space->options.limit;
    /* Both halves of the addresses are canonical, what is between them is not. */
    if (last < address || !is_canonical(address) || !is_canonical(last) ||
        (address ^ last) >> 63 != 0 || (limit != 0 && last >= limit)) {
        return TARN_BAD_ARGUMENT;
    }
    *page = page_of(space, address);
    *count = size >> space->shift;
    return TARN_OK;
}

/* True if nothing, or everything, is mapped there. */
static bool is_unmapped(const tarn_space *space, uint64_t page, uint64_t count)
{
    const table_run run = table_run_at(space, page, page + count, TARN_PAGE_PRESENT);
    return run.entry == 0 && run.count == count;
}

static bool is_mapped(const tarn_space *space, uint64_t page, uint64_t count)
{
    const table_run run = table_run_at(space, page, page + count, TARN_PAGE_PRESENT);
    return run.entry != 0 && run.count == count;
}

/* ---- unmapping ---- */

/* Pages that were copy on write have frames put aside. */
static void give_reserve_back(tarn_space *space)
{
    if (space->options.reserves_copies && space->reserved > space->books.copy_pages) {
        frames_unreserve(space->frames, space->reserved - space->books.copy_pages);
        space->reserved = space->books.copy_pages;
    }
}

void space_drop(tarn_space *space, uint64_t page, uint64_t count)
{
    for (const uint64_t end = page + count; page < end;) {
        const table_run run = table_run_at(space, page, end, FRAME_MASK | TARN_PAGE_PRESENT);
        if (run.entry != 0) {
            table_remove(space, page, run.count);
            frames_lock(space->frames);
            frames_release_locked(space->frames,
                                  (frames_run){frame_of(run.entry), (uint32_t)run.count});
            frames_unlock(space->frames);
        }
        page += run.count;
    }
    give_reserve_back(space);
}

tarn_status tarn_space_unmap(tarn_space *space, uint64_t address, uint64_t size)
{
    uint64_t page = 0;
    uint64_t count = 0;
    tarn_status status = space_range(space, address, size, &page, &count);
    if (status != TARN_OK) {
        return status;
    }
    window_progress done;
    space_lock(space);
    /* The windows first, so that no pointer reaches a frame that is somebody else's already. */
    status = windows_change(space, page, count, WINDOW_HIDE, &done);
    if (status == TARN_OK) {
        tlb_forget(space, page, count);
        space_drop(space, page, count);
    } else {
        windows_undo(space, page, count, &done);
    }
    space_unlock(space);
    return status;
}

/* ---- mapping ---- */

/* Enters pages with new frames; all have been put aside. */
static void enter_new(tarn_space *space, uint64_t page, uint64_t count, uint64_t bits)
{
    while (count > 0) {
        bool is_dirty = false;
        const frames_run run = frames_take_reserved(space->frames, (size_t)count, &is_dirty);
        if (is_dirty) {
            frames_clear(space->frames, run);
        }
        table_enter(space, (table_run){page, run.count, (uint64_t)run.first << FRAME_SHIFT | bits});
        page += run.count;
        count -= run.count;
    }
}

/* Gets the references for the pages, or puts frames aside for them. */
static tarn_status hold_frames(tarn_space *space, tarn_frame frame, uint64_t count)
{
    bool is_held = true;
    if (frame == 0) {
        return count <= space->frames->total && frames_reserve(space->frames, (size_t)count)
                   ? TARN_OK
                   : TARN_NO_ROOM;
    }
    if (count > space->frames->total || !frames_has(space->frames, frame, (size_t)count)) {
        return TARN_BAD_ARGUMENT;
    }
    frames_lock(space->frames);
    const tarn_status status =
        frames_share_locked(space->frames, (frames_run){frame, (uint32_t)count}, &is_held);
    frames_unlock(space->frames);
    return status;
}

/* The first two parts of a map; windows are for the caller. */
static tarn_status enter_pages(tarn_space *space, uint64_t page, uint64_t count, tarn_frame frame,
                               uint64_t bits)
{
    if (!is_unmapped(space, page, count)) {
        return TARN_BUSY;
    }
    const tarn_status status = hold_frames(space, frame, count);
    if (status != TARN_OK) {
        return status;
    }
    if (!table_grow(space, page, count)) {
        if (frame == 0) {
            frames_unreserve(space->frames, (size_t)count);
        } else {
            tarn_frames_release(space->frames, frame, (size_t)count);
        }
        return TARN_NO_MEMORY;
    }
    if (frame == 0) {
        enter_new(space, page, count, bits);
    } else {
        table_enter(space, (table_run){page, count, (uint64_t)frame << FRAME_SHIFT | bits});
    }
    return TARN_OK;
}

/* The third part, or the others undone. With a frame the pages are known to be one run. */
static tarn_status show_pages(tarn_space *space, uint64_t page, uint64_t count, tarn_frame frame,
                              uint64_t bits)
{
    window_progress done;
    const table_run run = {page, count, (uint64_t)frame << FRAME_SHIFT | bits};
    const tarn_status status = frame != 0 ? windows_show_run(space, run, &done)
                                          : windows_change(space, page, count, WINDOW_MAP, &done);
    if (status != TARN_OK) {
        space_drop(space, page, count);
        windows_undo(space, page, count, &done);
    }
    return status;
}

static bool is_access(unsigned access, unsigned allowed)
{
    return (access & ~allowed) == 0;
}

tarn_status tarn_space_map(tarn_space *space, uint64_t address, uint64_t size,
                           const tarn_map_options *options)
{
    const tarn_map_options none = {0};
    uint64_t page = 0;
    uint64_t count = 0;
    options = options != NULL ? options : &none;
    tarn_status status = space_range(space, address, size, &page, &count);
    if (status != TARN_OK) {
        return status;
    }
    if (!is_access(options->access, TARN_PAGE_WRITABLE | TARN_PAGE_USER | TARN_PAGE_SHARED) ||
        options->limit > size) {
        return TARN_BAD_ARGUMENT;
    }
    const uint64_t bits = TARN_PAGE_PRESENT | options->access |
                          (options->frame != 0 ? (uint64_t)TARN_PAGE_SHARED : 0);
    space_lock(space);
    if (options->segment != NULL && !segments_prepare(space)) {
        status = TARN_NO_MEMORY;
    }
    if (status == TARN_OK) {
        status = enter_pages(space, page, count, options->frame, bits);
    }
    if (status == TARN_OK) {
        status = show_pages(space, page, count, options->frame, bits);
    }
    if (status == TARN_OK && options->segment != NULL) {
        *options->segment =
            segments_add(space, address, options->limit != 0 ? options->limit : size,
                         options->access & (TARN_PAGE_WRITABLE | TARN_PAGE_USER));
    }
    space_unlock(space);
    return status;
}

/* ---- sharing ---- */

/* Each page there has a frame that no relative of a fork has. */
static tarn_status own_all(tarn_space *space, uint64_t page, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const tarn_fault fault = space_own_only(space, page + i);
        if (fault != TARN_FAULT_NONE) {
            return fault == TARN_FAULT_NO_FRAME ? TARN_NO_ROOM : TARN_NO_MEMORY;
        }
    }
    return TARN_OK;
}

/* Enters the frames of `from`, which has all of them, run by run; all or none. */
static tarn_status enter_shared(tarn_space *space, uint64_t page, const tarn_space *from,
                                uint64_t from_page, uint64_t count, uint64_t bits)
{
    tarn_status status = TARN_OK;
    uint64_t entered = 0;
    while (entered < count && status == TARN_OK) {
        const table_run run = table_run_at(from, from_page + entered, from_page + count,
                                           FRAME_MASK | TARN_PAGE_PRESENT);
        status = enter_pages(space, page + entered, run.count, frame_of(run.entry), bits);
        entered += status == TARN_OK ? run.count : 0;
    }
    if (status != TARN_OK) {
        space_drop(space, page, entered);
    }
    return status;
}

static tarn_status share_pages(tarn_space *space, uint64_t page, tarn_space *from,
                               uint64_t from_page, uint64_t count, uint64_t bits)
{
    if (!is_mapped(from, from_page, count)) {
        return TARN_BAD_ARGUMENT;
    }
    if (!is_unmapped(space, page, count)) {
        return TARN_BUSY;
    }
    tarn_status status = own_all(from, from_page, count);
    if (status == TARN_OK) {
        status = enter_shared(space, page, from, from_page, count, bits);
    }
    if (status == TARN_OK) {
        status = show_pages(space, page, count, 0, bits);
    }
    if (status == TARN_OK) {
        table_change(from, from_page, count, 0, TARN_PAGE_SHARED);
        tlb_forget(from, from_page, count);
    }
    return status;
}

static void lock_both(tarn_space *one, tarn_space *other)
{
    if (one == other) {
        space_lock(one);
        return;
    }
    const bool is_first = (uintptr_t)one < (uintptr_t)other;
    space_lock(is_first ? one : other);
    space_lock(is_first ? other : one);
}

tarn_status tarn_space_share(tarn_space *space, uint64_t address, tarn_space *from,
                             uint64_t from_address, uint64_t size, unsigned access)
{
    uint64_t page = 0;
    uint64_t from_page = 0;
    uint64_t count = 0;
    tarn_status status = space_range(space, address, size, &page, &count);
    if (status == TARN_OK) {
        status = space_range(from, from_address, size, &from_page, &count);
    }
    if (status != TARN_OK) {
        return status;
    }
    if (space->frames != from->frames ||
        !is_access(access, TARN_PAGE_WRITABLE | TARN_PAGE_USER | TARN_PAGE_SHARED)) {
        return TARN_BAD_ARGUMENT;
    }
    lock_both(space, from);
    status = share_pages(space, page, from, from_page, count,
                         TARN_PAGE_PRESENT | TARN_PAGE_SHARED | access);
    space_unlock(space);
    if (space != from) {
        space_unlock(from);
    }
    return status;
}

/* ---- protecting ---- */

/* Sets new rights, the old ones kept. What is private, and was not writable, and has relatives by a fork, will be
 * copied on a write. */
static void choose_rights(tarn_space *space, uint64_t page, uint64_t count, unsigned access)
{
    const uint64_t copied = (access & TARN_PAGE_USER) | TARN_PAGE_COPY;
    if ((access & TARN_PAGE_WRITABLE) == 0) {
        table_set_rights(space, page, count, access);
        return;
    }
    for (const uint64_t end = page + count; page < end;) {
        const table_run run = table_run_at(space, page, end, RUN_MASK & ~FRAME_MASK);
        if ((run.entry & TARN_PAGE_WRITABLE) != 0 || !is_private(run.entry)) {
            table_set_rights(space, page, run.count, access);
        } else {
            for (uint64_t i = 0; i < run.count; i++) {
                const tarn_frame frame = frame_of(*table_entry(space, page + i));
                const bool is_alone = frames_is_alone(space->frames, frame);
                table_set_rights(space, page + i, 1, is_alone ? access : copied);
            }
        }
        page += run.count;
    }
}

/* True if all pages there have this right already, or have not. */
static bool has_same_right(const tarn_space *space, uint64_t page, uint64_t count, unsigned access,
                           uint64_t right)
{
    const table_run run = table_run_at(space, page, page + count, TARN_PAGE_PRESENT | right);
    return run.count == count && ((run.entry ^ access) & right) == 0;
}

/* The rights have been chosen: whatever else has to change, or nothing. */
static tarn_status apply_rights(tarn_space *space, uint64_t page, uint64_t count,
                                window_change change)
{
    window_progress done;
    const size_t reserved = space->reserved;
    const size_t wanted = space->options.reserves_copies ? space->books.copy_pages : 0;
    if (wanted > reserved) {
        if (!frames_reserve(space->frames, wanted - reserved)) {
            table_restore(space, page, count);
            return TARN_NO_ROOM;
        }
        space->reserved = wanted;
    }
    const tarn_status status = windows_change(space, page, count, change, &done);
    if (status == TARN_OK) {
        table_commit(space, page, count);
        tlb_forget(space, page, count);
    } else {
        table_restore(space, page, count);
        windows_undo(space, page, count, &done);
    }
    give_reserve_back(space);
    return status;
}

tarn_status tarn_space_protect(tarn_space *space, uint64_t address, uint64_t size, unsigned access)
{
    uint64_t page = 0;
    uint64_t count = 0;
    tarn_status status = space_range(space, address, size, &page, &count);
    if (status != TARN_OK) {
        return status;
    }
    if (!is_access(access, TARN_PAGE_WRITABLE | TARN_PAGE_USER)) {
        return TARN_BAD_ARGUMENT;
    }
    space_lock(space);
    if (is_mapped(space, page, count)) {
        const bool keeps_users = has_same_right(space, page, count, access, TARN_PAGE_USER);
        choose_rights(space, page, count, access);
        status = apply_rights(space, page, count, keeps_users ? WINDOW_ACCESS : WINDOW_MAP);
    } else {
        status = TARN_BAD_ARGUMENT;
    }
    space_unlock(space);
    return status;
}

/* ---- looking ---- */

tarn_status tarn_space_clear(tarn_space *space, uint64_t address, uint64_t size, unsigned bits)
{
    uint64_t page = 0;
    uint64_t count = 0;
    const tarn_status status = space_range(space, address, size, &page, &count);
    if (status != TARN_OK) {
        return status;
    }
    if (!is_access(bits, TARN_PAGE_ACCESSED | TARN_PAGE_DIRTY)) {
        return TARN_BAD_ARGUMENT;
    }
    space_lock(space);
    table_change(space, page, count, bits, 0);
    tlb_forget(space, page, count);
    space_unlock(space);
    return TARN_OK;
}

unsigned tarn_space_look(tarn_space *space, uint64_t address, tarn_frame *frame)
{
    space_lock(space);
    const uint64_t *slot =
        is_canonical(address) ? table_entry(space, page_of(space, address)) : NULL;
    const uint64_t entry = slot != NULL ? *slot : 0;
    space_unlock(space);
    if (frame != NULL) {
        *frame = frame_of(entry);
    }
    return (unsigned)(entry & (FRAME_ONE - 1));
}

void tarn_space_visit(tarn_space *space, tarn_page_visitor *visitor, void *context)
{
    for (uint64_t page = 0; page < page_count(space);) {
        /* Not while the visitor is called: it may store through a window. */
        space_lock(space);
        /* No run goes on across the addresses that are not canonical. */
        const uint64_t half = page_count(space) / 2;
        const table_run run =
            table_run_at(space, page, page < half ? half : page_count(space), RUN_MASK);
        space_unlock(space);
        const tarn_page_run view = {.address = address_of(space, page),
                                    .size = run.count << space->shift,
                                    .frame = frame_of(run.entry),
                                    .bits = (unsigned)(run.entry & RUN_MASK & (FRAME_ONE - 1))};
        if (run.entry != 0 && !visitor(context, &view)) {
            return;
        }
        page += run.count;
    }
}
