/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "unit/space_twin.h"

#include "tarn/space.h"
#include "unit/tools.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SPACES = 4, CLUSTERS = 4, IN_CLUSTER = 12, SLOTS = CLUSTERS * IN_CLUSTER };
enum { PAGE = 4096, EDGE = 8 }; /* bytes at both ends of a page that are looked at */
enum { RW = TARN_PAGE_WRITABLE | TARN_PAGE_USER };

/* Across the borders of tables of each level, and in the upper half. */
static const uint64_t clusters[CLUSTERS] = {
    506 * (uint64_t)PAGE, ((uint64_t)1 << 30) - 6 * (uint64_t)PAGE,
    ((uint64_t)1 << 39) - 6 * (uint64_t)PAGE, UINT64_MAX - IN_CLUSTER *(uint64_t)PAGE + 1};

/* The bytes of a page; several pages have them if they are shared. */
typedef struct cell {
    unsigned owners;
    unsigned char head[EDGE];
    unsigned char tail[EDGE];
} cell;

typedef struct page {
    cell *cell; /* NULL: not mapped */
    unsigned rights;
    bool is_shared;
} page;

typedef struct side {
    bool is_there;
    bool has_handler;
    tarn_space space;
    page pages[SLOTS];
    unsigned char *windows[CLUSTERS]; /* NULL: not attached */
} side;

typedef struct twin {
    const uint8_t *at;
    const uint8_t *end;
    unsigned step;
    space_twin_failure *failure;
    bool is_scarce;
    tarn_frames frames;
    side sides[SPACES];
} twin;

static void require(const twin *model, bool holds, const char *what)
{
    if (!holds) {
        model->failure(what, model->step);
        abort();
    }
}

#define HOLDS(model, condition) require((model), (condition), #condition)

static unsigned draw(twin *model, unsigned below)
{
    return model->at < model->end ? *model->at++ % below : 0;
}

static uint64_t address_of(unsigned slot)
{
    return clusters[slot / IN_CLUSTER] + slot % IN_CLUSTER * (uint64_t)PAGE;
}

/* A stretch of pages of one cluster, perhaps to its end. */
static unsigned draw_count(twin *model, unsigned slot)
{
    return 1 + draw(model, IN_CLUSTER - slot % IN_CLUSTER);
}

/* ---- the twin ---- */

static void drop(page *it)
{
    if (it->cell != NULL && --it->cell->owners == 0) {
        free(it->cell);
    }
    *it = (page){0};
}

static void give(twin *model, page *it, unsigned rights, bool is_shared)
{
    it->cell = calloc(1, sizeof *it->cell);
    HOLDS(model, it->cell != NULL);
    it->cell->owners = 1;
    it->rights = rights;
    it->is_shared = is_shared;
}

static bool has_any(const side *it, unsigned slot, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (it->pages[slot + i].cell != NULL) {
            return true;
        }
    }
    return false;
}

static bool has_all(const side *it, unsigned slot, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (it->pages[slot + i].cell == NULL) {
            return false;
        }
    }
    return true;
}

static tarn_fault expected_fault(const page *it, unsigned access)
{
    return it->cell == NULL                  ? TARN_FAULT_NOT_PRESENT
           : (it->rights & access) != access ? TARN_FAULT_PROTECTION
                                             : TARN_FAULT_NONE;
}

/* ---- comparing ---- */

static void compare_page(twin *model, side *it, unsigned slot)
{
    const page *wanted = &it->pages[slot];
    tarn_frame frame = 0;
    const unsigned bits = tarn_space_look(&it->space, address_of(slot), &frame);
    HOLDS(model, (bits != 0) == (wanted->cell != NULL));
    if (bits == 0) {
        return;
    }
    const unsigned char *bytes = tarn_frames_at(&model->frames, frame);
    HOLDS(model, memcmp(bytes, wanted->cell->head, EDGE) == 0);
    HOLDS(model, memcmp(bytes + PAGE - EDGE, wanted->cell->tail, EDGE) == 0);
    const bool is_writable = (bits & (TARN_PAGE_WRITABLE | TARN_PAGE_COPY)) != 0;
    HOLDS(model, is_writable == ((wanted->rights & TARN_PAGE_WRITABLE) != 0));
    HOLDS(model, (bits & TARN_PAGE_USER) == (wanted->rights & TARN_PAGE_USER));
    HOLDS(model, ((bits & TARN_PAGE_SHARED) != 0) == wanted->is_shared);
    const unsigned char *window = it->windows[slot / IN_CLUSTER];
    if (window != NULL && (bits & TARN_PAGE_USER) != 0) {
        const unsigned char *here = window + slot % IN_CLUSTER * (size_t)PAGE;
        HOLDS(model, memcmp(here, wanted->cell->head, EDGE) == 0);
        HOLDS(model, memcmp(here + PAGE - EDGE, wanted->cell->tail, EDGE) == 0);
    }
}

static void compare_all(twin *model)
{
    for (unsigned i = 0; i < SPACES; i++) {
        side *it = &model->sides[i];
        if (it->is_there) {
            for (unsigned slot = 0; slot < SLOTS; slot++) {
                compare_page(model, it, slot);
            }
            HOLDS(model, tarn_space_check(&it->space, NULL, 0));
        }
    }
    HOLDS(model, tarn_frames_check(&model->frames, NULL, 0));
}

/* ---- calls ---- */

static bool is_shortage(const twin *model, tarn_status status)
{
    return model->is_scarce && status == TARN_NO_ROOM;
}

static void call_map(twin *model, side *it)
{
    static const unsigned rights[] = {0, TARN_PAGE_USER, TARN_PAGE_WRITABLE, RW, RW, RW};
    const unsigned slot = draw(model, SLOTS);
    const unsigned count = draw_count(model, slot);
    const unsigned access = rights[draw(model, 6)];
    const bool is_shared = draw(model, 4) == 0;
    const tarn_map_options options = {.access =
                                          access | (is_shared ? (unsigned)TARN_PAGE_SHARED : 0)};
    const tarn_status status =
        tarn_space_map(&it->space, address_of(slot), count * (uint64_t)PAGE, &options);
    if (has_any(it, slot, count)) {
        HOLDS(model, status == TARN_BUSY);
        return;
    }
    HOLDS(model, status == TARN_OK || is_shortage(model, status));
    for (unsigned i = 0; i < count && status == TARN_OK; i++) {
        give(model, &it->pages[slot + i], access, is_shared);
    }
}

static void call_share(twin *model, side *it)
{
    side *from = &model->sides[draw(model, SPACES)];
    const unsigned slot = draw(model, SLOTS);
    const unsigned from_slot = draw(model, SLOTS);
    const unsigned room = IN_CLUSTER - from_slot % IN_CLUSTER;
    unsigned count = draw_count(model, slot);
    count = count < room ? count : room;
    if (!from->is_there) {
        return;
    }
    const tarn_status status = tarn_space_share(&it->space, address_of(slot), &from->space,
                                                address_of(from_slot), count * (uint64_t)PAGE, RW);
    if (!has_all(from, from_slot, count)) {
        HOLDS(model, status == TARN_BAD_ARGUMENT);
    } else if (has_any(it, slot, count)) {
        HOLDS(model, status == TARN_BUSY);
    } else {
        HOLDS(model, status == TARN_OK || is_shortage(model, status));
        for (unsigned i = 0; i < count && status == TARN_OK; i++) {
            page *source = &from->pages[from_slot + i];
            source->is_shared = true;
            source->cell->owners++;
            it->pages[slot + i] = (page){.cell = source->cell, .rights = RW, .is_shared = true};
        }
    }
}

static void call_unmap(twin *model, side *it)
{
    const unsigned slot = draw(model, SLOTS);
    const unsigned count = draw_count(model, slot);
    HOLDS(model, tarn_space_unmap(&it->space, address_of(slot), count * (uint64_t)PAGE) == TARN_OK);
    for (unsigned i = 0; i < count; i++) {
        drop(&it->pages[slot + i]);
    }
}

static void call_protect(twin *model, side *it)
{
    static const unsigned rights[] = {0, TARN_PAGE_USER, TARN_PAGE_WRITABLE, RW};
    const unsigned slot = draw(model, SLOTS);
    const unsigned count = draw_count(model, slot);
    const unsigned access = rights[draw(model, 4)];
    const tarn_status status =
        tarn_space_protect(&it->space, address_of(slot), count * (uint64_t)PAGE, access);
    if (!has_all(it, slot, count)) {
        HOLDS(model, status == TARN_BAD_ARGUMENT);
        return;
    }
    HOLDS(model, status == TARN_OK || is_shortage(model, status));
    for (unsigned i = 0; i < count && status == TARN_OK; i++) {
        it->pages[slot + i].rights = access;
    }
}

static void end_side(side *it)
{
    if (it->is_there) {
        tarn_space_deinit(&it->space);
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            drop(&it->pages[slot]);
        }
        memset(it->windows, 0, sizeof it->windows);
        it->is_there = false;
    }
}

static void call_fork(twin *model, side *it)
{
    side *child = &model->sides[draw(model, SPACES)];
    const unsigned kind = draw(model, 4);
    const tarn_fork_options options = {.is_image = kind == 0, .reserves_copies = kind == 1};
    if (child == it) {
        return;
    }
    end_side(child);
    const tarn_status status = tarn_space_fork(&it->space, &child->space, &options);
    HOLDS(model, status == TARN_OK || is_shortage(model, status));
    child->is_there = status == TARN_OK;
    for (unsigned slot = 0; slot < SLOTS && child->is_there; slot++) {
        const page *source = &it->pages[slot];
        page *copy = &child->pages[slot];
        if (source->cell == NULL) {
            continue;
        }
        if (source->is_shared) {
            *copy = *source;
            copy->cell->owners++;
        } else {
            give(model, copy, source->rights, false);
            memcpy(copy->cell->head, source->cell->head, EDGE);
            memcpy(copy->cell->tail, source->cell->tail, EDGE);
        }
        if (options.is_image) {
            copy->rights &= ~(unsigned)TARN_PAGE_WRITABLE;
        }
    }
}

/* From the tail of one page to the head of the next, or within one. */
static void call_write(twin *model, side *it)
{
    const unsigned slot = draw(model, SLOTS);
    const bool crosses = slot % IN_CLUSTER + 1 < IN_CLUSTER && draw(model, 2) == 0;
    const unsigned access = draw(model, 2) == 0 ? TARN_ACCESS_USER : 0;
    unsigned char bytes[2 * EDGE];
    uint64_t where = 0;
    memset(bytes, (int)draw(model, 256), sizeof bytes);
    const uint64_t address = address_of(slot) + (crosses ? PAGE - EDGE : 0);
    const tarn_fault fault =
        tarn_space_write(&it->space, address, bytes, crosses ? 2 * EDGE : EDGE, access, &where);
    tarn_fault wanted = TARN_FAULT_NONE;
    for (unsigned i = 0; i < 1U + crosses && wanted == TARN_FAULT_NONE; i++) {
        wanted = expected_fault(&it->pages[slot + i], access | TARN_ACCESS_WRITE);
    }
    if (fault == TARN_FAULT_NO_FRAME) {
        HOLDS(model, model->is_scarce);
        return;
    }
    HOLDS(model, fault == wanted);
    if (fault == TARN_FAULT_NONE) {
        memcpy(crosses ? it->pages[slot].cell->tail : it->pages[slot].cell->head, bytes, EDGE);
        if (crosses) {
            memcpy(it->pages[slot + 1].cell->head, bytes, EDGE);
        }
    }
}

static void call_read(twin *model, side *it)
{
    const unsigned slot = draw(model, SLOTS);
    const unsigned access = draw(model, 2) == 0 ? TARN_ACCESS_USER : 0;
    unsigned char bytes[EDGE];
    const tarn_fault fault =
        tarn_space_read(&it->space, address_of(slot), bytes, EDGE, access, NULL);
    HOLDS(model, fault == expected_fault(&it->pages[slot], access));
    HOLDS(model, fault != TARN_FAULT_NONE || memcmp(bytes, it->pages[slot].cell->head, EDGE) == 0);
}

/* A store by a pointer, where there is a frame for the copy for certain. */
static void call_store(twin *model, side *it)
{
    const unsigned slot = draw(model, SLOTS);
    const unsigned char byte = (unsigned char)draw(model, 256);
    unsigned char *window = it->windows[slot / IN_CLUSTER];
    const page *wanted = &it->pages[slot];
    if (window == NULL || !it->has_handler || expected_fault(wanted, RW) != TARN_FAULT_NONE ||
        model->is_scarce || IS_UNDER_VALGRIND) {
        return;
    }
    memset(window + slot % IN_CLUSTER * (size_t)PAGE, byte, EDGE);
    memset(wanted->cell->head, byte, EDGE);
}

static void call_attach(twin *model, side *it)
{
    const unsigned cluster = draw(model, CLUSTERS);
    if (it->windows[cluster] != NULL) {
        tarn_space_detach(&it->space, it->windows[cluster]);
        it->windows[cluster] = NULL;
        return;
    }
    void *window = NULL;
    const tarn_attach_options options = {.handles_stores = it->has_handler};
    HOLDS(model, tarn_space_attach(&it->space, clusters[cluster], IN_CLUSTER * (uint64_t)PAGE,
                                   &options, &window) == TARN_OK);
    it->windows[cluster] = window;
}

static void call_init(twin *model, side *it)
{
    static const size_t copies[] = {1, 4, 64};
    const tarn_space_options options = {.frames = &model->frames,
                                        .reserves_copies = draw(model, 2) == 0,
                                        .copy_pages = copies[draw(model, 3)]};
    end_side(it);
    it->has_handler = draw(model, 2) == 0;
    HOLDS(model, tarn_space_init(&it->space, &options) == TARN_OK);
    it->is_there = true;
}

static void run_step(twin *model)
{
    typedef void call(twin *, side *);
    static call *const calls[] = {call_map,   call_map,     call_map,   call_share, call_unmap,
                                  call_unmap, call_protect, call_fork,  call_fork,  call_write,
                                  call_write, call_write,   call_write, call_read,  call_read,
                                  call_store, call_store,   call_attach};
    side *it = &model->sides[draw(model, SPACES)];
    const unsigned which = draw(model, 64);
    if (!it->is_there || which == 63) {
        call_init(model, it);
    } else {
        calls[which % (sizeof calls / sizeof *calls)](model, it);
    }
}

void space_twin_run(const uint8_t *bytes, size_t size, size_t frames, space_twin_failure *failure)
{
    static twin model; /* too large for a stack */
    memset(&model, 0, sizeof model);
    model.at = bytes;
    model.end = bytes + size;
    model.failure = failure;
    model.is_scarce = frames < 2 * SPACES * SLOTS;
    HOLDS(&model,
          tarn_frames_init(&model.frames, &(tarn_frames_options){.count = frames}) == TARN_OK);
    while (model.at < model.end) {
        run_step(&model);
        compare_all(&model);
        model.step++;
    }
    for (unsigned i = 0; i < SPACES; i++) {
        end_side(&model.sides[i]);
    }
    const tarn_frame_stats stats = tarn_frames_stats(&model.frames);
    HOLDS(&model, stats.used == 0 && stats.reserved == 0);
    HOLDS(&model, tarn_frames_check(&model.frames, NULL, 0));
    tarn_frames_deinit(&model.frames);
}
