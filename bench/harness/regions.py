# SPDX-License-Identifier: MIT
"""Measures allocators of one range side by side, each in a process of its own.

As with the workloads, rounds are interleaved: in each one every cell of a table is measured on every allocator, one
right after the other, and each round starts with the next allocator. Two allocators are compared within the rounds."""

import os
import re
import shutil
import signal
import statistics
import sys

from harness.measure import Failure, LOUD_CORES, capture, cpu_seconds, fields, foreign_load
from harness.tables import Table
from harness.workloads import JUDGES

POLICIES = ("first-fit", "next-fit", "best-fit", "worst-fit", "segregated", "buddy", "fixed")
OURS = (*POLICIES, *(f"{policy}/outside" for policy in POLICIES))
SIZES = ("uniform", "power-law")
LOADS = (0.5, 0.75, 0.9)
WORDS = {"uniform": "blocks of 16 to 4,096 bytes, uniform", "power-law": "blocks of 16 bytes to 64 KiB, power law"}
CROWD_BYTES = 224  # of the range for each free partition, and the used one beside it
LEAST_CROWD = 1 << 20


class Subject:
    """An allocator: one of Tarn's policies, or an adapter from the command line."""

    def __init__(self, name, arguments, role):
        self.name = name
        self.arguments = arguments
        self.role = role  # "tarn" or "peer"


def ours(name):
    return Subject(name, ["--policy", name], "tarn")


def peer(text):
    """The allocator of an option NAME=FILE.so:INIT,ALLOC,FREE[,offsets]."""
    if not re.fullmatch(r"[^=]+=[^:]+:[^,]+,[^,]+,[^,]+(,offsets)?", text):
        raise SystemExit(f"bench/run-regions: {text!r} is not NAME=FILE.so:INIT,ALLOC,FREE[,offsets]")
    return Subject(text.partition("=")[0], ["--with", text], "peer")


class Driver:
    """Runs the driver; of some attempts at a run the quietest counts."""

    def __init__(self, program, size, alignment, timeout, attempts):
        self.program = program
        self.options = ["--size", str(size), "--alignment", str(alignment)]
        self.timeout = timeout
        self.attempts = attempts
        self.kept = []  # of each run that counts: the cores that others kept busy meanwhile

    def run(self, subject, work, *options):
        return self.quietest([self.program, *subject.arguments, "--work", work, *self.options, *options])

    def run_beside(self, program, *options):
        """Runs another program, of the same folder."""
        return self.quietest([os.path.join(os.path.dirname(self.program), program), *options])

    def quietest(self, line):
        best = None
        for _ in range(self.attempts):
            before = cpu_seconds()
            text = self.text(line)
            load = foreign_load(before, cpu_seconds())
            if best is None or load < best[0]:
                best = (load, text)
            if load <= LOUD_CORES:
                break
        self.kept.append(best[0])
        return {**fields(best[1]), "points": points(best[1])}

    def text(self, line, pick=lambda done: done.stdout):
        try:
            done = capture(line, None, self.timeout)
        except OSError as error:
            raise Failure(f"{line[0]}: {error.strerror}") from None
        if done.returncode < 0:
            raise Failure(signal.Signals(-done.returncode).name)
        if done.returncode != 0:
            raise Failure((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
        return pick(done)

    def instructions(self, subject, function, work, *options):
        """Instructions inside `function` of the driver, and what that calls."""
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            raise Failure("needs valgrind")
        line = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--toggle-collect={function}*",
                self.program, *subject.arguments, "--work", work, *self.options, *options]
        collected = re.search(r"Collected : (\d+)", self.text(line, lambda done: done.stderr))
        if collected is None:
            raise Failure("callgrind counted nothing")
        return int(collected.group(1))


def points(text):
    """The lines "point A B C ..." of a text, as lists of numbers."""
    return [[float(word) for word in line.split()[1:]] for line in text.splitlines() if line.startswith("point ")]


class Work:
    """runs[cell][subject] is the list of results of one cell of the table, one of each round; faults says why there
    is none."""

    name = ""
    purpose = ""
    most = 1000  # rounds
    command = "bench/run-regions"  # whose work it is

    def __init__(self, scale):
        self.scale = scale  # of the number of operations; 1 for a full run
        self.cells = []
        self.runs = {}
        self.faults = {}

    def serves(self, subject):
        """Whether the subject can be asked for this work at all."""
        return True

    def run(self, driver, subject, cell, turn):
        raise NotImplementedError

    def measure(self, driver, subjects, rounds, progress):
        subjects = [subject for subject in subjects if self.serves(subject)]
        self.runs = {cell: {subject.name: [] for subject in subjects} for cell in self.cells}
        for turn in range(min(rounds, self.most)):
            for place, cell in enumerate(self.cells):
                for step in range(len(subjects)):
                    subject = subjects[(turn + place + step) % len(subjects)]
                    if (cell, subject.name) in self.faults:
                        continue
                    progress(f"{self.name} {cell}: round {turn + 1} on {subject.name}")
                    try:
                        self.runs[cell][subject.name].append(self.run(driver, subject, cell, turn))
                    except Failure as failure:
                        self.faults[cell, subject.name] = str(failure)
                        self.runs[cell][subject.name] = []
                        print(f"{self.command}: {self.name} {cell} on {subject.name}: {failure}", file=sys.stderr)

    def values(self, cell, name, key):
        return [run[key] for run in self.runs.get(cell, {}).get(name, []) if key in run]

    def figure(self, cell, name, key, pick=statistics.median):
        values = self.values(cell, name, key)
        return pick(values) if values else None

    def ratio(self, cell, ours, theirs, key, judge="paired"):
        """How many times `theirs` the figure of `ours` is, or None where one of them is missing."""
        mine, others = self.values(cell, ours, key), self.values(cell, theirs, key)
        return JUDGES[judge](mine, others) if mine and others and min(others) > 0 else None

    def spread(self):
        """How far the median run is from the best one, in the middle cell of the table; None for one round."""
        gaps = []
        for cell, runs in self.runs.items():
            for name in runs:
                values = self.values(cell, name, "mean_ns")
                if len(values) > 1:
                    gaps.append(statistics.median(values) / min(values) - 1)
        return statistics.median(gaps) if gaps else None

    def table(self, title, header, subjects, cell_text, note=""):
        """A row for each subject: `cell_text` makes the text of a cell from its key and the subject's name."""
        table = Table(title, ["allocator", *header.values()], note)
        for subject in subjects:
            if self.serves(subject):
                table.add(subject.name, *(cell_text(cell, subject.name) for cell in header))
        return table


def text_of(value, form):
    return "" if value is None else form.format(value)


class Steady(Work):
    name = "steady"
    purpose = "time of an operation while blocks come and go and the load stays: mean, percentiles, largest"
    OPS = 500000
    REPLAYS = 5

    def __init__(self, scale):
        super().__init__(scale)
        self.cells = [(sizes, load) for sizes in SIZES for load in LOADS]

    def run(self, driver, subject, cell, turn):
        return driver.run(subject, "steady", "--sizes", cell[0], "--load", str(cell[1]), "--ops",
                          str(int(self.OPS * self.scale)), "--replays", str(self.REPLAYS if self.scale == 1 else 2))

    def tables(self, subjects):
        kinds = (("mean_ns", "Nanoseconds for an operation, mean", "{:.1f}"),
                 ("p99.99_ns", "Nanoseconds for an operation, 99.99th percentile", "{:.0f}"),
                 ("largest_ns", "Nanoseconds for an operation, the largest", "{:.0f}"))
        made = []
        for key, title, form in kinds:
            made.append(self.table(title, self.header(), subjects,
                                   lambda cell, name, key=key, form=form: self.mark(cell, name, key, form)))
        made[-1].note = ("*: the load was not reached, or not always; requests failed, and the load was what the "
                         "allocator could do.")
        return made

    def header(self):
        return {cell: f"{cell[0]} {cell[1]:.0%}" for cell in self.cells}

    def mark(self, cell, name, key, form):
        text = text_of(self.figure(cell, name, key), form)
        return text + ("*" if text and self.figure(cell, name, "failures") > 0 else "")


class Density(Work):
    name = "load"
    purpose = "the load that is reached before the first failure, fresh and after ageing"
    OPS = 10000000
    most = 5

    def __init__(self, scale):
        super().__init__(scale)
        self.cells = list(SIZES)

    def run(self, driver, subject, cell, turn):
        return driver.run(subject, "load", "--sizes", cell, "--ops", str(int(self.OPS * self.scale)), "--seed",
                          str(turn + 1))

    def tables(self, subjects):
        header = {(cell, key): f"{cell}, {key}" for cell in self.cells for key in ("fresh", "aged")}
        return [self.table("Load at the first failure", header, subjects,
                           lambda cell, name: text_of(self.figure(cell[0], name, cell[1], statistics.mean), "{:.4f}"),
                           "Fresh: nothing was freed before. Aged: blocks came and went while the load rose from one "
                           "half. Bytes asked for, of the bytes of the range; the mean over the rounds, each of "
                           "another seed.")]

    def bounds(self, subjects):
        """What was needed beside what is proven to suffice."""
        columns = [(cell, key) for cell in self.cells for key in ("aged", "bound")]
        words = {"aged": "measured", "bound": "proven"}
        table = Table("Bytes of range for each live byte: measured when ageing, and proven to suffice",
                      ["policy", *(f"{cell}, {words[key]}" for cell, key in columns)],
                      "Proven for the same live bytes and the same largest request; empty: no bound is known, or it is "
                      "none.")
        for subject in subjects:
            if subject.role == "tarn" and "/" not in subject.name:
                cells = []
                for cell, key in columns:
                    value = self.figure(cell, subject.name, key, statistics.mean)
                    cells.append(text_of(value and (1 / value if key == "aged" else value), "{:.2f}"))
                table.add(subject.name, *cells)
        return table


class Crowd(Work):
    name = "crowd"
    purpose = "time of an operation among 1 thousand to 10 million free partitions"
    COUNTS = (1000, 10000, 100000, 1000000, 10000000)
    OPS = 80000
    most = 3

    def __init__(self, scale):
        super().__init__(scale)
        self.cells = [count for count in self.COUNTS if scale == 1 or count <= 10000]

    def run(self, driver, subject, cell, turn):
        return driver.run(subject, "crowd", "--count", str(cell), *crowd_options(cell, self.OPS))

    def tables(self, subjects):
        header = {count: f"{count:,}" for count in self.cells}
        return [self.table("Nanoseconds for an operation among so many free partitions", header, subjects,
                           lambda cell, name: text_of(self.figure(cell, name, "mean_ns"), "{:.1f}"),
                           "Blocks are picked at random, so with many of them each operation waits for memory as well: "
                           "the same is seen where the work is constant. The instructions show the work alone.")]


def crowd_options(count, ops):
    return ["--size", str(max(count * CROWD_BYTES, LEAST_CROWD)), "--ops", str(ops)]


class Instructions(Work):
    name = "instructions"
    purpose = "instructions for an operation, counted by callgrind: at a steady load, and among free partitions"
    OPS = 40000
    CROWD_OPS = 4000
    most = 1

    def __init__(self, scale):
        super().__init__(scale)
        steady = [(sizes, 0.75) for sizes in SIZES] if scale == 1 else []
        self.cells = [*steady, *(count for count in Crowd.COUNTS if count <= (1000000 if scale == 1 else 10000))]
        self.empty = {}

    def run(self, driver, subject, cell, turn):
        if cell not in self.empty:
            self.empty[cell] = self.count(driver, ours("nothing"), cell)
        return {"instructions": self.count(driver, subject, cell) - self.empty[cell]}

    def count(self, driver, subject, cell):
        if isinstance(cell, int):
            return driver.instructions(subject, "run_pairs", "crowd", "--count", str(cell),
                                       *crowd_options(cell, self.CROWD_OPS)) / self.CROWD_OPS
        return driver.instructions(subject, "run_steps", "plain", "--sizes", cell[0], "--load", str(cell[1]), "--ops",
                                   str(self.OPS)) / self.OPS

    def tables(self, subjects):
        header = {cell: f"{cell:,} free" if isinstance(cell, int) else f"{cell[0]} {cell[1]:.0%}"
                  for cell in self.cells}
        return [self.table("Instructions for an operation, counted by callgrind", header, subjects,
                           lambda cell, name: text_of(self.figure(cell, name, "instructions"), "{:.0f}"),
                           "Half of the operations allocate, half free. The driver's own are taken off.")]


class Curve(Work):
    name = "curve"
    purpose = "how the free memory of Tarn's policies falls to pieces while the range ages, for the pictures"
    OPS = 10000000
    most = 1

    def __init__(self, scale):
        super().__init__(scale)
        self.cells = list(SIZES)
        self.ops = int(self.OPS * self.scale)

    def serves(self, subject):
        # Where the books are makes no difference to what is free.
        return subject.role == "tarn" and "/" not in subject.name

    def run(self, driver, subject, cell, turn):
        return driver.run(subject, "curve", "--sizes", cell, "--ops", str(self.ops))

    def tables(self, subjects):
        return []


ALL = (Steady, Density, Crowd, Instructions, Curve)
