/* SPDX-License-Identifier: MIT */
#include "movable/image.h"

#include "movable/core.h"

#include "base/text.h"
#include "heap/books.h"

#include <string.h>

/*
 *     file    [ preface | pieces of the arena, from FIRST_PLACE to the end | pieces of the table, entry n first ]
 *     piece   [ up to IMAGE_PIECE_WORDS words | their hash ]
 *
 * Each hash begins with the one before, so a piece that is altered, missing, or from another place or file is noticed
 * where it is read. What can be computed is not in the file: links, tracts, counts. So loading trusts nothing, and an
 * image needs no more than that each chunk and its entry name each other.
 *
 * Holes are written as one word and zeros: nothing of freed blocks gets into a file, and equal heaps give equal files.
 */

/* What went wrong, in words, for the caller. */
typedef struct image_complaint {
    char *text;
    size_t size;
    const char *path; /* NULL: a descriptor */
} image_complaint;

static const char *named(const image_complaint *complaint)
{
    return complaint->path != NULL ? complaint->path : "image";
}

/* ---- saving ---- */

typedef struct image_writer {
    int descriptor;
    int error; /* the system's; once there is one, nothing more is written */
    uint64_t hash;
    size_t count; /* words of the piece */
    movable_word piece[IMAGE_PIECE_WORDS + 1];
} image_writer;

static void write_piece(image_writer *writer)
{
    if (writer->count > 0 && writer->error == 0) {
        writer->hash = image_hash(writer->hash, writer->piece, writer->count);
        writer->piece[writer->count] = writer->hash;
        writer->error = os_file_write(writer->descriptor, writer->piece,
                                      (writer->count + 1) * sizeof(movable_word));
    }
    writer->count = 0;
}

/* NULL words are zeros. */
static void write_words(image_writer *writer, const movable_word *words, size_t count)
{
    while (count > 0) {
        const size_t room = IMAGE_PIECE_WORDS - writer->count;
        const size_t now = count < room ? count : room;
        movable_word *to = writer->piece + writer->count;
        if (words != NULL) {
            memcpy(to, words, now * sizeof *words);
            words += now;
        } else {
            memset(to, 0, now * sizeof *to);
        }
        writer->count += now;
        count -= now;
        if (writer->count == IMAGE_PIECE_WORDS) {
            write_piece(writer);
        }
    }
}

/* True for a chunk that holds a block: not for a hole, nor for the place that an open pass has set aside. */
static bool holds_block(const tarn_movable *heap, uint32_t place)
{
    const uint64_t word = *word_at(heap, place);
    return !word_is_free(word) &&
           entry_load(heap, entry_at(heap, word_number(word))).place == place + 1;
}

static void write_arena(image_writer *writer, const tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    for (uint32_t place = FIRST_PLACE; place != head->end;) {
        movable_word word = *word_at(heap, place);
        const uint32_t granules = word_granules(word);
        const bool is_block = holds_block(heap, place);
        word = is_block ? word & ~WORD_AFTER_HOLE : word_of_hole(granules);
        write_words(writer, &word, 1);
        write_words(writer, is_block ? word_at(heap, place + 1) : NULL, granules - 1);
        place += granules;
    }
    write_piece(writer);
}

static void write_table(image_writer *writer, const tarn_movable *heap)
{
    for (uint32_t number = movable_head_of(heap)->count; number > 0; number--) {
        const entry_view seen = entry_load(heap, entry_at(heap, number));
        uint32_t kind = seen.state & KIND_MASK;
        uint32_t kept = seen.state & STATE_GENERATION;
        uint32_t place = 0;
        if (kind == KIND_LIVE || kind == KIND_MOVING) {
            kind = KIND_LIVE;
            kept |= seen.state & STATE_PURGEABLE;
            place = seen.place;
        }
        const movable_word word = (uint64_t)(kept | kind) << 32 | place;
        write_words(writer, &word, 1);
    }
    write_piece(writer);
}

static uint32_t largest_alignment(const tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    uint32_t largest = 1;
    for (uint32_t place = FIRST_PLACE; place != head->end;) {
        const uint64_t word = *word_at(heap, place);
        if (!word_is_free(word) && word_alignment(word) > largest) {
            largest = word_alignment(word);
        }
        place += word_granules(word);
    }
    return largest * (uint32_t)GRANULE;
}

static int write_image(const tarn_movable *heap, int descriptor)
{
    movable_lock(heap);
    const movable_head *head = movable_head_of(heap);
    image_preface preface = {
        .magic = IMAGE_MAGIC,
        .order = IMAGE_ORDER,
        .version = MOVABLE_VERSION,
        .word_size = sizeof(size_t),
        .alignment = largest_alignment(heap),
        .first = FIRST_PLACE,
        .end = head->end,
        .count = head->count,
        .generation = head->generation,
        .root = head->root,
    };
    preface.hash = image_preface_hash(&preface);
    image_writer writer = {.descriptor = descriptor, .hash = preface.hash};
    writer.error = os_file_write(descriptor, &preface, sizeof preface);
    write_arena(&writer, heap);
    write_table(&writer, heap);
    movable_unlock(heap);
    return writer.error;
}

static tarn_status complain_of_system(const image_complaint *complaint, const char *what, int error)
{
    (void)heap_fault(complaint->text, complaint->size, "%s: %s: %s", named(complaint), what,
                     os_error_text(error));
    return TARN_IO_FAILED;
}

static image_complaint complaint_in(char *fault, size_t fault_size, const char *path)
{
    if (fault != NULL && fault_size > 0) {
        fault[0] = '\0';
    }
    return (image_complaint){fault, fault != NULL ? fault_size : 0, path};
}

tarn_status tarn_movable_save_to(tarn_movable *heap, int descriptor, char *fault, size_t fault_size)
{
    const image_complaint complaint = complaint_in(fault, fault_size, NULL);
    const int error = write_image(heap, descriptor);
    return error == 0 ? TARN_OK : complain_of_system(&complaint, "cannot be written", error);
}

/* Writes the image to a file at `path`, which must not exist, and onto the medium. */
static int write_new_file(const tarn_movable *heap, const char *path)
{
    int descriptor = -1;
    int error = os_file_create(path, &descriptor);
    if (error != 0) {
        return error;
    }
    error = write_image(heap, descriptor);
    if (error == 0) {
        error = os_file_sync(descriptor);
    }
    const int close_error = os_file_close(descriptor);
    error = error != 0 ? error : close_error;
    if (error != 0) {
        (void)os_file_remove(path);
    }
    return error;
}

tarn_status tarn_movable_save(tarn_movable *heap, const char *path, char *fault, size_t fault_size)
{
    const image_complaint complaint = complaint_in(fault, fault_size, path);
    char beside[4096];
    base_text text = base_text_in(beside, sizeof beside);
    base_text_add(&text, path);
    base_text_add(&text, ".");
    base_text_add_number(&text, os_random(), 16);
    base_text_add(&text, ".new");
    if (text.length == sizeof beside - 1) {
        (void)heap_fault(complaint.text, complaint.size, "the path is too long");
        return TARN_BAD_ARGUMENT;
    }
    int error = write_new_file(heap, beside);
    if (error == 0) {
        error = os_file_replace(path, beside);
        if (error != 0) {
            (void)os_file_remove(beside);
        }
    }
    return error == 0 ? TARN_OK : complain_of_system(&complaint, "cannot be written", error);
}

/* ---- loading ---- */

typedef struct image_reader {
    const image_complaint *complaint;
    int descriptor;
    uint64_t offset; /* bytes read */
    uint64_t hash;
} image_reader;

__attribute__((format(printf, 2, 3))) static tarn_status bad_image(const image_reader *reader,
                                                                   const char *format, ...)
{
    const image_complaint *complaint = reader->complaint;
    char what[160];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(what, sizeof what, format, values);
    va_end(values);
    (void)heap_fault(complaint->text, complaint->size, "%s: %s", named(complaint), what);
    return TARN_BAD_DATA;
}

static tarn_status read_bytes(image_reader *reader, void *bytes, size_t size)
{
    size_t got = 0;
    const int error = os_file_read(reader->descriptor, bytes, size, &got);
    if (error != 0) {
        return complain_of_system(reader->complaint, "cannot be read", error);
    }
    if (got < size) {
        return bad_image(reader, "cut off at byte %llu", (unsigned long long)reader->offset + got);
    }
    reader->offset += size;
    return TARN_OK;
}

/* Reads words in their pieces. */
static tarn_status read_words(image_reader *reader, movable_word *words, size_t count)
{
    while (count > 0) {
        const size_t now = count < IMAGE_PIECE_WORDS ? count : IMAGE_PIECE_WORDS;
        const uint64_t offset = reader->offset;
        movable_word hash = 0;
        tarn_status status = read_bytes(reader, words, now * sizeof *words);
        if (status == TARN_OK) {
            status = read_bytes(reader, &hash, sizeof hash);
        }
        if (status != TARN_OK) {
            return status;
        }
        reader->hash = image_hash(reader->hash, words, now);
        if (reader->hash != hash) {
            return bad_image(reader, "altered between byte %llu and byte %llu",
                             (unsigned long long)offset, (unsigned long long)reader->offset);
        }
        words += now;
        count -= now;
    }
    return TARN_OK;
}

static tarn_status read_preface(image_reader *reader, image_preface *preface)
{
    const tarn_status status = read_bytes(reader, preface, sizeof *preface);
    if (status != TARN_OK) {
        return status;
    }
    if (preface->magic != IMAGE_MAGIC) {
        return bad_image(reader, preface->magic == __builtin_bswap64(IMAGE_MAGIC)
                                     ? "from a machine of another byte order"
                                     : "not an image of a movable heap");
    }
    if (preface->order != IMAGE_ORDER || preface->word_size != sizeof(size_t)) {
        return bad_image(reader, "from a machine of another kind");
    }
    if (preface->version != MOVABLE_VERSION || preface->first != FIRST_PLACE) {
        return bad_image(reader, "of version %u; this library reads version %u",
                         (unsigned)preface->version, (unsigned)MOVABLE_VERSION);
    }
    if (preface->hash != image_preface_hash(preface) || preface->reserved != 0) {
        return bad_image(reader, "altered between byte 0 and byte %zu", sizeof *preface);
    }
    if (preface->end < FIRST_PLACE || preface->count > NUMBER_MAX ||
        preface->generation < 1u << GENERATION_SHIFT ||
        (preface->generation & ~STATE_GENERATION) != 0 ||
        !base_is_power_of_two(preface->alignment) || preface->alignment > PAGE_ALIGNMENT) {
        return bad_image(reader, "its first %zu bytes contradict themselves", sizeof *preface);
    }
    reader->hash = preface->hash;
    return TARN_OK;
}

/* Looks at every entry by itself and links the vacant ones; false at the first that cannot be. */
static bool adopt_table(tarn_movable *heap, uint64_t *live)
{
    movable_head *head = movable_head_of(heap);
    for (uint32_t number = head->count; number > 0; number--) {
        tarn_movable_entry *entry = entry_at(heap, number);
        const movable_word word = *(const movable_word *)(const void *)entry;
        const uint32_t place = (uint32_t)word;
        const uint32_t state = (uint32_t)(word >> 32);
        const uint32_t kind = state & KIND_MASK;
        const bool is_live = kind == KIND_LIVE;
        if (kind == KIND_MOVING || (state & STATE_GENERATION) == 0 ||
            (state & ~(STATE_GENERATION | KIND_MASK | (is_live ? STATE_PURGEABLE : 0))) != 0 ||
            (!is_live && place != 0)) {
            return false;
        }
        entry_store(heap, entry, place, state);
        *live += is_live;
        head->purgeable += (state & STATE_PURGEABLE) != 0;
        if (kind == KIND_VACANT) {
            entry_store(heap, entry, head->vacant, state);
            head->vacant = number;
        }
    }
    return true;
}

/* True if the live chunk and its entry name each other, and it may be where it is. */
static bool is_sound(const tarn_movable *heap, uint32_t place)
{
    const movable_head *head = movable_head_of(heap);
    const uint64_t word = *word_at(heap, place);
    const uint32_t number = word_number(word);
    if (word_granules(word) < 2 || number == 0 || number > head->count ||
        (word & WORD_AFTER_HOLE) != 0 || word_alignment(word) * GRANULE > head->alignment_max ||
        chunk_gap(place, word_alignment(word)) != 0) {
        return false;
    }
    const entry_view entry = entry_load(heap, entry_at(heap, number));
    const size_t room = (size_t)(word_granules(word) - 1) * GRANULE;
    const size_t size = chunk_size(heap, place);
    return (entry.state & KIND_MASK) == KIND_LIVE && entry.place == place + 1 &&
           ((word & WORD_PADDED) == 0 || size < room);
}

/* Walks the arena up to `end` and writes its books anew; returns the place of the first chunk that cannot be, or
 * `end`. */
static uint32_t adopt_arena(tarn_movable *heap, uint32_t end)
{
    movable_head *head = movable_head_of(heap);
    uint32_t hole = FIRST_PLACE; /* where free chunks before `place` began */
    uint32_t place = FIRST_PLACE;
    while (place != end) {
        const uint64_t word = *word_at(heap, place);
        const uint32_t granules = word_granules(word);
        const bool is_free = word_is_free(word);
        if (granules == 0 || granules > end - place ||
            (is_free ? word != word_of_hole(granules) : !is_sound(heap, place))) {
            return place;
        }
        if (!is_free) {
            if (hole != place) {
                tract_add_start(heap, hole);
                hole_enter(heap, hole, place - hole);
            }
            tract_add_start(heap, place);
            tract_add_live(heap, place, granules);
            heap_books_give(&head->books, chunk_size(heap, place));
            hole = place + granules;
        }
        place += granules;
    }
    head->end = hole;
    return end;
}

/* Reads the rest of the image into the empty heap. */
static tarn_status read_blocks(image_reader *reader, const image_preface *preface,
                               tarn_movable *heap)
{
    movable_head *head = movable_head_of(heap);
    if (preface->alignment > head->alignment_max) {
        (void)bad_image(reader, "needs memory that starts at a multiple of %u",
                        (unsigned)preface->alignment);
        return TARN_BAD_ARGUMENT;
    }
    head->count = preface->count;
    tarn_status status = read_words(reader, word_at(heap, FIRST_PLACE), preface->end - FIRST_PLACE);
    if (status == TARN_OK) {
        status =
            read_words(reader, (movable_word *)(void *)entry_at(heap, head->count), head->count);
    }
    if (status != TARN_OK) {
        return status;
    }
    uint64_t live = 0;
    if (!adopt_table(heap, &live)) {
        return bad_image(reader, "its table has an entry that cannot be");
    }
    const uint32_t place = adopt_arena(heap, preface->end);
    if (place != preface->end) {
        return bad_image(reader, "the block at place %u cannot be", (unsigned)place);
    }
    if (live != head->books.blocks) {
        return bad_image(reader, "%llu blocks are missing",
                         (unsigned long long)(live - head->books.blocks));
    }
    head->generation = preface->generation;
    head->root = preface->root;
    head->touched = head->touched > preface->end ? head->touched : preface->end;
    head->changes = head->hole_granules > 0;
    stretch_note_footprint(heap);
    return TARN_OK;
}

static tarn_status load(image_reader *reader, tarn_movable *heap,
                        const tarn_movable_options *options)
{
    image_preface preface;
    tarn_movable loaded;
    tarn_status status = read_preface(reader, &preface);
    if (status != TARN_OK) {
        return status;
    }
    /* In 64 bits: where a size has 32, an image of another machine may be larger than any. */
    const uint64_t wanted =
        (uint64_t)preface.end * GRANULE + (uint64_t)preface.count * sizeof(tarn_movable_entry);
    status = wanted > PTRDIFF_MAX ? TARN_TOO_LARGE : stretch_init(&loaded, options, (size_t)wanted);
    if (status != TARN_OK) {
        (void)bad_image(reader, "%s", tarn_status_text(status));
        return status;
    }
    status = read_blocks(reader, &preface, &loaded);
    if (status != TARN_OK) {
        stretch_deinit(&loaded);
        return status;
    }
    *heap = loaded;
    heap->record = 0;
    return TARN_OK;
}

tarn_status tarn_movable_load_from(tarn_movable *heap, const tarn_movable_options *options,
                                   int descriptor, char *fault, size_t fault_size)
{
    const image_complaint complaint = complaint_in(fault, fault_size, NULL);
    image_reader reader = {.complaint = &complaint, .descriptor = descriptor};
    const tarn_status status = load(&reader, heap, options);
    if (status == TARN_OK) {
        movable_note_made(heap);
    }
    return status;
}

tarn_status tarn_movable_load(tarn_movable *heap, const tarn_movable_options *options,
                              const char *path, char *fault, size_t fault_size)
{
    const image_complaint complaint = complaint_in(fault, fault_size, path);
    image_reader reader = {.complaint = &complaint};
    const int error = os_file_open(path, &reader.descriptor);
    if (error != 0) {
        return complain_of_system(&complaint, "cannot be opened", error);
    }
    tarn_movable loaded;
    tarn_status status = load(&reader, &loaded, options);
    if (status == TARN_OK) {
        char more;
        size_t got = 0;
        (void)os_file_read(reader.descriptor, &more, 1, &got);
        if (got != 0) {
            status = bad_image(&reader, "something follows its end at byte %llu",
                               (unsigned long long)reader.offset);
            stretch_deinit(&loaded);
        }
    }
    (void)os_file_close(reader.descriptor);
    if (status == TARN_OK) {
        *heap = loaded;
        movable_note_made(heap);
    }
    return status;
}
