/* SPDX-License-Identifier: MIT */
#include "space/core.h"

#include <string.h>

/*
 * Accesses: what a processor does when its translation buffer does not know the page.
 */

const char *tarn_fault_text(tarn_fault fault)
{
    switch (fault) {
    case TARN_FAULT_NONE:
        return "no fault";
    case TARN_FAULT_NOT_PRESENT:
        return "no page is mapped there";
    case TARN_FAULT_PROTECTION:
        return "the access is not allowed";
    case TARN_FAULT_NON_CANONICAL:
        return "the address is not canonical";
    case TARN_FAULT_NO_FRAME:
        return "there is no frame for a copy of the page";
    case TARN_FAULT_NO_MEMORY:
        return "the system has no memory for a copy of the page";
    case TARN_FAULT_NO_SEGMENT:
        return "there is no such segment";
    case TARN_FAULT_LIMIT:
        return "past the end of the segment";
    }
    return "not a fault of Tarn";
}

static tarn_translation fault_at(tarn_space *space, tarn_fault fault, unsigned level)
{
    space->books.faults++;
    return (tarn_translation){.fault = fault, .level = level};
}

/* The entry is there but does not allow the access: a fault, or a page that has to be copied. */
static tarn_fault refuse(tarn_space *space, uint64_t page, uint64_t entry, unsigned access)
{
    const unsigned rest = access & ~(unsigned)TARN_ACCESS_WRITE;
    if ((access & TARN_ACCESS_WRITE) == 0 || (entry & TARN_PAGE_COPY) == 0 ||
        (entry & rest) != rest) {
        return TARN_FAULT_PROTECTION;
    }
    return space_own(space, page);
}

/* Where the way ends: the entry of the page, or the first one on the way that leads nowhere. */
typedef struct way_end {
    uint64_t *slot;
    unsigned level;
} way_end;

#define WAY_INLINE static inline __attribute__((always_inline))

WAY_INLINE way_end next_level(way_end at, uint64_t address)
{
    at.level--;
    at.slot = &table_of(*at.slot)[address >> (12 + 9 * (at.level - 1)) & (TABLE_ENTRIES - 1)];
    return at;
}

WAY_INLINE way_end find_way_to(const tarn_space *space, uint64_t address, unsigned leaf)
{
    way_end at = {.slot = &space->root[address >> 39 & (TABLE_ENTRIES - 1)], .level = 4};
    if (base_likely(*at.slot != 0)) {
        at = next_level(at, address);
        if (base_likely(at.level > leaf && *at.slot != 0)) {
            at = next_level(at, address);
            if (base_likely(at.level > leaf && *at.slot != 0)) {
                at = next_level(at, address);
            }
        }
    }
    return at;
}

/* Pages of 4 KiB have a way of their own, written out, whose shifts the compiler knows. */
WAY_INLINE way_end find_way(const tarn_space *space, uint64_t address)
{
    return base_likely(space->shift == 12) ? find_way_to(space, address, 1)
                                           : find_way_to(space, address, leaf_level(space));
}

WAY_INLINE tarn_translation walk(tarn_space *space, uint64_t address, unsigned access)
{
    const way_end end = find_way(space, address);
    uint64_t entry = *end.slot;
    const uint64_t seen = TARN_PAGE_ACCESSED | (uint64_t)(access & TARN_ACCESS_WRITE) *
                                                   (TARN_PAGE_DIRTY / TARN_ACCESS_WRITE);
    if (base_unlikely((entry & (TARN_PAGE_PRESENT | access)) != (TARN_PAGE_PRESENT | access))) {
        const tarn_fault fault = entry == 0 ? TARN_FAULT_NOT_PRESENT
                                            : refuse(space, page_of(space, address), entry, access);
        if (fault != TARN_FAULT_NONE) {
            return fault_at(space, fault, end.level);
        }
        entry = *end.slot;
    }
    if (base_unlikely((entry & seen) != seen)) {
        entry |= seen;
        *end.slot = entry;
    }
    tlb_fill(space, address, entry);
    return (tarn_translation){.frame = frame_of(entry),
                              .offset = (uint32_t)address & space->offset_mask,
                              .level = end.level};
}

static __attribute__((noinline)) tarn_translation walk_locked(tarn_space *space, uint64_t address,
                                                              unsigned access)
{
    space_lock(space);
    const tarn_translation to = walk(space, address, access);
    space_unlock(space);
    return to;
}

tarn_translation tarn_space_walk(tarn_space *space, uint64_t address, unsigned access)
{
    access &= TARN_ACCESS_WRITE | TARN_ACCESS_USER;
    space->books.walks++;
    if (base_unlikely(!is_canonical(address))) {
        return fault_at(space, TARN_FAULT_NON_CANONICAL, 0);
    }
    if (base_likely(space->handlers == 0)) {
        return walk(space, address, access);
    }
    return walk_locked(space, address, access);
}

/* ---- bytes ---- */

/* Bytes from `address` to the end of its page, at most `size`. */
static size_t piece_of(const tarn_space *space, uint64_t address, size_t size)
{
    const size_t page_size = frames_frame_size(space->frames);
    const size_t rest = page_size - (size_t)(address & (page_size - 1));
    return rest < size ? rest : size;
}

/* Translates all pages first: a write that faults half-way must not have written. */
static tarn_fault probe(tarn_space *space, uint64_t address, size_t size, unsigned access,
                        uint64_t *where)
{
    while (size > 0) {
        const size_t piece = piece_of(space, address, size);
        const tarn_translation to = tarn_space_translate(space, address, access);
        if (to.fault != TARN_FAULT_NONE) {
            if (where != NULL) {
                *where = address;
            }
            return to.fault;
        }
        address += piece;
        size -= piece;
        /* Behind the last address there is none, though processors go on at 0. */
        if (size > 0 && address == 0) {
            if (where != NULL) {
                *where = UINT64_MAX;
            }
            return TARN_FAULT_NON_CANONICAL;
        }
    }
    return TARN_FAULT_NONE;
}

static unsigned char *place_of(tarn_space *space, uint64_t address, unsigned access)
{
    const tarn_translation to = tarn_space_translate(space, address, access);
    return frames_at(space->frames, to.frame) + to.offset;
}

tarn_fault tarn_space_read(tarn_space *space, uint64_t address, void *to, size_t size,
                           unsigned access, uint64_t *where)
{
    access &= TARN_ACCESS_USER;
    const tarn_fault fault = probe(space, address, size, access, where);
    if (fault != TARN_FAULT_NONE) {
        return fault;
    }
    unsigned char *at = to;
    while (size > 0) {
        const size_t piece = piece_of(space, address, size);
        memcpy(at, place_of(space, address, access), piece);
        at += piece;
        address += piece;
        size -= piece;
    }
    return TARN_FAULT_NONE;
}

tarn_fault tarn_space_write(tarn_space *space, uint64_t address, const void *from, size_t size,
                            unsigned access, uint64_t *where)
{
    access = (access & TARN_ACCESS_USER) | TARN_ACCESS_WRITE;
    const tarn_fault fault = probe(space, address, size, access, where);
    if (fault != TARN_FAULT_NONE) {
        return fault;
    }
    const unsigned char *at = from;
    while (size > 0) {
        const size_t piece = piece_of(space, address, size);
        memcpy(place_of(space, address, access), at, piece);
        at += piece;
        address += piece;
        size -= piece;
    }
    return TARN_FAULT_NONE;
}
