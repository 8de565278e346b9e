/* SPDX-License-Identifier: MIT */
/* Expect: tarn: called by one of its own callbacks \(levels, block 0x[0-9a-f]+\) */
#include "tarn/overlay_tree.h"

static tarn_status load(void *context, tarn_overlay_segment segment, size_t offset, void *to,
                        size_t size)
{
    return tarn_overlay_enter(context, segment);
}

int main(void)
{
    tarn_overlay_tree tree;
    tarn_overlay_segment left;
    tarn_overlay_tree_init(&tree, &(tarn_overlay_tree_options){.name = "levels"});
    tarn_overlay_tree_add(
        &tree,
        &(tarn_overlay_segment_options){
            .size = 100, .source = TARN_OVERLAY_CALLS, .load = load, .context = &tree},
        &left);
    tarn_overlay_tree_seal(&tree);
    tarn_overlay_enter(&tree, left);
    return 0;
}
