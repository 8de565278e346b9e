# SPDX-License-Identifier: MIT
"""One run of one program on one allocator."""

import os
import signal
import subprocess
import tempfile


# A run is loud when other programs kept more cores busy than this meanwhile.
LOUD_CORES = 0.15


class Failure(Exception):
    """The program could not be run, died, or took too long; the text says which."""


class Launcher:
    def __init__(self, programs, timeout, attempts):
        self.programs = programs
        self.timeout = timeout
        self.attempts = attempts  # at a quiet run
        self.kept = []  # of each run that counts: the cores that others kept busy meanwhile
        handle, self.result = tempfile.mkstemp(prefix="tarn-bench-")
        os.close(handle)
        self.environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}

    def close(self):
        os.unlink(self.result)

    def run(self, allocator, command):
        """The quietest of some runs of `command`, which stop at the first that is not loud."""
        best = None
        for _ in range(self.attempts):
            before = cpu_seconds()
            figures = self.run_once(allocator, command)
            figures["cores_busy_by_others"] = foreign_load(before, cpu_seconds())
            if best is None or figures["cores_busy_by_others"] < best["cores_busy_by_others"]:
                best = figures
            if best["cores_busy_by_others"] <= LOUD_CORES:
                break
        self.kept.append(best["cores_busy_by_others"])
        return best

    def run_once(self, allocator, command):
        """Runs `command` (its first word a program of bench/) and returns what was measured and what it printed,
        as one dictionary: numbers where they are numbers."""
        line = [os.path.join(self.programs, "launch"), self.result, allocator.preload,
                os.path.join(self.programs, command[0]), *command[1:]]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=self.timeout,
                                  env=self.environment, errors="replace")
        except subprocess.TimeoutExpired:
            raise Failure(f"took more than {self.timeout} s") from None
        complaint = done.stderr.strip().splitlines()[-1:] or [""]
        if done.returncode != 0:
            raise Failure(complaint[0])
        with open(self.result, encoding="ascii") as file:
            figures = fields(file.read())
        if figures["signal"] != 0:
            raise Failure(f"{signal.Signals(figures['signal']).name} {complaint[0]}".strip())
        if figures["exit"] != 0:
            raise Failure(f"exit status {figures['exit']} {complaint[0]}".strip())
        figures.update(fields(done.stdout))
        return figures


def capture(line, environment, timeout):
    """Runs a command outside the launcher, and returns it done, with what it printed."""
    try:
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=timeout,
                              errors="replace")
    except subprocess.TimeoutExpired:
        raise Failure(f"took more than {timeout} s") from None


def fields(text):
    """The lines "name value" of a text; other lines are ignored."""
    result = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2:
            result[words[0]] = words[1] if words[0] == "checksum" else number(words[1])
    return result


def number(word):
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def foreign_load(before, after):
    """The cores that others kept busy between two readings of cpu_seconds()."""
    elapsed = after["wall"] - before["wall"]
    ours = after["ours"] - before["ours"]
    return max(0.0, (after["busy"] - before["busy"] - ours) / elapsed) if elapsed > 0 else 0.0


def cpu_seconds():
    """The machine's busy time, ours (this process and those it waited for), and the clock."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks[:8]
    times = os.times()
    return {
        "busy": (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK"),
        "ours": times.user + times.system + times.children_user + times.children_system,
        "wall": times.elapsed,
    }
