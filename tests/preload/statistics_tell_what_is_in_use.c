/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

static char text[1 << 20];

/* Every element that opens closes, in order. */
static void check_xml(const char *xml)
{
    const char *open[32];
    size_t lengths[32];
    size_t depth = 0;
    size_t elements = 0;
    CHECK(strncmp(xml, "<malloc", 7) == 0 || strncmp(xml, "<?xml", 5) == 0, "starts as \"%.20s\"",
          xml);
    for (const char *c = strchr(xml, '<'); c != NULL; c = strchr(c + 1, '<')) {
        const char *end = strchr(c, '>');
        CHECK(end != NULL, "an element without end: \"%.40s\"", c);
        const char *name = c[1] == '/' ? c + 2 : c + 1;
        const size_t length = strcspn(name, " />\t\n");
        if (c[1] == '?') {
            continue;
        }
        if (c[1] == '/') {
            CHECK(depth > 0, "\"%.*s\" closes nothing", (int)length, name);
            depth--;
            CHECK(lengths[depth] == length && memcmp(open[depth], name, length) == 0,
                  "\"%.*s\" closes \"%.*s\"", (int)length, name, (int)lengths[depth], open[depth]);
        } else {
            elements++;
            size_t quotes = 0;
            for (const char *q = c; q < end; q++) {
                quotes += *q == '"';
            }
            CHECK(quotes % 2 == 0, "an open quote in \"%.40s\"", c);
            if (end[-1] != '/') {
                CHECK(depth < 32, "too deep");
                open[depth] = name;
                lengths[depth++] = length;
            }
        }
    }
    CHECK(depth == 0 && elements >= 3, "%zu elements, %zu of them open", elements, depth);
}

/* Mappings of their own are counted apart, as glibc does. */
static size_t in_use(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* The old struct has the same figures as far as an int goes. */
static void check_old_struct(void)
{
    const struct mallinfo2 info = mallinfo2();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const struct mallinfo old = mallinfo();
#pragma GCC diagnostic pop
    CHECK((unsigned)old.uordblks == (unsigned)info.uordblks, "mallinfo says %d, mallinfo2 %zu",
          old.uordblks, info.uordblks);
    CHECK((unsigned)old.hblkhd == (unsigned)info.hblkhd, "mallinfo says %d, mallinfo2 %zu",
          old.hblkhd, info.hblkhd);
}

static void check_growth(size_t size, size_t count)
{
    void **blocks = outside_memory(count * sizeof *blocks);
    const size_t before = in_use();
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, size);
    }
    const size_t after = in_use();
    const size_t sum = size * count;
    CHECK(after >= before + sum && after <= before + sum + sum / 4 + MIB,
          "%zu blocks of %zu: in use %zu, before %zu", count, size, after, before);
    const struct mallinfo2 info = mallinfo2();
    CHECK(info.arena + info.hblkhd >= sum, "held from the kernel: %zu and %zu", info.arena,
          info.hblkhd);
    check_old_struct();
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
    CHECK(in_use() <= before + MIB / 4, "%zu in use after all is freed, %zu before", in_use(),
          before);
    munmap(blocks, count * sizeof *blocks);
}

int main(void)
{
    check_growth(100, 100000);
    check_growth(3000, 10000);
    check_growth(50000, 1000);
    check_growth(MIB, 50);
    check_growth(60 * MIB, 3);

    FILE *stream = fmemopen(text, sizeof text, "w");
    CHECK(stream != NULL && malloc_info(0, stream) == 0, "malloc_info");
    fclose(stream);
    check_xml(text);
    stream = fmemopen(text, sizeof text, "w");
    CHECK(stream != NULL, "fmemopen");
    errno = 0;
    const int result = malloc_info(1, stream);
    CHECK(result == EINVAL || (result == -1 && errno == EINVAL), "malloc_info(1) is %d", result);
    fclose(stream);

    /* malloc_stats writes to standard error. */
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    const int saved = dup(STDERR_FILENO);
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO, "dup2");
    malloc_stats();
    fflush(stderr);
    CHECK(dup2(saved, STDERR_FILENO) == STDERR_FILENO, "dup2");
    close(ends[1]);
    const ssize_t got = read(ends[0], text, sizeof text - 1);
    CHECK(got > 50, "malloc_stats wrote %zd bytes", got);
    text[got] = '\0';
    CHECK(strchr(text, '\n') != NULL, "malloc_stats wrote no line");

    /* What programs tune in glibc is accepted and harmless. */
    const int known[] = {M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const int accepted = mallopt(known[i], 128 * 1024);
        CHECK(accepted == 0 || accepted == 1, "mallopt(%d) is %d", known[i], accepted);
    }
    const int unknown = mallopt(12345, 1);
    CHECK(unknown == 0 || unknown == 1, "mallopt of nonsense is %d", unknown);
    void *block = malloc(200000);
    CHECK(block != NULL, "malloc after mallopt");
    free(block);
    return 0;
}
