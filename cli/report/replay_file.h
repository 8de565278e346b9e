/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_REPLAY_FILE_H
#define TARN_CLI_REPORT_REPLAY_FILE_H

/* What `tarn replay --json` wrote, checked as far as the page makes use of it. */

#include <stdbool.h>

typedef struct report_replay {
    char *text; /* JSON, for free() */
    bool has_peak;
    double peak_live; /* bytes, of the trace that was replayed */
} report_replay;

/* False, said, if the file cannot be read, is too large, is no JSON, or something else's, or has not
 * what the page needs. */
bool report_replay_file_read(report_replay *replay, const char *path);

#endif
