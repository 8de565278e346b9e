# SPDX-License-Identifier: MIT
"""Measures the movable heap: compaction beside memmove, passes with a budget, and what a handle costs."""

from harness.regions import Work, ours
from harness.tables import Table

FOOTPRINT_MOST = 1.02
SPEED_LEAST = 0.5
PASS_MOST_US = 2000
DEREF_MOST = 1.1


class Movable(Work):
    name = "movable"
    purpose = "the movable heap: full compaction beside memmove, passes of 1 ms, and what a handle costs"

    def __init__(self, scale):
        super().__init__(scale)
        self.cells = ["compact", "passes", "deref"]

    def measure(self, driver, subjects, rounds, progress):
        super().measure(driver, [ours("movable")], rounds, progress)

    def run(self, driver, subject, cell, turn):
        return driver.run_beside("movable", cell, str(turn + 1))

    def median(self, cell, key):
        return self.figure(cell, "movable", key)

    def tables(self, subjects):
        table = Table("The movable heap: 256 MiB of blocks of 16 to 4,096 bytes, a random 70 % freed",
                      ["figure", "measured"])
        rows = (("compact", "footprint_before", "footprint before compaction, MiB", 2**-20, "{:.1f}"),
                ("compact", "footprint_after", "footprint after it, MiB", 2**-20, "{:.1f}"),
                ("compact", "live", "live, MiB", 2**-20, "{:.1f}"),
                ("compact", "compact_gb_s", "full compaction, GB/s", 1, "{:.2f}"),
                ("compact", "memmove_gb_s", "memmove, GB/s", 1, "{:.2f}"),
                ("passes", "p50_us", "passes of 1 ms: the middle one, us", 1, "{:.0f}"),
                ("passes", "p99.9_us", "passes of 1 ms: 99.9th percentile, us", 1, "{:.0f}"),
                ("passes", "largest_us", "passes of 1 ms: the longest, us", 1, "{:.0f}"),
                ("passes", "largest_cpu_us", "passes of 1 ms: the longest by the thread's own time, us", 1, "{:.0f}"),
                ("deref", "l1_pointer_ns", "a hop by pointer in the first cache, ns", 1, "{:.2f}"),
                ("deref", "l1_handle_ns", "a hop by handle in the first cache, ns", 1, "{:.2f}"),
                ("deref", "l1_double_ns", "a hop by pointer to pointer in the first cache, ns", 1, "{:.2f}"),
                ("deref", "l2_pointer_ns", "a hop by pointer in the second cache, ns", 1, "{:.2f}"),
                ("deref", "l2_handle_ns", "a hop by handle in the second cache, ns", 1, "{:.2f}"),
                ("deref", "l2_double_ns", "a hop by pointer to pointer in the second cache, ns", 1, "{:.2f}"))
        for cell, key, words, scale, form in rows:
            value = self.median(cell, key)
            table.add(words, "" if value is None else form.format(value * scale))
        return [table]

    def judge(self, verdicts):
        rules = (("compact", "over_live", f"movable: footprint after compaction at most {FOOTPRINT_MOST} times live",
                  lambda value: value <= FOOTPRINT_MOST, "{:.4f}"),
                 ("compact", "speed", f"movable: full compaction at least {SPEED_LEAST} times memmove's speed",
                  lambda value: value >= SPEED_LEAST, "{:.2f}"),
                 ("passes", "p99.9_us", f"movable: passes of 1 ms take at most {PASS_MOST_US} us, 99.9th percentile",
                  lambda value: value <= PASS_MOST_US, "{:.0f} us"),
                 ("deref", "l1_deref", f"movable: a deref at most {DEREF_MOST} times a hop by pointer, first cache",
                  lambda value: value <= DEREF_MOST, "{:.2f}"),
                 ("deref", "l2_deref", f"movable: a deref at most {DEREF_MOST} times a hop by pointer, second cache",
                  lambda value: value <= DEREF_MOST, "{:.2f}"))
        for cell, key, rule, holds, form in rules:
            value = self.median(cell, key)
            fault = self.faults.get((cell, "movable"))
            verdicts.add(rule, fault or "" if value is None else form.format(value),
                         (False if fault else None) if value is None else holds(value))
