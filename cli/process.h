/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_PROCESS_H
#define TARN_CLI_PROCESS_H

/*
 * A process of somebody else's that runs already: whether it is still there, what the kernel says of its threads, and
 * the memory of the program that it ran when it was opened.
 *
 * Its number may be given to another process and it may execute another program: neither is ever taken for the
 * first, as both the process and its memory are held by descriptors.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cli_process {
    pid_t id;
    int handle; /* that says when it has ended */
    int memory;
} cli_process;

/* False, said, if there is no such process or its memory may not be seen. */
bool cli_process_open(cli_process *process, pid_t id);
void cli_process_close(cli_process *process);

bool cli_process_has_ended(const cli_process *process);

/* True if the memory is gone though the process is there: it has executed another program. */
bool cli_process_has_executed(const cli_process *process);

/* Memory may be written whatever its protection is. */
bool cli_process_read(const cli_process *process, uint64_t address, void *bytes, size_t size);
bool cli_process_write(const cli_process *process, uint64_t address, const void *bytes,
                       size_t size);

/* Reads as much as there is, at most `size`; 0: nothing. */
size_t cli_process_read_some(const cli_process *process, uint64_t address, void *bytes,
                             size_t size);

/* A thread that has not ended, as the first one may have long before the others; 0: none. */
pid_t cli_process_thread(const cli_process *process);

/* The letter that proc(5) has for what the thread is doing; 0: there is no such thread. */
char cli_process_state(pid_t process, pid_t thread);

/* The number, in `base`, in the line `name` of the thread's status; false: there is none. */
bool cli_process_status(pid_t process, pid_t thread, const char *name, int base, uint64_t *value);

/* Where in the kernel the thread is, in words; the result lives as long as `tarn`. */
const char *cli_process_place(pid_t process, pid_t thread);

#endif
