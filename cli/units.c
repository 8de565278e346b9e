/* SPDX-License-Identifier: MIT */
#include "units.h"

#include "cli.h"

#include <inttypes.h>
#include <stddef.h>

typedef struct scale_unit {
    double size;  /* of one, in seconds or bytes */
    double until; /* values from here on take the next unit */
    const char *name;
} scale_unit;

/* The first value that rounds to 1000 units takes the next one, so that no text has five digits. */
static const scale_unit time_units[] = {
    {1e-6, 999.5e-6, "us"},  {1e-3, 999.5e-3, "ms"}, {1, 999.5, "s"},
    {60, 999.5 * 60, "min"}, {3600, 0, "h"},
};

static const scale_unit byte_units[] = {
    {1024.0, 1023.5 * 1024, "KiB"},
    {1024.0 * 1024, 1023.5 * 1024 * 1024, "MiB"},
    {1024.0 * 1024 * 1024, 1023.5 * 1024 * 1024 * 1024, "GiB"},
    {1024.0 * 1024 * 1024 * 1024, 0, "TiB"},
};

static const scale_unit *unit_of(const scale_unit *units, size_t count, double value)
{
    size_t i = 0;
    while (i + 1 < count && value >= units[i].until) {
        i++;
    }
    return &units[i];
}

static const scale_unit *time_unit(double seconds)
{
    return unit_of(time_units, sizeof time_units / sizeof time_units[0], seconds);
}

static const scale_unit *byte_unit(double bytes)
{
    return unit_of(byte_units, sizeof byte_units / sizeof byte_units[0], bytes);
}

/* Decimals that give `value` three digits. */
static int decimals(double value)
{
    return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

static const char *unit_name(const scale_unit *unit)
{
    return unit->size == 1e-6 && cli_has_utf8() ? "µs" : unit->name;
}

static char *text_in(const scale_unit *unit, double value)
{
    const double scaled = value / unit->size;
    return cli_format("%.*f %s", decimals(scaled), scaled, unit_name(unit));
}

static char *range_in(const scale_unit *unit, double least, double most)
{
    const double scaled = most / unit->size;
    const int places = decimals(scaled);
    return cli_format("%.*f%s%.*f %s", places, least / unit->size, cli_has_utf8() ? "–" : "-",
                      places, scaled, unit_name(unit));
}

char *cli_seconds_text(double seconds)
{
    if (!(seconds > 0)) {
        return cli_copy("0 s");
    }
    return text_in(time_unit(seconds), seconds);
}

char *cli_bytes_text(uint64_t bytes)
{
    if (bytes < 1024) {
        return cli_format("%" PRIu64 " B", bytes);
    }
    return text_in(byte_unit((double)bytes), (double)bytes);
}

char *cli_seconds_range(double least, double most)
{
    return range_in(time_unit(most), least, most);
}

char *cli_bytes_range(uint64_t least, uint64_t most)
{
    return range_in(byte_unit((double)most), (double)least, (double)most);
}

char *cli_count_text(uint64_t count)
{
    if (count < 1000) {
        return cli_format("%" PRIu64, count);
    }
    if (count < 1000000) {
        return cli_format("%" PRIu64 ",%03" PRIu64, count / 1000, count % 1000);
    }
    const double millions = (double)count / 1e6;
    return millions < 999.5 ? cli_format("%.*f M", decimals(millions), millions)
                            : cli_format("%.*f G", decimals(millions / 1e3), millions / 1e3);
}

char *cli_things_text(uint64_t count, const char *thing)
{
    return cli_format("%s %s%s", cli_count_text(count), thing, count != 1 ? "s" : "");
}

char *cli_ratio_text(double value, double base)
{
    const char *const times = cli_has_utf8() ? "×" : "x";
    if (!(base > 0)) {
        return cli_copy(cli_has_utf8() ? "–" : "-");
    }
    const double ratio = value / base;
    if (ratio > 999) {
        return cli_format(">999%s", times);
    }
    return cli_format("%.*f%s", decimals(ratio), ratio, times);
}
