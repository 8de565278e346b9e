/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_REPLAY_FILE_H
#define TARN_CLI_REPORT_REPLAY_FILE_H

/* The text of what `tarn replay --json` wrote, for free(). NULL, said, if the file cannot be read,
 * is no JSON, or something else's. */
char *report_replay_file_read(const char *path);

#endif
