/* SPDX-License-Identifier: MIT */
#include "cli/report/document.h"
#include "cli/report/head.h"
#include "cli/report/layout.h"
#include "cli/report/memory.h"
#include "cli/report/packer.h"
#include "cli/report/sections.h"
#include "cli/report/stacks.h"
#include "cli/report/weight.h"
#include "cli/report_twin.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* The parts of tarn report, each by itself. */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* -------------------------------------------------------------------------------------------------
 * Numbers and texts.
 */
static void numbers_are_found_again(void **state)
{
    (void)state;
    report_numbers numbers = {0};
    assert_int_equal(report_numbers_find(&numbers, 0), REPORT_NONE);
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t *value = report_numbers_at(&numbers, (uint64_t)i << 40);
        assert_int_equal(*value, REPORT_NONE);
        *value = i;
    }
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(report_numbers_find(&numbers, (uint64_t)i << 40), i);
    }
    assert_int_equal(report_numbers_find(&numbers, 1), REPORT_NONE);
    report_numbers_free(&numbers);
}

static void texts_are_kept_once_and_are_utf8(void **state)
{
    (void)state;
    report_texts texts;
    report_texts_init(&texts);
    assert_int_equal(report_texts_add(&texts, "", 0), 0);
    const uint32_t first = report_texts_add_string(&texts, "main");
    const uint32_t broken = report_texts_add(&texts, "a\xff\xc3", 3);
    const uint32_t cut = report_texts_add(&texts, "ab\0cd", 5);
    assert_int_equal(report_texts_add_string(&texts, "main"), first);
    assert_string_equal(report_texts_get(&texts, first), "main");
    assert_string_equal(report_texts_get(&texts, broken), "a\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_string_equal(report_texts_get(&texts, cut), "ab");
    for (int i = 0; i < 5000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        const uint32_t number = report_texts_add_string(&texts, text);
        assert_string_equal(report_texts_get(&texts, number), text);
        assert_int_equal(report_texts_add_string(&texts, text), number);
    }
    report_texts_free(&texts);
}

/* -------------------------------------------------------------------------------------------------
 * Modules and stacks.
 */
static void define(report_modules *modules, report_texts *texts, uint64_t start, uint64_t size,
                   const char *path)
{
    const trace_module module = {
        .start = start, .size = size, .path = {.start = path, .size = strlen(path)}};
    report_modules_define(modules, texts, &module);
}

static const char *path_at(const report_modules *modules, const report_texts *texts,
                           uint64_t address)
{
    const uint32_t module = report_modules_find(modules, address);
    return module != REPORT_NONE ? report_texts_get(texts, modules->all[module].path) : "";
}

static void a_module_takes_the_place_of_those_that_it_overlaps(void **state)
{
    (void)state;
    report_texts texts;
    report_modules modules = {0};
    report_texts_init(&texts);
    define(&modules, &texts, 1000, 100, "a");
    define(&modules, &texts, 2000, 100, "b");
    define(&modules, &texts, 3000, 100, "c");
    assert_string_equal(path_at(&modules, &texts, 999), "");
    assert_string_equal(path_at(&modules, &texts, 1000), "a");
    assert_string_equal(path_at(&modules, &texts, 1099), "a");
    assert_string_equal(path_at(&modules, &texts, 1100), "");
    define(&modules, &texts, 1050, 1000, "d");
    assert_string_equal(path_at(&modules, &texts, 1000), "");
    assert_string_equal(path_at(&modules, &texts, 2010), "d");
    assert_string_equal(path_at(&modules, &texts, 3010), "c");
    /* No size: it is gone; and back again it is the one it was. */
    define(&modules, &texts, 3000, 0, "");
    assert_string_equal(path_at(&modules, &texts, 3010), "");
    const size_t count = modules.count;
    define(&modules, &texts, 3000, 100, "c");
    assert_string_equal(path_at(&modules, &texts, 3010), "c");
    assert_int_equal(modules.count, count);
    /* Neighbours leave each other alone. */
    define(&modules, &texts, 2900, 100, "f");
    define(&modules, &texts, 3100, 100, "g");
    assert_string_equal(path_at(&modules, &texts, 2999), "f");
    assert_string_equal(path_at(&modules, &texts, 3000), "c");
    assert_string_equal(path_at(&modules, &texts, 3099), "c");
    assert_string_equal(path_at(&modules, &texts, 3100), "g");
    define(&modules, &texts, UINT64_MAX - 10, 1000, "e");
    assert_string_equal(path_at(&modules, &texts, UINT64_MAX - 1), "e");
    report_modules_free(&modules);
    report_texts_free(&texts);
}

static void the_same_address_in_another_module_is_another_frame(void **state)
{
    (void)state;
    report_texts texts;
    report_modules modules = {0};
    report_stacks stacks;
    report_texts_init(&texts);
    report_stacks_init(&stacks);
    const uint64_t frames[] = {1010, 2010};
    define(&modules, &texts, 1000, 100, "a");
    report_stacks_define(&stacks, &modules, &(trace_stack){7, 2, frames});
    report_stacks_define(&stacks, &modules, &(trace_stack){8, 2, frames});
    assert_int_equal(report_stacks_find(&stacks, 7), report_stacks_find(&stacks, 8));
    assert_int_equal(stacks.frame_count, 2);
    define(&modules, &texts, 1000, 100, "b");
    report_stacks_define(&stacks, &modules, &(trace_stack){8, 2, frames});
    assert_int_not_equal(report_stacks_find(&stacks, 7), report_stacks_find(&stacks, 8));
    assert_int_equal(stacks.frame_count, 3);
    assert_int_equal(report_stacks_find(&stacks, 9), 0);
    report_stacks_free(&stacks);
    report_modules_free(&modules);
    report_texts_free(&texts);
}

static bool is_allocator(report_frames *frames, report_texts *texts, const char *function)
{
    return report_frames_is_allocator(
        frames, report_frames_add(
                    frames, (report_frame){.function = report_texts_add_string(texts, function)}));
}

static void frames_of_allocators_are_told_by_their_names(void **state)
{
    (void)state;
    static const char *const known[] = {
        "malloc",
        "xmalloc",
        "xcalloc",
        "xrealloc",
        "xstrdup",
        "g_malloc0",
        "g_malloc_n",
        "g_slice_alloc0",
        "g_try_realloc",
        "operator new(unsigned long)",
        "operator new[](unsigned long)",
        "__gnu_cxx::new_allocator<int>::allocate(unsigned long)",
        "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&, unsigned "
        "long)",
        "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::"
        "_M_create(unsigned long&, unsigned long)",
        "std::string::_Rep::_S_create(unsigned long, unsigned long, std::allocator<char> const&)",
        "pool_get(int)",
        "mine",
        "my::give"};
    static const char *const others[] = {"main",
                                         "xmallocs",
                                         "mallocs",
                                         "pool(int)",
                                         "mine_too",
                                         "std::vector<int, std::allocator<int> >::reserve(unsigned "
                                         "long)",
                                         "g_strdup",
                                         "my::giver()"};
    static const char *const names[] = {"pool_*", "mine", "my::give"};
    report_texts texts;
    report_frames frames;
    report_texts_init(&texts);
    report_frames_init(&frames, &texts, &(report_allocators){.names = names, .count = 3});
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_true(is_allocator(&frames, &texts, known[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(is_allocator(&frames, &texts, others[i]));
    }
    report_frames_free(&frames);
    report_texts_free(&texts);
}

/* -------------------------------------------------------------------------------------------------
 * Samples.
 */

/* As the recorder does it. Two callers ask for blocks of the same sizes, one three times as often as
 * the other; few blocks are so large that they are always sampled, after which small ones have no
 * chance for a while. */
static void samples_stand_for_what_was_not_sampled(void **state)
{
    (void)state;
    enum { DISTANCE = 65536, ROUNDS = 1000000 };
    static uint64_t sizes[ROUNDS];
    static int is_sampled[ROUNDS];
    static report_weights weights = {.sample_bytes = DISTANCE};
    uint64_t random = 12345;
    int64_t left = 0;
    double bytes = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t choice = next_random(&random) % 1000;
        sizes[i] = choice < 2 ? 200000 : choice < 500 ? 1 + choice * 4 : 48;
        left -= (int64_t)sizes[i];
        is_sampled[i] = left < 0;
        if (left < 0) {
            left = DISTANCE / 2 + (int64_t)(next_random(&random) % (DISTANCE + 1));
        }
        report_weights_count(&weights, sizes[i], is_sampled[i]);
        bytes += (double)sizes[i];
    }
    double count_of[2] = {0};
    double bytes_of[2] = {0};
    for (int i = 0; i < ROUNDS; i++) {
        if (is_sampled[i]) {
            const report_weight weight = report_weight_of(&weights, sizes[i], (uint64_t)i);
            const report_weight again = report_weight_of(&weights, sizes[i], (uint64_t)i);
            assert_int_equal(weight.count, again.count);
            count_of[next_random(&random) % 4 == 0] += (double)weight.count;
            bytes_of[next_random(&random) % 4 == 0] += (double)weight.bytes;
        }
    }
    assert_true(fabs((count_of[0] + count_of[1]) / ROUNDS - 1) < 0.01);
    assert_true(fabs((bytes_of[0] + bytes_of[1]) / bytes - 1) < 0.001);
    assert_true(fabs(count_of[1] / ROUNDS - 0.25) < 0.03);
    assert_true(fabs(bytes_of[1] / bytes - 0.25) < 0.03);
}

/* Two of three have a stack: each stands for one and a half, which is now one and now two. */
static void parts_of_a_block_fall_to_as_many_as_they_are_large(void **state)
{
    (void)state;
    enum { SAMPLED = 20000 };
    static report_weights weights = {.sample_bytes = 65536};
    uint64_t count = 0;
    for (uint64_t i = 0; i < SAMPLED / 2 * 3; i++) {
        report_weights_count(&weights, 80000, i % 3 != 0);
    }
    for (uint64_t serial = 0; serial < SAMPLED; serial++) {
        const report_weight weight = report_weight_of(&weights, 80000, serial);
        assert_true(weight.count == 1 || weight.count == 2);
        assert_int_equal(weight.bytes, 120000);
        count += weight.count;
    }
    assert_true(fabs((double)count / SAMPLED - 1.5) < 0.02);
}

static void where_all_stacks_are_there_blocks_stand_for_themselves(void **state)
{
    (void)state;
    static report_weights weights;
    for (uint64_t size = 0; size < UINT64_C(1) << 60; size = size * 3 + 1) {
        report_weights_count(&weights, size, 1);
        assert_int_equal(report_weight_of(&weights, size, size).count, 1);
        assert_int_equal(report_weight_of(&weights, size, size).bytes, size);
        assert_int_equal(report_weight_guess(&weights, size).bytes, size);
    }
}

/* -------------------------------------------------------------------------------------------------
 * Places.
 */
static void extents_leave_out_what_was_never_used(void **state)
{
    (void)state;
    report_extents extents = {0};
    const uint64_t far = UINT64_C(1) << 40;
    report_extents_add(&extents, far + 5000, 100);
    report_extents_add(&extents, 8192, 10000);
    report_extents_add(&extents, far, 10);
    report_extents_add(&extents, 100000, 1);
    report_extents_fold(&extents, 4096);
    assert_int_equal(extents.count, 2);
    assert_int_equal(report_extents_place(&extents, 8192), 0);
    assert_int_equal(report_extents_place(&extents, 100000), 100000 - 8192);
    const uint64_t second = report_extents_place(&extents, far);
    assert_int_equal(second, 102400 - 8192);
    assert_int_equal(report_extents_place(&extents, far + 5000), second + 5000);
    assert_int_equal(report_extents_size(&extents), second + 8192);
    report_extents_free(&extents);
}

static void extents_stay_few_and_in_order(void **state)
{
    (void)state;
    enum { COUNT = 40000 };
    report_extents extents = {0};
    uint64_t random = 99;
    uint64_t *all = report_zeroed(COUNT, sizeof *all);
    for (size_t i = 0; i < COUNT; i++) {
        all[i] = next_random(&random) % (UINT64_C(1) << 46);
        report_extents_add(&extents, all[i], 64);
    }
    report_extents_fold(&extents, 4096);
    assert_true(extents.count <= 1 << 14);
    for (size_t i = 1; i < COUNT; i++) {
        const uint64_t a = report_extents_place(&extents, all[i - 1]);
        const uint64_t b = report_extents_place(&extents, all[i]);
        assert_true((a < b) == (all[i - 1] < all[i]));
        assert_true(b + 64 <= report_extents_size(&extents));
    }
    free(all);
    report_extents_free(&extents);
}

enum { BLOCKS = 400, STEPS = 20000 };

static void expect_apart(const report_block *blocks, const report_layout *layout)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].name == 0 || blocks[i].size == 0) {
            continue;
        }
        assert_true(blocks[i].place + blocks[i].size <= report_layout_footprint(layout));
        for (size_t j = 0; j < i; j++) {
            assert_true(blocks[j].name == 0 || blocks[j].size == 0 ||
                        blocks[i].place + blocks[i].size <= blocks[j].place ||
                        blocks[j].place + blocks[j].size <= blocks[i].place);
        }
    }
}

static void lay_out_by(tarn_region_policy policy)
{
    static report_block blocks[BLOCKS];
    memset(blocks, 0, sizeof blocks);
    report_layout *layout = report_layout_simulated(policy, UINT64_C(1) << 22);
    uint64_t random = 7 + (uint64_t)policy;
    for (size_t i = 0; i < STEPS; i++) {
        report_block *block = &blocks[next_random(&random) % BLOCKS];
        const report_block old = *block;
        block->size = next_random(&random) % 3000;
        if (old.name == 0) {
            block->name = 1;
            report_layout_give(layout, block, next_random(&random) % 9 == 0 ? 8 : 0);
        } else if (next_random(&random) % 3 == 0) {
            report_layout_move(layout, &old, block, 0);
        } else {
            report_layout_take(layout, &old);
            block->name = 0;
        }
        if (i % 2000 == 0) {
            expect_apart(blocks, layout);
        }
    }
    assert_int_equal(report_layout_failures(layout), 0);
    report_layout_free(layout);
}

static void simulated_blocks_do_not_overlap_under_any_policy(void **state)
{
    (void)state;
    for (size_t i = 0; report_policy_names[i] != NULL; i++) {
        tarn_region_policy policy;
        assert_true(report_policy_find(report_policy_names[i], &policy));
        lay_out_by(policy);
    }
}

/* Best fit takes holes before it takes what was never used: what fits the range has its footprint there. */
static void a_longer_range_changes_no_footprint_of_best_fit(void **state)
{
    (void)state;
    uint64_t footprint[2];
    for (unsigned longer = 0; longer < 2; longer++) {
        static report_block blocks[BLOCKS];
        memset(blocks, 0, sizeof blocks);
        report_layout *layout =
            report_layout_simulated(TARN_BEST_FIT, UINT64_C(1) << (longer ? 30 : 22));
        uint64_t random = 3;
        for (size_t i = 0; i < STEPS; i++) {
            report_block *block = &blocks[next_random(&random) % BLOCKS];
            if (block->name != 0) {
                report_layout_take(layout, block);
                block->name = 0;
            } else {
                block->size = next_random(&random) % 3000;
                block->name = 1;
                report_layout_give(layout, block, 0);
            }
        }
        footprint[longer] = report_layout_peak_footprint(layout);
        report_layout_free(layout);
    }
    assert_int_equal(footprint[0], footprint[1]);
}

/* -------------------------------------------------------------------------------------------------
 * The container and the document.
 */
typedef struct bytes {
    unsigned char *at;
    size_t size;
    size_t room;
} bytes;

static bool put(void *context, const void *from, size_t size)
{
    bytes *to = context;
    while (to->size + size > to->room) {
        to->at = report_grown(to->at, to->room, &to->room, 1);
    }
    if (size > 0) {
        memcpy(to->at + to->size, from, size);
        to->size += size;
    }
    return true;
}

static json_t *read_head(const bytes *container, size_t *after)
{
    const unsigned char *at = container->at;
    const size_t size = at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    assert_true(4 + size <= container->size);
    assert_int_equal((4 + size) % 8, 0);
    json_error_t fault;
    json_t *head = json_loadb((const char *)at + 4, size, JSON_REJECT_DUPLICATES, &fault);
    if (head == NULL) {
        fail_msg("line %d: %s", fault.line, fault.text);
    }
    *after = 4 + size;
    return head;
}

static const void *section(json_t *head, const bytes *container, size_t after, const char *name,
                           size_t size, size_t *count)
{
    json_t *about = json_object_get(json_object_get(head, "sections"), name);
    assert_non_null(about);
    const json_int_t offset = json_integer_value(json_object_get(about, "offset"));
    *count = (size_t)json_integer_value(json_object_get(about, "count"));
    assert_int_equal(offset % 8, 0);
    assert_true(after + (size_t)offset + *count * size <= container->size);
    return container->at + after + offset;
}

static twin naive;

static void make_container(bytes *container)
{
    char path[64];
    twin_make(&naive, 4);
    const int descriptor = twin_write(&naive, true, true, path);
    cli_trace_file file;
    assert_true(cli_trace_file_open(&file, path));
    report_model model;
    const report_model_options options = {.symbols = {.is_off = true},
                                          .bins = 512,
                                          .nodes_max = 20000,
                                          .cells_max = 1000000,
                                          .rects_max = 1000,
                                          .page = 4096};
    assert_true(report_model_make(&model, &file, &options));
    report_container made = {0};
    report_sections_add(&made, &model);
    report_head_set(&made, &model, "{\"format\": \"tarn-replay\"}");
    assert_true(report_container_write(&made, put, container));
    report_container_free(&made);
    report_model_free(&model);
    cli_trace_file_close(&file);
    close(descriptor);
}

static void a_container_says_where_everything_is(void **state)
{
    (void)state;
    bytes container = {0};
    make_container(&container);
    size_t after;
    json_t *head = read_head(&container, &after);
    assert_string_equal(json_string_value(json_object_get(head, "format")), "tarn-report");
    json_t *program = json_object_get(head, "program");
    assert_string_equal(json_string_value(json_object_get(program, "command")),
                        "twin \xEF\xBF\xBD\x1b[31m");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(head, "replay"), "format")),
        "tarn-replay");
    json_t *summary = json_object_get(head, "summary");
    size_t count;
    const uint32_t *allocs =
        section(head, &container, after, "cell.allocs", sizeof *allocs, &count);
    json_int_t whole = 0;
    for (size_t i = 0; i < count; i++) {
        whole += allocs[i];
    }
    assert_int_equal(whole, json_integer_value(json_object_get(summary, "allocations")));
    assert_int_equal(whole, (json_int_t)naive.block_count);
    const double *peak = section(head, &container, after, "node.peak_bytes", sizeof *peak, &count);
    double live = 0;
    for (size_t i = 0; i < count; i++) {
        live += peak[i];
    }
    assert_true(live == json_number_value(json_object_get(summary, "peak_live")));
    json_decref(head);
    free(container.at);
}

static void a_document_gives_the_container_back(void **state)
{
    (void)state;
    static const char page[] = "<p>before</p>" REPORT_MARKER "<p>after</p>";
    report_container made = {.head = strdup("{\"a\": \"</script>\"}"), .head_size = 18};
    uint32_t *numbers = report_container_add(&made, "x", REPORT_U32, 100001);
    for (uint32_t i = 0; i < 100001; i++) {
        numbers[i] = i * 2654435761U;
    }
    bytes raw = {0};
    assert_true(report_container_write(&made, put, &raw));
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    assert_true(report_document_check(page, sizeof page - 1));
    assert_true(report_document_write(file, page, sizeof page - 1, &made));
    fclose(file);
    static const char start[] = "<p>before</p><script type=\"text/plain\" id=\"tarn-data\">";
    static const char end[] = "</script><p>after</p>";
    assert_memory_equal(text, start, sizeof start - 1);
    const size_t length = size - (sizeof start - 1) - (sizeof end - 1);
    assert_memory_equal(text + size - (sizeof end - 1), end, sizeof end - 1);
    assert_int_equal(length % 4, 0);
    unsigned char *packed = malloc(length);
    size_t count = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < length; i++) {
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char letter = text[sizeof start - 1 + i];
        const char *at = strchr(letters, letter == '=' ? 'A' : letter);
        assert_non_null(at);
        bits = bits << 6 | (uint32_t)(at - letters);
        if (i % 4 == 3) {
            packed[count++] = (unsigned char)(bits >> 16);
            packed[count++] = (unsigned char)(bits >> 8);
            packed[count++] = (unsigned char)bits;
        }
    }
    unsigned char *unpacked = malloc(raw.size);
    uLongf unpacked_size = raw.size;
    assert_int_equal(uncompress(unpacked, &unpacked_size, packed, count), Z_OK);
    assert_int_equal(unpacked_size, raw.size);
    assert_memory_equal(unpacked, raw.at, raw.size);
    free(unpacked);
    free(packed);
    free(text);
    free(raw.at);
    report_container_free(&made);
}

static void a_page_without_one_place_for_data_is_refused(void **state)
{
    (void)state;
    static const char twice[] = REPORT_MARKER " " REPORT_MARKER;
    assert_false(report_document_check("", 0));
    assert_false(report_document_check("<p>", 3));
    assert_false(report_document_check(twice, sizeof twice - 1));
    assert_true(report_document_check(REPORT_MARKER, sizeof REPORT_MARKER - 1));
}

static bool refuse(void *context, const void *from, size_t size)
{
    (void)from;
    size_t *left = context;
    if (size > *left) {
        return false;
    }
    *left -= size;
    return true;
}

static void a_sink_that_fails_is_told(void **state)
{
    (void)state;
    size_t left = 100;
    report_packer *packer = report_packer_create(true, refuse, &left);
    uint64_t random = 5;
    for (int i = 0; i < 100000; i++) {
        const uint64_t number = next_random(&random);
        report_packer_put(packer, &number, sizeof number);
    }
    assert_false(report_packer_end(packer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_found_again),
        cmocka_unit_test(texts_are_kept_once_and_are_utf8),
        cmocka_unit_test(a_module_takes_the_place_of_those_that_it_overlaps),
        cmocka_unit_test(the_same_address_in_another_module_is_another_frame),
        cmocka_unit_test(frames_of_allocators_are_told_by_their_names),
        cmocka_unit_test(samples_stand_for_what_was_not_sampled),
        cmocka_unit_test(parts_of_a_block_fall_to_as_many_as_they_are_large),
        cmocka_unit_test(where_all_stacks_are_there_blocks_stand_for_themselves),
        cmocka_unit_test(extents_leave_out_what_was_never_used),
        cmocka_unit_test(extents_stay_few_and_in_order),
        cmocka_unit_test(simulated_blocks_do_not_overlap_under_any_policy),
        cmocka_unit_test(a_longer_range_changes_no_footprint_of_best_fit),
        cmocka_unit_test(a_container_says_where_everything_is),
        cmocka_unit_test(a_document_gives_the_container_back),
        cmocka_unit_test(a_page_without_one_place_for_data_is_refused),
        cmocka_unit_test(a_sink_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
