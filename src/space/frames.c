/* SPDX-License-Identifier: MIT */
#include "space/frames.h"

#include "heap/books.h"

#include <errno.h>
#include <string.h>

/*
 * Frames: their file, their counts of references, and who may have them.
 *
 *     mapped once     [ books | frame | frame | frame ... ]
 *     count                      0       2       1
 *
 * Invariant: used + free == all that can be handed out; at most `free` frames are reserved.
 */

enum { OPEN_MS = 1000 }; /* how long an open waits for the lock */

/* ---- the lock ---- */

void frames_lock(tarn_frames *frames)
{
    if (os_process_lock_take(&frames->head->lock, frames->is_peer != 0, UINT64_MAX) ==
        OS_LOCK_INHERITED) {
        frames->head->recoveries++;
        buddies_rebuild(frames);
    }
}

void frames_unlock(tarn_frames *frames)
{
    os_process_lock_release(&frames->head->lock);
}

/* ---- the file ---- */

static size_t counts_offset(void)
{
    return base_align_up(sizeof(frames_head), 64);
}

static size_t words_offset(tarn_frame total)
{
    return base_align_up(counts_offset() + total * sizeof(uint32_t), 64);
}

/* Frames that the books of so many frames take. */
static tarn_frame book_frames(tarn_frame total, uint32_t shift)
{
    const size_t size = words_offset(total) + buddies_words(total) * sizeof(uint64_t);
    return (tarn_frame)((size + ((size_t)1 << shift) - 1) >> shift);
}

/* Frames of a file in which `count` can be handed out; 0 if that is too large. */
static tarn_frame total_for(size_t count, uint32_t shift)
{
    const uint64_t most = UINT64_C(1) << (62 - shift) < (UINT64_C(1) << 31)
                              ? UINT64_C(1) << (62 - shift)
                              : UINT64_C(1) << 31;
    uint64_t books = 0;
    uint64_t total = count;
    /* The books of more frames take more frames, but ever fewer. */
    do {
        total = count + books;
        if (count > most || total > most || total << shift > PTRDIFF_MAX) {
            return 0;
        }
        books = book_frames((tarn_frame)total, shift);
    } while (count + books != total);
    return (tarn_frame)total;
}

static void tell_error(const tarn_frames_options *options, int error)
{
    if (options->error != NULL) {
        *options->error = error;
    }
}

static tarn_status status_of(int error)
{
    return error == EFBIG                ? TARN_TOO_LARGE
           : os_error_is_shortage(error) ? TARN_NO_MEMORY
           : os_error_is_refusal(error)  ? TARN_UNSUPPORTED
                                         : TARN_IO_FAILED;
}

/* Maps the file and finds the books; undone by unmap_file(). */
static int map_file(tarn_frames *frames)
{
    void *memory = NULL;
    const size_t page = os_page_size();
    frames->maps = os_pages_map(base_align_up(sizeof(frames_maps), page), page);
    if (frames->maps == NULL) {
        return os_shortage_error();
    }
    const int error =
        os_file_map(frames->descriptor, 0, frames->size, OS_READ | OS_WRITE, false, NULL, &memory);
    if (error != 0) {
        os_pages_unmap(frames->maps, base_align_up(sizeof(frames_maps), page));
        return error;
    }
    frames->memory = memory;
    frames->head = memory;
    frames->counts = (uint32_t *)(void *)(frames->memory + counts_offset());
    return 0;
}

static void unmap_file(tarn_frames *frames)
{
    os_pages_unmap(frames->memory, frames->size);
    os_pages_unmap(frames->maps, base_align_up(sizeof(frames_maps), os_page_size()));
}

static void find_maps(tarn_frames *frames)
{
    buddies_lay(frames->maps, (uint64_t *)(void *)(frames->memory + words_offset(frames->total)),
                frames->total - frames->first);
}

static void write_books(tarn_frames *frames)
{
    frames_head *head = frames->head;
    *head = (frames_head){.version = FRAMES_VERSION,
                          .shift = frames->shift,
                          .realm = os_process_realm(),
                          .total = frames->total,
                          .first = frames->first};
    frames->is_peer = head->realm != 0;
    for (tarn_frame frame = 0; frame < frames->first; frame++) {
        frames->counts[frame] = 1;
    }
    buddies_give(frames, (frames_run){frames->first, frames->total - frames->first});
    head->free = frames->total - frames->first;
    /* Last, so that nobody takes half of the books for books. */
    head->magic = FRAMES_MAGIC;
}

static uint32_t shift_of(size_t frame_size)
{
    switch (frame_size) {
    case 0:
    case TARN_FRAME_SIZE:
        return 12;
    case (size_t)1 << 21:
        return 21;
    case (size_t)1 << 30:
        return 30;
    default:
        return 0;
    }
}

static int make_file(tarn_frames *frames, bool is_backed)
{
    const size_t page_size = frames->shift == 12 ? os_page_size() : (size_t)1 << frames->shift;
    int error = os_memory_file_create(frames->name, frames->size, page_size, &frames->descriptor);
    if (error != 0) {
        return error;
    }
    error = os_memory_file_seal(frames->descriptor);
    if (error == 0 && is_backed) {
        error = os_memory_file_back(frames->descriptor, 0, frames->size);
    }
    if (error == 0) {
        error = map_file(frames);
    }
    if (error != 0) {
        (void)os_file_close(frames->descriptor);
    }
    return error;
}

tarn_status tarn_frames_init(tarn_frames *frames, const tarn_frames_options *options)
{
    const uint32_t shift = shift_of(options->frame_size);
    tell_error(options, 0);
    if (options->count == 0 || shift == 0) {
        return TARN_BAD_LAYOUT;
    }
    const tarn_frame total = total_for(options->count, shift);
    if (total == 0) {
        return TARN_TOO_LARGE;
    }
    *frames = (tarn_frames){.name = options->name != NULL ? options->name : "frames",
                            .size = (size_t)total << shift,
                            .first = total - (tarn_frame)options->count,
                            .total = total,
                            .shift = shift,
                            .descriptor = -1};
    const int error = make_file(frames, options->is_backed);
    if (error != 0) {
        tell_error(options, error);
        return status_of(error);
    }
    find_maps(frames);
    write_books(frames);
    return TARN_OK;
}

/* True if the head is one that this library has written, for a file of this size. */
static bool adopt_head(tarn_frames *frames)
{
    const frames_head *head = frames->head;
    const uint32_t shift = head->shift;
    const uint64_t total = (uint64_t)frames->size >> (shift & 63);
    if (head->magic != FRAMES_MAGIC || head->version != FRAMES_VERSION ||
        (shift != 12 && shift != 21 && shift != 30) || total > UINT64_C(1) << 31 || total < 2 ||
        (size_t)total << shift != frames->size || head->total != total ||
        book_frames((tarn_frame)total, shift) >= total) {
        return false;
    }
    frames->shift = shift;
    frames->total = (tarn_frame)total;
    frames->first = head->first;
    frames->is_peer = head->realm != 0 && head->realm == os_process_realm();
    return frames->first >= book_frames(frames->total, shift) && frames->first < frames->total;
}

static tarn_status adopt_books(tarn_frames *frames)
{
    if (!adopt_head(frames)) {
        return TARN_BAD_DATA;
    }
    find_maps(frames);
    const os_lock_outcome outcome =
        os_process_lock_take(&frames->head->lock, frames->is_peer != 0, OPEN_MS);
    if (outcome == OS_LOCK_LATE) {
        return TARN_BUSY;
    }
    if (outcome == OS_LOCK_INHERITED) {
        frames->head->recoveries++;
        buddies_rebuild(frames);
    }
    const bool is_sound = buddies_check(frames, NULL, 0) &&
                          (frames->head->root == 0 || frames_has(frames, frames->head->root, 1));
    frames_unlock(frames);
    return is_sound ? TARN_OK : TARN_BAD_DATA;
}

/* Maps the file of the descriptor if it may be one of frames. */
static tarn_status open_file(tarn_frames *frames, int *error)
{
    uint64_t size = 0;
    *error = os_memory_file_size(frames->descriptor, &size);
    if (*error != 0) {
        return TARN_IO_FAILED;
    }
    if (size < sizeof(frames_head) || size > PTRDIFF_MAX ||
        !os_memory_file_is_sealed(frames->descriptor)) {
        return TARN_BAD_DATA;
    }
    frames->size = (size_t)size;
    *error = map_file(frames);
    return *error == 0 ? TARN_OK : os_error_is_shortage(*error) ? TARN_NO_MEMORY : TARN_IO_FAILED;
}

tarn_status tarn_frames_open(tarn_frames *frames, int descriptor,
                             const tarn_frames_options *options)
{
    const tarn_frames_options none = {0};
    options = options != NULL ? options : &none;
    *frames = (tarn_frames){.name = options->name != NULL ? options->name : "frames"};
    int error = os_file_duplicate(descriptor, &frames->descriptor);
    tell_error(options, error);
    if (error != 0) {
        return os_error_is_shortage(error) ? TARN_NO_MEMORY : TARN_IO_FAILED;
    }
    tarn_status status = open_file(frames, &error);
    tell_error(options, error);
    if (status == TARN_OK) {
        status = adopt_books(frames);
        if (status != TARN_OK) {
            unmap_file(frames);
        }
    }
    if (status != TARN_OK) {
        (void)os_file_close(frames->descriptor);
    }
    return status;
}

void tarn_frames_deinit(tarn_frames *frames)
{
    TARN_CHECK(__atomic_load_n(&frames->spaces, __ATOMIC_ACQUIRE) == 0,
               "frames ended while a space has them", frames->name, frames);
    unmap_file(frames);
    (void)os_file_close(frames->descriptor);
}

int tarn_frames_descriptor(const tarn_frames *frames)
{
    return frames->descriptor;
}

size_t tarn_frames_size(const tarn_frames *frames)
{
    return frames_frame_size(frames);
}

/* ---- references ---- */

static const void *number_of(tarn_frame frame)
{
    return (const void *)(uintptr_t)frame;
}

/* The run was free and gets its first references. */
static bool hold_run(tarn_frames *frames, frames_run run)
{
    frames_head *head = frames->head;
    TARN_CHECK(frames_has(frames, run.first, run.count), "the books of frames were overwritten",
               frames->name, number_of(run.first));
    uint32_t *counts = frames->counts + run.first;
    uint32_t all = 0;
    for (uint32_t i = 0; i < run.count; i++) {
        all |= counts[i];
        counts[i] = COUNT_DIRTY | 1;
    }
    TARN_CHECK((all & COUNT_MAX) == 0, "the books of frames were overwritten", frames->name,
               number_of(run.first));
    head->free -= run.count;
    head->allocs += run.count;
    const uint32_t used = frames->total - frames->first - head->free;
    head->peak_used = used > head->peak_used ? used : head->peak_used;
    return all != 0;
}

frames_run frames_take_reserved(tarn_frames *frames, size_t count, bool *is_dirty)
{
    frames_lock(frames);
    const uint32_t most = count < UINT32_C(1) << 30 ? (uint32_t)count : UINT32_C(1) << 30;
    const frames_run run = buddies_take_some(frames, most);
    TARN_CHECK(run.count > 0 && run.count <= frames->head->reserved,
               "the books of frames were overwritten", frames->name, NULL);
    frames->head->reserved -= run.count;
    *is_dirty = hold_run(frames, run);
    frames_unlock(frames);
    return run;
}

frames_run frames_take(tarn_frames *frames, size_t count, bool *is_dirty)
{
    frames_run run = {0, 0};
    frames_lock(frames);
    const uint32_t most = frames->head->free - frames->head->reserved;
    if (most > 0 && count > 0) {
        run = buddies_take_some(frames, count < most ? (uint32_t)count : most);
        *is_dirty = hold_run(frames, run);
    } else {
        frames->head->failures++;
    }
    frames_unlock(frames);
    return run;
}

bool frames_reserve(tarn_frames *frames, size_t count)
{
    if (count == 0) {
        return true;
    }
    frames_lock(frames);
    frames_head *head = frames->head;
    const bool has_enough = count <= head->free - head->reserved;
    if (has_enough) {
        head->reserved += (uint32_t)count;
    } else {
        head->failures++;
    }
    frames_unlock(frames);
    return has_enough;
}

void frames_put_aside(tarn_frames *frames, const tarn_frame *list, size_t count, tarn_frame none)
{
    frames_lock(frames);
    for (size_t i = 0; i < count; i++) {
        if (list[i] != 0 && list[i] != none) {
            frames_release_locked(frames, (frames_run){list[i], 1});
            frames->head->reserved++;
        }
    }
    frames_unlock(frames);
}

void frames_unreserve(tarn_frames *frames, size_t count)
{
    if (count > 0) {
        frames_lock(frames);
        /* Fewer may be left after a process that died took some with it. */
        const uint32_t reserved = frames->head->reserved;
        frames->head->reserved = count < reserved ? reserved - (uint32_t)count : 0;
        frames_unlock(frames);
    }
}

void frames_clear(const tarn_frames *frames, frames_run run)
{
    memset(frames_at(frames, run.first), 0, (size_t)run.count << frames->shift);
}

tarn_status tarn_frames_alloc(tarn_frames *frames, size_t count, tarn_frame *first)
{
    if (count == 0) {
        return TARN_BAD_LAYOUT;
    }
    frames_run run = {0, 0};
    bool is_dirty = false;
    frames_lock(frames);
    if (count <= frames->head->free - frames->head->reserved) {
        run = buddies_take(frames, (uint32_t)count);
    }
    if (run.count > 0) {
        is_dirty = hold_run(frames, run);
    } else {
        frames->head->failures++;
    }
    frames_unlock(frames);
    if (run.count == 0) {
        return TARN_NO_ROOM;
    }
    if (is_dirty) {
        frames_clear(frames, run);
    }
    *first = run.first;
    return TARN_OK;
}

tarn_status frames_share_locked(tarn_frames *frames, frames_run run, bool *is_held)
{
    uint32_t *counts = frames->counts + run.first;
    *is_held = true;
    if (!wide_add(counts, run.count)) {
        return TARN_OK;
    }
    for (uint32_t i = 0; i < run.count; i++) {
        counts[i]--;
        *is_held = *is_held && (counts[i] & COUNT_MAX) != 0;
    }
    return *is_held ? TARN_TOO_LARGE : TARN_BAD_ARGUMENT;
}

/* Some frames of the run have no references any more: they are free. */
static void give_free_ones(tarn_frames *frames, frames_run run)
{
    const tarn_frame end = run.first + run.count;
    for (tarn_frame frame = run.first; frame < end; frame++) {
        const tarn_frame from = frame;
        while (frame < end && (frames->counts[frame] & COUNT_MAX) == 0) {
            frame++;
        }
        buddies_give(frames, (frames_run){from, frame - from});
        frames->head->free += frame - from;
        frames->head->frees += frame - from;
    }
}

void frames_release_locked(tarn_frames *frames, frames_run run)
{
    if (!wide_subtract(frames->counts + run.first, run.count)) {
        return;
    }
    for (uint32_t i = 0; i < run.count; i++) {
        if (base_unlikely((frames->counts[run.first + i] & COUNT_MAX) == COUNT_MAX)) {
            /* Others may have the file, too: the counts are to be as they were. */
            (void)wide_add(frames->counts + run.first, run.count);
            base_fatal("a frame was released that nobody holds", frames->name,
                       number_of(run.first + i));
        }
    }
    give_free_ones(frames, run);
}

static void check_run(const tarn_frames *frames, tarn_frame first, size_t count)
{
    TARN_CHECK(frames_has(frames, first, count), "not a frame that can be handed out", frames->name,
               number_of(first));
}

tarn_status tarn_frames_share(tarn_frames *frames, tarn_frame first, size_t count)
{
    bool is_held = true;
    if (count == 0) {
        return TARN_OK;
    }
    check_run(frames, first, count);
    frames_lock(frames);
    const tarn_status status =
        frames_share_locked(frames, (frames_run){first, (uint32_t)count}, &is_held);
    TARN_CHECK(is_held, "a frame was shared that nobody holds", frames->name, number_of(first));
    frames_unlock(frames);
    return status;
}

void tarn_frames_release(tarn_frames *frames, tarn_frame first, size_t count)
{
    if (count == 0) {
        return;
    }
    check_run(frames, first, count);
    frames_lock(frames);
    frames_release_locked(frames, (frames_run){first, (uint32_t)count});
    frames_unlock(frames);
}

uint32_t tarn_frames_references(tarn_frames *frames, tarn_frame frame)
{
    check_run(frames, frame, 1);
    frames_lock(frames);
    const uint32_t count = frames->counts[frame] & COUNT_MAX;
    frames_unlock(frames);
    return count;
}

bool frames_is_alone(tarn_frames *frames, tarn_frame frame)
{
    frames_lock(frames);
    const uint32_t count = frames->counts[frame] & COUNT_MAX;
    frames_unlock(frames);
    return count == 1;
}

void *tarn_frames_at(const tarn_frames *frames, tarn_frame frame)
{
    check_run(frames, frame, 1);
    return frames_at(frames, frame);
}

void tarn_frames_set_root(tarn_frames *frames, tarn_frame frame)
{
    if (frame != 0) {
        check_run(frames, frame, 1);
    }
    frames_lock(frames);
    frames->head->root = frame;
    frames_unlock(frames);
}

tarn_frame tarn_frames_root(tarn_frames *frames)
{
    frames_lock(frames);
    const tarn_frame root = frames->head->root;
    frames_unlock(frames);
    return root;
}

/* ---- giving memory back ---- */

/* Gives the memory of what is dirty in a free block back; returns the frames. */
static uint32_t clean_block(tarn_frames *frames, frames_run block)
{
    uint32_t cleaned = 0;
    const tarn_frame end = block.first + block.count;
    for (tarn_frame frame = block.first; frame < end; frame++) {
        const tarn_frame from = frame;
        while (frame < end && (frames->counts[frame] & COUNT_DIRTY) != 0) {
            frame++;
        }
        if (frame > from &&
            os_memory_file_purge(frames->descriptor, (uint64_t)from << frames->shift,
                                 (uint64_t)(frame - from) << frames->shift) == 0) {
            for (tarn_frame clean = from; clean < frame; clean++) {
                frames->counts[clean] = 0;
            }
            cleaned += frame - from;
        }
    }
    return cleaned;
}

size_t tarn_frames_trim(tarn_frames *frames)
{
    size_t cleaned = 0;
    frames_lock(frames);
    for (uint32_t order = 0; order <= frames->maps->top; order++) {
        const base_bitmap *map = &frames->maps->orders[order];
        for (size_t number = base_bitmap_next(map, 0, SIZE_MAX); number != SIZE_MAX;
             number = base_bitmap_next(map, number + 1, SIZE_MAX)) {
            cleaned +=
                clean_block(frames, (frames_run){frames->first + (tarn_frame)(number << order),
                                                 UINT32_C(1) << order});
        }
    }
    frames_unlock(frames);
    return cleaned << frames->shift;
}

/* ---- books ---- */

tarn_frame_stats tarn_frames_stats(tarn_frames *frames)
{
    frames_lock(frames);
    const frames_head *head = frames->head;
    const size_t count = frames->total - frames->first;
    const uint32_t unreserved = head->free - head->reserved;
    const uint32_t largest = buddies_largest(frames);
    const tarn_frame_stats stats = {.count = count,
                                    .used = count - head->free,
                                    .peak_used = head->peak_used,
                                    .reserved = head->reserved,
                                    .largest_free = largest < unreserved ? largest : unreserved,
                                    .allocs = head->allocs,
                                    .frees = head->frees,
                                    .failures = head->failures,
                                    .recoveries = head->recoveries};
    frames_unlock(frames);
    return stats;
}

bool tarn_frames_check(tarn_frames *frames, char *fault, size_t fault_size)
{
    frames_lock(frames);
    const bool is_sound = buddies_check(frames, fault, fault_size);
    frames_unlock(frames);
    return is_sound;
}
