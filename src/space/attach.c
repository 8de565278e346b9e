/* SPDX-License-Identifier: MIT */
#include "space/core.h"

/*
 * Windows: the kernel's mappings say what the entries say.
 *
 *     entries   | a w | b w | -- | x r | y r | q |       w: writable; r: not; q: not for users
 *     window    [ a..b, rw  ][    ][ x..y, r  ][  ][ strip ]
 *
 * One mapping for all neighbours whose frames are neighbours and who are allowed the same. What is not mapped, or not for
 * users, is reserved address space.
 *
 * The kernel may refuse any change, because it has no memory or because the process has too many mappings. Then the
 * changes made so far are undone from the last to the first, so that no state is passed that was not there before; and
 * that this cannot be refused for want of mappings, each window has some in hand, in the strip behind it:
 *
 *     strip     [ none | read | none | read | none | read | none | none ]     seven mappings, or one
 */

enum { STRIP_PAGES = 8, STRIP_READ = 3 };

#define WINDOW_MASK (FRAME_MASK | RIGHTS | TARN_PAGE_PRESENT)

static unsigned char *strip_page(const space_window *window, unsigned page)
{
    return window->start + window->size + page * os_page_size();
}

/* Puts mappings aside for an undo; false when the kernel has none. */
static bool take_slack(space_window *window)
{
    for (unsigned i = 0; i < STRIP_READ && !window->has_slack; i++) {
        if (os_pages_set_access(strip_page(window, 2 * i + 1), os_page_size(), OS_READ) != 0) {
            (void)os_pages_set_access(strip_page(window, 0), STRIP_PAGES * os_page_size(), OS_NONE);
            return false;
        }
    }
    window->has_slack = true;
    return true;
}

static void give_slack(space_window *window)
{
    (void)os_pages_set_access(strip_page(window, 0), STRIP_PAGES * os_page_size(), OS_NONE);
    window->has_slack = false;
}

/* ---- mappings ---- */

static unsigned char *place_of(const space_window *window, uint64_t page)
{
    return window->start + ((size_t)(page - window->page) << window->space->shift);
}

static bool is_shown(uint64_t entry)
{
    const uint64_t needed = TARN_PAGE_PRESENT | TARN_PAGE_USER;
    return (entry & needed) == needed;
}

static unsigned access_of(uint64_t entry)
{
    return OS_READ | ((entry & TARN_PAGE_WRITABLE) != 0 ? OS_WRITE : OS_NONE);
}

static int map_run(const space_window *window, table_run run)
{
    const tarn_space *space = window->space;
    const size_t size = (size_t)run.count << space->shift;
    void *start = NULL;
    if (!is_shown(run.entry)) {
        return os_pages_unback(place_of(window, run.page), size);
    }
    return os_file_map(space->frames->descriptor, (uint64_t)frame_of(run.entry) << space->shift,
                       size, access_of(run.entry), false, place_of(window, run.page), &start);
}

static int set_run_access(const space_window *window, table_run run)
{
    if (!is_shown(run.entry)) {
        return 0;
    }
    return os_pages_set_access(place_of(window, run.page),
                               (size_t)run.count << window->space->shift, access_of(run.entry));
}

/* Changes pages of one window; *end is behind the last one that was perhaps changed. */
static int change_window(const space_window *window, uint64_t page, uint64_t stop,
                         window_change change, uint64_t *end)
{
    const tarn_space *space = window->space;
    int error = 0;
    *end = page;
    if (change == WINDOW_HIDE) {
        *end = stop;
        return os_pages_unback(place_of(window, page), (size_t)(stop - page) << space->shift);
    }
    while (*end < stop && error == 0) {
        const table_run run = table_run_at(
            space, *end, stop, change == WINDOW_MAP ? WINDOW_MASK : WINDOW_MASK & ~FRAME_MASK);
        error = change == WINDOW_MAP ? map_run(window, run) : set_run_access(window, run);
        *end += run.count;
    }
    return error;
}

/* The part of the pages that the window has; false if there is none. */
static bool clip(const space_window *window, uint64_t page, uint64_t count, uint64_t *first,
                 uint64_t *stop)
{
    const uint64_t end = page + count;
    const uint64_t window_end = window->page + window->count;
    *first = page > window->page ? page : window->page;
    *stop = end < window_end ? end : window_end;
    return *first < *stop;
}

tarn_status windows_change(tarn_space *space, uint64_t page, uint64_t count, window_change change,
                           window_progress *done)
{
    for (space_window *window = space->windows; window != NULL; window = window->next) {
        uint64_t first = 0;
        uint64_t stop = 0;
        if (!clip(window, page, count, &first, &stop)) {
            continue;
        }
        done->window = window;
        done->end = first;
        if (!take_slack(window) || change_window(window, first, stop, change, &done->end) != 0) {
            return TARN_NO_MEMORY;
        }
    }
    return TARN_OK;
}

tarn_status windows_show_run(tarn_space *space, table_run run, window_progress *done)
{
    for (space_window *window = space->windows; window != NULL; window = window->next) {
        table_run part = run;
        uint64_t stop = 0;
        if (!clip(window, run.page, run.count, &part.page, &stop)) {
            continue;
        }
        part.count = stop - part.page;
        part.entry += (part.page - run.page) * FRAME_ONE;
        done->window = window;
        done->end = part.page;
        if (!take_slack(window)) {
            return TARN_NO_MEMORY;
        }
        done->end = stop;
        if (map_run(window, part) != 0) {
            return TARN_NO_MEMORY;
        }
    }
    return TARN_OK;
}

void windows_undo(tarn_space *space, uint64_t page, uint64_t count, const window_progress *done)
{
    bool is_last = false;
    for (space_window *window = space->windows; window != NULL && !is_last; window = window->next) {
        uint64_t first = 0;
        uint64_t stop = 0;
        if (!clip(window, page, count, &first, &stop)) {
            continue;
        }
        is_last = window == done->window;
        stop = is_last ? done->end : stop;
        give_slack(window);
        while (stop > first) {
            const table_run run = table_run_before(space, first, stop, WINDOW_MASK);
            TARN_CHECK(map_run(window, run) == 0, "lost the pages of a window", space->options.name,
                       place_of(window, run.page));
            stop = run.page;
        }
        (void)take_slack(window);
    }
}

/* ---- windows ---- */

static size_t reserved_size(const space_window *window)
{
    return window->size + STRIP_PAGES * os_page_size();
}

static void unmap_window(space_window *window)
{
    os_pages_unmap(window->start, reserved_size(window));
}

static tarn_status map_window(space_window *window)
{
    uint64_t end = 0;
    const size_t page_size = frames_frame_size(window->space->frames);
    const size_t alignment = page_size > os_page_size() ? page_size : os_page_size();
    window->start = os_pages_reserve(reserved_size(window), alignment);
    if (window->start == NULL) {
        return TARN_NO_MEMORY;
    }
    tarn_status status = TARN_OK;
    if (!take_slack(window) ||
        change_window(window, window->page, window->page + window->count, WINDOW_MAP, &end) != 0) {
        status = TARN_NO_MEMORY;
    } else if (window->handles_stores && !faults_watch(window)) {
        status = TARN_UNSUPPORTED;
    }
    if (status != TARN_OK) {
        unmap_window(window);
    }
    return status;
}

static tarn_status window_range(const tarn_space *space, uint64_t address, uint64_t size,
                                uint64_t *page, uint64_t *count)
{
    if (size == 0) {
        if (space->options.limit == 0) {
            return TARN_TOO_LARGE;
        }
        if (address >= space->options.limit) {
            return TARN_BAD_ARGUMENT;
        }
        size = space->options.limit - address;
    }
    if (size > PTRDIFF_MAX / 2) {
        return TARN_TOO_LARGE;
    }
    return space_range(space, address, size, page, count);
}

tarn_status tarn_space_attach(tarn_space *space, uint64_t address, uint64_t size,
                              const tarn_attach_options *options, void **window)
{
    const tarn_attach_options none = {0};
    uint64_t page = 0;
    uint64_t count = 0;
    options = options != NULL ? options : &none;
    tarn_status status = window_range(space, address, size, &page, &count);
    if (status != TARN_OK) {
        return status;
    }
    if (os_page_size() > frames_frame_size(space->frames)) {
        return TARN_UNSUPPORTED;
    }
    heap_lock_take(&space->lock);
    space_window *it = tarn_heap_alloc(space->options.upstream, sizeof *it, 0);
    if (it == NULL) {
        heap_lock_release(&space->lock);
        return TARN_NO_MEMORY;
    }
    *it = (space_window){.next = space->windows,
                         .size = (size_t)count << space->shift,
                         .page = page,
                         .count = count,
                         .handles_stores = options->handles_stores,
                         .process = os_process_id(),
                         .space = space};
    status = map_window(it);
    if (status == TARN_OK) {
        *window = it->start;
        space->windows = it;
        space->handlers += it->handles_stores;
        space->books.windows++;
        space->books.footprint += sizeof *it;
    } else {
        tarn_heap_free(space->options.upstream, it, sizeof *it);
    }
    heap_lock_release(&space->lock);
    return status;
}

void tarn_space_detach(tarn_space *space, void *window)
{
    if (window == NULL) {
        return;
    }
    heap_lock_take(&space->lock);
    space_window **link = &space->windows;
    while (*link != NULL && (*link)->start != window) {
        link = &(*link)->next;
    }
    space_window *it = *link;
    TARN_CHECK(it != NULL, "not a window of this space, or detached already", space->options.name,
               window);
    *link = it->next;
    if (it->handles_stores) {
        faults_unwatch(it);
        space->handlers--;
    }
    unmap_window(it);
    tarn_heap_free(space->options.upstream, it, sizeof *it);
    space->books.windows--;
    space->books.footprint -= sizeof *it;
    heap_lock_release(&space->lock);
}
