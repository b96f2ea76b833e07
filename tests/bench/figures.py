"""Medians, ratios, what is promised, and the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.programs import Run, Took
from bench.roster import BASELINE, JSON, NATIVE, RECVLOGICAL, Client


@dataclass(frozen=True)
class Speed:
    """Medians of all rounds; ratios are of what ran in the same one, as the machine changes."""

    rate: float
    """Events a second."""

    times_baseline: float | None
    """How many times the events a second of 0.1.0."""

    of_recvlogical: float | None
    """Its time for an event as a share of pg_recvlogical's."""

    of_alike: float | None
    """Likewise, of the fastest peer that makes the same of a change."""

    of_python: float | None
    """Likewise, of the fastest peer in Python."""

    of_peers: float | None
    """Likewise, of the fastest of all peers."""

    of_native: float | None
    """Likewise, of the library's without a sandbox."""

    user_us: float
    """CPU for an event."""

    system_us: float


@dataclass(frozen=True)
class Row:
    """A client's figures for a workload."""

    client: Client
    rounds: int
    total: Speed
    """From before it connects."""

    running: Speed | None
    """Behind the first event."""

    rate_worst: float
    walsender_us: float | None
    """The server's CPU for an event."""

    first_ms: float | None
    """To the first event."""

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
            client=client,
            rounds=len(own),
            total=speed(client, whole, clients),
            running=speed(client, behind, clients) if first else None,
            rate_worst=min(run.total.rate for run in own),
            walsender_us=middle([us for run in own if (us := run.walsender_us) is not None]),
            first_ms=middle([took.wall_s * 1000 for took in first]),
            peak_rss_mib=max((run.peak_rss_mib for run in own if run.peak_rss_mib), default=None),
        )
    return rows


def speed(client: Client, took: dict[tuple[int, str], Took], clients: Sequence[Client]) -> Speed:
    """A client's speed beside the others', by round and client."""
    own = [value for (_, name), value in took.items() if name == client.name]
    # The slow ones run once, and would not be the fastest.
    peers = [other for other in clients if not other.ours and not other.once]
    of_baseline = beside(client, took, [BASELINE])
    return Speed(
        rate=median(value.rate for value in own),
        times_baseline=1 / of_baseline if of_baseline else None,
        of_recvlogical=beside(client, took, [RECVLOGICAL]),
        of_alike=beside(
            client,
            took,
            [
                peer.name
                for peer in peers
                if peer.makes == client.makes and peer.name != client.name
            ],
        ),
        of_python=beside(client, took, [peer.name for peer in peers if peer.python]),
        of_peers=beside(client, took, [peer.name for peer in peers]),
        of_native=beside(client, took, [NATIVE]),
        user_us=median(value.user_us for value in own),
        system_us=median(value.system_us for value in own),
    )


def beside(
    client: Client, took: dict[tuple[int, str], Took], others: Sequence[str]
) -> float | None:
    """A client's time for an event as a share of that of the fastest of others, round by round."""
    walls = []
    for (round_, name), value in took.items():
        rates = [took[round_, other].rate for other in others if (round_, other) in took]
        # Without one of them, nobody knows which is the fastest.
        if name == client.name and rates and len(rates) == len(others):
            walls.append(max(rates) / value.rate)
    return middle(walls)


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
class Bar:
    """One of a picture's."""

    label: str
    value: float
    of: str
    """Whose, as `Client.of` has it."""


@dataclass(frozen=True)
class Bars:
    """Values side by side, for whoever draws them."""

    name: str
    """Of its file."""

    title: str
    unit: str
    bars: list[Bar]
    log: bool = False
    less_is_better: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    text: str
    """Markdown: what was done, and the tables."""

    figures: list[Figure]
    plots: list[Plot | Bars]


def figures_table(figures: Sequence[Figure]) -> str:
    """All of them."""
    head = ["figure", "measured", "behind the first event", "promised", "", ""]
    return table(head, [figure.cells() for figure in figures])


def promised(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of reading a workload from the server, by those of ours who did."""
    read = {row.client.of for row in rows.values()}
    return [
        *(promised_library(workload, rows) if "host" in read else []),
        *(promised_package(workload, rows) if "python" in read else []),
    ]


def promised_library(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of the library in Rust."""
    row = rows.get(JSON)
    title = f"{workload.upper()} {JSON}"
    most = {"w1": 1.0, "w2": 3.5, "w3": 2.7}.get(workload)
    rss_mib = row.peak_rss_mib if row else None
    native = 1 / row.total.of_native if row and row.total.of_native else None
    return [
        of(row, "of_peers", f"{title}, time of the fastest of all peers", 1.05, False, "times"),
        of(row, "user_us", f"{title}, user CPU an event", most, False, "µs"),
        Figure(f"{title}, peak RSS", rss_mib, 40.0, False, "MiB"),
        Figure(f"{title}, events/s of that without a sandbox", native, 0.96, True, "times"),
    ]


def promised_package(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of the Python package."""
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
        what = f"{title}, time of the fastest Python peer"
        figures.append(of(row, "of_python", what, 1.2, False, "times"))
    return figures


def promised_ceiling(workload: str, rows: dict[str, Row]) -> list[Figure]:
    """Of reading a recording, likewise."""
    title = f"{workload.upper()} at the ceiling,"
    read = {row.client.of for row in rows.values()}
    figures = []
    if "host" in read:
        what = f"{title} {JSON}"
        json_least = {"w1": 1.5e6, "w3": 0.4e6}[workload]
        figures.append(of(rows.get(JSON), "rate", what, json_least, True, "events/s"))
    if "python" not in read:
        return figures
    # 0.1.0's ceiling, of which the promise speaks, is that of small rows.
    least, rows_least = (50.0, 300_000) if workload == "w1" else (None, None)
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
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [i > 0 and not any(map(is_text, column[1:])) for i, column in enumerate(columns)]
    rule = [
        "-" * (width - 1) + (":" if to else "-") for width, to in zip(widths, right, strict=True)
    ]
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if to else cell.ljust(width)
            for cell, width, to in zip(line, widths, right, strict=True)
        )
        + " |"
        for line in (head, rule, *rows)
    )


def is_text(cell: str) -> bool:
    """Whether it is words, and no number with a unit at most."""
    return len(cell) > 1 and not any(letter.isdigit() for letter in cell[:3])


def rows_table(rows: dict[str, Row]) -> str:
    """Of one workload."""
    head = ["client", "makes", "rounds", "events/s", "worst", "÷ recvlogical", "÷ best alike"]
    head += ["user µs", "system µs", "walsender µs", "RSS MiB", "first event, ms"]
    head += ["then events/s", "user µs"]
    cells = []
    for row in rows.values():
        whole, then = row.total, row.running
        values = [whole.rate, row.rate_worst, whole.of_recvlogical, whole.of_alike]
        values += [whole.user_us, whole.system_us, row.walsender_us, row.peak_rss_mib]
        values += [row.first_ms, *((then.rate, then.user_us) if then else (None, None))]
        cells.append([row.client.name, row.client.makes, str(row.rounds), *map(number, values)])
    return table(head, cells)
