"""The command line: python -m bench [--quick|--full] [--rounds N] [--workloads w1,w3] [--only …].

Every client reads the same WAL of a throw-away server, in rounds, by turns, each in a process of
its own and all in the same interpreter; then a recording of it from a relay (the client ceiling);
then this package's reader is watched in its process. Prints tables as Markdown, each figure beside
what is promised, and writes all runs to target/bench/python.json. The exit code is 0 whatever the
figures are: they depend on the machine, and on who else uses it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from postgres import Server

from bench.conduct import Conduct, Effort, show
from bench.figures import (
    Figure,
    figures_table,
    promised,
    promised_ceiling,
    rows_table,
    summed_up,
)
from bench.programs import FOLDER, Client, ClientError, Programs, Run, relayed
from bench.workload import SETTINGS, Place, Workload, workloads

Sizes = dict[str, tuple[int, int]]
QUICK: Sizes = {
    "w1": (100_000, 10_000),
    "w2": (30_000, 6_000),
    "w3": (20_000, 4_000),
    "w4": (30_000, 30_000),
}
USUAL: Sizes = {
    "w1": (500_000, 100_000),
    "w2": (150_000, 45_000),
    "w3": (100_000, 30_000),
    "w4": (300_000, 300_000),
}
FULL: Sizes = {
    "w1": (1_000_000, 300_000),
    "w2": (300_000, 150_000),
    "w3": (100_000, 100_000),
    "w4": (1_000_000, 1_000_000),
}
QUICK_EFFORT = Effort(2, 1.0, (100, 1_000, 10_000), 1.0, 200_000, 3.0)
USUAL_EFFORT = Effort(5, 2.0, (100, 1_000, 10_000), 2.0, 1_000_000, 10.0)
FULL_EFFORT = Effort(5, 5.0, (100, 1_000, 10_000), 10.0, 10_000_000, 60.0)
# Recorded for the ceiling: their transactions are small, so that every protocol version has the
# same bytes.
TAPED = ("w1", "w3")


class Bench:
    """All of it, in order."""

    def __init__(self, programs: Programs, chosen: Sequence[Workload], rounds: int) -> None:
        self.programs = programs
        self.place = programs.place
        self.workloads = chosen
        self.rounds = rounds
        self.runs: list[tuple[str, Run]] = []
        self.figures: list[Figure] = []

    def turns(
        self, workload: Workload, clients: Sequence[Client], where: str, port: int | None = None
    ) -> list[Run]:
        """Every client reads a workload once a round, forwards and backwards by turns."""
        runs = []
        for round_ in range(self.rounds):
            for client in clients[:: 1 if round_ % 2 == 0 else -1]:
                try:
                    run = self.programs.read(client, workload, round_, port)
                except ClientError as error:
                    say(f"{client.name}, {workload.name}, {where}: left out: {error}")
                    continue
                runs.append(run)
                say(
                    f"round {round_ + 1}, {where}, {workload.name}, {client.name}: "
                    f"{run.total.rate:,.0f} events/s, load {run.load:.1f}"
                )
        self.runs += [(where, run) for run in runs]
        return runs

    def server(self) -> None:
        """Reading from the server."""
        clients = self.programs.clients()
        for workload in self.workloads:
            runs = self.turns(workload, clients, "server")
            rows = summed_up(runs, clients)
            show(workload.title, rows_table(rows), loads(runs))
            self.figures += promised(workload.name, rows)

    def ceiling(self) -> None:
        """Reading from a relay."""
        clients = [client for client in self.programs.clients() if client.ceiling]
        for workload in self.workloads:
            if workload.name not in TAPED:
                continue
            with relayed(self.place, self.record(workload), "--replay") as port:
                runs = self.turns(workload, clients, "ceiling", port)
            rows = summed_up(runs, clients)
            show(f"{workload.name.upper()} at the client ceiling", rows_table(rows), loads(runs))
            self.figures += promised_ceiling(workload.name, rows)

    def record(self, workload: Workload) -> Path:
        """A workload as it comes over the wire."""
        tape = FOLDER / f"{workload.name}.copydata"
        with (
            relayed(self.place, tape, "--record") as port,
            self.place.slot(workload.name) as slot,
        ):
            self.programs.receive(workload, slot, port)
        return tape


def loads(runs: Sequence[Run]) -> str:
    """What the machine did meanwhile."""
    values = [run.load for run in runs] or [os.getloadavg()[0]]
    return f"\nLoad average {min(values):.1f} to {max(values):.1f} on {os.cpu_count()} cores."


def say(text: str) -> None:
    """Progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description="The Python package and its peers")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="some minutes")
    size.add_argument("--full", action="store_true", help="10 M events, an hour or more")
    parser.add_argument("--rounds", type=int, help="5 if not given, or 2 with --quick")
    parser.add_argument("--workloads", default="w1,w2,w3,w4", help="of w1, w2, w3 and w4")
    parser.add_argument("--only", choices=["server", "ceiling", "conduct"], help="a part")
    return parser.parse_args()


def main() -> None:
    """Runs what was asked for."""
    asked = parse()
    # As Ctrl-C does, ends the server and the client at work, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sizes, effort = (
        (QUICK, QUICK_EFFORT)
        if asked.quick
        else (FULL, FULL_EFFORT)
        if asked.full
        else (USUAL, USUAL_EFFORT)
    )
    if asked.rounds:
        effort = dataclasses.replace(effort, rounds=asked.rounds)
    names = asked.workloads.split(",")
    with Server(settings=SETTINGS) as server:
        place = Place(server)
        programs = Programs(place)
        programs.install()
        python = programs.version()
        began = datetime.now(UTC)
        print(f"# The Python package and its peers\n\n{began:%Y-%m-%d %H:%M} UTC, {python}")
        print(f"{platform.machine()}, {os.cpu_count()} cores, {effort.rounds} rounds\n")
        print("\n".join(f"- {client.name}: {client.does}" for client in programs.clients()))
        for name, reason in programs.left_out.items():
            print(f"\n{name} is left out: {reason}")
        chosen = [workload for workload in workloads(sizes) if workload.name in names]
        for workload in chosen:
            say(f"writing {workload.title}")
            place.write(workload)
        bench = Bench(programs, chosen, effort.rounds)
        raw: dict[str, Any] = {}
        if asked.only in (None, "server"):
            bench.server()
        if asked.only in (None, "ceiling"):
            bench.ceiling()
        if asked.only in (None, "conduct") and "w1" in names:
            small = chosen[0]
            conduct = Conduct(programs, effort, small, bench.record(small))
            bench.figures += conduct.measure()
            raw = conduct.raw
    show("Beside what is promised", figures_table(bench.figures))
    report = {
        "began": began.isoformat(),
        "machine": [platform.machine(), os.cpu_count(), python],
        "figures": [dataclasses.asdict(f) | {"verdict": f.verdict} for f in bench.figures],
        "runs": [{"where": where, **dataclasses.asdict(run)} for where, run in bench.runs],
        "conduct": raw,
    }
    path = FOLDER / "python.json"
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nEvery run is in {path.relative_to(FOLDER.parents[1])}.")


if __name__ == "__main__":
    main()
