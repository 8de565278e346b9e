# SPDX-License-Identifier: MIT
"""Runs the workloads in interleaved rounds and sums them up.

The machine is never quiet, so no allocator gets a stretch of time of its own: in each round every workload is run on
every allocator, one right after the other, and each round starts with the next allocator. A cell of a table is the
median over the rounds, with the minimum beside it. Two allocators are compared round by round: the median of the
ratios within the rounds. What slows a whole round down then slows both sides of a ratio; on a loud machine that came
out half as far from the truth as the ratio of medians did when a library was compared with itself."""

import math
import os
import statistics
import sys

from harness.measure import Failure
from harness.tables import Table

METRICS = {
    "wall": ("Wall time, ms", lambda run: run["wall_ns"] / 1e6, "{:.0f}"),
    "cpu": ("CPU time (user and system), ms", lambda run: (run["user_us"] + run["system_us"]) / 1e3, "{:.0f}"),
    "peak": ("Peak resident memory, MiB", lambda run: run["peak_kib"] / 1024, "{:.1f}"),
    "faults": ("Page faults, thousands", lambda run: (run["minor_faults"] + run["major_faults"]) / 1e3, "{:.1f}"),
}


class Workload:
    def __init__(self, name, command, purpose):
        self.name = name
        self.command = command
        self.purpose = purpose


def index(folder):
    """The workloads of bench/workloads/index, in its order."""
    found = []
    with open(os.path.join(folder, "workloads", "index"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, command, purpose = (part.strip() for part in line.split("|"))
                found.append(Workload(name, command.split(), purpose))
    return found


# How two allocators are compared: from the runs of both, in the order of the rounds, to one ratio.
JUDGES = {
    "paired": lambda ours, theirs: statistics.median(a / b for a, b in zip(ours, theirs)),
    "median": lambda ours, theirs: statistics.median(ours) / statistics.median(theirs),
    "minimum": lambda ours, theirs: min(ours) / min(theirs),
}


class Results:
    """runs[workload][allocator] is the list of its runs; faults lists what went wrong."""

    def __init__(self, workloads, allocators, judge):
        self.workloads = workloads
        self.judge = judge  # a key of JUDGES
        self.allocators = allocators
        self.runs = {work.name: {allocator.name: [] for allocator in allocators} for work in workloads}
        self.faults = []

    def values(self, metric, work, allocator):
        return [METRICS[metric][1](run) for run in self.runs[work.name][allocator.name]]

    def figure(self, metric, work, allocator, pick=statistics.median):
        """The median of the runs (or what `pick` makes of them), or None when there is none."""
        values = self.values(metric, work, allocator)
        return pick(values) if values else None

    def ratio(self, metric, work, ours, theirs):
        """How many times `theirs` the figure of `ours` is; both have run the workload."""
        return JUDGES[self.judge](self.values(metric, work, ours), self.values(metric, work, theirs))

    def best(self, metric, work, allocators):
        """The one of `allocators` that none of them is below, or is least below."""
        return max(allocators, key=lambda best: min(self.ratio(metric, work, other, best) for other in allocators))

    def complete(self, allocators):
        """The workloads that every one of `allocators` has run."""
        return [work for work in self.workloads if all(self.runs[work.name][a.name] for a in allocators)]

    def spread(self):
        """How far the median run is from the best one, in the middle cell of the table."""
        gaps = []
        for work in self.workloads:
            for allocator in self.allocators:
                values = self.values("wall", work, allocator)
                if values:
                    gaps.append(statistics.median(values) / min(values) - 1)
        return statistics.median(gaps) if gaps else 0.0


def mean(values):
    """The geometric mean."""
    return math.exp(sum(math.log(max(value, 1e-9)) for value in values) / len(values))


def measure(launcher, workloads, allocators, rounds, judge, progress):
    results = Results(workloads, allocators, judge)
    checksums = {}
    failed = set()
    for turn in range(rounds):
        for place, work in enumerate(workloads):
            for step in range(len(allocators)):
                allocator = allocators[(turn + place + step) % len(allocators)]
                if (work.name, allocator.name) in failed:
                    continue
                progress(f"round {turn + 1} of {rounds}: {work.name} on {allocator.name}")
                try:
                    run = launcher.run(allocator, work.command)
                    expected = checksums.setdefault(work.name, run.get("checksum"))
                    if run.get("checksum") is None or run["checksum"] != expected:
                        raise Failure(f"checksum {run.get('checksum')} is not {expected}")
                except Failure as failure:
                    failed.add((work.name, allocator.name))
                    results.runs[work.name][allocator.name] = []
                    results.faults.append(f"{work.name} on {allocator.name}: {failure}")
                    print(f"bench/run: {results.faults[-1]}", file=sys.stderr)
                    continue
                results.runs[work.name][allocator.name].append(run)
    return results


def metric_table(results, metric, pick=statistics.median, suffix=""):
    title, _, form = METRICS[metric]
    table = Table(title + suffix, ["workload", *(a.name for a in results.allocators)])
    for work in results.workloads:
        cells = [results.figure(metric, work, allocator, pick) for allocator in results.allocators]
        table.add(work.name, *("failed" if cell is None else form.format(cell) for cell in cells))
    complete = results.complete(results.allocators)
    if complete:
        table.add("geometric mean", *(form.format(mean([results.figure(metric, work, allocator, pick)
                                                        for work in complete]))
                                      for allocator in results.allocators))
    return table


def ratio_table(results, metric, best_word):
    title = METRICS[metric][0].split(",")[0]
    table = Table(f"{title}, as a multiple of the {best_word}",
                  ["workload", *(a.name for a in results.allocators), best_word])
    ratios = {allocator.name: [] for allocator in results.allocators}
    for work in results.complete(results.allocators):
        best = results.best(metric, work, results.allocators)
        for allocator in results.allocators:
            ratios[allocator.name].append(results.ratio(metric, work, allocator, best))
        table.add(work.name, *(f"{ratios[a.name][-1]:.2f}" for a in results.allocators), best.name)
    if table.rows:
        table.add("geometric mean", *(f"{mean(ratios[a.name]):.2f}" for a in results.allocators), "")
        table.add("worst", *(f"{max(ratios[a.name]):.2f}" for a in results.allocators), "")
    return table


def tables(results):
    return [
        metric_table(results, "wall", suffix=" (median)"),
        ratio_table(results, "wall", "fastest"),
        metric_table(results, "wall", min, " (minimum)"),
        metric_table(results, "cpu", suffix=" (median)"),
        metric_table(results, "peak", suffix=" (median)"),
        ratio_table(results, "peak", "leanest"),
        metric_table(results, "faults", suffix=" (median)"),
    ]
