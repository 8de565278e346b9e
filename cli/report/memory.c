/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "cli.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

enum { ROOM_AT_FIRST = 64 };

static void *or_fail(void *array)
{
    if (array == NULL) {
        errno = ENOMEM;
        cli_fail_errno("no memory for the report");
    }
    return array;
}

void *report_zeroed(size_t count, size_t size)
{
    return or_fail(calloc(count != 0 ? count : 1, size));
}

void *report_resized(void *array, size_t count, size_t size)
{
    count = count != 0 ? count : 1;
    return or_fail(count <= SIZE_MAX / size ? realloc(array, count * size) : NULL);
}

void *report_grown(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return array;
    }
    *room = *room != 0 ? *room + *room / 2 : ROOM_AT_FIRST;
    return report_resized(array, *room, size);
}
