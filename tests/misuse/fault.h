/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_FAULT_H
#define TARN_TESTS_FAULT_H

#include "tarn/heaps.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A handler of SIGSEGV such as a program that debugs with guard pages would have.
 */
static tarn_guarded guarded;

static void explain_fault(int signal_number, siginfo_t *info, void *context)
{
    char words[100];
    void *block;
    (void)signal_number;
    (void)context;
    if (tarn_guarded_explain(&guarded, info->si_addr, words, sizeof words, &block)) {
        fprintf(stderr, "tarn: %s (%s, block %p)\n", words, guarded.heap.name, block);
    }
    abort();
}

static void guard_by_pages(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = explain_fault};
    sigaction(SIGSEGV, &action, NULL);
    tarn_guarded_init(&guarded, &(tarn_guarded_options){.mode = TARN_GUARD_PAGES});
}

#endif
