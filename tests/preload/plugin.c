/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

/* A plugin for plugins_may_allocate_in_constructors_and_free_in_destructors: allocates when it is loaded, frees
 * when it goes, and has thread-local storage of its own. */

char *plugin_make(size_t size);
int plugin_is_sound(void);

static char *kept[64];
static __thread char *of_thread;

__attribute__((constructor)) static void load(void)
{
    for (size_t i = 0; i < 64; i++) {
        kept[i] = malloc(i * 500 + 1);
        if (kept[i] != NULL) {
            memset(kept[i], (int)i, i * 500 + 1);
        }
    }
}

__attribute__((destructor)) static void unload(void)
{
    for (size_t i = 0; i < 64; i++) {
        free(kept[i]);
    }
    free(of_thread);
}

int plugin_is_sound(void)
{
    for (size_t i = 0; i < 64; i++) {
        if (kept[i] == NULL || kept[i][0] != (char)i || kept[i][i * 500] != (char)i) {
            return 0;
        }
    }
    return 1;
}

char *plugin_make(size_t size)
{
    free(of_thread);
    of_thread = malloc(10);
    char *made = malloc(size);
    if (made != NULL) {
        memset(made, 'p', size);
    }
    return made;
}
