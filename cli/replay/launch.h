/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_LAUNCH_H
#define TARN_CLI_REPLAY_LAUNCH_H

/*
 * Jobs in processes of their own.
 */

#include "job.h"

#include <sys/types.h>

/* A job's memory and its process. */
typedef struct replay_launch {
    replay_job *job;
    int descriptor; /* of the job's memory */
    int said;       /* what the process writes to its standard output and error; the first of it */
    pid_t process;  /* 0: none runs */
    uint64_t deadline_ns;
} replay_launch;

/* How it ended. */
typedef enum replay_end {
    REPLAY_ENDED,      /* the job's status says the rest */
    REPLAY_CRASHED,    /* job->error says how */
    REPLAY_INTERRUPTED /* by a signal that asks this command to end */
} replay_end;

/* Memory for a job on `tape`, zeroed but for that. No memory is the end of the process. */
void replay_launch_create(replay_launch *launch, const replay_tape *tape);
void replay_launch_free(replay_launch *launch);

/* Starts the job's process, with `preload` (NULL: nothing) as its LD_PRELOAD, to be ended after
 * `timeout_ms`. */
void replay_launch_start(replay_launch *launch, const char *preload, uint64_t timeout_ms);

/* Waits until one of the processes has ended; `ended` is its index. `signals` is the descriptor of
 * cli_signals_catch(). When interrupted, all have ended. */
replay_end replay_launch_wait(replay_launch *const *launches, size_t count, int signals,
                              size_t *ended);

#endif
