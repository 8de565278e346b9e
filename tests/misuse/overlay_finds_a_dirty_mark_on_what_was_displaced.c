/* SPDX-License-Identifier: MIT */
/* Expect: tarn: marked as dirty while it is not resident \(levels, block 0x[0-9a-f]+\) */
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
    tarn_overlay_enter(&tree, left);
    tarn_overlay_enter(&tree, right);
    tarn_overlay_set_dirty(&tree, left);
    return 0;
}
