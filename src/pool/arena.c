/* SPDX-License-Identifier: MIT */
#include "pool/arena.h"

#include "base/record.h"
#include "os/os.h"
#include "pool/watch.h"

#include <string.h>

/*
 *     events   mark   cleanup   child   record   mark   cleanup ...
 *     serial     1       2        3       4        5       6
 *
 * Whatever a release may have to undo has a serial number, and hangs in a list of its kind, the
 * newest first. A release undoes what is newer than its mark: first cleanups and children, in one
 * order, while all memory is still there; then records; then it moves the place back.
 *
 * Invariant: the serials in each list fall; none is above arena->serial.
 */

#define CHUNK_SIZE ((size_t)16 * 1024)
#define CHUNK_SIZE_MAX ((size_t)1024 * 1024)
#define CHUNK_SIZE_LEAST ((size_t)256)

/* The smallest large block is this part of the largest chunk: what may be lost at a chunk's end. */
#define LARGE_PART 4

/* The place of an arena that has no room. */
_Alignas(POOL_ARENA_ALIGN) unsigned char pool_arena_nowhere[POOL_ARENA_ALIGN];

/* ------------------------------------------------------------------------------------------------
 * Set up
 */
static size_t chunk_size_of(size_t wanted, size_t otherwise)
{
    size_t size = wanted == 0 ? otherwise : wanted;
    size = size < CHUNK_SIZE_LEAST ? CHUNK_SIZE_LEAST : size;
    size = size > PTRDIFF_MAX / 2 ? PTRDIFF_MAX / 2 : size;
    return base_align_down(size, POOL_ARENA_ALIGN);
}

static tarn_heap *upstream_of(const tarn_arena_options *options)
{
    if (options->upstream != NULL) {
        return options->upstream;
    }
    return options->parent != NULL ? options->parent->upstream : tarn_pages_heap();
}

uint64_t pool_arena_secret;

/* Whoever is first draws it. */
static void set_secret(void)
{
    if (__atomic_load_n(&pool_arena_secret, __ATOMIC_RELAXED) == 0) {
        uint64_t none = 0;
        (void)__atomic_compare_exchange_n(&pool_arena_secret, &none, os_random() | 1, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
}

/* All but memory and tree. */
static void prepare(tarn_arena *arena, const tarn_arena_options *options)
{
    tarn_arena *parent = options->parent;
    if (parent != NULL) {
        pool_arena_expect_live(parent);
    }
    set_secret();
    const bool is_watched = heap_watch_is_on();
    const bool is_unpooled = !tarn_pooling();
    const bool is_closed = options->checks || is_watched || is_unpooled || tarn_record_open != NULL;
    const tarn_arena_place no_place = {pool_arena_nowhere, pool_arena_nowhere};
    const size_t first = chunk_size_of(options->chunk_size, CHUNK_SIZE);
    const size_t most = chunk_size_of(options->chunk_size_max, CHUNK_SIZE_MAX);
    *arena = (tarn_arena){
        .heap = {is_closed ? &pool_arena_closed_ops : &pool_arena_ops,
                 options->name != NULL ? options->name : "arena"},
        .place = no_place,
        .closed_place = no_place,
        .state = POOL_ARENA_LIVE,
        .chunk_size = first,
        .chunk_size_min = first,
        .chunk_size_max = most < first ? first : most,
        .large_min = (most < first ? first : most) / LARGE_PART,
        .gap = is_watched ? POOL_ARENA_GAP : 0,
        .upstream = upstream_of(options),
        .buffer = options->buffer,
        .on_no_memory = options->on_no_memory,
        .context = options->context,
        .limit = options->limit,
        .is_closed = is_closed,
        .is_watched = is_watched,
        .is_unpooled = is_unpooled,
        .is_listed = !options->unlisted,
        .fixed = options->fixed,
        .zero = options->zero,
        .poison = options->poison,
        .wipes = options->zero || options->poison || is_watched,
        .parent = parent,
    };
    if (parent != NULL && options->on_no_memory == NULL) {
        arena->on_no_memory = parent->on_no_memory;
        arena->context = parent->context;
    }
    arena->root = parent != NULL ? parent->root : arena;
    heap_ledger_init(&arena->ledger, sizeof(pool_arena_record));
}

/* The last step, when nothing can fail any more. */
static void begin(tarn_arena *arena)
{
    if (arena->is_watched) {
        pool_watch_open(arena);
    }
    const tarn_heap *upstream = arena->parent != NULL ? &arena->parent->heap : arena->upstream;
    arena->record = base_record_open(&arena->heap, upstream, "arena", arena->heap.name);
    pool_arena_attach(arena);
}

static const tarn_arena_options no_options;

tarn_status tarn_arena_init(tarn_arena *arena, const tarn_arena_options *options)
{
    options = options != NULL ? options : &no_options;
    prepare(arena, options);
    if ((options->buffer.start != NULL || options->fixed) && !pool_arena_use_buffer(arena, 0)) {
        *arena = (tarn_arena){.state = 0};
        return TARN_NO_ROOM;
    }
    begin(arena);
    return TARN_OK;
}

tarn_arena *tarn_arena_create(const tarn_arena_options *options)
{
    options = options != NULL ? options : &no_options;
    tarn_arena draft;
    prepare(&draft, options);
    const size_t lead = base_align_up(sizeof draft, POOL_ARENA_ALIGN);
    const bool has_buffer = options->buffer.start != NULL || options->fixed;
    if (has_buffer ? !pool_arena_use_buffer(&draft, lead) : !pool_arena_take_first(&draft, lead)) {
        return NULL;
    }
    tarn_arena *arena = (tarn_arena *)(void *)pool_arena_chunk_blocks(draft.first);
    if (draft.is_watched) {
        heap_watch_show(arena, lead);
    }
    *arena = draft;
    arena->is_created = true;
    if (arena->parent == NULL) {
        arena->root = arena;
    }
    begin(arena);
    return arena;
}

/* ------------------------------------------------------------------------------------------------
 * Cleanups
 */
static uint64_t cleanup_code(const tarn_arena_cleanup *cleanup)
{
    return pool_arena_code(cleanup, (uintptr_t)cleanup->older ^ cleanup->serial,
                           (uintptr_t)cleanup->newer, (uintptr_t)cleanup->function,
                           (uintptr_t)cleanup->context);
}

static void seal(tarn_arena_cleanup *cleanup)
{
    if (cleanup != NULL) {
        cleanup->code = cleanup_code(cleanup);
    }
}

bool pool_arena_cleanup_is_good(const tarn_arena_cleanup *cleanup)
{
    return cleanup->code == cleanup_code(cleanup);
}

static void expect_good(const tarn_arena *arena, const tarn_arena_cleanup *cleanup)
{
    TARN_CHECK(cleanup == NULL || pool_arena_cleanup_is_good(cleanup),
               "a cleanup was overwritten, or was not this arena's", arena->heap.name, cleanup);
}

/* Room for one more, of a cancelled one or new. */
static tarn_arena_cleanup *take_cleanup(tarn_arena *arena)
{
    tarn_arena_cleanup *cleanup = arena->vacant;
    if (cleanup != NULL) {
        expect_good(arena, cleanup);
        arena->vacant = cleanup->newer;
        return cleanup;
    }
    do {
        cleanup = pool_arena_take(arena, sizeof *cleanup, POOL_ARENA_GRAIN);
    } while (cleanup == NULL && arena->on_no_memory != NULL &&
             arena->on_no_memory(arena->context, sizeof *cleanup));
    if (cleanup == NULL) {
        arena->failures++;
        return NULL;
    }
    if (arena->is_watched) {
        heap_watch_show(cleanup, sizeof *cleanup);
    }
    return cleanup;
}

tarn_arena_cleanup *tarn_arena_on_reset(tarn_arena *arena, void (*function)(void *context),
                                        void *context)
{
    pool_arena_expect_live(arena);
    tarn_arena_cleanup *cleanup = take_cleanup(arena);
    if (cleanup == NULL) {
        return NULL;
    }
    *cleanup = (tarn_arena_cleanup){.older = arena->cleanups,
                                    .function = function,
                                    .context = context,
                                    .serial = ++arena->serial};
    seal(cleanup);
    if (arena->cleanups != NULL) {
        expect_good(arena, arena->cleanups);
        arena->cleanups->newer = cleanup;
        seal(arena->cleanups);
    }
    arena->cleanups = cleanup;
    return cleanup;
}

/* Takes the cleanup out of the list and keeps its room for another. */
static void forget(tarn_arena *arena, tarn_arena_cleanup *cleanup)
{
    expect_good(arena, cleanup);
    TARN_CHECK(cleanup->serial != 0, "a cleanup that was cancelled, or has run", arena->heap.name,
               cleanup);
    tarn_arena_cleanup *older = cleanup->older;
    tarn_arena_cleanup *newer = cleanup->newer;
    expect_good(arena, older);
    expect_good(arena, newer);
    TARN_CHECK(newer != NULL ? newer->older == cleanup : arena->cleanups == cleanup,
               "a cleanup was overwritten, or was not this arena's", arena->heap.name, cleanup);
    if (older != NULL) {
        older->newer = newer;
        seal(older);
    }
    if (newer != NULL) {
        newer->older = older;
        seal(newer);
    } else {
        arena->cleanups = older;
    }
    *cleanup = (tarn_arena_cleanup){.newer = arena->vacant};
    seal(cleanup);
    arena->vacant = cleanup;
}

void tarn_arena_cancel(tarn_arena *arena, tarn_arena_cleanup *cleanup)
{
    pool_arena_expect_live(arena);
    if (cleanup != NULL) {
        forget(arena, cleanup);
    }
}

void tarn_arena_run(tarn_arena *arena, tarn_arena_cleanup *cleanup)
{
    pool_arena_expect_live(arena);
    if (cleanup != NULL) {
        void (*function)(void *context) = cleanup->function;
        void *context = cleanup->context;
        forget(arena, cleanup);
        function(context);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Undoing
 */
static void begin_unwinding(tarn_arena *arena)
{
    TARN_CHECK(!arena->is_unwinding, "reset, released or ended from inside of a cleanup",
               arena->heap.name, arena);
    arena->is_unwinding = true;
}

/* All memory goes back, that of the arena itself last. */
static void give_back(tarn_arena *arena)
{
    base_record_close(arena->record);
    pool_arena_free_records(arena, 0);
    (void)pool_arena_end_records(arena);
    if (arena->is_watched) {
        pool_watch_close(arena);
    }
    if (!arena->is_created) {
        pool_arena_drop_chunks(arena, NULL);
        arena->place = (tarn_arena_place){pool_arena_nowhere, pool_arena_nowhere};
        arena->closed_place = arena->place;
        arena->is_unwinding = false;
        arena->state = 0;
        return;
    }
    /* Its chunk goes with it, so the books go on in a copy. */
    tarn_arena copy = *arena;
    arena->state = 0;
    copy.is_created = false;
    copy.root = arena->root == arena ? &copy : arena->root;
    pool_arena_drop_chunks(&copy, NULL);
}

/* The newest child goes before the newest cleanup if it is newer. NULL if the cleanup, or nothing
 * newer than `serial`, comes first. */
static tarn_arena *next_child(tarn_arena *arena, uint64_t serial)
{
    const uint64_t newest = arena->cleanups != NULL ? arena->cleanups->serial : 0;
    return pool_arena_detach_youngest(arena, newest > serial ? newest : serial);
}

/* Runs the newest cleanup if it is newer than `serial`. */
static bool run_next(tarn_arena *arena, uint64_t serial)
{
    tarn_arena_cleanup *cleanup = arena->cleanups;
    expect_good(arena, cleanup);
    if (cleanup == NULL || cleanup->serial <= serial) {
        return false;
    }
    tarn_arena_run(arena, cleanup);
    return true;
}

/* Runs the cleanups and ends the children that came after `serial`, the newest first, in whatever
 * order they came, and the same below each child first. Trees may be deep, so this is a loop: `one`
 * is the arena that is being undone. Who is called may make new cleanups and children: they are
 * next. */
static void unwind(tarn_arena *top, uint64_t serial)
{
    tarn_arena *one = top;
    for (;;) {
        const uint64_t until = one == top ? serial : 0;
        tarn_arena *child = next_child(one, until);
        if (child != NULL) {
            begin_unwinding(child);
            one = child;
        } else if (!run_next(one, until)) {
            if (one == top) {
                return;
            }
            child = one;
            one = one->parent;
            give_back(child);
        }
    }
}

static void end(tarn_arena *arena)
{
    begin_unwinding(arena);
    pool_arena_detach(arena);
    unwind(arena, 0);
    give_back(arena);
}

void tarn_arena_deinit(tarn_arena *arena)
{
    if (arena->state == POOL_ARENA_LIVE) {
        TARN_CHECK(!arena->is_created, "deinit of an arena that was created", arena->heap.name,
                   arena);
        end(arena);
    }
}

void tarn_arena_destroy(tarn_arena *arena)
{
    if (arena != NULL) {
        pool_arena_expect_live(arena);
        TARN_CHECK(arena->is_created, "destroy of an arena that was not created", arena->heap.name,
                   arena);
        end(arena);
    }
}

/* True if all that is newer than `serial` is bytes of the current chunk, and no other chunk is
 * spare. */
static bool is_only_bytes(const tarn_arena *arena, uint64_t serial)
{
    return arena->last == arena->chunk && arena->newest == 0 && !arena->wipes &&
           !arena->is_unwinding && POOL_ARENA_READ(arena->youngest) == NULL &&
           (arena->cleanups == NULL || arena->cleanups->serial <= serial);
}

/* Everything newer than `serial` goes, and the place goes back to `at` in `chunk` (NULL: to the
 * start). */
static void undo(tarn_arena *arena, uint64_t serial, struct tarn_arena_chunk *chunk,
                 unsigned char *at)
{
    if (is_only_bytes(arena, serial) && (chunk != NULL ? chunk : arena->first) == arena->chunk) {
        pool_arena_note_peak(arena);
        if (arena->chunk != NULL) {
            at = chunk != NULL ? at : pool_arena_chunk_blocks(arena->chunk) + arena->lead;
            pool_arena_place(arena)->at = at;
            arena->floor = at;
        }
        if (serial == 0) {
            base_record_reset(arena->record);
        }
    } else {
        begin_unwinding(arena);
        unwind(arena, serial);
        if (serial == 0) {
            base_record_reset(arena->record);
        }
        pool_arena_free_records(arena, serial);
        /* Whoever is called above may have taken the first chunk, or trimmed it away. */
        pool_arena_rewind(arena, chunk, at, serial == 0);
        arena->is_unwinding = false;
    }
    arena->vacant = NULL; /* some may be in memory that went */
}

void tarn_arena_reset(tarn_arena *arena)
{
    pool_arena_expect_live(arena);
    undo(arena, 0, NULL, NULL);
    POOL_ARENA_PUBLISH(arena->used_then, 0);
    arena->reset_serial = ++arena->serial;
    arena->stale_count = 0;
}

/* ------------------------------------------------------------------------------------------------
 * Marks
 */
tarn_arena_point tarn_arena_mark(tarn_arena *arena)
{
    pool_arena_expect_live(arena);
    unsigned char *at = pool_arena_place(arena)->at;
    tarn_arena_point mark = {arena, arena->chunk, at, ++arena->serial};
    if (arena->chunk == arena->first) {
        /* A trim may take the first chunk away when it is empty. */
        if (arena->chunk == NULL || at == pool_arena_chunk_blocks(arena->chunk) + arena->lead) {
            mark.chunk = NULL;
        }
    }
    /* Blocks from before the mark neither grow nor go, so that the place is never behind it. */
    arena->floor = at;
    return mark;
}

/* True if the mark's chunk is in use, and its place too. */
static bool is_behind(const tarn_arena *arena, const tarn_arena_point *mark)
{
    if (mark->chunk == arena->chunk || mark->chunk == NULL) {
        return mark->chunk == NULL || mark->at <= pool_arena_const_place(arena)->at;
    }
    for (const struct tarn_arena_chunk *chunk = arena->first;
         chunk != NULL && chunk != arena->chunk; chunk = chunk->next) {
        if (chunk == mark->chunk) {
            return true;
        }
    }
    return false;
}

static bool is_stale(const tarn_arena *arena, uint64_t serial)
{
    for (uint32_t i = 0; i < arena->stale_count; i++) {
        if (serial > arena->stale[i].after && serial <= arena->stale[i].until) {
            return true;
        }
    }
    return serial <= arena->reset_serial || serial > arena->serial;
}

/* Marks after `serial` are stale from now on. Ranges do not overlap, so older ones that begin later
 * are part of this one; when there are too many, the oldest is forgotten. */
static void note_stale(tarn_arena *arena, uint64_t serial)
{
    const uint32_t most = sizeof arena->stale / sizeof arena->stale[0];
    while (arena->stale_count > 0 && arena->stale[arena->stale_count - 1].after >= serial) {
        arena->stale_count--;
    }
    if (arena->stale_count == most) {
        memmove(arena->stale, arena->stale + 1, sizeof arena->stale - sizeof arena->stale[0]);
        arena->stale_count--;
    }
    arena->stale[arena->stale_count++] = (struct tarn_arena_stale){serial, ++arena->serial};
}

void tarn_arena_release(tarn_arena *arena, tarn_arena_point mark)
{
    pool_arena_expect_live(arena);
    TARN_CHECK(mark.arena == arena, "a mark of another arena", arena->heap.name, mark.at);
    TARN_CHECK(!is_stale(arena, mark.serial) && is_behind(arena, &mark),
               "a mark from before a reset, or a release to an older mark", arena->heap.name,
               mark.at);
    undo(arena, mark.serial, mark.chunk, mark.at);
    note_stale(arena, mark.serial);
}
