/* SPDX-License-Identifier: MIT */
#include "cli/replay/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void bars_are_in_order_and_tell_a_value_to_3_percent(void **state)
{
    (void)state;
    unsigned before = 0;
    for (uint64_t value = 0; value < UINT64_C(1) << 40; value += value / 50 + 1) {
        const unsigned bar = replay_bar_of(value);
        assert_true(bar < REPLAY_BARS && bar >= before);
        const double told = replay_bar_value(bar);
        const double error = told > (double)value ? told - (double)value : (double)value - told;
        assert_true(error <= 0.5 + (double)value * 0.032);
        assert_true(value >= REPLAY_EXACT_BARS || told == (double)value);
        before = bar;
    }
    assert_int_equal(replay_bar_of(UINT64_MAX), REPLAY_BARS - 1);
}

static void parts_are_those_of_the_values(void **state)
{
    (void)state;
    static replay_histogram histogram;
    memset(&histogram, 0, sizeof histogram);
    assert_true(replay_histogram_part(&histogram, 0.5) == 0);
    for (uint64_t value = 1; value <= 1000; value++) {
        replay_histogram_add(&histogram, value <= 990 ? 10 : value);
    }
    assert_int_equal(histogram.count, 1000);
    assert_int_equal(histogram.most, 1000);
    assert_true(replay_histogram_part(&histogram, 0.5) == 10);
    assert_true(replay_histogram_part(&histogram, 0.99) == 10);
    assert_true(replay_histogram_part(&histogram, 0.991) > 960);
    assert_true(replay_histogram_part(&histogram, 1) < 1040);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_are_in_order_and_tell_a_value_to_3_percent),
        cmocka_unit_test(parts_are_those_of_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
