/* SPDX-License-Identifier: MIT */
#include "trace/event.h"

const char *trace_op_name(unsigned op)
{
    static const char *const names[TRACE_OP_COUNT] = {
        [TRACE_MALLOC] = "malloc",
        [TRACE_CALLOC] = "calloc",
        [TRACE_REALLOC] = "realloc",
        [TRACE_ALIGNED] = "aligned",
        [TRACE_NEW] = "new",
        [TRACE_NEW_ARRAY] = "new[]",
        [TRACE_FREE] = "free",
        [TRACE_FREE_SIZED] = "free_sized",
        [TRACE_DELETE] = "delete",
        [TRACE_DELETE_ARRAY] = "delete[]",
        [TRACE_MOVE] = "move",
        [TRACE_POOL_ALLOC] = "pool_alloc",
        [TRACE_POOL_FREE] = "pool_free",
        [TRACE_POOL_RESET] = "pool_reset",
        [TRACE_POOL_CLOSE] = "pool_close",
    };
    return op < TRACE_OP_COUNT ? names[op] : "?";
}
