# SPDX-License-Identifier: MIT
"""What must hold, line by line, each with the figure that decides it."""

from harness.tables import Table
from harness.workloads import mean

TIME_WORST = 1.25
MEMORY_MEAN = 1.15


class Verdicts:
    def __init__(self):
        self.lines = []  # (what must hold, what was measured, whether it holds; None: not measured)

    def add(self, rule, measured, holds):
        self.lines.append((rule, measured, holds))

    def table(self):
        words = {True: "PASS", False: "FAIL", None: "not measured"}
        table = Table("What must hold", ["verdict", "rule", "measured"], words=True)
        for rule, measured, holds in self.lines:
            table.add(words[holds], rule, measured)
        return table

    @property
    def failed(self):
        return any(holds is False for _, _, holds in self.lines)


def judge_workloads(verdicts, results, tarn, peers):
    judged = results.complete([tarn, *peers]) if tarn and peers else []
    rules = ("time: geometric mean at or below every peer's",
             f"time: no workload slower than {TIME_WORST} times the fastest peer",
             f"memory: geometric mean of the peak at most {MEMORY_MEAN} times the leanest peer's")
    if not judged:
        for rule in rules:
            verdicts.add(rule, "", None)
        return

    def to_best(metric):
        return {work.name: max(results.ratio(metric, work, tarn, peer) for peer in peers) for work in judged}

    means = {peer.name: mean([results.ratio("wall", work, tarn, peer) for work in judged]) for peer in peers}
    verdicts.add(rules[0], ", ".join(f"{ratio:.2f} of {name}'s" for name, ratio in means.items()),
                 max(means.values()) <= 1.0)
    time = to_best("wall")
    over = {name: ratio for name, ratio in time.items() if ratio > TIME_WORST}
    worst = max(time, key=time.get)
    verdicts.add(rules[1], ", ".join(f"{name} {ratio:.2f}" for name, ratio in over.items())
                 or f"worst {worst} {time[worst]:.2f}", not over)
    memory = to_best("peak")
    fattest = max(memory, key=memory.get)
    verdicts.add(rules[2], f"{mean(list(memory.values())):.2f}, worst {fattest} {memory[fattest]:.2f}",
                 mean(list(memory.values())) <= MEMORY_MEAN)
    missing = [work.name for work in results.workloads if work not in judged]
    verdicts.add("every workload runs on every allocator, with the same checksum",
                 ", ".join(missing) or f"{len(judged)} workloads", not missing)
