/* SPDX-License-Identifier: MIT */
#include "space/core.h"

#include "heap/books.h"

/*
 * Whether the books of a space balance.
 */

typedef struct tally {
    const tarn_space *space;
    char *fault;
    size_t fault_size;
    size_t tables;
    uint64_t pages;
    uint64_t copies;
} tally;

static bool check_entry(tally *sums, uint64_t page, uint64_t entry)
{
    const tarn_space *space = sums->space;
    const unsigned long long address = address_of(space, page);
    const uint64_t both = TARN_PAGE_WRITABLE | TARN_PAGE_COPY;
    if ((entry & TARN_PAGE_PRESENT) == 0 || (entry & PENDING) != 0 || (entry & both) == both) {
        return heap_fault(sums->fault, sums->fault_size, "the entry of 0x%llx contradicts itself",
                          address);
    }
    if (!frames_has(space->frames, frame_of(entry), 1) ||
        tarn_frames_references(space->frames, frame_of(entry)) == 0) {
        return heap_fault(sums->fault, sums->fault_size, "nobody holds the frame of 0x%llx",
                          address);
    }
    sums->pages++;
    sums->copies += (entry & TARN_PAGE_COPY) != 0;
    return true;
}

/* Checks a table and all below; *used is how many of its entries are. */
static bool check_table(tally *sums, const uint64_t *table, unsigned level, uint64_t page,
                        unsigned *used)
{
    const unsigned leaf = leaf_level(sums->space);
    sums->tables++;
    *used = 0;
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        const uint64_t entry = table[i];
        const uint64_t at = page + ((uint64_t)i << 9 * (level - leaf));
        unsigned below = 0;
        if (entry == 0) {
            continue;
        }
        ++*used;
        if (level == leaf) {
            if (!check_entry(sums, at, entry)) {
                return false;
            }
        } else if (!check_table(sums, table_of(entry), level - 1, at, &below)) {
            return false;
        } else if (below != (entry & USED_MASK) / USED_ONE || below == 0) {
            return heap_fault(sums->fault, sums->fault_size,
                              "a table of level %u has %u entries but is noted with %u", level - 1,
                              below, (unsigned)((entry & USED_MASK) / USED_ONE));
        }
    }
    return true;
}

/* What the translation buffer has is what the table has. */
static bool check_buffer(const tally *sums)
{
    const tarn_space *space = sums->space;
    for (unsigned i = 0; i < 2 * TARN_SPACE_TLB_SETS; i++) {
        const tarn_space_tlb_set *set = &space->tlb[i / 2];
        const uint64_t page = set->pages[i % 2];
        if (page == UINT64_MAX) {
            continue;
        }
        const uint64_t address = page << TLB_SHIFT;
        const uint64_t *slot =
            is_canonical(address) ? table_entry(space, page_of(space, address)) : NULL;
        const uint64_t differs = slot == NULL ? 1 : (*slot ^ set->entries[i % 2]);
        if ((differs & ~(uint64_t)TARN_PAGE_DIRTY) != 0) {
            return heap_fault(sums->fault, sums->fault_size,
                              "the translation buffer is wrong about 0x%llx",
                              (unsigned long long)address);
        }
    }
    return true;
}

static bool check_sums(const tally *sums)
{
    const tarn_space *space = sums->space;
    const tarn_page_stats *books = &space->books;
    size_t windows = 0;
    for (const space_window *window = space->windows; window != NULL; window = window->next) {
        windows++;
    }
    const size_t footprint = (sums->tables + space->spare_count) * TABLE_SIZE +
                             windows * sizeof(space_window) +
                             space->segment_capacity * sizeof(space_segment);
    if (sums->tables != books->tables || sums->pages != books->pages ||
        sums->copies != books->copy_pages || windows != books->windows ||
        footprint != books->footprint) {
        return heap_fault(sums->fault, sums->fault_size,
                          "%llu pages in %zu tables are there, the books have %zu in %zu",
                          (unsigned long long)sums->pages, sums->tables, books->pages,
                          books->tables);
    }
    if (space->reserved != (space->options.reserves_copies ? books->copy_pages : 0)) {
        return heap_fault(sums->fault, sums->fault_size, "%zu frames are put aside for %zu pages",
                          space->reserved, books->copy_pages);
    }
    return true;
}

bool tarn_space_check(tarn_space *space, char *fault, size_t fault_size)
{
    tally sums = {.space = space, .fault_size = fault_size};
    unsigned used = 0;
    sums.fault = fault;
    space_lock(space);
    const bool is_sound = check_table(&sums, space->root, ROOT_LEVEL, 0, &used) &&
                          check_buffer(&sums) && check_sums(&sums);
    space_unlock(space);
    return is_sound;
}
