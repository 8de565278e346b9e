/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "rounds.h"
#include "signals.h"
#include "table.h"
#include "units.h"

#include <inttypes.h>
#include <string.h>

/*
 * One run of one allocator has a row of figures. Otherwise each figure has its ratio to the
 * system's malloc and the mark of the best, and several runs have a second line with the least and
 * the most:
 *
 *   allocator        wall time         CPU time      peak memory   faults  major  exit
 *   tarn         1.234 s 0.92x*   1.200 s 0.93x*  12.3 MiB 1.05x    3,120      0     0
 *                1.198-1.412 s    1.188-1.230 s   12.1-12.4 MiB
 */

enum { NARROWEST = 80 };

/* A figure with a column of its own in a comparison. */
typedef struct figure_metric {
    const char *title;
    cli_figure *figure;
    char *(*text)(double value);
    char *(*range)(double least, double most);
} figure_metric;

static char *bytes_text(double bytes)
{
    return cli_bytes_text((uint64_t)bytes);
}

static char *bytes_range(double least, double most)
{
    return cli_bytes_range((uint64_t)least, (uint64_t)most);
}

static char *count_text(double count)
{
    return cli_count_text((uint64_t)count);
}

static const figure_metric metrics[] = {
    {"wall time", cli_wall, cli_seconds_text, cli_seconds_range},
    {"CPU time", cli_processor, cli_seconds_text, cli_seconds_range},
    {"peak memory", cli_peak, bytes_text, bytes_range},
};

enum { METRIC_COUNT = sizeof metrics / sizeof metrics[0] };

/* printf counts bytes where columns are meant. */
static char *to_the_right(const char *text, size_t width)
{
    const size_t own = cli_text_width(text);
    return cli_format("%*s%s", own < width ? (int)(width - own) : 0, "", text);
}

static const char *exit_text(const cli_lane *lane)
{
    const cli_outcome *outcome = cli_lane_outcome(lane);
    return outcome->signal != 0 ? cli_signal_name(outcome->signal)
                                : cli_format("%d", outcome->status);
}

static cli_style exit_style(const cli_lane *lane)
{
    return cli_outcome_exit(cli_lane_outcome(lane)) != 0 ? CLI_BAD : CLI_PLAIN;
}

/* The command line, for a title: quoted only as far as reading needs. */
static const char *command_text(const cli_program *program)
{
    const char *text = "";
    for (size_t i = 0; program->argv[i] != NULL; i++) {
        const char *word = program->argv[i];
        const bool is_plain = word[0] != '\0' && strpbrk(word, " \t\n'\"") == NULL;
        text = cli_format(is_plain ? "%s%s%s" : "%s%s'%s'", text, i > 0 ? " " : "", word);
        if (strlen(text) > 4 * (size_t)NARROWEST) {
            break;
        }
    }
    char *clean = cli_copy(text);
    for (char *byte = clean; *byte != '\0'; byte++) {
        *byte = (unsigned char)*byte < ' ' || *byte == 0x7f ? ' ' : *byte;
    }
    return clean;
}

static void print_title(const cli_rounds *rounds, size_t columns)
{
    const bool coloured = cli_has_colour();
    const char *text = command_text(rounds->plan->program);
    fprintf(stderr, "\n%s%s%s\n", coloured ? "\033[1m" : "",
            cli_text_cut(text, columns != 0 ? columns : NARROWEST), coloured ? "\033[0m" : "");
}

static void add_header(cli_table *table, const char *const *titles)
{
    cli_cell *cells = cli_table_add(table);
    for (size_t i = 0; i < table->column_count; i++) {
        cells[i] = (cli_cell){titles[i], CLI_STRONG};
    }
}

/* -------------------------------------------------------------------------------------------------
 * One run.
 */
static void print_single(const cli_lane *lane, size_t columns)
{
    static const char *const titles[] = {"allocator", "wall",   "CPU",   "user", "system",
                                         "peak mem",  "faults", "major", "exit"};
    cli_table table = {.column_count = sizeof titles / sizeof titles[0], .is_left = {true}};
    const cli_outcome *outcome = &lane->outcomes[0];
    add_header(&table, titles);
    cli_cell *cells = cli_table_add(&table);
    cells[0].text = lane->allocator->name;
    cells[1].text = cli_seconds_text(outcome->wall);
    cells[2].text = cli_seconds_text(cli_processor(outcome));
    cells[3].text = cli_seconds_text(outcome->user);
    cells[4].text = cli_seconds_text(outcome->system);
    cells[5].text = cli_bytes_text(outcome->peak);
    cells[6].text = cli_count_text(outcome->minor_faults);
    cells[7].text = cli_count_text(outcome->major_faults);
    cells[8] = (cli_cell){exit_text(lane), exit_style(lane)};
    cli_table_print(&table, stderr, columns);
}

/* -------------------------------------------------------------------------------------------------
 * Several.
 */

/* A program that fell over early is not the best of anything. */
static bool can_be_best(const cli_rounds *rounds, const cli_lane *lane)
{
    return lane->count > 0 && (lane->failure == lane->count ||
                               (rounds->lanes[0].count > 0 && cli_lane_outcome(lane)->signal == 0 &&
                                cli_outcome_exit(cli_lane_outcome(lane)) ==
                                    cli_outcome_exit(cli_lane_outcome(&rounds->lanes[0]))));
}

/* What a column needs to know of all lanes. */
typedef struct figure_column {
    const figure_metric *metric;
    const char *best; /* the text of the least median; NULL: there is no contest */
    double base;      /* median of the system's malloc; 0: there is none */
    size_t width;     /* of the widest text */
} figure_column;

static figure_column column_of(const cli_rounds *rounds, const figure_metric *metric)
{
    figure_column column = {.metric = metric};
    const cli_lane *base = cli_rounds_base(rounds);
    size_t contestants = 0;
    double least = 0;
    for (size_t i = 0; i < rounds->lane_count; i++) {
        const cli_lane *lane = &rounds->lanes[i];
        if (lane->count == 0) {
            continue;
        }
        const double median = cli_lane_sample(lane, metric->figure).median;
        const char *text = metric->text(median);
        column.width = cli_text_width(text) > column.width ? cli_text_width(text) : column.width;
        if (lane == base) {
            column.base = median;
        }
        if (!can_be_best(rounds, lane)) {
            continue;
        }
        if (contestants == 0 || median < least) {
            least = median;
            column.best = text;
        }
        contestants++;
    }
    column.best = contestants > 1 ? column.best : NULL;
    return column;
}

static cli_cell metric_cell(const cli_rounds *rounds, const cli_lane *lane,
                            const figure_column *column)
{
    const bool has_ratio = cli_rounds_base(rounds) != NULL;
    const double median = cli_lane_sample(lane, column->metric->figure).median;
    const char *text = column->metric->text(median);
    /* Those that read the same are equally good: a mark for one alone would be about digits not
     * shown. */
    const bool is_best =
        column->best != NULL && can_be_best(rounds, lane) && strcmp(text, column->best) == 0;
    const char *ratio = has_ratio ? cli_ratio_text(median, column->base) : "";
    return (cli_cell){
        cli_format("%s%s%s%s", to_the_right(text, column->width), has_ratio ? " " : "",
                   has_ratio ? to_the_right(ratio, CLI_RATIO_WIDTH) : "", is_best ? "*" : " "),
        is_best ? CLI_GOOD : CLI_PLAIN};
}

static void add_lane(cli_table *table, const cli_rounds *rounds, const cli_lane *lane,
                     const figure_column *columns)
{
    cli_cell *cells = cli_table_add(table);
    cells[0].text = lane->allocator->name;
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        cells[i + 1] = metric_cell(rounds, lane, &columns[i]);
    }
    cells[METRIC_COUNT + 1].text = count_text(cli_lane_sample(lane, cli_minor_faults).median);
    cells[METRIC_COUNT + 2].text = count_text(cli_lane_sample(lane, cli_major_faults).median);
    cells[METRIC_COUNT + 3] = (cli_cell){exit_text(lane), exit_style(lane)};
    if (lane->count < 2) {
        return;
    }
    cells = cli_table_add(table);
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const cli_sample sample = cli_lane_sample(lane, metrics[i].figure);
        cells[i + 1] =
            (cli_cell){cli_format("%s ", metrics[i].range(sample.least, sample.most)), CLI_FAINT};
    }
}

static void print_legend(const cli_rounds *rounds)
{
    const cli_rounds_plan *plan = rounds->plan;
    const bool has_base = cli_rounds_base(rounds) != NULL;
    const bool has_contest = rounds->lane_count > 1;
    const char *times = cli_has_utf8() ? "×" : "x";
    fprintf(stderr, "%s%s%s%s%s",
            plan->runs > 1 ? cli_format("Medians of %zu runs, ranges below them", plan->runs) : "",
            plan->runs > 1 && has_base ? "; " : "",
            has_base ? cli_format("0.90%s: to the system's malloc", times) : "",
            (plan->runs > 1 || has_base) && has_contest ? "; " : "", has_contest ? "*: best" : "");
    fputs(".\n", stderr);
}

static void print_agreement(const cli_rounds *rounds)
{
    if (cli_rounds_vary(rounds)) {
        return;
    }
    size_t agreeing = 0;
    for (size_t i = 0; i < rounds->lane_count; i++) {
        agreeing += rounds->lanes[i].count > 0 && cli_lane_agrees(rounds, &rounds->lanes[i]);
    }
    if (agreeing == rounds->lane_count && agreeing > 1 && rounds->lanes[0].output.size > 0) {
        fprintf(stderr, "Standard output is the same on all of them (%s).\n",
                cli_bytes_text(rounds->lanes[0].output.size));
    }
}

static void print_comparison(const cli_rounds *rounds, size_t columns)
{
    static const char *const titles[] = {"allocator", "wall time ", "CPU time ", "peak memory ",
                                         "faults",    "major",      "exit"};
    cli_table table = {.column_count = sizeof titles / sizeof titles[0], .is_left = {true}};
    figure_column of_metrics[METRIC_COUNT];
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        of_metrics[i] = column_of(rounds, &metrics[i]);
    }
    add_header(&table, titles);
    for (size_t i = 0; i < rounds->lane_count; i++) {
        if (rounds->lanes[i].count > 0) {
            add_lane(&table, rounds, &rounds->lanes[i], of_metrics);
        }
    }
    cli_table_print(&table, stderr, columns);
    print_legend(rounds);
    print_agreement(rounds);
}

void cli_rounds_print_table(const cli_rounds *rounds)
{
    const size_t columns = cli_columns();
    size_t measured = 0;
    for (size_t i = 0; i < rounds->lane_count; i++) {
        measured += rounds->lanes[i].count;
    }
    if (measured == 0) {
        return;
    }
    print_title(rounds, columns);
    if (rounds->is_compared) {
        print_comparison(rounds, columns);
    } else {
        print_single(&rounds->lanes[0], columns);
    }
    if (rounds->plan->program->unreached != NULL) {
        fputs("Tarn was not in use: see the warning above.\n", stderr);
    }
}

/* -------------------------------------------------------------------------------------------------
 * What went wrong.
 */
static const char *on_text(const cli_rounds *rounds, const cli_lane *lane)
{
    return rounds->lane_count > 1 ? cli_format(" on %s", lane->allocator->name) : "";
}

static void print_last_words(const char *words)
{
    while (words != NULL && *words != '\0') {
        const size_t size = strcspn(words, "\n");
        fprintf(stderr, "  | %.*s\n", (int)size, words);
        words += size + (words[size] != '\0');
    }
}

static void print_end(const cli_rounds *rounds, const cli_lane *lane)
{
    const char *name = rounds->plan->program->argv[0];
    const cli_outcome *outcome = cli_lane_outcome(lane);
    const bool is_like_first =
        cli_outcome_exit(outcome) == cli_outcome_exit(cli_lane_outcome(&rounds->lanes[0]));
    if (outcome->signal != 0) {
        cli_error("'%s' was ended by %s%s%s", name, cli_signal_text(outcome->signal),
                  on_text(rounds, lane), outcome->dumped ? "; it left a core dump" : "");
    } else if (!is_like_first) {
        cli_warning("'%s' exited with %d%s and with %d on %s", name, outcome->status,
                    on_text(rounds, lane), cli_outcome_exit(cli_lane_outcome(&rounds->lanes[0])),
                    rounds->lanes[0].allocator->name);
    }
    if (!is_like_first) {
        print_last_words(lane->last_words);
    }
}

static void print_difference(const cli_rounds *rounds, const cli_lane *lane)
{
    const cli_output *output = &lane->output;
    const cli_output *first = &rounds->lanes[0].output;
    const char *place = output->difference_line != 0
                            ? cli_format(", first in line %" PRIu64, output->difference_line)
                            : "";
    const char *sizes =
        output->size != first->size
            ? cli_format(" (%" PRIu64 " bytes, not %" PRIu64 ")", output->size, first->size)
            : "";
    cli_warning("standard output on %s differs from that on %s%s%s%s", lane->allocator->name,
                rounds->lanes[0].allocator->name, place, sizes,
                lane->count < 2 ? "; --runs 2 tells whether it does so on one allocator too" : "");
}

void cli_rounds_print_faults(const cli_rounds *rounds)
{
    const bool varies = cli_rounds_vary(rounds);
    for (size_t i = 0; i < rounds->lane_count; i++) {
        const cli_lane *lane = &rounds->lanes[i];
        if (lane->count > 0) {
            print_end(rounds, lane);
        }
    }
    if (varies) {
        cli_warning("standard output differs from run to run on the same allocator%s",
                    rounds->lane_count > 1 ? ", so it was not compared between them" : "");
    }
    for (size_t i = 1; i < rounds->lane_count && !varies; i++) {
        const cli_lane *lane = &rounds->lanes[i];
        if (lane->count > 0 && rounds->lanes[0].count > 0 && !cli_lane_agrees(rounds, lane) &&
            cli_outcome_exit(cli_lane_outcome(lane)) ==
                cli_outcome_exit(cli_lane_outcome(&rounds->lanes[0]))) {
            print_difference(rounds, lane);
        }
    }
}
