/* SPDX-License-Identifier: MIT */

/*
 * Random sizes freed in a given order: `order lifo|fifo|random`.
 *
 * lifo    a stack that grows and shrinks by runs of random length
 * fifo    a queue: the oldest block goes first
 * random  a table whose slots are replaced at random
 */

#include "work.h"

enum { SLOTS = 20000, OPS = 12000000, RUN = 512, SIZE_LOW = 8, SIZE_HIGH = 2048 };

struct table {
    work_random random;
    uint64_t checksum;
    void *blocks[SLOTS];
    uint32_t sizes[SLOTS];
};

static void put(struct table *table, size_t slot)
{
    table->sizes[slot] = work_size(&table->random, SIZE_LOW, SIZE_HIGH);
    table->blocks[slot] = work_got(malloc(table->sizes[slot]));
    work_write(table->blocks[slot], table->sizes[slot], work_next(&table->random));
}

static void drop(struct table *table, size_t slot)
{
    if (table->blocks[slot] != NULL) {
        table->checksum += work_read(table->blocks[slot], table->sizes[slot]);
        free(table->blocks[slot]);
        table->blocks[slot] = NULL;
    }
}

static void run_lifo(struct table *table)
{
    size_t height = 0;
    for (size_t ops = 0; ops < OPS;) {
        size_t run = work_below(&table->random, RUN);
        const int grows = (work_next(&table->random) & 1) != 0;
        ops += run + 1;
        for (; run > 0 && grows && height < SLOTS; run--) {
            put(table, height++);
        }
        for (; run > 0 && !grows && height > 0; run--) {
            drop(table, --height);
        }
    }
}

static void run_fifo(struct table *table)
{
    for (size_t ops = 0, slot = 0; ops < OPS; ops += 2, slot = (slot + 1) % SLOTS) {
        drop(table, slot);
        put(table, slot);
    }
}

static void run_random(struct table *table)
{
    for (size_t ops = 0; ops < OPS; ops += 2) {
        const size_t slot = work_below(&table->random, SLOTS);
        drop(table, slot);
        put(table, slot);
    }
}

int main(int argc, char **argv)
{
    static struct table table;
    const char *order = argc > 1 ? argv[1] : "";
    table.random.state = work_mix(work_seed(argc, argv, 2));
    if (strcmp(order, "lifo") == 0) {
        run_lifo(&table);
    } else if (strcmp(order, "fifo") == 0) {
        run_fifo(&table);
    } else if (strcmp(order, "random") == 0) {
        run_random(&table);
    } else {
        work_fail("usage: order lifo|fifo|random [SEED]");
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        drop(&table, slot);
    }
    work_report(OPS, table.checksum);
    return 0;
}
