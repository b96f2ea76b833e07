"""How the reader gets on with its process: event loop, threads, latency, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.effort import Effort
from bench.figures import Figure, Section, number, percentile, table
from bench.programs import Programs, relayed
from bench.workload import Workload

CONDUCT = "bench.clients.conduct"
SHARES = (0.5, 0.99, 0.999)


class Conduct:
    """The measurements."""

    def __init__(self, programs: Programs, effort: Effort, small: Workload, tape: Path) -> None:
        self.programs = programs
        self.place = programs.place
        self.effort = effort
        self.small = small
        self.tape = tape
        self.raw: dict[str, Any] = {}

    def parts(self) -> list[Callable[[], Section]]:
        """All of them."""
        return [self.lateness, self.threads, self.memory]

    def _asked(self, what: str, port: int | None = None) -> dict[str, Any]:
        """One answer of the client, about the workload of small rows."""
        name = self.small.name
        arguments = (CONDUCT, what, str(self.effort.idle_s))
        with (
            self.place.slot(name) as slot,
            self.programs.started(
                "python", arguments, name, slot, self.small.events, port
            ) as started,
        ):
            return started.answer()

    def _both(self, what: str) -> dict[str, list[dict[str, Any]]]:
        """The client's answers from the server and at the ceiling, in turns."""
        answers: dict[str, list[dict[str, Any]]] = {"server": [], "ceiling": []}
        with relayed(self.place, self.tape, "--replay") as port:
            for _ in range(self.effort.rounds):
                answers["server"].append(self._asked(what))
                answers["ceiling"].append(self._asked(what, port))
        return answers

    def lateness(self) -> Section:
        """Of the event loop."""
        head = ["a ticker of 1 ms is late by, µs", "ticks", "p50", "p99", "p99.9", "most"]
        rows = []
        figures = []
        for where, answers in self._both("late").items():
            ends = {}
            for state in ("idle", "busy"):
                late_us = [us for answer in answers for us in answer[f"{state}_us"]]
                ends[state] = percentile(late_us, SHARES[-1])
                name = f"{where}, {'idle' if state == 'idle' else 'at full speed'}"
                values = [percentile(late_us, share) for share in SHARES]
                rows.append([name, f"{len(late_us):,}", *map(number, [*values, max(late_us)])])
            more_ms = (ends["busy"] - ends["idle"]) / 1000
            name = f"event loop, {where} at full speed, p99.9 over idle"
            figures.append(Figure(name, more_ms, 5.0, False, "ms"))
            self.raw[f"late, {where}"] = rows[-2:]
        return Section("Event loop, Python package", table(head, rows), figures, [])

    def threads(self) -> Section:
        """Another thread's speed."""
        head = ["a second thread counts, per s", "alone", "beside reading", "share", "events/s"]
        rows = []
        figures = []
        answers = self._both("thread")
        for where, of_rounds in answers.items():
            share = median(answer["beside"] / answer["alone"] for answer in of_rounds) * 100
            alone, beside, rate = (
                median(answer[name] for answer in of_rounds) for name in ("alone", "beside", "rate")
            )
            rows.append([where, *map(number, (alone, beside)), f"{share:.0f} %", number(rate)])
            name = f"a busy second thread, {where} at full speed"
            # At the ceiling both want the interpreter all the time, and there is one.
            bound = 70.0 if where == "server" else None
            figures.append(Figure(name, share, bound, True, "%"))
        self.raw["thread"] = answers
        text = table(head, rows)
        return Section("A busy second thread, Python package", text, figures, [])

    def memory(self) -> Section:
        """While it reads for long, and while nobody reads."""
        events = self.effort.memory_events
        writing = replace(self.small, name="memory", events=events)
        self.place.create("memory", self.small.columns)
        arguments = (CONDUCT, "memory", "0")
        with (
            self.place.slot("memory") as slot,
            self.programs.started("python", arguments, "memory", slot, events) as started,
        ):
            started.ready()
            self.place.run("memory", writing.statement())
            sizes = {f"over {events:,} events": started.answer()}
        name = self.small.name
        arguments = (CONDUCT, "stall", str(self.effort.stall_s))
        with (
            self.place.slot(name) as slot,
            self.programs.started("python", arguments, name, slot, self.small.events) as started,
        ):
            sizes[f"stalled for {self.effort.stall_s:.0f} s"] = started.answer()
        self.raw["memory"] = sizes
        figures = []
        rows = []
        for title, size in sizes.items():
            first = size["first_mib"]
            away = max(size["most_mib"] - first, first - size["least_mib"])
            figures.append(Figure(f"RSS {title}, away from its start", away, 10.0, False, "MiB"))
            rows.append([title, *(number(size[f"{n}_mib"]) for n in ("first", "least", "most"))])
        text = table(["RSS, MiB", "first", "least", "most"], rows)
        return Section("Memory, Python package", text, figures, [])
