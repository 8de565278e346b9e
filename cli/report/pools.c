/* SPDX-License-Identifier: MIT */
#include "pools.h"

#include "memory.h"

#include <stdlib.h>

void report_pools_init(report_pools *pools)
{
    *pools = (report_pools){.slots = cli_slots_create()};
}

void report_pools_free(report_pools *pools)
{
    free(pools->all);
    report_numbers_free(&pools->by_number);
    cli_slots_free(pools->slots);
    free(pools->sizes);
    *pools = (report_pools){0};
}

static uint32_t add(report_pools *pools, report_pool pool)
{
    pools->all = report_grown(pools->all, pools->count, &pools->room, sizeof *pools->all);
    pools->all[pools->count] = pool;
    return (uint32_t)pools->count++;
}

void report_pools_define(report_pools *pools, report_texts *texts, const trace_pool *defined)
{
    const report_pool pool = {
        .name = report_texts_add(texts, defined->name.start, defined->name.size),
        .kind = report_texts_add(texts, defined->kind.start, defined->kind.size),
        .parent = report_numbers_find(&pools->by_number, defined->parent),
    };
    const uint32_t index = add(pools, pool);
    *report_numbers_at(&pools->by_number, defined->pool) = index;
}

static uint32_t index_of(report_pools *pools, uint32_t number)
{
    const uint32_t index = report_numbers_find(&pools->by_number, number);
    if (index != REPORT_NONE) {
        return index;
    }
    const uint32_t added = add(pools, (report_pool){.parent = REPORT_NONE});
    *report_numbers_at(&pools->by_number, number) = added;
    return added;
}

static void take(report_pools *pools, uint32_t index, uint64_t block)
{
    const uint32_t slot = cli_slots_remove(pools->slots, index + 1, block);
    if (slot != CLI_SLOT_NONE) {
        pools->all[index].live -= pools->sizes[slot];
    }
}

static void give(report_pools *pools, uint32_t index, const trace_event *event)
{
    report_pool *pool = &pools->all[index];
    take(pools, index, event->block);
    const uint32_t slot = cli_slots_add(pools->slots, index + 1, event->block);
    if (slot >= pools->size_room) {
        pools->sizes = report_grown(pools->sizes, slot, &pools->size_room, sizeof *pools->sizes);
    }
    pools->sizes[slot] = event->size;
    pool->allocations++;
    pool->live += event->size;
    pool->peak_live = pool->live > pool->peak_live ? pool->live : pool->peak_live;
}

static void ignore(void *context, uint32_t slot)
{
    (void)context;
    (void)slot;
}

void report_pools_event(report_pools *pools, const trace_event *event)
{
    const uint32_t index = index_of(pools, event->pool);
    report_pool *pool = &pools->all[index];
    if (event->op == TRACE_POOL_ALLOC) {
        if (event->block != 0) {
            give(pools, index, event);
        }
    } else if (event->op == TRACE_POOL_FREE) {
        pool->frees++;
        take(pools, index, event->block);
    } else {
        cli_slots_remove_pool(pools->slots, index + 1, ignore, NULL);
        pool->live = 0;
        pool->resets += event->op == TRACE_POOL_RESET;
        pool->is_closed |= event->op == TRACE_POOL_CLOSE;
    }
}
