/* SPDX-License-Identifier: MIT */
#include "life.h"

#include <math.h>

void life_draw_init(life_draw *draw, life_sizes sizes, uint32_t low, uint32_t high, double exponent)
{
    const double least = low;
    const double most = (double)high + 1;
    for (uint32_t i = 0; i < LIFE_QUANTILES; i++) {
        const double part = ((double)i + 0.5) / LIFE_QUANTILES;
        double size;
        if (sizes == LIFE_UNIFORM) {
            size = least + part * (most - least);
        } else if (fabs(exponent - 1) < 1e-9) {
            size = least * pow(most / least, part);
        } else {
            const double power = 1 - exponent;
            size =
                pow(pow(least, power) + part * (pow(most, power) - pow(least, power)), 1 / power);
        }
        draw->sizes[i] = (uint32_t)size < high ? (uint32_t)size : high;
    }
}

void life_init(bench_life *life, const bench_subject *subject, const life_draw *draw, void *memory,
               size_t size, size_t alignment, uint64_t seed)
{
    *life = (struct bench_life){.subject = subject,
                                .draw = draw,
                                .heap = subject->init(memory, size),
                                .random = {seed},
                                .target = SIZE_MAX,
                                .start = (uintptr_t)memory,
                                .end = (uintptr_t)memory + size,
                                .alignment = alignment};
    if (life->heap == NULL) {
        work_fail("the allocator refuses the range");
    }
}

void life_deinit(bench_life *life)
{
    free(life->blocks);
    free(life->vacant);
}

static void *enlarge(void *old, size_t count, size_t size)
{
    void *const array = reallocarray(old, count, size);
    if (array == NULL) {
        work_fail("no memory for the driver's own books");
    }
    return array;
}

/* An adapter that calls the wrong function shows here and not as a fine result. */
static void examine(const bench_life *life, const void *block, uint32_t size)
{
    const uintptr_t address = (uintptr_t)block;
    if (life->subject->is_offsets) {
        return;
    }
    if (address < life->start || address + size > life->end) {
        work_fail("a block lies outside the range");
    }
    if (address % life->alignment != 0) {
        work_fail("a block is not aligned");
    }
}

bool life_alloc(bench_life *life, life_step *step)
{
    const uint32_t size = life->draw->sizes[work_next(&life->random) % LIFE_QUANTILES];
    const uint32_t slot =
        life->vacant_count > 0 ? life->vacant[life->vacant_count - 1] : life->slot_count;
    void *const block = life->subject->alloc(life->heap, size);
    *step = (life_step){slot, size};
    life->has_failed = block == NULL;
    if (block == NULL) {
        life->failures++;
        return false;
    }
    examine(life, block, size);
    if (life->vacant_count > 0) {
        life->vacant_count--;
    } else {
        life->slot_count++;
    }
    if (life->count == life->room) {
        life->room = life->room * 2 + 1024;
        life->blocks = enlarge(life->blocks, life->room, sizeof *life->blocks);
        life->vacant = enlarge(life->vacant, life->room, sizeof *life->vacant);
    }
    life->blocks[life->count++] = (life_block){block, size, slot};
    life->live += size;
    return true;
}

void life_free(bench_life *life, life_step *step)
{
    const uint32_t at = work_below(&life->random, (uint32_t)life->count);
    const life_block gone = life->blocks[at];
    life->blocks[at] = life->blocks[--life->count];
    life->vacant[life->vacant_count++] = gone.slot;
    life->live -= gone.size;
    life->has_failed = false;
    life->subject->free(life->heap, gone.block);
    *step = (life_step){gone.slot, 0};
}

void life_go(bench_life *life, life_step *step)
{
    if (life->count > 0 && (life->has_failed || life->live >= life->target)) {
        life_free(life, step);
    } else if (!life_alloc(life, step) && life->count == 0) {
        work_fail("an empty range cannot serve a request");
    }
}

void life_fill(bench_life *life)
{
    life_step step;
    while (life->live < life->target && life_alloc(life, &step)) {
    }
}
