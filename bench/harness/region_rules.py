# SPDX-License-Identifier: MIT
"""What must hold of regions, line by line. Rules that compare speak of the peers by the names tlsf, dlmalloc, sqlite
(its buddy) and vma (the graphics sub-allocator), and are not judged where those are not measured."""

import math
import statistics

from harness.regions import OURS
from harness.workloads import mean

TLSF_MEAN = 0.7
SQLITE_MEAN = 0.8
BEST_LOADS = {"uniform": 0.975, "power-law": 0.85}
BEST_TAIL_NS = 1000
OTHERS = ("first-fit", "next-fit", "worst-fit")
OTHERS_MEAN = 1.5
OTHERS_TAIL_NS = 1500
VMA_MEAN = 1 / 3
OUTSIDE_LARGEST_NS = 3000


def cell_name(cell):
    return f"{cell[0]} {cell[1]:.0%}" if isinstance(cell, tuple) else str(cell)


def is_missing(verdicts, rule, work, ours, figures):
    """Notes a rule for which nothing was measured, and tells whether that is so: where Tarn's own died, that is a
    failure."""
    fault = next((text for (_, name), text in work.faults.items() if name == ours), None)
    if fault or not figures:
        verdicts.add(rule, fault or "", False if fault else None)
    return fault or not figures


def judge_ratio(verdicts, rule, work, ours, theirs, key, most):
    """The ratio to `theirs` may be `most` in no cell more."""
    ratios = {cell: work.ratio(cell, ours, theirs, key) for cell in work.cells}
    ratios = {cell: ratio for cell, ratio in ratios.items() if ratio is not None}
    if is_missing(verdicts, rule, work, ours, ratios):
        return
    worst = max(ratios, key=ratios.get)
    over = sum(ratio > most for ratio in ratios.values())
    verdicts.add(rule, f"mean {mean(list(ratios.values())):.2f}, worst {ratios[worst]:.2f} at {cell_name(worst)}"
                 + (f", over in {over} of {len(ratios)}" if over else ""), over == 0)


def judge_most(verdicts, rule, work, name, key, most, cells, unit="ns"):
    """The figure may be `most` in none of `cells` more."""
    figures = {cell: work.figure(cell, name, key) for cell in cells}
    figures = {cell: figure for cell, figure in figures.items() if figure is not None}
    if is_missing(verdicts, rule, work, name, figures):
        return
    worst = max(figures, key=figures.get)
    verdicts.add(rule, f"{figures[worst]:.0f} {unit} at {cell_name(worst)}", figures[worst] <= most)


def judge_steady(verdicts, steady):
    full = [cell for cell in steady.cells if cell[1] == 0.9]
    judge_ratio(verdicts, f"segregated: mean at most {TLSF_MEAN} times TLSF's", steady, "segregated", "tlsf", "mean_ns",
                TLSF_MEAN)
    judge_ratio(verdicts, "segregated: p99.99 no worse than TLSF's", steady, "segregated", "tlsf", "p99.99_ns", 1)
    judge_ratio(verdicts, f"buddy: mean at most {SQLITE_MEAN} times sqlite's", steady, "buddy", "sqlite", "mean_ns",
                SQLITE_MEAN)
    judge_ratio(verdicts, "best-fit: mean no worse than dlmalloc's", steady, "best-fit", "dlmalloc", "mean_ns", 1)
    judge_most(verdicts, f"best-fit: p99.99 below {BEST_TAIL_NS} ns at 90 %", steady, "best-fit", "p99.99_ns",
               BEST_TAIL_NS, full)
    for name in OTHERS:
        judge_ratio(verdicts, f"{name}: mean at most {OTHERS_MEAN} times best-fit's", steady, name, "best-fit",
                    "mean_ns", OTHERS_MEAN)
        judge_most(verdicts, f"{name}: p99.99 below {OTHERS_TAIL_NS} ns", steady, name, "p99.99_ns", OTHERS_TAIL_NS,
                   steady.cells)
    judge_ratio(verdicts, "best-fit/outside: at least 3 times as fast as the graphics sub-allocator", steady,
                "best-fit/outside", "vma", "mean_ns", VMA_MEAN)
    judge_most(verdicts, f"best-fit/outside: largest below {OUTSIDE_LARGEST_NS} ns", steady, "best-fit/outside",
               "largest_ns", OUTSIDE_LARGEST_NS, steady.cells)


def judge_load(verdicts, density):
    for cell in density.cells:
        judge_load_against(verdicts, density, cell, "segregated", "tlsf", "TLSF's")
    for cell in density.cells:
        judge_load_against(verdicts, density, cell, "best-fit/outside", "vma", "the graphics sub-allocator's")
    for cell, least in BEST_LOADS.items():
        rule = f"best-fit: load after ageing at least {least}, {cell}"
        loads = density.values(cell, "best-fit", "aged")
        if not is_missing(verdicts, rule, density, "best-fit", loads):
            verdicts.add(rule, f"{statistics.mean(loads):.4f}", statistics.mean(loads) >= least)


def judge_load_against(verdicts, density, cell, ours, theirs, whose):
    mine, others = density.values(cell, ours, "aged"), density.values(cell, theirs, "aged")
    rule = f"{ours}: load after ageing at least {whose}, {cell}"
    if is_missing(verdicts, rule, density, ours, mine and others):
        return
    # Each round is one seed for all, so the differences are of like and like.
    lead = statistics.mean(a - b for a, b in zip(mine, others))
    verdicts.add(rule, f"{statistics.mean(mine):.4f} and {statistics.mean(others):.4f}", lead >= 0)


def growth_of(work, key, name, few, many):
    low, high = work.figure(few, name, key), work.figure(many, name, key)
    return high / low if low and high else None


def judge_growth(verdicts, work, key):
    """From the fewest free partitions to the most, the cost may grow as the logarithm of their number. Time also grows with
    every table that leaves the caches, whatever the work: so what TLSF's grows, of constant work, is told beside."""
    counts = [cell for cell in work.cells if isinstance(cell, int)]
    few, many = counts[0], counts[-1]
    allowed = math.log(many) / math.log(few)
    what = "time" if key == "mean_ns" else "instructions"
    rule = f"{work.name}: from {few:,} to {many:,} free partitions the {what} of an operation at most {allowed:.2f} times " \
           "(the logarithm)"
    base = growth_of(work, key, "tlsf", few, many)
    growth = {name: growth_of(work, key, name, few, many) for name in OURS}
    growth = {name: value for name, value in growth.items() if value}
    if not growth:
        verdicts.add(rule, "", None)
        return
    worst = max(growth, key=growth.get)
    verdicts.add(rule, f"worst {worst} {growth[worst]:.2f}" + (f"; TLSF, of constant work, {base:.2f}" if base else ""),
                 growth[worst] <= allowed)
