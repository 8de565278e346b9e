/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a segment of this tree \(overlay, block 0x[0-9a-f]+\) */
#include "tarn/overlay_tree.h"

int main(void)
{
    tarn_overlay_tree tree;
    tarn_overlay_segment left;
    tarn_overlay_segment right;
    tarn_overlay_tree_init(&tree, &(tarn_overlay_tree_options){.name = "levels"});
    tarn_overlay_tree_add(&tree, &(tarn_overlay_segment_options){.size = 100}, &left);
    tarn_overlay_tree_add(&tree, &(tarn_overlay_segment_options){.size = 200}, &right);
    tarn_overlay_tree_seal(&tree);
    tarn_overlay_tree other;
    tarn_overlay_tree_init(&other, NULL);
    tarn_overlay_tree_add(&other, &(tarn_overlay_segment_options){.parent = left, .size = 1}, NULL);
    return 0;
}
