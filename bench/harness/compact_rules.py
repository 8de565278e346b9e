# SPDX-License-Identifier: MIT
"""What must hold of a malloc that compacts. A rule that compares with what is not measured is not judged."""

from harness.compact import OURS, PLAIN, SYSTEM

LIVE_MOST = 3.5
PEAK_MOST = 1.15
LOWER_BY = 0.30
LATENCY_MOST = 1.15
MAPPINGS_SHARE = 0.5  # of what the kernel allows to a process


def judge(verdicts, group, subjects):
    fault = group.faults.get((group.name, OURS))
    rules = RULES[group.name](group, [subject.name for subject in subjects])
    for rule, measured, holds in rules:
        if fault is not None:
            verdicts.add(rule, fault, False)
        else:
            verdicts.add(rule, "" if holds is None else measured, holds)


def of_fragment(group, names):
    end, peak = group.of(OURS, "end_ratio"), group.of(OURS, "peak_ratio")
    yield (f"fragment: at most {LIVE_MOST} resident bytes for each live one", f"{end or 0:.2f}",
           None if end is None else end <= LIVE_MOST)
    yield (f"fragment: at the peak at most {PEAK_MOST} for each byte asked for", f"{peak or 0:.3f}",
           None if peak is None else peak <= PEAK_MOST)
    times = {name: group.ratio(group.name, OURS, name, "total_ns") for name in names if name.startswith("mesh")}
    times = {name: ratio for name, ratio in times.items() if ratio is not None}
    yield ("fragment: throughput at least Mesh's",
           ", ".join(f"{ratio:.2f} of the time of {name}" for name, ratio in times.items()),
           all(ratio <= 1 for ratio in times.values()) if times else None)
    yield of_mappings(group, ("peak", "freed", "end", "touched", "empty"))


def of_redis(group, _names):
    rules = ((SYSTEM, f"redis: resident at least {LOWER_BY:.0%} lower than with the system's malloc", 1 - LOWER_BY),
             (PLAIN, "redis: resident lower than without compaction", 1))
    for name, rule, most in rules:
        ratio = group.ratio(group.name, OURS, name, "end.resident_kib")
        yield rule, f"{ratio or 0:.2f} of it", None if ratio is None else ratio < most or (most < 1 and ratio == most)
    failed = group.values(group.name, OURS, "failed")
    asked = group.values(group.name, OURS, "requests")
    yield ("redis: no request fails", f"{sum(failed):.0f} of {sum(asked):,.0f}", sum(failed) == 0 if failed else None)
    ratios = {f"{kind.upper()} {words}": group.ratio(group.name, OURS, SYSTEM, f"{when}.{kind}.median_ns")
              for kind in ("get", "set") for when, words in (("second", "while loading"), ("after", "after"))}
    ratios = {key: ratio for key, ratio in ratios.items() if ratio is not None}
    worst = max(ratios, key=ratios.get, default=None)
    yield (f"redis: median latency at most {LATENCY_MOST} times that with the system's malloc",
           "" if worst is None else f"worst {ratios[worst]:.2f}, {worst}",
           None if worst is None else ratios[worst] <= LATENCY_MOST)
    yield of_mappings(group, ("loaded", "end", "checked"))


def of_mappings(group, moments):
    """The most mappings at any of the moments; the program may want some of its own."""
    with open("/proc/sys/vm/max_map_count", encoding="ascii") as file:
        most = int(file.read())
    counts = [count for moment in moments for count in group.values(group.name, OURS, f"{moment}.maps")]
    return (f"{group.name}: at most {MAPPINGS_SHARE:.0%} of the mappings that a process may have",
            f"{max(counts, default=0)} of {most}", max(counts) <= MAPPINGS_SHARE * most if counts else None)


RULES = {"fragment": of_fragment, "redis": of_redis}
