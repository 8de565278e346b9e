# SPDX-License-Identifier: MIT
"""What stays resident of a fragmented heap: a program of one thread, and Redis as a cache.

Each run is a process of its own on one allocator. Rounds are interleaved, and two allocators are compared within the
rounds, as everywhere here."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import allocators
from harness.measure import LOUD_CORES, Failure, capture, cpu_seconds, foreign_load
from harness.regions import Work, text_of
from harness.resident import resident
from harness.tables import Table

OURS = "tarn-compact"
PLAIN = "tarn"
SYSTEM = "glibc"
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class Subject:
    """An allocator, and what its environment says of it."""

    def __init__(self, name, path, environment=None):
        self.name = name
        self.path = path and os.path.realpath(path)
        self.settings = environment or {}

    def environment(self, preload=None):
        kept = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "TARN_CONF")}
        kept.update(self.settings)
        path = self.path or preload
        if path:
            kept["LD_PRELOAD"] = path
        return kept

    @property
    def described(self):
        settings = "".join(f", {key}={value}" for key, value in self.settings.items())
        return allocators.Allocator(self.name, self.path, "peer").version() + settings


def named(text):
    """The allocator of an option NAME=PATH.so[,VARIABLE=VALUE...]."""
    name, _, rest = text.partition("=")
    path, *settings = rest.split(",")
    if not name or not os.path.isfile(path) or not all("=" in setting for setting in settings):
        raise SystemExit(f"bench/run-compact: {text!r} is not NAME=PATH.so[,VARIABLE=VALUE...], or there is no such "
                         f"file")
    return Subject(name, path, dict(setting.split("=", 1) for setting in settings))


def knows(tarn, conf, programs):
    """Whether the library takes the options `conf`: it warns of those that it ignores."""
    done = subprocess.run([os.path.join(programs, "whose")], env=Subject("", tarn, {"TARN_CONF": conf}).environment(),
                          capture_output=True, text=True)
    return "is ignored" not in done.stderr


def find(choice, programs):
    """The allocators to measure, and what is not measured and why."""
    found, missing = [Subject(SYSTEM, None)], []
    for name in allocators.PEERS:
        try:
            found.append(Subject(name, allocators.find_peer(name).path))
        except SystemExit:
            missing.append(f"{name}, which is not installed")
    tarn = allocators.find_tarn(choice.tarn, choice.build).path
    found.append(Subject(PLAIN, tarn))
    if knows(tarn, choice.conf, programs):
        found.append(Subject(OURS, tarn, {"TARN_CONF": choice.conf}))
    else:
        missing.append(f"{OURS}: this build ignores TARN_CONF={choice.conf}")
    found += [named(text) for text in choice.peers]
    if len({subject.name for subject in found}) != len(found):
        raise SystemExit("bench/run-compact: two allocators of the same name")
    allocators.verify(found, programs)
    if choice.allocators is not None:
        wanted = choice.allocators.split(",")
        unknown = set(wanted) - {subject.name for subject in found}
        if unknown:
            raise SystemExit(f"bench/run-compact: no allocator {', '.join(sorted(unknown))}")
        found = [subject for subject in found if subject.name in wanted]
    return found, missing


def flat(value, prefix=""):
    """{"a": {"b": 1}} as {"a.b": 1}; what is not known is left out."""
    result = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            result.update(flat(inner, f"{prefix}{key}."))
        elif inner is not None:
            result[prefix + key] = inner
    return result


def said(done, what):
    """The line of JSON that a program has printed."""
    if done.returncode < 0:
        raise Failure(f"{what}: {signal.Signals(-done.returncode).name}")
    if done.returncode != 0:
        raise Failure((done.stderr.strip().splitlines() or [f"{what}: exit status {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


class Group(Work):
    """A work with one cell, named as itself."""

    command = "bench/run-compact"

    def __init__(self, choice, programs):
        super().__init__(1)
        self.choice = choice
        self.programs = programs
        self.cells = [self.name]
        self.kept = []  # of each run that counts: the cores that others kept busy meanwhile

    def run(self, driver, subject, cell, turn):
        best = None
        for _ in range(self.choice.attempts):
            before = cpu_seconds()
            figures = flat(self.once(subject, turn))
            load = foreign_load(before, cpu_seconds())
            if best is None or load < best[0]:
                best = (load, figures)
            if load <= LOUD_CORES:
                break
        self.kept.append(best[0])
        return best[1]

    def once(self, subject, turn):
        raise NotImplementedError

    def of(self, name, key):
        return self.figure(self.name, name, key)

    def text(self, name, key, form="{:.1f}", unit=1):
        value = self.of(name, key)
        return text_of(None if value is None else value / unit, form)

    def fill(self, title, columns, subjects, note=""):
        """A row for each allocator: `columns` are headings and what makes a cell of a name."""
        table = Table(title, ["allocator", *columns], note)
        for subject in subjects:
            fault = self.faults.get((self.name, subject.name))
            if fault is None:
                table.add(subject.name, *(cell(subject.name) for cell in columns.values()))
            else:
                table.add(subject.name, fault, *("" for _ in list(columns)[1:]))
        return table

    def memory(self, name, key):
        return self.text(name, key, unit=1024)


class Fragment(Group):
    name = "fragment"
    purpose = "a million objects of 16 to 512 bytes, nine of ten freed at random, then idle: what each live byte costs"

    def once(self, subject, turn):
        done = capture([os.path.join(self.programs, "fragment"), "--idle", str(self.choice.idle), "--seed",
                        str(turn + 1), "--objects", str(self.choice.objects)],
                       subject.environment(), self.choice.timeout)
        return said(done, "fragment")

    def tables(self, subjects):
        def mib(key):
            return lambda name: self.memory(name, key)

        def ms(key):
            return lambda name: self.text(name, key, "{:.0f}", 1e6)

        def plain(key, form):
            return lambda name: self.text(name, key, form)

        memory = self.fill(
            f"{self.choice.objects:,} objects of 16 to 512 bytes, nine of ten freed at random, {self.choice.idle:g} s "
            f"without a call: resident MiB",
            {"all live": mib("peak.resident_kib"), "for each byte asked": plain("peak_ratio", "{:.3f}"),
             "just freed": mib("freed.resident_kib"), "idle": mib("end.resident_kib"),
             "for each live byte": plain("end_ratio", "{:.2f}"), "idle, Rss": mib("end.rss_kib"),
             "mappings": plain("end.maps", "{:.0f}"), "all touched": mib("touched.resident_kib"),
             "all freed": mib("empty.resident_kib")}, subjects,
            "Frames that are mapped twice count once, but in Rss.")
        times = self.fill(
            "The same: milliseconds",
            {"allocate and write": ms("allocate_ns"), "free": ms("free_ns"), "read, write, read": ms("touch_ns"),
             "free the rest": ms("drop_ns"), "all of it": ms("total_ns"), "CPU while idle": ms("idle_cpu_ns")},
            subjects)
        return [memory, times]


class Redis(Group):
    name = "redis"
    purpose = "Redis as a cache of 100 MB: 700,000 keys of 240 bytes, then 170,000 of 492: memory and latency"
    FIRST = (0, 700000, 240)  # the first key, how many, bytes of a value
    SECOND = (700000, 170000, 492)
    LIMIT = "100mb"
    ASKED = 20000  # single requests of each kind

    def once(self, subject, turn):
        # Debian's server is linked with jemalloc; whatever is preloaded answers before it, and so does libc.
        environment = subject.environment(system_libc())
        with tempfile.TemporaryDirectory(prefix="tarn-bench-") as folder:
            # The name of a socket has to be short.
            path = os.path.join(folder, "socket")
            with open(os.path.join(folder, "log"), "wb") as log:
                server = subprocess.Popen(
                    [redis_server(), "--port", "0", "--unixsocket", path, "--dir", folder, "--save", "",
                     "--appendonly", "no", "--maxmemory", self.LIMIT, "--maxmemory-policy", "allkeys-lru",
                     "--activedefrag", "no", "--daemonize", "no"],
                    env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                wait_for(server, path)
                return self.measure_server(server.pid, path, environment["LD_PRELOAD"], subject)
            finally:
                server.terminate()
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()

    def requests(self, what, path, keys, *more):
        line = [os.path.join(self.programs, "requests"), what, path, *map(str, keys), *map(str, more)]
        return said(capture(line, None, self.choice.timeout), f"requests {what}")

    def timed(self, pid, *request):
        """A request on the processor that the server's own thread is kept on, too: where the two are apart, a single
        request takes twice the time or not, as it wakes a processor that sleeps. Other threads of the server run where
        they like."""
        processors = os.sched_getaffinity(0)
        one = {max(processors)}
        os.sched_setaffinity(pid, one)
        os.sched_setaffinity(0, one)
        try:
            return self.requests(*request)
        finally:
            os.sched_setaffinity(0, processors)
            os.sched_setaffinity(pid, processors)

    def measure_server(self, pid, path, library, subject):
        figures = {"start": resident(pid)}
        figures["load"] = self.requests("load", path, self.FIRST)
        expect_allocator(pid, path, library, subject)
        figures["before"] = self.timed(pid, "ask", path, self.FIRST, self.ASKED)
        figures["second"] = self.timed(pid, "load", path, self.SECOND)
        figures["loaded"] = resident(pid)
        time.sleep(self.choice.idle)
        figures["end"] = resident(pid)
        info = told(path, "INFO", "memory")
        figures["used_kib"] = int(info["used_memory"]) / 1024
        figures["after"] = self.timed(pid, "ask", path, self.SECOND, self.ASKED)
        figures["first_check"] = self.requests("check", path, self.FIRST)
        figures["second_check"] = self.requests("check", path, self.SECOND)
        figures["checked"] = resident(pid)
        parts = [part for part in figures.values() if isinstance(part, dict) and "failed" in part]
        figures["failed"] = sum(part["failed"] for part in parts)
        figures["requests"] = sum(part["requests"] for part in parts)
        kept = [figures[key]["kept"] for key in ("first_check", "second_check")]
        figures["keys"] = sum(kept)
        figures["live_kib"] = sum(count * keys[2] for count, keys in zip(kept, (self.FIRST, self.SECOND))) / 1024
        figures["end_ratio"] = figures["end"]["resident_kib"] / figures["live_kib"]
        return figures

    def tables(self, subjects):
        def mib(key):
            return lambda name: self.memory(name, key)

        def us(key):
            return lambda name: self.text(name, key, "{:.1f}", 1e3)

        def share(name):
            ratio = self.ratio(self.name, name, SYSTEM, "end.resident_kib")
            return text_of(ratio, "{:.2f}")

        memory = self.fill(
            f"Redis with a limit of {self.LIMIT}, all keys by LRU: {self.FIRST[1]:,} values of {self.FIRST[2]} bytes, "
            f"then {self.SECOND[1]:,} of {self.SECOND[2]}, then {self.choice.idle:g} s without a request: resident MiB",
            {"loaded": mib("loaded.resident_kib"), "idle": mib("end.resident_kib"), f"of {SYSTEM}'s": share,
             "idle, Rss": mib("end.rss_kib"), "used, says Redis": mib("used_kib"),
             "keys": lambda name: self.text(name, "keys", "{:.0f}"),
             "for each byte of a value": lambda name: self.text(name, "end_ratio", "{:.2f}"),
             "mappings": lambda name: self.text(name, "end.maps", "{:.0f}"),
             "requests failed": lambda name: self.text(name, "failed", "{:.0f}")}, subjects,
            "Frames that are mapped twice count once, but in Rss.")
        times = self.fill(
            "The same: single requests, microseconds",
            {**{f"{kind.upper()} {words}": us(f"{when}.{kind}.median_ns")
                for when, words in (("before", "before"), ("second", "while loading"), ("after", "after"))
                for kind in ("get", "set")},
             "SET after, p99": us("after.set.p99_ns"), "SET while loading, p99": us("second.set.p99_ns"),
             "loading, s": lambda name: self.text(name, "load.ns", "{:.2f}", 1e9),
             "again, s": lambda name: self.text(name, "second.ns", "{:.2f}", 1e9)}, subjects,
            "Medians, but where it says otherwise. While loading: one of each after every 64 that are sent together.")
        return [memory, times]


def redis_server():
    return shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:{SBIN}")


def system_libc():
    for folder in ("/lib/*-linux-gnu", "/usr/lib/*-linux-gnu", "/lib64", "/lib"):
        found = sorted(glob.glob(os.path.join(folder, "libc.so.6")))
        if found:
            return found[0]
    raise Failure("there is no libc.so.6")


def wait_for(server, path):
    for _ in range(200):
        if server.poll() is not None:
            raise Failure(f"redis-server ended with {server.returncode}")
        try:
            told(path, "PING")
            return
        except OSError:
            time.sleep(0.05)
    raise Failure("redis-server does not answer")


def told(path, *words):
    """What the server answers to one request; INFO's lines as a dictionary."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(path)
        peer.sendall(f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words))
        with peer.makefile("rb") as answer:
            line = answer.readline().decode()
            if not line.startswith("$"):
                return {}
            text = answer.read(int(line[1:])).decode()
    return dict(pair.split(":", 1) for pair in text.splitlines() if ":" in pair)


def expect_allocator(pid, path, library, subject):
    """jemalloc is loaded in any case, and counts what it is asked for: next to nothing when another one answers."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        if os.path.realpath(library) not in file.read():
            raise Failure(f"redis-server runs without {library}")
    info = told(path, "INFO", "memory")
    by_jemalloc = info.get("mem_allocator", "").startswith("jemalloc")
    if by_jemalloc and "jemalloc" not in subject.name and int(info["allocator_allocated"]) > 1 << 20:
        raise Failure("redis-server has its own jemalloc inside; it has to be the shared one")


ALL = (Fragment, Redis)
