/* SPDX-License-Identifier: MIT */
#include "malloc/compact.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Statistics: read off the books while every cache is locked; threads go on until they need another span.
 */

static void add_span(void *context, malloc_span *span)
{
    tarn_malloc_stats *stats = context;
    const unsigned index = span->class_index;
    if (index >= CLASS_COUNT) {
        return;
    }
    const unsigned used = span_used(span);
    tarn_malloc_class_stats *entry = &stats->classes[index];
    entry->spans++;
    entry->live += used;
    entry->waste += (span->touched - used) * (size_t)entry->slot_size;
    stats->small_live += used * (size_t)entry->slot_size;
}

static void gather(tarn_malloc_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    stats->version = TARN_MALLOC_STATS_VERSION;
    stats->class_count = CLASS_COUNT;
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        stats->classes[index].slot_size = class_size(index);
    }
    page_heap *pages = &process_pages;
    thread_lock_all();
    stats->threads = thread_count();
    os_lock_take(&pages->lock);
    page_heap_visit_spans(pages, add_span, stats);
    stats->large_live = pages->large_bytes;
    stats->large_blocks = pages->large_count;
    stats->huge_live = pages->huge_bytes;
    stats->huge_blocks = pages->huge_count;
    stats->mapped = pages->mapped;
    stats->peak_mapped = pages->peak_mapped;
    stats->dirty = atomic_load_explicit(&pages->dirty, memory_order_relaxed);
    stats->purges = pages->purges;
    stats->purged = pages->purged;
    os_lock_release(&pages->lock);
    compact_stats(&stats->compact);
    thread_unlock_all(false);
    stats->metadata = meta_bytes();
}

void tarn_malloc_stats_get(tarn_malloc_stats *stats, size_t size)
{
    tarn_malloc_stats all;
    gather(&all);
    memcpy(stats, &all, size < sizeof all ? size : sizeof all);
}

/* ---- reports ---- */

typedef struct sink {
    void (*write)(void *context, const char *text, size_t size);
    void *context;
} sink;

__attribute__((format(printf, 2, 3))) static void put(const sink *out, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0) {
        const size_t size = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
        out->write(out->context, text, size);
    }
}

typedef struct figure {
    const char *name;
    const char *text;
    unsigned long long value;
} figure;

#define FIGURES(stats)                                                                             \
    {                                                                                              \
        {"small_live", "bytes of live slots", (stats)->small_live},                                \
            {"large_live", "bytes of live runs of pages", (stats)->large_live},                    \
            {"huge_live", "bytes of live mappings of their own", (stats)->huge_live},              \
            {"large_blocks", "live runs of pages", (stats)->large_blocks},                         \
            {"huge_blocks", "live mappings of their own", (stats)->huge_blocks},                   \
            {"mapped", "bytes held from the kernel", (stats)->mapped},                             \
            {"peak_mapped", "the most that was held", (stats)->peak_mapped},                       \
            {"dirty", "free bytes not yet given back", (stats)->dirty},                            \
            {"metadata", "bytes of books", (stats)->metadata},                                     \
            {"threads", "thread caches in use", (stats)->threads},                                 \
            {"purges", "times that pages went back", (stats)->purges},                             \
            {"purged", "bytes that went back", (stats)->purged},                                   \
    }

#define COMPACT_FIGURES(compact)                                                                   \
    {                                                                                              \
        {"passes", "passes of compaction", (compact)->passes},                                     \
            {"pairs_tried", "pairs of windows compared", (compact)->pairs_tried},                  \
            {"pairs_joined", "windows that joined others", (compact)->pairs_joined},               \
            {"bytes_recovered", "bytes that are not resident since", (compact)->bytes_recovered},  \
            {"frames", "bytes of memory that windows share", (compact)->frames},                   \
            {"windows", "bytes of addresses mapped to them", (compact)->windows},                  \
            {"pause_us_max", "longest wait of a writer", (compact)->pause_us_max},                 \
            {"pause_us_sum", "all such waits", (compact)->pause_us_sum},                           \
            {"guard", "1: by the kernel, 2: by a signal", (compact)->guard},                       \
    }

static void put_table(const sink *out, const tarn_malloc_stats *stats)
{
    const figure figures[] = FIGURES(stats);
    put(out, "tarn malloc\n");
    for (size_t index = 0; index < sizeof figures / sizeof *figures; index++) {
        put(out, "  %-14s %15llu  %s\n", figures[index].name, figures[index].value,
            figures[index].text);
    }
    const figure compact[] = COMPACT_FIGURES(&stats->compact);
    for (size_t index = 0; malloc_conf.compact && index < sizeof compact / sizeof *compact;
         index++) {
        put(out, "  %-15s %14llu  %s\n", compact[index].name, compact[index].value,
            compact[index].text);
    }
    put(out, "  %14s %15s %10s %15s\n", "slot size", "live slots", "spans", "waste");
    for (uint32_t index = 0; index < stats->class_count; index++) {
        const tarn_malloc_class_stats *entry = &stats->classes[index];
        if (entry->spans != 0) {
            put(out, "  %14zu %15llu %10llu %15zu\n", entry->slot_size,
                (unsigned long long)entry->live, (unsigned long long)entry->spans, entry->waste);
        }
    }
}

static void put_json(const sink *out, const tarn_malloc_stats *stats)
{
    const figure figures[] = FIGURES(stats);
    put(out, "{\"version\":%u", stats->version);
    for (size_t index = 0; index < sizeof figures / sizeof *figures; index++) {
        put(out, ",\"%s\":%llu", figures[index].name, figures[index].value);
    }
    const figure compact[] = COMPACT_FIGURES(&stats->compact);
    put(out, ",\"compact\":{");
    for (size_t index = 0; index < sizeof compact / sizeof *compact; index++) {
        put(out, "%s\"%s\":%llu", index == 0 ? "" : ",", compact[index].name, compact[index].value);
    }
    put(out, "},\"classes\":[");
    const char *comma = "";
    for (uint32_t index = 0; index < stats->class_count; index++) {
        const tarn_malloc_class_stats *entry = &stats->classes[index];
        if (entry->spans != 0) {
            put(out, "%s{\"slot_size\":%zu,\"live\":%llu,\"spans\":%llu,\"waste\":%zu}", comma,
                entry->slot_size, (unsigned long long)entry->live, (unsigned long long)entry->spans,
                entry->waste);
            comma = ",";
        }
    }
    put(out, "]}\n");
}

static void put_xml(const sink *out, const tarn_malloc_stats *stats)
{
    const figure figures[] = FIGURES(stats);
    put(out, "<malloc version=\"1\" allocator=\"tarn\" statistics=\"%u\">\n", stats->version);
    put(out, "<sizes>\n");
    for (uint32_t index = 0; index < stats->class_count; index++) {
        const tarn_malloc_class_stats *entry = &stats->classes[index];
        if (entry->spans != 0) {
            put(out, "<size to=\"%zu\" live=\"%llu\" spans=\"%llu\" waste=\"%zu\"/>\n",
                entry->slot_size, (unsigned long long)entry->live, (unsigned long long)entry->spans,
                entry->waste);
        }
    }
    put(out, "</sizes>\n");
    for (size_t index = 0; index < sizeof figures / sizeof *figures; index++) {
        put(out, "<figure name=\"%s\" value=\"%llu\"/>\n", figures[index].name,
            figures[index].value);
    }
    const figure compact[] = COMPACT_FIGURES(&stats->compact);
    for (size_t index = 0; index < sizeof compact / sizeof *compact; index++) {
        put(out, "<figure name=\"compact.%s\" value=\"%llu\"/>\n", compact[index].name,
            compact[index].value);
    }
    put(out, "</malloc>\n");
}

void tarn_malloc_report(tarn_malloc_format format,
                        void (*write)(void *context, const char *text, size_t size), void *context)
{
    tarn_malloc_stats stats;
    gather(&stats);
    const sink out = {.write = write, .context = context};
    if (format == TARN_MALLOC_JSON) {
        put_json(&out, &stats);
    } else if (format == TARN_MALLOC_XML) {
        put_xml(&out, &stats);
    } else {
        put_table(&out, &stats);
    }
}
