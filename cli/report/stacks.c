/* SPDX-License-Identifier: MIT */
#include "stacks.h"

#include "memory.h"

#include <stdlib.h>

static uint32_t stack_of(report_stacks *stacks, uint32_t node)
{
    uint32_t *stack = report_numbers_at(&stacks->by_end, node);
    if (*stack == REPORT_NONE) {
        stacks->ends = report_grown(stacks->ends, stacks->stack_count, &stacks->stack_room,
                                    sizeof *stacks->ends);
        stacks->ends[stacks->stack_count] = node;
        *stack = (uint32_t)stacks->stack_count++;
    }
    return *stack;
}

void report_stacks_init(report_stacks *stacks)
{
    *stacks = (report_stacks){0};
    stacks->nodes = report_grown(NULL, 0, &stacks->room, sizeof *stacks->nodes);
    stacks->nodes[0] = (report_stack_node){.parent = 0, .frame = REPORT_NONE};
    stacks->count = 1;
    stack_of(stacks, 0);
}

void report_stacks_free(report_stacks *stacks)
{
    free(stacks->frames);
    free(stacks->nodes);
    free(stacks->ends);
    report_stacks_close(stacks);
    report_numbers_free(&stacks->by_number);
    *stacks = (report_stacks){0};
}

static uint32_t frame_of(report_stacks *stacks, const report_modules *modules, uint64_t address)
{
    /* What is returned to may be the first byte of what comes behind the code that called. */
    const uint32_t module = report_modules_find(modules, address - (address != 0));
    const uint64_t key = address ^ (uint64_t)module * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t *head = report_numbers_at(&stacks->by_frame, key);
    for (uint32_t i = *head; i != REPORT_NONE; i = stacks->frames[i].next) {
        if (stacks->frames[i].address == address && stacks->frames[i].module == module) {
            return i;
        }
    }
    stacks->frames = report_grown(stacks->frames, stacks->frame_count, &stacks->frame_room,
                                  sizeof *stacks->frames);
    stacks->frames[stacks->frame_count] =
        (report_address){.address = address, .module = module, .next = *head};
    *head = (uint32_t)stacks->frame_count;
    return (uint32_t)stacks->frame_count++;
}

static uint32_t child_of(report_stacks *stacks, uint32_t parent, uint32_t frame)
{
    uint32_t *node = report_numbers_at(&stacks->by_parent, (uint64_t)parent << 32 | frame);
    if (*node == REPORT_NONE) {
        stacks->nodes =
            report_grown(stacks->nodes, stacks->count, &stacks->room, sizeof *stacks->nodes);
        stacks->nodes[stacks->count] = (report_stack_node){.parent = parent, .frame = frame};
        *node = (uint32_t)stacks->count++;
    }
    return *node;
}

void report_stacks_define(report_stacks *stacks, const report_modules *modules,
                          const trace_stack *defined)
{
    uint32_t node = 0;
    for (uint32_t i = defined->count; i-- > 0;) {
        node = child_of(stacks, node, frame_of(stacks, modules, defined->frames[i]));
    }
    *report_numbers_at(&stacks->by_number, defined->stack) = stack_of(stacks, node);
}

void report_stacks_close(report_stacks *stacks)
{
    report_numbers_free(&stacks->by_frame);
    report_numbers_free(&stacks->by_parent);
    report_numbers_free(&stacks->by_end);
}

uint32_t report_stacks_find(const report_stacks *stacks, uint32_t number)
{
    const uint32_t stack = number != 0 ? report_numbers_find(&stacks->by_number, number) : 0;
    return stack != REPORT_NONE ? stack : 0;
}

void report_stacks_forget(report_stacks *stacks)
{
    report_numbers_free(&stacks->by_number);
}

void report_stacks_set(report_stacks *stacks, uint32_t number, uint32_t stack)
{
    *report_numbers_at(&stacks->by_number, number) = stack;
}
