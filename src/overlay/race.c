/* SPDX-License-Identifier: MIT */
#include "overlay/race.h"

#include "overlay/sort.h"

#include <string.h>

/* Where each run of a search decides, and the order of the keys it ranks items by: w their width,
 * a their area, t the highest load of their sections, z their size. The first of these solve most
 * of what can be solved. */
typedef struct approach {
    char keys[4];
    overlay_style style;
} approach;

static const approach strategies[] = {
    {"twa", {.is_lowest_first = true, .is_by_levels = true}},
    {"twa", {.by_blame = true, .by_choice = true, .by_slack = true}},
    {"wat", {.by_blame = true, .by_choice = true, .is_lowest_first = true}},
    {"wat", {.by_blame = true, .by_slack = true}},
    {"wat", {.is_lowest_first = true, .is_by_levels = true}},
    {"wat", {.by_blame = true, .by_choice = true, .by_slack = true}},
    {"awt", {.by_blame = true, .by_choice = true}},
    {"wat", {.by_choice = true, .by_slack = true}},
    {"taw", {.by_blame = true, .by_choice = true, .is_lowest_first = true}},
    {"wat", {.by_blame = true, .by_choice = true}},
    {"taw", {.is_lowest_first = true, .is_by_levels = true}},
};

enum { STRATEGIES = sizeof strategies / sizeof strategies[0] };

_Static_assert((int)STRATEGIES <= (int)OVERLAY_STYLES_MAX, "each learns for itself");

/* Orders for the first plans. */
static const char first_orders[][4] = {"azw", "zaw", "wza", "taw", "twa"};

/* Items of a component that is large. */
enum { LARGE = 800 };

enum { FIRST_ORDERS = sizeof first_orders / sizeof first_orders[0] };

bool overlay_race_init(overlay_race *race, overlay_memory *memory)
{
    const overlay_problem *problem = race->problem;
    race->standings = overlay_take(memory, problem->component_count, sizeof *race->standings);
    race->offsets = overlay_take(memory, problem->count, sizeof *race->offsets);
    if (race->standings == NULL || race->offsets == NULL) {
        return false;
    }
    for (uint32_t c = 0; c < problem->component_count; c++) {
        race->standings[c] = (overlay_standing){problem->components[c].bound, INT64_MAX};
    }
    return true;
}

bool overlay_runner_init(overlay_runner *runner, overlay_race *race, uint32_t number, uint64_t seed,
                         overlay_memory *memory)
{
    const overlay_problem *problem = race->problem;
    memset(runner, 0, sizeof *runner);
    runner->race = race;
    runner->number = number;
    runner->random = seed ^ number * UINT64_C(0xD1342543DE82EF95);
    runner->greedy = overlay_greedy_create(problem, memory);
    runner->order = overlay_take(memory, problem->count, sizeof *runner->order);
    runner->ranks = overlay_take(memory, problem->count, sizeof *runner->ranks);
    runner->offsets = overlay_take(memory, problem->count, sizeof *runner->offsets);
    runner->reaches = overlay_take(memory, problem->component_count, sizeof *runner->reaches);
    runner->rounds = overlay_take(memory, problem->component_count, sizeof *runner->rounds);
    bool is_whole = runner->greedy != NULL && runner->order != NULL && runner->ranks != NULL &&
                    runner->offsets != NULL && runner->rounds != NULL && runner->reaches != NULL;
    for (int k = 0; k < 4; k++) {
        runner->keys[k] = overlay_take(memory, problem->count, sizeof *runner->keys[k]);
        is_whole &= runner->keys[k] != NULL;
    }
    if (!is_whole) {
        return false;
    }
    for (uint32_t c = 0; c < problem->component_count; c++) {
        runner->reaches[c] = 0.5;
    }
    if (problem->near != NULL) {
        /* Without these it is slower and proves less, but still plans. */
        runner->improve = overlay_improve_create(problem, memory);
        runner->search = overlay_search_create(problem, memory);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * Orders.
 */

static double key_of(const overlay_problem *problem, uint32_t i, char key)
{
    const overlay_item *item = &problem->items[i];
    switch (key) {
    case 'w':
        return item->width;
    case 'a':
        return item->width * (double)item->size;
    case 'z':
        return (double)item->size;
    default:
        return (double)item->load;
    }
}

/* The larger keys first. */
static bool comes_before(const overlay_runner *runner, uint32_t a, uint32_t b)
{
    for (int k = 0; k < 3; k++) {
        if (runner->keys[k][a] != runner->keys[k][b]) {
            return runner->keys[k][a] > runner->keys[k][b];
        }
    }
    return a < b;
}

static void sift(const overlay_runner *runner, uint32_t *things, size_t root, size_t count)
{
    const uint32_t moved = things[root];
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && comes_before(runner, things[child], things[child + 1])) {
            child++;
        }
        if (!comes_before(runner, moved, things[child])) {
            break;
        }
        things[root] = things[child];
        root = child;
    }
    things[root] = moved;
}

/* Orders the component's items by the keys, each blurred by up to `noise` of itself. */
static void make_order(overlay_runner *runner, const overlay_component *component, const char *keys,
                       double noise)
{
    const overlay_problem *problem = runner->race->problem;
    const uint32_t count = component->end_item - component->first_item;
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t i = component->first_item + k;
        runner->order[k] = i;
        for (int key = 0; key < 3; key++) {
            double value = key_of(problem, i, keys[key]);
            if (noise > 0) {
                value *= 1 - noise * (double)(overlay_random(&runner->random) >> 11) * 0x1p-53;
            }
            runner->keys[key][i] = value;
        }
    }
    for (size_t root = count / 2; root-- > 0;) {
        sift(runner, runner->order, root, count);
    }
    for (size_t end = count; end-- > 1;) {
        const uint32_t last = runner->order[end];
        runner->order[end] = runner->order[0];
        runner->order[0] = last;
        sift(runner, runner->order, 0, end);
    }
    for (uint32_t k = 0; k < count; k++) {
        runner->ranks[runner->order[k]] = k;
    }
}

/* ------------------------------------------------------------------------------------------------
 * What is known.
 */

/* Whether a plan of that height is good enough for a component, so that more work on it changes
 * nothing. */
static bool is_settled(const overlay_race *race, uint32_t c, int64_t all_bound)
{
    const overlay_standing *standing = &race->standings[c];
    if (race->goal == TARN_OVERLAY_FITS && standing->height <= race->capacity) {
        return true;
    }
    return standing->height <= standing->bound || standing->height <= all_bound;
}

/* The lock is held. */
static int64_t bound_of_all(const overlay_race *race)
{
    int64_t bound = 0;
    for (uint32_t c = 0; c < race->problem->component_count; c++) {
        if (race->standings[c].bound > bound) {
            bound = race->standings[c].bound;
        }
    }
    return bound;
}

static void end_race(overlay_race *race)
{
    race->is_over = true;
    atomic_store_explicit(&race->must_stop, true, memory_order_relaxed);
}

/* A plan of a component in the runner's offsets. */
static void tell_plan(overlay_runner *runner, uint32_t c, int64_t height)
{
    overlay_race *race = runner->race;
    const overlay_component *component = &race->problem->components[c];
    os_lock_take(&race->lock);
    if (height < race->standings[c].height) {
        race->standings[c].height = height;
        memcpy(&race->offsets[component->first_item], &runner->offsets[component->first_item],
               (component->end_item - component->first_item) * sizeof *race->offsets);
        atomic_fetch_add_explicit(&race->events, 1, memory_order_relaxed);
    }
    os_lock_release(&race->lock);
}

/* No plan of the component is lower. */
static void tell_bound(overlay_race *race, uint32_t c, int64_t bound)
{
    os_lock_take(&race->lock);
    if (bound > race->standings[c].bound) {
        race->standings[c].bound = bound;
        atomic_fetch_add_explicit(&race->events, 1, memory_order_relaxed);
        if (bound > race->capacity) {
            race->is_infeasible = true;
            end_race(race);
        }
    }
    os_lock_release(&race->lock);
}

static int64_t height_of(const overlay_problem *problem, const overlay_component *component,
                         const int64_t *offsets)
{
    int64_t height = 0;
    for (uint32_t i = component->first_item; i < component->end_item; i++) {
        const int64_t end = offsets[i] + problem->items[i].size;
        height = end > height ? end : height;
    }
    return height;
}

/* ------------------------------------------------------------------------------------------------
 * Work.
 */

/* Makes a plan by one of the greedy methods. */
static int64_t plan_greedily(overlay_runner *runner, uint32_t c, bool by_levels)
{
    const overlay_problem *problem = runner->race->problem;
    const overlay_component *component = &problem->components[c];
    const int64_t height = by_levels
                               ? overlay_greedy_levels(runner->greedy, component, runner->ranks,
                                                       &runner->control, runner->offsets)
                               : overlay_greedy_first_fit(runner->greedy, component, runner->order,
                                                          &runner->control, runner->offsets);
    if (height != INT64_MAX) {
        runner->plans++;
        tell_plan(runner, c, height);
    }
    return height;
}

bool overlay_runner_start(overlay_runner *runner)
{
    const overlay_problem *problem = runner->race->problem;
    for (uint32_t c = 0; c < problem->component_count; c++) {
        const overlay_component *component = &problem->components[c];
        for (uint32_t o = 0; o < FIRST_ORDERS; o++) {
            if (runner->race->standings[c].height <= component->bound) {
                break;
            }
            make_order(runner, component, first_orders[o], 0);
            if (plan_greedily(runner, c, true) == INT64_MAX) {
                return false;
            }
            if (problem->near != NULL && plan_greedily(runner, c, false) == INT64_MAX) {
                return false;
            }
        }
    }
    return true;
}

/* Nodes of a run in that lap: few at first, since a lucky run needs few, and ever more. */
static uint64_t budget(uint32_t count, uint32_t lap)
{
    double nodes = count > LARGE ? 1.02 * count + 500 : count + 700;
    for (uint32_t l = 0; l < lap && nodes < 1e15; l++) {
        nodes *= count > LARGE ? 1.1 : 1.3;
    }
    return (uint64_t)nodes;
}

/* Which strategy has its turn. In large components a node that looks at all sections is dear, and
 * going by levels usually does it. */
static uint32_t number_of(const overlay_runner *runner, const overlay_component *component,
                          uint32_t round)
{
    static const uint32_t by_levels[] = {0, 4, 0, 10};
    const uint32_t turn = round + runner->number;
    if (component->end_item - component->first_item > LARGE && turn % 8 != 7) {
        return by_levels[turn % 4];
    }
    return turn % STRATEGIES;
}

/* Searches for a plan within `target`. */
static bool search_within(overlay_runner *runner, uint32_t c, int64_t target, uint32_t round)
{
    overlay_race *race = runner->race;
    const overlay_component *component = &race->problem->components[c];
    const uint32_t number = number_of(runner, component, round);
    const approach *strategy = &strategies[number];
    overlay_style style = strategy->style;
    style.number = number;
    const uint32_t lap = round / STRATEGIES;
    const uint32_t count = component->end_item - component->first_item;
    const bool is_first = count > LARGE ? round < 8 : lap == 0;
    make_order(runner, component, strategy->keys, is_first ? 0 : 0.05);
    const overlay_found found =
        overlay_search_run(runner->search, component, target, &style, runner->ranks,
                           budget(count, lap), &runner->control, runner->offsets);
    if (found == OVERLAY_FOUND) {
        tell_plan(runner, c, height_of(race->problem, component, runner->offsets));
    } else if (found == OVERLAY_NONE && !race->problem->may_change_places) {
        tell_bound(race, c, target + 1);
    }
    return found == OVERLAY_FOUND;
}

static void improve(overlay_runner *runner, uint32_t c, int64_t target, uint32_t round)
{
    const overlay_problem *problem = runner->race->problem;
    const overlay_component *component = &problem->components[c];
    if (runner->improve == NULL) {
        make_order(runner, component, first_orders[round % FIRST_ORDERS],
                   0.02 * (1 + overlay_random_below(&runner->random, 16)));
        plan_greedily(runner, c, true);
        return;
    }
    const uint32_t count = component->end_item - component->first_item;
    const uint64_t steps = (count > LARGE ? 64 : 16) * budget(count, round / STRATEGIES);
    if (overlay_improve_run(runner->improve, component, target, steps, &runner->random,
                            &runner->control, runner->offsets)) {
        runner->plans++;
        tell_plan(runner, c, height_of(problem, component, runner->offsets));
    }
}

/* The component that holds the whole plan up most; UINT32_MAX when nothing is left to do. */
static uint32_t choose(overlay_runner *runner, overlay_standing *standing, int64_t *all_bound)
{
    overlay_race *race = runner->race;
    os_lock_take(&race->lock);
    const int64_t bound = bound_of_all(race);
    uint32_t best = UINT32_MAX;
    for (uint32_t c = 0; c < race->problem->component_count; c++) {
        if (!is_settled(race, c, bound) &&
            (best == UINT32_MAX || race->standings[c].height > race->standings[best].height)) {
            best = c;
        }
    }
    if (best == UINT32_MAX) {
        end_race(race);
    } else {
        *standing = race->standings[best];
        *all_bound = bound;
        const overlay_component *component = &race->problem->components[best];
        memcpy(&runner->offsets[component->first_item], &race->offsets[component->first_item],
               (component->end_item - component->first_item) * sizeof *race->offsets);
    }
    os_lock_release(&race->lock);
    return best;
}

/* What is to be reached: the bound, and by turns something above it that is made easier with each
 * failure. */
static int64_t aim(const overlay_runner *runner, uint32_t c, const overlay_standing *standing,
                   int64_t all_bound, uint32_t round)
{
    const overlay_race *race = runner->race;
    /* Lower than what others are bound to need is of no use. */
    const int64_t low = standing->bound > all_bound ? standing->bound : all_bound;
    int64_t high = standing->height == INT64_MAX ? race->capacity : standing->height - 1;
    if (high > race->capacity) {
        high = race->capacity;
    }
    if (race->goal == TARN_OVERLAY_FITS || high < low) {
        return high;
    }
    const overlay_component *component = &race->problem->components[c];
    const bool is_large = component->end_item - component->first_item > LARGE;
    if (round < (is_large ? 1U : (uint32_t)STRATEGIES) ||
        (race->goal == TARN_OVERLAY_LEAST && round % 2 == 0)) {
        return low;
    }
    return low + (int64_t)((double)(high - low) * runner->reaches[c]);
}

/* Searches, and learns from it how far to aim. */
static void search_by_aim(overlay_runner *runner, uint32_t c, const overlay_standing *standing,
                          int64_t all_bound, uint32_t round)
{
    const int64_t target = aim(runner, c, standing, all_bound, round);
    const bool has_plan = search_within(runner, c, target, round);
    double *reach = &runner->reaches[c];
    if (has_plan) {
        *reach *= 0.5;
    } else if (target > standing->bound) {
        *reach += (1 - *reach) * 0.15;
    }
}

/* Once in each lap, and more often where searches are dear. */
static bool is_time_to_improve(const overlay_runner *runner, uint32_t c, uint32_t round)
{
    const overlay_component *component = &runner->race->problem->components[c];
    if (runner->race->goal == TARN_OVERLAY_FITS) {
        return false;
    }
    return component->end_item - component->first_item > LARGE
               ? round % 2 == 1
               : round % STRATEGIES == STRATEGIES - 1;
}

/* Ejection comes further by small steps than by one that is too large. */
static int64_t aim_to_improve(const overlay_runner *runner, uint32_t c,
                              const overlay_standing *standing, int64_t all_bound, uint32_t round)
{
    const int64_t target = aim(runner, c, standing, all_bound, round);
    const overlay_component *component = &runner->race->problem->components[c];
    if (component->end_item - component->first_item <= LARGE || standing->height == INT64_MAX) {
        return target;
    }
    const int64_t step = (standing->height - standing->bound) / 16;
    return standing->height - 1 - step > target ? standing->height - 1 - step : target;
}

void overlay_runner_work(overlay_runner *runner)
{
    while (!runner->control.is_over) {
        overlay_standing standing;
        int64_t all_bound;
        const uint32_t c = choose(runner, &standing, &all_bound);
        if (c == UINT32_MAX) {
            return;
        }
        const uint32_t round = runner->rounds[c]++;
        const bool can_search = runner->search != NULL;
        if (can_search) {
            search_by_aim(runner, c, &standing, all_bound, round);
        }
        if (!can_search || is_time_to_improve(runner, c, round)) {
            improve(runner, c, aim_to_improve(runner, c, &standing, all_bound, round), round);
        }
        /* Even what ends at once must not spin for ever. */
        overlay_step(&runner->control, 1);
    }
}
