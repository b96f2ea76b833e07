"""Medians, ratios, what is promised, and the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.programs import BASELINE, CLIENTS, Client, Run, Took


@dataclass(frozen=True)
class Speed:
    """Medians of all rounds; ratios are of what ran in the same one, as the machine changes."""

    rate: float
    """Events a second."""

    times_baseline: float | None
    """How many times the events a second of 0.1.0."""

    wall_of_best: float | None
    """Its time for an event as a share of that of the fastest other Python client."""

    user_us: float
    """CPU for an event."""

    system_us: float


@dataclass(frozen=True)
class Row:
    """A client's figures for a workload."""

    client: str
    total: Speed
    """From before it connects."""

    running: Speed | None
    """Behind the first event."""

    rate_worst: float
    first_ms: float | None
    """To the first event."""

    first_user_ms: float | None
    peak_rss_mib: float | None


def summed_up(runs: Sequence[Run], clients: Sequence[Client]) -> dict[str, Row]:
    """The rows of one workload."""
    rows = {}
    for client in clients:
        own = [run for run in runs if run.client == client.name]
        if not own:
            continue
        first = [run.first for run in own if run.first]
        whole = {(run.round, run.client): run.total for run in runs}
        behind = {(run.round, run.client): run.running for run in runs if run.running}
        rows[client.name] = Row(
            client=client.name,
            total=speed(client.name, whole),
            running=speed(client.name, behind) if first else None,
            rate_worst=min(run.total.rate for run in own),
            first_ms=middle([took.wall_s * 1000 for took in first]),
            first_user_ms=middle([took.user_s * 1000 for took in first]),
            peak_rss_mib=max((run.peak_rss_mib for run in own if run.peak_rss_mib), default=None),
        )
    return rows


def speed(client: str, took: dict[tuple[int, str], Took]) -> Speed:
    """A client's speed beside the others', by round and client."""
    own = {round_: value for (round_, name), value in took.items() if name == client}
    peers = [other.name for other in CLIENTS if other.peer]
    times = []
    walls = []
    for round_, value in own.items():
        baseline = took.get((round_, BASELINE))
        if baseline:
            times.append(value.rate / baseline.rate)
        beside = [took[round_, peer].rate for peer in peers if (round_, peer) in took]
        # Without one of them, nobody knows which is the fastest.
        if len(beside) == len(peers):
            walls.append(max(beside) / value.rate)
    return Speed(
        rate=median(value.rate for value in own.values()),
        times_baseline=middle(times),
        wall_of_best=middle(walls),
        user_us=median(value.user_us for value in own.values()),
        system_us=median(value.system_us for value in own.values()),
    )


def middle(values: Sequence[float]) -> float | None:
    """The median, if there is one."""
    return median(values) if values else None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * share) - 1]


@dataclass(frozen=True)
class Figure:
    """Something measured, beside what is promised."""

    name: str
    measured: float | None
    """None: it could not be measured."""

    bound: float | None
    """None: nothing is promised."""

    at_least: bool
    unit: str
    running: float | None = None
    """The same behind the first event."""

    @property
    def verdict(self) -> str:
        """Whether it is as promised, the start included."""
        if self.measured is None:
            return "not measured"
        if self.bound is None:
            return ""
        holds = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return "pass" if holds else "MISSED"

    def cells(self) -> list[str]:
        """A row of the table."""
        relation = "≥" if self.at_least else "≤"
        return [
            self.name,
            number(self.measured),
            "" if self.running is None else number(self.running),
            "" if self.bound is None else f"{relation} {number(self.bound)}",
            self.unit,
            self.verdict,
        ]


@dataclass(frozen=True)
class Plot:
    """Lines, or points that belong together, for whoever draws them."""

    name: str
    """Of its file."""

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    text: str
    """Markdown: what was done, and the tables."""

    figures: list[Figure]
    plots: list[Plot]


def figures_table(figures: Sequence[Figure]) -> str:
    """All of them."""
    head = ["figure", "measured", "behind the first event", "promised", "", ""]
    return table(head, [figure.cells() for figure in figures])


def promised(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of reading a workload from the server."""
    least = {"w1": 15.0, "w2": 6.0, "w3": 8.0, "w4": 15.0}[workload]
    figures = []
    for name in ("message.op", "message.json", "message.after"):
        row = rows.get(name)
        title = f"{workload.upper()} {name}"
        times: float | None = least
        if name == "message.after":
            # Of the other two the server gives 0.1.0 no ten times more.
            times = 10.0 if workload in ("w1", "w4") else None
            most = {"w1": 2.7, "w3": 13.0}.get(workload)
            figures.append(of(row, "user_us", f"{title}, user CPU an event", most, False, "µs"))
        what = f"{title}, events/s of 0.1.0"
        figures.append(of(row, "times_baseline", what, times, True, "times"))
        what = f"{title}, time of the fastest peer"
        figures.append(of(row, "wall_of_best", what, 1.2, False, "times"))
    return figures


def promised_ceiling(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of reading a recording."""
    title = f"{workload.upper()} at the ceiling,"
    # 0.1.0's ceiling, of which the promise speaks, is that of small rows.
    least, rows_least = (50.0, 300_000) if workload == "w1" else (None, None)
    figures = []
    for name in ("message.op", "message.json"):
        what = f"{title} {name}, events/s of 0.1.0"
        figures.append(of(rows.get(name), "times_baseline", what, least, True, "times"))
    name = "arrow_batches()"
    figures.append(of(rows.get(name), "rate", f"{title} {name}", rows_least, True, "rows/s"))
    return figures


def of(
    row: Row | None, name: str, what: str, bound: float | None, at_least: bool, unit: str
) -> Figure:
    """A figure of a row, if the row could be had."""
    total: float | None = getattr(row.total, name) if row else None
    running: float | None = getattr(row.running, name) if row and row.running else None
    return Figure(what, total, bound, at_least, unit, running)


def number(value: float | None) -> str:
    """For people: three digits, or all before the point."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown that can be read as it is."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def rows_table(rows: dict[str, Row]) -> str:
    """Of one workload: all of it, then its two parts."""
    head = ["client", "events/s", "worst", "÷ 0.1.0", "time ÷ best peer's", "user µs", "system µs"]
    head += ["RSS MiB", "first event, ms", "user ms"]
    head += ["then events/s", "÷ 0.1.0", "time ÷ best peer's", "user µs", "system µs"]
    cells = []
    for row in rows.values():
        whole, then = row.total, row.running
        values = [whole.rate, row.rate_worst, whole.times_baseline, whole.wall_of_best]
        values += [whole.user_us, whole.system_us]
        values += [row.peak_rss_mib, row.first_ms, row.first_user_ms]
        values += (
            [then.rate, then.times_baseline, then.wall_of_best, then.user_us, then.system_us]
            if then
            else [None] * 5
        )
        cells.append([row.client, *map(number, values)])
    return table(head, cells)
