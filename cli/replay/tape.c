/* SPDX-License-Identifier: MIT */
#include "tape.h"

#include "cli.h"
#include "slots.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The points of the curve come from at most `BUCKETS_MAX` buckets of as many events each. When all
 * are in use, every two become one, so nothing has to be known of the length beforehand. Each
 * leaves two points: where live bytes were most in it, and its end.
 *
 * A realloc that has given up its block (TRACE_MOVE) and is not back has that block in a pool of
 * its thread's, where it keeps its slot: who is taken out of the slots and put in at once gets the
 * same number. Pools of the program are read only where its malloc is not, so the two never meet.
 */

enum {
    BUCKETS_MAX = REPLAY_POINTS_MAX / 2,
    BUFFER_EVENTS = 4096,
    MALLOC = 0, /* pool of the slots; the others come behind */
    FIRST_POOL = 1,
    POOLS_MAX = 1 << 24, /* a damaged file may name any number: those far out are one */
    NO_THREAD = 0
};

typedef struct tape_bucket {
    replay_point most;
    replay_point end;
} tape_bucket;

/* What is known of a live block. */
typedef struct block_size {
    uint64_t size;
    unsigned class; /* of the partition that it is in, where partitions are fixed */
} block_size;

typedef struct tape_reading {
    replay_tape *tape;
    bool pools;
    const char **command;
    cli_slots *slots;
    block_size *sizes; /* by slot */
    size_t size_room;
    uint32_t *threads; /* by the trace's number: ours, plus one */
    size_t thread_room;
    uint64_t *lasts; /* by ours */
    size_t last_room;
    replay_event buffer[BUFFER_EVENTS];
    size_t buffered;
    bool is_full; /* the file takes no more; errno says why */
    uint64_t live;
    uint64_t rounded;
    uint64_t blocks;
    uint64_t class_live[REPLAY_CLASS_COUNT];
    tape_bucket buckets[BUCKETS_MAX];
    size_t bucket_count;
    uint64_t bucket_width; /* events */
    uint32_t number;       /* of the thread whose event is being read, the trace's */
    uint64_t time;
} tape_reading;

/* The arrays of a reading are freed at its end; gcc loses sight of them where a function calls
 * itself. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

/* An array with room for entry `index`, new entries zeroed. */
static void *with_room(void *array, size_t *room, size_t index, size_t size)
{
    if (index < *room) {
        return array;
    }
    const size_t larger = index / 2 * 3 + 1024;
    unsigned char *moved = larger <= SIZE_MAX / size ? realloc(array, larger * size) : NULL;
    if (moved != NULL) {
        memset(moved + *room * size, 0, (larger - *room) * size);
        *room = larger;
        return moved;
    }
    errno = ENOMEM;
    cli_fail_errno("no memory for the blocks of the trace");
}

/* -------------------------------------------------------------------------------------------------
 * The file.
 */
static uint64_t available_memory(void)
{
    const long pages = sysconf(_SC_AVPHYS_PAGES);
    const long size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* In memory if that takes a quarter of what is free at most, else on a disk. */
static int open_nameless(uint64_t bytes)
{
    if (bytes < available_memory() / 4) {
        const int memory = memfd_create("tarn-tape", MFD_CLOEXEC);
        if (memory >= 0) {
            return memory;
        }
    }
    const char *chosen = getenv("TMPDIR");
    const char *folder = chosen != NULL && chosen[0] != '\0' ? chosen : "/tmp";
    const int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0) {
        return file;
    }
    char *path = cli_format("%s/tarn-XXXXXX", folder);
    const int named = mkostemp(path, O_CLOEXEC);
    if (named >= 0) {
        unlink(path);
    }
    return named;
}

static bool write_all(int descriptor, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    while (size > 0) {
        const ssize_t done = write(descriptor, at, size);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        at += done;
        size -= (size_t)done;
    }
    return true;
}

static void flush(tape_reading *reading)
{
    if (!reading->is_full && !write_all(reading->tape->descriptor, reading->buffer,
                                        reading->buffered * sizeof reading->buffer[0])) {
        reading->is_full = true;
    }
    reading->buffered = 0;
}

static bool read_at(int descriptor, void *bytes, size_t size, uint64_t offset, size_t *got)
{
    unsigned char *at = bytes;
    *got = 0;
    while (*got < size) {
        const ssize_t done = pread(descriptor, at + *got, size - *got, (off_t)(offset + *got));
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            break;
        }
        *got += (size_t)done;
    }
    return *got == size;
}

size_t replay_tape_fetch(const replay_tape *tape, uint64_t first, replay_event *events,
                         size_t count)
{
    const uint64_t left = first < tape->count ? tape->count - first : 0;
    const size_t wanted = count < left ? count : (size_t)left;
    size_t got;
    read_at(tape->descriptor, events, wanted * sizeof *events, first * sizeof *events, &got);
    return got / sizeof *events;
}

bool replay_tape_lasts(const replay_tape *tape, uint64_t *lasts)
{
    size_t got;
    return read_at(tape->descriptor, lasts, tape->threads * sizeof *lasts,
                   tape->count * sizeof(replay_event), &got);
}

void replay_tape_close(replay_tape *tape)
{
    if (tape->descriptor >= 0) {
        close(tape->descriptor);
        tape->descriptor = -1;
    }
}

/* -------------------------------------------------------------------------------------------------
 * The curve.
 */
static void join_buckets(tape_reading *reading)
{
    for (size_t i = 0; i < BUCKETS_MAX / 2; i++) {
        const tape_bucket *first = &reading->buckets[2 * i];
        const tape_bucket *second = &reading->buckets[2 * i + 1];
        reading->buckets[i] = (tape_bucket){
            .most = first->most.live >= second->most.live ? first->most : second->most,
            .end = second->end,
        };
    }
    reading->bucket_count = BUCKETS_MAX / 2;
    reading->bucket_width *= 2;
}

static void note_point(tape_reading *reading)
{
    const replay_point point = {
        .after = reading->tape->count, .time_ns = reading->time, .live = reading->live};
    const size_t number = (size_t)((point.after - 1) / reading->bucket_width);
    if (number == BUCKETS_MAX) {
        join_buckets(reading);
        note_point(reading);
        return;
    }
    tape_bucket *bucket = &reading->buckets[number];
    if (number == reading->bucket_count) {
        reading->bucket_count++;
        bucket->most = point;
    } else if (point.live > bucket->most.live) {
        bucket->most = point;
    }
    bucket->end = point;
}

static void fill_points(tape_reading *reading)
{
    replay_tape *tape = reading->tape;
    for (size_t i = 0; i < reading->bucket_count; i++) {
        const tape_bucket *bucket = &reading->buckets[i];
        tape->points[tape->point_count++] = bucket->most;
        if (bucket->end.after != bucket->most.after) {
            tape->points[tape->point_count++] = bucket->end;
        }
    }
}

/* -------------------------------------------------------------------------------------------------
 * Events.
 */
static void enter(tape_reading *reading, block_size *block, uint64_t size, unsigned class)
{
    uint64_t *peak = &reading->tape->class_peaks[class];
    *block = (block_size){.size = size, .class = class};
    reading->live += size;
    reading->rounded += replay_partition(size);
    reading->blocks++;
    reading->class_live[class]++;
    *peak = reading->class_live[class] > *peak ? reading->class_live[class] : *peak;
}

static void leave(tape_reading *reading, const block_size *block)
{
    reading->live -= block->size;
    reading->rounded -= replay_partition(block->size);
    reading->blocks--;
    reading->class_live[block->class]--;
}

static void note_rounded(tape_reading *reading)
{
    replay_tape *tape = reading->tape;
    tape->peak_rounded =
        reading->rounded > tape->peak_rounded ? reading->rounded : tape->peak_rounded;
}

/* A block that grows out of its fixed partition has two for a moment; in any other region each
 * that is resized may. */
static void change(tape_reading *reading, block_size *block, uint64_t size, uint64_t need)
{
    const block_size old = *block;
    const unsigned class = need <= replay_class_size(old.class) ? old.class : replay_class_of(need);
    if (class == old.class) {
        reading->class_live[class]--;
    }
    enter(reading, block, size, class);
    note_rounded(reading);
    if (class == old.class) {
        reading->class_live[class]++;
    }
    leave(reading, &old);
}

static void note_peaks(tape_reading *reading)
{
    replay_tape *tape = reading->tape;
    if (reading->live > tape->peak_live) {
        tape->peak_live = reading->live;
        tape->peak_after = tape->count;
    }
    note_rounded(reading);
    tape->peak_blocks = reading->blocks > tape->peak_blocks ? reading->blocks : tape->peak_blocks;
}

static uint32_t thread_of(tape_reading *reading)
{
    const size_t index = reading->number < POOLS_MAX ? reading->number : 0;
    reading->threads =
        with_room(reading->threads, &reading->thread_room, index, sizeof *reading->threads);
    if (reading->threads[index] == NO_THREAD) {
        reading->threads[index] = ++reading->tape->threads;
        reading->lasts = with_room(reading->lasts, &reading->last_room, reading->tape->threads,
                                   sizeof *reading->lasts);
    }
    return reading->threads[index] - 1;
}

static uint32_t pool_of(uint32_t number)
{
    return number < POOLS_MAX ? number + FIRST_POOL : FIRST_POOL;
}

static void put(tape_reading *reading, replay_op op, uint32_t slot, const trace_event *from)
{
    replay_tape *tape = reading->tape;
    replay_event *event = &reading->buffer[reading->buffered];
    const uint32_t thread = thread_of(reading);
    *event = (replay_event){.op = op, .slot = slot, .thread = thread};
    if (op != REPLAY_FREE) {
        event->size = from->size & (REPLAY_SIZE_END - 1);
        event->alignment_log2 = op == REPLAY_REALLOC ? 0 : from->alignment_log2 & 63u;
        tape->largest = from->size > tape->largest ? from->size : tape->largest;
    }
    reading->sizes = with_room(reading->sizes, &reading->size_room, slot, sizeof *reading->sizes);
    block_size *block = &reading->sizes[slot];
    if (op == REPLAY_FREE) {
        leave(reading, block);
    } else if (op == REPLAY_REALLOC) {
        change(reading, block, event->size, replay_need(event));
    } else {
        enter(reading, block, event->size, replay_class_of(replay_need(event)));
    }
    reading->lasts[thread] = tape->count;
    tape->count++;
    tape->allocations += op <= REPLAY_CALLOC;
    tape->reallocs += op == REPLAY_REALLOC;
    tape->frees += op == REPLAY_FREE;
    tape->aligned += event->alignment_log2 > 4;
    note_peaks(reading);
    note_point(reading);
    if (++reading->buffered == BUFFER_EVENTS) {
        flush(reading);
    }
}

/* In a damaged or foreign trace a block may be given that is live. */
static void free_twin(tape_reading *reading, uint32_t pool, uint64_t block)
{
    const uint32_t slot = cli_slots_remove(reading->slots, pool, block);
    if (slot != CLI_SLOT_NONE) {
        reading->tape->twice++;
        put(reading, REPLAY_FREE, slot, NULL);
    }
}

static bool is_playable(tape_reading *reading, const trace_event *event)
{
    if (event->block == 0) {
        reading->tape->failed++;
        return false;
    }
    /* What an alignment adds to a size must not pass the field either. */
    if (event->size >= REPLAY_SIZE_END / 2 || event->alignment_log2 >= 47) {
        reading->tape->huge++;
        return false;
    }
    return true;
}

static void read_alloc(tape_reading *reading, uint32_t pool, const trace_event *event)
{
    if (is_playable(reading, event)) {
        free_twin(reading, pool, event->block);
        const uint32_t slot = cli_slots_add(reading->slots, pool, event->block);
        put(reading, event->op == TRACE_CALLOC ? REPLAY_CALLOC : REPLAY_ALLOC, slot, event);
    }
}

static void read_free(tape_reading *reading, uint32_t pool, const trace_event *event)
{
    const uint32_t slot = cli_slots_remove(reading->slots, pool, event->block);
    if (slot == CLI_SLOT_NONE) {
        reading->tape->unknown++;
    } else {
        put(reading, REPLAY_FREE, slot, NULL);
    }
}

static void read_move(tape_reading *reading, const trace_event *event)
{
    const uint32_t mover = pool_of(reading->number);
    free_twin(reading, mover, event->block);
    if (cli_slots_remove(reading->slots, MALLOC, event->block) != CLI_SLOT_NONE) {
        cli_slots_add(reading->slots, mover, event->block);
    }
}

static void read_realloc(tape_reading *reading, const trace_event *event)
{
    const uint32_t mover = pool_of(reading->number);
    const bool has_moved = cli_slots_find(reading->slots, mover, event->old_block) != CLI_SLOT_NONE;
    const uint32_t pool = has_moved ? mover : MALLOC;
    if (!is_playable(reading, event)) {
        /* The old block lives on; if it was given up, it is back. */
        if (has_moved) {
            free_twin(reading, MALLOC, event->old_block);
            cli_slots_remove(reading->slots, mover, event->old_block);
            cli_slots_add(reading->slots, MALLOC, event->old_block);
        }
        return;
    }
    if (has_moved || event->block != event->old_block) {
        free_twin(reading, MALLOC, event->block);
    }
    const bool is_known = cli_slots_remove(reading->slots, pool, event->old_block) != CLI_SLOT_NONE;
    const uint32_t slot = cli_slots_add(reading->slots, MALLOC, event->block);
    put(reading, is_known ? REPLAY_REALLOC : REPLAY_ALLOC, slot, event);
}

static void put_gone(void *context, uint32_t slot)
{
    put(context, REPLAY_FREE, slot, NULL);
}

static void read_pool_event(tape_reading *reading, const trace_event *event)
{
    const uint32_t pool = pool_of(event->pool);
    switch (event->op) {
    case TRACE_POOL_ALLOC:
        read_alloc(reading, pool, event);
        break;
    case TRACE_POOL_FREE:
        read_free(reading, pool, event);
        break;
    default:
        cli_slots_remove_pool(reading->slots, pool, put_gone, reading);
        break;
    }
}

static void read_event(tape_reading *reading, const trace_event *event)
{
    if (trace_op_has_pool(event->op) != reading->pools) {
        return;
    }
    reading->number = event->thread;
    reading->time = event->time;
    if (reading->pools) {
        read_pool_event(reading, event);
    } else if (event->op == TRACE_REALLOC) {
        read_realloc(reading, event);
    } else if (event->op == TRACE_MOVE) {
        read_move(reading, event);
    } else if (trace_op_is_alloc(event->op)) {
        read_alloc(reading, MALLOC, event);
    } else {
        read_free(reading, MALLOC, event);
    }
}

/* -------------------------------------------------------------------------------------------------
 * All of it.
 */
static bool is_text(trace_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.start, word, text.size) == 0;
}

static bool read_events(tape_reading *reading, cli_trace_file *file)
{
    trace_item item;
    bool is_sound;
    uint64_t until_shown = 0;
    while (cli_trace_file_next(file, &item, &is_sound)) {
        if (item.kind == TRACE_EVENT) {
            read_event(reading, &item.event);
            if (until_shown-- == 0) {
                cli_progress("reading: %" PRIu64 " operations", reading->tape->count);
                until_shown = 1 << 20;
            }
        } else if (item.kind == TRACE_INFO && is_text(item.info.name, "command")) {
            *reading->command = cli_copy_n(item.info.value.start, item.info.value.size);
        }
    }
    cli_progress_wipe();
    return is_sound;
}

static bool finish(tape_reading *reading)
{
    replay_tape *tape = reading->tape;
    flush(reading);
    if (!reading->is_full && tape->threads > 0 &&
        !write_all(tape->descriptor, reading->lasts, tape->threads * sizeof *reading->lasts)) {
        reading->is_full = true;
    }
    if (reading->is_full) {
        cli_error("cannot keep the operations of the trace: %s; TMPDIR may name a folder with "
                  "more room",
                  strerror(errno));
        return false;
    }
    tape->slots = (uint32_t)cli_slots_count(reading->slots);
    tape->live_end = reading->live;
    tape->blocks_end = reading->blocks;
    fill_points(reading);
    return true;
}

static uint64_t expected_bytes(const cli_trace_file *file)
{
    trace_summary summary;
    /* Without an index: as many events as the densest traces have for their size. */
    const uint64_t events =
        trace_reader_summary(file->reader, &summary) ? summary.events : file->size * 2;
    return events * sizeof(replay_event);
}

bool replay_tape_read(replay_tape *tape, cli_trace_file *file, bool pools, const char **command)
{
    *tape = (replay_tape){.descriptor = open_nameless(expected_bytes(file))};
    if (tape->descriptor < 0) {
        cli_error("cannot make a temporary file for the operations of the trace: %s",
                  strerror(errno));
        return false;
    }
    tape_reading *reading = cli_alloc(sizeof *reading);
    reading->tape = tape;
    reading->pools = pools;
    reading->command = command;
    reading->slots = cli_slots_create();
    reading->bucket_width = 1;
    const bool is_read = read_events(reading, file) && finish(reading);
    cli_slots_free(reading->slots);
    free(reading->sizes);
    free(reading->threads);
    free(reading->lasts);
    if (!is_read) {
        replay_tape_close(tape);
    }
    return is_read;
}
