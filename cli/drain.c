/* SPDX-License-Identifier: MIT */
#include "drain.h"

#include "live.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/*
 *     stream 1:  [chunk][chunk][chunk, being filled]
 *     stream 2:  [chunk, being filled]                    -> events before the cut, by time
 *     ...
 *
 * The cut is a time: an event whose thread had seen another's, or a block of it, before that time, is
 * taken no earlier than that other one, because that one was there to be seen before the time was read. So all
 * that is taken comes before all that is not, and only what is taken at once has to be sorted.
 *
 * Invariant: a chunk that is not free is in the list of one stream, in the order in which its thread filled
 * them, or has not been seen yet.
 */

enum { STREAMS_FIRST = 16 };

#define NOBODY UINT32_MAX /* no chunk */

typedef struct drain_stream {
    uint64_t id;
    uint32_t first; /* chunks, by `next_chunk`; NOBODY: none */
    uint32_t last;
    uint32_t at;     /* in the first chunk: bytes that were taken */
    uint32_t used;   /* in the first chunk: bytes that are there */
    uint32_t thread; /* whose events come next */
    uint64_t ticks;  /* of the last event */
    bool has_event;  /* the next one is in `event`, at `event_ticks` */
    uint64_t event_ticks;
    trace_event event;
} drain_stream;

/* Blocks have names, which are never given twice: each follows the one before as if an allocator had bumped a
 * pointer, and so costs the trace nothing. A block that finds no place in the table keeps its address,
 * which no name can be. */
enum { NAMES_LOG2 = 19, NAMES_PROBES = 4 };

#define NAMES_SIZE_END (UINT64_C(1) << 40)
#define NAMES_FIRST (UINT64_C(1) << 56)

typedef struct drain_name {
    uint64_t address; /* 0: empty */
    uint64_t name;
    uint64_t size;
    uint64_t key; /* the writer's */
} drain_name;

typedef struct drain_move {
    uint64_t address;
    uint64_t name;
    uint32_t thread;
} drain_move;

typedef struct drain_names {
    uint64_t next;
    uint64_t live;                                    /* bytes of the blocks that have names */
    _Alignas(128) drain_name places[1 << NAMES_LOG2]; /* a line is two of the processor's cache */
} drain_names;

struct cli_drain {
    ring_header *ring;
    trace_writer *writer;
    cli_clock clock;
    uint64_t head; /* of the queue */
    drain_stream *streams;
    size_t stream_count;
    size_t stream_room;
    uint32_t next_chunk[RING_CHUNKS];
    bool is_seen[RING_CHUNKS];   /* in a list */
    bool is_filled[RING_CHUNKS]; /* its thread has left it */
    trace_event moved;           /* a realloc's beginning that waits for its end; thread 0: none */
    bool has_freed;
    drain_names *names; /* NULL: blocks keep their addresses */
    drain_name *given;  /* by the event, NULL: none */
    uint64_t key;       /* of the event */
    drain_move *moves;  /* reallocs that have given up their blocks and are not back */
    size_t move_count;
    size_t move_room;
    uint64_t events;
    uint64_t damaged;
    uint64_t peak;  /* bytes that were live at most */
    cli_live *live; /* of the blocks without names */
};

/* -------------------------------------------------------------------------------------------------
 * Time.
 */
__extension__ typedef unsigned __int128 wide_number;

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* The processor's counter runs at one speed, and on all processors the same, where the kernel trusts it. */
static bool has_good_tsc(void)
{
#if defined(__x86_64__)
    unsigned a;
    unsigned b;
    unsigned c;
    unsigned d = 0;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1U << 8) != 0;
#else
    return false;
#endif
}

uint64_t cli_clock_ticks(const cli_clock *clock)
{
#if defined(__x86_64__)
    if (clock->has_tsc) {
        return ring_tsc();
    }
#endif
    (void)clock;
    return nanoseconds();
}

cli_clock cli_clock_start(void)
{
    cli_clock clock = {.has_tsc = has_good_tsc(), .factor = UINT64_C(1) << 32};
    clock.start = cli_clock_ticks(&clock);
    if (clock.has_tsc) {
        const uint64_t from = nanoseconds();
        const uint64_t from_ticks = cli_clock_ticks(&clock);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        const uint64_t passed = nanoseconds() - from;
        const uint64_t ticks = cli_clock_ticks(&clock) - from_ticks;
        clock.factor = (uint64_t)(((wide_number)passed << 32) / (ticks != 0 ? ticks : 1));
    }
    return clock;
}

static uint64_t time_of(const cli_clock *clock, uint64_t ticks)
{
    if (ticks <= clock->start) {
        return 0;
    }
    return (uint64_t)((wide_number)(ticks - clock->start) * clock->factor >> 32);
}

/* -------------------------------------------------------------------------------------------------
 * Chunks.
 */
/* Pages of the kernel: aligned, zero, and only there once they are touched. */
static drain_names *make_names(void)
{
    void *memory =
        mmap(NULL, sizeof(drain_names), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

cli_drain *cli_drain_create(ring_header *ring, trace_writer *writer, const cli_clock *clock,
                            bool with_addresses)
{
    cli_drain *drain = calloc(1, sizeof *drain);
    if (drain == NULL) {
        return NULL;
    }
    drain->live = cli_live_create();
    drain->names = with_addresses ? NULL : make_names();
    if (drain->live == NULL || (!with_addresses && drain->names == NULL)) {
        cli_drain_free(drain);
        return NULL;
    }
    if (drain->names != NULL) {
        drain->names->next = NAMES_FIRST;
    }
    drain->ring = ring;
    drain->writer = writer;
    drain->clock = *clock;
    ring->magic = RING_MAGIC;
    ring->version = RING_VERSION;
    ring->has_tsc = clock->has_tsc;
    for (size_t i = 0; i < RING_CHUNKS / 64; i++) {
        atomic_store(&ring->free_chunks[i], UINT64_MAX);
    }
    return drain;
}

void cli_drain_free(cli_drain *drain)
{
    if (drain != NULL) {
        cli_live_free(drain->live);
        free(drain->streams);
        if (drain->names != NULL) {
            munmap(drain->names, sizeof *drain->names);
        }
        free(drain->moves);
        free(drain);
    }
}

static drain_stream *find_stream(cli_drain *drain, uint64_t id)
{
    for (size_t i = 0; i < drain->stream_count; i++) {
        if (drain->streams[i].id == id) {
            return &drain->streams[i];
        }
    }
    if (drain->stream_count == drain->stream_room) {
        const size_t room = drain->stream_room != 0 ? 2 * drain->stream_room : STREAMS_FIRST;
        drain_stream *streams = realloc(drain->streams, room * sizeof *streams);
        if (streams == NULL) {
            return NULL;
        }
        drain->streams = streams;
        drain->stream_room = room;
    }
    drain_stream *stream = &drain->streams[drain->stream_count++];
    *stream = (drain_stream){.id = id, .first = NOBODY, .last = NOBODY};
    return stream;
}

/* The chunk is the stream's next. */
static void add_chunk(cli_drain *drain, uint32_t number)
{
    if (drain->is_seen[number]) {
        return;
    }
    drain_stream *stream = find_stream(drain, ring_chunk_at(drain->ring, number)->stream);
    if (stream == NULL) {
        return; /* seen again the next time */
    }
    drain->is_seen[number] = true;
    drain->next_chunk[number] = NOBODY;
    if (stream->first == NOBODY) {
        stream->first = number;
        stream->used = 0;
    } else {
        drain->next_chunk[stream->last] = number;
    }
    stream->last = number;
}

/* False if a thread has taken a place in the queue, and its chunk is not there yet. */
static bool pull_queue(cli_drain *drain, bool is_over)
{
    ring_header *ring = drain->ring;
    uint64_t tail = atomic_load(&ring->tail);
    if (tail - drain->head > RING_CHUNKS) {
        tail = drain->head + RING_CHUNKS; /* the program has overwritten it */
    }
    for (; drain->head != tail; drain->head++) {
        const uint32_t entry = atomic_exchange(&ring->queue[drain->head % RING_CHUNKS], 0);
        if (entry == 0 || entry > RING_CHUNKS) {
            if (!is_over && entry == 0) {
                return false;
            }
            continue;
        }
        add_chunk(drain, entry - 1);
        drain->is_filled[entry - 1] = true;
    }
    return true;
}

/* The chunks that threads are filling now. */
static uint32_t find_taken(const cli_drain *drain, uint32_t *numbers)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < RING_CHUNKS; i++) {
        if (i % 64 == 0 && atomic_load_explicit(&drain->ring->free_chunks[i / 64],
                                                memory_order_acquire) == UINT64_MAX) {
            i += 63;
            continue;
        }
        if (!drain->is_seen[i] && atomic_load_explicit(&ring_chunk_at(drain->ring, i)->thread,
                                                       memory_order_acquire) != 0) {
            numbers[count++] = i;
        }
    }
    return count;
}

static void give_back(cli_drain *drain, uint32_t number)
{
    ring_header *ring = drain->ring;
    drain->is_seen[number] = false;
    drain->is_filled[number] = false;
    atomic_store_explicit(&ring_chunk_at(ring, number)->thread, 0, memory_order_relaxed);
    atomic_fetch_or_explicit(&ring->free_chunks[number / 64], UINT64_C(1) << number % 64,
                             memory_order_release);
    drain->has_freed = true;
}

/* -------------------------------------------------------------------------------------------------
 * Records.
 */
static uint64_t word_at(const cli_drain *drain, const drain_stream *stream, uint32_t offset)
{
    const unsigned char *chunk =
        (const unsigned char *)ring_chunk_at(drain->ring, stream->first) + offset;
    return *(const volatile uint64_t *)(const void *)chunk;
}

/* What is in the rest of the chunk is not looked at. */
static void give_up(cli_drain *drain, drain_stream *stream)
{
    drain->damaged++;
    stream->at = stream->used;
}

/* Events that are there without a look at the chunk again; the first chunk changes when it is done. */
static bool look_at_chunk(cli_drain *drain, drain_stream *stream)
{
    while (stream->first != NOBODY) {
        ring_chunk *chunk = ring_chunk_at(drain->ring, stream->first);
        if (stream->used == 0) {
            stream->at = sizeof *chunk;
            stream->ticks = chunk->ticks;
            stream->thread = atomic_load_explicit(&chunk->thread, memory_order_relaxed);
        }
        const uint32_t used = atomic_load_explicit(&chunk->used, memory_order_acquire);
        stream->used =
            used <= RING_CHUNK_SIZE && used % 8 == 0 && used >= stream->at ? used : stream->at;
        if (stream->at < stream->used) {
            return true;
        }
        const uint32_t number = stream->first;
        if (!drain->is_filled[number]) {
            return false;
        }
        stream->first = drain->next_chunk[number];
        stream->used = 0;
        give_back(drain, number);
    }
    return false;
}

static trace_text text_of(const unsigned char *bytes, size_t size)
{
    return (trace_text){.start = (const char *)bytes, .size = size};
}

static bool take_module(cli_drain *drain, const unsigned char *note, size_t size)
{
    uint64_t words[5];
    if (size < sizeof words) {
        return false;
    }
    memcpy(words, note, sizeof words);
    const size_t left = size - sizeof words;
    if (words[3] > left || words[4] > left - words[3]) {
        return false;
    }
    trace_writer_module(drain->writer,
                        &(trace_module){.start = words[0],
                                        .size = words[1],
                                        .bias = words[2],
                                        .build_id = text_of(note + sizeof words, words[3]),
                                        .path = text_of(note + sizeof words + words[3], words[4])});
    return true;
}

static bool take_pool(cli_drain *drain, const unsigned char *note, size_t size)
{
    uint64_t words[4];
    if (size < sizeof words) {
        return false;
    }
    memcpy(words, note, sizeof words);
    const size_t left = size - sizeof words;
    if (words[2] > left || words[3] > left - words[2] || words[0] - 1 >= UINT32_MAX ||
        words[1] > UINT32_MAX) {
        return false;
    }
    trace_writer_pool(drain->writer,
                      &(trace_pool){.pool = (uint32_t)words[0],
                                    .parent = (uint32_t)words[1],
                                    .kind = text_of(note + sizeof words, words[2]),
                                    .name = text_of(note + sizeof words + words[2], words[3])});
    return true;
}

static bool take_thread(cli_drain *drain, drain_stream *stream, const unsigned char *note,
                        size_t size)
{
    uint64_t words[2];
    if (size < sizeof words + 16) {
        return false;
    }
    memcpy(words, note, sizeof words);
    if (words[0] - 1 >= UINT32_MAX) {
        return false;
    }
    stream->thread = (uint32_t)words[0];
    const char *name = (const char *)note + sizeof words;
    trace_writer_thread(drain->writer, &(trace_thread){.thread = stream->thread,
                                                       .system_id = words[1],
                                                       .name = {name, strnlen(name, 16)}});
    return true;
}

static bool take_stack(cli_drain *drain, const unsigned char *note, size_t size)
{
    uint64_t words[1 + TRACE_FRAMES_MAX];
    if (size < sizeof *words || size > sizeof words || size % sizeof *words != 0) {
        return false;
    }
    memcpy(words, note, size);
    return words[0] - 1 < UINT32_MAX &&
           trace_writer_stack(drain->writer,
                              &(trace_stack){.stack = (uint32_t)words[0],
                                             .count = (uint32_t)(size / sizeof *words) - 1,
                                             .frames = words + 1});
}

static void take_note(cli_drain *drain, drain_stream *stream, uint64_t head)
{
    const size_t size = head >> 32;
    const size_t room = (size + 7) & ~(size_t)7;
    /* A copy, which the program cannot change under our hands. */
    _Alignas(8) unsigned char note[RING_NOTE_BYTES_MAX];
    if (size > sizeof note || room > stream->used - stream->at - 8) {
        give_up(drain, stream);
        return;
    }
    memcpy(note, (const unsigned char *)ring_chunk_at(drain->ring, stream->first) + stream->at + 8,
           size);
    bool is_good = false;
    switch (head >> 4 & 15) {
    case RING_NOTE_TICKS:
        is_good = size == sizeof stream->ticks;
        if (is_good) {
            memcpy(&stream->ticks, note, size);
        }
        break;
    case RING_NOTE_THREAD:
        is_good = take_thread(drain, stream, note, size);
        break;
    case RING_NOTE_STACK:
        is_good = take_stack(drain, note, size);
        break;
    case RING_NOTE_MODULE:
        is_good = take_module(drain, note, size);
        break;
    case RING_NOTE_POOL:
        is_good = take_pool(drain, note, size);
        break;
    default:
        break;
    }
    if (is_good) {
        stream->at += 8 + (uint32_t)room;
    } else {
        give_up(drain, stream);
    }
}

static drain_name *line_of(drain_names *names, uint64_t address)
{
    const uint64_t hash = (address * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - NAMES_LOG2);
    return &names->places[hash & ~(uint64_t)(NAMES_PROBES - 1)];
}

/* The table is larger than the processor's cache: what events soon to come will look for is fetched now. Where they
 * are is a guess, which is right for those without stacks; a wrong one does no harm. */
static void fetch_ahead(const cli_drain *drain, const drain_stream *stream)
{
    enum { AHEAD = 8 * 16 };
    if (drain->names != NULL && stream->used - stream->at >= AHEAD + 16) {
        __builtin_prefetch(line_of(drain->names, word_at(drain, stream, stream->at + AHEAD)), 1);
        __builtin_prefetch(line_of(drain->names, word_at(drain, stream, stream->at + AHEAD + 8)),
                           1);
    }
}

static void take_event(cli_drain *drain, drain_stream *stream, uint64_t head)
{
    const unsigned op = head & 15;
    const uint32_t words = 2U + (op == TRACE_REALLOC) + ((head & RING_SIZE_WORD) != 0) +
                           ((head & RING_STACK_WORD) != 0) + trace_op_has_pool(op);
    if (op >= TRACE_OP_COUNT || words * 8 > stream->used - stream->at) {
        give_up(drain, stream);
        return;
    }
    fetch_ahead(drain, stream);
    uint32_t at = stream->at + 8;
    trace_event *event = &stream->event;
    *event = (trace_event){.op = (uint8_t)op, .thread = stream->thread};
    event->alignment_log2 = head >> 4 & 63;
    event->block = word_at(drain, stream, at);
    at += 8;
    if (op == TRACE_REALLOC) {
        event->old_block = word_at(drain, stream, at);
        at += 8;
    }
    event->size = head >> RING_SIZE_SHIFT & RING_SIZE_MAX;
    if ((head & RING_SIZE_WORD) != 0) {
        event->size = word_at(drain, stream, at);
        at += 8;
    }
    if ((head & RING_STACK_WORD) != 0) {
        event->stack = (uint32_t)word_at(drain, stream, at);
        at += 8;
    }
    if (trace_op_has_pool(op)) {
        event->pool = (uint32_t)word_at(drain, stream, at);
        at += 8;
    }
    /* The low half, and as much of the high one as makes it go forwards. */
    stream->ticks += (uint32_t)(head >> 32) - (uint32_t)stream->ticks;
    stream->event_ticks = stream->ticks;
    stream->has_event = true;
    stream->at = at;
}

/* Finds the stream's next event, and takes the notes before it. */
static bool find_event(cli_drain *drain, drain_stream *stream)
{
    while (!stream->has_event) {
        if (stream->at >= stream->used && !look_at_chunk(drain, stream)) {
            return false;
        }
        const uint64_t head = word_at(drain, stream, stream->at);
        if ((head & 15) == RING_NOTE) {
            take_note(drain, stream, head);
        } else {
            take_event(drain, stream, head);
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Order.
 */
/* The entry of a block that is given; NULL if there is no room for one. */
static drain_name *place_name(drain_names *names, uint64_t address)
{
    drain_name *line = line_of(names, address);
    drain_name *place = NULL;
    for (unsigned i = 0; i < NAMES_PROBES; i++) {
        if (line[i].address == address) {
            names->live -= line[i].size;
            return &line[i];
        }
        if (line[i].address == 0 && place == NULL) {
            place = &line[i];
        }
    }
    return place;
}

/* The name of a block that is given. */
static uint64_t give_name(cli_drain *drain, uint64_t address, uint64_t size)
{
    drain_names *names = drain->names;
    drain_name *place = size < NAMES_SIZE_END ? place_name(names, address) : NULL;
    if (place == NULL) {
        cli_live_add(drain->live, address, size);
        return address;
    }
    *place = (drain_name){.address = address, .name = names->next, .size = size};
    names->next += size <= 24 ? 32 : (size + 23) & ~UINT64_C(15);
    names->live += size;
    drain->given = place;
    return place->name;
}

/* A block is taken back, and its name forgotten. One that has none has its address for a name, and no
 * size. */
static drain_name take_name(cli_drain *drain, uint64_t address)
{
    drain_names *names = drain->names;
    drain_name *line = line_of(names, address);
    for (unsigned i = 0; i < NAMES_PROBES && address != 0; i++) {
        if (line[i].address == address) {
            const drain_name taken = line[i];
            drain->key = taken.key;
            line[i].address = 0;
            names->live -= taken.size;
            return taken;
        }
    }
    cli_live_remove(drain->live, address);
    return (drain_name){.address = address, .name = address};
}

/* The address is free for others from now on, the name still the realloc's. */
static void name_moved(cli_drain *drain, trace_event *event)
{
    const uint64_t address = event->block;
    event->block = take_name(drain, address).name;
    if (drain->move_count == drain->move_room) {
        const size_t room = drain->move_room != 0 ? 2 * drain->move_room : 16;
        drain_move *moves = realloc(drain->moves, room * sizeof *moves);
        if (moves == NULL) {
            return;
        }
        drain->moves = moves;
        drain->move_room = room;
    }
    drain->moves[drain->move_count++] =
        (drain_move){.address = address, .name = event->block, .thread = event->thread};
}

/* What a realloc takes back. */
static drain_name take_old_block(cli_drain *drain, const trace_event *event)
{
    for (size_t i = 0; i < drain->move_count; i++) {
        const drain_move move = drain->moves[i];
        if (move.thread == event->thread && move.address == event->old_block) {
            drain->moves[i] = drain->moves[--drain->move_count];
            return (drain_name){.address = move.address, .name = move.name};
        }
    }
    return take_name(drain, event->old_block);
}

/* A realloc that fails, or gives the same block, leaves the name. */
static void name_reallocated(cli_drain *drain, trace_event *event)
{
    drain_name old = take_old_block(drain, event);
    event->old_block = old.name;
    if (event->block != 0 && event->block != old.address) {
        event->block = give_name(drain, event->block, event->size);
        return;
    }
    if (event->block != 0) {
        event->block = old.name;
        old.size = event->size;
    }
    if (old.name == old.address) {
        cli_live_add(drain->live, event->block, event->size);
        return;
    }
    drain_name *place = place_name(drain->names, old.address);
    if (place != NULL) {
        *place = old;
        drain->names->live += old.size;
        drain->given = place;
    }
}

/* Those of pools keep their addresses, which may be those of blocks around them: a reset would leave names
 * that nobody takes back. */
static void name_blocks(cli_drain *drain, trace_event *event)
{
    if (trace_op_has_pool(event->op)) {
        return;
    }
    if (event->op == TRACE_REALLOC) {
        name_reallocated(drain, event);
    } else if (event->op == TRACE_MOVE) {
        name_moved(drain, event);
    } else if (trace_op_is_alloc(event->op)) {
        if (event->block != 0) {
            event->block = give_name(drain, event->block, event->size);
        }
    } else if (trace_op_is_free(event->op)) {
        event->block = take_name(drain, event->block).name;
    }
}

static void write_event(cli_drain *drain, trace_event *event)
{
    if (drain->names != NULL) {
        drain->given = NULL;
        drain->key = 0;
        name_blocks(drain, event);
        const uint64_t live = drain->names->live + cli_live_now(drain->live);
        drain->peak = live > drain->peak ? live : drain->peak;
        trace_writer_event_with_key(drain->writer, event, &drain->key);
        if (drain->given != NULL) {
            drain->given->key = drain->key;
        }
    } else {
        cli_live_event(drain->live, event);
        drain->peak = cli_live_peak(drain->live);
        trace_writer_event(drain->writer, event);
    }
    drain->events++;
}

/* A realloc that went by without anybody between its two ends is one event. */
static void pass_on(cli_drain *drain, drain_stream *stream)
{
    trace_event *event = &stream->event;
    stream->has_event = false;
    event->time = time_of(&drain->clock, stream->event_ticks);
    if (drain->moved.thread != 0) {
        if (event->op != TRACE_REALLOC || event->thread != drain->moved.thread ||
            event->old_block != drain->moved.block) {
            write_event(drain, &drain->moved);
        }
        drain->moved.thread = 0;
    }
    if (event->op == TRACE_MOVE && event->thread != 0) {
        drain->moved = *event;
        return;
    }
    write_event(drain, event);
}

/* The stream with the earliest event, and when the next stream's turn is. */
static drain_stream *find_earliest(cli_drain *drain, uint64_t cut, uint64_t *until)
{
    drain_stream *earliest = NULL;
    *until = cut;
    for (size_t i = 0; i < drain->stream_count; i++) {
        drain_stream *stream = &drain->streams[i];
        if (!find_event(drain, stream)) {
            continue;
        }
        if (earliest == NULL) {
            earliest = stream;
        } else if (stream->event_ticks < earliest->event_ticks) {
            *until = earliest->event_ticks < *until ? earliest->event_ticks : *until;
            earliest = stream;
        } else if (stream->event_ticks < *until) {
            *until = stream->event_ticks;
        }
    }
    return earliest != NULL && earliest->event_ticks < cut ? earliest : NULL;
}

/* Streams of threads that are gone. */
static void drop_streams(cli_drain *drain)
{
    size_t kept = 0;
    for (size_t i = 0; i < drain->stream_count; i++) {
        if (drain->streams[i].first != NOBODY || drain->streams[i].has_event) {
            drain->streams[kept++] = drain->streams[i];
        }
    }
    drain->stream_count = kept;
}

static void wake(cli_drain *drain)
{
    ring_header *ring = drain->ring;
    atomic_fetch_add(&ring->beat, 1);
    if (drain->has_freed) {
        drain->has_freed = false;
        atomic_fetch_add(&ring->given_back, 1);
        if (atomic_load(&ring->sleepers) != 0) {
            syscall(SYS_futex, &ring->given_back, 1, INT32_MAX, NULL, NULL, 0);
        }
    }
}

bool cli_drain_take(cli_drain *drain, bool is_over)
{
    const uint64_t before = drain->events;
    const uint64_t cut = is_over ? UINT64_MAX : cli_clock_ticks(&drain->clock);
    uint32_t taken[RING_CHUNKS];
    const uint32_t count = find_taken(drain, taken);
    if (!pull_queue(drain, is_over)) {
        wake(drain);
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        add_chunk(drain, taken[i]);
    }
    uint64_t until;
    for (;;) {
        drain_stream *stream = find_earliest(drain, cut, &until);
        if (stream == NULL) {
            break;
        }
        do {
            pass_on(drain, stream);
            if (drain->has_freed) {
                wake(drain);
            }
        } while (find_event(drain, stream) && stream->event_ticks <= until &&
                 stream->event_ticks < cut);
    }
    if (is_over && drain->moved.thread != 0) {
        write_event(drain, &drain->moved);
        drain->moved.thread = 0;
    }
    drop_streams(drain);
    wake(drain);
    return drain->events != before;
}

uint32_t cli_drain_backlog(const cli_drain *drain)
{
    uint32_t taken = RING_CHUNKS;
    for (size_t i = 0; i < RING_CHUNKS / 64; i++) {
        taken -= (uint32_t)__builtin_popcountll(
            atomic_load_explicit(&drain->ring->free_chunks[i], memory_order_relaxed));
    }
    return taken;
}

uint64_t cli_drain_events(const cli_drain *drain)
{
    return drain->events;
}

uint64_t cli_drain_damaged(const cli_drain *drain)
{
    return drain->damaged;
}

uint64_t cli_drain_peak(const cli_drain *drain, bool *is_estimate)
{
    *is_estimate = cli_live_is_estimate(drain->live);
    return drain->peak;
}
