"""Pictures of what was measured, as SVG that can be read on a light page and on a dark one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from bench.figures import Bars, Plot, number

WIDTH = 860
LABELS = 210
RIGHT = 90
BAR = 18
TOP = 74
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.faint { fill: #59636e }
.grid { stroke: #d1d9e0 }
.host { fill: #1f6feb }
.python { fill: #1a7f37 }
.peer { fill: #9198a1 }
.s0 { stroke: #1f6feb; fill: #1f6feb } .s1 { stroke: #bc4c00; fill: #bc4c00 }
.s2 { stroke: #1a7f37; fill: #1a7f37 } .s3 { stroke: #8250df; fill: #8250df }
.s4 { stroke: #bf3989; fill: #bf3989 } .s5 { stroke: #59636e; fill: #59636e }
polyline { fill: none !important; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d }
.host { fill: #4493f8 } .python { fill: #3fb950 } .peer { fill: #656c76 }
.s0 { stroke: #4493f8; fill: #4493f8 } .s1 { stroke: #f0883e; fill: #f0883e }
.s2 { stroke: #3fb950; fill: #3fb950 } .s3 { stroke: #ab7df8; fill: #ab7df8 }
.s4 { stroke: #db61a2; fill: #db61a2 } .s5 { stroke: #9198a1; fill: #9198a1 } }
"""
SERIES = 6
DASHES = ("none", "9 4", "4 4", "1 4")
WHOSE = {"host": "this project, Rust", "python": "this project, Python", "peer": "peers"}


def draw(plot: Plot | Bars) -> str:
    """A whole file."""
    return bars(plot) if isinstance(plot, Bars) else lines(plot)


def bars(plot: Bars) -> str:
    """Horizontal ones, the best on top, ours in a colour."""
    ordered = sorted(plot.bars, key=lambda bar: bar.value, reverse=not plot.less_is_better)
    height = TOP + BAR * len(ordered) + 12
    axis = Axis([bar.value for bar in ordered], plot.log, LABELS, WIDTH - RIGHT, from_zero=True)
    title = plot.title + (" (less is better)" if plot.less_is_better else "")
    parts = [text(12, 22, title, "title")]
    for index, (of, says) in enumerate(WHOSE.items()):
        parts.append(f'<rect class="{of}" x="12" y="{30 + 13 * index}" width="12" height="9"/>')
        parts.append(text(28, 39 + 13 * index, says))
    for tick in axis.ticks:
        x = axis.at(tick)
        parts.append(line(x, TOP - 4, x, height - 10))
        parts.append(text(x, TOP - 8, short(tick), "faint", "middle"))
    for index, bar in enumerate(ordered):
        y = TOP + index * BAR
        width = max(axis.at(bar.value) - LABELS, 1)
        parts.append(text(LABELS - 8, y + 13, bar.label, "", "end"))
        parts.append(
            f'<rect class="{bar.of}" x="{LABELS}" y="{y + 2}" width="{width:.1f}"'
            f' height="{BAR - 4}"/>'
        )
        parts.append(text(LABELS + width + 5, y + 13, number(bar.value), "faint"))
    return document(height, plot.title, parts)


def lines(plot: Plot) -> str:
    """Lines over a common axis, with their points."""
    points = [point for line_ in plot.lines.values() for point in line_]
    # As many to a row of the legend as their names leave room for.
    step = 34 + 7 * max(map(len, plot.lines))
    per_row = max((WIDTH - 24) // step, 1)
    top = 62 + 18 * ((len(plot.lines) - 1) // per_row)
    left, right, bottom = 70, WIDTH - 30, top + 290
    across = Axis([x for x, _ in points], plot.log_x, left, right)
    up = Axis([y for _, y in points], plot.log_y, bottom, top + 14, from_zero=not plot.log_y)
    parts = [text(12, 22, plot.title, "title")]
    for tick in across.ticks:
        parts.append(line(across.at(tick), top + 14, across.at(tick), bottom))
        parts.append(text(across.at(tick), bottom + 16, short(tick), "faint", "middle"))
    for tick in up.ticks:
        parts.append(line(left, up.at(tick), right, up.at(tick)))
        parts.append(text(left - 6, up.at(tick) + 4, short(tick), "faint", "end"))
    parts.append(text((left + right) / 2, bottom + 36, plot.x, "", "middle"))
    parts.append(text(12, top + 2, plot.y))
    # What is of one thing, by what is before the comma, has its colour, and dashes of its own.
    things: dict[str, int] = {}
    for index, (name, points) in enumerate(plot.lines.items()):
        thing = name.partition(", ")[0]
        of_it = things[thing] = things.get(thing, -1) + 1
        series = f"s{list(things).index(thing) % SERIES}"
        dashes = f' stroke-dasharray="{DASHES[of_it % len(DASHES)]}"'
        placed = [(across.at(px), up.at(py)) for px, py in points]
        joined = " ".join(f"{px:.1f},{py:.1f}" for px, py in placed)
        parts.append(f'<polyline class="{series}" points="{joined}"{dashes}/>')
        parts += [dot(series, px, py, 3) for px, py in placed]
        x, y = 12 + step * (index % per_row), 36 + 18 * (index // per_row)
        parts.append(f'<polyline class="{series}" points="{x},{y} {x + 18},{y}"{dashes}/>')
        parts.append(text(x + 23, y + 4, name))
    return document(bottom + 46, plot.title, parts)


def dot(series: str, x: float, y: float, radius: float) -> str:
    """A point."""
    return f'<circle class="{series}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


class Axis:
    """Where values are between two ends, and which of them are shown."""

    def __init__(
        self, values: Sequence[float], log: bool, begin: float, end: float, from_zero: bool = False
    ) -> None:
        least, most = min(values), max(values)
        if log:
            # A little below, so that the least value is seen, too.
            low = 10.0 ** math.floor(math.log10(least * 0.9)) if from_zero else least
            decades = range(math.floor(math.log10(low)), math.ceil(math.log10(most)) + 1)
            ticks = [10.0**decade for decade in decades]
            if len(ticks) < 4:
                ticks = [tick * step for tick in ticks for step in (1, 2, 5)]
        else:
            low = 0.0 if from_zero else least
            step = nice((most - low) / 5)
            ticks = [step * i for i in range(math.floor(low / step), math.ceil(most / step) + 1)]
        self._scale: Callable[[float], float] = math.log10 if log else float
        self._low = self._scale(low)
        self._span = self._scale(most) - self._low or 1.0
        self._begin, self._length = begin, end - begin
        self.ticks = [tick for tick in ticks if low <= tick <= most * 1.0001]

    def at(self, value: float) -> float:
        """A value's place."""
        return self._begin + (self._scale(value) - self._low) / self._span * self._length


def nice(step: float) -> float:
    """The next larger one of 1, 2, 5, 10, …"""
    if step <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(step))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= step * 0.9999)


def short(value: float) -> str:
    """A tick's name."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def text(x: float, y: float, says: str, kind: str = "", anchor: str = "start") -> str:
    """A line of it."""
    named = f' class="{kind}"' if kind else ""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named}{at}>{escape(says)}</text>'


def line(x: float, y: float, to_x: float, to_y: float) -> str:
    """Of the grid."""
    return f'<line class="grid" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'


def document(height: float, title: str, parts: Sequence[str]) -> str:
    """A file of these."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        f' role="img" aria-label="{escape(title)}">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )
