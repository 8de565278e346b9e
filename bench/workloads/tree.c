/* SPDX-License-Identifier: MIT */

/*
 * Binary trees: one that lives throughout, and many short-lived ones of every depth, built and
 * freed whole.
 */

#include "work.h"

enum { DEPTH_MIN = 4, DEPTH_MAX = 17, ROUNDS = 14 };

struct node {
    struct node *left;
    struct node *right;
    uint64_t label;
};

static struct node *grow(work_random *random, unsigned depth, uint64_t *ops)
{
    struct node *node = work_got(malloc(sizeof *node));
    (*ops)++;
    *node = (struct node){.label = work_next(random)};
    if (depth > 0) {
        node->left = grow(random, depth - 1, ops);
        node->right = grow(random, depth - 1, ops);
    }
    return node;
}

static uint64_t fell(struct node *node)
{
    if (node == NULL) {
        return 0;
    }
    const uint64_t sum = node->label + 3 * fell(node->left) + 5 * fell(node->right);
    free(node);
    return sum;
}

int main(int argc, char **argv)
{
    work_random random = {work_mix(work_seed(argc, argv, 1))};
    uint64_t ops = 0;
    uint64_t checksum = 0;
    struct node *lasting = grow(&random, DEPTH_MAX, &ops);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned depth = DEPTH_MIN; depth <= DEPTH_MAX; depth += 2) {
            for (uint32_t i = 0; i < 1u << (DEPTH_MAX - depth); i++) {
                checksum = work_mix(checksum + fell(grow(&random, depth, &ops)));
            }
        }
    }
    work_report(ops, checksum + fell(lasting));
    return 0;
}
