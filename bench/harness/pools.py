# SPDX-License-Identifier: MIT
"""Measures Tarn's pools beside others of their kind.

Each run is a process of its own: one subject at one cell of a group's table. As with the workloads, rounds are
interleaved, and two subjects are compared within the rounds."""

import os
import subprocess

from harness import allocators
from harness.measure import Failure
from harness.regions import Driver, Work, text_of
from harness.tables import Table


class Subject:
    """A pool that a driver has compiled in, or a malloc that is preloaded under one."""

    def __init__(self, name, command, role, preload=None, more=()):
        self.name = name
        self.command = command  # what the driver calls it
        self.role = role  # "tarn" or "peer"
        self.preload = preload
        self.more = list(more)  # further arguments


class PoolDriver(Driver):
    """Runs the drivers of a folder; of some attempts at a run the quietest counts."""

    def __init__(self, folder, timeout, attempts):
        super().__init__(os.path.join(folder, "pools-fixed"), 0, 0, timeout, attempts)
        self.folder = folder

    def path_of(self, group):
        return os.path.join(self.folder, f"pools-{group}")

    def subjects(self, group):
        """What the driver of the group was built with."""
        done = subprocess.run([self.path_of(group), "--list"], capture_output=True, text=True, check=True)
        return done.stdout.split()

    def measure(self, group, subject, cell, scale):
        line = [self.path_of(group), subject.command, cell, str(scale), *subject.more]
        if subject.preload:
            line = ["env", f"LD_PRELOAD={subject.preload}", *line]
        figures = self.quietest(line)
        if "mean_ns" not in figures:
            raise Failure("printed no figure")
        return figures


class Group(Work):
    """What one driver measures, as a table: a row for each subject, a column for each cell."""

    title = ""
    note = ""
    header = {}  # the cells and their words
    words = {}  # of the subjects whose names in the driver are not enough
    wanted = ()  # subjects that a driver may have been built without
    mallocs = ()  # which of them to preload; glibc's is there anyway

    def __init__(self, scale):
        super().__init__(scale)
        self.cells = list(self.header)
        self.subjects = []
        self.missing = []  # what is not measured, and why

    def find(self, driver, mallocs, peers):
        """Chooses the subjects: what the driver has, and of the mallocs those that belong here. `peers` are those of
        the command line."""
        had = driver.subjects(self.name)
        self.missing += [f"{self.name}: {self.word(name)} is not installed" for name in self.wanted
                         if name not in had]
        self.subjects = [Subject(name, name, "tarn" if name.startswith("tarn") else "peer")
                         for name in had if name != "malloc"]
        if "malloc" in had:
            self.subjects += [Subject(malloc.name, "malloc", "malloc", malloc.path) for malloc in mallocs
                              if malloc.role == "named" or malloc.name in self.mallocs]
            known = {malloc.name for malloc in mallocs}
            self.missing += [f"{self.name}: {name} is not installed" for name in self.mallocs if name not in known]
        self.subjects += self.peers_of(peers)

    def word(self, name):
        return {"tarn": "Tarn", **self.words}.get(name, name)

    def peers_of(self, _peers):
        return []

    def only(self, names):
        self.subjects = [subject for subject in self.subjects if subject.name in names]

    def run(self, driver, subject, cell, turn):
        return driver.measure(self.name, subject, cell, self.scale)

    def tables(self, subjects):
        header = self.header
        nanoseconds = Table(f"{self.title}: nanoseconds", ["", *header.values()], self.note)
        multiples = Table(f"{self.title}: multiples of Tarn's time", ["", *header.values()],
                          "The median of the ratios within the rounds.")
        for subject in subjects:
            name = subject.name
            nanoseconds.add(self.word(name),
                            *(text_of(self.figure(cell, name, "mean_ns"), "{:.2f}") for cell in header))
            multiples.add(self.word(name),
                          *(text_of(self.ratio(cell, name, "tarn", "mean_ns"), "{:.2f}") for cell in header))
        return [nanoseconds, multiples]


class Fixed(Group):
    name = "fixed"
    purpose = "fixed-size pools, one thread: an object of 64 bytes allocated, its first word written, freed"
    title = "Fixed-size pool, one thread"
    note = ("An alloc and its free of an object of 64 bytes, whose first word is written in between. Batches: so many "
            "are allocated, then freed.")
    words = {"tarn-checks": "Tarn, with checks", "boost": "boost::pool"}
    wanted = ("boost",)
    mallocs = ("glibc", "mimalloc")
    header = {"same": "same object", "lifo-1000": "1,000, newest first", "random-1000": "1,000, random",
              "random-10000": "10,000, random", "random-100000": "100,000, random"}


class Shared(Group):
    name = "shared"
    purpose = "fixed-size pools, two threads at once: objects of their own, and objects that the other one frees"
    title = "Fixed-size pool, two threads"
    note = ("As above, by both threads at once, for each alloc and free of one thread. Relay: one thread allocates and "
            "writes, the other reads and frees; for each object. Objects in turn are the driver's own time.")
    words = {"dpdk": "DPDK mempool", "boost-mutex": "boost::pool and a mutex", "glib-slices": "GLib slices",
             "nothing": "no pool: objects in turn", "tarn-malloc": "Tarn's malloc"}
    wanted = ("dpdk", "boost-mutex", "glib-slices")
    mallocs = ("glibc", "mimalloc", "jemalloc", "tcmalloc", "tarn-malloc")
    header = {"same": "same object", "random-1000": "1,000, random", "relay": "relay"}


class Arena(Group):
    name = "arena"
    purpose = "arenas: blocks of 8 to 256 random bytes, and a reset after each 10,000"
    title = "Arena"
    words = {"bump": "a bare pointer", "pmr": "std::pmr::monotonic_buffer_resource", "apr": "APR",
             "nginx": "nginx's pool"}
    wanted = ("apr",)
    header = {"cycle": "10,000 blocks and a reset"}

    def find(self, driver, mallocs, peers):
        super().find(driver, mallocs, peers)
        self.subjects = [subject for subject in self.subjects if subject.name != "peer"]
        if not any(subject.name == "nginx" for subject in self.subjects):
            self.missing.append("arena: nginx's pool, whose sources were not given by --with nginx=DIR")

    def peers_of(self, peers):
        return [Subject(name, "peer", "peer", more=[text]) for name, text in peers]

    def tables(self, subjects):
        table = Table("Arena: blocks of 8 to 256 random bytes, a reset after each 10,000",
                      ["", "ns for a block", "of a bare pointer", "of Tarn", "page faults for a reset",
                       "resident bytes for a byte asked for"],
                      "A block is allocated and its first word written; the resets are in the time. Resident: at the end "
                      "of the largest cycle, in whole pages; the bare pointer shows what rounding to 8 bytes is.")
        for subject in subjects:
            values = [self.figure("cycle", subject.name, "mean_ns"),
                      self.ratio("cycle", subject.name, "bump", "mean_ns"),
                      self.ratio("cycle", subject.name, "tarn", "mean_ns"),
                      self.figure("cycle", subject.name, "faults"), self.figure("cycle", subject.name, "resident")]
            forms = ("{:.2f}", "{:.2f}", "{:.2f}", "{:.1f}", "{:.3f}")
            table.add(self.word(subject.name), *(text_of(value, form) for value, form in zip(values, forms)))
        return [table]


class Containers(Group):
    name = "containers"
    purpose = "lists and maps of 100,000 elements, one coming and one going, on allocators of their own"
    title = "Containers of 100,000 elements"
    note = ("One element comes and one goes. Tarn: tarn::pool_allocator, for one thread; shared: tarn::allocator, for "
            "any. glibc and mimalloc: std::allocator.")
    wanted = ("boost", "pool_alloc", "mt_alloc")
    mallocs = ("glibc", "mimalloc")
    words = {"tarn-shared": "Tarn, shared", "boost": "boost::fast_pool_allocator, no lock",
             "pool_alloc": "__gnu_cxx::__pool_alloc", "mt_alloc": "__gnu_cxx::__mt_alloc",
             "pmr": "std::pmr::unsynchronized_pool_resource"}
    header = {"fifo": "list, first in first out", "list": "list, a random one goes", "map": "map, random keys"}


ALL = (Fixed, Shared, Arena, Containers)


def find_mallocs(build, named):
    """glibc's, those that are installed, Tarn's own, and those of the command line."""
    found = [allocators.Allocator("glibc", None, "peer")]
    for name in allocators.PEERS:
        try:
            found.append(allocators.find_peer(name))
        except SystemExit:
            pass  # The groups tell that it is missing.
    try:
        ours = allocators.find_tarn(None, build)
        ours.name = "tarn-malloc"
        found.append(ours)
    except SystemExit:
        pass
    return found + named


