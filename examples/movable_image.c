/* SPDX-License-Identifier: MIT */
#include <tarn/movable.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * A list that outlives its process: blocks name each other by handles, so the heap can be compacted, saved to a file and
 * loaded elsewhere, and the list is still a list.
 */

typedef struct line {
    tarn_handle next;
    char text[];
} line;

static bool add_line(tarn_movable *heap, const char *text)
{
    const tarn_handle handle = tarn_movable_alloc(heap, sizeof(line) + strlen(text) + 1, 0);
    if (handle == 0) {
        return false;
    }
    line *new_line = tarn_deref(heap, handle);
    new_line->next = tarn_movable_root(heap);
    strcpy(new_line->text, text);
    tarn_movable_set_root(heap, handle);
    return true;
}

static unsigned print_lines(const tarn_movable *heap)
{
    unsigned count = 0;
    for (tarn_handle handle = tarn_movable_root(heap); handle != 0; count++) {
        const line *this_line = tarn_deref(heap, handle);
        puts(this_line->text);
        handle = this_line->next;
    }
    return count;
}

int main(void)
{
    char path[64];
    char fault[200] = "there is no memory";
    tarn_movable heap;
    tarn_movable loaded;
    snprintf(path, sizeof path, "/tmp/tarn-lines-%ld", (long)getpid());
    if (tarn_movable_init(&heap, NULL)) {
        return 1;
    }
    const bool added = add_line(&heap, "is still here, wherever it is.") &&
                       add_line(&heap, "a list of lines") && add_line(&heap, "Saved and loaded,");
    if (!added || tarn_movable_compact(&heap, NULL, NULL) ||
        tarn_movable_save(&heap, path, fault, sizeof fault)) {
        fprintf(stderr, "%s\n", fault);
        return 1;
    }
    tarn_movable_deinit(&heap);
    if (tarn_movable_load(&loaded, NULL, path, fault, sizeof fault)) {
        fprintf(stderr, "%s\n", fault);
        return 1;
    }
    const unsigned count = print_lines(&loaded);
    tarn_movable_deinit(&loaded);
    unlink(path);
    return count == 3 ? 0 : 1;
}
