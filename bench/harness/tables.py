# SPDX-License-Identifier: MIT
"""Tables, as text for a terminal and as Markdown for docs/performance.md."""


class Table:
    def __init__(self, title, header, note="", words=False):
        self.title = title
        self.words = words  # the cells are words, not numbers
        self.header = header
        self.note = note
        self.rows = []

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def text(self):
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        push = str.ljust if self.words else str.rjust
        drawn = ["  ".join([line[0].ljust(widths[0])] +
                           [push(cell, width) for cell, width in zip(line[1:], widths[1:])]).rstrip()
                 for line in lines]
        drawn.insert(1, "-" * max(len(line) for line in drawn))
        return "\n".join([self.title, *drawn] + ([self.note] if self.note else [])) + "\n"

    def markdown(self):
        lines = [f"### {self.title}", "", "| " + " | ".join(self.header) + " |",
                 "|---" + ("|---" if self.words else "|---:") * (len(self.header) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


BEGIN = "<!-- bench/run writes from here -->"
END = "<!-- bench/run writes to here -->"


def write_markdown(path, parts):
    """Replaces what is between the two marks in the file, or makes a file of nothing else."""
    body = f"{BEGIN}\n\n" + "\n".join(parts) + f"\n{END}"
    try:
        with open(path, encoding="utf-8") as file:
            old = file.read()
    except FileNotFoundError:
        old = f"{BEGIN}\n{END}\n"
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench/run: {path} has no marks {BEGIN!r} and {END!r} to write between")
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + body + tail)
