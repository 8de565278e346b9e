/* SPDX-License-Identifier: MIT */
#ifndef TARN_POOL_UNPOOLED_H
#define TARN_POOL_UNPOOLED_H

/*
 * What a pool keeps instead of chunks when pooling is off (tarn_set_pooling): a list of blocks,
 * each from the system heap. It knows them by address, so a pool can still free all of them at
 * once, visit them and tell what is no block of its own.
 *
 * Everything takes constant time on average, but for what says it looks at every block. Threads:
 * any; a lock of its own is held meanwhile.
 */

#include "tarn/heap.h"

typedef struct pool_unpooled pool_unpooled;

/* Made with the system heap. NULL: no memory. */
pool_unpooled *pool_unpooled_create(void);

/* Frees every block, and itself. Ignores NULL. */
void pool_unpooled_destroy(pool_unpooled *list);

/* NULL: no memory. */
void *pool_unpooled_alloc(pool_unpooled *list, size_t size, size_t alignment);

/* False: not a block of this list. */
bool pool_unpooled_free(pool_unpooled *list, void *block);

/* The block, which was the last given, was not needed: it counts neither as given nor as taken
 * back. */
void pool_unpooled_undo(pool_unpooled *list, void *block);

/* What was asked for; 0: not a block of this list. */
size_t pool_unpooled_size(pool_unpooled *list, const void *block);

void pool_unpooled_free_all(pool_unpooled *list);

/* False if the visitor ended it. */
bool pool_unpooled_visit(pool_unpooled *list, tarn_visitor *visitor, void *context);

/* The footprint is what is live. */
void pool_unpooled_stats(pool_unpooled *list, tarn_stats *stats);

#endif
