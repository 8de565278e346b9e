/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/arena.h"
#include "tarn/heaps.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "tools.h"

/*
 * What ends with an arena: cleanups and children; and what is told about trees.
 */

static tarn_pages pages;
static tarn_arena root;

/* What was called, a letter for each. */
static char calls[100];

static void call(void *letter)
{
    const size_t length = strlen(calls);
    assert_true(length + 1 < sizeof calls);
    calls[length] = *(const char *)letter;
    calls[length + 1] = '\0';
}

static void begin(void)
{
    calls[0] = '\0';
    tarn_pages_init(&pages, NULL);
    tarn_arena_init(&root, &(tarn_arena_options){.upstream = &pages.heap, .name = "root"});
}

static void check(tarn_arena *arena)
{
    char fault[160] = "";
    if (!tarn_arena_check(arena, fault, sizeof fault)) {
        fail_msg("check found: %s", fault);
    }
}

static void end(void)
{
    check(&root);
    tarn_arena_deinit(&root);
    assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
    tarn_pages_deinit(&pages);
}

static tarn_arena *child_of(tarn_arena *parent, const char *name)
{
    tarn_arena *child = tarn_arena_create(&(tarn_arena_options){.parent = parent, .name = name});
    assert_non_null(child);
    return child;
}

static char *letters(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ------------------------------------------------------------------------------------------------
 * Cleanups
 */
static void cleanups_run_the_newest_first(void **state)
{
    (void)state;
    begin();
    char *abc = letters("abcdef");
    for (int round = 0; round < 3; round++) {
        calls[0] = '\0';
        for (int i = 0; i < 3; i++) {
            assert_non_null(tarn_arena_on_reset(&root, call, abc + i));
        }
        const tarn_arena_point mark = tarn_arena_mark(&root);
        for (int i = 3; i < 6; i++) {
            (void)tarn_arena_alloc(&root, 20000); /* over several chunks */
            assert_non_null(tarn_arena_on_reset(&root, call, abc + i));
        }
        check(&root);
        tarn_arena_release(&root, mark);
        assert_string_equal(calls, "fed");
        tarn_arena_release(&root, mark);
        assert_string_equal(calls, "fed");
        tarn_arena_reset(&root);
        assert_string_equal(calls, "fedcba");
    }
    tarn_arena_reset(&root);
    assert_string_equal(calls, "fedcba");
    calls[0] = '\0';
    assert_non_null(tarn_arena_on_reset(&root, call, abc));
    assert_non_null(tarn_arena_on_reset(&root, call, abc + 1));
    end();
    assert_string_equal(calls, "ba");
}

static void a_cleanup_may_be_cancelled_or_run_early(void **state)
{
    (void)state;
    begin();
    char *abc = letters("abcdef");
    tarn_arena_cleanup *cleanups[6];
    for (int i = 0; i < 6; i++) {
        cleanups[i] = tarn_arena_on_reset(&root, call, abc + i);
    }
    tarn_arena_cancel(&root, cleanups[2]);
    check(&root);
    tarn_arena_run(&root, cleanups[0]);
    assert_string_equal(calls, "a");
    tarn_arena_cancel(&root, cleanups[5]);
    check(&root);
    tarn_arena_cancel(&root, NULL);
    tarn_arena_run(&root, NULL);
    assert_fatal(tarn_arena_cancel(&root, cleanups[5]), "a cleanup that was cancelled, or has run",
                 "root", cleanups[5]);
    assert_fatal(tarn_arena_run(&root, cleanups[0]), "a cleanup that was cancelled, or has run",
                 "root", cleanups[0]);
    tarn_arena_reset(&root);
    assert_string_equal(calls, "aedb");
    end();
}

static void cancelled_cleanups_leave_their_room_to_others(void **state)
{
    (void)state;
    begin();
    char *abc = letters("ab");
    (void)tarn_arena_on_reset(&root, call, abc);
    tarn_arena_cleanup *other = tarn_arena_on_reset(&root, call, abc + 1);
    tarn_arena_cleanup *third = tarn_arena_on_reset(&root, call, abc + 1);
    const size_t used = tarn_arena_used(&root);
    for (int i = 0; i < 1000; i++) {
        tarn_arena_cancel(&root, other);
        tarn_arena_cancel(&root, third);
        other = tarn_arena_on_reset(&root, call, abc + 1);
        third = tarn_arena_on_reset(&root, call, abc + 1);
    }
    assert_int_equal(tarn_arena_used(&root), used);
    /* But not after their memory has gone. */
    tarn_arena_reset(&root);
    const tarn_arena_point mark = tarn_arena_mark(&root);
    tarn_arena_cancel(&root, tarn_arena_on_reset(&root, call, abc));
    tarn_arena_release(&root, mark);
    unsigned char *block = tarn_arena_alloc(&root, 200);
    memset(block, 0xff, 200);
    assert_non_null(tarn_arena_on_reset(&root, call, abc));
    check(&root);
    end();
}

static void destroy(void *arena)
{
    tarn_arena_destroy(arena);
}

static void allocate_much(void *context)
{
    (void)context;
    memset(tarn_arena_alloc(&root, 100000), 1, 100000);
    memset(tarn_arena_alloc(&root, 1000000), 1, 1000000);
    tarn_arena *child = child_of(&root, "late");
    (void)tarn_arena_on_reset(child, call, letters("c"));
    tarn_arena *brief = child_of(&root, "brief");
    tarn_arena_destroy(brief);
    (void)tarn_arena_on_reset(&root, call, letters("d"));
}

static void a_cleanup_may_use_its_arena(void **state)
{
    (void)state;
    begin();
    (void)tarn_arena_on_reset(&root, call, letters("a"));
    (void)tarn_arena_on_reset(&root, allocate_much, NULL);
    (void)tarn_arena_on_reset(&root, call, letters("b"));
    tarn_arena_reset(&root);
    assert_string_equal(calls, "bdca");
    assert_int_equal(tarn_arena_used(&root), 0);
    (void)tarn_arena_on_reset(&root, allocate_much, NULL);
    end();
    assert_string_equal(calls, "bdcadc");
}

static void a_cleanup_may_end_another_arena(void **state)
{
    (void)state;
    begin();
    tarn_arena *first = child_of(&root, "first");
    (void)tarn_arena_on_reset(first, call, letters("1"));
    tarn_arena *second = child_of(&root, "second");
    (void)tarn_arena_on_reset(second, destroy, first); /* its older sibling */
    (void)tarn_arena_on_reset(second, call, letters("2"));
    tarn_arena *other = child_of(NULL, "other");
    (void)tarn_arena_on_reset(other, call, letters("3"));
    (void)tarn_arena_on_reset(&root, destroy, other);
    tarn_arena_reset(&root);
    assert_string_equal(calls, "321");
    end();
}

static void trim_and_use_root(void *context)
{
    (void)context;
    (void)tarn_arena_trim(&root);
    memset(tarn_arena_alloc(&root, 40000), 1, 40000);
}

static void a_cleanup_may_trim_what_is_reset(void **state)
{
    (void)state;
    begin();
    for (int round = 0; round < 3; round++) {
        tarn_arena *child = child_of(&root, "child");
        (void)tarn_arena_on_reset(child, trim_and_use_root, NULL);
        /* A first chunk with nothing in it: the trim takes it away. */
        tarn_arena_free(&root, tarn_arena_alloc(&root, 8), 8);
        tarn_arena_reset(&root);
        check(&root);
        assert_int_equal(tarn_arena_used(&root), 0);
        memset(tarn_arena_alloc(&root, 1000), 1, 1000);
        tarn_arena_reset(&root);
    }
    end();
}

static void reset_root(void *context)
{
    (void)context;
    tarn_arena_reset(&root);
}

static void deinit_root(void *context)
{
    (void)context;
    tarn_arena_deinit(&root);
}

static void a_reset_from_inside_a_cleanup_is_fatal(void **state)
{
    (void)state;
    const char *inside = "reset, released or ended from inside of a cleanup";
    begin();
    (void)tarn_arena_on_reset(&root, reset_root, NULL);
    assert_fatal(tarn_arena_reset(&root), inside, "root", &root);
    assert_fatal(tarn_arena_deinit(&root), inside, "root", &root);
    (void)tarn_arena_on_reset(child_of(child_of(&root, "child"), "grandchild"), deinit_root, NULL);
    assert_fatal(tarn_arena_reset(&root), inside, "root", &root);
    tarn_arena *self = child_of(&root, "self");
    (void)tarn_arena_on_reset(self, destroy, self);
    assert_fatal(tarn_arena_reset(&root), inside, "self", self);
    /* That was in other processes; here the cleanups are still there and have to go. */
    for (tarn_arena_cleanup *cleanup = root.cleanups; cleanup != NULL; cleanup = root.cleanups) {
        tarn_arena_cancel(&root, cleanup);
    }
    tarn_arena *child = root.eldest;
    tarn_arena_cancel(child->eldest, child->eldest->cleanups);
    tarn_arena_cancel(self, self->cleanups);
    end();
}

static void an_overwritten_cleanup_is_not_called(void **state)
{
    (void)state;
    begin();
    unsigned char *block = tarn_arena_alloc(&root, 8);
    unsigned char *cleanup = (unsigned char *)tarn_arena_on_reset(&root, call, letters("a"));
    assert_true(cleanup > block);
    char fault[100];
    for (size_t i = 0; i < 48; i++) {
        cleanup[i] ^= 4;
        assert_fatal(tarn_arena_reset(&root), "a cleanup was overwritten, or was not this arena's",
                     "root", cleanup);
        assert_fatal(tarn_arena_cancel(&root, (tarn_arena_cleanup *)(void *)cleanup),
                     "a cleanup was overwritten, or was not this arena's", "root", cleanup);
        assert_false(tarn_arena_check(&root, fault, sizeof fault));
        assert_memory_equal(fault, "the cleanup at", 14);
        cleanup[i] ^= 4;
    }
    check(&root);
    end();
    assert_string_equal(calls, "a");
}

/* ------------------------------------------------------------------------------------------------
 * Children
 */
static void children_end_with_their_parent(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        begin();
        const tarn_arena_point mark = tarn_arena_mark(&root);
        for (int i = 0; i < 5; i++) {
            tarn_arena *child = child_of(&root, "child");
            for (int j = 0; j < 5; j++) {
                tarn_arena *grandchild = child_of(child, "grandchild");
                (void)tarn_arena_alloc(grandchild, 100000);
                (void)tarn_arena_alloc(grandchild, 1000000);
                (void)tarn_arena_on_reset(grandchild, call, letters("g"));
                check(grandchild);
            }
            (void)tarn_arena_on_reset(child, call, letters("c"));
            check(child);
        }
        check(&root);
        if (how == 0) {
            tarn_arena_reset(&root);
        } else if (how == 1) {
            tarn_arena_release(&root, mark);
        }
        assert_true(how == 2 || tarn_heap_stats(&pages.heap).live == 0);
        end();
        assert_string_equal(calls, "cgggggcgggggcgggggcgggggcggggg");
    }
}

static void a_release_ends_only_the_children_after_its_mark(void **state)
{
    (void)state;
    begin();
    char *abc = letters("abcdef");
    tarn_arena *old = child_of(&root, "old");
    (void)tarn_arena_on_reset(old, call, abc);
    const tarn_arena_point mark = tarn_arena_mark(&root);
    (void)tarn_arena_on_reset(&root, call, abc + 1);
    (void)tarn_arena_on_reset(child_of(&root, "new"), call, abc + 2);
    (void)tarn_arena_on_reset(&root, call, abc + 3);
    (void)tarn_arena_on_reset(child_of(&root, "newer"), call, abc + 4);
    /* What is registered with the old one later is its own affair. */
    (void)tarn_arena_on_reset(old, call, abc + 5);
    tarn_arena_release(&root, mark);
    assert_string_equal(calls, "edcb");
    check(&root);
    assert_ptr_equal(tarn_arena_parent(old), &root);
    end();
    assert_string_equal(calls, "edcbfa");
}

static void a_child_in_the_callers_storage_may_be_ended_again(void **state)
{
    (void)state;
    begin();
    static tarn_arena child;
    static char buffer[1000];
    tarn_arena_init(&child, &(tarn_arena_options){.parent = &root, .buffer = {buffer, 1000}});
    (void)tarn_arena_on_reset(&child, call, letters("c"));
    (void)tarn_arena_alloc(&child, 5000);
    tarn_arena_reset(&root);
    assert_string_equal(calls, "c");
    tarn_arena_deinit(&child);
    tarn_arena_deinit(&child);
    /* And made anew. */
    tarn_arena_init(&child, &(tarn_arena_options){.parent = &root});
    (void)tarn_arena_alloc(&child, 5000);
    tarn_arena_deinit(&child);
    check(&root);
    tarn_arena_reset(&root);
    tarn_arena zero;
    memset(&zero, 0, sizeof zero);
    tarn_arena_deinit(&zero);
    end();
}

static void children_may_end_in_any_order(void **state)
{
    (void)state;
    enum { COUNT = 6 };
    for (unsigned order = 0; order < 6 * 6 * 6; order++) {
        begin();
        tarn_arena *children[COUNT];
        for (unsigned i = 0; i < COUNT; i++) {
            children[i] = child_of(&root, "child");
        }
        unsigned left = order;
        for (unsigned i = 0; i < 3; i++) {
            tarn_arena_destroy(children[left % COUNT]);
            children[left % COUNT] = NULL;
            check(&root);
            left /= COUNT;
        }
        end();
    }
}

static void *end_root(void *context)
{
    (void)context;
    tarn_arena_reset(&root);
    return NULL;
}

static void a_deep_tree_ends_without_a_deep_stack(void **state)
{
    (void)state;
    begin();
    tarn_arena *arena = &root;
    /* With a call for each level, the deepest of them would be far below the stack. */
    const unsigned depth = IS_UNDER_NO_TOOL ? 3000 : 1000;
    const size_t stack_size = IS_UNDER_NO_TOOL ? (size_t)32 << 10 : (size_t)256 << 10;
    for (unsigned i = 0; i < depth; i++) {
        arena = tarn_arena_create(&(tarn_arena_options){
            .parent = arena, .upstream = tarn_system_heap(), .chunk_size = 1024, .name = "link"});
        assert_non_null(arena);
    }
    (void)tarn_arena_on_reset(arena, call, letters("d"));
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, stack_size), 0);
    assert_int_equal(pthread_create(&thread, &attributes, end_root, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    assert_string_equal(calls, "d");
    end();
}

static void a_child_takes_from_the_upstream_of_its_parent(void **state)
{
    (void)state;
    begin();
    const size_t before = tarn_heap_stats(&pages.heap).live;
    tarn_arena *child = child_of(&root, "child");
    assert_true(tarn_heap_stats(&pages.heap).live > before);
    tarn_arena_destroy(child);
    assert_int_equal(tarn_heap_stats(&pages.heap).live, before);
    /* Or from the parent itself, which then has the chunks among its blocks. */
    (void)tarn_arena_alloc(&root, 8);
    const size_t used = tarn_arena_used(&root);
    child = tarn_arena_create(&(tarn_arena_options){
        .parent = &root, .upstream = &root.heap, .chunk_size = 1024, .chunk_size_max = 2048});
    assert_true(tarn_arena_owns(&root, child));
    for (int i = 0; i < 100; i++) {
        memset(tarn_arena_alloc(child, 1000), i, 1000);
    }
    check(child);
    check(&root);
    assert_true(tarn_arena_used(&root) > used + 100000);
    tarn_arena_destroy(child);
    check(&root);
    child = tarn_arena_create(&(tarn_arena_options){.parent = &root, .upstream = &root.heap});
    assert_non_null(child);
    end();
}

static void a_limit_holds_for_all_below_it(void **state)
{
    (void)state;
    begin();
    tarn_arena_set_limit(&root, 200000);
    tarn_arena *children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = tarn_arena_create(&(tarn_arena_options){.parent = &root, .chunk_size = 4096});
    }
    size_t taken = 0;
    for (int i = 0; i < 300; i++) {
        taken += tarn_arena_alloc(children[i % 3], 1000) != NULL ? 1000 : 0;
        assert_true(tarn_heap_stats(&pages.heap).live <= 200000);
    }
    assert_true(taken > (IS_UNDER_NO_TOOL ? 150000 : 100000));
    assert_null(tarn_arena_alloc(children[0], 100000));
    tarn_arena_destroy(children[1]);
    assert_non_null(tarn_arena_alloc(children[0], 1000));
    /* One that takes from its parent counts there alone. */
    tarn_arena_reset(&root);
    assert_int_equal(root.tree_held, tarn_arena_stats(&root).footprint);
    (void)tarn_arena_alloc(&root, 1000);
    tarn_arena *inside = tarn_arena_create(
        &(tarn_arena_options){.parent = &root, .upstream = &root.heap, .chunk_size = 50000});
    assert_non_null(inside);
    assert_int_equal(root.tree_held, tarn_arena_stats(&root).footprint);
    end();
}

static bool no_help(void *context, size_t size)
{
    *(size_t *)context += size;
    return false;
}

static void a_child_inherits_whom_to_tell_of_a_shortage(void **state)
{
    (void)state;
    size_t told = 0;
    tarn_arena parent;
    tarn_arena_init(
        &parent, &(tarn_arena_options){.limit = 50000, .on_no_memory = no_help, .context = &told});
    tarn_arena *child = tarn_arena_create(&(tarn_arena_options){.parent = &parent});
    assert_null(tarn_arena_alloc(child, 60000));
    assert_int_equal(told, 60000);
    tarn_arena_deinit(&parent);
}

/* ------------------------------------------------------------------------------------------------
 * Threads
 */
enum { THREADS = 4 };

static bool add_footprint(void *context, const tarn_arena_info *info)
{
    *(size_t *)context += info->footprint;
    return true;
}

/* Uses a child of the root, with children of its own that come and go. */
static void *use_child(void *context)
{
    tarn_arena *child = context;
    const unsigned rounds = IS_UNDER_NO_TOOL ? 300 : 40;
    for (unsigned round = 0; round < rounds; round++) {
        tarn_arena *grandchild = tarn_arena_create(
            &(tarn_arena_options){.parent = child, .name = "grandchild", .chunk_size = 1024});
        assert_non_null(grandchild);
        for (size_t i = 0; i < 40; i++) {
            memset(tarn_arena_alloc(child, 100 * i + 1), 1, 100 * i + 1);
            memset(tarn_arena_alloc(grandchild, 50 * i + 1), 2, 50 * i + 1);
        }
        (void)tarn_arena_alloc(child, 300000);
        if (round % 2 == 0) {
            tarn_arena_destroy(grandchild);
        }
        tarn_arena_reset(child);
        if (round % 8 == 0) {
            (void)tarn_arena_trim(child);
        }
    }
    tarn_arena_destroy(child);
    return NULL;
}

static void children_may_be_used_by_a_thread_each(void **state)
{
    (void)state;
    begin();
    tarn_arena_set_limit(&root, (size_t)1 << 30);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        tarn_arena *child = child_of(&root, "child");
        assert_int_equal(pthread_create(&threads[i], NULL, use_child, child), 0);
    }
    /* Meanwhile the parent is used, and all are listed. */
    for (unsigned round = 0; round < 100; round++) {
        (void)tarn_arena_alloc(&root, 1000);
        size_t footprint = 0;
        assert_true(tarn_arena_visit_tree(NULL, add_footprint, &footprint));
        assert_true(footprint >= 16384);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(root.tree_held, tarn_arena_stats(&root).footprint);
    end();
}

/* ------------------------------------------------------------------------------------------------
 * Moves in the tree
 */
static void an_arena_may_change_its_parent(void **state)
{
    (void)state;
    begin();
    tarn_arena *house = child_of(&root, "house");
    tarn_arena *attic = child_of(house, "attic");
    tarn_arena *box = child_of(attic, "box");
    tarn_arena *garden = child_of(NULL, "garden");
    (void)tarn_arena_on_reset(box, call, letters("b"));
    (void)tarn_arena_alloc(box, 100000);
    const size_t size = attic->tree_held;

    assert_int_equal(tarn_arena_set_parent(attic, attic), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_arena_set_parent(attic, box), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_arena_set_parent(attic, garden), TARN_OK);
    assert_ptr_equal(tarn_arena_parent(attic), garden);
    assert_int_equal(garden->tree_held, garden->held + size);
    assert_int_equal(house->tree_held, house->held);
    tarn_arena_reset(&root);
    assert_string_equal(calls, "");
    check(garden);
    check(attic);
    check(box);

    /* Alone, and then below the other tree again. */
    assert_int_equal(tarn_arena_set_parent(attic, NULL), TARN_OK);
    assert_null(tarn_arena_parent(attic));
    assert_int_equal(garden->tree_held, garden->held);
    check(box);
    tarn_arena_set_limit(&root, size / 2);
    assert_int_equal(tarn_arena_set_parent(attic, &root), TARN_NO_MEMORY);
    assert_null(tarn_arena_parent(attic));
    tarn_arena_set_limit(&root, size + 20000);
    assert_int_equal(tarn_arena_set_parent(attic, &root), TARN_OK);
    assert_int_equal(tarn_arena_set_parent(attic, &root), TARN_OK);
    assert_int_equal(tarn_arena_set_parent(attic, NULL), TARN_OK);
    assert_int_equal(tarn_arena_set_parent(attic, &root), TARN_OK);
    /* Within the tree nothing changes for the limit. */
    tarn_arena *shed =
        tarn_arena_create(&(tarn_arena_options){.parent = &root, .chunk_size = 1024});
    assert_non_null(shed);
    assert_int_equal(tarn_arena_set_parent(attic, shed), TARN_OK);
    check(&root);
    check(shed);
    tarn_arena_destroy(shed);
    assert_string_equal(calls, "b");
    tarn_arena_destroy(garden);

    tarn_arena *inside = tarn_arena_create(
        &(tarn_arena_options){.parent = &root, .upstream = &root.heap, .chunk_size = 1024});
    assert_int_equal(tarn_arena_set_parent(inside, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_arena_set_parent(inside, &root), TARN_OK);
    end();
}

/* ------------------------------------------------------------------------------------------------
 * Listings
 */
typedef struct listing {
    char names[400];
    unsigned count;
    unsigned end_at;
    size_t footprint;
} listing;

static bool note_name(void *context, const tarn_arena_info *info)
{
    listing *it = context;
    const size_t length = strlen(it->names);
    snprintf(it->names + length, sizeof it->names - length, "%zu%s ", info->depth, info->name);
    it->footprint += info->footprint;
    it->count++;
    return it->count != it->end_at;
}

static void a_visit_shows_each_arena_before_its_children(void **state)
{
    (void)state;
    begin();
    tarn_arena *a = child_of(&root, "a");
    (void)child_of(child_of(a, "b"), "c");
    (void)child_of(a, "d");
    tarn_arena *e = child_of(&root, "e");
    (void)child_of(e, "f");
    listing it = {.count = 0};
    assert_true(tarn_arena_visit_tree(&root, note_name, &it));
    assert_string_equal(it.names, "0root 1a 2b 3c 2d 1e 2f ");
    assert_int_equal(it.footprint, tarn_heap_stats(&pages.heap).live);
    it = (listing){.end_at = 3};
    assert_false(tarn_arena_visit_tree(&root, note_name, &it));
    assert_string_equal(it.names, "0root 1a 2b ");
    it = (listing){.count = 0};
    assert_true(tarn_arena_visit_tree(a, note_name, &it));
    assert_string_equal(it.names, "0a 1b 2c 1d ");
    tarn_arena_set_name(e, "other");
    tarn_arena_set_name(a, NULL);
    it = (listing){.count = 0};
    (void)tarn_arena_visit_tree(&root, note_name, &it);
    assert_string_equal(it.names, "0root 1arena 2b 3c 2d 1other 2f ");
    end();
}

static void all_arenas_of_the_process_are_listed(void **state)
{
    (void)state;
    begin();
    (void)child_of(&root, "child");
    tarn_arena *others[40];
    for (int i = 0; i < 40; i++) {
        others[i] = tarn_arena_create(&(tarn_arena_options){
            .name = "other", .upstream = &pages.heap, .unlisted = i % 4 == 0});
    }
    static listing it;
    it = (listing){.count = 0};
    assert_true(tarn_arena_visit_tree(NULL, note_name, &it));
    assert_int_equal(it.count, 32);
    assert_non_null(strstr(it.names, "0root 1child "));
    it = (listing){.end_at = 7};
    assert_false(tarn_arena_visit_tree(NULL, note_name, &it));
    for (int i = 0; i < 40; i += 3) {
        tarn_arena_destroy(others[i]);
    }
    it = (listing){.count = 0};
    assert_true(tarn_arena_visit_tree(NULL, note_name, &it));
    assert_int_equal(it.count, 2 + 20);
    for (int i = 0; i < 40; i++) {
        if (i % 3 != 0) {
            tarn_arena_destroy(others[i]);
        }
    }
    end();
    it = (listing){.count = 0};
    assert_true(tarn_arena_visit_tree(NULL, note_name, &it));
    assert_int_equal(it.count, 0);
}

typedef struct text {
    char bytes[2000];
    size_t length;
} text;

static void add_text(void *context, const char *bytes, size_t size)
{
    text *to = context;
    assert_true(to->length + size < sizeof to->bytes);
    memcpy(to->bytes + to->length, bytes, size);
    to->length += size;
    to->bytes[to->length] = '\0';
}

static void a_report_is_a_table_with_a_sum(void **state)
{
    (void)state;
    begin();
    if (!IS_UNDER_NO_TOOL) {
        end();
        skip();
    }
    (void)tarn_arena_alloc(&root, 1000);
    tarn_arena *child = tarn_arena_create(&(tarn_arena_options){
        .parent = &root, .name = "a child with a name that is longer than its column"});
    (void)tarn_arena_alloc(child, 20000);
    static char buffer[5000];
    static tarn_arena third;
    tarn_arena_init(
        &third, &(tarn_arena_options){.parent = child, .name = "third", .buffer = {buffer, 5000}});
    (void)tarn_arena_alloc(&third, 400000);
    static text to;
    to.length = 0;
    tarn_arena_report(&root, add_text, &to);
    const size_t used[] = {1000, tarn_arena_used(child), 400000};
    const size_t footprint[] = {16384, tarn_arena_stats(child).footprint,
                                tarn_arena_stats(&third).footprint};
    char wanted[1000];
    snprintf(wanted, sizeof wanted,
             "arena                                    used    footprint  chunks   large\n"
             "root                                     1000        16384       1       0\n"
             "  a child with a name that is longer than its column %12zu %12zu       2       0\n"
             "    third                        %12zu %12zu       1       1\n"
             "total                            %12zu %12zu       4       1\n",
             used[1], footprint[1], used[2], footprint[2], used[0] + used[1] + used[2],
             footprint[0] + footprint[1] + footprint[2]);
    assert_string_equal(to.bytes, wanted);
    to.length = 0;
    tarn_arena_report(NULL, add_text, &to);
    assert_non_null(strstr(to.bytes, "    third   "));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleanups_run_the_newest_first),
        cmocka_unit_test(a_cleanup_may_be_cancelled_or_run_early),
        cmocka_unit_test(cancelled_cleanups_leave_their_room_to_others),
        cmocka_unit_test(a_cleanup_may_use_its_arena),
        cmocka_unit_test(a_cleanup_may_end_another_arena),
        cmocka_unit_test(a_cleanup_may_trim_what_is_reset),
        cmocka_unit_test(a_reset_from_inside_a_cleanup_is_fatal),
        cmocka_unit_test(an_overwritten_cleanup_is_not_called),
        cmocka_unit_test(children_end_with_their_parent),
        cmocka_unit_test(a_release_ends_only_the_children_after_its_mark),
        cmocka_unit_test(a_child_in_the_callers_storage_may_be_ended_again),
        cmocka_unit_test(children_may_end_in_any_order),
        cmocka_unit_test(a_deep_tree_ends_without_a_deep_stack),
        cmocka_unit_test(a_child_takes_from_the_upstream_of_its_parent),
        cmocka_unit_test(a_limit_holds_for_all_below_it),
        cmocka_unit_test(a_child_inherits_whom_to_tell_of_a_shortage),
        cmocka_unit_test(children_may_be_used_by_a_thread_each),
        cmocka_unit_test(an_arena_may_change_its_parent),
        cmocka_unit_test(a_visit_shows_each_arena_before_its_children),
        cmocka_unit_test(all_arenas_of_the_process_are_listed),
        cmocka_unit_test(a_report_is_a_table_with_a_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
