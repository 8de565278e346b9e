/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_LAYOUT_H
#define TARN_CLI_REPORT_LAYOUT_H

/*
 * Where blocks lie: at the addresses that were recorded, less what was never used; or, where only
 * names were, as a region under some policy would lay them out.
 *
 * A region hands out the high ends of its free partitions, so the pictures count from the high end
 * of its range downwards: then what is used begins at 0 and grows. (Buddies are handed out from the
 * low end, and are counted from there.) Best fit, segregated fit and buddies take holes before they
 * take what was never used, so that their range may be longer than needed, and the most that they
 * ever reached is their footprint. The other policies use all of a range however long it is; theirs
 * has to be as long as it must be. So has any range that holds blocks with an alignment of their own:
 * regions put these at the low end of a free partition, so that one of them reaches over all that was
 * never used.
 */

#include "blocks.h"
#include "extents.h"
#include "tarn/region.h"

typedef struct report_layout report_layout;

/* A block that has no place, as the range had none for it. */
#define REPORT_NO_PLACE UINT64_MAX

/* The policy of that name; false if there is none that can be shown. */
bool report_policy_find(const char *name, tarn_region_policy *policy);

/* The names, for messages; ends in NULL. */
extern const char *const report_policy_names[];

/* True if the range has to be as long as it must be; `has_alignment` if a block asks for one that
 * matters. */
bool report_policy_is_tight(tarn_region_policy policy, bool has_alignment);

/* What a block of that size takes of a range, at the least. */
uint64_t report_policy_rounded(uint64_t size);

/* True if an alignment is more than that of any block. */
bool report_policy_aligns(unsigned alignment_log2);

/* At the recorded addresses; `extents` are folded, and outlive the layout. `page` is a power of
 * two. */
report_layout *report_layout_recorded(report_extents *extents, uint64_t page);

/* In a region with a range of about `size` bytes. */
report_layout *report_layout_simulated(tarn_region_policy policy, uint64_t size);
void report_layout_free(report_layout *layout);

/* Fills in the block's place. */
void report_layout_give(report_layout *layout, report_block *block, unsigned alignment_log2);
void report_layout_take(report_layout *layout, const report_block *block);

/* The block `old` became `block`: where it stands, if there is room. */
void report_layout_move(report_layout *layout, const report_block *old, report_block *block,
                        unsigned alignment_log2);

/* Bytes: of pages with a live block, where addresses were recorded; else the most of the range that
 * was ever reached. */
uint64_t report_layout_footprint(const report_layout *layout);
uint64_t report_layout_peak_footprint(const report_layout *layout);

/* How many blocks found no place. */
uint64_t report_layout_failures(const report_layout *layout);

/* As the report says it: "best-fit (simulated)". Lives as long as the process. */
const char *report_layout_name(const report_layout *layout);

#endif
