"""The command line: python -m bench [--smoke|--quick|--full] [--python] [--only part,part] …

Every client reads the same WAL of a throw-away server, in rounds, by turns, each in a process of
its own; then a recording of it from a relay (the client ceiling); then it is looked at what ours
do to their process, how late events come, and what grows with what. Prints Markdown, each figure
beside what is promised, and writes all of it to target/bench/bench.json, of which
`python -m bench.report` makes BENCHMARKS.md. What the figures are does not change the exit code:
they depend on the machine, and on who else uses it. A client of ours that fails does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import latency, scale
from bench.conduct import Conduct
from bench.effort import EFFORTS
from bench.figures import (
    Bar,
    Bars,
    Plot,
    Row,
    Section,
    figures_table,
    promised,
    promised_ceiling,
    rows_table,
    summed_up,
)
from bench.machine import commit, machine
from bench.peers import FOLDER, REPOSITORY, versions
from bench.programs import ClientError, Programs, Run, relayed
from bench.roster import CLIENTS, RECVLOGICAL, Client
from bench.workload import Workload, made, workloads

SECTIONS = {"latency": latency.section, "scale": scale.section}
PARTS = ("server", "ceiling", "conduct", *SECTIONS)
# What reads the workloads.
READING = {"server", "ceiling", "conduct"}
# Recorded for the ceiling: their transactions are small, so that every protocol version has the
# same bytes.
TAPED = ("w1", "w3")
REPORT = FOLDER / "bench.json"


class Bench:
    """All of it, in order."""

    def __init__(self, programs: Programs, clients: Sequence[Client], rounds: int) -> None:
        self.programs = programs
        self.place = programs.place
        self.clients = [c for c in clients if c.name not in programs.left_out]
        self.rounds = rounds
        self.runs: list[tuple[str, Run]] = []
        self.sections: list[Section] = []
        self.failures: list[str] = []
        """What of ours did not do its work."""
        self.facts: dict[str, object] = {}
        """What the report says besides."""

    def take(self, what: str, measure: Callable[[], Section]) -> None:
        """Measures something of ours, and shows it."""
        try:
            section = measure()
        except ClientError as error:
            self.failures.append(f"{what}: {error}")
            say(self.failures[-1])
            return
        self.sections.append(section)
        print(f"\n## {section.title}\n", section.text, sep="\n", flush=True)
        self.keep()

    def keep(self) -> None:
        """Writes what there is so far: a run that is broken off leaves that."""
        report = self.facts | {
            "ended": datetime.now(UTC).isoformat(timespec="minutes"),
            "rounds": self.rounds,
            "clients": [dataclasses.asdict(client) for client in self.clients],
            "left_out": self.programs.left_out,
            "failures": self.failures,
            "sections": [dataclasses.asdict(section) for section in self.sections],
            "runs": [{"where": where, **dataclasses.asdict(run)} for where, run in self.runs],
        }
        text = json.dumps(report, indent=1, ensure_ascii=False)
        REPORT.write_text(text + "\n", encoding="utf-8")

    def failed(self, client: Client, what: str, why: str) -> None:
        """Goes on, and says so at the end."""
        say(f"{what}: {why}")
        if client.ours:
            self.failures.append(f"{what}: {why}")
        else:
            self.programs.left_out[what] = why

    def turns(self, workload: Workload, where: str, port: int | None = None) -> list[Run]:
        """Every client reads a workload once a round, forwards and backwards by turns."""
        clients = [
            client
            for client in self.clients
            if workload.name in client.workloads and (port is None or client.ceiling)
        ]
        runs = []
        for round_ in range(self.rounds):
            for client in clients[:: 1 if round_ % 2 == 0 else -1]:
                if client.once and round_ > 0:
                    continue
                try:
                    run = self.programs.read(client, workload, round_, port)
                except ClientError as error:
                    self.failed(client, f"{client.name}, {workload.name}, {where}", str(error))
                    continue
                runs.append(run)
                say(
                    f"round {round_ + 1}, {where}, {workload.name}, {client.name}: "
                    f"{run.total.rate:,.0f} events/s, load {run.load:.1f}"
                )
        self.runs += [(where, run) for run in runs]
        return runs

    def server(self, workload: Workload) -> Section:
        """Reading from the server."""
        runs = self.turns(workload, "server")
        rows = summed_up(runs, self.clients)
        text = f"{rows_table(rows)}\n\n{loads(runs)}"
        figures = promised(workload.name, rows)
        return Section(workload.title, text, figures, pictures(workload.name, rows, False))

    def ceiling(self, workload: Workload) -> Section:
        """Reading from a relay."""
        with relayed(self.place, self.record(workload), "--replay") as port:
            runs = self.turns(workload, "ceiling", port)
        rows = summed_up(runs, self.clients)
        title = f"{workload.name.upper()} at the client ceiling"
        text = f"{rows_table(rows)}\n\n{loads(runs)}"
        figures = promised_ceiling(workload.name, rows)
        return Section(title, text, figures, pictures(f"{workload.name}-ceiling", rows, True))

    def record(self, workload: Workload) -> Path:
        """A workload as it comes over the wire."""
        tape = FOLDER / f"{workload.name}.copydata"
        with (
            relayed(self.place, tape, "--record") as port,
            self.place.slot(workload.name) as slot,
        ):
            self.programs.receive(workload, slot, port)
        return tape


def pictures(name: str, rows: dict[str, Row], ceiling: bool) -> list[Plot | Bars]:
    """Of a table: speed, and what it costs the client."""
    where = name.removesuffix("-ceiling").upper() + (" at the client ceiling" if ceiling else "")

    def bars(value: Callable[[Row], float]) -> list[Bar]:
        return [Bar(row.client.name, value(row), row.client.of) for row in rows.values()]

    return [
        Bars(
            f"{name}-speed",
            f"{where}: events a second",
            "events/s",
            bars(lambda row: row.total.rate),
            log=ceiling,
        ),
        Bars(
            f"{name}-cpu",
            f"{where}: the client's CPU an event, µs, user and system",
            "µs",
            bars(lambda row: row.total.user_us + row.total.system_us),
            log=True,
            less_is_better=True,
        ),
    ]


def loads(runs: Sequence[Run]) -> str:
    """What the machine did meanwhile."""
    values = [run.load for run in runs] or [os.getloadavg()[0]]
    return f"Load average {min(values):.1f} to {max(values):.1f} on {os.cpu_count()} cores."


def say(text: str) -> None:
    """Progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description="This project and its peers")
    size = parser.add_mutually_exclusive_group()
    for effort, says in (
        ("smoke", "our clients on little, to see that all of this works"),
        ("quick", "some minutes"),
        ("full", "10 M events, hours"),
    ):
        size.add_argument(
            f"--{effort}", dest="effort", action="store_const", const=effort, help=says
        )
    parser.set_defaults(effort="usual")
    parser.add_argument("--python", action="store_true", help="clients in Python alone")
    parser.add_argument("--rounds", type=int, help="5 if not given, fewer with --quick")
    parser.add_argument("--workloads", default="w1,w2,w3,w4", help="of w1, w2, w3 and w4")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    asked = parser.parse_args()
    unknown = set(asked.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    return asked


def chosen(asked: argparse.Namespace) -> list[Client]:
    """The clients that were asked for."""
    return [
        client
        for client in CLIENTS
        if (not asked.python or client.python or client.name == RECVLOGICAL)
        and (asked.effort != "smoke" or client.quick)
    ]


def main() -> int:
    """Runs what was asked for."""
    asked = parse()
    # As Ctrl-C does, ends the server and the client at work, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sizes, effort = EFFORTS[asked.effort]
    if asked.rounds:
        effort = dataclasses.replace(effort, rounds=asked.rounds)
    parts = asked.only.split(",")
    clients = chosen(asked)
    began = datetime.now(UTC)
    with made(FOLDER) as place:
        programs = Programs(place)
        programs.install(clients)
        bench = Bench(programs, clients, effort.rounds)
        bench.facts = {
            "began": began.isoformat(timespec="minutes"),
            "command": "python -m bench " + " ".join(sys.argv[1:]),
            "commit": commit(),
            "machine": machine(),
            "versions": {
                "PostgreSQL": place.run("postgres", "SHOW server_version")[0][0],
                "Python": programs.python_version().removeprefix("Python "),
                **versions(),
            },
        }
        print(f"# This project and its peers\n\n{began:%Y-%m-%d %H:%M} UTC\n")
        print("\n".join(f"- {client.name}: {client.does}" for client in bench.clients))
        for name, reason in programs.left_out.items():
            print(f"\n{name} is left out: {reason}")
        names = asked.workloads.split(",") if READING & set(parts) else []
        written = workloads({name: size for name, size in sizes.items() if name in names})
        for workload in written:
            say(f"writing {workload.title}")
            place.write(workload)
        if "server" in parts:
            for workload in written:
                bench.take(workload.name, partial(bench.server, workload))
        if "ceiling" in parts:
            for workload in written:
                if workload.name in TAPED:
                    bench.take(workload.name, partial(bench.ceiling, workload))
        if "conduct" in parts and written and written[0].name == "w1":
            conduct = Conduct(programs, effort, written[0], bench.record(written[0]))
            for part in conduct.parts():
                bench.take(part.__name__, part)
        for name, section in SECTIONS.items():
            if name in parts:
                bench.take(name, partial(section, programs, effort))
    figures = [figure for section in bench.sections for figure in section.figures]
    print("\n## Beside what is promised\n", figures_table(figures), sep="\n")
    bench.keep()
    print(f"\nEvery run is in {REPORT.relative_to(REPOSITORY)}.")
    for failure in bench.failures:
        say(f"failed: {failure}")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
