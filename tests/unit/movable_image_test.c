/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"
#include "tarn/movable.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { COUNT = 300 };

static tarn_movable heap;
static tarn_handle handles[COUNT];
static char folder[] = "/tmp/movable-XXXXXX";
static char path[64];

static size_t size_of(size_t i)
{
    return 1 + i * 37 % 500;
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/image", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* A heap with holes, stale handles, a purged block, purgeable ones and alignments. */
static int make_heap(void **state)
{
    (void)state;
    if (tarn_movable_init(&heap, NULL) != TARN_OK) {
        return -1;
    }
    for (size_t i = 0; i < COUNT; i++) {
        handles[i] = tarn_movable_alloc(&heap, size_of(i), (size_t)1 << i % 8);
        memset(tarn_deref(&heap, handles[i]), (int)i, size_of(i));
    }
    tarn_movable_set_purgeable(&heap, handles[1], true);
    tarn_movable_purge(&heap, 1);
    for (size_t i = 0; i < COUNT; i += 3) {
        tarn_movable_free(&heap, handles[i]);
    }
    tarn_movable_set_purgeable(&heap, handles[2], true);
    tarn_movable_set_root(&heap, handles[4]);
    return 0;
}

static int end_heap(void **state)
{
    (void)state;
    tarn_movable_deinit(&heap);
    return 0;
}

static void assert_contents(tarn_movable *loaded)
{
    char fault[200];
    if (!tarn_movable_check(loaded, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
    for (size_t i = 0; i < COUNT; i++) {
        const tarn_movable_look wanted = i % 3 == 0 ? TARN_MOVABLE_STALE
                                         : i == 1   ? TARN_MOVABLE_PURGED
                                                    : TARN_MOVABLE_LIVE;
        assert_int_equal(tarn_movable_look_at(loaded, handles[i]), wanted);
        if (wanted == TARN_MOVABLE_LIVE) {
            const unsigned char *block = tarn_deref(loaded, handles[i]);
            assert_int_equal((uintptr_t)block % ((size_t)1 << i % 8), 0);
            assert_int_equal(tarn_movable_size(loaded, handles[i]), size_of(i));
            for (size_t j = 0; j < size_of(i); j++) {
                assert_int_equal(block[j], (unsigned char)i);
            }
        }
    }
    assert_true(tarn_movable_root(loaded) == handles[4]);
}

static void an_image_is_loaded_with_every_handle_as_it_was(void **state)
{
    (void)state;
    char fault[200] = "?";
    tarn_movable loaded;
    void *pinned = tarn_pin(&heap, handles[5]);
    assert_int_equal(tarn_movable_save(&heap, path, fault, sizeof fault), TARN_OK);
    assert_string_equal(fault, "");
    assert_int_equal(tarn_movable_load(&loaded, NULL, path, fault, sizeof fault), TARN_OK);
    assert_string_equal(fault, "");
    assert_ptr_not_equal(tarn_deref(&loaded, handles[5]), pinned);
    assert_contents(&loaded);
    tarn_unpin(&heap, handles[5]);
    /* Pins are not saved, marks are. */
    assert_int_equal(tarn_movable_purge(&loaded, SIZE_MAX), size_of(2));
    tarn_movable_free(&loaded, handles[5]);
    tarn_movable_compact(&loaded, NULL, NULL);
    /* Entries go on where they were: what was freed before the save stays stale. */
    for (int i = 0; i < 400; i++) {
        assert_true(tarn_movable_alloc(&loaded, 10, 0) != 0);
    }
    for (size_t i = 0; i < COUNT; i += 3) {
        assert_int_equal(tarn_movable_look_at(&loaded, handles[i]), TARN_MOVABLE_STALE);
    }
    assert_true(tarn_movable_check(&loaded, NULL, 0));
    tarn_movable_deinit(&loaded);
    assert_contents(&heap);
}

static void an_image_can_be_loaded_into_memory_of_the_callers(void **state)
{
    (void)state;
    static _Alignas(4096) unsigned char memory[1 << 18];
    char fault[200];
    tarn_movable loaded;
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    assert_int_equal(tarn_movable_load(&loaded,
                                       &(tarn_movable_options){.memory = {memory, sizeof memory}},
                                       path, fault, sizeof fault),
                     TARN_OK);
    assert_contents(&loaded);
    tarn_movable_deinit(&loaded);
    assert_int_equal(tarn_movable_load(&loaded, &(tarn_movable_options){.memory = {memory, 10000}},
                                       path, fault, sizeof fault),
                     TARN_NO_ROOM);
    assert_non_null(strstr(fault, path));
    assert_int_equal(tarn_movable_load(&loaded,
                                       &(tarn_movable_options){.memory = {memory + 16, 1 << 17}},
                                       path, fault, sizeof fault),
                     TARN_BAD_ARGUMENT);
    assert_non_null(strstr(fault, "needs memory that starts at a multiple of 128"));
}

static void another_process_loads_it_too(void **state)
{
    (void)state;
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        tarn_movable loaded;
        _exit(tarn_movable_load(&loaded, NULL, path, NULL, 0) != TARN_OK ||
              *(unsigned char *)tarn_deref(&loaded, tarn_movable_root(&loaded)) != 4);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static size_t read_image(unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t got = fread(bytes, 1, size, file);
    fclose(file);
    return got;
}

static void write_bytes(const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static unsigned char image[1 << 18];

static void a_truncated_image_is_refused_at_every_length(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    const size_t size = read_image(image, sizeof image);
    assert_true(size > 1000 && size < sizeof image);
    for (size_t length = 0; length < size; length += length < 100 ? 1 : 251) {
        char fault[200];
        char wanted[200];
        tarn_movable loaded = {.held = 77};
        write_bytes(image, length);
        assert_int_equal(tarn_movable_load(&loaded,
                                           &(tarn_movable_options){.upstream = &pages.heap}, path,
                                           fault, sizeof fault),
                         TARN_BAD_DATA);
        snprintf(wanted, sizeof wanted, "%s: cut off at byte %zu", path, length);
        assert_string_equal(fault, wanted);
        assert_int_equal(loaded.held, 77);
        assert_int_equal(tarn_heap_stats(&pages.heap).blocks, 0);
    }
    image[size] = 0;
    write_bytes(image, size + 1);
    char fault[200];
    tarn_movable loaded;
    assert_int_equal(tarn_movable_load(&loaded, NULL, path, fault, sizeof fault), TARN_BAD_DATA);
    assert_non_null(strstr(fault, "something follows its end"));
    tarn_pages_deinit(&pages);
}

static void an_altered_image_is_refused_wherever_the_bit_is(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    const size_t size = read_image(image, sizeof image);
    for (size_t at = 0; at < size; at += at < 200 ? 1 : 97) {
        char fault[200];
        tarn_movable loaded = {.held = 77};
        image[at] ^= (unsigned char)(1 << at % 8);
        write_bytes(image, size);
        image[at] ^= (unsigned char)(1 << at % 8);
        assert_int_equal(tarn_movable_load(&loaded,
                                           &(tarn_movable_options){.upstream = &pages.heap}, path,
                                           fault, sizeof fault),
                         TARN_BAD_DATA);
        assert_memory_equal(fault, path, strlen(path));
        assert_int_equal(loaded.held, 77);
        assert_int_equal(tarn_heap_stats(&pages.heap).blocks, 0);
    }
    tarn_pages_deinit(&pages);
}

static void a_failed_save_leaves_the_old_image(void **state)
{
    (void)state;
    char fault[200];
    tarn_movable loaded;
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    const int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0);
    assert_int_equal(tarn_movable_save_to(&heap, full, fault, sizeof fault), TARN_IO_FAILED);
    assert_string_equal(fault, "image: cannot be written: No space left on device");
    close(full);
    assert_int_equal(tarn_movable_save(&heap, "/no/such/folder/image", fault, sizeof fault),
                     TARN_IO_FAILED);
    assert_string_equal(fault,
                        "/no/such/folder/image: cannot be written: No such file or directory");
    assert_int_equal(tarn_movable_save(&heap, folder, fault, sizeof fault), TARN_IO_FAILED);
    assert_int_equal(tarn_movable_load(&loaded, NULL, path, fault, sizeof fault), TARN_OK);
    assert_contents(&loaded);
    tarn_movable_deinit(&loaded);
    assert_int_equal(tarn_movable_load(&loaded, NULL, "/no/such/image", fault, sizeof fault),
                     TARN_IO_FAILED);
    assert_string_equal(fault, "/no/such/image: cannot be opened: No such file or directory");
    assert_int_equal(tarn_movable_load(&loaded, NULL, folder, fault, sizeof fault), TARN_IO_FAILED);
}

static void images_go_through_pipes_one_after_the_other(void **state)
{
    (void)state;
    int ends[2];
    tarn_movable loaded;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        _exit(tarn_movable_save_to(&heap, ends[1], NULL, 0) != TARN_OK ||
              tarn_movable_save_to(&heap, ends[1], NULL, 0) != TARN_OK);
    }
    close(ends[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tarn_movable_load_from(&loaded, NULL, ends[0], NULL, 0), TARN_OK);
        assert_contents(&loaded);
        tarn_movable_deinit(&loaded);
    }
    assert_int_equal(tarn_movable_load_from(&loaded, NULL, ends[0], NULL, 0), TARN_BAD_DATA);
    close(ends[0]);
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void equal_heaps_give_equal_images_without_freed_contents(void **state)
{
    (void)state;
    static unsigned char second[1 << 18];
    char fault[200];
    tarn_movable loaded;
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    const size_t size = read_image(image, sizeof image);
    assert_int_equal(tarn_movable_load(&loaded, NULL, path, fault, sizeof fault), TARN_OK);
    assert_int_equal(tarn_movable_save(&loaded, path, NULL, 0), TARN_OK);
    assert_int_equal(read_image(second, sizeof second), size);
    assert_memory_equal(image, second, size);
    tarn_movable_deinit(&loaded);
    const tarn_handle secret = tarn_movable_alloc(&heap, 64, 0);
    memcpy(tarn_deref(&heap, secret), "a secret of 26 characters!", 26);
    (void)tarn_movable_alloc(&heap, 64, 0);
    tarn_movable_free(&heap, secret);
    /* Nor in what a block is rounded up by. */
    const tarn_handle shrunk = tarn_movable_alloc(&heap, 64, 0);
    memcpy(tarn_deref(&heap, shrunk), "a secret of 26 characters!", 26);
    assert_true(tarn_movable_resize(&heap, shrunk, 1));
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    assert_null(memmem(image, read_image(image, sizeof image), "ecre", 4));
    assert_null(memmem(image, read_image(image, sizeof image), "a secret", 8));
}

static void a_heap_in_the_middle_of_a_pass_can_be_saved(void **state)
{
    (void)state;
    tarn_movable loaded;
    tarn_movable_pass pass;
    tarn_movable_move moves[20];
    for (size_t i = 4; i < COUNT; i++) {
        if (i % 3 != 0 && i % 16 >= 4) {
            tarn_movable_free(&heap, handles[i]);
            handles[i] = 0;
        }
    }
    assert_int_equal(tarn_movable_begin(&heap, &pass, NULL), TARN_OK);
    const size_t count = tarn_movable_next_moves(&pass, moves, 20);
    assert_int_equal(tarn_movable_save(&heap, path, NULL, 0), TARN_OK);
    assert_int_equal(tarn_movable_load(&loaded, NULL, path, NULL, 0), TARN_OK);
    assert_true(count > 0);
    assert_int_equal(tarn_movable_stats(&loaded).live, tarn_movable_stats(&heap).live);
    assert_int_equal(tarn_movable_stats(&loaded).blocks, tarn_movable_stats(&heap).blocks);
    assert_true(tarn_movable_check(&loaded, NULL, 0));
    tarn_movable_deinit(&loaded);
    tarn_movable_abort(&pass, NULL);
}

/* ---- one heap, two processes ---- */

static void two_processes_use_one_heap_mapped_at_two_places(void **state)
{
    (void)state;
    const size_t size = 1 << 20;
    const int descriptor = memfd_create("heap", 0);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, (off_t)size), 0);
    void *here = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    void *there = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    assert_true(here != MAP_FAILED && there != MAP_FAILED && here != there);
    tarn_movable shared;
    assert_int_equal(tarn_movable_init(
                         &shared, &(tarn_movable_options){.memory = {here, size}, .threads = true}),
                     TARN_OK);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    tarn_movable mine;
    assert_int_equal(tarn_movable_attach(&mine, &(tarn_movable_options){.memory = {there, size}}),
                     TARN_OK);
    /* Both work at once: one allocates and checks, the other one compacts as well. */
    uint32_t seed = child == 0 ? 1 : 2;
    const unsigned char mark = child == 0 ? 0x55 : 0xaa;
    tarn_handle own[200] = {0};
    bool good = true;
    for (int turn = 0; turn < 5000 && good; turn++) {
        seed = seed * 1664525 + 1013904223;
        tarn_handle *handle = &own[(seed >> 8) % 200];
        if (*handle == 0) {
            *handle = tarn_movable_alloc(child == 0 ? &mine : &shared, 50 + seed % 900, 0);
            if (*handle != 0) {
                tarn_movable *side = child == 0 ? &mine : &shared;
                memset(tarn_pin(side, *handle), mark, tarn_movable_size(side, *handle));
                tarn_unpin(side, *handle);
            }
        } else {
            tarn_movable *side = child == 0 ? &mine : &shared;
            const size_t bytes = tarn_movable_size(side, *handle);
            const unsigned char *block = tarn_pin(side, *handle);
            for (size_t i = 0; i < bytes; i++) {
                good = good && block[i] == mark;
            }
            tarn_unpin(side, *handle);
            tarn_movable_free(side, *handle);
            *handle = 0;
            if (child != 0 && turn % 16 == 0) {
                tarn_movable_compact(side, NULL, NULL);
            }
        }
    }
    if (child == 0) {
        _exit(!good);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(good);
    assert_true(tarn_movable_check(&shared, NULL, 0));
    assert_true(tarn_movable_history(&mine).blocks_moved > 0);
    tarn_movable_detach(&mine);
    tarn_movable_deinit(&shared);
    munmap(here, size);
    munmap(there, size);
    close(descriptor);
}

int main(void)
{
#define ON_A_HEAP(test) cmocka_unit_test_setup_teardown(test, make_heap, end_heap)
    const struct CMUnitTest tests[] = {
        ON_A_HEAP(an_image_is_loaded_with_every_handle_as_it_was),
        ON_A_HEAP(an_image_can_be_loaded_into_memory_of_the_callers),
        ON_A_HEAP(another_process_loads_it_too),
        ON_A_HEAP(a_truncated_image_is_refused_at_every_length),
        ON_A_HEAP(an_altered_image_is_refused_wherever_the_bit_is),
        ON_A_HEAP(a_failed_save_leaves_the_old_image),
        ON_A_HEAP(images_go_through_pipes_one_after_the_other),
        ON_A_HEAP(equal_heaps_give_equal_images_without_freed_contents),
        ON_A_HEAP(a_heap_in_the_middle_of_a_pass_can_be_saved),
        cmocka_unit_test(two_processes_use_one_heap_mapped_at_two_places),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
