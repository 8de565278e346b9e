/* SPDX-License-Identifier: MIT */
#include "space/core.h"

/*
 * The page table: tables of 512 entries, as many as there are pages for.
 *
 *     root [ | | e | | ]      e: address of the next table, and how many of its entries are used
 *              |
 *              v
 *            [ | e | | | ] -> [ | | | e ] -> leaf [ frame | frame | | | ]
 *
 * Tables that become empty are kept, up to a few, since what is mapped and unmapped in turn would else go upstream each
 * time. Such a table is all zeros but for the link in its first word.
 */

enum { BLOCK = 16 }; /* entries that are compared without a branch */

/* ---- tables ---- */

static uint64_t *table_new(tarn_space *space)
{
    uint64_t *table = space->spare_tables;
    if (table != NULL) {
        space->spare_tables = table_of(table[0]);
        space->spare_count--;
        table[0] = 0;
    } else {
        table = tarn_heap_calloc(space->options.upstream, 1, TABLE_SIZE, TABLE_SIZE);
        if (table == NULL) {
            return NULL;
        }
        space->books.footprint += TABLE_SIZE;
    }
    space->books.tables++;
    return table;
}

/* The table has no entries. */
static void table_free(tarn_space *space, uint64_t *table)
{
    space->books.tables--;
    if (space->spare_count < SPARES_MAX) {
        table[0] = (uint64_t)(uintptr_t)space->spare_tables;
        space->spare_tables = table;
        space->spare_count++;
    } else {
        tarn_heap_free(space->options.upstream, table, TABLE_SIZE);
        space->books.footprint -= TABLE_SIZE;
    }
}

size_t tarn_space_trim(tarn_space *space)
{
    const size_t before = space->books.footprint;
    space_lock(space);
    while (space->spare_tables != NULL) {
        uint64_t *table = space->spare_tables;
        space->spare_tables = table_of(table[0]);
        tarn_heap_free(space->options.upstream, table, TABLE_SIZE);
        space->books.footprint -= TABLE_SIZE;
    }
    space->spare_count = 0;
    space_unlock(space);
    return before - space->books.footprint;
}

bool table_init(tarn_space *space)
{
    space->root = table_new(space);
    return space->root != NULL;
}

void table_deinit(tarn_space *space)
{
    table_free(space, space->root);
    space->root = NULL;
    (void)tarn_space_trim(space);
}

/* ---- ways ---- */

/* log2 of the pages that an entry of the root leads to; each level further down it is 9 less, and 0 is a leaf's. */
static inline unsigned root_span(const tarn_space *space)
{
    return ADDRESS_BITS - 9 - space->shift;
}

static inline uint64_t *slot_in(uint64_t *table, uint64_t page, unsigned span)
{
    return &table[page >> span & (TABLE_ENTRIES - 1)];
}

/* The page's leaf. There are 2^*span pages around this one that have the same leaf, or have none. */
static inline table_leaf find_way(const tarn_space *space, uint64_t page, unsigned *span)
{
    uint64_t *table = space->root;
    uint64_t *slot = NULL;
    for (unsigned at = root_span(space); at > 0; at -= 9) {
        slot = slot_in(table, page, at);
        if (*slot == 0) {
            *span = at;
            return (table_leaf){NULL, NULL};
        }
        table = table_of(*slot);
    }
    *span = 9;
    return (table_leaf){table, slot};
}

/* The leaf of a page that has one. */
static inline table_leaf find_leaf(const tarn_space *space, uint64_t page)
{
    unsigned span = 0;
    const table_leaf leaf = find_way(space, page, &span);
    TARN_CHECK(leaf.above != NULL && leaf.entries != NULL, "a page table was overwritten",
               space->options.name, space->root);
    return leaf;
}

uint64_t *table_entry(const tarn_space *space, uint64_t page)
{
    unsigned span = 0;
    const table_leaf leaf = find_way(space, page, &span);
    return leaf.entries == NULL ? NULL : &leaf.entries[page % TABLE_ENTRIES];
}

/* Pages from `page` to the end of those 2^span, at most `most`. */
static inline uint64_t pages_to_edge(uint64_t page, unsigned span, uint64_t most)
{
    const uint64_t pages = UINT64_C(1) << span;
    const uint64_t rest = pages - (page & (pages - 1));
    return rest < most ? rest : most;
}

static inline uint64_t pages_in_leaf(uint64_t page, uint64_t most)
{
    return pages_to_edge(page, 9, most);
}

static bool grow_leaf(tarn_space *space, uint64_t page)
{
    uint64_t *table = space->root;
    uint64_t *above = NULL;
    for (unsigned at = root_span(space); at > 0; at -= 9) {
        uint64_t *slot = slot_in(table, page, at);
        if (*slot == 0) {
            uint64_t *below = table_new(space);
            if (below == NULL) {
                return false;
            }
            *slot = (uint64_t)(uintptr_t)below | TARN_PAGE_PRESENT;
            if (above != NULL) {
                *above += USED_ONE;
            }
        }
        above = slot;
        table = table_of(*slot);
    }
    return true;
}

/* Gives up the tables on the way to the page that have no entries, from the lowest up. */
static void prune_leaf(tarn_space *space, uint64_t page)
{
    uint64_t *slots[ROOT_LEVEL];
    uint64_t *table = space->root;
    unsigned count = 0;
    for (unsigned at = root_span(space); at > 0; at -= 9) {
        slots[count] = slot_in(table, page, at);
        if (*slots[count] == 0) {
            break;
        }
        table = table_of(*slots[count]);
        count++;
    }
    while (count > 0 && (*slots[count - 1] & USED_MASK) == 0) {
        count--;
        table_free(space, table_of(*slots[count]));
        *slots[count] = 0;
        if (count > 0) {
            *slots[count - 1] -= USED_ONE;
        }
    }
}

void table_prune(tarn_space *space, uint64_t page, uint64_t count)
{
    for (const uint64_t end = page + count; page < end;) {
        unsigned span = 0;
        (void)find_way(space, page, &span);
        prune_leaf(space, page);
        page += pages_to_edge(page, span, end - page);
    }
}

bool table_grow(tarn_space *space, uint64_t page, uint64_t count)
{
    const uint64_t end = page + count;
    for (uint64_t at = page; at < end; at += pages_in_leaf(at, end - at)) {
        if (!grow_leaf(space, at)) {
            table_prune(space, page, at + 1 - page);
            return false;
        }
    }
    return true;
}

/* ---- runs ---- */

/* How many entries from the first on are alike under the mask, their frames growing by `step`. */
static unsigned count_alike(const uint64_t *entries, unsigned count, uint64_t first, uint64_t mask,
                            uint64_t step)
{
    unsigned done = 0;
    uint64_t expected = first;
    for (; done + BLOCK <= count; done += BLOCK) {
        uint64_t difference = 0;
        uint64_t next = expected;
        for (unsigned i = 0; i < BLOCK; i++) {
            difference |= entries[done + i] ^ next;
            next += step;
        }
        if ((difference & mask) != 0) {
            /* A carry may have come out of bits that do not matter: one by one it cannot. */
            break;
        }
        expected = next;
    }
    for (; done < count && ((entries[done] ^ expected) & mask) == 0; done++) {
        expected += step;
    }
    return done;
}

/* True if these entries, the first of which is not 0, are one run for certain. */
static bool is_even(table_leaf leaf, unsigned first, unsigned count)
{
    return (*leaf.above & EVEN) != 0 && leaf.entries[first + count - 1] != 0;
}

/* An absent page's mask: all of its entry is 0. */
static uint64_t mask_of(uint64_t entry, uint64_t mask)
{
    return entry == 0 ? UINT64_MAX : mask;
}

static uint64_t step_of(uint64_t entry, uint64_t mask)
{
    return entry == 0 || (mask & FRAME_MASK) == 0 ? 0 : FRAME_ONE;
}

table_run table_run_at(const tarn_space *space, uint64_t page, uint64_t end, uint64_t mask)
{
    table_run run = {.page = page, .count = 0, .entry = 0};
    while (page < end) {
        unsigned span = 0;
        const table_leaf leaf = find_way(space, page, &span);
        const uint64_t pages = pages_to_edge(page, span, end - page);
        if (leaf.above != NULL) {
            const unsigned first = page % TABLE_ENTRIES;
            const uint64_t *entries = &leaf.entries[first];
            if (run.count == 0) {
                run.entry = entries[0];
            }
            const uint64_t step = step_of(run.entry, mask);
            const uint64_t expected = run.entry + run.count * step;
            const uint64_t matters = mask_of(run.entry, mask);
            const bool is_known = entries[0] != 0 && ((entries[0] ^ expected) & matters) == 0 &&
                                  is_even(leaf, first, (unsigned)pages);
            const unsigned alike =
                is_known ? (unsigned)pages
                         : count_alike(entries, (unsigned)pages, expected, matters, step);
            run.count += alike;
            if (alike < pages) {
                return run;
            }
        } else if (run.entry != 0) {
            return run;
        } else {
            run.count += pages;
        }
        page += pages;
    }
    return run;
}

/* True if a page with this entry may stand in front of the run. */
static bool is_in_front(uint64_t entry, table_run run, uint64_t mask)
{
    return run.count == 0 || (entry == 0 && run.entry == 0) ||
           (entry != 0 && run.entry != 0 &&
            (((entry + step_of(entry, mask)) ^ run.entry) & mask) == 0);
}

table_run table_run_before(const tarn_space *space, uint64_t page, uint64_t end, uint64_t mask)
{
    table_run run = {.page = end, .count = 0, .entry = 0};
    while (run.page > page) {
        unsigned span = 0;
        const uint64_t before = run.page - 1;
        const table_leaf leaf = find_way(space, before, &span);
        const uint64_t entry = leaf.above != NULL ? leaf.entries[before % TABLE_ENTRIES] : 0;
        /* Where there is no leaf, all pages down to the start of the span are alike. */
        const uint64_t rest = leaf.above != NULL ? 1 : (before & ((UINT64_C(1) << span) - 1)) + 1;
        const uint64_t pages = rest < run.page - page ? rest : run.page - page;
        if (!is_in_front(entry, run, mask)) {
            break;
        }
        run = (table_run){.page = run.page - pages, .count = run.count + pages, .entry = entry};
    }
    return run;
}

/* Two entries, the second one that of the page behind the first, are of one run. */
static bool is_next(uint64_t entry, uint64_t next)
{
    return entry != 0 && next != 0 && (((entry + FRAME_ONE) ^ next) & RUN_MASK) == 0;
}

/* Whether the leaf stays even with these new pages, which are one run. */
static bool stays_even(table_leaf leaf, unsigned first, unsigned count)
{
    const uint64_t above = *leaf.above;
    if ((above & USED_MASK) == 0) {
        return true;
    }
    if ((above & EVEN) == 0) {
        return false;
    }
    const unsigned last = first + count - 1;
    return (first > 0 && is_next(leaf.entries[first - 1], leaf.entries[first])) ||
           (last + 1 < TABLE_ENTRIES && is_next(leaf.entries[last], leaf.entries[last + 1]));
}

void table_enter(tarn_space *space, table_run run)
{
    space->books.pages += run.count;
    if ((run.entry & TARN_PAGE_COPY) != 0) {
        space->books.copy_pages += run.count;
    }
    while (run.count > 0) {
        const table_leaf leaf = find_leaf(space, run.page);
        const uint64_t pages = pages_in_leaf(run.page, run.count);
        const unsigned first = run.page % TABLE_ENTRIES;
        wide_fill(&leaf.entries[first], pages, run.entry, FRAME_ONE);
        const bool is_even_now = stays_even(leaf, first, (unsigned)pages);
        *leaf.above = ((*leaf.above & ~EVEN) | (is_even_now ? EVEN : 0)) + pages * USED_ONE;
        run.entry += pages * FRAME_ONE;
        run.page += pages;
        run.count -= pages;
    }
}

static uint64_t count_copies_of(table_leaf leaf, unsigned first, uint64_t count)
{
    if (is_even(leaf, first, (unsigned)count)) {
        return (leaf.entries[first] & TARN_PAGE_COPY) != 0 ? count : 0;
    }
    uint64_t copies = 0;
    for (uint64_t i = first; i < first + count; i++) {
        copies += leaf.entries[i] / TARN_PAGE_COPY & 1;
    }
    return copies;
}

void table_remove(tarn_space *space, uint64_t page, uint64_t count)
{
    space->books.pages -= count;
    while (count > 0) {
        const table_leaf leaf = find_leaf(space, page);
        const uint64_t pages = pages_in_leaf(page, count);
        const unsigned first = page % TABLE_ENTRIES;
        const unsigned end = first + (unsigned)pages;
        space->books.copy_pages -= count_copies_of(leaf, first, pages);
        wide_clear(&leaf.entries[first], pages);
        *leaf.above -= pages * USED_ONE;
        /* What is left on both sides is not one run. */
        if (first > 0 && end < TABLE_ENTRIES && leaf.entries[first - 1] != 0 &&
            leaf.entries[end] != 0) {
            *leaf.above &= ~EVEN;
        }
        if ((*leaf.above & USED_MASK) == 0) {
            prune_leaf(space, page);
        }
        page += pages;
        count -= pages;
    }
}

void table_is_uneven(const tarn_space *space, uint64_t page)
{
    const table_leaf leaf = find_leaf(space, page);
    *leaf.above &= ~EVEN;
}

/* ---- changes ---- */

/* Calls for the entries of each leaf there is. */
typedef void entries_change(tarn_space *space, uint64_t *entries, uint64_t count, uint64_t a,
                            uint64_t b);

static void for_leaves(tarn_space *space, uint64_t page, uint64_t count, entries_change *change,
                       uint64_t a, uint64_t b)
{
    for (const uint64_t end = page + count; page < end;) {
        unsigned span = 0;
        const table_leaf leaf = find_way(space, page, &span);
        const uint64_t pages = pages_to_edge(page, span, end - page);
        if (leaf.above != NULL) {
            change(space, &leaf.entries[page % TABLE_ENTRIES], pages, a, b);
            /* What changes in all of them alike leaves them even. */
            if (pages < TABLE_ENTRIES && pages * USED_ONE < (*leaf.above & USED_MASK)) {
                *leaf.above &= ~EVEN;
            }
        }
        page += pages;
    }
}

static void change_bits(tarn_space *space, uint64_t *entries, uint64_t count, uint64_t clear,
                        uint64_t set)
{
    (void)space;
    for (uint64_t i = 0; i < count; i++) {
        if (entries[i] != 0) {
            entries[i] = (entries[i] & ~clear) | set;
        }
    }
}

void table_change(tarn_space *space, uint64_t page, uint64_t count, uint64_t clear, uint64_t set)
{
    for_leaves(space, page, count, change_bits, clear, set);
}

static void count_copies(tarn_space *space, uint64_t before, uint64_t after)
{
    space->books.copy_pages += (after / TARN_PAGE_COPY & 1) - (before / TARN_PAGE_COPY & 1);
}

static void set_rights(tarn_space *space, uint64_t *entries, uint64_t count, uint64_t rights,
                       uint64_t unused)
{
    (void)unused;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t before = entries[i];
        if (before != 0) {
            entries[i] = (before & ~OLD_KEPT) | rights | (before & OLD_KEPT) << OLD_SHIFT | PENDING;
            count_copies(space, before, entries[i]);
        }
    }
}

void table_set_rights(tarn_space *space, uint64_t page, uint64_t count, uint64_t rights)
{
    for_leaves(space, page, count, set_rights, rights, 0);
}

void table_commit(tarn_space *space, uint64_t page, uint64_t count)
{
    for_leaves(space, page, count, change_bits, OLD_MASK, 0);
}

static void restore_rights(tarn_space *space, uint64_t *entries, uint64_t count, uint64_t a,
                           uint64_t b)
{
    (void)a;
    (void)b;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t before = entries[i];
        if ((before & PENDING) != 0) {
            entries[i] = (before & ~(OLD_MASK | OLD_KEPT)) | (before >> OLD_SHIFT & OLD_KEPT);
            count_copies(space, before, entries[i]);
        }
    }
}

void table_restore(tarn_space *space, uint64_t page, uint64_t count)
{
    for_leaves(space, page, count, restore_rights, 0, 0);
}

/* ---- the translation buffer ---- */

void tlb_forget_all(tarn_space *space)
{
    for (unsigned i = 0; i < TARN_SPACE_TLB_SETS; i++) {
        space->tlb[i].pages[0] = UINT64_MAX;
        space->tlb[i].pages[1] = UINT64_MAX;
    }
    space->empty_since = space->books.walks;
}

static void forget_in(tarn_space_tlb_set *set, uint64_t first, uint64_t count)
{
    for (unsigned way = 0; way < 2; way++) {
        const bool is_old = set->pages[way] - first < count;
        set->pages[way] = is_old ? UINT64_MAX : set->pages[way];
    }
}

void tlb_forget(tarn_space *space, uint64_t page, uint64_t count)
{
    if (space->empty_since == space->books.walks) {
        return;
    }
    const uint64_t first = address_of(space, page) >> TLB_SHIFT;
    count <<= space->shift - TLB_SHIFT;
    const uint64_t sets = count < TARN_SPACE_TLB_SETS ? count : TARN_SPACE_TLB_SETS;
    for (uint64_t i = 0; i < sets; i++) {
        forget_in(&space->tlb[(first + i) % TARN_SPACE_TLB_SETS], first, count);
    }
}
