/* SPDX-License-Identifier: MIT */
#include "tarn/ring.h"

#include "space/core.h"

/*
 * The mirrored ring: pages [0, size) and [size, 2 size) of its space have the same frames.
 *
 *     window    [ frames of the ring ][ the same frames ]
 *                 |     read           written |
 *                 `-- % size
 *
 * Invariant: read <= written <= read + size. Each end changes its own count alone, and what it has done to the bytes
 * before that is seen by whoever sees the count.
 */

static tarn_status map_twice(tarn_ring *ring, void **start)
{
    tarn_space *space = &ring->space;
    const unsigned access = TARN_PAGE_WRITABLE | TARN_PAGE_USER;
    const tarn_status status = tarn_space_map(
        space, 0, ring->size, &(tarn_map_options){.access = access | TARN_PAGE_SHARED});
    if (status != TARN_OK) {
        return status;
    }
    const tarn_status mirrored = tarn_space_share(space, ring->size, space, 0, ring->size, access);
    return mirrored != TARN_OK ? mirrored
                               : tarn_space_attach(space, 0, 2 * ring->size, NULL, start);
}

static tarn_status init_with(tarn_ring *ring, tarn_frames *frames, tarn_heap *upstream)
{
    void *start = NULL;
    tarn_status status = tarn_space_init(
        &ring->space,
        &(tarn_space_options){.name = ring->name, .frames = frames, .upstream = upstream});
    if (status != TARN_OK) {
        return status;
    }
    status = map_twice(ring, &start);
    if (status != TARN_OK) {
        tarn_space_deinit(&ring->space);
    }
    ring->start = start;
    return status;
}

tarn_status tarn_ring_init(tarn_ring *ring, const tarn_ring_options *options)
{
    tarn_frames *frames = options->frames;
    const size_t page = frames != NULL ? frames_frame_size(frames) : TARN_FRAME_SIZE;
    size_t size = 0;
    *ring = (tarn_ring){.name = options->name != NULL ? options->name : "ring",
                        .has_frames = frames == NULL};
    if (options->size == 0) {
        return TARN_BAD_LAYOUT;
    }
    if (!base_checked_align_up(options->size, page, &size) || size > PTRDIFF_MAX / 4) {
        return TARN_TOO_LARGE;
    }
    ring->size = size;
    if (ring->has_frames) {
        frames = &ring->frames;
        const tarn_status status = tarn_frames_init(
            frames, &(tarn_frames_options){.name = ring->name, .count = size / page});
        if (status != TARN_OK) {
            return status;
        }
    }
    const tarn_status status = init_with(ring, frames, options->upstream);
    if (status != TARN_OK && ring->has_frames) {
        tarn_frames_deinit(frames);
    }
    return status;
}

void tarn_ring_deinit(tarn_ring *ring)
{
    tarn_space_deinit(&ring->space);
    if (ring->has_frames) {
        tarn_frames_deinit(&ring->frames);
    }
}

void *tarn_ring_space(tarn_ring *ring, size_t *size)
{
    const uint64_t read = __atomic_load_n(&ring->read, __ATOMIC_ACQUIRE);
    *size = ring->size - (size_t)(ring->written - read);
    return ring->start + ring->written % ring->size;
}

void tarn_ring_commit(tarn_ring *ring, size_t size)
{
    const uint64_t read = __atomic_load_n(&ring->read, __ATOMIC_ACQUIRE);
    TARN_CHECK(size <= ring->size - (size_t)(ring->written - read),
               "more was committed than there is space for", ring->name, ring);
    __atomic_store_n(&ring->written, ring->written + size, __ATOMIC_RELEASE);
}

const void *tarn_ring_data(tarn_ring *ring, size_t *size)
{
    const uint64_t written = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
    *size = (size_t)(written - ring->read);
    return ring->start + ring->read % ring->size;
}

void tarn_ring_consume(tarn_ring *ring, size_t size)
{
    const uint64_t written = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
    TARN_CHECK(size <= written - ring->read, "more was consumed than there is", ring->name, ring);
    __atomic_store_n(&ring->read, ring->read + size, __ATOMIC_RELEASE);
}
