/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_MODEL_H
#define TARN_TRACE_MODEL_H

/*
 * What writer and reader both know after each event of a part, so that the next one can be told by how it
 * differs from what was to be expected:
 *
 *   - which blocks were freed, per class of size, newest first: an allocator mostly gives the newest again;
 *   - which block the n-th allocation of this part was: programs free in an order that has to do with
 *     that of the allocations;
 *   - what followed the last stack, and how much was asked for from a stack, the last time.
 *
 * The model is the same on both sides and begins empty with each part, so that a part can be read alone. Its
 * memory is bounded by the events of a part.
 */

#include "trace/event.h"
#include "trace/varint.h"

#include <string.h>

enum {
    MODEL_EVENTS_MAX = 1 << 19, /* events of a part */
    MODEL_CLASSES = 1024,
    MODEL_DEPTH = 64, /* how far down the freed blocks of a class are looked at */
    MODEL_STACKS = 1 << 16,
    MODEL_SIZES = 1 << 12
};

#define MODEL_NEAR (UINT64_C(1) << 40)
#define MODEL_NONE UINT32_MAX

enum { MODEL_LIVE, MODEL_FREED, MODEL_GIVEN_AGAIN };

/* An allocation of this part. */
typedef struct model_block {
    uint64_t address;
    uint32_t next; /* of the freed ones of its class: the one that was freed before it */
    uint16_t class;
    uint16_t state;
} model_block;

typedef struct trace_model {
    uint32_t allocs;     /* of this part, a count */
    uint32_t last_freed; /* which allocation the last block that was freed of them was */
    uint64_t last_free;  /* the address of the last block that was none of them */
    uint64_t expected;   /* where an allocator that bumps a pointer would go on */
    uint32_t last_stack;
    uint32_t last_size_key;
    uint32_t freed[MODEL_CLASSES]; /* the newest, + 1; 0: none */
    uint32_t next_stack[MODEL_STACKS];
    uint64_t size_of[MODEL_SIZES];
    model_block blocks[MODEL_EVENTS_MAX]; /* the first `allocs` are set */
} trace_model;

static inline void model_reset(trace_model *model)
{
    memset(model, 0, offsetof(trace_model, blocks));
}

/* Bytes that the block takes in an allocator that puts a word before each and rounds to 16, as most do. */
static inline uint64_t model_room(uint64_t size)
{
    return size <= 24 ? 32 : (size + 23) & ~UINT64_C(15);
}

static inline uint32_t model_class(uint64_t size)
{
    const uint64_t granules = model_room(size) >> 4;
    return granules < MODEL_CLASSES ? (uint32_t)granules
                                    : (uint32_t)((granules * UINT64_C(0x9E3779B97F4A7C15)) >> 54);
}

/* The freed block of the class at that depth, below MODEL_DEPTH, and the link to it; NULL if there are fewer. */
static inline uint32_t *model_freed_link(trace_model *model, uint32_t class, unsigned depth)
{
    uint32_t *link = &model->freed[class];
    for (unsigned i = 0; i < depth && *link != 0; i++) {
        link = &model->blocks[*link - 1].next;
    }
    return *link != 0 ? link : NULL;
}

/* The depth of a freed block in its class; MODEL_DEPTH if it is further down. */
static inline unsigned model_depth(const trace_model *model, uint32_t serial)
{
    uint32_t at = model->freed[model->blocks[serial].class];
    for (unsigned depth = 0; depth < MODEL_DEPTH && at != 0; depth++) {
        if (at - 1 == serial) {
            return depth;
        }
        at = model->blocks[at - 1].next;
    }
    return MODEL_DEPTH;
}

/* The freed block that the link leads to is given again. Returns its address. */
static inline uint64_t model_take_freed(trace_model *model, uint32_t *link)
{
    model_block *block = &model->blocks[*link - 1];
    *link = block->next;
    block->state = MODEL_GIVEN_AGAIN;
    return block->address;
}

/* A block was given; returns which allocation of the part it is. */
static inline uint32_t model_add(trace_model *model, uint64_t address, uint64_t size)
{
    const uint32_t serial = model->allocs++;
    model->blocks[serial] = (model_block){
        .address = address, .class = (uint16_t)model_class(size), .state = MODEL_LIVE};
    return serial;
}

/* The block was none that had been freed: an allocator that bumps a pointer goes on behind it. A failed guess
 * costs nothing, an address beyond the end would. */
static inline void model_bump(trace_model *model, uint64_t address, uint64_t size)
{
    model->expected = size < MODEL_NEAR ? address + model_room(size) : address;
}

/* A block of this part was taken back. */
static inline void model_remove(trace_model *model, uint32_t serial)
{
    model_block *block = &model->blocks[serial];
    block->state = MODEL_FREED;
    block->next = model->freed[block->class];
    model->freed[block->class] = serial + 1;
    model->last_freed = serial;
}

static inline uint32_t *model_next_stack(trace_model *model)
{
    const uint32_t mixed = model->last_stack * UINT32_C(0x9E3779B1);
    return &model->next_stack[(mixed ^ mixed >> 15) % MODEL_STACKS];
}

static inline void model_saw_stack(trace_model *model, uint32_t stack)
{
    *model_next_stack(model) = stack;
    model->last_stack = stack;
}

/* Where the size is kept that is expected from the stack; where there are none, after the last size. */
static inline uint64_t *model_size(trace_model *model, uint32_t stack)
{
    const uint32_t key = stack != 0 ? stack : model->last_size_key;
    const uint32_t mixed = key * UINT32_C(0x9E3779B1);
    return &model->size_of[(mixed ^ mixed >> 16) % MODEL_SIZES];
}

static inline void model_saw_size(trace_model *model, uint64_t *expected, uint64_t size)
{
    *expected = size;
    model->last_size_key = (model->last_size_key << 16 ^ (uint32_t)size * UINT32_C(0x85EBCA77)) | 1;
}

/* Addresses by how far they are from one that was expected: mostly a multiple of 16. */
static inline uint64_t model_pack(uint64_t address, uint64_t expected)
{
    const int64_t distance = (int64_t)(address - expected);
    return distance % 16 == 0 ? trace_zigzag(distance / 16) << 1 : trace_zigzag(distance) << 1 | 1;
}

static inline uint64_t model_unpack(uint64_t packed, uint64_t expected)
{
    const uint64_t distance = (uint64_t)trace_unzigzag(packed >> 1);
    return expected + ((packed & 1) != 0 ? distance : distance * 16);
}

#endif
