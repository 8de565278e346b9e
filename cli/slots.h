/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_SLOTS_H
#define TARN_CLI_SLOTS_H

/*
 * Small numbers for the live blocks of a trace, so that what is known of each stands in an array: a block
 * that is given gets the number that was free last, and when it is taken back the number is free again.
 *
 * A block is named by its pool (0: none, the program's malloc) and its address or name. Constant time on
 * average; memory in proportion to the most blocks that were ever live at once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cli_slots cli_slots;

#define CLI_SLOT_NONE UINT32_MAX

/* No memory is the end of the process, here and below. To be freed by cli_slots_free(). */
cli_slots *cli_slots_create(void);
void cli_slots_free(cli_slots *slots);

/* The number of a block that was given. It must not be live (look first: in a damaged or foreign trace it may
 * be), and not be 0. */
uint32_t cli_slots_add(cli_slots *slots, uint32_t pool, uint64_t block);

/* CLI_SLOT_NONE if it is not live. */
uint32_t cli_slots_find(const cli_slots *slots, uint32_t pool, uint64_t block);

/* Takes the block back; returns the number it had, or CLI_SLOT_NONE if it is not live. */
uint32_t cli_slots_remove(cli_slots *slots, uint32_t pool, uint64_t block);

/* Takes back all blocks of a pool that is not 0: calls `gone` with the number of each, the newest first. Linear in
 * these blocks. `gone` must not change the slots. */
void cli_slots_remove_pool(cli_slots *slots, uint32_t pool,
                           void (*gone)(void *context, uint32_t slot), void *context);

/* Live blocks; and one more than the highest number that was ever given. */
size_t cli_slots_live(const cli_slots *slots);
size_t cli_slots_count(const cli_slots *slots);

#endif
