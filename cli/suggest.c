/* SPDX-License-Identifier: MIT */
#include "suggest.h"

#include <stddef.h>
#include <string.h>

enum { WORD_MAX = 32 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours from a to b: the optimal string
 * alignment distance. Both are shorter than WORD_MAX. */
static size_t distance(const char *a, const char *b)
{
    const size_t a_size = strlen(a);
    const size_t b_size = strlen(b);
    size_t cost[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_size; i++) {
        cost[i][0] = i;
    }
    for (size_t j = 0; j <= b_size; j++) {
        cost[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        for (size_t j = 1; j <= b_size; j++) {
            const size_t replaced = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            cost[i][j] = smaller(replaced, smaller(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                cost[i][j] = smaller(cost[i][j], cost[i - 2][j - 2] + 1);
            }
        }
    }
    return cost[a_size][b_size];
}

const char *cli_suggest(const char *word, const char *const *known)
{
    const char *nearest = NULL;
    size_t nearest_distance = 0;
    if (strlen(word) >= WORD_MAX) {
        return NULL;
    }
    for (; *known != NULL; known++) {
        if (strlen(*known) >= WORD_MAX) {
            continue;
        }
        const size_t away = distance(word, *known);
        if (away * 3 <= strlen(*known) && (nearest == NULL || away < nearest_distance)) {
            nearest = *known;
            nearest_distance = away;
        }
    }
    return nearest;
}
