/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "space/frames.h"
#include "tarn/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/fatal.h"
#include "unit/tools.h"

static void init(tarn_frames *frames, size_t count)
{
    assert_int_equal(tarn_frames_init(frames, &(tarn_frames_options){.count = count}), TARN_OK);
}

static void assert_sound(tarn_frames *frames)
{
    char fault[200] = "";
    if (!tarn_frames_check(frames, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

static bool is_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void all_that_was_asked_for_can_be_handed_out(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 63, 64, 65, 1000, 1024, 5000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        tarn_frames frames;
        init(&frames, counts[i]);
        assert_int_equal(tarn_frames_stats(&frames).count, counts[i]);
        unsigned char *seen = calloc(counts[i] + 64, 1);
        tarn_frame frame = 0;
        for (size_t n = 0; n < counts[i]; n++) {
            assert_int_equal(tarn_frames_alloc(&frames, 1, &frame), TARN_OK);
            assert_true(frame >= frames.first && frame < frames.total);
            assert_int_equal(seen[frame - frames.first]++, 0);
        }
        assert_int_equal(tarn_frames_alloc(&frames, 1, &frame), TARN_NO_ROOM);
        assert_int_equal(tarn_frames_stats(&frames).failures, 1);
        assert_sound(&frames);
        for (size_t n = 0; n < counts[i]; n++) {
            tarn_frames_release(&frames, frames.first + (tarn_frame)n, 1);
        }
        assert_sound(&frames);
        assert_int_equal(tarn_frames_stats(&frames).used, 0);
        assert_int_equal(tarn_frames_stats(&frames).peak_used, counts[i]);
        free(seen);
        tarn_frames_deinit(&frames);
    }
}

static void buddies_merge_whatever_the_order_of_release(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 1024);
    const size_t largest = tarn_frames_stats(&frames).largest_free;
    tarn_frame all[1024];
    for (size_t n = 0; n < 1024; n++) {
        assert_int_equal(tarn_frames_alloc(&frames, 1, &all[n]), TARN_OK);
    }
    for (size_t n = 0; n < 1024; n++) {
        tarn_frames_release(&frames, all[n * 389 % 1024], 1);
        if (n % 100 == 0) {
            assert_sound(&frames);
        }
    }
    assert_sound(&frames);
    assert_int_equal(tarn_frames_stats(&frames).largest_free, largest);
    tarn_frames_deinit(&frames);
}

static void a_run_is_exactly_as_long_as_asked_and_its_parts_can_go_one_by_one(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 500);
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 100, &first), TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).used, 100);
    tarn_frames_release(&frames, first + 50, 1);
    assert_int_equal(tarn_frames_stats(&frames).used, 99);
    tarn_frame one = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 1, &one), TARN_OK);
    assert_int_equal(tarn_frames_alloc(&frames, 300, &first), TARN_NO_ROOM);
    assert_int_equal(tarn_frames_alloc(&frames, 0, &one), TARN_BAD_LAYOUT);
    tarn_frames_release(&frames, first, 100);
    tarn_frames_release(&frames, first, 0);
    assert_sound(&frames);
    tarn_frames_deinit(&frames);
}

static void frames_read_as_zero_again_after_they_were_written(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 8);
    for (int round = 0; round < 3; round++) {
        tarn_frame first = 0;
        assert_int_equal(tarn_frames_alloc(&frames, 4, &first), TARN_OK);
        unsigned char *bytes = tarn_frames_at(&frames, first);
        assert_true(is_zero(bytes, 4 * tarn_frames_size(&frames)));
        memset(bytes, 0xAB, 4 * tarn_frames_size(&frames));
        tarn_frames_release(&frames, first, 4);
        if (round == 1) {
            assert_true(tarn_frames_trim(&frames) >= 4 * tarn_frames_size(&frames));
            assert_int_equal(tarn_frames_trim(&frames), 0);
            assert_true(is_zero(bytes, 4 * tarn_frames_size(&frames)));
        }
    }
    tarn_frames_deinit(&frames);
}

static void a_frame_goes_with_its_last_reference(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 8);
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 4, &first), TARN_OK);
    assert_int_equal(tarn_frames_share(&frames, first + 1, 2), TARN_OK);
    assert_int_equal(tarn_frames_share(&frames, first + 1, 0), TARN_OK);
    assert_int_equal(tarn_frames_references(&frames, first + 1), 2);
    tarn_frames_release(&frames, first, 4);
    assert_int_equal(tarn_frames_stats(&frames).used, 2);
    assert_int_equal(tarn_frames_references(&frames, first), 0);
    assert_int_equal(tarn_frames_references(&frames, first + 2), 1);
    assert_sound(&frames);
    tarn_frames_release(&frames, first + 1, 2);
    assert_int_equal(tarn_frames_stats(&frames).used, 0);
    assert_int_equal(tarn_frames_stats(&frames).frees, 4);
    tarn_frames_deinit(&frames);
}

static void a_frame_with_too_many_references_refuses_one_more(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 8);
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 2, &first), TARN_OK);
    frames.counts[first + 1] += COUNT_MAX - 1;
    assert_int_equal(tarn_frames_share(&frames, first, 2), TARN_TOO_LARGE);
    assert_int_equal(tarn_frames_references(&frames, first), 1);
    frames.counts[first + 1] -= COUNT_MAX - 1;
    tarn_frames_deinit(&frames);
}

static void options_that_cannot_be_are_refused(void **state)
{
    (void)state;
    tarn_frames frames;
    int error = -1;
    assert_int_equal(tarn_frames_init(&frames, &(tarn_frames_options){.count = 0, .error = &error}),
                     TARN_BAD_LAYOUT);
    assert_int_equal(error, 0);
    assert_int_equal(
        tarn_frames_init(&frames, &(tarn_frames_options){.count = 1, .frame_size = 8192}),
        TARN_BAD_LAYOUT);
    assert_int_equal(tarn_frames_init(&frames, &(tarn_frames_options){.count = SIZE_MAX}),
                     TARN_TOO_LARGE);
    assert_int_equal(tarn_frames_init(&frames, &(tarn_frames_options){.count = (size_t)1 << 31}),
                     TARN_TOO_LARGE);
}

static void large_pages_are_there_or_refused(void **state)
{
    (void)state;
    tarn_frames frames;
    int error = 0;
    const tarn_status status = tarn_frames_init(
        &frames,
        &(tarn_frames_options){.count = 2, .frame_size = (size_t)2 << 20, .error = &error});
    if (status != TARN_OK) {
        assert_true(status == TARN_NO_MEMORY || status == TARN_UNSUPPORTED);
        assert_int_not_equal(error, 0);
        return;
    }
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 1, &first), TARN_OK);
    memset(tarn_frames_at(&frames, first), 1, (size_t)2 << 20);
    tarn_frames_release(&frames, first, 1);
    tarn_frames_trim(&frames);
    assert_sound(&frames);
    tarn_frames_deinit(&frames);
}

static void memory_can_be_taken_at_once(void **state)
{
    (void)state;
    tarn_frames frames;
    assert_int_equal(
        tarn_frames_init(&frames, &(tarn_frames_options){.count = 100, .is_backed = true}),
        TARN_OK);
    struct stat about;
    assert_int_equal(fstat(tarn_frames_descriptor(&frames), &about), 0);
    assert_true(about.st_blocks >= 100 * 8);
    tarn_frames_deinit(&frames);
}

static void wide_loops_do_what_one_step_at_a_time_does(void **state)
{
    (void)state;
    static uint64_t entries[160];
    static uint32_t counts[160];
    static const uint32_t odd[] = {0, 1, 2, WIDE_COUNT_MAX - 1, WIDE_COUNT_MAX};
    for (uint32_t from = 0; from < 10; from++) {
        for (uint32_t count = 0; count < 140; count++) {
            memset(entries, 0xEE, sizeof entries);
            wide_fill(entries + from, count, 7, 3);
            for (uint32_t i = 0; i < 160; i++) {
                const bool is_in = i >= from && i < from + count;
                assert_true(entries[i] ==
                            (is_in ? 7 + 3 * (uint64_t)(i - from) : UINT64_C(0xEEEEEEEEEEEEEEEE)));
            }
            memset(entries, 0xEE, sizeof entries);
            wide_clear(entries + from, count);
            for (uint32_t i = 0; i < 160; i++) {
                const bool is_in = i >= from && i < from + count;
                assert_true(entries[i] == (is_in ? 0 : UINT64_C(0xEEEEEEEEEEEEEEEE)));
            }
            /* One count that is not as the others, with and without the bit that is no reference. */
            for (uint32_t kind = 0; kind < 10 && count > 0; kind++) {
                const uint32_t value = odd[kind / 2] | (kind % 2 == 0 ? 0 : COUNT_DIRTY);
                const uint32_t at = from + (count * 7 + kind * 13) % count;
                for (uint32_t i = 0; i < 160; i++) {
                    counts[i] = COUNT_DIRTY | (100 + i);
                }
                counts[at] = value;
                const bool is_bad = kind / 2 == 0 || kind / 2 == 4;
                assert_int_equal(wide_add(counts + from, count), is_bad);
                assert_true(counts[at] == value + 1);
                counts[at] = value;
                assert_int_equal(wide_subtract(counts + from, count), kind / 2 <= 1);
                assert_true(counts[at] == value - 1);
                for (uint32_t i = 0; i < 160; i++) {
                    assert_true(i == at || counts[i] == (COUNT_DIRTY | (100 + i)));
                }
            }
        }
    }
}

/* ---- what the system refuses ---- */

/* Runs the check in a child, since what it does to the process stays. */
static void in_child(void (*check)(void))
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        check();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void refuse(unsigned number, unsigned error)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _exit(0); /* nothing can be shown here */
    }
}

static void expect_refusal(tarn_status wanted, int wanted_error)
{
    tarn_frames frames;
    int error = 0;
    const tarn_status status =
        tarn_frames_init(&frames, &(tarn_frames_options){.count = 10, .error = &error});
    if (status != wanted || error != wanted_error) {
        fprintf(stderr, "status %d, error %d\n", status, error);
        _exit(1);
    }
}

static void without_memfd(void)
{
    refuse(__NR_memfd_create, EPERM);
    expect_refusal(TARN_UNSUPPORTED, EPERM);
}

static void without_that_call(void)
{
    refuse(__NR_memfd_create, ENOSYS);
    expect_refusal(TARN_UNSUPPORTED, ENOSYS);
}

static void without_size(void)
{
    refuse(__NR_ftruncate, ENOSPC);
    expect_refusal(TARN_NO_MEMORY, ENOSPC);
}

static void without_seals(void)
{
    refuse(__NR_fcntl, EPERM);
    expect_refusal(TARN_UNSUPPORTED, EPERM);
}

static void without_mappings(void)
{
    refuse(__NR_mmap, ENOMEM);
    expect_refusal(TARN_NO_MEMORY, ENOMEM);
}

static void without_descriptors(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    expect_refusal(TARN_NO_MEMORY, EMFILE);
}

static int count_descriptors(void)
{
    int count = 0;
    for (int i = 0; i < 200; i++) {
        count += fcntl(i, F_GETFD) >= 0;
    }
    return count;
}

static void without_backing(void)
{
    const int before = count_descriptors();
    tarn_frames frames;
    int error = 0;
    refuse(__NR_fallocate, ENOSPC);
    const tarn_status status = tarn_frames_init(
        &frames, &(tarn_frames_options){.count = 10, .is_backed = true, .error = &error});
    if (status != TARN_NO_MEMORY || error != ENOSPC || count_descriptors() != before) {
        _exit(1);
    }
}

static void what_the_system_refuses_is_a_status(void **state)
{
    (void)state;
    if (!IS_UNDER_VALGRIND) { /* which knows no filters, and keeps descriptors for itself */
        in_child(without_descriptors);
        in_child(without_memfd);
        in_child(without_that_call);
        in_child(without_size);
        in_child(without_backing);
    }
    if (IS_UNDER_NO_TOOL) {
        in_child(without_seals);
        in_child(without_mappings);
    }
}

/* ---- processes ---- */

static void a_second_process_sees_the_same_frames(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 100);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        tarn_frames other;
        tarn_frame first = 0;
        if (tarn_frames_open(&other, tarn_frames_descriptor(&frames), NULL) != TARN_OK ||
            tarn_frames_alloc(&other, 3, &first) != TARN_OK) {
            _exit(1);
        }
        memcpy(tarn_frames_at(&other, first), "from the child", 15);
        tarn_frames_set_root(&other, first);
        tarn_frames_deinit(&other);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    const tarn_frame root = tarn_frames_root(&frames);
    assert_string_equal(tarn_frames_at(&frames, root), "from the child");
    assert_int_equal(tarn_frames_stats(&frames).used, 3);
    tarn_frames_release(&frames, root, 3);
    assert_sound(&frames);
    tarn_frames_set_root(&frames, 0);
    tarn_frames_deinit(&frames);
}

static void survive_a_death(void)
{
    tarn_frames frames;
    init(&frames, 1024);
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 10, &first), TARN_OK);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        /* In the middle of everything: the maps are half written, and the counts say what is true. */
        frames_lock(&frames);
        (void)buddies_take(&frames, 100);
        memset(frames.maps->words, 0x55, 64);
        frames.head->free = 12345;
        raise(SIGKILL);
    }
    /* Dead, but not yet waited for: it has a number still. */
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    tarn_frame other = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 500, &other), TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).recoveries, 1);
    assert_int_equal(tarn_frames_stats(&frames).used, 510);
    assert_sound(&frames);
    waitpid(child, NULL, 0);
    tarn_frames_deinit(&frames);
}

static bool are_processes_known(void)
{
    tarn_frames frames;
    init(&frames, 1);
    const bool are_known = frames.is_peer != 0;
    tarn_frames_deinit(&frames);
    return are_known;
}

static void a_process_that_dies_with_the_lock_leaves_sound_books(void **state)
{
    (void)state;
    if (!are_processes_known()) {
        skip();
    }
    survive_a_death();
}

static void without_descriptors_of_processes(void)
{
    refuse(__NR_pidfd_open, ENOSYS);
    survive_a_death();
}

static void the_dead_are_found_on_older_kernels_too(void **state)
{
    (void)state;
    if (!are_processes_known() || IS_UNDER_VALGRIND) {
        skip();
    }
    in_child(without_descriptors_of_processes);
}

static void who_finds_the_lock_held_sleeps_until_it_is_released(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 10);
    frames_lock(&frames);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        tarn_frame first = 0;
        _exit(tarn_frames_alloc(&frames, 1, &first) == TARN_OK ? 0 : 1);
    }
    usleep(150000);
    assert_int_equal(frames.head->free, 10);
    frames_unlock(&frames);
    int status = 0;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(tarn_frames_stats(&frames).used, 1);
    assert_int_equal(tarn_frames_stats(&frames).recoveries, 0);
    tarn_frames_deinit(&frames);
}

static void an_open_gives_up_when_the_lock_stays_held(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_frames other;
    init(&frames, 10);
    frames_lock(&frames);
    assert_int_equal(tarn_frames_open(&other, tarn_frames_descriptor(&frames), NULL), TARN_BUSY);
    frames_unlock(&frames);
    assert_int_equal(tarn_frames_open(&other, tarn_frames_descriptor(&frames), NULL), TARN_OK);
    tarn_frames_deinit(&other);
    tarn_frames_deinit(&frames);
}

static void nobody_can_cut_the_file_off(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 10);
    assert_int_equal(ftruncate(tarn_frames_descriptor(&frames), 4096), -1);
    tarn_frames_deinit(&frames);
}

static void foreign_descriptors_are_refused(void **state)
{
    (void)state;
    tarn_frames frames;
    int error = 0;
    const tarn_frames_options options = {.error = &error};
    assert_int_equal(tarn_frames_open(&frames, -1, &options), TARN_IO_FAILED);
    assert_int_equal(error, EBADF);
    const int null = open("/dev/null", O_RDWR);
    assert_int_equal(tarn_frames_open(&frames, null, NULL), TARN_BAD_DATA);
    close(null);
    const int file = memfd_create("other", MFD_ALLOW_SEALING);
    assert_int_equal(tarn_frames_open(&frames, file, NULL), TARN_BAD_DATA);
    assert_int_equal(ftruncate(file, 1 << 20), 0);
    assert_int_equal(tarn_frames_open(&frames, file, NULL), TARN_BAD_DATA);
    assert_int_equal(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(tarn_frames_open(&frames, file, NULL), TARN_BAD_DATA);
    close(file);
}

static void a_descriptor_that_only_reads_is_refused(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_frames other;
    char path[64];
    int error = 0;
    init(&frames, 10);
    snprintf(path, sizeof path, "/proc/self/fd/%d", tarn_frames_descriptor(&frames));
    const int reader = open(path, O_RDONLY);
    assert_true(reader >= 0);
    assert_int_equal(tarn_frames_open(&other, reader, &(tarn_frames_options){.error = &error}),
                     TARN_IO_FAILED);
    assert_int_equal(error, EACCES);
    close(reader);
    tarn_frames_deinit(&frames);
}

static void altered_books_are_refused(void **state)
{
    (void)state;
    tarn_frames frames;
    init(&frames, 300);
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 33, &first), TARN_OK);
    const size_t size = (size_t)((unsigned char *)frames.maps->words - frames.memory) +
                        frames.maps->word_count * sizeof(uint64_t);
    unsigned char *good = malloc(size);
    memcpy(good, frames.memory, size);
    unsigned refused = 0;
    for (size_t i = 0; i < size; i++) {
        tarn_frames other;
        frames.memory[i] ^= 0x41;
        if (i >= offsetof(frames_head, lock) && i < offsetof(frames_head, order_map)) {
            memcpy(frames.memory, good, size);
            continue; /* a lock that somebody holds is not damage */
        }
        const tarn_status status = tarn_frames_open(&other, frames.descriptor, NULL);
        if (status == TARN_OK) {
            tarn_frames_deinit(&other);
        } else {
            assert_int_equal(status, TARN_BAD_DATA);
            refused++;
        }
        memcpy(frames.memory, good, size);
    }
    /* Counts of used frames, and figures, may be anything; what is free, and where, may not. */
    assert_true(refused > frames.maps->word_count * 8);
    free(good);
    tarn_frames_deinit(&frames);
}

static void misuse_is_found(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_frame first = 0;
    init(&frames, 16);
    assert_int_equal(tarn_frames_alloc(&frames, 2, &first), TARN_OK);
    assert_fatal(tarn_frames_release(&frames, first + 1, 2),
                 "a frame was released that nobody holds", "frames", (uintptr_t)(first + 2));
    assert_fatal((void)tarn_frames_share(&frames, first + 2, 1),
                 "a frame was shared that nobody holds", "frames", (uintptr_t)(first + 2));
    assert_fatal((void)tarn_frames_at(&frames, frames.total), "not a frame that can be handed out",
                 "frames", (uintptr_t)frames.total);
    assert_fatal(tarn_frames_release(&frames, first, SIZE_MAX),
                 "not a frame that can be handed out", "frames", (uintptr_t)first);
    tarn_frames_deinit(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_was_asked_for_can_be_handed_out),
        cmocka_unit_test(buddies_merge_whatever_the_order_of_release),
        cmocka_unit_test(a_run_is_exactly_as_long_as_asked_and_its_parts_can_go_one_by_one),
        cmocka_unit_test(frames_read_as_zero_again_after_they_were_written),
        cmocka_unit_test(a_frame_goes_with_its_last_reference),
        cmocka_unit_test(a_frame_with_too_many_references_refuses_one_more),
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(large_pages_are_there_or_refused),
        cmocka_unit_test(memory_can_be_taken_at_once),
        cmocka_unit_test(wide_loops_do_what_one_step_at_a_time_does),
        cmocka_unit_test(what_the_system_refuses_is_a_status),
        cmocka_unit_test(a_second_process_sees_the_same_frames),
        cmocka_unit_test(a_process_that_dies_with_the_lock_leaves_sound_books),
        cmocka_unit_test(the_dead_are_found_on_older_kernels_too),
        cmocka_unit_test(who_finds_the_lock_held_sleeps_until_it_is_released),
        cmocka_unit_test(an_open_gives_up_when_the_lock_stays_held),
        cmocka_unit_test(nobody_can_cut_the_file_off),
        cmocka_unit_test(foreign_descriptors_are_refused),
        cmocka_unit_test(a_descriptor_that_only_reads_is_refused),
        cmocka_unit_test(altered_books_are_refused),
        cmocka_unit_test(misuse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
