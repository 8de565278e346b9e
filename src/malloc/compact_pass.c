/* SPDX-License-Identifier: MIT */
#include "malloc/compact.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/*
 * A pass of compaction, kind of window by kind, the largest first, since those give most back for a mapping:
 *
 *     gather   every sparse span, under its heap's lock, one at a time: which granules of its windows are in use
 *     plan     the fullest windows first, each to the fullest host that it does not meet; no lock is held
 *     carry    each window moves by itself, after another look at what it and its frame have by then
 *
 * A host is a frame that is there, or one to be made for a window that found none. Hosts of one class whose slots stand
 * at the same places are tried first, as slots of equal size collide less; then any. A host that nobody joined is not
 * made.
 *
 * Mappings: a window on a frame is one, and may split the one around it. Half of what the kernel allows the process is
 * left alone, and when the other half is used up, windows are made larger.
 */

#define CLASS_PLACES (CLASS_COUNT * UNIT_PAGES)
#define HOST_TRIES 1024 /* hosts that a window is compared with, at most, in each of two rounds */
#define HOST_LOOKS 8192 /* and those whose fill alone is looked at */
#define HOPE 7 /* natural logarithm of the odds against a pair, past which it is not tried */
#define WINDOWS_MAX 32768 /* of a kind in a pass */
#define FULL_PART 16
#define SPARSE_PART 4 /* a frame with less than one granule in so many taken is to be emptied */
#define NONE UINT32_MAX
#define SEALED_PASSES 4 /* after which windows leave a sealed frame even if they share it still */
#define CHANGED_PART 16 /* one span in so many has to have changed to be worth a pass */
#define MAPS_SPARE 4096 /* never used, whatever the kernel allows */

typedef struct window {
    malloc_span *span;
    uint32_t next; /* of those that go to one host */
    uint16_t place;
    uint16_t live;  /* granules in use, a count */
    uint16_t pages; /* that are resident for it alone */
    uint16_t slot;  /* granules */
    uint8_t class_index;
    bool was_framed;
    uint64_t granules[];
} window;

typedef struct host {
    compact_frame *frame; /* NULL: to be made */
    uint32_t next;        /* of its key */
    uint32_t first;       /* of its windows */
    uint32_t last;
    uint32_t count;
    uint32_t live;
    uint16_t held;  /* pages that the frame held before */
    uint16_t freed; /* pages that its windows hold */
    bool is_taken;  /* its one window went elsewhere */
    uint64_t granules[];
} host;

typedef struct plan {
    unsigned kind;
    unsigned words;
    size_t window_step;
    size_t host_step;
    unsigned char *windows;
    unsigned char *hosts;
    uint32_t window_count;
    uint32_t window_limit;
    uint32_t host_count;
    uint32_t host_limit;
    uint32_t *order; /* windows, by key and from full to empty */
    uint32_t first_of[CLASS_PLACES];
    uint32_t last_of[CLASS_PLACES];
    uint64_t tried;
} plan;

/* Everything that a pass has of the kernel, so that the child of a fork can give it back. */
typedef struct workspace {
    void *start;
    size_t size;
} workspace;

_Atomic(bool) compact_is_due;

static _Atomic(uint32_t) own_table; /* the thread with a table of descriptors of its own, or 0 */
static os_lock pass_lock;
static workspace spans_space;
static workspace plan_space;
static size_t map_budget; /* mappings that may still be made */
static bool was_short;    /* of mappings, in this pass */
static int pagemap;       /* a descriptor */
static size_t rotation;   /* the first span of this pass, so that none is left out for ever */
static unsigned boost;    /* windows are so many kinds larger than they would be */

/* ---- workspace ---- */

static void *open_space(workspace *space, size_t size)
{
    const size_t page = os_page_size();
    space->size = (size + page - 1) & ~(page - 1);
    space->start = space->size > 0 ? os_pages_map(space->size, page) : NULL;
    return space->start;
}

static void close_space(workspace *space)
{
    if (space->start != NULL) {
        void *start = space->start;
        space->start = NULL; /* first: the child of a fork would unmap it too */
        os_pages_unmap(start, space->size);
    }
}

/* ---- which spans ---- */

typedef struct gathering {
    malloc_span **spans;
    size_t count;
    size_t limit;
} gathering;

static void add_span(void *context, malloc_span *span)
{
    gathering *found = context;
    if (found->count < found->limit) {
        found->spans[found->count] = span;
    }
    found->count++;
}

/* Every unit that there is; which of them are candidates is seen under their heaps' locks. */
static bool gather_spans(gathering *found)
{
    *found = (gathering){0};
    os_lock_take(&process_pages.lock);
    page_heap_visit_units(&process_pages, add_span, found);
    os_lock_release(&process_pages.lock);
    found->limit = found->count;
    found->count = 0;
    found->spans = open_space(&spans_space, found->limit * sizeof *found->spans);
    if (found->spans == NULL) {
        return false;
    }
    os_lock_take(&process_pages.lock);
    page_heap_visit_units(&process_pages, add_span, found);
    os_lock_release(&process_pages.lock);
    found->count = found->count < found->limit ? found->count : found->limit;
    return true;
}

/* Takes the lock of the span's heap; NULL, without it, when the span does not stand still. */
static malloc_heap *hold(malloc_span *span)
{
    malloc_heap *heap = atomic_load_explicit(&span->owner, memory_order_acquire);
    if (heap == NULL) {
        return NULL;
    }
    os_lock_take(&heap->lock);
    if (atomic_load_explicit(&span->owner, memory_order_acquire) == heap &&
        compact_is_still(heap, span) && span->slot_size < os_page_size()) {
        return heap;
    }
    os_lock_release(&heap->lock);
    return NULL;
}

/* ---- plan ---- */

static window *window_of(const plan *made, uint32_t index)
{
    return (window *)(made->windows + index * made->window_step);
}

static unsigned kind_of(const malloc_span *span)
{
    if (span->mesh != NULL) {
        return span->mesh->kind;
    }
    const unsigned kind = compact_kind(span->slot_size) + boost;
    return kind < FRAME_KINDS ? kind : FRAME_KINDS - 1;
}

static host *host_of(const plan *made, uint32_t index)
{
    return (host *)(made->hosts + index * made->host_step);
}

static unsigned count_bits(const uint64_t *bits, unsigned words)
{
    unsigned count = 0;
    for (unsigned word = 0; word < words; word++) {
        count += (unsigned)__builtin_popcountll(bits[word]);
    }
    return count;
}

/* Pages with a granule. */
static unsigned count_pages(const uint64_t *granules, unsigned words)
{
    unsigned count = 0;
    for (unsigned word = 0; word < words; word += 4) {
        count +=
            (granules[word] | granules[word + 1] | granules[word + 2] | granules[word + 3]) != 0;
    }
    return count;
}

static unsigned key_of(unsigned class_index, unsigned place)
{
    return class_index * UNIT_PAGES + place;
}

static bool is_full(const plan *made, unsigned live)
{
    return live * FULL_PART > made->words * 64 * (FULL_PART - 1);
}

static host *add_host(plan *made, unsigned key)
{
    if (made->host_count == made->host_limit) {
        return NULL;
    }
    const uint32_t index = made->host_count++;
    host *fresh = host_of(made, index);
    memset(fresh, 0, made->host_step);
    fresh->next = NONE;
    fresh->first = NONE;
    fresh->last = NONE;
    if (made->first_of[key] == NONE) {
        made->first_of[key] = index;
    } else {
        host_of(made, made->last_of[key])->next = index;
    }
    made->last_of[key] = index;
    return fresh;
}

/* Frames that are there take part: those with little in them are to be left by their windows. */
static void add_frames(plan *made)
{
    os_lock_take(&compact_lock);
    for (compact_frame *frame = compact_open_frames[made->kind]; frame != NULL;
         frame = frame->next) {
        const unsigned live = count_bits(frame->taken, made->words);
        frame->is_leaving = live * SPARSE_PART < made->words * 64;
        if (frame->is_leaving || is_full(made, live)) {
            continue;
        }
        host *here = add_host(made, key_of(frame->class_index, frame->place));
        if (here == NULL) {
            break;
        }
        here->frame = frame;
        here->live = live;
        here->held = (uint16_t)count_pages(frame->taken, made->words);
        memcpy(here->granules, frame->taken, made->words * sizeof(uint64_t));
    }
    os_lock_release(&compact_lock);
}

/* The pages that the window holds for itself, 0 when it should stay where it is; the heap's lock is held. */
static unsigned own_pages(const plan *made, const malloc_span *span, unsigned place,
                          const uint64_t *granules, bool *was_framed)
{
    const span_mesh *mesh = span->mesh;
    const unsigned pages = count_pages(granules, made->words);
    *was_framed = false;
    if (mesh == NULL || mesh->frames[place] == NULL) {
        return pages;
    }
    os_lock_take(&compact_lock);
    const compact_frame *frame = mesh->frames[place];
    const bool is_sealed = frame->file == NULL;
    const bool is_old =
        is_sealed && (uint32_t)compact_counted.passes - frame->sealed_at >= SEALED_PASSES;
    const unsigned share =
        frame->is_leaving ? count_pages(frame->taken, made->words) / frame->windows : 0;
    os_lock_release(&compact_lock);
    *was_framed = true;
    if (!is_sealed) {
        return share < pages ? share : pages;
    }
    /* Seen privately, it shares its frame until it is written to. But the memory of the file is not free before its last
     * frame is left, so they all are in the end. */
    const size_t bytes = compact_frame_bytes(made->kind);
    const size_t owned =
        is_old ? pages : os_pages_owned(pagemap, (void *)(span->base + place * bytes), bytes);
    return owned < pages ? (unsigned)owned : pages;
}

static void add_windows(plan *made, malloc_span *span)
{
    uint64_t used[SLOT_WORDS];
    if (!compact_used_slots(span, used)) {
        return;
    }
    const unsigned count = (unsigned)(UNIT_SIZE / compact_frame_bytes(made->kind));
    for (unsigned place = 0; place < count && made->window_count < made->window_limit; place++) {
        window *here = window_of(made, made->window_count);
        compact_granules(span, used, made->kind, place, here->granules);
        const unsigned live = count_bits(here->granules, made->words);
        bool was_framed = false;
        const unsigned pages =
            live == 0 ? 0 : own_pages(made, span, place, here->granules, &was_framed);
        if (pages != 0 && !is_full(made, live)) {
            here->span = span;
            here->place = (uint16_t)place;
            here->class_index = span->class_index;
            here->slot = (uint16_t)(span->slot_size / GRANULE);
            here->live = (uint16_t)live;
            here->pages = (uint16_t)pages;
            here->was_framed = was_framed;
            made->window_count++;
        }
    }
}

static unsigned window_key(const window *one)
{
    return key_of(one->class_index, one->place);
}

/* By key, then the fullest first: heap sort, in place. */
static bool goes_after(const plan *made, uint32_t one, uint32_t other)
{
    const window *first = window_of(made, one);
    const window *second = window_of(made, other);
    const unsigned first_key = window_key(first);
    const unsigned second_key = window_key(second);
    return first_key != second_key ? first_key > second_key : first->live < second->live;
}

static void sift(const plan *made, uint32_t *order, uint32_t start, uint32_t end)
{
    uint32_t root = start;
    while (2 * root + 1 < end) {
        uint32_t child = 2 * root + 1;
        if (child + 1 < end && goes_after(made, order[child + 1], order[child])) {
            child++;
        }
        if (!goes_after(made, order[child], order[root])) {
            return;
        }
        const uint32_t swapped = order[root];
        order[root] = order[child];
        order[child] = swapped;
        root = child;
    }
}

static void sort_windows(plan *made)
{
    const uint32_t count = made->window_count;
    for (uint32_t index = 0; index < count; index++) {
        made->order[index] = index;
    }
    for (uint32_t start = count / 2; start-- > 0;) {
        sift(made, made->order, start, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        const uint32_t last = made->order[0];
        made->order[0] = made->order[end];
        made->order[end] = last;
        sift(made, made->order, 0, end);
    }
}

/* True if the two may well not meet. Where slots in use are spread at random, of n slots a share a and a share b, they do not
 * with a probability of about exp(-n a b). */
static bool has_hope(const plan *made, const window *here, const host *where)
{
    const uint64_t granules = made->words * (uint64_t)64;
    return (uint64_t)here->live * where->live <= HOPE * granules * here->slot;
}

static void join(plan *made, host *where, uint32_t index)
{
    window *here = window_of(made, index);
    here->next = NONE;
    if (where->last == NONE) {
        where->first = index;
    } else {
        window_of(made, where->last)->next = index;
    }
    where->last = index;
    where->count++;
    where->live += here->live;
    where->freed = (uint16_t)(where->freed + here->pages);
    for (unsigned word = 0; word < made->words; word++) {
        where->granules[word] |= here->granules[word];
    }
}

/* The first host of the key that has room. */
static host *find_host(plan *made, unsigned key, const window *here)
{
    unsigned tries = 0;
    unsigned looks = 0;
    uint32_t *link = &made->first_of[key];
    uint32_t before = NONE;
    while (*link != NONE && tries < HOST_TRIES && looks < HOST_LOOKS) {
        looks++;
        host *where = host_of(made, *link);
        if (is_full(made, where->live)) {
            /* Not to be looked at again. */
            if (made->last_of[key] == *link) {
                made->last_of[key] = before;
            }
            *link = where->next;
            continue;
        }
        const bool is_hopeful = has_hope(made, here, where);
        tries += is_hopeful;
        if (is_hopeful && !compact_meets(where->granules, here->granules, made->words)) {
            made->tried += tries;
            return where;
        }
        before = *link;
        link = &where->next;
    }
    made->tried += tries;
    return NULL;
}

/* Those that found nobody of their kind go where there is room. */
static void place_rest(plan *made)
{
    uint32_t from = 0;
    for (uint32_t index = 0; index < made->host_count; index++) {
        host *lone = host_of(made, index);
        if (lone->frame != NULL || lone->count != 1) {
            continue;
        }
        const window *here = window_of(made, lone->first);
        unsigned tries = 0;
        for (uint32_t step = 0; step < made->host_count && step < HOST_LOOKS && tries < HOST_TRIES;
             step++) {
            const uint32_t other = (from + step) % made->host_count;
            host *where = host_of(made, other);
            if (where == lone || where->is_taken || is_full(made, where->live) ||
                !has_hope(made, here, where)) {
                continue;
            }
            tries++;
            if (!compact_meets(where->granules, here->granules, made->words)) {
                join(made, where, lone->first);
                lone->is_taken = true;
                lone->count = 0;
                from = other;
                break;
            }
        }
        made->tried += tries;
    }
}

static void place_windows(plan *made)
{
    for (uint32_t index = 0; index < made->window_count; index++) {
        const window *here = window_of(made, made->order[index]);
        const unsigned key = window_key(here);
        host *where = find_host(made, key, here);
        if (where == NULL) {
            where = add_host(made, key);
        }
        if (where != NULL) {
            join(made, where, made->order[index]);
        }
    }
    place_rest(made);
}

/* ---- carry out ---- */

static bool move_one(const window *here, unsigned kind, compact_frame **frame)
{
    malloc_heap *heap = hold(here->span);
    if (heap == NULL) {
        return false;
    }
    const bool done = compact_move(here->span, here->place, kind, frame);
    os_lock_release(&heap->lock);
    return done;
}

static size_t carry_out(plan *made)
{
    size_t given = 0;
    for (uint32_t index = 0; index < made->host_count; index++) {
        host *where = host_of(made, index);
        const unsigned needs = count_pages(where->granules, made->words) - where->held;
        const bool is_enough = where->count >= (where->frame != NULL ? 1u : 2u);
        if (!is_enough || where->freed <= needs) {
            continue;
        }
        compact_frame *frame = where->frame;
        unsigned moved = 0;
        for (uint32_t at = where->first; at != NONE; at = window_of(made, at)->next) {
            const window *here = window_of(made, at);
            if (map_budget < 2 && !here->was_framed) {
                was_short = true;
                break;
            }
            if (move_one(here, made->kind, &frame)) {
                moved += here->pages;
                map_budget -= here->was_framed ? 0 : 2;
            }
        }
        given += moved > needs ? (moved - needs) * os_page_size() : 0;
    }
    return given;
}

/* ---- a pass ---- */

/* Windows of one kind; `spans` are those whose class has it. */
static size_t pass_kind(unsigned kind, const gathering *found, bool all)
{
    plan made = {.kind = kind, .words = compact_frame_words(kind)};
    size_t candidates = 0;
    size_t changed = 0;
    size_t given = 0;
    for (size_t index = 0; index < found->count; index++) {
        malloc_span *span = found->spans[index];
        malloc_heap *heap = hold(span);
        if (heap == NULL) {
            continue;
        }
        if (kind_of(span) == kind) {
            const unsigned used = span_used(span);
            candidates++;
            changed += used != span->looked;
            span->looked = (uint16_t)used;
            if (span->mesh != NULL) {
                given += compact_tidy(span);
            }
        }
        os_lock_release(&heap->lock);
    }
    all |= compact_frames_have_sealed();
    if (candidates == 0 || (!all && changed * CHANGED_PART < candidates)) {
        return given;
    }
    made.window_step = sizeof(window) + made.words * sizeof(uint64_t);
    made.host_step = sizeof(host) + made.words * sizeof(uint64_t);
    size_t windows = candidates * (UNIT_SIZE / compact_frame_bytes(kind));
    windows = windows < WINDOWS_MAX ? windows : WINDOWS_MAX;
    made.window_limit = (uint32_t)windows;
    made.host_limit = (uint32_t)(windows + WINDOWS_MAX);
    const size_t windows_bytes = windows * made.window_step;
    const size_t order_bytes = windows * sizeof(uint32_t);
    const size_t hosts_bytes = made.host_limit * made.host_step;
    unsigned char *space = open_space(&plan_space, windows_bytes + hosts_bytes + order_bytes);
    if (space == NULL) {
        return given;
    }
    made.windows = space;
    made.hosts = space + windows_bytes;
    made.order = (uint32_t *)(space + windows_bytes + hosts_bytes);
    memset(made.first_of, 0xff, sizeof made.first_of);
    memset(made.last_of, 0xff, sizeof made.last_of);
    add_frames(&made);
    for (size_t index = 0; index < found->count && made.window_count < made.window_limit; index++) {
        malloc_span *span = found->spans[(rotation + index) % found->count];
        malloc_heap *heap = hold(span);
        if (heap != NULL) {
            if (kind_of(span) == kind) {
                add_windows(&made, span);
            }
            os_lock_release(&heap->lock);
        }
    }
    sort_windows(&made);
    place_windows(&made);
    given += carry_out(&made);
    close_space(&plan_space);
    os_lock_take(&compact_lock);
    compact_counted.tried += made.tried;
    os_lock_release(&compact_lock);
    return given;
}

/* Half of what the kernel allows is the program's. */
static size_t budget(void)
{
    const size_t allowed = os_mapping_limit();
    const size_t present = os_mapping_count();
    const size_t ours = allowed / 2;
    return present != 0 && ours > present + MAPS_SPARE ? ours - present - MAPS_SPARE : 0;
}

static size_t run(bool all)
{
    gathering found;
    size_t given = 0;
    if (!gather_spans(&found)) {
        return 0;
    }
    map_budget = budget();
    pagemap = compact_frames_have_sealed() ? os_pagemap_open() : -1;
    rotation += found.count / 3 + 1;
    was_short = false;
    for (unsigned kind = FRAME_KINDS; kind-- > 0;) {
        given += pass_kind(kind, &found, all);
    }
    close_space(&spans_space);
    if (pagemap >= 0) {
        (void)os_file_close(pagemap);
    }
    boost += was_short && boost + 1 < FRAME_KINDS;
    os_lock_take(&compact_lock);
    compact_frames_hide();
    compact_counted.passes++;
    compact_counted.recovered += given;
    os_lock_release(&compact_lock);
    return given;
}

size_t compact_pass(bool all)
{
    size_t given = 0;
    if (!malloc_conf.compact || os_page_size() != PAGE_GRANULES * GRANULE ||
        !os_lock_try(&pass_lock)) {
        return 0;
    }
    atomic_store_explicit(&compact_is_due, false, memory_order_relaxed);
    os_lock_take(&compact_lock);
    compact_table = own_table != 0 && own_table == os_thread_number() ? own_table : 0;
    if (compact_table != 0) {
        compact_frames_close();
    }
    /* Files of memory are no good to a process that locks its own, nor where the kernel promises none. */
    const bool is_possible = !os_memory_is_locked() && !os_memory_is_promised() &&
                             compact_frames_prepare() && os_freezer_prepare() != OS_FREEZER_NONE;
    os_lock_release(&compact_lock);
    if (is_possible) {
        /* A signal's handler that writes to frozen pages would wait for itself. */
        sigset_t every;
        sigset_t before;
        sigfillset(&every);
        sigdelset(&every, SIGSEGV);
        pthread_sigmask(SIG_SETMASK, &every, &before);
        given = run(all);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    os_lock_take(&compact_lock);
    os_freezer_finish();
    os_lock_release(&compact_lock);
    os_lock_release(&pass_lock);
    return given;
}

void compact_adopt_thread(void)
{
    own_table = os_descriptors_part() ? os_thread_number() : 0;
}

void compact_pass_forget(void)
{
    own_table = 0;
    compact_table = 0;
    compact_frames_close();
    close_space(&plan_space);
    close_space(&spans_space);
    atomic_store_explicit(&pass_lock.state, 0, memory_order_relaxed);
}
