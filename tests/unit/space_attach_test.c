/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/space.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/space_tools.h"
#include "unit/tools.h"

/* ---- what the kernel says ---- */

typedef struct mapping {
    uintptr_t start;
    uintptr_t end;
    char access[5];
    uint64_t offset;
    uint64_t inode;
} mapping;

/* The mappings of this process that reach into the window. */
static size_t read_maps(const unsigned char *window, size_t size, mapping *maps, size_t most)
{
    FILE *file = fopen("/proc/self/maps", "r");
    assert_non_null(file);
    char line[512];
    size_t count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        mapping it;
        unsigned long start;
        unsigned long end;
        unsigned long offset;
        unsigned long inode;
        assert_int_equal(
            sscanf(line, "%lx-%lx %4s %lx %*s %lu", &start, &end, it.access, &offset, &inode), 5);
        it.start = start;
        it.end = end;
        it.offset = offset;
        it.inode = inode;
        if (it.end > (uintptr_t)window && it.start < (uintptr_t)window + size) {
            assert_true(count < most);
            maps[count++] = it;
        }
    }
    fclose(file);
    return count;
}

static uint64_t inode_of(int descriptor)
{
    char path[64];
    char line[256];
    unsigned long inode = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", descriptor);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "ino: %lu", &inode);
    }
    fclose(file);
    return inode;
}

enum { MAPS_MOST = 4096 };

/* Every page of the window is mapped as the table says, and not else. */
static void assert_agrees(tarn_space *space, uint64_t address, const void *window, size_t size)
{
    static mapping maps[MAPS_MOST];
    const size_t count = read_maps(window, size, maps, MAPS_MOST);
    const uint64_t inode = inode_of(tarn_frames_descriptor(space->frames));
    size_t at = 0;
    for (size_t offset = 0; offset < size; offset += PAGE) {
        tarn_frame frame = 0;
        const unsigned bits = tarn_space_look(space, address + offset, &frame);
        const uintptr_t place = (uintptr_t)window + offset;
        while (at < count && maps[at].end <= place) {
            at++;
        }
        assert_true(at < count && maps[at].start <= place);
        const mapping *it = &maps[at];
        if ((bits & TARN_PAGE_PRESENT) == 0 || (bits & TARN_PAGE_USER) == 0) {
            assert_string_equal(it->access, "---p");
            assert_int_equal(it->inode, 0);
        } else {
            assert_string_equal(it->access, (bits & TARN_PAGE_WRITABLE) != 0 ? "rw-s" : "r--s");
            assert_int_equal(it->inode, inode);
            assert_int_equal(it->offset + (place - it->start), (uint64_t)frame * PAGE);
        }
    }
}

/* The number of the physical page, 0 if the system does not say. */
static uint64_t physical(const void *address)
{
    uint64_t entry = 0;
    const int file = open("/proc/self/pagemap", O_RDONLY);
    const off_t at = (off_t)((uintptr_t)address / PAGE * sizeof entry);
    if (file < 0 || pread(file, &entry, sizeof entry, at) != sizeof entry) {
        entry = 0;
    }
    if (file >= 0) {
        close(file);
    }
    return entry >> 63 != 0 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

/* Each page of the window that can be read is the physical page that its frame is. */
static void assert_same_memory(tarn_space *space, uint64_t address, const unsigned char *window,
                               size_t size)
{
    for (size_t offset = 0; offset < size; offset += PAGE) {
        tarn_frame frame = 0;
        const unsigned bits = tarn_space_look(space, address + offset, &frame);
        if ((bits & TARN_PAGE_USER) != 0) {
            const volatile unsigned char *here = window + offset;
            const volatile unsigned char *there = tarn_frames_at(space->frames, frame);
            assert_int_equal(*here, *there);
            const uint64_t number = physical((const void *)here);
            assert_int_equal(number, physical((const void *)there));
        }
    }
}

/* ---- faults of the processor ---- */

static sigjmp_buf back;
static volatile unsigned char sink; /* a load that nobody wants is none to Valgrind */

static void jump_back(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

/* True if the access faults, seen by an action for SIGSEGV such as programs have. */
static bool faults(volatile unsigned char *place, bool is_store)
{
    struct sigaction before;
    const struct sigaction action = {.sa_handler = jump_back};
    sigaction(SIGSEGV, &action, &before);
    volatile bool has_faulted = true;
    heap_watch_pause(); /* the tools would report what is tried */
    if (sigsetjmp(back, 1) == 0) {
        if (is_store) {
            *place = 1;
        } else {
            sink = *place;
        }
        has_faulted = false;
    }
    heap_watch_resume();
    sigaction(SIGSEGV, &before, NULL);
    return has_faulted;
}

static void *attach(tarn_space *space, uint64_t page, uint64_t count, bool handles_stores)
{
    void *window = NULL;
    assert_int_equal(tarn_space_attach(space, page * PAGE, count * PAGE,
                                       &(tarn_attach_options){.handles_stores = handles_stores},
                                       &window),
                     TARN_OK);
    assert_non_null(window);
    return window;
}

/* ---- windows ---- */

static void pointers_reach_what_is_mapped_and_nothing_else(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 64);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 100, 4, RW), TARN_OK);
    assert_int_equal(map(&space, 106, 2, RO), TARN_OK);
    assert_int_equal(map(&space, 109, 1, TARN_PAGE_WRITABLE), TARN_OK);
    unsigned char *window = attach(&space, 98, 16, false);
    strcpy((char *)window + 2 * PAGE + 4090, "across the border");
    assert_text(&space, 100 * PAGE + 4090, "across the border");
    put(&space, 103 * PAGE, "by the table");
    assert_string_equal((char *)window + 5 * PAGE, "by the table");
    assert_agrees(&space, 98 * PAGE, window, 16 * PAGE);
    assert_same_memory(&space, 98 * PAGE, window, 16 * PAGE);
    assert_true(faults(window, false));
    assert_true(faults(window + 7 * PAGE, false));
    assert_false(faults(window + 8 * PAGE, false));
    assert_true(faults(window + 8 * PAGE, true));
    assert_true(faults(window + 11 * PAGE, false)); /* not for users */
    assert_true(faults(window + 16 * PAGE, false)); /* behind the window */
    space_is_sound(&space);
    tarn_space_detach(&space, window);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void windows_follow_every_change(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    tarn_space child;
    make_frames(&frames, 256);
    make_space(&space, &frames);
    /* Two windows that overlap, and one that is apart. */
    unsigned char *one = attach(&space, 0, 100, false);
    unsigned char *two = attach(&space, 50, 100, false);
    unsigned char *three = attach(&space, 1000, 10, false);
    for (int step = 0; step < 9; step++) {
        switch (step) {
        case 0:
            assert_int_equal(map(&space, 40, 80, RW), TARN_OK);
            break;
        case 1:
            assert_int_equal(tarn_space_protect(&space, 60 * PAGE, 10 * PAGE, RO), TARN_OK);
            break;
        case 2:
            assert_int_equal(tarn_space_unmap(&space, 70 * PAGE, 5 * PAGE), TARN_OK);
            break;
        case 3:
            assert_int_equal(tarn_space_protect(&space, 80 * PAGE, 10 * PAGE, TARN_PAGE_WRITABLE),
                             TARN_OK);
            break;
        case 4:
            assert_int_equal(tarn_space_share(&space, 1000 * PAGE, &space, 50 * PAGE, 5 * PAGE, RW),
                             TARN_OK);
            break;
        case 5:
            assert_int_equal(tarn_space_protect(&space, 80 * PAGE, 10 * PAGE, RW), TARN_OK);
            break;
        case 6:
            assert_int_equal(tarn_space_fork(&space, &child, NULL), TARN_OK);
            break;
        case 7:
            put(&space, 90 * PAGE, "own");
            break;
        default:
            assert_int_equal(map(&space, 10, 5, RW), TARN_OK);
        }
        assert_agrees(&space, 0, one, 100 * PAGE);
        assert_agrees(&space, 50 * PAGE, two, 100 * PAGE);
        assert_agrees(&space, 1000 * PAGE, three, 10 * PAGE);
        assert_same_memory(&space, 50 * PAGE, two, 100 * PAGE);
        space_is_sound(&space);
    }
    three[0] = 77;
    assert_int_equal(two[0], 77);
    assert_string_equal((char *)two + 40 * PAGE, "own");
    tarn_space_deinit(&child);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void neighbours_are_one_mapping(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    mapping maps[8];
    make_frames(&frames, 2048);
    make_space(&space, &frames);
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 1000, &first), TARN_OK);
    unsigned char *window = attach(&space, 0, 1010, false);
    const tarn_map_options options = {.access = RW, .frame = first};
    assert_int_equal(tarn_space_map(&space, 5 * PAGE, 1000 * PAGE, &options), TARN_OK);
    /* Before, the frames, behind. */
    assert_int_equal(read_maps(window, 1010 * PAGE, maps, 8), 3);
    tarn_space_deinit(&space);
    tarn_frames_release(&frames, first, 1000);
    end_frames(&frames);
}

static void two_windows_with_the_same_address_keep_apart(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space one;
    tarn_space other;
    make_frames(&frames, 64);
    make_space(&one, &frames);
    make_space(&other, &frames);
    assert_int_equal(map(&one, 5, 4, RW), TARN_OK);
    assert_int_equal(map(&other, 5, 4, RW), TARN_OK);
    unsigned char *a = attach(&one, 5, 4, false);
    unsigned char *b = attach(&other, 5, 4, false);
    memset(a, 'a', 4 * PAGE);
    memset(b, 'b', 4 * PAGE);
    for (size_t i = 0; i < 4 * PAGE; i++) {
        assert_int_equal(a[i], 'a');
    }
    tarn_space_deinit(&one);
    for (size_t i = 0; i < 4 * PAGE; i++) {
        assert_int_equal(b[i], 'b');
    }
    tarn_space_deinit(&other);
    end_frames(&frames);
}

static void windows_that_cannot_be_are_refused(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    void *window = NULL;
    make_frames(&frames, 8);
    make_space(&space, &frames);
    assert_int_equal(tarn_space_attach(&space, 0, 0, NULL, &window), TARN_TOO_LARGE);
    assert_int_equal(tarn_space_attach(&space, 1, PAGE, NULL, &window), TARN_BAD_LAYOUT);
    assert_int_equal(tarn_space_attach(&space, UINT64_C(1) << 47, PAGE, NULL, &window),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_attach(&space, 0, UINT64_C(1) << 63, NULL, &window),
                     TARN_TOO_LARGE);
    assert_int_equal(tarn_space_attach(&space, 0, UINT64_C(1) << 47, NULL, &window),
                     TARN_NO_MEMORY);
    assert_null(window);
    tarn_space_deinit(&space);
    assert_int_equal(
        tarn_space_init(&space, &(tarn_space_options){.frames = &frames, .limit = 64 * PAGE}),
        TARN_OK);
    assert_int_equal(map(&space, 63, 1, RW), TARN_OK);
    assert_int_equal(tarn_space_attach(&space, 64 * PAGE, 0, NULL, &window), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_attach(&space, 0, 0, NULL, &window), TARN_OK);
    strcpy((char *)window + 63 * PAGE, "the last page");
    assert_text(&space, 63 * PAGE, "the last page");
    assert_int_equal(tarn_space_stats(&space).windows, 1);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

/* ---- stores to pages that are copy on write ---- */

/* Valgrind goes on after a fault with registers that are not those of the instruction, unless it is told to keep them:
 * --vex-iropt-register-updates=allregs-at-mem-access. */
#define NEEDS_EXACT_FAULTS()                                                                       \
    do {                                                                                           \
        if (IS_UNDER_VALGRIND) {                                                                   \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

static void a_store_by_a_pointer_copies_the_page_first(void **state)
{
    (void)state;
    NEEDS_EXACT_FAULTS();
    tarn_frames frames;
    tarn_space space;
    tarn_space image;
    make_frames(&frames, 64);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 0, 16, RW), TARN_OK);
    unsigned char *window = attach(&space, 0, 20, true);
    memset(window, 'x', 16 * PAGE);
    assert_int_equal(tarn_space_snapshot(&space, &image), TARN_OK);
    const unsigned char *then = attach(&image, 0, 16, false);
    assert_agrees(&space, 0, window, 20 * PAGE);
    assert_agrees(&image, 0, then, 16 * PAGE);
    for (size_t page = 0; page < 16; page += 2) {
        window[page * PAGE + 17] = 'y';
    }
    for (size_t i = 0; i < 16 * PAGE; i++) {
        assert_int_equal(then[i], 'x');
        assert_int_equal(window[i], i % (2 * PAGE) == 17 ? 'y' : 'x');
    }
    assert_int_equal(tarn_space_stats(&space).stores, 8);
    assert_int_equal(tarn_space_stats(&space).copies, 8);
    assert_int_equal(tarn_space_look(&space, 0, NULL) & TARN_PAGE_DIRTY, TARN_PAGE_DIRTY);
    assert_agrees(&space, 0, window, 20 * PAGE);
    assert_same_memory(&space, 0, window, 20 * PAGE);
    tarn_space_deinit(&image);
    /* Nobody has the others any more: the page becomes writable where it is. */
    window[PAGE] = 'z';
    assert_int_equal(tarn_space_stats(&space).stores, 9);
    assert_int_equal(tarn_space_stats(&space).copies, 8);
    assert_agrees(&space, 0, window, 20 * PAGE);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void other_faults_go_to_the_action_before(void **state)
{
    (void)state;
    NEEDS_EXACT_FAULTS();
    tarn_frames frames;
    tarn_space space;
    tarn_space image;
    struct sigaction mine = {.sa_handler = jump_back};
    struct sigaction original;
    struct sigaction now;
    make_frames(&frames, 64);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 0, 4, RW), TARN_OK);
    assert_int_equal(map(&space, 4, 4, RO), TARN_OK);
    sigaction(SIGSEGV, &mine, &original);
    unsigned char *window = attach(&space, 0, 16, true);
    assert_int_equal(tarn_space_snapshot(&space, &image), TARN_OK);
    static const size_t pages[] = {4, 8};
    for (size_t i = 0; i < 4; i++) {
        volatile unsigned char *place = window + pages[i / 2] * PAGE;
        volatile bool has_faulted = true;
        heap_watch_pause();
        if (sigsetjmp(back, 1) == 0) {
            if (i % 2 == 0) {
                *place = 1;
            } else {
                sink = *place;
            }
            has_faulted = false;
        }
        heap_watch_resume();
        assert_int_equal(has_faulted, i != 1); /* what is read only can be read */
    }
    window[0] = 1;
    assert_int_equal(tarn_space_stats(&space).stores, 1);
    unsigned char *second = attach(&space, 0, 16, true);
    tarn_space_detach(&space, window);
    second[PAGE] = 1;
    tarn_space_detach(&space, second);
    sigaction(SIGSEGV, &original, &now);
    assert_true(now.sa_handler == jump_back);
    tarn_space_deinit(&image);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static int seen_faults;

static void count_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    seen_faults++;
    assert_non_null(info->si_addr);
    siglongjmp(back, 1);
}

static void actions_of_both_kinds_are_called(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    struct sigaction mine = {.sa_sigaction = count_fault, .sa_flags = SA_SIGINFO};
    struct sigaction original;
    make_frames(&frames, 8);
    make_space(&space, &frames);
    sigaction(SIGSEGV, &mine, &original);
    volatile unsigned char *window = attach(&space, 0, 16, true);
    heap_watch_pause();
    if (sigsetjmp(back, 1) == 0) {
        *window = 1;
    }
    heap_watch_resume();
    assert_int_equal(seen_faults, 1);
    tarn_space_deinit(&space);
    sigaction(SIGSEGV, &original, NULL);
    end_frames(&frames);
}

static int end_of(void (*action)(int), void (*act)(unsigned char *window))
{
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 8);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 0, 1, RO), TARN_OK);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, action);
        act(attach(&space, 0, 16, true));
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    tarn_space_deinit(&space);
    end_frames(&frames);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void store_where_nothing_is(unsigned char *window)
{
    *(volatile unsigned char *)(window + PAGE) = 1;
}

static void store_to_what_is_read_only(unsigned char *window)
{
    *(volatile unsigned char *)window = 1;
}

static void send_the_signal(unsigned char *window)
{
    (void)window;
    raise(SIGSEGV);
}

static void without_an_action_the_process_ends_as_it_would(void **state)
{
    (void)state;
    assert_int_equal(end_of(SIG_DFL, store_where_nothing_is), SIGSEGV);
    assert_int_equal(end_of(SIG_DFL, store_to_what_is_read_only), SIGSEGV);
    assert_int_equal(end_of(SIG_DFL, send_the_signal), SIGSEGV);
    /* A signal can be ignored, a fault cannot. */
    assert_int_equal(end_of(SIG_IGN, send_the_signal), 0);
    assert_int_equal(end_of(SIG_IGN, store_where_nothing_is), SIGSEGV);
}

static int calls_of_once;

static void note_once(int number)
{
    (void)number;
    if (++calls_of_once > 1) {
        _exit(3);
    }
}

/* An action for one call, as reports of crashes are made by. */
static void store_with_an_action_for_once(unsigned char *window)
{
    tarn_space other;
    tarn_frames frames;
    const struct sigaction once = {.sa_handler = note_once, .sa_flags = (int)SA_RESETHAND};
    (void)window;
    make_frames(&frames, 8);
    make_space(&other, &frames);
    sigaction(SIGSEGV, &once, NULL);
    unsigned char *second = attach(&other, 0, 16, true);
    *(volatile unsigned char *)second = 1;
}

static void an_action_for_one_call_is_called_once(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        store_with_an_action_for_once(NULL);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void windows_are_handled_again_after_the_action_was_reset(void **state)
{
    (void)state;
    NEEDS_EXACT_FAULTS();
    tarn_frames frames;
    tarn_space space;
    tarn_space image;
    struct sigaction original;
    const struct sigaction mine = {.sa_handler = jump_back};
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    make_frames(&frames, 64);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 0, 4, RW), TARN_OK);
    sigaction(SIGSEGV, NULL, &original);
    unsigned char *window = attach(&space, 0, 16, true);
    sigaction(SIGSEGV, &mine, NULL); /* in front of the window's */
    tarn_space_detach(&space, window);
    sigaction(SIGSEGV, &standard, NULL);
    window = attach(&space, 0, 16, true);
    assert_int_equal(tarn_space_snapshot(&space, &image), TARN_OK);
    window[0] = 1;
    assert_int_equal(tarn_space_stats(&space).stores, 1);
    tarn_space_deinit(&image);
    tarn_space_deinit(&space);
    sigaction(SIGSEGV, &original, NULL);
    end_frames(&frames);
}

static void a_forked_child_cannot_change_the_parents_pages(void **state)
{
    (void)state;
    NEEDS_EXACT_FAULTS();
    tarn_frames frames;
    tarn_space space;
    tarn_space image;
    make_frames(&frames, 8);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 0, 2, RW), TARN_OK);
    void (*before)(int) = signal(SIGSEGV, SIG_DFL);
    unsigned char *window = attach(&space, 0, 2, true);
    assert_int_equal(tarn_space_snapshot(&space, &image), TARN_OK);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        *(volatile unsigned char *)window = 1;
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(tarn_frames_stats(&frames).used, 2);
    window[0] = 2;
    assert_text(&image, 0, "");
    tarn_space_deinit(&image);
    tarn_space_deinit(&space);
    signal(SIGSEGV, before);
    end_frames(&frames);
}

/* ---- a snapshot while other threads write ---- */

enum { WRITERS = 3, CELLS = 64 };

typedef struct writer {
    pthread_t thread;
    unsigned char *window;
    _Atomic(bool) *stop;
    unsigned number;
    uint64_t rounds;
} writer;

/* Counts the cells up, one after the other, each on a page of its own: at any moment the counts never rise from one to
 * the next, and differ by one at most. */
static void *write_on(void *context)
{
    writer *it = context;
    while (!atomic_load_explicit(it->stop, memory_order_relaxed)) {
        it->rounds++;
        for (size_t cell = 0; cell < CELLS; cell++) {
            _Atomic(uint64_t) *place =
                (_Atomic(uint64_t) *)(void *)(it->window + cell * PAGE + 64 * it->number);
            atomic_store_explicit(place, it->rounds, memory_order_release);
        }
    }
    return NULL;
}

/* Waits until the thread has written since the image was taken. */
static void wait_for(const writer *it, const unsigned char *then)
{
    const size_t offset = (CELLS - 1) * PAGE + 64 * it->number;
    uint64_t before = 0;
    memcpy(&before, then + offset, sizeof before);
    const _Atomic(uint64_t) *now = (const _Atomic(uint64_t) *)(const void *)(it->window + offset);
    while (atomic_load_explicit(now, memory_order_acquire) == before) {
        sched_yield();
    }
}

static void an_image_is_of_one_moment_while_threads_write(void **state)
{
    (void)state;
    NEEDS_EXACT_FAULTS();
    tarn_frames frames;
    tarn_space space;
    writer writers[WRITERS];
    _Atomic(bool) stop = false;
    make_frames(&frames, 4 * CELLS);
    assert_int_equal(
        tarn_space_init(&space, &(tarn_space_options){.frames = &frames, .reserves_copies = true}),
        TARN_OK);
    assert_int_equal(map(&space, 0, CELLS, RW), TARN_OK);
    unsigned char *window = attach(&space, 0, CELLS + 8, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.window = window, .stop = &stop, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    const int images = IS_UNDER_NO_TOOL ? 100 : 20;
    for (int i = 0; i < images; i++) {
        tarn_space image;
        assert_int_equal(tarn_space_snapshot(&space, &image), TARN_OK);
        const unsigned char *then = attach(&image, 0, CELLS, false);
        /* Other calls, too, while the threads store. */
        assert_int_equal(map(&space, CELLS, 3, RW), TARN_OK);
        assert_int_equal(tarn_space_protect(&space, CELLS * PAGE, PAGE, RO), TARN_OK);
        space_is_sound(&space);
        assert_true(tarn_space_stats(&space).pages == CELLS + 3);
        assert_int_equal(tarn_space_unmap(&space, CELLS * PAGE, 3 * PAGE), TARN_OK);
        for (int look = 0; look < 2; look++) {
            if (look == 1) {
                wait_for(&writers[i % WRITERS], then);
            }
            for (unsigned number = 0; number < WRITERS; number++) {
                uint64_t before = 0;
                uint64_t first = 0;
                for (size_t cell = 0; cell < CELLS; cell++) {
                    uint64_t value = 0;
                    memcpy(&value, then + cell * PAGE + 64 * number, sizeof value);
                    first = cell == 0 ? value : first;
                    assert_true(cell == 0 || value <= before);
                    assert_true(value + 1 >= first);
                    before = value;
                }
            }
        }
        tarn_space_deinit(&image);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        for (size_t cell = 0; cell < CELLS; cell++) {
            uint64_t value = 0;
            memcpy(&value, window + cell * PAGE + 64 * i, sizeof value);
            assert_int_equal(value, writers[i].rounds);
        }
    }
    assert_true(tarn_space_stats(&space).stores > 0);
    assert_agrees(&space, 0, window, CELLS * PAGE);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

/* ---- limits of the system ---- */

/* Takes all mappings that the process may have, but `spare`. */
static void *take_mappings(size_t size, size_t spare)
{
    unsigned char *start =
        mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(start != MAP_FAILED);
    size_t page = 1;
    while (page * PAGE < size && mprotect(start + page * PAGE, PAGE, PROT_READ) == 0) {
        page += 2;
    }
    assert_true(page * PAGE < size);
    for (; spare > 0; spare -= 2) {
        page -= 2;
        assert_int_equal(mprotect(start + page * PAGE, PAGE, PROT_NONE), 0);
    }
    return start;
}

static void refuses_at_the_limit_and_changes_nothing(size_t spare)
{
    tarn_frames frames;
    tarn_space space;
    tarn_space child;
    tarn_frame singles[40];
    tarn_frame apart[40];
    const size_t size = (size_t)70000 * PAGE * 2;
    make_frames(&frames, 512);
    make_space(&space, &frames);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(tarn_frames_alloc(&frames, 1, &singles[i]), TARN_OK);
        assert_int_equal(tarn_frames_alloc(&frames, 1, &apart[i]), TARN_OK);
    }
    assert_int_equal(map(&space, 10, 30, RW), TARN_OK);
    assert_int_equal(tarn_space_protect(&space, 20 * PAGE, PAGE, RO), TARN_OK);
    unsigned char *window = attach(&space, 0, 200, true);
    unsigned char *other = attach(&space, 100, 100, false);
    memset(window + 10 * PAGE, 'x', 10 * PAGE);
    /* The allocator of the test is not to need mappings meanwhile. */
    free(malloc((size_t)1 << 16));
    assert_agrees(&space, 0, window, 200 * PAGE);
    void *taken = take_mappings(size, spare);
    unsigned refused = 0;
    /* Frames that are no neighbours, each a mapping of its own; in both windows. */
    size_t mapped = 0;
    for (; mapped < 40 && refused == 0; mapped++) {
        const tarn_map_options options = {.access = RW, .frame = singles[mapped]};
        const tarn_page_stats before = tarn_space_stats(&space);
        const tarn_status status = tarn_space_map(&space, (120 + mapped) * PAGE, PAGE, &options);
        if (status != TARN_OK) {
            const tarn_page_stats after = tarn_space_stats(&space);
            assert_int_equal(status, TARN_NO_MEMORY);
            assert_int_equal(after.pages, before.pages);
            assert_int_equal(tarn_space_look(&space, (120 + mapped) * PAGE, NULL), 0);
            assert_int_equal(tarn_frames_references(&frames, singles[mapped]), 1);
            refused++;
        }
    }
    assert_int_equal(refused, 1);
    /* Holes in the middle of mappings. */
    refused = 0;
    for (size_t page = 11; page < 19; page += 2) {
        const tarn_status status = tarn_space_unmap(&space, page * PAGE, PAGE);
        assert_true(status == TARN_OK || status == TARN_NO_MEMORY);
        refused += status != TARN_OK;
        assert_int_equal(tarn_space_look(&space, page * PAGE, NULL) != 0, status != TARN_OK);
    }
    assert_true(refused > 0);
    refused = 0;
    for (size_t page = 22; page < 38; page += 3) {
        const tarn_status status = tarn_space_protect(&space, page * PAGE, PAGE, RO);
        assert_true(status == TARN_OK || status == TARN_NO_MEMORY);
        refused += status != TARN_OK;
        assert_int_equal((tarn_space_look(&space, page * PAGE, NULL) & TARN_PAGE_WRITABLE) != 0,
                         status != TARN_OK);
    }
    assert_true(refused > 0);
    void *third = NULL;
    assert_int_equal(tarn_space_attach(&space, 0, 200 * PAGE, NULL, &third), TARN_NO_MEMORY);
    /* A fork makes fewer mappings of many, and then each copy takes one more. */
    const tarn_status forked = tarn_space_fork(&space, &child, NULL);
    refused = 0;
    if (forked == TARN_OK) {
        for (size_t page = 10; page < 40; page += 2) {
            if ((tarn_space_look(&space, page * PAGE, NULL) & TARN_PAGE_COPY) != 0) {
                const tarn_fault fault = tarn_space_write(&space, page * PAGE, "y", 1, 0, NULL);
                assert_true(fault == TARN_FAULT_NONE || fault == TARN_FAULT_NO_MEMORY);
                refused += fault != TARN_FAULT_NONE;
            }
        }
        tarn_space_deinit(&child);
    }
    assert_true(forked == TARN_NO_MEMORY || refused > 0);
    munmap(taken, size);
    assert_agrees(&space, 0, window, 200 * PAGE);
    assert_agrees(&space, 100 * PAGE, other, 100 * PAGE);
    assert_same_memory(&space, 0, window, 200 * PAGE);
    space_is_sound(&space);
    /* And all of it goes on. */
    assert_int_equal(tarn_space_unmap(&space, 0, 200 * PAGE), TARN_OK);
    assert_agrees(&space, 0, window, 200 * PAGE);
    tarn_space_deinit(&space);
    for (size_t i = 0; i < 40; i++) {
        tarn_frames_release(&frames, singles[i], 1);
        tarn_frames_release(&frames, apart[i], 1);
    }
    end_frames(&frames);
}

static void too_many_mappings_leave_space_and_windows_as_they_were(void **state)
{
    (void)state;
    if (!IS_UNDER_NO_TOOL) {
        skip(); /* the tools need mappings of their own */
    }
    for (size_t spare = 0; spare <= 24; spare += 2) {
        refuses_at_the_limit_and_changes_nothing(spare);
    }
}

static void large_windows_take_no_memory(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 8);
    make_space(&space, &frames);
    const uint64_t far = UINT64_C(1) << (IS_UNDER_NO_TOOL ? 44 : 36);
    unsigned char *window = attach(&space, 0, 2 * far / PAGE, false);
    assert_int_equal(map(&space, far / PAGE, 1, RW), TARN_OK);
    strcpy((char *)window + far, "far away");
    assert_text(&space, far, "far away");
    tarn_space_deinit(&space);
    end_frames(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointers_reach_what_is_mapped_and_nothing_else),
        cmocka_unit_test(windows_follow_every_change),
        cmocka_unit_test(neighbours_are_one_mapping),
        cmocka_unit_test(two_windows_with_the_same_address_keep_apart),
        cmocka_unit_test(windows_that_cannot_be_are_refused),
        cmocka_unit_test(a_store_by_a_pointer_copies_the_page_first),
        cmocka_unit_test(other_faults_go_to_the_action_before),
        cmocka_unit_test(actions_of_both_kinds_are_called),
        cmocka_unit_test(without_an_action_the_process_ends_as_it_would),
        cmocka_unit_test(an_action_for_one_call_is_called_once),
        cmocka_unit_test(windows_are_handled_again_after_the_action_was_reset),
        cmocka_unit_test(a_forked_child_cannot_change_the_parents_pages),
        cmocka_unit_test(an_image_is_of_one_moment_while_threads_write),
        cmocka_unit_test(too_many_mappings_leave_space_and_windows_as_they_were),
        cmocka_unit_test(large_windows_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
