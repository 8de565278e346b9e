/* SPDX-License-Identifier: MIT */
#include "heap/lock.h"
#include "pool/arena.h"

#include <stdio.h>
#include <string.h>

/*
 *     listing   [ root ] <-> [ root ] <-> [ root ]            a lock for each part of it
 *                  |
 *     eldest [ child ] <-> [ child ] <-> [ child ] youngest   the lock of the root, for its whole tree
 *
 * Locks are taken in that order. The listing is in several parts, chosen by address, so that
 * threads which make and end arenas all the time hardly meet.
 */
#define PARTS 16

static struct part {
    uint32_t lock;
    tarn_arena *newest;
} listing[PARTS];

static struct part *part_of(const tarn_arena *arena)
{
    const uint64_t mixed = (uint64_t)(uintptr_t)arena * UINT64_C(0x9E3779B97F4A7C15);
    return &listing[mixed >> 60 & (PARTS - 1)];
}

void pool_arena_lock_tree(const tarn_arena *arena)
{
    heap_lock_take(&arena->root->lock);
}

void pool_arena_unlock_tree(const tarn_arena *arena)
{
    heap_lock_release(&arena->root->lock);
}

/* ------------------------------------------------------------------------------------------------
 * Links
 */
static void link_child(tarn_arena *arena)
{
    tarn_arena *parent = arena->parent;
    arena->order = ++parent->serial;
    arena->older = parent->youngest;
    arena->younger = NULL;
    if (parent->youngest != NULL) {
        parent->youngest->younger = arena;
    } else {
        parent->eldest = arena;
    }
    POOL_ARENA_PUBLISH(parent->youngest, arena);
}

/* `youngest` and `eldest` are NULL for roots in the listing, which has no eldest. */
static void unlink_from(tarn_arena *arena, tarn_arena **youngest, tarn_arena **eldest)
{
    if (arena->older != NULL) {
        arena->older->younger = arena->younger;
    } else if (eldest != NULL) {
        *eldest = arena->younger;
    }
    if (arena->younger != NULL) {
        arena->younger->older = arena->older;
    } else {
        POOL_ARENA_PUBLISH(*youngest, arena->older);
    }
    arena->older = NULL;
    arena->younger = NULL;
}

static void unlink_child(tarn_arena *arena)
{
    unlink_from(arena, &arena->parent->youngest, &arena->parent->eldest);
}

static void list(tarn_arena *arena)
{
    struct part *part = part_of(arena);
    heap_lock_take(&part->lock);
    arena->older = part->newest;
    arena->younger = NULL;
    if (part->newest != NULL) {
        part->newest->younger = arena;
    }
    part->newest = arena;
    heap_lock_release(&part->lock);
}

static void unlist(tarn_arena *arena)
{
    struct part *part = part_of(arena);
    heap_lock_take(&part->lock);
    unlink_from(arena, &part->newest, NULL);
    heap_lock_release(&part->lock);
}

void pool_arena_attach(tarn_arena *arena)
{
    if (arena->parent == NULL) {
        if (arena->is_listed) {
            list(arena);
        }
        return;
    }
    pool_arena_lock_tree(arena);
    link_child(arena);
    pool_arena_unlock_tree(arena);
}

void pool_arena_detach(tarn_arena *arena)
{
    if (arena->parent == NULL) {
        if (arena->is_listed) {
            unlist(arena);
        }
        return;
    }
    pool_arena_lock_tree(arena);
    unlink_child(arena);
    pool_arena_unlock_tree(arena);
}

tarn_arena *pool_arena_detach_youngest(tarn_arena *arena, uint64_t serial)
{
    /* Others may take children away meanwhile, but only this thread may make one. */
    if (POOL_ARENA_READ(arena->youngest) == NULL) {
        return NULL;
    }
    pool_arena_lock_tree(arena);
    tarn_arena *child = arena->youngest;
    if (child != NULL && child->order > serial) {
        unlink_child(child);
    } else {
        child = NULL;
    }
    pool_arena_unlock_tree(arena);
    return child;
}

/* ------------------------------------------------------------------------------------------------
 * Walks
 */

/* The next one of the tree below `top`, each before its children; NULL at the end. *depth goes
 * with it. */
static tarn_arena *next_of(const tarn_arena *top, tarn_arena *arena, size_t *depth)
{
    if (arena->eldest != NULL) {
        ++*depth;
        return arena->eldest;
    }
    while (arena != top && arena->younger == NULL) {
        arena = arena->parent;
        --*depth;
    }
    return arena == top ? NULL : arena->younger;
}

typedef struct walk {
    tarn_arena_visitor *visitor;
    void *context;
    bool is_use; /* of the arenas: nobody else uses them meanwhile */
} walk;

static bool walk_tree(const walk *how, const tarn_arena *top)
{
    size_t depth = 0;
    for (tarn_arena *arena = (tarn_arena *)top; arena != NULL;
         arena = next_of(top, arena, &depth)) {
        const tarn_arena_info info = {
            .name = POOL_ARENA_READ(arena->heap.name),
            .arena = arena,
            .depth = depth,
            .used = how->is_use ? tarn_arena_used(arena) : POOL_ARENA_READ(arena->used_then),
            .footprint = POOL_ARENA_READ(arena->held) +
                         (arena->buffer.start != NULL ? arena->buffer.size : 0),
            .chunks = POOL_ARENA_READ(arena->chunk_count),
            .larges = POOL_ARENA_READ(arena->large_count),
            .tree_footprint = arena->tree_held,
            .limit = arena->limit,
        };
        if (!how->visitor(how->context, &info)) {
            return false;
        }
    }
    return true;
}

static bool walk_part(const walk *how, struct part *part)
{
    bool goes_on = true;
    heap_lock_take(&part->lock);
    for (const tarn_arena *root = part->newest; root != NULL && goes_on; root = root->older) {
        pool_arena_lock_tree(root);
        goes_on = walk_tree(how, root);
        pool_arena_unlock_tree(root);
    }
    heap_lock_release(&part->lock);
    return goes_on;
}

bool tarn_arena_visit_tree(const tarn_arena *arena, tarn_arena_visitor *visitor, void *context)
{
    const walk how = {visitor, context, .is_use = arena != NULL};
    if (arena != NULL) {
        pool_arena_expect_live(arena);
        return walk_tree(&how, arena);
    }
    for (size_t i = 0; i < PARTS; i++) {
        if (!walk_part(&how, &listing[i])) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * The report
 */
enum { NAME_WIDTH = 32, INDENT = 2, LINE_SIZE = 256 };

typedef struct report {
    void (*write)(void *context, const char *text, size_t size);
    void *context;
    size_t used;
    size_t footprint;
    size_t chunks;
    size_t larges;
} report;

static void write_line(const report *to, size_t depth, const char *name, const size_t figures[4])
{
    char line[LINE_SIZE];
    const size_t indent = depth * INDENT < NAME_WIDTH ? depth * INDENT : NAME_WIDTH;
    const int length = snprintf(line, sizeof line, "%*s%-*.*s %12zu %12zu %7zu %7zu\n", (int)indent,
                                "", (int)(NAME_WIDTH - indent), 128, name, figures[0], figures[1],
                                figures[2], figures[3]);
    if (length > 0) {
        to->write(to->context, line,
                  (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    }
}

static bool report_arena(void *context, const tarn_arena_info *info)
{
    report *to = context;
    const size_t figures[] = {info->used, info->footprint, info->chunks, info->larges};
    write_line(to, info->depth, info->name, figures);
    to->used += info->used;
    to->footprint += info->footprint;
    to->chunks += info->chunks;
    to->larges += info->larges;
    return true;
}

void tarn_arena_report(const tarn_arena *arena,
                       void (*write)(void *context, const char *text, size_t size), void *context)
{
    report to = {.write = write, .context = context};
    char line[LINE_SIZE];
    const int length = snprintf(line, sizeof line, "%-*s %12s %12s %7s %7s\n", (int)NAME_WIDTH,
                                "arena", "used", "footprint", "chunks", "large");
    write(context, line, (size_t)length);
    (void)tarn_arena_visit_tree(arena, report_arena, &to);
    const size_t figures[] = {to.used, to.footprint, to.chunks, to.larges};
    write_line(&to, 0, "total", figures);
}

/* ------------------------------------------------------------------------------------------------
 * Changes
 */
tarn_arena *tarn_arena_parent(const tarn_arena *arena)
{
    return arena->parent;
}

void tarn_arena_set_name(tarn_arena *arena, const char *name)
{
    POOL_ARENA_PUBLISH(arena->heap.name, name != NULL ? name : "arena");
}

void tarn_arena_set_limit(tarn_arena *arena, size_t limit)
{
    pool_arena_expect_live(arena);
    pool_arena_lock_tree(arena);
    arena->limit = limit;
    pool_arena_unlock_tree(arena);
}

static bool is_below(const tarn_arena *arena, const tarn_arena *top)
{
    while (arena != NULL && arena != top) {
        arena = arena->parent;
    }
    return arena != NULL;
}

/* Bytes more, or fewer, count for `arena` and all above it. Under the tree's lock. */
static void count(tarn_arena *arena, size_t size)
{
    for (tarn_arena *one = arena; one != NULL; one = pool_arena_above(one)) {
        one->tree_held += size;
    }
}

static void uncount(tarn_arena *arena, size_t size)
{
    for (tarn_arena *one = arena; one != NULL; one = pool_arena_above(one)) {
        one->tree_held -= size;
    }
}

static bool has_room(const tarn_arena *arena, size_t size)
{
    for (const tarn_arena *one = arena; one != NULL; one = pool_arena_above(one)) {
        if (one->limit != 0 &&
            (one->tree_held > one->limit || size > one->limit - one->tree_held)) {
            return false;
        }
    }
    return true;
}

/* What the arena and all below it hold counts above `parent` from now on, no longer above the old
 * one. False with nothing changed if a limit would be passed. */
static bool move_count(tarn_arena *arena, tarn_arena *parent)
{
    tarn_arena *old_parent = arena->parent;
    const size_t old_size = pool_arena_above(arena) != NULL ? arena->tree_held : 0;
    const size_t size = parent != NULL && arena->upstream != &parent->heap ? arena->tree_held : 0;
    bool fits = true;
    if (parent != NULL) {
        /* In one tree both may be below the same limit: then nothing changes for that. */
        const bool is_same_tree = old_parent != NULL && old_parent->root == parent->root;
        pool_arena_lock_tree(parent);
        if (is_same_tree) {
            uncount(old_parent, old_size);
        }
        fits = has_room(parent, size);
        if (fits) {
            count(parent, size);
        } else if (is_same_tree) {
            count(old_parent, old_size);
        }
        pool_arena_unlock_tree(parent);
        if (is_same_tree || !fits) {
            return fits;
        }
    }
    if (old_parent != NULL) {
        pool_arena_lock_tree(old_parent);
        uncount(old_parent, old_size);
        pool_arena_unlock_tree(old_parent);
    }
    return true;
}

tarn_status tarn_arena_set_parent(tarn_arena *arena, tarn_arena *parent)
{
    pool_arena_expect_live(arena);
    if (parent != NULL) {
        pool_arena_expect_live(parent);
    }
    const tarn_arena *old_parent = arena->parent;
    if (is_below(parent, arena) ||
        (old_parent != NULL && arena->upstream == &old_parent->heap && parent != old_parent)) {
        return TARN_BAD_ARGUMENT;
    }
    if (!move_count(arena, parent)) {
        return TARN_NO_MEMORY;
    }
    pool_arena_detach(arena);
    arena->parent = parent;
    tarn_arena *root = parent != NULL ? parent->root : arena;
    size_t depth = 0;
    for (tarn_arena *one = arena; one != NULL; one = next_of(arena, one, &depth)) {
        one->root = root;
    }
    pool_arena_attach(arena);
    return TARN_OK;
}
