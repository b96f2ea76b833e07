"""Medians, ratios, what is promised, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.programs import BASELINE, Client, Run


@dataclass(frozen=True)
class Row:
    """A client's figures for a workload: medians of all rounds.

    Ratios are of what ran in the same round, as the machine is not the same in the next.
    """

    client: str
    rate: float
    """Events a second, its start included, as in all that is not called otherwise."""

    rate_worst: float
    times_baseline: float | None
    """How many times the events a second of 0.1.0."""

    wall_of_best: float | None
    """Its time for an event as a share of that of the fastest other Python client."""

    user_us: float
    """CPU for an event."""

    system_us: float
    peak_rss_mib: float | None
    first_ms: float | None
    """From before it connects to the first event."""

    first_user_ms: float | None
    running_rate: float | None
    """Behind the first event."""

    running_times_baseline: float | None
    running_user_us: float | None


def summed_up(runs: Sequence[Run], clients: Sequence[Client]) -> dict[str, Row]:
    """The rows of one workload."""
    peers = [client.name for client in clients if client.peer]
    rounds: dict[int, dict[str, Run]] = {}
    for run in runs:
        rounds.setdefault(run.round, {})[run.client] = run
    rows = {}
    for client in clients:
        own = [beside[client.name] for beside in rounds.values() if client.name in beside]
        if not own:
            continue
        times = []
        running_times = []
        walls = []
        for run in own:
            beside = rounds[run.round]
            baseline = beside.get(BASELINE)
            if baseline is not None:
                times.append(run.total.rate / baseline.total.rate)
                if run.running and baseline.running:
                    running_times.append(run.running.rate / baseline.running.rate)
            # Without one of them, nobody knows which is the fastest.
            if all(peer in beside for peer in peers):
                best = max(beside[peer].total.rate for peer in peers)
                walls.append(best / run.total.rate)
        first = [run.first for run in own if run.first]
        running = [run.running for run in own if run.running]
        rows[client.name] = Row(
            client=client.name,
            rate=median(run.total.rate for run in own),
            rate_worst=min(run.total.rate for run in own),
            times_baseline=middle(times),
            wall_of_best=middle(walls),
            user_us=median(run.total.user_us for run in own),
            system_us=median(run.total.system_us for run in own),
            peak_rss_mib=max((run.peak_rss_mib for run in own if run.peak_rss_mib), default=None),
            first_ms=middle([took.wall_s * 1000 for took in first]),
            first_user_ms=middle([took.user_s * 1000 for took in first]),
            running_rate=middle([took.rate for took in running]),
            running_times_baseline=middle(running_times),
            running_user_us=middle([took.user_us for took in running]),
        )
    return rows


def middle(values: Sequence[float]) -> float | None:
    """The median, if there is one."""
    return median(values) if values else None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


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

    @property
    def verdict(self) -> str:
        """Whether it is as promised."""
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
            number(self.measured) + ("" if self.measured is None else self.unit),
            "" if self.bound is None else f"{relation} {number(self.bound)}{self.unit}",
            self.verdict,
        ]


def of(row: Row | None, name: str) -> float | None:
    """A figure of a row, if the row could be had."""
    value: float | None = getattr(row, name, None)
    return value


def promised(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of reading a workload from the server."""
    least = {"w1": 15.0, "w2": 6.0, "w3": 8.0, "w4": 15.0}[workload]
    figures = []
    for name in ("message.op", "message.json", "message.after"):
        row = rows.get(name)
        title = f"{workload.upper()} {name}"
        times = least
        if name == "message.after":
            # 0.1.0 is not ten times slower than the server on the other two.
            times = 10.0 if workload in ("w1", "w4") else 0.0
            most = {"w1": 2.7, "w3": 13.0}.get(workload)
            user = Figure(f"{title}, user CPU an event", of(row, "user_us"), most, False, " µs")
            figures.append(user)
        figures.append(
            Figure(
                f"{title}, 0.1.0's events/s",
                of(row, "times_baseline"),
                times or None,
                True,
                " times",
            )
        )
        wall = of(row, "wall_of_best")
        figures.append(Figure(f"{title}, the fastest peer's time", wall, 1.2, False, " times"))
    return figures


def promised_ceiling(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of reading a recording."""
    title = f"{workload.upper()} at the ceiling,"
    figures = []
    for name in ("message.op", "message.json"):
        row = rows.get(name)
        least = 50.0 if workload == "w1" else None
        measured = of(row, "times_baseline")
        figures.append(Figure(f"{title} {name}, 0.1.0's events/s", measured, least, True, " times"))
    row = rows.get("arrow_batches()")
    figures.append(Figure(f"{title} arrow_batches()", of(row, "rate"), 300_000, True, " rows/s"))
    return figures


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
    """Of one workload."""
    columns = {
        "events/s": "rate",
        "worst": "rate_worst",
        "÷ 0.1.0": "times_baseline",
        "time ÷ best peer's": "wall_of_best",
        "user µs": "user_us",
        "system µs": "system_us",
        "RSS MiB": "peak_rss_mib",
        "first event, ms": "first_ms",
        "user ms": "first_user_ms",
        "then events/s": "running_rate",
        "then ÷ 0.1.0": "running_times_baseline",
        "then user µs": "running_user_us",
    }
    cells = [
        [row.client, *(number(getattr(row, name)) for name in columns.values())]
        for row in rows.values()
    ]
    return table(["client", *columns], cells)
