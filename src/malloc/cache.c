/* SPDX-License-Identifier: MIT */
#include "malloc/compact.h"

#include "base/bits.h"

#include <string.h>

/*
 * Spans in the hands of a heap.
 *
 *     page heap --take_unit--> CURRENT --last slot taken--> FULL --first slot freed--> PARTIAL --few used--> SPARSE
 *         ^                       ^                           |                          |                     |
 *         |                       `---- first in the queue ---|--------------------------+---------------------|
 *         |                                                   | all freed by others      | last slot freed     |
 *         |                                                   v                          v                     |
 *         `------------------------------------------------ DRAINED                    SPARE <-----------------'
 *
 * Who may touch what, in a thread's cache. The thread takes from and gives to CURRENT and PARTIAL spans with one
 * store to the head and no lock. Of a FULL span nothing changes without the heap's lock: freeing its first slot
 * finds label 0 and comes here. A SPARSE span is not among those that free_fast finds, and changes under the
 * lock alone. So the scavenger, with the lock, can give back the pages of sparse spans, and of full ones
 * that other threads have freed to the last slot, while the owner sleeps.
 *
 * Invariant: a current span's list is never empty, so that the fast path has one way to fail.
 */

/* Slots are linked so many bytes ahead, so that a span touches pages as it needs them. */
#define LINK_BYTES 4096
#define SHUFFLE_SLOTS 256
#define IDLE_TURNS 32 /* turns after which an empty current span may serve another class */
/* Times that a current span reports to be empty before it is relinked to stop that. */
#define EMPTIES_MAX 16
#define YOUNG_MAX 32    /* sparse spans that a thread keeps in its table, whatever their age */
#define SPARSE_AGE_MS 4 /* before a sparse span is taken from its thread's table */

/* A static span that owns nothing: every take from it fails its tag, every pointer misses its unit. */
static uint64_t nil_slot[2];

malloc_span nil_span = {.base = (uintptr_t)nil_slot, .unit = UNIT_NONE, .step = LABEL_STEP};

static uint64_t *word_at(const malloc_span *span, uint64_t word)
{
    return (uint64_t *)(span->base + (word & (UNIT_SIZE - 1)));
}

/* ---- queues ---- */

void span_queue_append(span_queue *queue, malloc_span *span)
{
    span->next = NULL;
    span->previous = queue->last;
    if (queue->last != NULL) {
        queue->last->next = span;
    } else {
        queue->first = span;
    }
    queue->last = span;
}

void span_queue_remove(span_queue *queue, malloc_span *span)
{
    if (span->next != NULL) {
        span->next->previous = span->previous;
    } else {
        queue->last = span->previous;
    }
    if (span->previous != NULL) {
        span->previous->next = span->next;
    } else {
        queue->first = span->next;
    }
}

static void leave_young(malloc_heap *heap, malloc_span *span)
{
    if (!span->is_young) {
        return;
    }
    span->is_young = false;
    heap->young_count--;
    if (span->next_young != NULL) {
        span->next_young->previous_young = span->previous_young;
    } else {
        heap->young.last = span->previous_young;
    }
    if (span->previous_young != NULL) {
        span->previous_young->next_young = span->next_young;
    } else {
        heap->young.first = span->next_young;
    }
}

static void join_young(malloc_heap *heap, malloc_span *span)
{
    leave_young(heap, span);
    span->is_young = true;
    heap->young_count++;
    span->next_young = NULL;
    span->previous_young = heap->young.last;
    if (heap->young.last != NULL) {
        heap->young.last->next_young = span;
    } else {
        heap->young.first = span;
    }
    heap->young.last = span;
}

static void leave_partial(malloc_heap *heap, malloc_span *span)
{
    span_queue_remove(&heap->partial[span->class_index], span);
    leave_young(heap, span);
}

/* ---- the thread's tables ---- */

static bool is_self(const malloc_heap *heap)
{
    return heap->kind == HEAP_THREAD && thread_self.heap == heap;
}

static void set_current(malloc_heap *heap, unsigned class_index, malloc_span *span)
{
    heap->current[class_index] = span;
    if (class_size(class_index) <= TABLE_MAX && is_self(heap)) {
        const size_t first = class_index == 0 ? 0 : class_size(class_index - 1) / 16 + 1;
        for (size_t index = first; index <= class_size(class_index) / 16; index++) {
            thread_self.table[index] = span;
        }
    }
}

static void show_own(const malloc_heap *heap, malloc_span *span)
{
    /* Of a span on shared frames a second free must not write a link. */
    if (is_self(heap) && span->mesh == NULL) {
        thread_self.own[span->unit % OWN_COUNT] = span;
    }
}

static void own(malloc_heap *heap, malloc_span *span)
{
    atomic_store_explicit(&span->owner, heap, memory_order_release);
    count_add(&heap->span_count, 1);
    show_own(heap, span);
}

static void hide_own(const malloc_heap *heap, const malloc_span *span)
{
    if (is_self(heap) && thread_self.own[span->unit % OWN_COUNT] == span) {
        thread_self.own[span->unit % OWN_COUNT] = &nil_span;
    }
}

static void disown(malloc_heap *heap, malloc_span *span)
{
    count_add(&heap->span_count, (uint64_t)-1);
    hide_own(heap, span);
}

/* ---- linking slots ---- */

/* A link of the list under construction: `label` counts up as the list gets shorter. */
typedef struct linker {
    malloc_span *span;
    uint64_t *last; /* the slot that waits for its link */
    uint64_t head;
    uint64_t label; /* that goes with the next link */
} linker;

static void linker_add(linker *builder, uintptr_t slot)
{
    const uint64_t word = span_word(builder->span, builder->label, slot);
    if (builder->last != NULL) {
        *builder->last = word;
    } else {
        builder->head = word;
    }
    builder->last = (uint64_t *)slot;
    builder->label += 2;
}

/* The pages that a slot touches, a bit for each. */
static uint32_t pages_of(const malloc_span *span, size_t slot)
{
    const size_t page = os_page_size();
    const size_t first = slot * span->slot_size / page;
    const size_t last = ((slot + 1) * span->slot_size - 1) / page;
    return ((uint32_t)2 << last) - ((uint32_t)1 << first);
}

/* Links the slots that touch `page` and no page that is still given back: all of them are free. */
static void link_page(linker *builder, unsigned page)
{
    const malloc_span *span = builder->span;
    const size_t end = (page + 1) * os_page_size();
    size_t slot = page * os_page_size() / span->slot_size;
    for (; slot < span->touched && slot * span->slot_size < end; slot++) {
        if ((pages_of(span, slot) & span->purged) == 0) {
            linker_add(builder, span->base + slot * span->slot_size);
        }
    }
}

/* How many bytes of untouched slots to link: pages that are resident anyway, else the more the more were needed. */
static size_t link_bytes(const malloc_span *span)
{
    const size_t more = span->bound / 8 > LINK_BYTES ? span->bound / 8 : LINK_BYTES;
    return span->reach > span->bound + more ? span->reach - span->bound : more;
}

/* Links slots that a span on shared frames kept out of its list. */
static void link_claimed(linker *builder)
{
    uint16_t slots[COMPACT_CLAIMS];
    const unsigned want = LINK_BYTES / builder->span->slot_size;
    const unsigned most = want == 0 ? 1 : want < COMPACT_CLAIMS ? want : COMPACT_CLAIMS;
    const unsigned count = compact_claim(builder->span, slots, most);
    for (unsigned index = 0; index < count; index++) {
        linker_add(builder, builder->span->base + slots[index] * (size_t)builder->span->slot_size);
    }
}

/* Links `count` slots from the first untouched one on in an order that nobody foresees, block by block: whatever a program
 * frees regularly leaves slots in use where they do not meet those of another span. */
static void link_shuffled(linker *builder, unsigned count)
{
    const malloc_span *span = builder->span;
    uint8_t order[SHUFFLE_SLOTS];
    for (unsigned done = 0; done < count; done += SHUFFLE_SLOTS) {
        const unsigned here = count - done < SHUFFLE_SLOTS ? count - done : SHUFFLE_SLOTS;
        uint64_t chance = os_random();
        for (unsigned index = 0; index < here; index++) {
            /* Knuth's Algorithm P, from the inside out. */
            const unsigned other = (unsigned)((chance >> 32) % (index + 1));
            order[index] = (uint8_t)index;
            order[index] = order[other];
            order[other] = (uint8_t)index;
            chance = chance * 0x5851F42D4C957F2Du + 0x14057B7EF767814Fu;
        }
        for (unsigned index = 0; index < here; index++) {
            const size_t slot = span->touched + done + order[index];
            linker_add(builder, span->base + slot * span->slot_size);
        }
    }
}

/* Puts slots on the empty list of a span that has `used` in use: those of a page that was given back, else ones
 * never touched. False when there are none. The span reports neither sparse nor empty while it is current. */
static bool extend(malloc_span *span, int32_t used, int32_t mark)
{
    linker builder = {.span = span};
    span->mark = mark;
    builder.label = 2 * (uint64_t)(uint32_t)(used - mark);
    while (span->purged != 0 && builder.last == NULL) {
        const unsigned page = base_ctz(span->purged);
        span->purged &= (uint16_t)(span->purged - 1);
        link_page(&builder, page);
    }
    if (span->mesh != NULL) {
        link_claimed(&builder);
    }
    if (builder.last == NULL) {
        unsigned count = (unsigned)(link_bytes(span) / span->slot_size);
        const unsigned rest = span->slot_count - (unsigned)span->touched;
        count = count == 0 ? 1 : count;
        count = count < rest ? count : rest;
        if (malloc_conf.compact) {
            link_shuffled(&builder, count);
        } else {
            for (unsigned index = 0; index < count; index++) {
                linker_add(&builder,
                           span->base + (span->touched + index) * (size_t)span->slot_size);
            }
        }
        span->touched = (uint16_t)(span->touched + count);
        __atomic_store_n(&span->bound, span->touched * (uintptr_t)span->slot_size,
                         __ATOMIC_RELAXED);
        span->reach = span->bound > span->reach ? (uint32_t)span->bound : span->reach;
    }
    if (builder.last == NULL) {
        return false;
    }
    *builder.last = span_end_word(span, builder.label);
    span_set_head(span, builder.head);
    return true;
}

/* ---- taking ---- */

_Noreturn static void corrupted(const malloc_heap *heap, const void *slot)
{
    base_fatal("corrupted free list", heap->interface.name, slot);
}

/* Takes the first of several slots of the current span's list; NULL when there are not several. */
static void *take_plain(malloc_heap *heap, unsigned class_index)
{
    malloc_span *span = heap->current[class_index];
    uint64_t *slot = word_at(span, span_head(span));
    const uint64_t link = *slot;
    if ((uint32_t)(link >> TAG_SHIFT) != span_tag(span)) {
        return NULL;
    }
    span_set_head(span, link);
    atomic_signal_fence(memory_order_release); /* as in malloc_fast */
    *slot = 0;
    return slot;
}

static bool splice_pending(malloc_span *span, int32_t used);

/* True if another span has as many free slots as linking new ones would give: then no new page is touched. */
static bool has_better(const malloc_heap *heap, malloc_span *span)
{
    malloc_span *other = heap->partial[span->class_index].last;
    return other != NULL && heap->reserve[span->class_index] == NULL && other->mesh == NULL &&
           (other->touched - span_used(other)) * (size_t)span->slot_size >= LINK_BYTES / 2;
}

static void retire(malloc_heap *heap, malloc_span *span, int32_t used)
{
    span->mark = used;
    span->state = SPAN_FULL;
    span_set_head(span, span_word(span, 0, 0));
    span_queue_append(&heap->full, span);
    if (heap->current[span->class_index] == span) {
        set_current(heap, span->class_index, &nil_span);
    }
    if (span->touched < span->slot_count) {
        heap->reserve[span->class_index] = span;
    }
}

/* Takes the last slot of the current span's list, which gets new ones, or the span is full. */
static void *take_last(malloc_heap *heap, unsigned class_index)
{
    malloc_span *span = heap->current[class_index];
    if (span == &nil_span) {
        return NULL;
    }
    uint64_t *slot = word_at(span, span_head(span));
    const uint64_t link = *slot;
    if ((uint32_t)(link >> TAG_SHIFT) != (span_tag(span) ^ END_FLIP)) {
        corrupted(heap, slot);
    }
    const int32_t used = span_used_at(span, link);
    if (!splice_pending(span, used) &&
        ((span->purged == 0 && span->mesh == NULL && has_better(heap, span)) ||
         !extend(span, used, MARK_NEVER))) {
        retire(heap, span, used);
    }
    *slot = 0;
    return slot;
}

unsigned span_used(malloc_span *span)
{
    const int32_t used =
        span->state == SPAN_FULL ? span->mark : span_used_at(span, span_head(span));
    /* Seen from another thread, label and mark may be of different moments. */
    return used < 0 ? 0 : used > span->touched ? span->touched : (unsigned)used;
}

/* True when the list holds no slot: only where purged pages were left with every other slot in use. */
static bool list_is_empty(malloc_span *span)
{
    return (uint32_t)(span_head(span) >> TAG_SHIFT) == (span_tag(span) ^ END_FLIP);
}

/* Makes the list one without slots, of a span with `used` in use, which reports when the last of them is freed. */
static void empty_list(malloc_span *span, int32_t used)
{
    span->mark = 1;
    span_set_head(span, span_end_word(span, 2 * (uint64_t)(uint32_t)(used - 1)));
}

/* Cuts the unit of a span without slots in use into slots of the class. */
static void cut(malloc_span *span, unsigned class_index)
{
    span->slot_size = class_size(class_index);
    span->slot_count = (uint16_t)(UNIT_SIZE / span->slot_size);
    span->inverse = (uint32_t)(((uint64_t)1 << 32) / span->slot_size) + 1;
    span->residue = span->inverse;
    span->step = LABEL_STEP;
    span->class_index = (uint8_t)class_index;
    span->touched = 0;
    __atomic_store_n(&span->bound, 0, __ATOMIC_RELAXED);
    span->purged = 0;
    span->pending = NULL;
    span->pending_count = 0;
    (void)extend(span, 0, MARK_NEVER);
}

static malloc_span *fresh_span(malloc_heap *heap, unsigned class_index, malloc_span *span)
{
    if (span != NULL) {
        span->unit = span->base >> UNIT_SHIFT;
        span->reach = 0;
        cut(span, class_index);
        own(heap, span);
    }
    return span;
}

static malloc_span *spare_at(malloc_heap *heap, unsigned index)
{
    malloc_span *span = heap->spares[index];
    heap->spare_count--;
    memmove(&heap->spares[index], &heap->spares[index + 1],
            (heap->spare_count - index) * sizeof heap->spares[0]);
    return span;
}

/* A spare span of the class, whose slots are linked already. */
static malloc_span *take_spare(malloc_heap *heap, unsigned class_index)
{
    for (unsigned index = heap->spare_count; index-- > 0;) {
        if (heap->spares[index]->class_index == class_index) {
            return spare_at(heap, index);
        }
    }
    return NULL;
}

/* An empty span of another class, to be cut anew: the oldest spare, or a current one that was not needed for a
 * while. */
static malloc_span *take_other(malloc_heap *heap, unsigned class_index)
{
    malloc_span *span = NULL;
    if (heap->spare_count > 0) {
        span = spare_at(heap, 0);
    }
    for (unsigned index = 0; index < CLASS_COUNT && span == NULL; index++) {
        malloc_span *other = heap->current[index];
        if (other != &nil_span && heap->turns - other->turn >= IDLE_TURNS && other->mesh == NULL &&
            other->pending == NULL && span_used(other) == 0) {
            set_current(heap, index, &nil_span);
            span = other;
        }
    }
    if (span != NULL) {
        cut(span, class_index);
    }
    return span;
}

/* A span with nothing in use, from where it costs least new memory. */
static malloc_span *empty_span(malloc_heap *heap, unsigned class_index)
{
    malloc_span *span = take_spare(heap, class_index);
    if (span == NULL) {
        span = fresh_span(heap, class_index, page_heap_take_dirty_unit(heap->pages));
    }
    if (span == NULL && heap->kind == HEAP_THREAD) {
        span = take_other(heap, class_index);
    }
    return span != NULL ? span : fresh_span(heap, class_index, page_heap_take_unit(heap->pages));
}

/* New slots for an empty list; false when there are none to be had. */
static bool refill(malloc_span *span, int32_t used)
{
    return splice_pending(span, used) || extend(span, used, MARK_NEVER);
}

/* A span with free slots; the lock is held. */
static malloc_span *next_span(malloc_heap *heap, unsigned class_index)
{
    heap_collect(heap);
    malloc_span *span = heap->partial[class_index].last;
    if (span != NULL) {
        leave_partial(heap, span);
        return span;
    }
    span = heap->reserve[class_index];
    if (span != NULL) {
        span_queue_remove(&heap->full, span);
        heap->reserve[class_index] = NULL;
        const int32_t used = (int32_t)span_used(span);
        (void)refill(span, used);
        return span;
    }
    if (heap->kind == HEAP_THREAD) {
        span = central_adopt(heap, class_index);
        if (span != NULL) {
            own(heap, span);
            return span;
        }
    }
    return empty_span(heap, class_index);
}

static void *take_locked(malloc_heap *heap, unsigned class_index)
{
    void *slot = take_last(heap, class_index);
    if (slot != NULL) {
        return slot;
    }
    malloc_span *span = next_span(heap, class_index);
    while (span != NULL && list_is_empty(span)) {
        const int32_t used = (int32_t)span_used(span);
        if (refill(span, used)) {
            break;
        }
        /* What it has free lies on frames where others are. */
        retire(heap, span, used);
        span = next_span(heap, class_index);
    }
    if (span == NULL) {
        return NULL;
    }
    span->state = SPAN_CURRENT;
    span->empties = 0;
    span->turn = ++heap->turns;
    show_own(heap, span);
    set_current(heap, class_index, span);
    slot = take_plain(heap, class_index);
    return slot != NULL ? slot : take_last(heap, class_index);
}

bool heap_has_slot(const malloc_heap *heap, unsigned class_index)
{
    return heap->current[class_index] != &nil_span || heap->partial[class_index].first != NULL ||
           heap->reserve[class_index] != NULL;
}

void *heap_take(malloc_heap *heap, unsigned class_index)
{
    void *slot = take_plain(heap, class_index);
    if (slot != NULL || heap->kind != HEAP_THREAD) {
        return slot != NULL ? slot : take_locked(heap, class_index);
    }
    os_lock_take(&heap->lock);
    slot = take_locked(heap, class_index);
    os_lock_release(&heap->lock);
    return slot;
}

/* ---- giving ---- */

/* The count in use at which a span is sparse: the larger the slots, the likelier are free pages. */
static int32_t sparse_mark(const malloc_span *span)
{
    const unsigned part = span->slot_size >= os_page_size() || malloc_conf.compact ? 2
                          : span->slot_size >= 256                                 ? 4
                                                                                   : 8;
    return (int32_t)(span->slot_count / part);
}

static void release(malloc_heap *heap, malloc_span *span)
{
    disown(heap, span);
    span->pending = NULL;
    span->pending_count = 0;
    span->unit = UNIT_NONE;
    span->state = SPAN_FREE;
    if (malloc_conf.compact) {
        /* Nobody's, so that a pass does not look at it under the lock of who had it. */
        atomic_store_explicit(&span->owner, &late_heap, memory_order_release);
    }
    if (span->mesh == NULL || compact_leave(span)) {
        page_heap_give_unit(span);
    }
}

/* Keeps an empty span at hand, the oldest one going back for it: a thread whose need goes up and down takes the same
 * spans again without a word to the page heap. */
static void spare(malloc_heap *heap, malloc_span *span, uint64_t *slot)
{
    if (heap->kind != HEAP_THREAD || span->mesh != NULL) {
        release(heap, span);
        return;
    }
    if (heap->spare_count == SPARE_COUNT) {
        release(heap, heap->spares[0]);
        heap->spare_count--;
        memmove(&heap->spares[0], &heap->spares[1], heap->spare_count * sizeof heap->spares[0]);
    }
    hide_own(heap, span); /* others may release it from here */
    span->state = SPAN_SPARE;
    span_set_head(span, span_word(span, LABEL_EMPTY, (uintptr_t)slot));
    heap->spares[heap->spare_count++] = span;
}

static void release_spares(malloc_heap *heap)
{
    while (heap->spare_count > 0) {
        release(heap, heap->spares[--heap->spare_count]);
    }
}

static void leave_full(malloc_heap *heap, malloc_span *span)
{
    span_queue_remove(&heap->full, span);
    if (heap->reserve[span->class_index] == span) {
        heap->reserve[span->class_index] = NULL;
    }
}

/* The list of a full span begins again with one slot. */
static void give_first(malloc_heap *heap, malloc_span *span, uint64_t *slot)
{
    const int32_t used = span->mark - 1;
    const int32_t sparse = sparse_mark(span) + 1;
    leave_full(heap, span);
    span->mark = sparse <= used ? sparse : 1;
    const uint64_t label = 2 * (uint64_t)(uint32_t)(used - span->mark);
    *slot = span_end_word(span, label + 2);
    span_set_head(span, span_word(span, label, (uintptr_t)slot));
    span->state = SPAN_PARTIAL;
    span->since = os_clock_ms();
    span_queue_append(&heap->partial[span->class_index], span);
    if (heap->kind == HEAP_CENTRAL) {
        central_note(span->class_index);
    }
}

static void reset_current(const malloc_heap *heap, malloc_span *span)
{
    span->turn = heap->turns;
    /* It empties again and again: as good as new, without a look at any slot, it reports no more. */
    span->touched = 0;
    span->purged = 0;
    (void)extend(span, 0, MARK_NEVER);
}

static void give_whole(malloc_heap *heap, malloc_span *span, bool is_owner);

/* Labels tell of slots in use, and pending ones count as such; where the lock is held the rest is told exactly. */
static void give_if_whole(malloc_heap *heap, malloc_span *span)
{
    if (span->state != SPAN_CURRENT && span_used(span) == span->pending_count) {
        give_whole(heap, span, true);
    }
}

/* From here on the span changes under the lock alone. */
static void make_sparse(malloc_heap *heap, malloc_span *span)
{
    leave_young(heap, span);
    span->state = SPAN_SPARSE;
    hide_own(heap, span);
    atomic_store_explicit(&heap->has_sparse, true, memory_order_relaxed);
    compact_notice();
}

/* A span that goes from full to empty in no time is left to its thread; one that stays sparse is not. The others' events
 * are the clock. */
static void age_young(malloc_heap *heap, uint64_t now)
{
    while (heap->young.first != NULL &&
           (heap->young_count > YOUNG_MAX || now - heap->young.first->since >= SPARSE_AGE_MS)) {
        make_sparse(heap, heap->young.first);
    }
}

/* The span has just lost its last slot in use. */
static void give_last(malloc_heap *heap, malloc_span *span, uint64_t *slot)
{
    if (span->state != SPAN_CURRENT) {
        leave_partial(heap, span);
        spare(heap, span, slot);
    } else if (span->empties == EMPTIES_MAX && span->mesh == NULL) {
        reset_current(heap, span);
    } else {
        span->empties = (uint8_t)(span->empties + (span->empties < EMPTIES_MAX));
        span->turn = heap->turns;
        span_set_head(span, span_word(span, LABEL_EMPTY, (uintptr_t)slot));
    }
}

/* What compaction has to know of a slot that is given. True when the span went with its last one. */
__attribute__((noinline)) static bool give_compacted(malloc_heap *heap, malloc_span *span)
{
    if (span->state == SPAN_SPARSE) {
        compact_notice();
    }
    if (span->mesh == NULL) {
        return false;
    }
    if (span->state != SPAN_FULL || span->mark != 1) {
        return false;
    }
    /* All its other slots are kept. */
    leave_full(heap, span);
    release(heap, span);
    return true;
}

void heap_give(malloc_heap *heap, malloc_span *span, void *given)
{
    uint64_t *slot = given;
    if (base_unlikely(malloc_conf.compact) && give_compacted(heap, span)) {
        return;
    }
    if (span->state == SPAN_FULL) {
        give_first(heap, span, slot);
        if ((span->pending != NULL || span->mesh != NULL) && heap->kind == HEAP_THREAD) {
            make_sparse(heap, span);
        }
        give_if_whole(heap, span);
        return;
    }
    const uint64_t head = span_head(span);
    const uint32_t label = (uint32_t)(head >> LABEL_SHIFT);
    *slot = head;
    if (label >= 2) {
        span_set_head(span, span_word(span, label - 2, (uintptr_t)slot));
        give_if_whole(heap, span);
        return;
    }
    /* A mark: label 0 is the span's own, label 1 the last slot in use. */
    const int32_t used = (label == 1 ? 1 : span->mark) - 1;
    if (used == 0) {
        give_last(heap, span, slot);
        return;
    }
    span_set_head(span, span_word(span, 2 * (uint64_t)(uint32_t)(used - 1) + 1, (uintptr_t)slot));
    if (span->state == SPAN_PARTIAL && heap->kind == HEAP_THREAD) {
        span->since = os_clock_ms();
        join_young(heap, span);
        age_young(heap, span->since);
    }
    give_if_whole(heap, span);
}

void heap_give_own(malloc_heap *heap, malloc_span *span, void *slot)
{
    const uint8_t state = span->state;
    const uint64_t head = span_head(span);
    if ((state == SPAN_CURRENT || state == SPAN_PARTIAL) && head >> LABEL_SHIFT >= 2) {
        show_own(heap, span);
        heap_check_free(heap, span, slot);
        *(uint64_t *)slot = head;
        atomic_signal_fence(memory_order_release); /* as in free_fast */
        span_set_head(span, span_word(span, (head >> LABEL_SHIFT) - 2, (uintptr_t)slot));
        return;
    }
    heap_check_free(heap, span, slot);
    os_lock_take(&heap->lock);
    TARN_CHECK(span->state != SPAN_SPARE && span->state != SPAN_DRAINED, "double free",
               heap->interface.name, slot);
    heap_give(heap, span, slot);
    os_lock_release(&heap->lock);
}

/* ---- frees from other threads ---- */

/* True if `block` bears all marks of a free slot of the span. A slot in use bears them by accident in one case of
 * 2^40, for taking a slot wipes them off. */
static bool looks_free(const malloc_span *span, const uint64_t *block)
{
    const uint64_t word = *block;
    const uint32_t tag = (uint32_t)(word >> TAG_SHIFT);
    if (tag == span_tag(span)) {
        return span_is_slot(span, span->base + (word & (UNIT_SIZE - 1)));
    }
    return tag == (span_tag(span) ^ END_FLIP) && (word & (UNIT_SIZE - 1)) == 0;
}

/* True if the slot is on the span's list or in a pending parcel; the owner stands still. */
static bool list_has(malloc_span *span, const void *slot)
{
    uint64_t word = span_head(span);
    const parcel *next = span->pending;
    for (unsigned count = 0; count <= 2u * span->slot_count; count++) {
        if (span->state == SPAN_FULL && count == 0) {
            word = span_end_word(span, 0);
        }
        if ((uint32_t)(word >> TAG_SHIFT) != span_tag(span)) {
            if (next == NULL) {
                return false;
            }
            word = span_word(span, 0, (uintptr_t)next);
            next = next->next;
        }
        const uint64_t *here = word_at(span, word);
        if (here == slot) {
            return true;
        }
        word = *here;
    }
    return true; /* a ring: something was freed twice */
}

void heap_check_free(const malloc_heap *heap, malloc_span *span, const void *slot)
{
    /* A thread's spans have tags that no pointer looks like; others' may stand anywhere, and wait for proof. */
    if (looks_free(span, slot) && (heap->kind == HEAP_THREAD || list_has(span, slot))) {
        base_fatal("double free", heap->interface.name, slot);
    }
}

static void send_one(malloc_span *span, void *slot);

void heap_give_locked(malloc_heap *owner, malloc_span *span, void *slot)
{
    if (!os_lock_try(&owner->lock)) {
        send_one(span, slot);
        return;
    }
    heap_collect(owner);
    /* It may have been adopted since the caller looked; not any more while the lock is held. */
    const bool is_here = atomic_load_explicit(&span->owner, memory_order_acquire) == owner;
    if (is_here) {
        heap_check_free(owner, span, slot);
        heap_give(owner, span, slot);
    }
    os_lock_release(&owner->lock);
    if (!is_here) {
        send_one(span, slot);
    }
}

/* To whoever owns the span at this moment; who owns it later forwards it. */
static void post(malloc_span *span, parcel *sent)
{
    malloc_heap *owner = atomic_load_explicit(&span->owner, memory_order_acquire);
    _Atomic(parcel *) *list = &owner->remote[span->unit % REMOTE_LISTS];
    parcel *first = atomic_load_explicit(list, memory_order_relaxed);
    do {
        sent->next = first;
    } while (!atomic_compare_exchange_weak_explicit(list, &first, sent, memory_order_release,
                                                    memory_order_relaxed));
}

/* Sends a slot by itself. */
static void send_one(malloc_span *span, void *slot)
{
    parcel *sent = slot;
    sent->link = span_end_word(span, parcel_base(span));
    post(span, sent);
}

/* Sends what is in the box, which is of `span`. */
static void send_box(parcel_box *box, malloc_span *span)
{
    box->span = NULL;
    post(span, (parcel *)word_at(span, box->head));
}

void heap_send(malloc_heap *self, malloc_span *span, void *slot)
{
    if (self == NULL) {
        send_one(span, slot);
        return;
    }
    parcel_box *box = &self->boxes[span->unit % PARCEL_BOXES];
    const bool is_new = box->span != span;
    if (is_new && box->span != NULL) {
        send_box(box, box->span);
    }
    const uint64_t head = is_new ? span_end_word(span, parcel_base(span)) : box->head;
    *(uint64_t *)slot = head;
    /* In this order: the child of a fork sends what it finds in the boxes of threads that it does not have. */
    atomic_signal_fence(memory_order_release);
    box->head = span_word(span, (head >> LABEL_SHIFT) - 2, (uintptr_t)slot);
    box->count = is_new ? 1 : box->count + 1;
    atomic_signal_fence(memory_order_release);
    box->span = span;
    if (box->count >= PARCEL_SLOTS || box->count * span->slot_size >= PARCEL_BYTES) {
        send_box(box, span);
    }
}

void heap_send_all(malloc_heap *self)
{
    for (unsigned index = 0; index < PARCEL_BOXES; index++) {
        if (self->boxes[index].span != NULL) {
            send_box(&self->boxes[index], self->boxes[index].span);
        }
    }
}

/* The span of a parcel that was sent here. */
static malloc_span *span_of_parcel(const malloc_heap *heap, const parcel *sent)
{
    const uintptr_t entry = heap->pages->confined.start != NULL
                                ? page_heap_find(heap->pages, (uintptr_t)sent)
                                : map_get((uintptr_t)sent);
    malloc_span *span = (malloc_span *)entry;
    if (entry == 0 || (entry & 3) != MAP_SPAN || !span_is_slot(span, (uintptr_t)sent) ||
        !looks_free(span, &sent->link)) {
        corrupted(heap, sent);
    }
    return span;
}

/* Every slot is free, be it on the list or pending; whose list it was does not matter any more. */
static void give_whole(malloc_heap *heap, malloc_span *span, bool is_owner)
{
    span->pending = NULL;
    span->pending_count = 0;
    if (span->state == SPAN_CURRENT && span->mesh == NULL) {
        reset_current(heap, span);
        return;
    }
    if (span->state == SPAN_CURRENT) {
        set_current(heap, span->class_index, &nil_span);
        release(heap, span);
        return;
    }
    const bool is_hidden = span->state == SPAN_SPARSE;
    if (span->state == SPAN_FULL) {
        leave_full(heap, span);
    } else {
        leave_partial(heap, span);
    }
    if (heap->kind != HEAP_THREAD || (span->mesh != NULL && (is_owner || is_hidden))) {
        release(heap, span);
        return;
    }
    if (is_owner || is_hidden) {
        cut(span, span->class_index);
        spare(heap, span, word_at(span, span_head(span)));
        return;
    }
    /* The thread may still find the span in its table, so it has to let go of it itself. */
    if (os_pages_purge((void *)span->base, base_align_up(span->reach, os_page_size()))) {
        span->reach = 0;
    }
    span->state = SPAN_DRAINED;
    span_queue_append(&heap->drained, span);
}

/* A full span on shared frames, which no thread's table has, is to be found again for what is pending. */
static void reopen(malloc_heap *heap, malloc_span *span)
{
    leave_full(heap, span);
    empty_list(span, (int32_t)span_used(span));
    span->state = heap->kind == HEAP_THREAD ? SPAN_SPARSE : SPAN_PARTIAL;
    span_queue_append(&heap->partial[span->class_index], span);
    if (heap->kind == HEAP_CENTRAL) {
        central_note(span->class_index);
    }
    compact_notice();
}

/* A full span gets the parcel as its list, labels and all; any other keeps it until its own list ends. */
static void receive(malloc_heap *heap, malloc_span *span, parcel *sent, bool is_owner)
{
    const uint64_t label = sent->link >> LABEL_SHIFT;
    const unsigned count = (unsigned)(parcel_base(span) - label) / 2 + 1;
    /* A parcel's labels are those of a span with every slot linked. */
    const bool takes_list =
        span->state == SPAN_FULL && span->touched == span->slot_count && span->mesh == NULL;
    if (count > span->slot_count) {
        corrupted(heap, sent);
    }
    if (count + span->pending_count == span_used(span) &&
        (is_owner || span->state != SPAN_CURRENT)) {
        give_whole(heap, span, is_owner);
        return;
    }
    if (!takes_list) {
        sent->next = span->pending;
        span->pending = sent;
        span->pending_count = (uint16_t)(span->pending_count + count);
        /* Its labels will not tell when the last slot in use is freed, so freeing has to come by here. */
        if (span->state == SPAN_FULL && span->mesh != NULL) {
            reopen(heap, span);
        } else if (span->state == SPAN_PARTIAL && is_owner) {
            make_sparse(heap, span);
        } else if (span->state == SPAN_PARTIAL) {
            heap->has_parked = true;
        }
        return;
    }
    leave_full(heap, span);
    span->mark = 1;
    span->since = os_clock_ms();
    span->state = SPAN_PARTIAL;
    span_set_head(span, span_word(span, label - 2, (uintptr_t)sent));
    span_queue_append(&heap->partial[span->class_index], span);
    if (heap->kind == HEAP_CENTRAL) {
        central_note(span->class_index);
    }
}

/* Takes a pending parcel as the list of a span whose own has ended; false when there is none. */
static bool splice_pending(malloc_span *span, int32_t used)
{
    parcel *sent = span->pending;
    if (sent == NULL) {
        return false;
    }
    const uint64_t label = sent->link >> LABEL_SHIFT;
    span->pending = sent->next;
    span->pending_count =
        (uint16_t)(span->pending_count - ((unsigned)(parcel_base(span) - label) / 2 + 1));
    /* 1 when every slot was linked once; before that the span reports nothing, which a current one need not. */
    span->mark = used - (int32_t)span->slot_count + 1;
    span_set_head(span, span_word(span, label - 2, (uintptr_t)sent));
    return true;
}

/* The sum of what waits: 0 when nothing does, and another for other parcels. */
static uintptr_t remote_sum(const malloc_heap *heap)
{
    uintptr_t sum = 0;
    for (unsigned index = 0; index < REMOTE_LISTS; index++) {
        sum += (uintptr_t)atomic_load_explicit(&heap->remote[index], memory_order_relaxed);
    }
    return sum;
}

bool heap_has_mail(const malloc_heap *heap)
{
    return remote_sum(heap) != 0;
}

static parcel *receive_one(malloc_heap *heap, parcel *sent, bool is_owner)
{
    malloc_span *span = span_of_parcel(heap, sent);
    parcel *next = sent->next;
    __builtin_prefetch(next);
    if (atomic_load_explicit(&span->owner, memory_order_acquire) == heap) {
        receive(heap, span, sent, is_owner);
    } else {
        post(span, sent); /* the span changed hands while the parcel was on its way */
    }
    return next;
}

static void receive_all(malloc_heap *heap, bool is_owner)
{
    parcel *lists[REMOTE_LISTS];
    bool is_any = false;
    for (unsigned index = 0; index < REMOTE_LISTS; index++) {
        lists[index] = atomic_load_explicit(&heap->remote[index], memory_order_relaxed);
        if (lists[index] != NULL) {
            lists[index] =
                atomic_exchange_explicit(&heap->remote[index], NULL, memory_order_acquire);
            is_any = true;
        }
    }
    while (is_any) {
        is_any = false;
        for (unsigned index = 0; index < REMOTE_LISTS; index++) {
            if (lists[index] != NULL) {
                lists[index] = receive_one(heap, lists[index], is_owner);
                is_any = true;
            }
        }
    }
}

/* The scavenger left parcels with spans that only their thread can take out of its table. */
static void hide_parked(malloc_heap *heap)
{
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        for (malloc_span *span = heap->partial[index].first, *next = NULL; span != NULL;
             span = next) {
            next = span->next;
            if (span->state == SPAN_PARTIAL && span->pending != NULL) {
                make_sparse(heap, span);
                give_if_whole(heap, span);
            }
        }
    }
}

void heap_collect(malloc_heap *heap)
{
    while (heap->drained.first != NULL) {
        malloc_span *span = heap->drained.first;
        span_queue_remove(&heap->drained, span);
        release(heap, span);
    }
    if (heap->has_parked) {
        heap->has_parked = false;
        hide_parked(heap);
    }
    receive_all(heap, true);
}

/* ---- for a thread that sleeps ---- */

static bool has_sparse(const malloc_heap *heap)
{
    return atomic_load_explicit(&heap->has_sparse, memory_order_relaxed);
}

static size_t purge_sparse(malloc_heap *heap, uint64_t age)
{
    size_t given = 0;
    const uint64_t now = os_clock_ms();
    atomic_store_explicit(&heap->has_sparse, false, memory_order_relaxed);
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        for (malloc_span *span = heap->partial[index].first; span != NULL; span = span->next) {
            if (span->state != SPAN_SPARSE || span->since == SINCE_PURGED) {
                continue;
            }
            if (now - span->since < age) {
                atomic_store_explicit(&heap->has_sparse, true, memory_order_relaxed);
                continue;
            }
            span->since = SINCE_PURGED;
            given += span_purge(span);
        }
    }
    return given;
}

size_t heap_scavenge(malloc_heap *heap, uint64_t age)
{
    size_t given = 0;
    const uintptr_t sent = remote_sum(heap);
    const bool sleeps =
        sent != 0 && (age == 0 || sent == atomic_load_explicit(&heap->seen, memory_order_relaxed));
    atomic_store_explicit(&heap->seen, sent, memory_order_relaxed);
    if (!sleeps && !has_sparse(heap)) {
        return 0;
    }
    os_lock_take(&heap->lock);
    if (sleeps) {
        receive_all(heap, false);
        atomic_store_explicit(&heap->seen, 0, memory_order_relaxed);
    }
    if (has_sparse(heap)) {
        given += purge_sparse(heap, age);
    }
    os_lock_release(&heap->lock);
    return given;
}

bool heap_has_work(const malloc_heap *heap)
{
    return has_sparse(heap) || remote_sum(heap) != 0;
}

size_t heap_trim_own(malloc_heap *heap)
{
    size_t given = 0;
    heap_send_all(heap);
    os_lock_take(&heap->lock);
    heap_collect(heap);
    heap_release_unused(heap);
    while (malloc_conf.compact && heap->young.first != NULL) {
        make_sparse(heap, heap->young.first);
    }
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        for (malloc_span *span = heap->partial[index].first; span != NULL; span = span->next) {
            given += span_purge(span);
            if (span->purged != 0) {
                /* Perhaps with an empty list, onto which free_fast cannot put anything. */
                make_sparse(heap, span);
                span->since = SINCE_PURGED;
            }
        }
    }
    os_lock_release(&heap->lock);
    return given;
}

/* ---- the end of a thread ---- */

void heap_abandon_all(malloc_heap *heap)
{
    heap_send_all(heap);
    heap_collect(heap);
    release_spares(heap);
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        malloc_span *span = heap->current[index];
        if (span != &nil_span) {
            set_current(heap, index, &nil_span);
            span->state = SPAN_PARTIAL;
            span_queue_append(&heap->partial[index], span);
        }
        while ((span = heap->partial[index].first) != NULL) {
            leave_partial(heap, span);
            if (span_used(span) == span->pending_count) {
                release(heap, span);
            } else {
                disown(heap, span);
                central_leave(span);
            }
        }
    }
    malloc_span *span = NULL;
    while ((span = heap->full.first) != NULL) {
        leave_full(heap, span);
        disown(heap, span);
        central_leave(span);
    }
}

void heap_release_unused(malloc_heap *heap)
{
    release_spares(heap);
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        malloc_span *span = heap->current[index];
        if (span != &nil_span && span_used(span) == span->pending_count) {
            set_current(heap, index, &nil_span);
            release(heap, span);
        }
    }
}

void heap_init(malloc_heap *heap, heap_kind kind, page_heap *pages)
{
    heap->kind = kind;
    heap->pages = pages;
    heap->interface.name = "malloc";
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        heap->current[index] = &nil_span;
    }
}

/* ---- looking at a span that stands still ---- */

static void set_bit(uint64_t *bits, size_t index)
{
    bits[index / 64] |= (uint64_t)1 << (index % 64);
}

static bool has_bit(const uint64_t *bits, size_t index)
{
    return (bits[index / 64] >> (index % 64) & 1) != 0;
}

bool span_free_slots(malloc_span *span, uint64_t *bits)
{
    memset(bits, 0, SLOT_WORDS * sizeof *bits);
    unsigned found = 0;
    if (span->state != SPAN_FULL) {
        uint64_t word = span_head(span);
        while ((uint32_t)(word >> TAG_SHIFT) == span_tag(span)) {
            uint64_t *slot = word_at(span, word);
            const size_t index = (word & (UNIT_SIZE - 1)) / span->slot_size;
            if (!span_is_slot(span, (uintptr_t)slot) || has_bit(bits, index)) {
                return false;
            }
            set_bit(bits, index);
            found++;
            word = *slot;
        }
        if ((uint32_t)(word >> TAG_SHIFT) != (span_tag(span) ^ END_FLIP)) {
            return false;
        }
    }
    for (size_t slot = 0; span->purged != 0 && slot < span->touched; slot++) {
        if ((pages_of(span, slot) & span->purged) != 0 && !has_bit(bits, slot)) {
            set_bit(bits, slot);
            found++;
        }
    }
    if (span->mesh != NULL) {
        found += compact_add_kept(span, bits);
    }
    return found + span_used(span) == span->touched;
}

bool span_visit(malloc_span *span, tarn_visitor *visitor, void *context)
{
    uint64_t bits[SLOT_WORDS];
    (void)span_free_slots(span, bits);
    for (size_t slot = 0; slot < span->touched; slot++) {
        if (!has_bit(bits, slot) &&
            !visitor(context, (void *)(span->base + slot * span->slot_size), span->slot_size)) {
            return false;
        }
    }
    return true;
}

bool span_check(malloc_span *span)
{
    uint64_t bits[SLOT_WORDS];
    return span_free_slots(span, bits);
}

void span_add_pending(const malloc_span *span, uint64_t *bits)
{
    for (const parcel *sent = span->pending; sent != NULL; sent = sent->next) {
        uint64_t word = span_word(span, 0, (uintptr_t)sent);
        while ((uint32_t)(word >> TAG_SHIFT) == span_tag(span)) {
            set_bit(bits, (word & (UNIT_SIZE - 1)) / span->slot_size);
            word = *word_at(span, word);
        }
    }
}

void span_unlink_all(malloc_span *span)
{
    const int32_t used = (int32_t)span_used(span) - (int32_t)span->pending_count;
    span->pending = NULL;
    span->pending_count = 0;
    empty_list(span, used);
}

size_t span_purge(malloc_span *span)
{
    const size_t page = os_page_size();
    uint64_t bits[SLOT_WORDS];
    if ((span->state != SPAN_PARTIAL && span->state != SPAN_SPARSE) || span_used(span) == 0 ||
        span->mesh != NULL || !span_free_slots(span, bits)) {
        return 0;
    }
    uint32_t busy = 0;
    for (size_t slot = 0; slot < span->touched; slot++) {
        if (!has_bit(bits, slot)) {
            busy |= pages_of(span, slot);
        }
    }
    const size_t touched_pages = (span->touched * (size_t)span->slot_size + page - 1) / page;
    const uint32_t due = ~busy & (((uint32_t)1 << touched_pages) - 1) & ~(uint32_t)span->purged;
    size_t given = 0;
    for (unsigned index = 0; index < touched_pages; index++) {
        if ((due >> index & 1) != 0 && os_pages_purge((void *)(span->base + index * page), page)) {
            span->purged |= (uint16_t)(1u << index);
            given += page;
        }
    }
    if (given == 0) {
        return 0;
    }
    empty_list(span, (int32_t)span_used(span));
    linker builder = {.span = span, .label = span_head(span) >> LABEL_SHIFT};
    for (size_t slot = 0; slot < span->touched; slot++) {
        if (has_bit(bits, slot) && (pages_of(span, slot) & span->purged) == 0) {
            linker_add(&builder, span->base + slot * span->slot_size);
        }
    }
    if (builder.last != NULL) {
        *builder.last = span_end_word(span, builder.label);
        span_set_head(span, builder.head);
    }
    return given;
}
