/* SPDX-License-Identifier: MIT */
#include <tarn/overlay.h>

#include <stdio.h>
#include <string.h>

/*
 * A small neural network in one static buffer. Each tensor is needed from the step that writes it to the last one that
 * reads it, so that most of them can share memory; where each is, the planner says. A real program would plan when it
 * is built and keep the offsets as constants.
 *
 *     image -> convolve -> shrink -+-> convolve -> convolve -> add -> convolve -> shrink -> connect -> scores
 *                                  `-----------------------------^
 *
 * Numbers are integers, so that a result is right or wrong.
 */

enum { IMAGE, WIDE, SMALL, HIDDEN, RESIDUE, SUM, DEEP, TINY, SCORES, TENSORS };

/* Channels of a square picture, one int each. */
typedef struct shape {
    const char *name;
    int channels;
    int side;
} shape;

static const shape shapes[TENSORS] = {{"image", 1, 32},   {"wide", 8, 32},    {"small", 8, 16},
                                      {"hidden", 16, 16}, {"residue", 8, 16}, {"sum", 8, 16},
                                      {"deep", 16, 16},   {"tiny", 16, 8},    {"scores", 10, 1}};

enum { CONVOLVE, SHRINK, ADD, CONNECT };

typedef struct step {
    int kind;
    int from;
    int also; /* ADD: the other one */
    int to;
} step;

static const step steps[] = {
    {CONVOLVE, IMAGE, IMAGE, WIDE},   {SHRINK, WIDE, WIDE, SMALL},
    {CONVOLVE, SMALL, SMALL, HIDDEN}, {CONVOLVE, HIDDEN, HIDDEN, RESIDUE},
    {ADD, SMALL, RESIDUE, SUM},       {CONVOLVE, SUM, SUM, DEEP},
    {SHRINK, DEEP, DEEP, TINY},       {CONNECT, TINY, TINY, SCORES},
};

enum { STEPS = sizeof steps / sizeof *steps };

static _Alignas(64) unsigned char memory[40 * 1024];
static _Alignas(64) unsigned char side_by_side[160 * 1024];

static size_t count_of(int tensor)
{
    const shape *it = &shapes[tensor];
    return (size_t)it->channels * (size_t)it->side * (size_t)it->side;
}

/* A weight that is the same each time, from -4 to 4. */
static int weight(int which, int number)
{
    const unsigned mixed = ((unsigned)which * 31U + (unsigned)number + 7U) * 2654435761U;
    return (int)(mixed >> 16) % 9 - 4;
}

static int pixel(const int *picture, int side, int row, int column)
{
    const bool is_inside = row >= 0 && row < side && column >= 0 && column < side;
    return is_inside ? picture[row * side + column] : 0;
}

/* 3 x 3, rectified. */
static void convolve(int which, const shape *in, const int *from, const shape *out, int *to)
{
    const int area = out->side * out->side;
    for (int channel = 0; channel < out->channels; channel++) {
        for (int at = 0; at < area; at++) {
            int sum = 0;
            for (int tap = 0; tap < in->channels * 9; tap++) {
                const int row = at / out->side + tap % 9 / 3 - 1;
                const int column = at % out->side + tap % 3 - 1;
                sum += weight(which, channel * 1000 + tap) *
                       pixel(from + (ptrdiff_t)(tap / 9) * area, in->side, row, column);
            }
            to[channel * area + at] = sum > 0 ? sum / 16 : 0;
        }
    }
}

/* The largest of 2 x 2. */
static void shrink(const shape *in, const int *from, const shape *out, int *to)
{
    for (int channel = 0; channel < out->channels; channel++) {
        const int *picture = from + (ptrdiff_t)channel * in->side * in->side;
        for (int at = 0; at < out->side * out->side; at++) {
            int most = 0;
            for (int corner = 0; corner < 4; corner++) {
                const int here = pixel(picture, in->side, at / out->side * 2 + corner / 2,
                                       at % out->side * 2 + corner % 2);
                most = here > most ? here : most;
            }
            *to++ = most;
        }
    }
}

static void connect(int which, size_t count, const int *from, const shape *out, int *to)
{
    for (int score = 0; score < out->channels; score++) {
        to[score] = 0;
        for (size_t at = 0; at < count; at++) {
            to[score] += weight(which, score * 5000 + (int)at) * from[at];
        }
    }
}

static int *tensor_at(unsigned char *base, const int64_t *offsets, int tensor)
{
    return (int *)(void *)(base + offsets[tensor]);
}

/* Runs the network with its tensors at these offsets from `base`. */
static const int *run(unsigned char *base, const int64_t *offsets)
{
    int *image = tensor_at(base, offsets, IMAGE);
    for (size_t at = 0; at < count_of(IMAGE); at++) {
        image[at] = weight(99, (int)at) * 20;
    }
    for (int which = 0; which < STEPS; which++) {
        const step *now = &steps[which];
        const int *from = tensor_at(base, offsets, now->from);
        int *to = tensor_at(base, offsets, now->to);
        switch (now->kind) {
        case CONVOLVE:
            convolve(which, &shapes[now->from], from, &shapes[now->to], to);
            break;
        case SHRINK:
            shrink(&shapes[now->from], from, &shapes[now->to], to);
            break;
        case CONNECT:
            connect(which, count_of(now->from), from, &shapes[now->to], to);
            break;
        default:
            for (size_t at = 0; at < count_of(now->to); at++) {
                to[at] = from[at] + tensor_at(base, offsets, now->also)[at];
            }
            break;
        }
    }
    return tensor_at(base, offsets, SCORES);
}

/* From the step that writes it to the last one that reads it; the scores are read after all steps. */
static void find_lifetimes(tarn_overlay_buffer *buffers)
{
    for (int tensor = 0; tensor < TENSORS; tensor++) {
        buffers[tensor] = (tarn_overlay_buffer){
            .upper = 1, .size = (int64_t)(count_of(tensor) * sizeof(int)), .alignment = 64};
    }
    for (int which = 0; which < STEPS; which++) {
        buffers[steps[which].to].lower = which;
        buffers[steps[which].from].upper = which + 1;
        buffers[steps[which].also].upper = which + 1;
    }
    buffers[SCORES].upper = STEPS + 1;
}

int main(void)
{
    tarn_overlay_buffer buffers[TENSORS];
    tarn_overlay_result result;
    int64_t planned[TENSORS];
    int64_t apart[TENSORS];
    int64_t sum = 0;
    find_lifetimes(buffers);
    for (int tensor = 0; tensor < TENSORS; tensor++) {
        apart[tensor] = sum;
        sum += (buffers[tensor].size + 63) / 64 * 64;
    }
    const tarn_status status = tarn_overlay_plan(
        buffers, TENSORS, &(tarn_overlay_options){.capacity = sizeof memory, .deadline_ms = 5000},
        planned, &result);
    if (status != TARN_OK ||
        (result.outcome != TARN_OVERLAY_FOUND && result.outcome != TARN_OVERLAY_OPTIMAL)) {
        fprintf(stderr, "there is no plan: %s\n", tarn_status_text(status));
        return 1;
    }
    for (int tensor = 0; tensor < TENSORS; tensor++) {
        printf("%-8s %6lld bytes at %6lld, steps %lld to %lld\n", shapes[tensor].name,
               (long long)buffers[tensor].size, (long long)planned[tensor],
               (long long)buffers[tensor].lower, (long long)buffers[tensor].upper - 1);
    }
    printf("%lld bytes side by side, %lld as planned, %lld at least\n", (long long)sum,
           (long long)result.height, (long long)result.lower_bound);
    if (sum > (int64_t)sizeof side_by_side) {
        fputs("the tensors do not fit side by side\n", stderr);
        return 1;
    }
    const int *scores = run(memory, planned);
    const int *expected = run(side_by_side, apart);
    const bool is_good =
        memcmp(scores, expected, (size_t)buffers[SCORES].size) == 0 && scores[0] != scores[1];
    printf("the scores are %s\n", is_good ? "those of tensors that share nothing" : "wrong");
    return is_good ? 0 : 1;
}
