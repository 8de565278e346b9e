/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_STACKS_H
#define TARN_CLI_REPORT_STACKS_H

/*
 * The call stacks of a trace as a tree of return addresses: a node is the way from it to the root.
 * Node 0 is the root, the way of no frames. A parent has a smaller number than its children. A stack
 * is a number for a node that a stack of the trace ends with, of which there are far fewer; stack 0
 * has no frames.
 *
 * A frame is an address and the module that it was in when the stack was defined; each is there
 * once, so that it is looked up once.
 */

#include "modules.h"

typedef struct report_address {
    uint64_t address; /* that is returned to */
    uint32_t module;  /* of report_modules; REPORT_NONE */
    uint32_t next;    /* private */
} report_address;

typedef struct report_stack_node {
    uint32_t parent;
    uint32_t frame; /* of `frames` */
} report_stack_node;

/* To be made by report_stacks_init(). */
typedef struct report_stacks {
    report_address *frames;
    size_t frame_count;
    size_t frame_room;
    report_stack_node *nodes;
    size_t count;
    size_t room;
    uint32_t *ends; /* by stack: a node */
    size_t stack_count;
    size_t stack_room;
    report_numbers by_frame;  /* private: by hash of address and module */
    report_numbers by_parent; /* private: by parent and frame */
    report_numbers by_end;    /* private: the stack that ends with a node */
    report_numbers by_number; /* private: the stack of a number of the trace */
} report_stacks;

void report_stacks_init(report_stacks *stacks);
void report_stacks_free(report_stacks *stacks);

/* A definition of the trace; the modules are those of this moment. Linear in its frames. */
void report_stacks_define(report_stacks *stacks, const report_modules *modules,
                          const trace_stack *defined);

/* No stack will be defined any more: gives back what that takes. */
void report_stacks_close(report_stacks *stacks);

/* The stack of a number of the trace, as it is defined now; 0 if it is not. */
uint32_t report_stacks_find(const report_stacks *stacks, uint32_t number);

/* For reading the trace once more: no number is defined; and a number is defined as a stack that it
 * was then. */
void report_stacks_forget(report_stacks *stacks);
void report_stacks_set(report_stacks *stacks, uint32_t number, uint32_t stack);

#endif
