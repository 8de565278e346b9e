# SPDX-License-Identifier: MIT
"""Probes: one property each, measured on every allocator, with the bound that Tarn has to keep."""

import os
import re
import shutil
import statistics

from harness.allocators import Allocator
from harness.measure import Failure, capture
from harness.tables import Table

INSTRUCTIONS_MAX = 36
EMPTY_INSTRUCTIONS = 3  # of nothing_take and nothing_give together: probes/nothing/nothing.c
RELAY_LIVE_FACTOR = 1.5
RELAY_SLACK_KIB = 8 * 1024
RELEASE_MAX_KIB = 8 * 1024
TENTH_FACTOR = 1.05
START_TIME_MAX = 1.15
START_MORE_KIB_MAX = 400
ADDRESS_SPACE_KIB = 16384
DOUBLING_SLACK_KIB = 8 * 1024
DOUBLING_MAX_US = 50000
CALLGRIND_SECONDS = 600


class Probe:
    """runs[allocator] is the list of its results; faults[allocator] says why there is none."""

    name = ""
    purpose = ""
    fewest = 1  # rounds; more are run when the workloads have more
    most = 1

    def __init__(self):
        self.runs = {}
        self.faults = {}

    def run(self, launcher, allocator):
        raise NotImplementedError

    def measure(self, launcher, allocators, rounds, progress):
        """Runs in interleaved rounds, as the workloads are."""
        self.runs = {allocator.name: [] for allocator in allocators}
        count = max(self.fewest, min(rounds, self.most))
        for turn in range(count):
            for step in range(len(allocators)):
                allocator = allocators[(turn + step) % len(allocators)]
                if allocator.name in self.faults:
                    continue
                progress(f"{self.name}: round {turn + 1} of {count} on {allocator.name}")
                try:
                    self.runs[allocator.name].append(self.run(launcher, allocator))
                except Failure as failure:
                    self.faults[allocator.name] = str(failure)

    def figure(self, allocator, key, pick=statistics.median):
        values = [run[key] for run in self.runs[allocator.name] if key in run]
        return pick(values) if values else None

    def fill(self, table, allocators, columns):
        """A row for each allocator: `columns` are functions from it to a cell."""
        for allocator in allocators:
            if self.runs.get(allocator.name):
                table.add(allocator.name, *(column(allocator) for column in columns))
            else:
                fault = self.faults.get(allocator.name, "not measured")
                table.add(allocator.name, fault, *("" for _ in columns[1:]))
        return table

    def table(self, allocators):
        raise NotImplementedError

    def judge(self, verdicts, tarn, peers):
        raise NotImplementedError

    def judge_missing(self, verdicts, tarn, rules):
        """Notes that nothing was measured, and tells whether that is so: a probe that died on Tarn is a failure."""
        if tarn is not None and self.runs.get(tarn.name):
            return False
        fault = self.faults.get(tarn.name) if tarn is not None else None
        for rule in rules:
            verdicts.add(rule, fault or "", False if fault else None)
        return True


def mib(kib):
    return f"{kib / 1024:.1f}"


class Instructions(Probe):
    name = "instructions"
    purpose = "instructions for one malloc and its free, counted by callgrind"
    LOOPS = {"same": (20000, 120000, 1), "batch": (50, 250, 1000)}  # mode: few, many, pairs in each

    def __init__(self):
        super().__init__()
        self.empty = {}

    def count(self, launcher, program, mode, count, allocator):
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            raise Failure("needs valgrind")
        environment = dict(launcher.environment)
        if allocator is not None and allocator.path:
            environment["LD_PRELOAD"] = allocator.path
        done = capture([valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null",
                        os.path.join(launcher.programs, program), mode, str(count)],
                       environment, CALLGRIND_SECONDS)
        collected = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode != 0 or collected is None:
            raise Failure((done.stderr.strip().splitlines() or ["callgrind failed"])[-1])
        return int(collected.group(1))

    def slope(self, launcher, program, mode, allocator):
        """Instructions for each pair: the difference of two runs, so what comes before the loop cancels out."""
        few, many, pairs = self.LOOPS[mode]
        more = (self.count(launcher, program, mode, many, allocator)
                - self.count(launcher, program, mode, few, allocator))
        return more / ((many - few) * pairs)

    def run(self, launcher, allocator):
        result = {}
        for mode in self.LOOPS:
            if mode not in self.empty:
                self.empty[mode] = self.slope(launcher, "instructions_nothing", mode, None)
            result[mode] = (self.slope(launcher, "instructions", mode, allocator) - self.empty[mode]
                            + EMPTY_INSTRUCTIONS)
        return result

    def table(self, allocators):
        table = Table("Instructions for one malloc and its free, the caller's loop taken off",
                      ["allocator", "16 bytes again and again", "8 to 1024 bytes, batches of 1,000"])
        return self.fill(table, allocators, [lambda a, mode=mode: f"{self.figure(a, mode):.1f}"
                                             for mode in self.LOOPS])

    def judge(self, verdicts, tarn, peers):
        names = {"same": "one 16-byte block again and again", "batch": "8 to 1024 bytes in batches of 1,000"}
        rules = [f"instructions: at most {INSTRUCTIONS_MAX}, {names[mode]}" for mode in self.LOOPS]
        if self.judge_missing(verdicts, tarn, rules):
            return
        for rule, mode in zip(rules, self.LOOPS):
            figure = self.figure(tarn, mode)
            verdicts.add(rule, f"{figure:.1f}", round(figure, 1) <= INSTRUCTIONS_MAX)


class Relay(Probe):
    name = "relay"
    purpose = "one thread allocates, another frees: throughput and resident memory"
    fewest = 5
    most = 9

    def run(self, launcher, allocator):
        result = {}
        for mode in ("steady", "burst"):
            done = launcher.run(allocator, ["relay", mode])
            allowed = RELAY_LIVE_FACTOR * done["live_peak_kib"] + RELAY_SLACK_KIB
            result.update({f"{mode}_rate": done["blocks_per_second"] / 1e6,
                           f"{mode}_live": done["live_peak_kib"],
                           f"{mode}_resident": done["resident_peak_kib"],
                           f"{mode}_share": done["resident_peak_kib"] / allowed})
        return result

    def table(self, allocators):
        table = Table("One thread allocates, another frees",
                      ["allocator", "steady, million blocks/s", "live peak, MiB", "resident peak, MiB",
                       "bursts, million blocks/s", "live peak, MiB", "resident peak, MiB"],
                      "Steady: both threads at once. Bursts: in turn, each burst of other sizes. "
                      "Rates are medians, peaks those of the worst round.")

        def worst(allocator, mode, key):
            run = max(self.runs[allocator.name], key=lambda run: run[f"{mode}_share"])
            return mib(run[f"{mode}_{key}"])

        columns = []
        for mode in ("steady", "burst"):
            columns += [lambda a, mode=mode: f"{self.figure(a, f'{mode}_rate'):.2f}",
                        lambda a, mode=mode: worst(a, mode, "live"),
                        lambda a, mode=mode: worst(a, mode, "resident")]
        return self.fill(table, allocators, columns)

    def judge(self, verdicts, tarn, peers):
        rules = ("relay: throughput at or above the best peer's",
                 "relay: resident never above 1.5 times the live peak plus 8 MiB")
        if self.judge_missing(verdicts, tarn, rules):
            return
        rates = {peer.name: [run["steady_rate"] for run in self.runs[peer.name]] for peer in peers}
        ours = [run["steady_rate"] for run in self.runs[tarn.name]]
        ratios = {name: statistics.median(a / b for a, b in zip(ours, theirs))
                  for name, theirs in rates.items() if theirs}
        best = min(ratios, key=ratios.get) if ratios else None
        verdicts.add(rules[0], f"{ratios[best]:.2f} of {best}'s" if best else "",
                     ratios[best] >= 1.0 if best else None)
        shares = {mode: self.figure(tarn, f"{mode}_share", max) for mode in ("steady", "burst")}
        verdicts.add(rules[1], ", ".join(f"{mode} {share:.2f} of what is allowed" for mode, share in shares.items()),
                     max(shares.values()) <= 1.0)


class Release(Probe):
    name = "release"
    purpose = "a million blocks freed, then no call: what goes back to the kernel"
    most = 3

    def run(self, launcher, allocator):
        result = {}
        for mode in ("all", "thread", "tenth"):
            done = launcher.run(allocator, ["release", mode])
            result.update({f"{mode}_{key}": value for key, value in done.items() if key.endswith("_kib")})
        result["tenth_share"] = result["tenth_after_1000_kib"] / (
            TENTH_FACTOR * result["tenth_live_pages_kib"] + RELEASE_MAX_KIB)
        return result

    def table(self, allocators):
        table = Table("A million blocks of 16 to 512 bytes, freed, then no further call: resident MiB",
                      ["allocator", "before", "all freed, at once", "after 0.25 s", "after 0.5 s", "after 1 s",
                       "freed by another thread, after 1 s", "nine tenths freed, after 1 s", "its pages in use"])
        keys = ["all_full_kib", "all_after_0_kib", "all_after_250_kib", "all_after_500_kib", "all_after_1000_kib",
                "thread_after_1000_kib", "tenth_after_1000_kib", "tenth_live_pages_kib"]
        return self.fill(table, allocators, [lambda a, key=key: mib(self.figure(a, key)) for key in keys])

    def judge(self, verdicts, tarn, peers):
        rules = ("release: a million blocks freed, resident below 8 MiB within a second",
                 "release: the same when another thread has freed them",
                 "release: nine tenths freed, the free pages inside spans go back "
                 f"(resident at most {TENTH_FACTOR} times the pages in use plus 8 MiB)")
        if self.judge_missing(verdicts, tarn, rules):
            return
        for rule, mode in zip(rules, ("all", "thread")):
            kib = self.figure(tarn, f"{mode}_after_1000_kib", max)
            verdicts.add(rule, f"{mib(kib)} MiB", kib < RELEASE_MAX_KIB)
        verdicts.add(rules[2], f"{mib(self.figure(tarn, 'tenth_after_1000_kib'))} MiB, pages in use "
                               f"{mib(self.figure(tarn, 'tenth_live_pages_kib'))} MiB",
                     self.figure(tarn, "tenth_share", max) <= 1.0)


class Start(Probe):
    name = "start"
    purpose = "what the library costs a program that does nothing"
    PAIRS = 400
    fewest = 3
    most = 5

    def run(self, launcher, allocator):
        if not allocator.path:
            return {}
        nobody = Allocator("none", None, "none")
        done = launcher.run(nobody, ["start", str(self.PAIRS), allocator.path, "true"])
        return {"ratio": done["loaded_ns"] / done["plain_ns"],
                "least_ratio": done["loaded_least_ns"] / done["plain_least_ns"],
                "plain_us": done["plain_ns"] / 1e3, "loaded_us": done["loaded_ns"] / 1e3,
                "more_kib": done["loaded_kib"] - done["plain_kib"]}

    def table(self, allocators):
        table = Table("`true` with the library preloaded",
                      ["allocator", "without, us", "with, us", "ratio of medians", "ratio of minima",
                       "more resident, KiB"])
        columns = [("plain_us", "{:.0f}"), ("loaded_us", "{:.0f}"), ("ratio", "{:.2f}"),
                   ("least_ratio", "{:.2f}"), ("more_kib", "{:.0f}")]
        return self.fill(table, [a for a in allocators if a.path],
                         [lambda a, key=key, form=form: form.format(self.figure(a, key)) for key, form in columns])

    def judge(self, verdicts, tarn, peers):
        rules = (f"start: `true` takes at most {START_TIME_MAX} times the time",
                 f"start: `true` has at most {START_MORE_KIB_MAX} KiB more resident")
        if self.judge_missing(verdicts, tarn, rules):
            return
        ratio = self.figure(tarn, "ratio")
        more = self.figure(tarn, "more_kib")
        verdicts.add(rules[0], f"{ratio:.3f} (of minima {self.figure(tarn, 'least_ratio'):.3f})",
                     ratio <= START_TIME_MAX)
        verdicts.add(rules[1], f"{more:.0f} KiB", more <= START_MORE_KIB_MAX)


class Confined(Probe):
    name = "confined"
    purpose = f"`ulimit -v {ADDRESS_SPACE_KIB}`, and threads on stacks of 64 KiB"

    def attempt(self, launcher, allocator, limited, program):
        limit = f"ulimit -v {ADDRESS_SPACE_KIB}; " if limited else ""
        script = limit + ('LD_PRELOAD="$0" exec "$@"' if allocator.path else 'exec "$@"')
        done = capture(["sh", "-c", script, allocator.preload, program], launcher.environment, launcher.timeout)
        # A library that cannot be mapped is only warned about, and the system's malloc steps in.
        if done.returncode == 0 and "cannot be preloaded" not in done.stderr:
            return "runs"
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][-60:]

    def run(self, launcher, allocator):
        narrow = os.path.join(launcher.programs, "narrow")
        return {"true": self.attempt(launcher, allocator, True, "true"),
                "stacks": self.attempt(launcher, allocator, False, narrow),
                "both": self.attempt(launcher, allocator, True, narrow)}

    def table(self, allocators):
        table = Table("Little room", ["allocator", f"true, ulimit -v {ADDRESS_SPACE_KIB}",
                                      "threads on 64 KiB", "both"])
        return self.fill(table, allocators, [lambda a, key=key: self.runs[a.name][0][key]
                                             for key in ("true", "stacks", "both")])

    def judge(self, verdicts, tarn, peers):
        rules = (f"confined: `true` runs under ulimit -v {ADDRESS_SPACE_KIB}",
                 "confined: threads on 64 KiB stacks run",
                 "confined: such threads run under that limit")
        if self.judge_missing(verdicts, tarn, rules):
            return
        for rule, key in zip(rules, ("true", "stacks", "both")):
            verdicts.add(rule, self.runs[tarn.name][0][key], self.runs[tarn.name][0][key] == "runs")


class Doubling(Probe):
    name = "doubling"
    purpose = "2 GiB from calloc, doubled by realloc"
    most = 3

    def run(self, launcher, allocator):
        return launcher.run(allocator, ["doubling"])

    def table(self, allocators):
        table = Table("2 GiB from calloc, 64 MiB of it touched, doubled by realloc",
                      ["allocator", "resident before, MiB", "after, MiB", "realloc, ms"])
        return self.fill(table, allocators, [lambda a: mib(self.figure(a, "before_kib")),
                                             lambda a: mib(self.figure(a, "after_kib")),
                                             lambda a: f"{self.figure(a, 'realloc_us') / 1e3:.1f}"])

    def judge(self, verdicts, tarn, peers):
        rules = (f"doubling: resident stays what was touched, and at most {DOUBLING_MAX_US // 1000} ms",)
        if self.judge_missing(verdicts, tarn, rules):
            return
        run = max(self.runs[tarn.name], key=lambda run: run["after_kib"])
        allowed = run["touched_kib"] + run["base_kib"] + DOUBLING_SLACK_KIB
        fastest = self.figure(tarn, "realloc_us", min)
        verdicts.add(rules[0], f"{mib(run['after_kib'])} MiB of {mib(run['touched_kib'])} touched, "
                               f"{fastest / 1e3:.1f} ms",
                     max(run["before_kib"], run["after_kib"]) <= allowed and fastest <= DOUBLING_MAX_US)


ALL = (Instructions, Relay, Release, Start, Confined, Doubling)
