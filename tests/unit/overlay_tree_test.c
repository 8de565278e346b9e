/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"
#include "tarn/overlay_tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "heap/watch.h"
#include "unit/fatal.h"
#include "unit/tools.h"

/*
 *     root 100 bytes
 *     |-- left 1000
 *     |   |-- leaf 300
 *     |   `-- twig 200
 *     `-- right 600
 *         `-- tail 500
 */

enum { ROOT, LEFT, LEAF, TWIG, RIGHT, TAIL, COUNT };

static const struct {
    const char *name;
    int parent;
    size_t size;
} kinds[COUNT] = {{"root", 0, 100},    {"left", ROOT, 1000}, {"leaf", LEFT, 300},
                  {"twig", LEFT, 200}, {"right", ROOT, 600}, {"tail", RIGHT, 500}};

/* What the segments are read from and written to. */
static unsigned char stored[COUNT][1000];
static tarn_status load_fails[COUNT];
static tarn_status store_fails[COUNT];
static bool rest_fails;  /* load_fails is of the second part of a load */
static char called[400]; /* what was called, in order */
static tarn_overlay_segment names[COUNT];
static tarn_overlay_tree tree;

static void note(const char *what, int which)
{
    const size_t length = strlen(called);
    snprintf(called + length, sizeof called - length, "%s %s;", what, kinds[which].name);
}

static tarn_status load(void *context, tarn_overlay_segment segment, size_t offset, void *to,
                        size_t size)
{
    const int which = *(const int *)context;
    assert_true(names[which] == 0 || names[which] == segment);
    assert_true(size > 0 && offset <= kinds[which].size && size <= kinds[which].size - offset);
    assert_int_equal(((uintptr_t)to - offset) % 8, 0);
    note(offset == 0 ? "load" : "rest of", which);
    /* What fails has ruined its place. */
    memset(to, 0xEE, size);
    const tarn_status status = offset == 0 && rest_fails ? TARN_OK : load_fails[which];
    if (status == TARN_OK) {
        memcpy(to, stored[which] + offset, size);
    }
    return status;
}

static tarn_status store(void *context, tarn_overlay_segment segment, const void *from, size_t size)
{
    const int which = *(const int *)context;
    assert_true(names[which] == segment);
    note("store", which);
    if (store_fails[which] == TARN_OK) {
        memcpy(stored[which], from, size);
    }
    return store_fails[which];
}

static int which_of(tarn_overlay_segment segment)
{
    int which = 0;
    while (which < COUNT && names[which] != segment) {
        which++;
    }
    return which % COUNT;
}

static void came(void *context, tarn_overlay_segment segment, void *address, size_t size)
{
    const int which = which_of(segment);
    assert_ptr_equal(context, called);
    assert_ptr_equal(address, tarn_overlay_address(&tree, segment));
    assert_memory_equal(address, stored[which], size);
    note("came", which);
}

static void goes(void *context, tarn_overlay_segment segment, void *address, size_t size)
{
    assert_ptr_equal(context, called);
    assert_ptr_equal(address, tarn_overlay_address(&tree, segment));
    assert_int_equal(size, kinds[which_of(segment)].size);
    note("goes", which_of(segment));
}

static const int numbers[COUNT] = {ROOT, LEFT, LEAF, TWIG, RIGHT, TAIL};

static tarn_overlay_segment_options part(int which)
{
    return (tarn_overlay_segment_options){.name = kinds[which].name,
                                          .parent = names[kinds[which].parent],
                                          .size = kinds[which].size,
                                          .alignment = 8,
                                          .source = TARN_OVERLAY_CALLS,
                                          .load = load,
                                          .store = which != TAIL ? store : NULL,
                                          .context = (void *)&numbers[which]};
}

/* The segments' contents are as at first. */
static void fill_store(void)
{
    for (int which = 0; which < COUNT; which++) {
        load_fails[which] = TARN_OK;
        store_fails[which] = TARN_OK;
        for (size_t at = 0; at < sizeof stored[which]; at++) {
            stored[which][at] = (unsigned char)(at * 7 + (size_t)which * 50 + 1);
        }
    }
    rest_fails = false;
    called[0] = '\0';
}

static tarn_status add_all(void)
{
    tarn_status status = TARN_OK;
    names[ROOT] = tarn_overlay_tree_root(&tree);
    for (int which = LEFT; which < COUNT && status == TARN_OK; which++) {
        const tarn_overlay_segment_options options = part(which);
        status = tarn_overlay_tree_add(&tree, &options, &names[which]);
    }
    return status;
}

static tarn_status make(tarn_overlay_tree_options options)
{
    memset(names, 0, sizeof names);
    fill_store();
    options.root = part(ROOT);
    tarn_status status = tarn_overlay_tree_init(&tree, &options);
    if (status != TARN_OK) {
        return status;
    }
    status = add_all();
    if (status == TARN_OK) {
        status = tarn_overlay_tree_seal(&tree);
    }
    if (status != TARN_OK) {
        tarn_overlay_tree_deinit(&tree);
    }
    called[0] = '\0';
    return status;
}

static int make_plain(void **state)
{
    (void)state;
    return make((tarn_overlay_tree_options){.name = "plain"}) == TARN_OK ? 0 : -1;
}

static int make_in_place(void **state)
{
    (void)state;
    return make((tarn_overlay_tree_options){.name = "plain", .in_place = true}) == TARN_OK ? 0 : -1;
}

static int make_with_hooks(void **state)
{
    (void)state;
    return make((tarn_overlay_tree_options){
               .on_load = came, .on_evict = goes, .context = called}) == TARN_OK
               ? 0
               : -1;
}

static int end(void **state)
{
    (void)state;
    tarn_overlay_tree_deinit(&tree);
    return 0;
}

static void assert_calls(const char *wanted)
{
    assert_string_equal(called, wanted);
    called[0] = '\0';
}

static void assert_balanced(void)
{
    char fault[200] = "";
    if (!tarn_overlay_tree_check(&tree, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

static const unsigned char *bytes_of(int which)
{
    return tarn_overlay_address(&tree, names[which]);
}

/* Exactly these are resident, a bit for each, with the contents of their store. */
static void assert_resident(unsigned which_ones)
{
    assert_balanced();
    for (int which = 0; which < COUNT; which++) {
        const unsigned char *bytes = bytes_of(which);
        assert_int_equal(bytes != NULL, which_ones >> which & 1U);
        if (bytes != NULL) {
            assert_memory_equal(bytes, stored[which], kinds[which].size);
        }
    }
}

#define ONLY(which) (1U << (which))

static const unsigned at_leaf = ONLY(ROOT) | ONLY(LEFT) | ONLY(LEAF);
static const unsigned at_twig = ONLY(ROOT) | ONLY(LEFT) | ONLY(TWIG);
static const unsigned at_right = ONLY(ROOT) | ONLY(RIGHT);
static const unsigned at_tail = ONLY(ROOT) | ONLY(RIGHT) | ONLY(TAIL);

static tarn_status enter(int which)
{
    return tarn_overlay_enter(&tree, names[which]);
}

static tarn_status leave(int which)
{
    return tarn_overlay_leave(&tree, names[which]);
}

static void change(int which, unsigned char byte)
{
    memset(tarn_overlay_address(&tree, names[which]), byte, kinds[which].size);
}

/* Changes it and says so. */
static void soil(int which, unsigned char byte)
{
    change(which, byte);
    assert_int_equal(tarn_overlay_set_dirty(&tree, names[which]), TARN_OK);
}

static void assert_failure(tarn_status status, int which, bool is_write, const char *text)
{
    char line[200];
    const tarn_overlay_failure failure = tarn_overlay_tree_failure(&tree);
    assert_int_equal(failure.status, status);
    assert_true(failure.segment == names[which]);
    assert_int_equal(failure.is_write, is_write);
    tarn_overlay_tree_failure_text(&tree, line, sizeof line);
    assert_string_equal(line, text);
    char cut[8];
    tarn_overlay_tree_failure_text(&tree, cut, sizeof cut);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    assert_memory_equal(cut, line, sizeof cut - 1);
}

/* ---- layout ---- */

static void the_area_is_as_large_as_the_longest_path(void **state)
{
    (void)state;
    const tarn_overlay_needs needs = tarn_overlay_tree_needs(&tree);
    assert_int_equal(needs.size, 104 + 1000 + 300);
    assert_int_equal(needs.sum, 100 + 1000 + 300 + 200 + 600 + 500);
    assert_int_equal(needs.alignment, 8);
    assert_int_equal(tarn_overlay_offset(&tree, names[ROOT]), 0);
    assert_int_equal(tarn_overlay_offset(&tree, names[LEFT]), 104);
    assert_int_equal(tarn_overlay_offset(&tree, names[LEAF]), 1104);
    assert_int_equal(tarn_overlay_offset(&tree, names[TWIG]), 1104);
    assert_int_equal(tarn_overlay_offset(&tree, names[RIGHT]), 104);
    assert_int_equal(tarn_overlay_offset(&tree, names[TAIL]), 704);
}

/* Of the spare area when the branches below a root have these sizes, and the second is two segments. */
static size_t spare_of(size_t one, size_t upper, size_t lower, bool in_place)
{
    tarn_overlay_tree made;
    tarn_overlay_segment segment;
    assert_int_equal(
        tarn_overlay_tree_init(&made, &(tarn_overlay_tree_options){.in_place = in_place}), TARN_OK);
    assert_int_equal(
        tarn_overlay_tree_add(&made, &(tarn_overlay_segment_options){.size = upper, .alignment = 1},
                              &segment),
        TARN_OK);
    assert_int_equal(tarn_overlay_tree_add(&made,
                                           &(tarn_overlay_segment_options){
                                               .parent = segment, .size = lower, .alignment = 1},
                                           NULL),
                     TARN_OK);
    if (one > 0) {
        assert_int_equal(
            tarn_overlay_tree_add(
                &made, &(tarn_overlay_segment_options){.size = one, .alignment = 1}, NULL),
            TARN_OK);
    }
    const size_t spare = tarn_overlay_tree_needs(&made).spare_size;
    tarn_overlay_tree_deinit(&made);
    return spare;
}

static void the_spare_area_is_as_large_as_the_smaller_branch(void **state)
{
    (void)state;
    assert_int_equal(spare_of(0, 1000, 500, false), 0);
    assert_int_equal(spare_of(10, 1000, 500, false), 10);
    assert_int_equal(spare_of(1200, 1000, 500, false), 1200);
    assert_int_equal(spare_of(1500, 1000, 500, false), 1500);
    assert_int_equal(spare_of(9000, 1000, 500, false), 1500);
    assert_int_equal(spare_of(9000, 1000, 500, true), 0);
}

static void deep_trees_are_no_matter(void **state)
{
    (void)state;
    /* A chain with a twig at each of its links. */
    enum { DEEP = 30000 };
    tarn_overlay_tree made;
    tarn_overlay_segment parent = 0;
    const tarn_overlay_tree_options options = {.root = {.alignment = 1}};
    assert_int_equal(tarn_overlay_tree_init(&made, &options), TARN_OK);
    for (int i = 0; i < DEEP; i++) {
        const tarn_overlay_segment_options twig = {.parent = parent, .size = 3, .alignment = 1};
        const tarn_overlay_segment_options link = {.parent = parent, .size = 2, .alignment = 1};
        assert_int_equal(tarn_overlay_tree_add(&made, &twig, NULL), TARN_OK);
        assert_int_equal(tarn_overlay_tree_add(&made, &link, &parent), TARN_OK);
    }
    const tarn_overlay_needs needs = tarn_overlay_tree_needs(&made);
    assert_int_equal(needs.size, 2 * DEEP + 1);
    assert_int_equal(needs.spare_size, 3);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, parent), TARN_OK);
    assert_int_equal(tarn_overlay_tree_stats(&made).resident, 2 * DEEP);
    assert_true(tarn_overlay_tree_check(&made, NULL, 0));
    tarn_overlay_tree_deinit(&made);
}

static void segments_are_aligned_as_they_ask(void **state)
{
    (void)state;
    tarn_overlay_tree made;
    tarn_overlay_segment one;
    tarn_overlay_segment two;
    const tarn_overlay_tree_options options = {.root = {.size = 3, .alignment = 1}};
    assert_int_equal(tarn_overlay_tree_init(&made, &options), TARN_OK);
    const tarn_overlay_segment_options first = {.size = 5, .alignment = 256};
    assert_int_equal(tarn_overlay_tree_add(&made, &first, &one), TARN_OK);
    const tarn_overlay_segment_options second = {.parent = one, .size = 1};
    assert_int_equal(tarn_overlay_tree_add(&made, &second, &two), TARN_OK);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    assert_int_equal(tarn_overlay_pin(&made, two), TARN_OK);
    assert_int_equal(tarn_overlay_offset(&made, one), 256);
    assert_int_equal((uintptr_t)tarn_overlay_address(&made, one) % 256, 0);
    assert_int_equal((uintptr_t)tarn_overlay_address(&made, two) % _Alignof(max_align_t), 0);
    tarn_overlay_unpin(&made, two);
    tarn_overlay_tree_deinit(&made);
}

static void bad_segments_are_refused(void **state)
{
    (void)state;
    tarn_overlay_tree made;
    tarn_overlay_segment segment = 7;
    const tarn_overlay_tree_options bad_root = {.root = {.size = 1, .alignment = 3}};
    assert_int_equal(tarn_overlay_tree_init(&made, &bad_root), TARN_BAD_LAYOUT);
    const tarn_overlay_tree_options options = {.root = {.size = 100, .alignment = 1}};
    assert_int_equal(tarn_overlay_tree_init(&made, &options), TARN_OK);
    static const struct {
        tarn_overlay_segment_options options;
        tarn_status status;
    } bad[] = {
        {{.size = 1, .alignment = 24}, TARN_BAD_LAYOUT},
        {{.size = PTRDIFF_MAX - 99, .alignment = 1}, TARN_TOO_LARGE},
        {{.size = SIZE_MAX, .alignment = 1}, TARN_TOO_LARGE},
        {{.size = 1, .alignment = (size_t)1 << 63}, TARN_TOO_LARGE},
        {{.size = 1, .stored_size = 2}, TARN_BAD_ARGUMENT},
        {{.size = 1, .source = TARN_OVERLAY_CALLS}, TARN_BAD_ARGUMENT},
        {{.size = 1, .source = (tarn_overlay_source)9}, TARN_BAD_ARGUMENT},
        {{.size = 2, .source = TARN_OVERLAY_FILE, .offset = INT64_MAX - 1}, TARN_TOO_LARGE},
        {{.size = 2, .source = TARN_OVERLAY_FILE, .offset = UINT64_MAX}, TARN_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tarn_overlay_tree_add(&made, &bad[i].options, &segment), bad[i].status);
        assert_int_equal(segment, 7);
        assert_int_equal(tarn_overlay_tree_stats(&made).segments, 1);
    }
    const tarn_overlay_segment_options large = {.size = PTRDIFF_MAX - 100, .alignment = 1};
    assert_int_equal(tarn_overlay_tree_add(&made, &large, &segment), TARN_OK);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_NO_MEMORY);
    assert_int_equal(tarn_overlay_tree_needs(&made).size, PTRDIFF_MAX);
    tarn_overlay_tree_deinit(&made);
}

static void a_sealed_tree_stays_as_it_is(void **state)
{
    (void)state;
    const tarn_overlay_segment_options options = part(LEAF);
    assert_int_equal(tarn_overlay_tree_add(&tree, &options, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_overlay_tree_seal(&tree), TARN_BAD_ARGUMENT);
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_resident(at_leaf);
}

static void nothing_is_entered_before_the_seal(void **state)
{
    (void)state;
    tarn_overlay_tree made;
    assert_int_equal(tarn_overlay_tree_init(&made, NULL), TARN_OK);
    const tarn_overlay_segment root = tarn_overlay_tree_root(&made);
    assert_int_equal(tarn_overlay_enter(&made, root), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_overlay_pin(&made, root), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_overlay_evict(&made, root), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_overlay_flush(&made), TARN_BAD_ARGUMENT);
    assert_null(tarn_overlay_address(&made, root));
    assert_true(tarn_overlay_tree_check(&made, NULL, 0));
    tarn_overlay_tree_deinit(&made);
}

/* ---- entering and leaving ---- */

static void the_root_is_resident_from_the_seal_on(void **state)
{
    (void)state;
    assert_resident(ONLY(ROOT));
    assert_int_equal(tarn_overlay_tree_stats(&tree).loads, 1);
    assert_int_equal(tarn_overlay_evict(&tree, names[ROOT]), TARN_BUSY);
    assert_failure(TARN_BUSY, ROOT, false, "plain: root: what would have to go is in use");
}

static void entering_makes_a_segment_and_its_ancestors_resident(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_calls("load left;load leaf;");
    assert_resident(at_leaf);
    assert_true(tarn_overlay_current(&tree) == names[LEAF]);
    const tarn_overlay_stats stats = tarn_overlay_tree_stats(&tree);
    assert_int_equal(stats.enters, 1);
    assert_int_equal(stats.hits, 0);
    assert_int_equal(stats.loads, 3);
    assert_int_equal(stats.bytes_read, 1400);
    assert_int_equal(stats.resident, 1400);
}

static void entering_what_is_resident_reads_nothing(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    called[0] = '\0';
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(enter(LEFT), TARN_OK);
    assert_int_equal(enter(ROOT), TARN_OK);
    assert_calls("");
    assert_resident(at_leaf);
    assert_int_equal(tarn_overlay_tree_stats(&tree).hits, 3);
}

static void a_branch_displaces_the_other_and_keeps_what_they_share(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    called[0] = '\0';
    assert_int_equal(enter(TWIG), TARN_OK);
    assert_calls("load twig;");
    assert_resident(at_twig);
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_calls("load right;load tail;");
    assert_resident(at_tail);
    assert_int_equal(tarn_overlay_tree_stats(&tree).evictions, 3);
}

static void leaving_brings_back_what_was_entered_before(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_int_equal(enter(TWIG), TARN_OK);
    assert_int_equal(enter(TWIG), TARN_OK);
    called[0] = '\0';
    assert_int_equal(leave(TWIG), TARN_OK);
    assert_resident(at_twig);
    assert_int_equal(leave(TWIG), TARN_OK);
    assert_resident(at_tail);
    assert_true(tarn_overlay_current(&tree) == names[TAIL]);
    assert_int_equal(leave(TAIL), TARN_OK);
    assert_resident(at_leaf);
    assert_calls("load right;load tail;load left;load leaf;rest of leaf;");
    assert_int_equal(leave(LEAF), TARN_OK);
    assert_resident(at_leaf);
    assert_true(tarn_overlay_current(&tree) == 0);
    assert_int_equal(tarn_overlay_tree_stats(&tree).restores, 2);
    /* Nothing asks for it any more, but it is still there. */
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_calls("");
}

static void enters_nest_as_deep_as_memory_lasts(void **state)
{
    (void)state;
    enum { DEEP = 5000 };
    for (int i = 0; i < DEEP; i++) {
        assert_int_equal(enter(i % 2 == 0 ? LEAF : TWIG), TARN_OK);
    }
    assert_balanced();
    for (int i = DEEP - 1; i >= 0; i--) {
        assert_int_equal(leave(i % 2 == 0 ? LEAF : TWIG), TARN_OK);
    }
    assert_balanced();
    assert_true(tarn_overlay_current(&tree) == 0);
}

/* ---- dirty ---- */

static void what_is_dirty_is_written_back_before_it_goes(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    soil(LEAF, 11);
    soil(LEFT, 12);
    called[0] = '\0';
    assert_int_equal(enter(RIGHT), TARN_OK);
    assert_calls("store leaf;store left;load right;");
    assert_int_equal(stored[LEAF][299], 11);
    assert_int_equal(stored[LEFT][999], 12);
    assert_int_equal(tarn_overlay_tree_stats(&tree).bytes_written, 1300);
    assert_int_equal(leave(RIGHT), TARN_OK);
    assert_resident(at_leaf);
    /* It is clean now. */
    called[0] = '\0';
    assert_int_equal(enter(RIGHT), TARN_OK);
    assert_calls("load right;");
    assert_int_equal(tarn_overlay_tree_stats(&tree).writes, 2);
}

static void what_two_branches_share_stays_dirty(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    soil(LEFT, 12);
    called[0] = '\0';
    assert_int_equal(enter(TWIG), TARN_OK);
    assert_calls("load twig;");
    assert_int_equal(bytes_of(LEFT)[999], 12);
    assert_int_not_equal(stored[LEFT][999], 12);
}

static void a_flush_writes_all_that_is_dirty_and_displaces_nothing(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    soil(ROOT, 1);
    soil(LEAF, 2);
    called[0] = '\0';
    assert_int_equal(tarn_overlay_flush(&tree), TARN_OK);
    assert_calls("store leaf;store root;");
    assert_resident(at_leaf);
    assert_int_equal(tarn_overlay_flush(&tree), TARN_OK);
    assert_calls("");
}

static void what_cannot_be_written_back_cannot_be_dirty(void **state)
{
    (void)state;
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_int_equal(tarn_overlay_set_dirty(&tree, names[TAIL]), TARN_UNSUPPORTED);
    assert_failure(TARN_UNSUPPORTED, TAIL, false,
                   "plain: tail: this heap or this machine cannot do that");
    assert_balanced();
}

static void a_failed_write_back_keeps_what_was_resident(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    soil(LEAF, 11);
    soil(LEFT, 12);
    store_fails[LEFT] = TARN_IO_FAILED;
    called[0] = '\0';
    assert_int_equal(enter(TAIL), TARN_IO_FAILED);
    assert_calls("store leaf;store left;");
    assert_failure(TARN_IO_FAILED, LEFT, true,
                   "plain: left could not be written back: the system could not read or write");
    assert_true(tarn_overlay_current(&tree) == names[LEAF]);
    assert_int_equal(bytes_of(LEFT)[0], 12);
    assert_null(bytes_of(RIGHT));
    assert_int_equal(tarn_overlay_flush(&tree), TARN_IO_FAILED);
    store_fails[LEFT] = TARN_OK;
    called[0] = '\0';
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_calls("store left;load right;load tail;");
    assert_int_equal(stored[LEFT][0], 12);
    assert_int_equal(tarn_overlay_tree_stats(&tree).failures, 2);
}

/* ---- pins ---- */

static void a_pinned_segment_is_not_displaced(void **state)
{
    (void)state;
    assert_int_equal(tarn_overlay_pin(&tree, names[LEFT]), TARN_OK);
    assert_int_equal(tarn_overlay_pin(&tree, names[LEFT]), TARN_OK);
    soil(LEFT, 4);
    called[0] = '\0';
    assert_int_equal(enter(RIGHT), TARN_BUSY);
    assert_failure(TARN_BUSY, LEFT, false, "plain: left is pinned and in the way");
    assert_calls("");
    assert_true(tarn_overlay_current(&tree) == 0);
    /* What is below it may go. */
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(enter(TWIG), TARN_OK);
    tarn_overlay_unpin(&tree, names[LEFT]);
    assert_int_equal(tarn_overlay_pin(&tree, names[TAIL]), TARN_BUSY);
    tarn_overlay_unpin(&tree, names[LEFT]);
    assert_int_equal(enter(RIGHT), TARN_OK);
    assert_resident(at_right);
    assert_int_equal(tarn_overlay_tree_stats(&tree).refusals, 2);
}

static void a_pin_keeps_the_ancestors_too(void **state)
{
    (void)state;
    assert_int_equal(tarn_overlay_pin(&tree, names[LEAF]), TARN_OK);
    assert_int_equal(enter(TWIG), TARN_BUSY);
    assert_int_equal(enter(RIGHT), TARN_BUSY);
    assert_failure(TARN_BUSY, LEAF, false, "plain: leaf is pinned and in the way");
    assert_resident(at_leaf);
}

static void a_leave_that_cannot_bring_back_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_int_equal(tarn_overlay_pin(&tree, names[TAIL]), TARN_OK);
    assert_int_equal(leave(TAIL), TARN_BUSY);
    tarn_overlay_unpin(&tree, names[TAIL]);
    load_fails[LEAF] = TARN_IO_FAILED;
    assert_int_equal(leave(TAIL), TARN_IO_FAILED);
    assert_true(tarn_overlay_current(&tree) == names[TAIL]);
    assert_resident(at_tail);
    load_fails[LEAF] = TARN_OK;
    assert_int_equal(leave(TAIL), TARN_OK);
    assert_resident(at_leaf);
}

/* ---- failing reads ---- */

static void a_failed_read_leaves_what_was_resident_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    /* Not told of, so that it would not survive being read again. */
    change(LEFT, 77);
    change(LEAF, 78);
    load_fails[TAIL] = TARN_BAD_DATA;
    called[0] = '\0';
    assert_int_equal(enter(TAIL), TARN_BAD_DATA);
    assert_calls("load right;load tail;");
    assert_failure(TARN_BAD_DATA, TAIL, false,
                   "plain: tail could not be read: the data is damaged or of another kind");
    for (size_t i = 0; i < kinds[LEFT].size; i++) {
        assert_int_equal(bytes_of(LEFT)[i], 77);
    }
    for (size_t i = 0; i < kinds[LEAF].size; i++) {
        assert_int_equal(bytes_of(LEAF)[i], 78);
    }
    assert_balanced();
    assert_int_equal(tarn_overlay_tree_stats(&tree).evictions, 0);
    load_fails[RIGHT] = TARN_IO_FAILED;
    assert_int_equal(tarn_overlay_pin(&tree, names[RIGHT]), TARN_IO_FAILED);
    assert_failure(TARN_IO_FAILED, RIGHT, false,
                   "plain: right could not be read: the system could not read or write");
    assert_int_equal(bytes_of(LEAF)[0], 78);
    assert_true(tarn_overlay_current(&tree) == names[LEAF]);
}

static void a_segment_that_lies_on_the_end_of_the_old_path_is_read_in_two_parts(void **state)
{
    (void)state;
    assert_int_equal(enter(TAIL), TARN_OK);
    change(TAIL, 79);
    rest_fails = true;
    load_fails[LEAF] = TARN_IO_FAILED;
    called[0] = '\0';
    assert_int_equal(enter(LEAF), TARN_IO_FAILED);
    assert_calls("load left;load leaf;rest of leaf;");
    for (size_t i = 0; i < kinds[TAIL].size; i++) {
        assert_int_equal(bytes_of(TAIL)[i], 79);
    }
    load_fails[LEAF] = TARN_OK;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_calls("load left;load leaf;rest of leaf;");
    assert_resident(at_leaf);
}

static void a_failed_read_into_free_memory_leaves_the_path_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(enter(RIGHT), TARN_OK);
    load_fails[TAIL] = TARN_IO_FAILED;
    assert_int_equal(enter(TAIL), TARN_IO_FAILED);
    assert_resident(at_right);
}

static void in_place_what_was_displaced_is_read_again(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    soil(LEAF, 5);
    load_fails[TAIL] = TARN_IO_FAILED;
    called[0] = '\0';
    assert_int_equal(enter(TAIL), TARN_IO_FAILED);
    assert_calls("store leaf;load right;load tail;load left;load leaf;");
    assert_resident(at_leaf);
    assert_int_equal(bytes_of(LEAF)[0], 5);
    assert_true(tarn_overlay_current(&tree) == names[LEAF]);
    assert_int_equal(tarn_overlay_tree_stats(&tree).failures, 1);
}

static void in_place_what_cannot_be_read_again_is_not_resident(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    load_fails[TAIL] = TARN_BAD_DATA;
    load_fails[LEAF] = TARN_IO_FAILED;
    assert_int_equal(enter(TAIL), TARN_BAD_DATA);
    assert_failure(TARN_BAD_DATA, TAIL, false,
                   "plain: tail could not be read: the data is damaged or of another kind");
    assert_resident(ONLY(ROOT) | ONLY(LEFT));
    assert_true(tarn_overlay_current(&tree) == names[LEAF]);
    load_fails[LEAF] = TARN_OK;
    assert_int_equal(enter(RIGHT), TARN_OK);
    assert_resident(at_right);
    assert_int_equal(leave(RIGHT), TARN_OK);
    assert_resident(at_leaf);
    assert_int_equal(tarn_overlay_tree_stats(&tree).failures, 1);
}

static void in_place_pins_are_kept_as_well(void **state)
{
    (void)state;
    assert_int_equal(tarn_overlay_pin(&tree, names[LEAF]), TARN_OK);
    assert_int_equal(enter(RIGHT), TARN_BUSY);
    assert_resident(at_leaf);
    tarn_overlay_unpin(&tree, names[LEAF]);
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_resident(at_tail);
}

/* ---- files ---- */

/* A file whose byte at `i` is i * 3, cut. */
static int make_file(size_t size)
{
    char path[] = "/tmp/overlay-XXXXXX";
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    unlink(path);
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)(i * 3);
        assert_int_equal(write(descriptor, &byte, 1), 1);
    }
    return descriptor;
}

static tarn_overlay_segment add_file(tarn_overlay_tree *to, int descriptor, uint64_t offset,
                                     size_t size)
{
    tarn_overlay_segment segment = 0;
    const tarn_overlay_segment_options options = {.name = "page",
                                                  .size = size,
                                                  .alignment = 1,
                                                  .source = TARN_OVERLAY_FILE,
                                                  .descriptor = descriptor,
                                                  .offset = offset,
                                                  .is_writable = true};
    assert_int_equal(tarn_overlay_tree_add(to, &options, &segment), TARN_OK);
    return segment;
}

static void files_are_read_and_written_where_the_segment_is(void **state)
{
    (void)state;
    tarn_overlay_tree made;
    const int file = make_file(1000);
    assert_int_equal(lseek(file, 5, SEEK_SET), 5);
    assert_int_equal(tarn_overlay_tree_init(&made, NULL), TARN_OK);
    const tarn_overlay_segment one = add_file(&made, file, 0, 300);
    const tarn_overlay_segment two = add_file(&made, file, 300, 700);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, two), TARN_OK);
    unsigned char *bytes = tarn_overlay_address(&made, two);
    for (size_t i = 0; i < 700; i++) {
        assert_int_equal(bytes[i], (unsigned char)((300 + i) * 3));
    }
    memset(bytes, 9, 700);
    assert_int_equal(tarn_overlay_set_dirty(&made, two), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, one), TARN_OK);
    assert_ptr_equal(tarn_overlay_address(&made, one), bytes);
    assert_int_equal(bytes[299], (unsigned char)(299 * 3));
    unsigned char all[1001];
    assert_int_equal(pread(file, all, sizeof all, 0), 1000);
    assert_int_equal(all[299], (unsigned char)(299 * 3));
    assert_int_equal(all[300], 9);
    assert_int_equal(all[999], 9);
    assert_int_equal(lseek(file, 0, SEEK_CUR), 5);
    tarn_overlay_tree_deinit(&made);
    close(file);
}

static void a_short_file_is_told_from_one_that_cannot_be_read(void **state)
{
    (void)state;
    char text[200];
    int ends[2];
    tarn_overlay_tree made;
    const int file = make_file(1000);
    assert_int_equal(pipe(ends), 0);
    const tarn_overlay_tree_options options = {.name = "book"};
    assert_int_equal(tarn_overlay_tree_init(&made, &options), TARN_OK);
    const tarn_overlay_segment good = add_file(&made, file, 0, 300);
    const tarn_overlay_segment cut = add_file(&made, file, 900, 300);
    const tarn_overlay_segment beyond = add_file(&made, file, 2000, 1);
    const tarn_overlay_segment broken = add_file(&made, ends[0], 0, 300);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, good), TARN_OK);
    const unsigned char *bytes = tarn_overlay_address(&made, good);
    assert_int_equal(tarn_overlay_enter(&made, cut), TARN_BAD_DATA);
    tarn_overlay_tree_failure_text(&made, text, sizeof text);
    assert_string_equal(text, "book: page could not be read: 100 of 300 bytes are there");
    assert_true(tarn_overlay_tree_failure(&made).segment == cut);
    assert_int_equal(tarn_overlay_tree_failure(&made).got, 100);
    assert_int_equal(tarn_overlay_enter(&made, beyond), TARN_BAD_DATA);
    assert_int_equal(tarn_overlay_enter(&made, broken), TARN_IO_FAILED);
    tarn_overlay_tree_failure_text(&made, text, sizeof text);
    assert_string_equal(text, "book: page could not be read: Illegal seek");
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(bytes[i], (unsigned char)(i * 3));
    }
    assert_int_equal(tarn_overlay_tree_stats(&made).failures, 3);
    assert_int_equal(tarn_overlay_tree_stats(&made).bytes_read, 300);
    tarn_overlay_tree_deinit(&made);
    close(ends[0]);
    close(ends[1]);
    close(file);
}

static void a_full_device_keeps_what_is_dirty(void **state)
{
    (void)state;
    char text[200];
    tarn_overlay_tree made;
    const int full = open("/dev/full", O_RDWR);
    assert_true(full >= 0);
    assert_int_equal(tarn_overlay_tree_init(&made, NULL), TARN_OK);
    const tarn_overlay_segment one = add_file(&made, full, 0, 300);
    const tarn_overlay_segment two = add_file(&made, full, 0, 300);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, one), TARN_OK);
    memset(tarn_overlay_address(&made, one), 3, 300);
    assert_int_equal(tarn_overlay_set_dirty(&made, one), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, two), TARN_IO_FAILED);
    tarn_overlay_tree_failure_text(&made, text, sizeof text);
    assert_string_equal(text, "overlay: page could not be written back: No space left on device");
    assert_int_equal(*(unsigned char *)tarn_overlay_address(&made, one), 3);
    assert_int_equal(tarn_overlay_flush(&made), TARN_IO_FAILED);
    assert_int_equal(tarn_overlay_leave(&made, one), TARN_OK);
    assert_int_equal(tarn_overlay_evict(&made, one), TARN_IO_FAILED);
    assert_non_null(tarn_overlay_address(&made, one));
    assert_true(tarn_overlay_tree_check(&made, NULL, 0));
    tarn_overlay_tree_deinit(&made);
    close(full);
}

static void what_is_not_stored_is_zeros(void **state)
{
    (void)state;
    tarn_overlay_tree made;
    tarn_overlay_segment half = 0;
    tarn_overlay_segment none = 0;
    const int file = make_file(100);
    assert_int_equal(tarn_overlay_tree_init(&made, NULL), TARN_OK);
    const tarn_overlay_segment_options options = {.size = 200,
                                                  .source = TARN_OVERLAY_FILE,
                                                  .stored_size = 100,
                                                  .descriptor = file,
                                                  .is_writable = true};
    assert_int_equal(tarn_overlay_tree_add(&made, &options, &half), TARN_OK);
    const tarn_overlay_segment_options zeros = {.size = 300};
    assert_int_equal(tarn_overlay_tree_add(&made, &zeros, &none), TARN_OK);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(tarn_overlay_enter(&made, none), TARN_OK);
        unsigned char *bytes = tarn_overlay_address(&made, none);
        for (size_t i = 0; i < 300; i++) {
            assert_int_equal(bytes[i], 0);
        }
        memset(bytes, 7, 300);
        assert_int_equal(tarn_overlay_enter(&made, half), TARN_OK);
        bytes = tarn_overlay_address(&made, half);
        for (size_t i = 0; i < 200; i++) {
            assert_int_equal(bytes[i], i < 100 ? (unsigned char)(i * 3) : 0);
        }
        bytes[150] = 1;
        assert_int_equal(tarn_overlay_set_dirty(&made, half), TARN_OK);
    }
    assert_int_equal(lseek(file, 0, SEEK_END), 100);
    assert_int_equal(tarn_overlay_tree_stats(&made).bytes_read, 200);
    tarn_overlay_tree_deinit(&made);
    close(file);
}

/* ---- hooks, eviction ---- */

static void hooks_are_told_of_what_stands_and_of_what_goes(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_calls("load left;load leaf;came left;came leaf;");
    assert_int_equal(tarn_overlay_set_dirty(&tree, names[LEAF]), TARN_OK);
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_calls("store leaf;load right;load tail;goes leaf;goes left;came right;came tail;");
    load_fails[TWIG] = TARN_IO_FAILED;
    assert_int_equal(enter(TWIG), TARN_IO_FAILED);
    assert_calls("load left;load twig;");
}

static void an_evicted_segment_is_read_again(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(tarn_overlay_evict(&tree, names[LEFT]), TARN_BUSY);
    assert_failure(TARN_BUSY, LEAF, false, "plain: leaf: what would have to go is in use");
    assert_int_equal(leave(LEAF), TARN_OK);
    assert_int_equal(tarn_overlay_pin(&tree, names[LEAF]), TARN_OK);
    assert_int_equal(tarn_overlay_evict(&tree, names[LEFT]), TARN_BUSY);
    tarn_overlay_unpin(&tree, names[LEAF]);
    soil(LEAF, 4);
    called[0] = '\0';
    assert_int_equal(tarn_overlay_evict(&tree, names[TAIL]), TARN_OK);
    assert_calls("");
    assert_int_equal(tarn_overlay_evict(&tree, names[LEFT]), TARN_OK);
    assert_calls("store leaf;");
    assert_resident(ONLY(ROOT));
    stored[LEFT][10] = 99;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_resident(at_leaf);
}

/* ---- memory ---- */

static void the_area_can_be_the_callers(void **state)
{
    (void)state;
    static _Alignas(64) unsigned char memory[2000];
    static _Alignas(64) unsigned char spare[1400];
    tarn_counted counted;
    assert_int_equal(tarn_counted_init(&counted, NULL), TARN_OK);
    tarn_overlay_tree_options options = {
        .upstream = &counted.heap, .memory = {memory + 1, 7 + 1404}, .spare = {spare + 8, 1108}};
    assert_int_equal(make(options), TARN_OK);
    assert_int_equal(tarn_overlay_tree_needs(&tree).spare_size, 1108);
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(enter(TAIL), TARN_OK);
    assert_resident(at_tail);
    assert_ptr_equal(bytes_of(ROOT), memory + 8);
    assert_ptr_equal(bytes_of(TAIL), memory + 8 + 704);
    /* The books alone are upstream's. */
    assert_int_equal(tarn_overlay_tree_stats(&tree).footprint, tarn_heap_stats(&counted.heap).live);
    assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 2);
    tarn_overlay_tree_deinit(&tree);
    /* All of it can be touched again. */
    memset(memory, 1, sizeof memory);
    options.memory.size--;
    assert_int_equal(make(options), TARN_NO_ROOM);
    options.memory.size++;
    options.spare.size = 1107;
    assert_int_equal(make(options), TARN_NO_ROOM);
    options.spare = (tarn_memory){spare + 1, 5};
    assert_int_equal(make(options), TARN_NO_ROOM);
    options.spare = (tarn_memory){0};
    assert_int_equal(make(options), TARN_OK);
    assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 3);
    tarn_overlay_tree_deinit(&tree);
    assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 0);
}

static void what_no_resident_segment_covers_cannot_be_touched(void **state)
{
    (void)state;
    if (!HEAP_WATCH_ASAN) {
        skip();
    }
#if HEAP_WATCH_ASAN
    assert_int_equal(enter(LEAF), TARN_OK);
    const unsigned char *leaf = bytes_of(LEAF);
    assert_false(__asan_address_is_poisoned(leaf));
    assert_false(__asan_address_is_poisoned(leaf + 299));
    assert_int_equal(enter(RIGHT), TARN_OK);
    assert_true(__asan_address_is_poisoned(leaf + 50));
    assert_true(__asan_address_is_poisoned(bytes_of(ROOT) + 101));
    assert_false(__asan_address_is_poisoned(bytes_of(RIGHT) + 599));
    assert_true(__asan_address_is_poisoned(bytes_of(RIGHT) + 600));
    load_fails[TAIL] = TARN_IO_FAILED;
    assert_int_equal(enter(TAIL), TARN_IO_FAILED);
    assert_true(__asan_address_is_poisoned(bytes_of(RIGHT) + 600));
    assert_false(__asan_address_is_poisoned(bytes_of(RIGHT) + 599));
#endif
}

/* All that a tree does, until a request of upstream is refused. */
static tarn_status do_everything(tarn_heap *upstream)
{
    tarn_status status = make((tarn_overlay_tree_options){.upstream = upstream, .depth = 2});
    if (status != TARN_OK) {
        return status;
    }
    static const int order[] = {LEAF, TAIL, TWIG, LEAF, RIGHT};
    size_t entered = 0;
    while (entered < 5 && status == TARN_OK) {
        const tarn_overlay_segment before = tarn_overlay_current(&tree);
        const size_t resident = tarn_overlay_tree_stats(&tree).resident;
        status = enter(order[entered]);
        if (status == TARN_OK) {
            entered++;
        } else {
            assert_true(tarn_overlay_current(&tree) == before);
            assert_int_equal(tarn_overlay_tree_stats(&tree).resident, resident);
            assert_int_equal(tarn_overlay_tree_failure(&tree).status, TARN_NO_MEMORY);
        }
    }
    assert_balanced();
    while (entered > 0) {
        entered--;
        assert_int_equal(leave(order[entered]), TARN_OK);
    }
    tarn_overlay_tree_deinit(&tree);
    return status;
}

static void a_refusal_of_upstream_changes_and_loses_nothing(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    for (int is_lasting = 0; is_lasting < 2; is_lasting++) {
        uint64_t failed = 0;
        uint64_t refused = 1;
        for (uint64_t at = 1; refused > 0; at++) {
            tarn_failing failing;
            tarn_failing_options options = {.upstream = &pages.heap};
            *(is_lasting ? &options.plan.from : &options.plan.at) = at;
            tarn_failing_init(&failing, &options);
            const tarn_status status = do_everything(&failing.heap);
            refused = failing.refused;
            assert_int_equal(tarn_heap_stats(&pages.heap).blocks, 0);
            /* What is refused once, to grow where it is, may be granted elsewhere. */
            assert_true(status == TARN_NO_MEMORY || (status == TARN_OK && refused <= 1));
            failed += status == TARN_NO_MEMORY;
        }
        /* The table, the area, the spare area, the runs; and their growth. */
        assert_true(failed >= (is_lasting ? 5 : 4));
    }
    tarn_pages_deinit(&pages);
}

static void a_table_that_cannot_grow_stays(void **state)
{
    (void)state;
    tarn_overlay_tree made;
    tarn_failing failing;
    tarn_failing_init(&failing, &(tarn_failing_options){.plan = {.from = 2}});
    assert_int_equal(
        tarn_overlay_tree_init(&made, &(tarn_overlay_tree_options){.upstream = &failing.heap}),
        TARN_OK);
    const tarn_overlay_segment_options options = {.size = 10};
    tarn_overlay_segment last = 0;
    size_t added = 0;
    while (tarn_overlay_tree_add(&made, &options, &last) == TARN_OK) {
        added++;
    }
    assert_true(added > 0);
    assert_int_equal(tarn_overlay_tree_stats(&made).segments, added + 1);
    tarn_failing_restart(&failing, NULL);
    assert_int_equal(tarn_overlay_tree_add(&made, &options, NULL), TARN_OK);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, last), TARN_OK);
    tarn_overlay_tree_deinit(&made);
}

static void a_seal_that_fails_can_be_tried_again(void **state)
{
    (void)state;
    tarn_counted counted;
    assert_int_equal(tarn_counted_init(&counted, NULL), TARN_OK);
    memset(names, 0, sizeof names);
    fill_store();
    const tarn_overlay_tree_options options = {.upstream = &counted.heap, .root = part(ROOT)};
    assert_int_equal(tarn_overlay_tree_init(&tree, &options), TARN_OK);
    assert_int_equal(add_all(), TARN_OK);
    const size_t live = tarn_heap_stats(&counted.heap).live;
    load_fails[ROOT] = TARN_IO_FAILED;
    assert_int_equal(tarn_overlay_tree_seal(&tree), TARN_IO_FAILED);
    assert_int_equal(tarn_heap_stats(&counted.heap).live, live);
    assert_int_equal(enter(LEAF), TARN_BAD_ARGUMENT);
    assert_balanced();
    load_fails[ROOT] = TARN_OK;
    assert_int_equal(tarn_overlay_tree_seal(&tree), TARN_OK);
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_resident(at_leaf);
    tarn_overlay_tree_deinit(&tree);
    assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 0);
}

static void branches_without_bytes_are_fine(void **state)
{
    (void)state;
    tarn_overlay_tree made;
    tarn_overlay_segment group = 0;
    tarn_overlay_segment other = 0;
    assert_int_equal(tarn_overlay_tree_init(&made, NULL), TARN_OK);
    const tarn_overlay_segment_options empty = {.size = 0};
    assert_int_equal(tarn_overlay_tree_add(&made, &empty, &group), TARN_OK);
    assert_int_equal(tarn_overlay_tree_add(&made, &empty, &other), TARN_OK);
    assert_int_equal(tarn_overlay_tree_seal(&made), TARN_OK);
    assert_int_equal(tarn_overlay_enter(&made, group), TARN_OK);
    assert_non_null(tarn_overlay_address(&made, group));
    assert_int_equal(tarn_overlay_enter(&made, other), TARN_OK);
    /* Branches exclude each other whatever their sizes. */
    assert_null(tarn_overlay_address(&made, group));
    assert_true(tarn_overlay_tree_check(&made, NULL, 0));
    tarn_overlay_tree_deinit(&made);
}

/* ---- books ---- */

static bool count_view(void *context, const tarn_overlay_view *view)
{
    int *next = context;
    const int which = *next;
    assert_true(view->segment == names[which]);
    assert_true(view->parent == (which == ROOT ? 0 : names[kinds[which].parent]));
    assert_string_equal(view->name, kinds[which].name);
    assert_int_equal(view->size, kinds[which].size);
    assert_int_equal(view->offset, tarn_overlay_offset(&tree, view->segment));
    assert_int_equal(view->is_resident, (at_leaf >> which & 1U) != 0);
    assert_int_equal(view->is_dirty, which == LEFT);
    assert_int_equal(view->pins, which == LEFT ? 1 : 0);
    assert_int_equal(view->entered, which == LEAF ? 2 : 0);
    assert_int_equal(view->loads, at_leaf >> which & 1U);
    assert_int_equal(view->depth, which == ROOT ? 0 : which == LEFT || which == RIGHT ? 1 : 2);
    (*next)++;
    return *next != TAIL;
}

static void visit_sees_every_segment_until_it_is_ended(void **state)
{
    (void)state;
    int seen = 0;
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(tarn_overlay_pin(&tree, names[LEFT]), TARN_OK);
    assert_int_equal(tarn_overlay_set_dirty(&tree, names[LEFT]), TARN_OK);
    tarn_overlay_tree_visit(&tree, count_view, &seen);
    assert_int_equal(seen, TAIL);
}

static void assert_fault(const char *wanted)
{
    char fault[200] = "";
    assert_false(tarn_overlay_tree_check(&tree, fault, sizeof fault));
    assert_string_equal(fault, wanted);
    assert_false(tarn_overlay_tree_check(&tree, NULL, 0));
}

static void check_finds_books_that_do_not_balance(void **state)
{
    (void)state;
    assert_int_equal(enter(LEAF), TARN_OK);
    const uint32_t deepest = tree.deepest;
    tree.deepest = 1;
    assert_fault("what is resident is no path");
    tree.deepest = COUNT;
    assert_fault("what is resident is no path");
    tree.deepest = deepest;
    tree.books.resident++;
    assert_fault("1400 bytes are resident but the books have 1401");
    tree.books.resident--;
    tree.books.needs.size--;
    assert_fault("segment 2 is not behind its parent");
    tree.books.needs.size++;
    tree.run_count = 0;
    assert_fault("segments were entered 1 times but the runs have 0");
    tree.run_count = 1;
    assert_balanced();
}

static void nothing_failed_at_first(void **state)
{
    (void)state;
    char text[100];
    assert_int_equal(tarn_overlay_tree_failure(&tree).status, TARN_OK);
    tarn_overlay_tree_failure_text(&tree, text, sizeof text);
    assert_string_equal(text, "plain: nothing failed");
}

/* ---- misuse ---- */

static tarn_status enter_from_inside(void *context, tarn_overlay_segment segment, size_t offset,
                                     void *to, size_t size)
{
    (void)offset;
    (void)to;
    (void)size;
    return tarn_overlay_enter(context, segment);
}

static void misuse_is_fatal_and_names_the_segment(void **state)
{
    (void)state;
    tarn_overlay_tree other;
    assert_int_equal(tarn_overlay_tree_init(&other, NULL), TARN_OK);
    const tarn_overlay_segment foreign = tarn_overlay_tree_root(&other);
    assert_fatal(leave(LEAF), "left without being entered", "plain", (uintptr_t)names[LEAF]);
    assert_int_equal(enter(LEAF), TARN_OK);
    assert_int_equal(enter(TWIG), TARN_OK);
    assert_fatal(leave(LEAF), "left before what was entered after it", "plain",
                 (uintptr_t)names[LEAF]);
    assert_fatal(leave(LEFT), "left without being entered", "plain", (uintptr_t)names[LEFT]);
    assert_fatal(tarn_overlay_unpin(&tree, names[TWIG]), "unpinned without being pinned", "plain",
                 (uintptr_t)names[TWIG]);
    assert_fatal(tarn_overlay_set_dirty(&tree, names[LEAF]),
                 "marked as dirty while it is not resident", "plain", (uintptr_t)names[LEAF]);
    assert_fatal(tarn_overlay_enter(&tree, foreign), "not a segment of this tree", "plain",
                 (uintptr_t)foreign);
    assert_fatal((void)tarn_overlay_address(&tree, names[TAIL] + 1), "not a segment of this tree",
                 "plain", (uintptr_t)(names[TAIL] + 1));
    assert_fatal((void)tarn_overlay_offset(&tree, names[ROOT] - 1), "not a segment of this tree",
                 "plain", (uintptr_t)(names[ROOT] - 1));
    tarn_overlay_segment segment = 0;
    const tarn_overlay_segment_options options = {
        .size = 1, .source = TARN_OVERLAY_CALLS, .load = enter_from_inside, .context = &other};
    assert_int_equal(tarn_overlay_tree_add(&other, &options, &segment), TARN_OK);
    assert_int_equal(tarn_overlay_tree_seal(&other), TARN_OK);
    assert_fatal(tarn_overlay_enter(&other, segment), "called by one of its own callbacks",
                 "overlay", &other);
    tarn_overlay_tree_deinit(&other);
}

#define ON(make_it, test) cmocka_unit_test_setup_teardown(test, make_it, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(make_plain, the_area_is_as_large_as_the_longest_path),
        cmocka_unit_test(the_spare_area_is_as_large_as_the_smaller_branch),
        cmocka_unit_test(deep_trees_are_no_matter),
        cmocka_unit_test(segments_are_aligned_as_they_ask),
        cmocka_unit_test(bad_segments_are_refused),
        ON(make_plain, a_sealed_tree_stays_as_it_is),
        cmocka_unit_test(nothing_is_entered_before_the_seal),
        ON(make_plain, the_root_is_resident_from_the_seal_on),
        ON(make_plain, entering_makes_a_segment_and_its_ancestors_resident),
        ON(make_plain, entering_what_is_resident_reads_nothing),
        ON(make_plain, a_branch_displaces_the_other_and_keeps_what_they_share),
        ON(make_plain, leaving_brings_back_what_was_entered_before),
        ON(make_plain, enters_nest_as_deep_as_memory_lasts),
        ON(make_plain, what_is_dirty_is_written_back_before_it_goes),
        ON(make_plain, what_two_branches_share_stays_dirty),
        ON(make_plain, a_flush_writes_all_that_is_dirty_and_displaces_nothing),
        ON(make_plain, what_cannot_be_written_back_cannot_be_dirty),
        ON(make_plain, a_failed_write_back_keeps_what_was_resident),
        ON(make_in_place, a_failed_write_back_keeps_what_was_resident),
        ON(make_plain, a_pinned_segment_is_not_displaced),
        ON(make_plain, a_pin_keeps_the_ancestors_too),
        ON(make_plain, a_leave_that_cannot_bring_back_changes_nothing),
        ON(make_plain, a_failed_read_leaves_what_was_resident_as_it_was),
        ON(make_plain, a_segment_that_lies_on_the_end_of_the_old_path_is_read_in_two_parts),
        ON(make_plain, a_failed_read_into_free_memory_leaves_the_path_as_it_was),
        ON(make_in_place, a_failed_read_into_free_memory_leaves_the_path_as_it_was),
        ON(make_in_place, in_place_what_was_displaced_is_read_again),
        ON(make_in_place, in_place_what_cannot_be_read_again_is_not_resident),
        ON(make_in_place, in_place_pins_are_kept_as_well),
        cmocka_unit_test(files_are_read_and_written_where_the_segment_is),
        cmocka_unit_test(a_short_file_is_told_from_one_that_cannot_be_read),
        cmocka_unit_test(a_full_device_keeps_what_is_dirty),
        cmocka_unit_test(what_is_not_stored_is_zeros),
        ON(make_with_hooks, hooks_are_told_of_what_stands_and_of_what_goes),
        ON(make_plain, an_evicted_segment_is_read_again),
        cmocka_unit_test(the_area_can_be_the_callers),
        ON(make_plain, what_no_resident_segment_covers_cannot_be_touched),
        cmocka_unit_test(a_refusal_of_upstream_changes_and_loses_nothing),
        cmocka_unit_test(a_table_that_cannot_grow_stays),
        cmocka_unit_test(a_seal_that_fails_can_be_tried_again),
        cmocka_unit_test(branches_without_bytes_are_fine),
        ON(make_plain, visit_sees_every_segment_until_it_is_ended),
        ON(make_plain, check_finds_books_that_do_not_balance),
        ON(make_plain, nothing_failed_at_first),
        ON(make_plain, misuse_is_fatal_and_names_the_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
