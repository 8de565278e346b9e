# SPDX-License-Identifier: MIT
"""Line charts as SVG: small, readable on a light page and on a dark one."""

import math

WIDTH, PANEL_HEIGHT = 760, 250
LEFT, RIGHT, TOP, GAP, BOTTOM = 64, 128, 56, 56, 44
# Seven that eyes of every kind tell apart, each for a light and for a dark page (after Okabe and Ito).
COLOURS = (("#0072b2", "#56b4e9"), ("#d55e00", "#ff8c42"), ("#009e73", "#2ed3a2"), ("#a3558a", "#e59fc9"),
           ("#111111", "#ffffff"), ("#b2182b", "#ff7b89"), ("#8a6d00", "#f0d54a"))
DASHES = ("", "6 3", "", "2 3", "3 5", "8 3 2 3", "1 4")
STYLE = """text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-size:14px;font-weight:600}
.g{stroke:#d0d7de;stroke-width:1}
.l{fill:none;stroke-width:1.8;stroke-linejoin:round}.n{font-weight:600}rect{fill:#fff}"""
DARK = "text{fill:#e6edf3}.g{stroke:#3d444d}rect{fill:#0d1117}"


class Panel:
    """One chart: `lines` are (name, [(x, y)]); `marks` are the values with a grid line, and their words."""

    def __init__(self, title, lines, low, high, marks, logarithmic=False):
        self.title = title
        self.lines = lines
        self.low = low
        self.high = high
        self.marks = marks
        self.logarithmic = logarithmic

    def height(self, value):
        """Where `value` lies, from 0 at the bottom to 1."""
        if self.logarithmic:
            value, low, high = (math.log(max(v, self.low)) for v in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return min(1, max(0, (value - low) / (high - low)))


def chart(title, panels, x_title, x_low, x_high, x_marks):
    """The SVG text of panels one below the other, which share the axis of x."""
    height = TOP + len(panels) * (PANEL_HEIGHT + GAP) - GAP + BOTTOM
    styles = [STYLE]
    dark = [DARK]
    for number, (light, pale) in enumerate(COLOURS):
        styles.append(f".c{number}{{stroke:{light}}}.f{number}{{fill:{light}}}")
        dark.append(f".c{number}{{stroke:{pale}}}.f{number}{{fill:{pale}}}")
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
             f"<title>{title}</title>", f"<style>{''.join(styles)}",
             f"@media(prefers-color-scheme:dark){{{''.join(dark)}}}</style>",
             f'<rect width="{WIDTH}" height="{height}"/>', f'<text class="t" x="{LEFT}" y="22">{title}</text>']
    inner = WIDTH - LEFT - RIGHT

    def across(x):
        return LEFT + inner * (x - x_low) / (x_high - x_low)

    for number, panel in enumerate(panels):
        top = TOP + number * (PANEL_HEIGHT + GAP)
        drawn += draw_panel(panel, top, across, x_low, x_high)
        for value, word in x_marks:
            x = f"{across(value):.0f}"
            drawn.append(f'<path class="g" d="M{x} {top}v{PANEL_HEIGHT}"/>')
            drawn.append(f'<text x="{x}" y="{top + PANEL_HEIGHT + 16}" text-anchor="middle">{word}</text>')
    drawn.append(f'<text x="{LEFT + inner / 2:.0f}" y="{height - 8}" text-anchor="middle">{x_title}</text>')
    return "\n".join(drawn) + "\n</svg>\n"


def draw_panel(panel, top, across, x_low, x_high):
    drawn = [f'<text x="{LEFT}" y="{top - 10}">{panel.title}</text>']

    def down(value):
        return top + PANEL_HEIGHT * (1 - panel.height(value))

    for value, word in panel.marks:
        drawn.append(f'<path class="g" d="M{across(x_low):.0f} {down(value):.1f}H{across(x_high):.0f}"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{word}</text>')
    for number, (name, line) in enumerate(panel.lines):
        if not line:
            continue
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line)
        dash = f' stroke-dasharray="{DASHES[number]}"' if DASHES[number] else ""
        drawn.append(f'<polyline class="l c{number}"{dash} points="{path}"/>')
        drawn.append(f'<circle class="f{number}" cx="{across(line[-1][0]):.1f}" cy="{down(line[-1][1]):.1f}" r="3.5"/>')
    return drawn + draw_names(panel, top)


def draw_names(panel, top):
    """A key beside the panel."""
    drawn = []
    for number, (name, line) in enumerate(panel.lines):
        y = top + 14 + 19 * number
        x = WIDTH - RIGHT + 14
        dash = f' stroke-dasharray="{DASHES[number]}"' if DASHES[number] else ""
        drawn.append(f'<path class="l c{number}"{dash} d="M{x} {y - 4}h22"/>')
        drawn.append(f'<text x="{x + 28}" y="{y}">{name}</text>')
    return drawn


def bytes_word(value):
    for unit, size in (("MiB", 2**20), ("KiB", 2**10)):
        if value >= size:
            return f"{value / size:.0f} {unit}"
    return f"{value:.0f} B"


def fragmentation(curves, sizes_word, size, operations):
    """`curves` are (name, points of the driver's work `curve`): operations, load, largest free, all free. The load
    rises evenly from one half to the whole over `operations`, so its axis is one of operations, too."""
    scattered = [(name, [(100 * load, 100 * (1 - largest / spare)) for _, load, largest, spare in points if spare > 0])
                 for name, points in curves]
    largest_of = [(name, [(100 * load, largest * size) for _, load, largest, _ in points if largest > 0])
                  for name, points in curves]
    low = min((y for _, line in largest_of for _, y in line), default=1)
    marks = [4**k for k in range(2, 20) if low <= 4**k <= size]
    panels = [Panel("External fragmentation: free bytes outside the largest free partition, %", scattered, 0, 100,
                    [(value, str(value)) for value in range(0, 101, 20)]),
              Panel("Largest free partition", largest_of, low / 1.5, size,
                    [(value, bytes_word(value)) for value in marks], logarithmic=True)]
    return chart(f"A range of {bytes_word(size)} that ages: {sizes_word}", panels,
                 f"live bytes, % of the range: one more for each {operations / 50:,.0f} operations, "
                 "until the first request fails (dot)", 50, 100, [(value, f"{value}") for value in range(50, 101, 10)])
