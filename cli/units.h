/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_UNITS_H
#define TARN_CLI_UNITS_H

/*
 * Figures as people read them: three digits and a unit, never wider than the constants
 * below say. The texts live as long as the process.
 */

#include <stdint.h>

enum {
    CLI_SECONDS_WIDTH = 8, /* "1.23 s", "59.9 min" */
    CLI_BYTES_WIDTH = 8,   /* "12.3 MiB" */
    CLI_COUNT_WIDTH = 7,   /* "123,456" */
    CLI_RATIO_WIDTH = 5    /* "0.93x" */
};

char *cli_seconds_text(double seconds);
char *cli_bytes_text(uint64_t bytes);
char *cli_count_text(uint64_t count);

/* "1 block", "2,000 blocks"; `thing` is what takes an s. */
char *cli_things_text(uint64_t count, const char *thing);

/* "-" when there is nothing to divide by. */
char *cli_ratio_text(double value, double base);

/* "1.20-1.41 s": both ends in the unit of the larger. */
char *cli_seconds_range(double least, double most);
char *cli_bytes_range(uint64_t least, uint64_t most);

#endif
