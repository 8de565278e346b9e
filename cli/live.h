/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_LIVE_H
#define TARN_CLI_LIVE_H

/*
 * How many bytes were live at most, from the events of a program, in bounded memory: while there are few
 * blocks, all are remembered; when there are many, a sample of the small ones, chosen by address, stands for
 * all of them.
 */

#include "trace/event.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_live cli_live;

/* NULL when there is no memory. To be freed by cli_live_free(). */
cli_live *cli_live_create(void);
void cli_live_free(cli_live *live);

/* An event of a trace, in its order. Those of pools are inside of other blocks and do not count. */
void cli_live_event(cli_live *live, const trace_event *event);

void cli_live_add(cli_live *live, uint64_t block, uint64_t size);
void cli_live_remove(cli_live *live, uint64_t block);

/* Bytes. */
uint64_t cli_live_peak(const cli_live *live);
uint64_t cli_live_now(const cli_live *live);

/* True if not all blocks were remembered. */
bool cli_live_is_estimate(const cli_live *live);

#endif
