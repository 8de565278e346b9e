/* SPDX-License-Identifier: MIT */
#include "malloc/compact.h"

#include <string.h>

/*
 * Spans whose windows are mapped to shared frames: what moves there, what is kept out of lists, and how it ends.
 */

#define MESH_STEP 128   /* a record's size is a multiple */
#define MESH_SIZES 8    /* steps of the largest one, with room to spare */
#define WINDOW_SLOTS 64 /* that a window has, at least, where its span has as many */

compact_counts compact_counted;

static size_t window_bytes;                 /* of windows on frames now */
static span_mesh *meshes;                   /* in use */
static span_mesh *spare_meshes[MESH_SIZES]; /* by size */

/* ---- bits ---- */

static void set_range(uint64_t *bits, size_t from, size_t end)
{
    while (from < end) {
        const size_t shift = from % 64;
        const size_t here = end - from < 64 - shift ? end - from : 64 - shift;
        bits[from / 64] |= (~(uint64_t)0 >> (64 - here)) << shift;
        from += here;
    }
}

static void clear_range(uint64_t *bits, size_t from, size_t end)
{
    while (from < end) {
        const size_t shift = from % 64;
        const size_t here = end - from < 64 - shift ? end - from : 64 - shift;
        bits[from / 64] &= ~((~(uint64_t)0 >> (64 - here)) << shift);
        from += here;
    }
}

static bool has_any(const uint64_t *bits, size_t from, size_t end)
{
    while (from < end) {
        const size_t shift = from % 64;
        const size_t here = end - from < 64 - shift ? end - from : 64 - shift;
        if ((bits[from / 64] >> shift & (~(uint64_t)0 >> (64 - here))) != 0) {
            return true;
        }
        from += here;
    }
    return false;
}

static bool has_bit(const uint64_t *bits, size_t index)
{
    return (bits[index / 64] >> (index % 64) & 1) != 0;
}

static unsigned slot_words(const malloc_span *span)
{
    return (span->slot_count + 63u) / 64;
}

/* ---- records ---- */

static unsigned window_count(unsigned kind)
{
    return (unsigned)(UNIT_SIZE / compact_frame_bytes(kind));
}

static uint64_t *kept_of(const span_mesh *mesh)
{
    return (uint64_t *)((uintptr_t)&mesh->frames[window_count(mesh->kind)]);
}

unsigned compact_kind(uint32_t slot_size)
{
    unsigned kind = 0;
    while (kind + 1 < FRAME_KINDS && compact_frame_bytes(kind) / slot_size < WINDOW_SLOTS) {
        kind++;
    }
    return kind;
}

/* A record for the span's windows; NULL when there is no memory. Under compact_lock. */
static span_mesh *take_mesh(const malloc_span *span, unsigned kind)
{
    const size_t bytes = offsetof(span_mesh, frames) +
                         window_count(kind) * sizeof(compact_frame *) +
                         slot_words(span) * sizeof(uint64_t);
    const unsigned size = (unsigned)((bytes + MESH_STEP - 1) / MESH_STEP);
    span_mesh *mesh = spare_meshes[size];
    if (mesh != NULL) {
        spare_meshes[size] = mesh->next;
        memset(mesh, 0, size * (size_t)MESH_STEP);
    } else if ((mesh = meta_take(size * (size_t)MESH_STEP)) == NULL) {
        return NULL;
    }
    mesh->size = (uint8_t)size;
    mesh->kind = (uint8_t)kind;
    mesh->next = meshes;
    if (meshes != NULL) {
        meshes->previous = mesh;
    }
    meshes = mesh;
    return mesh;
}

static void spare_mesh(span_mesh *mesh)
{
    if (mesh->next != NULL) {
        mesh->next->previous = mesh->previous;
    }
    if (mesh->previous != NULL) {
        mesh->previous->next = mesh->next;
    } else {
        meshes = mesh->next;
    }
    mesh->next = spare_meshes[mesh->size];
    spare_meshes[mesh->size] = mesh;
}

/* ---- slots and granules ---- */

bool compact_is_still(const malloc_heap *heap, const malloc_span *span)
{
    if (heap->is_orphan || (heap->kind != HEAP_THREAD && heap->kind != HEAP_CENTRAL)) {
        return false;
    }
    if (span->state == SPAN_FULL) {
        return span->mesh != NULL;
    }
    return span->state == (heap->kind == HEAP_THREAD ? SPAN_SPARSE : SPAN_PARTIAL);
}

bool compact_used_slots(malloc_span *span, uint64_t *used)
{
    if (!span_free_slots(span, used)) {
        return false;
    }
    span_add_pending(span, used);
    bool is_any = false;
    for (unsigned word = 0; word < SLOT_WORDS; word++) {
        const size_t first = word * (size_t)64;
        const uint64_t exist = first >= span->touched ? 0
                               : span->touched - first >= 64
                                   ? ~(uint64_t)0
                                   : ~(~(uint64_t)0 << (span->touched % 64));
        used[word] = ~used[word] & exist;
        is_any |= used[word] != 0;
    }
    return is_any;
}

/* Moves *slot on to the first one whose bit is set, itself included; false when there is none. */
static bool next_slot(const malloc_span *span, const uint64_t *bits, size_t *slot)
{
    while (*slot < slot_words(span) * (size_t)64) {
        const uint64_t rest = bits[*slot / 64] >> (*slot % 64);
        if (rest != 0) {
            *slot += (size_t)__builtin_ctzll(rest);
            return true;
        }
        *slot = (*slot / 64 + 1) * 64;
    }
    return false;
}

/* What a slot has of a window, in granules from the window's start; nothing when from == end. */
static void slot_part(const malloc_span *span, size_t slot, unsigned kind, unsigned window,
                      size_t *from, size_t *end)
{
    const size_t length = compact_frame_bytes(kind) / GRANULE;
    const size_t start = window * length;
    const size_t first = slot * span->slot_size / GRANULE;
    const size_t last = first + span->slot_size / GRANULE;
    *from = first > start ? first - start : 0;
    *end = last > start ? (last - start < length ? last - start : length) : 0;
    *from = *from < *end ? *from : *end;
}

/* The windows that a slot lies in. */
static void slot_windows(const malloc_span *span, size_t slot, unsigned kind, unsigned *first,
                         unsigned *last)
{
    *first = (unsigned)(slot * span->slot_size / compact_frame_bytes(kind));
    *last = (unsigned)(((slot + 1) * span->slot_size - 1) / compact_frame_bytes(kind));
}

void compact_granules(const malloc_span *span, const uint64_t *used, unsigned kind, unsigned window,
                      uint64_t *granules)
{
    memset(granules, 0, compact_frame_words(kind) * sizeof *granules);
    const size_t first = window * compact_frame_bytes(kind) / span->slot_size;
    for (size_t slot = first; slot < span->slot_count; slot++) {
        size_t from = 0;
        size_t end = 0;
        slot_part(span, slot, kind, window, &from, &end);
        if (slot * span->slot_size >= (window + 1) * compact_frame_bytes(kind)) {
            break;
        }
        if (has_bit(used, slot)) {
            set_range(granules, from, end);
        }
    }
}

/* The pages that no slot in use lies on, a bit for each. */
static uint32_t idle_pages(const malloc_span *span, const uint64_t *used)
{
    uint32_t busy = 0;
    for (size_t slot = 0; next_slot(span, used, &slot); slot++) {
        const size_t first = slot * span->slot_size / os_page_size();
        const size_t last = ((slot + 1) * span->slot_size - 1) / os_page_size();
        busy |= ((uint32_t)2 << last) - ((uint32_t)1 << first);
    }
    return ~busy & 0xffff;
}

static size_t purge_pages(const malloc_span *span, uint32_t pages)
{
    size_t given = 0;
    while (pages != 0) {
        const unsigned first = (unsigned)__builtin_ctz(pages);
        const unsigned count = (unsigned)__builtin_ctz(~(pages >> first));
        if (os_pages_purge((void *)(span->base + first * os_page_size()), count * os_page_size())) {
            given += count * os_page_size();
        }
        pages &= ~((((uint32_t)1 << count) - 1) << first);
    }
    return given;
}

/* Others look at the bits without a lock: see compact_keeps. */
static void set_kept(span_mesh *mesh, size_t word, uint64_t bits)
{
    atomic_store_explicit((_Atomic(uint64_t) *)&kept_of(mesh)[word], bits, memory_order_relaxed);
}

bool compact_keeps(const malloc_span *span, const void *slot)
{
    const span_mesh *mesh = __atomic_load_n(&span->mesh, __ATOMIC_ACQUIRE);
    if (mesh == NULL) {
        return false;
    }
    const size_t index = ((uintptr_t)slot - span->base) / span->slot_size;
    const uint64_t bits = __atomic_load_n(&kept_of(mesh)[index / 64], __ATOMIC_RELAXED);
    return (bits >> (index % 64) & 1) != 0;
}

unsigned compact_add_kept(const malloc_span *span, uint64_t *bits)
{
    const uint64_t *kept = kept_of(span->mesh);
    unsigned count = 0;
    for (unsigned word = 0; word < slot_words(span); word++) {
        count += (unsigned)__builtin_popcountll(kept[word] & ~bits[word]);
        bits[word] |= kept[word];
    }
    return count;
}

/* ---- a span gets a mesh ---- */

/* All its free slots are kept from here on. */
static span_mesh *begin(malloc_span *span, unsigned kind, const uint64_t *used)
{
    os_lock_take(&compact_lock);
    span_mesh *mesh = take_mesh(span, kind);
    os_lock_release(&compact_lock);
    if (mesh == NULL) {
        return NULL;
    }
    for (unsigned word = 0; word < slot_words(span); word++) {
        const size_t rest = span->slot_count - word * (size_t)64;
        set_kept(mesh, word, ~used[word] & (rest < 64 ? ~(~(uint64_t)0 << rest) : ~(uint64_t)0));
    }
    (void)purge_pages(span, idle_pages(span, used) & ~(uint32_t)span->purged);
    span_unlink_all(span);
    span->purged = 0;
    span->touched = span->slot_count;
    __atomic_store_n(&span->bound, span->slot_count * (uintptr_t)span->slot_size, __ATOMIC_RELAXED);
    span->reach = (uint32_t)span->bound;
    mesh->span = span;
    __atomic_store_n(&span->mesh, mesh, __ATOMIC_RELEASE);
    return mesh;
}

/* ---- leaving frames ---- */

static unsigned char *window_at(const malloc_span *span, unsigned kind, unsigned window)
{
    return (unsigned char *)span->base + window * compact_frame_bytes(kind);
}

/* The window has pages of its own again, or another frame; compact_lock is held. */
static void forget_frame(span_mesh *mesh, unsigned window, const uint64_t *granules)
{
    compact_frame_leave(mesh->frames[window], granules);
    mesh->frames[window] = NULL;
    mesh->windows--;
    window_bytes -= compact_frame_bytes(mesh->kind);
}

/* Gives a window without slots in use pages of its own; false, with all as it was, when the kernel refuses. */
static bool renew(const span_mesh *mesh, unsigned window)
{
    const compact_frame *frame = mesh->frames[window];
    const size_t bytes = compact_frame_bytes(mesh->kind);
    unsigned char *start = window_at(mesh->span, mesh->kind, window);
    if (os_pages_renew(start, bytes) == 0) {
        return true;
    }
    if (!os_pages_are_mapped(start, bytes) && os_pages_renew(start, bytes) != 0 &&
        (frame->alias == NULL || os_pages_alias(frame->alias, bytes, start) != 0)) {
        base_fatal("lost pages in a failed mmap", "malloc", start);
    }
    return false;
}

bool compact_leave(malloc_span *span)
{
    span_mesh *mesh = span->mesh;
    const unsigned pages = 1u << mesh->kind;
    uint64_t mine[SLOT_WORDS] = {0}; /* no slot is in use, but some may be on the list */
    uint64_t granules[UNIT_GRANULES / 64];
    bool done = true;
    for (unsigned word = 0; word < slot_words(span); word++) {
        mine[word] = ~kept_of(mesh)[word];
    }
    os_lock_take(&compact_lock);
    for (unsigned window = 0; window < window_count(mesh->kind);) {
        unsigned count = 0;
        while (window + count < window_count(mesh->kind) && mesh->frames[window + count] != NULL) {
            count++;
        }
        if (count == 0) {
            window++;
            continue;
        }
        if (os_pages_renew(window_at(span, mesh->kind, window),
                           count * compact_frame_bytes(mesh->kind)) != 0) {
            done = false;
            break;
        }
        for (; count > 0; count--, window++) {
            compact_granules(span, mine, mesh->kind, window, granules);
            forget_frame(mesh, window, granules);
            span->purged |= (uint16_t)(((1u << pages) - 1) << (window * pages));
        }
    }
    if (done) {
        spare_mesh(mesh);
        __atomic_store_n(&span->mesh, NULL, __ATOMIC_RELAXED);
    }
    os_lock_release(&compact_lock);
    return done;
}

size_t compact_tidy(malloc_span *span)
{
    span_mesh *mesh = span->mesh;
    uint64_t *kept = kept_of(mesh);
    uint64_t free[SLOT_WORDS];
    if (span->state == SPAN_FULL || !span_free_slots(span, free)) {
        return 0;
    }
    span_add_pending(span, free);
    size_t given = 0;
    uint32_t loosened = 0; /* pages that listed slots were on: resident */
    bool is_any = false;
    for (unsigned word = 0; word < slot_words(span); word++) {
        free[word] &= ~kept[word];
        is_any |= free[word] != 0;
    }
    if (!is_any) {
        return 0;
    }
    os_lock_take(&compact_lock);
    for (size_t slot = 0; next_slot(span, free, &slot); slot++) {
        unsigned first = 0;
        unsigned last = 0;
        slot_windows(span, slot, mesh->kind, &first, &last);
        for (unsigned window = first; window <= last; window++) {
            size_t from = 0;
            size_t end = 0;
            slot_part(span, slot, mesh->kind, window, &from, &end);
            if (mesh->frames[window] != NULL) {
                clear_range(mesh->frames[window]->taken, from, end);
            } else {
                const size_t start = window * compact_frame_bytes(mesh->kind);
                for (size_t page = (start + from * GRANULE) / os_page_size();
                     page <= (start + end * GRANULE - 1) / os_page_size(); page++) {
                    loosened |= (uint32_t)1 << page;
                }
            }
        }
        set_kept(mesh, slot / 64, kept[slot / 64] | (uint64_t)1 << (slot % 64));
    }
    atomic_fetch_add_explicit(&compact_frames_loosened, 1, memory_order_relaxed);
    span_unlink_all(span);
    uint64_t used[SLOT_WORDS];
    (void)compact_used_slots(span, used);
    const uint32_t idle = idle_pages(span, used);
    const uint64_t nothing[UNIT_GRANULES / 64] = {0};
    const uint32_t pages = ((uint32_t)1 << (1u << mesh->kind)) - 1;
    for (unsigned window = 0; window < window_count(mesh->kind); window++) {
        const uint32_t mine = pages << (window << mesh->kind);
        if (mesh->frames[window] != NULL && (idle & mine) == mine && renew(mesh, window)) {
            forget_frame(mesh, window, nothing);
        }
    }
    os_lock_release(&compact_lock);
    given += purge_pages(span, idle & loosened);
    return given;
}

/* ---- moving ---- */

/* The program may read what is copied, and tools that look for races have to let it. Writers wait. */
__attribute__((no_sanitize("thread"), no_sanitize("address"), noinline)) static void
copy_granules(uint64_t *to, const uint64_t *from, const uint64_t *granules, unsigned words)
{
    const size_t step = GRANULE / sizeof *to;
    for (unsigned word = 0; word < words; word++) {
        for (uint64_t rest = granules[word]; rest != 0; rest &= rest - 1) {
            const size_t first = (word * (size_t)64 + (size_t)__builtin_ctzll(rest)) * step;
            for (size_t index = first; index < first + step; index++) {
                to[index] = __atomic_load_n(&from[index], __ATOMIC_RELAXED);
            }
        }
    }
}

/* Copies what the window has in use and maps the window there, while its writers wait; compact_lock is held. */
static bool switch_to(const malloc_span *span, unsigned window, compact_frame *frame,
                      const uint64_t *granules)
{
    const unsigned kind = frame->kind;
    const size_t bytes = compact_frame_bytes(kind);
    unsigned char *start = window_at(span, kind, window);
    const uint64_t before = os_clock_us();
    if (!os_pages_freeze(start, bytes)) {
        return false;
    }
    copy_granules((uint64_t *)frame->alias, (const uint64_t *)start, granules,
                  compact_frame_words(kind));
    const bool done = os_pages_alias(frame->alias, bytes, start) == 0;
    const bool is_lost = !done && !os_pages_are_mapped(start, bytes);
    if (is_lost) {
        /* What was copied goes into the hole, and the window has pages of its own: like its frame, but alone. */
        if (os_pages_renew(start, bytes) != 0) {
            base_fatal("lost pages in a failed mremap", "malloc", start);
        }
        copy_granules((uint64_t *)start, (const uint64_t *)frame->alias, granules,
                      compact_frame_words(kind));
    }
    os_pages_thaw(start, bytes, done || is_lost);
    const uint64_t pause = os_clock_us() - before;
    compact_counted.pause_us = pause > compact_counted.pause_us ? pause : compact_counted.pause_us;
    compact_counted.pause_sum_us += pause;
    return done;
}

static compact_frame *new_frame(unsigned kind, unsigned class_index, unsigned window)
{
    os_lock_take(&compact_lock);
    compact_frame *frame = compact_frame_take(kind);
    if (frame != NULL) {
        frame->class_index = (uint8_t)class_index;
        frame->place = (uint8_t)window;
    }
    os_lock_release(&compact_lock);
    return frame;
}

bool compact_move(malloc_span *span, unsigned window, unsigned kind, compact_frame **target)
{
    uint64_t used[SLOT_WORDS];
    uint64_t granules[UNIT_GRANULES / 64];
    if (span->mesh != NULL) {
        (void)compact_tidy(span);
    }
    if (!compact_used_slots(span, used)) {
        return false;
    }
    compact_frame *frame = *target;
    const bool is_new = frame == NULL;
    if (is_new && (frame = new_frame(kind, span->class_index, window)) == NULL) {
        return false;
    }
    span_mesh *mesh = span->mesh != NULL ? span->mesh : begin(span, kind, used);
    compact_granules(span, used, kind, window, granules);
    os_lock_take(&compact_lock);
    bool done = mesh != NULL && mesh->kind == kind && frame->file != NULL && frame->kind == kind &&
                (is_new || frame->windows > 0) && frame != mesh->frames[window] &&
                !compact_meets(frame->taken, granules, compact_frame_words(kind));
    done = done && switch_to(span, window, frame, granules);
    if (done) {
        compact_frame *old = mesh->frames[window];
        for (unsigned word = 0; word < compact_frame_words(kind); word++) {
            frame->taken[word] |= granules[word];
        }
        frame->windows++;
        if (old != NULL) {
            compact_frame_leave(old, granules);
        } else {
            mesh->windows++;
            window_bytes += compact_frame_bytes(kind);
        }
        mesh->frames[window] = frame;
        compact_counted.joined += !is_new;
        *target = frame;
    } else if (is_new) {
        compact_frame_give(frame);
    }
    os_lock_release(&compact_lock);
    return done;
}

/* ---- claiming ---- */

/* Takes the slot's granules if nobody has any of them. */
static bool claim(const malloc_span *span, size_t slot)
{
    const span_mesh *mesh = span->mesh;
    unsigned first = 0;
    unsigned last = 0;
    slot_windows(span, slot, mesh->kind, &first, &last);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned window = first; window <= last; window++) {
            compact_frame *frame = mesh->frames[window];
            size_t from = 0;
            size_t end = 0;
            if (frame != NULL && frame->is_stuck) {
                return false;
            }
            if (frame == NULL || frame->file == NULL) {
                continue; /* its own pages, or a view of its own of sealed ones */
            }
            slot_part(span, slot, mesh->kind, window, &from, &end);
            if (pass == 1) {
                set_range(frame->taken, from, end);
            } else if (has_any(frame->taken, from, end)) {
                return false;
            }
        }
    }
    return true;
}

unsigned compact_claim(malloc_span *span, uint16_t *slots, unsigned most)
{
    span_mesh *mesh = span->mesh;
    uint64_t *kept = kept_of(mesh);
    unsigned count = 0;
    if (mesh->nothing_at == atomic_load_explicit(&compact_frames_loosened, memory_order_relaxed)) {
        return 0;
    }
    os_lock_take(&compact_lock);
    const uint64_t loosened = atomic_load_explicit(&compact_frames_loosened, memory_order_relaxed);
    for (unsigned word = 0; word < slot_words(span) && count < most; word++) {
        for (uint64_t rest = kept[word]; rest != 0 && count < most; rest &= rest - 1) {
            const size_t slot = word * (size_t)64 + (size_t)__builtin_ctzll(rest);
            if (claim(span, slot)) {
                set_kept(mesh, word, kept[word] & ~((uint64_t)1 << (slot % 64)));
                slots[count++] = (uint16_t)slot;
            }
        }
    }
    mesh->nothing_at = count == 0 ? loosened : 0;
    os_lock_release(&compact_lock);
    return count;
}

void compact_stats(tarn_malloc_compact_stats *stats)
{
    os_lock_take(&compact_lock);
    const os_freezer freezer = os_freezer_used();
    *stats = (tarn_malloc_compact_stats){
        .passes = compact_counted.passes,
        .pairs_tried = compact_counted.tried,
        .pairs_joined = compact_counted.joined,
        .bytes_recovered = compact_counted.recovered,
        .frames =
            atomic_load_explicit(&compact_frame_pages_held, memory_order_relaxed) * os_page_size(),
        .windows = window_bytes,
        .pause_us_max = compact_counted.pause_us,
        .pause_us_sum = compact_counted.pause_sum_us,
        .guard = freezer == OS_FREEZER_KERNEL   ? TARN_MALLOC_GUARD_KERNEL
                 : freezer == OS_FREEZER_SIGNAL ? TARN_MALLOC_GUARD_SIGNAL
                                                : TARN_MALLOC_GUARD_NONE};
    os_lock_release(&compact_lock);
}

/* ---- forks ---- */

/* Gives the window pages of its own, with what is in it; false, with all as it was, when that cannot be. */
static bool separate(const span_mesh *mesh, unsigned window)
{
    unsigned char *start = window_at(mesh->span, mesh->kind, window);
    const size_t bytes = compact_frame_bytes(mesh->kind);
    unsigned char *copy = os_pages_map(bytes, os_page_size());
    /* The program may have closed the descriptor that pages are frozen by: once more with another. */
    bool is_frozen = copy != NULL && os_pages_freeze(start, bytes);
    if (copy != NULL && !is_frozen && os_freezer_prepare() != OS_FREEZER_NONE) {
        is_frozen = os_pages_freeze(start, bytes);
    }
    if (!is_frozen) {
        if (copy != NULL) {
            os_pages_unmap(copy, bytes);
        }
        return false;
    }
    uint64_t all[UNIT_GRANULES / 64];
    memset(all, 0xff, sizeof all);
    copy_granules((uint64_t *)copy, (const uint64_t *)start, all, compact_frame_words(mesh->kind));
    const bool done = os_pages_move_to(copy, bytes, start, bytes);
    os_pages_thaw(start, bytes, true);
    if (!done) {
        base_fatal("lost pages in a failed mremap", "malloc", start);
    }
    return true;
}

/* Of a window that can neither be private nor apart the child has nothing, for its mapping stays behind: the parent
 * has to go on. */
static void part_from_children(span_mesh *mesh, unsigned window)
{
    compact_frame *frame = mesh->frames[window];
    unsigned char *start = window_at(mesh->span, mesh->kind, window);
    const frame_view view = compact_frame_make_private(frame, start);
    if (view == FRAME_FOREIGN) {
        (void)os_pages_alias(frame->alias, compact_frame_bytes(frame->kind), start);
    }
    if (view != FRAME_PRIVATE && !separate(mesh, window)) {
        frame->is_stuck = true;
    }
}

void compact_fork(bool before, bool child)
{
    if (before) {
        os_lock_take(&compact_lock);
        compact_frames_fork();
        for (span_mesh *mesh = meshes; mesh != NULL; mesh = mesh->next) {
            for (unsigned window = 0; window < window_count(mesh->kind); window++) {
                if (mesh->frames[window] != NULL && mesh->frames[window]->file != NULL) {
                    part_from_children(mesh, window);
                }
            }
        }
        compact_frames_seal();
        os_freezer_finish();
        return;
    }
    if (child) {
        compact_pass_forget();
    }
    os_lock_release(&compact_lock);
}
