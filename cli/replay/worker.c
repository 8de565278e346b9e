/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "player.h"
#include "region.h"
#include "tarn/base.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The hidden subcommand that `tarn replay` starts for each pass on each allocator: `tarn __replay
 * JOB TAPE`, two descriptors. What it finds out is in the job's memory.
 */

static replay_job *the_job;

/* Proven misuse: of ours, or of an allocator that damaged what is beside it. */
static void keep_line(const char *line)
{
    replay_job_refuse(the_job, REPLAY_FAILED, "%s", line);
}

static int descriptor_of(const char *text)
{
    char *end;
    const long number = strtol(text, &end, 10);
    return *end == '\0' && number > 2 && number <= INT_MAX ? (int)number : -1;
}

static void do_job(replay_job *job)
{
    const replay_strategy *strategy = replay_strategy_find(job->strategy);
    replay_subject subject;
    if (strategy == NULL) {
        strategy = replay_strategy_of_process();
    }
    if (job->pass == REPLAY_SEARCH) {
        replay_region_search(job);
        return;
    }
    const bool is_parallel = job->order == REPLAY_PARALLEL && job->pass == REPLAY_SPEED;
    job->played = !strategy->any_thread                                  ? REPLAY_SINGLE
                  : is_parallel                                          ? REPLAY_PARALLEL
                  : job->order == REPLAY_SINGLE || job->tape.threads < 2 ? REPLAY_SINGLE
                                                                         : REPLAY_EXACT;
    if (strategy->open(&subject, job)) {
        replay_play(&subject, job);
    }
}

int cli_replay_worker(int argc, char **argv)
{
    const int job = argc == 3 ? descriptor_of(argv[1]) : -1;
    const int tape = argc == 3 ? descriptor_of(argv[2]) : -1;
    if (job < 0 || tape < 0) {
        cli_error("this is for tarn replay alone");
        return CLI_EXIT_USAGE;
    }
    the_job =
        mmap(NULL, sizeof *the_job, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, job, 0);
    if (the_job == MAP_FAILED) {
        cli_error("cannot map the job");
        return CLI_EXIT_TARN;
    }
    the_job->tape.descriptor = tape;
    tarn_set_fatal_handler(keep_line);
    do_job(the_job);
    /* What allocators do at exit is not waited for. */
    _exit(0);
}
