#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""terminal.py TARN FIXTURES TEST - tests of the command on a terminal; each function test_* is one."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time

TARN, FIXTURES, TEST = sys.argv[1:4]
VICTIM = os.path.join(FIXTURES, "victim")
OTHER = "--compare=other=" + os.path.join(FIXTURES, "libother.so")
LIMIT = 30  # seconds


class Terminal:
    """A command on a terminal of its own, as the leader of its session."""

    def __init__(self, arguments, columns=80, **variables):
        self.seen = b""
        self.searched = 0  # what was waited for stands before here
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # Who runs tests in the background may have told them to ignore these.
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
                signal.signal(number, signal.SIG_DFL)
            environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LD_PRELOAD", "LC_ALL")}
            environment.update(TARN_MALLOC_SO=os.path.join(FIXTURES, "libstandin.so"), TERM="xterm", LANG="C.UTF-8")
            environment.update(variables)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execve(arguments[0], arguments, environment)

    def read(self, until=None):
        """Reads on until `until` was seen after what was waited for before, or to the end."""
        end = time.monotonic() + LIMIT
        while until is None or until not in self.seen[self.searched :]:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                fail(f"nothing more came, and not {until}: {self.text()}")
            try:
                some = os.read(self.master, 65536)
            except OSError:
                some = b""
            if not some:
                if until is not None:
                    fail(f"ended without {until}: {self.text()}")
                break
            self.seen += some
        if until is not None:
            self.searched = self.seen.index(until, self.searched) + len(until)

    def type(self, text):
        os.write(self.master, text)

    def end(self):
        """Reads to the end and returns the wait status."""
        self.read()
        return os.waitpid(self.pid, 0)[1]

    def text(self):
        return self.seen.decode("utf-8", "replace")


def fail(message):
    print("FAILED:", message)
    sys.exit(1)


def expect(condition, message, terminal):
    if not condition:
        fail(f"{message}; the terminal has: {terminal.text()!r}")


def shown(terminal):
    """What a reader sees: lines as they stand after carriage returns and wiping, without colours."""
    lines = []
    for line in terminal.text().replace("\r\n", "\n").split("\n"):
        line = line.split("\r\x1b[K")[-1]
        lines.append(re.sub(r"\x1b\[[0-9]*m", "", line))
    return lines


def test_a_progress_line_stands_on_a_terminal_and_is_wiped():
    terminal = Terminal([TARN, "run", OTHER, "--runs", "2", "--warmup", "1", "--", VICTIM, "exit", "0"], columns=400)
    expect(terminal.end() == 0, "it failed", terminal)
    for line in ("run 1 of 9: ", "run 9 of 9: ", " on other", "(warm-up)"):
        expect(line in terminal.text(), f"no '{line}'", terminal)
        expect(not any(line in seen for seen in shown(terminal)), f"'{line}' was left standing", terminal)


def test_a_progress_line_never_wraps():
    terminal = Terminal([TARN, "run", OTHER, "--", VICTIM, "arguments"] + ["a" * 50], columns=20)
    expect(terminal.end() == 0, "it failed", terminal)
    for line in re.findall(r"\r\x1b\[K([^\r\n\x1b]*)", terminal.text()):
        if line.startswith("run "):
            expect(len(line) < 20, f"'{line}' is too long", terminal)


def write_buffers(path):
    """Buffers whose bound, which knows nothing of odd alignments, no plan reaches."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("id,lower,upper,size,alignment\n")
        for i in range(300):
            lower = i * 7919 % 1000
            file.write(f"{i},{lower},{lower + 1 + i * 104729 % 300},{1 + i * 1299709 % 5000},{(97, 1024, 1500)[i % 3]}\n")


def test_a_plan_tells_the_best_height_and_bound_on_a_terminal():
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(directory, "in.csv")
        result = os.path.join(directory, "out.csv")
        write_buffers(source)
        terminal = Terminal([TARN, "plan", source, "-o", result, "--deadline", "none"], columns=400)
        terminal.read(b"best ")
        terminal.read(b", bound ")
        terminal.type(b"\x03")
        expect(terminal.end() == 0, "it failed", terminal)
        expect(not any("best " in seen and "bound" in seen for seen in shown(terminal)), "left standing", terminal)
        expect("interrupted: this is the best plan so far" in terminal.text(), "no word of it", terminal)
        with open(result, encoding="utf-8") as file:
            expect(len(file.readlines()) == 301, "no whole plan", terminal)


def test_there_is_no_progress_line_for_a_single_run():
    terminal = Terminal([TARN, "run", "--", VICTIM, "exit", "0"])
    expect(terminal.end() == 0, "it failed", terminal)
    expect("run 1 of" not in terminal.text(), "a progress line", terminal)


def test_a_program_on_a_terminal_keeps_it():
    terminal = Terminal([TARN, "run", "--", VICTIM, "terminals"])
    expect(terminal.end() == 0, "it failed", terminal)
    expect("111" in shown(terminal), "not all three are a terminal", terminal)


def test_colours_are_used_on_a_terminal_only_if_wanted():
    command = [TARN, "run", OTHER, "--", VICTIM, "exit", "0"]
    terminal = Terminal(command)
    terminal.end()
    expect("\x1b[32m" in terminal.text(), "no colours", terminal)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        terminal = Terminal(command, **variables)
        terminal.end()
        expect(not re.search(r"\x1b\[[0-9]*m", terminal.text()), f"colours with {variables}", terminal)
    terminal = Terminal(command, NO_COLOR="")
    terminal.end()
    expect("\x1b[32m" in terminal.text(), "an empty NO_COLOR does not count", terminal)


def test_a_table_is_cut_to_the_terminal():
    long_name = "--compare=an-allocator-of-a-long-name=" + os.path.join(FIXTURES, "libother.so")
    for columns in (80, 200):
        terminal = Terminal([TARN, "run", long_name, "--runs", "2", "--", VICTIM, "touch", "10"], columns=columns)
        terminal.end()
        table = [line for line in shown(terminal) if re.match(r"(allocator|─|tarn |system |an-all)", line)]
        expect(len(table) == 5, "no table", terminal)
        expect(all(len(line) <= columns for line in table), f"wider than {columns}", terminal)
        expect((columns == 200) == ("an-allocator-of-a-long-name " in table[4]), "wrongly cut", terminal)
        expect(columns == 200 or re.match(r"an-all[a-z-]*…", table[4]), "no ellipsis", terminal)
        expect("×" in table[2], "no UTF-8", terminal)


def test_ctrl_c_reaches_a_program_once_and_the_table_still_comes():
    terminal = Terminal([TARN, "run", "--", VICTIM, "trap", "0"])
    terminal.read(b"ready")
    # Two signals at almost the same time can become one; not every time.
    typed = 8
    for _ in range(typed):
        terminal.type(b"\x03")
        time.sleep(0.02)
    expect(terminal.end() == 0, "the exit status is not the program's", terminal)
    counted = re.search(r"signal 2, (\d+) in all", terminal.text())
    expect(counted and 1 <= int(counted[1]) <= typed, f"not one SIGINT for each of {typed}", terminal)
    expect(any(line.startswith("tarn ") and line.endswith(" 0") for line in shown(terminal)), "no table", terminal)


def test_ctrl_c_that_ends_the_program_ends_tarn_alike():
    terminal = Terminal([TARN, "run", "--", "/bin/sh", "-c", "echo ready; exec sleep 20"])
    terminal.read(b"ready\r\n")
    time.sleep(0.3)
    terminal.type(b"\x03")
    status = terminal.end()
    expect(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, f"wait status {status}", terminal)
    expect("was ended by SIGINT (Interrupt)" in terminal.text(), "the signal is not named", terminal)
    expect(any(line.startswith("tarn ") and line.endswith(" INT") for line in shown(terminal)), "no table", terminal)


def test_ctrl_c_gives_the_next_allocator_its_turn_when_a_server_ends_well():
    terminal = Terminal([TARN, "run", OTHER, "--", VICTIM, "trap", "0"])
    # Only the first run's output is shown; the others say in the progress line that they have begun.
    for sign in (b"ready", b" on system", b" on other"):
        terminal.read(sign)
        time.sleep(0.5)
        terminal.type(b"\x03")
    expect(terminal.end() == 0, "it failed", terminal)
    rows = [line.split()[0] for line in shown(terminal) if "×" in line and line.endswith(" 0")]
    expect(rows == ["tarn", "system", "other"], f"rows {rows}", terminal)


def test_ctrl_c_ends_a_comparison_whose_program_dies_of_it():
    terminal = Terminal([TARN, "run", OTHER, "--runs", "9", "--", "/bin/sh", "-c", "echo ready; exec sleep 20"])
    terminal.read(b"ready\r\n")
    time.sleep(0.3)
    terminal.type(b"\x03")
    status = terminal.end()
    expect(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, f"wait status {status}", terminal)
    expect("ended early by SIGINT (Interrupt)" in terminal.text(), "it is not said", terminal)
    expect(not any(line.startswith("system ") for line in shown(terminal)), "it went on", terminal)


def test_ctrl_z_stops_both_and_fg_continues_both():
    # An interactive shell, for its job control.
    terminal = Terminal(["/bin/sh", "-i"], PS1="$ ", ENV="", PS2="> ")
    terminal.read(b"$ ")
    terminal.type(f"{TARN} run -- {VICTIM} idle\n".encode())
    terminal.read(b"ready\r\n")
    terminal.type(b"\x1a")
    terminal.read(b"Stopped")
    terminal.read(b"$ ")
    time.sleep(3)
    expect(b"done" not in terminal.seen, "the program went on", terminal)
    terminal.type(b"fg\n")
    terminal.read(b"done\r\n")
    terminal.read(b" 0\r\n")
    terminal.read(b"$ ")
    terminal.type(b"exit\n")
    terminal.end()
    expect(terminal.text().count("Stopped") == 1, "it stopped again", terminal)


signal.alarm(LIMIT * 3)
globals()["test_" + TEST]()
