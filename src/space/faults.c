/* SPDX-License-Identifier: MIT */
#include "space/core.h"

#include <pthread.h>

/*
 * Stores through windows to pages that are copy on write: which window, and then the same as a write through the table.
 *
 * All windows of the process that handle stores are in one tree by their addresses, a treap: heavier ones above, and the
 * weight is the address, scrambled. Its lock is held while a window is looked up, and not while a page is copied: until
 * then the space counts who is inside.
 *
 * All of this runs inside of a signal handler. The thread that faulted can hold none of the locks here: whoever holds one
 * touches no window, and no handler of another signal may interrupt it and do so (tarn/space.h).
 *
 * Source: Seidel and Aragon, "Randomized Search Trees" (Algorithmica 16, 1996).
 */

static os_lock tree_lock;
static space_window *tree;

/* ---- the tree ---- */

static uint64_t weight_of(const void *start)
{
    uint64_t weight = (uint64_t)(uintptr_t)start * UINT64_C(0x9E3779B97F4A7C15);
    return weight ^ weight >> 32;
}

/* Divides a tree into what is below an address and what is not. */
static void split(space_window *from, const unsigned char *at, space_window **below,
                  space_window **rest)
{
    while (from != NULL) {
        if (from->start < at) {
            *below = from;
            below = &from->right;
            from = *below;
        } else {
            *rest = from;
            rest = &from->left;
            from = *rest;
        }
    }
    *below = NULL;
    *rest = NULL;
}

static void insert(space_window *window)
{
    space_window **link = &tree;
    while (*link != NULL && (*link)->weight >= window->weight) {
        link = window->start < (*link)->start ? &(*link)->left : &(*link)->right;
    }
    split(*link, window->start, &window->left, &window->right);
    *link = window;
}

static void withdraw(const space_window *window)
{
    space_window **link = &tree;
    while (*link != window) {
        link = window->start < (*link)->start ? &(*link)->left : &(*link)->right;
    }
    space_window *left = window->left;
    space_window *right = window->right;
    while (left != NULL && right != NULL) {
        if (left->weight >= right->weight) {
            *link = left;
            link = &left->right;
            left = *link;
        } else {
            *link = right;
            link = &right->left;
            right = *link;
        }
    }
    *link = left != NULL ? left : right;
}

static space_window *find(const unsigned char *address)
{
    space_window *at = tree;
    while (at != NULL && (address < at->start || address >= at->start + at->size)) {
        at = address < at->start ? at->left : at->right;
    }
    return at;
}

/* ---- faults ---- */

/* Under the space's lock. */
static bool handle_store(tarn_space *space, uint64_t page, unsigned access)
{
    const uint64_t *slot = table_entry(space, page);
    const uint64_t entry = slot != NULL ? *slot : 0;
    if ((entry & TARN_PAGE_USER) == 0 || access == OS_READ) {
        return false;
    }
    if ((entry & TARN_PAGE_WRITABLE) != 0) {
        /* Another thread's store, or a call, was faster. */
        return true;
    }
    if ((entry & TARN_PAGE_COPY) == 0 || space_own(space, page) != TARN_FAULT_NONE) {
        return false;
    }
    table_change(space, page, 1, 0, TARN_PAGE_ACCESSED | TARN_PAGE_DIRTY);
    space->books.stores++;
    return true;
}

static bool on_fault(void *address, unsigned access)
{
    os_lock_take(&tree_lock);
    const space_window *window = find(address);
    /* A forked child has the parent's windows, but its tables are copies that nobody counts. */
    if (window == NULL || window->process != os_process_id()) {
        os_lock_release(&tree_lock);
        return false;
    }
    tarn_space *space = window->space;
    const uint64_t page =
        window->page + ((uint64_t)((unsigned char *)address - window->start) >> space->shift);
    (void)__atomic_add_fetch(&space->users, 1, __ATOMIC_ACQ_REL);
    os_lock_release(&tree_lock);
    heap_lock_take(&space->lock);
    const bool is_handled = handle_store(space, page, access);
    heap_lock_release(&space->lock);
    (void)__atomic_sub_fetch(&space->users, 1, __ATOMIC_ACQ_REL);
    return is_handled;
}

/* The child of a fork does not have the thread that may have held the lock; what the tree says is of no use there. */
static void in_child(void)
{
    atomic_store_explicit(&tree_lock.state, 0, memory_order_relaxed);
    tree = NULL;
    os_faults_leave();
}

static void care_for_forks(void)
{
    (void)pthread_atfork(NULL, NULL, in_child);
}

bool faults_watch(space_window *window)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, care_for_forks);
    window->weight = weight_of(window->start);
    os_lock_take(&tree_lock);
    const bool is_ready = tree != NULL || os_faults_handle(on_fault) == 0;
    if (is_ready) {
        insert(window);
    }
    os_lock_release(&tree_lock);
    return is_ready;
}

void faults_unwatch(space_window *window)
{
    os_lock_take(&tree_lock);
    withdraw(window);
    if (tree == NULL) {
        os_faults_leave();
    }
    os_lock_release(&tree_lock);
}

void faults_wait(tarn_space *space)
{
    uint32_t users = 0;
    while ((users = __atomic_load_n(&space->users, __ATOMIC_ACQUIRE)) != 0) {
        os_wait((_Atomic(uint32_t) *)(void *)&space->users, users, 1);
    }
}
