"""Where the clients' programs are, and a run of one of them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postgres_programs import installed_programs

from bench.peers import FOLDER, OLD, REPOSITORY, Peers, UnavailableError
from bench.roster import CLIENTS, Client
from bench.watch import Watch
from bench.workload import FILTERED, Place, Workload

LOGS = FOLDER / "logs"
OURS = REPOSITORY / "python"
RELEASE = REPOSITORY / "target" / "release"
PLUGIN = REPOSITORY / "target/component/wasm32-unknown-unknown/component/soft_deletes.wasm"
RUN_MAX_S = 900.0
# How often a client that says nothing is looked at.
LOOK_INTERVAL_S = 0.005


@dataclass(frozen=True)
class Took:
    """What so many events took: time by the clock, and the client's CPU."""

    events: int
    wall_s: float
    user_s: float
    system_s: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.wall_s

    @property
    def user_us(self) -> float:
        """An event."""
        return self.user_s / self.events * 1e6

    @property
    def system_us(self) -> float:
        """An event."""
        return self.system_s / self.events * 1e6


@dataclass(frozen=True)
class Run:
    """What one client took for one workload, once."""

    client: str
    workload: str
    round: int
    load: float
    """The machine's load average when it began."""

    total: Took
    """From before it connects to the last event."""

    first: Took | None
    """Of that, to the first events: connecting, and the server's way to them."""

    peak_rss_mib: float | None
    walsender_s: float | None
    """The server's CPU for it."""

    @property
    def walsender_us(self) -> float | None:
        """An event."""
        if self.walsender_s is None:
            return None
        return self.walsender_s / self.total.events * 1e6

    @property
    def running(self) -> Took | None:
        """The rest."""
        if self.first is None:
            return None
        return Took(
            self.total.events - self.first.events,
            self.total.wall_s - self.first.wall_s,
            self.total.user_s - self.first.user_s,
            self.total.system_s - self.first.system_s,
        )


class ClientError(Exception):
    """A client that did not end as it should; says where its output is."""


@dataclass(frozen=True)
class Started:
    """A client at work."""

    process: subprocess.Popen[str]
    log: Path

    def ready(self) -> None:
        """Waits until it says so: that it is connected, or, later, that it has read."""
        assert self.process.stdout is not None
        patience = threading.Timer(RUN_MAX_S, self.process.kill)
        patience.start()
        try:
            said = self.process.stdout.readline()
        finally:
            patience.cancel()
        if not said:
            raise ClientError(f"it ended, or was killed after {RUN_MAX_S:.0f} s: see {self.log}")

    def answer(self) -> dict[str, Any]:
        """What it says at its end."""
        try:
            said, _ = self.process.communicate(timeout=RUN_MAX_S)
        except subprocess.TimeoutExpired:
            raise ClientError(f"it did not end within {RUN_MAX_S:.0f} s: see {self.log}") from None
        if self.process.returncode or not said:
            raise ClientError(f"it ended with {self.process.returncode}: see {self.log}")
        answer: dict[str, Any] = json.loads(said)
        return answer


@dataclass
class Programs:
    """What runs the clients."""

    place: Place
    python: Path = Path(sys.executable)
    """The interpreter of all clients in Python."""

    commands: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Clients that cannot be had, and why."""

    def install(self, clients: Sequence[Client] = CLIENTS) -> None:
        """Has what these clients need; one that cannot be had is left out."""
        LOGS.mkdir(parents=True, exist_ok=True)
        peers = Peers()
        makers = peers.makers()
        wanted = {client.program for client in clients}
        # Without a peer in Python, the interpreter that all this runs in has what is needed.
        if wanted & {"psycopg2", "0.1.0"}:
            peers.interpreter()
            self.python = peers.python
        self.commands = {
            "python": [str(self.python), "-m"],
            "reader": [str(RELEASE / "examples" / "reader")],
            "command": [str(RELEASE / "pgoutput-decoder")],
            "pg_recvlogical": [str(installed_programs() / "pg_recvlogical")],
        }
        for program in wanted & {"reader", "command"}:
            if not Path(self.commands[program][0]).exists():
                raise SystemExit(f"{self.commands[program][0]} is not built: make bench-build")
        for client in clients:
            if client.program not in self.commands and client.name not in self.left_out:
                self._have(client.program, makers, clients)
            if client.tls and self.place.server.settings.get("ssl") != "on":
                self.left_out[client.name] = "there is no server with TLS here"
        use = {"file": str(PLUGIN), "config": FILTERED}
        (FOLDER / "filter.json").write_text(json.dumps(use), encoding="utf-8")

    def _have(self, program: str, makers: dict[str, Any], clients: Sequence[Client]) -> None:
        try:
            self.commands[program] = makers[program]()
        except (UnavailableError, subprocess.TimeoutExpired) as error:
            for client in clients:
                if client.program == program:
                    self.left_out[client.name] = str(error)

    def python_version(self) -> str:
        """The interpreter's, for the report."""
        command = [str(self.python), "--version"]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    @contextmanager
    def started(
        self,
        program: str,
        arguments: Sequence[str],
        database: str,
        slot: str,
        events: int,
        port: int | None = None,
    ) -> Iterator[Started]:
        """A client in a process of its own, which ends with the block."""
        log = LOGS / f"{program}-{'-'.join(arguments[:3])}-{database}.log".replace("/", "_")
        package = {"python": OURS, "0.1.0": OLD}.get(program)
        folders = [str(path) for path in (package, REPOSITORY / "tests") if path]
        environment = self._environment(database, port) | {
            "BENCH_EVENTS": str(events),
            "BENCH_SLOT": slot,
            "PYTHONPATH": os.pathsep.join(folders),
        }
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*self.commands[program], *arguments],
                cwd=FOLDER,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            try:
                yield Started(process, log)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def _environment(self, database: str, port: int | None) -> dict[str, str]:
        """What tells any client where to connect."""
        # Nothing of .venv, in which all this runs.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return environment | {
            **self.place.server.environment(),
            "PGDATABASE": database,
            "PGGSSENCMODE": "disable",
            "PGPORT": str(port or self.place.server.port),
            "PGSSLMODE": "disable",
        }

    @contextmanager
    def _to_null(
        self, command: Sequence[str], database: str, port: int | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A program that writes what it reads to /dev/null, for as long as the block."""
        name = Path(command[0]).name
        with (LOGS / f"{name}-{database}.log").open("w") as errors:
            process = subprocess.Popen(
                command,
                env=self._environment(database, port),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def read(self, client: Client, workload: Workload, round_: int, port: int | None = None) -> Run:
        """A client reads a workload from the server, or from what listens on `port`."""
        load = os.getloadavg()[0]
        events = workload.slow_events if client.part else workload.events
        with (
            self.place.slot(workload.name) as slot,
            Watch(self.place, workload.name, slot) as watch,
        ):
            if client.program in ("command", "pg_recvlogical"):
                took = self._silent(client.program, workload, slot, watch)
                first = None
                peak_rss_mib = watch.peak_rss_mib
            else:
                there = workload.kept if client.filtered else events
                with self.started(
                    client.program, client.arguments, workload.name, slot, there, port
                ) as started:
                    report = started.answer()
                took = Took(events, **report["total"])
                first = Took(report["events_first"], **report["first"])
                peak_rss_mib = report["peak_rss_mib"]
        return Run(
            client.name,
            workload.name,
            round_,
            load,
            took,
            first,
            peak_rss_mib,
            None if port else watch.walsender_s,
        )

    def _silent(self, program: str, workload: Workload, slot: str, watch: Watch) -> Took:
        """One that writes what it reads to /dev/null, and does not say what that took."""
        if program == "pg_recvlogical":
            return self.receive(workload, slot, watch=watch)
        arguments = ["stream", "--format=debezium", f"--slot={slot}", "--publication=bench"]
        began = time.perf_counter()
        with self._to_null([*self.commands[program], *arguments], workload.name) as process:
            watch.client = process.pid
            # It goes on until it is told to stop: it is done when it has confirmed the end.
            while not watch.confirmed(self.place.ends[workload.name]):
                if process.poll() is not None or time.perf_counter() - began > RUN_MAX_S:
                    raise ClientError(f"it did not confirm the end of {workload.name}: see {LOGS}")
                time.sleep(LOOK_INTERVAL_S)
            wall_s = time.perf_counter() - began
            process.send_signal(signal.SIGTERM)
            usage = ended(process)
        return Took(workload.events, wall_s, usage.ru_utime, usage.ru_stime)

    def receive(
        self,
        workload: Workload,
        slot: str,
        port: int | None = None,
        watch: Watch | None = None,
    ) -> Took:
        """pg_recvlogical reads a workload; with protocol 1, as whoever records needs it."""
        command = [
            *self.commands["pg_recvlogical"],
            "--start",
            "--no-loop",
            f"--dbname={workload.name}",
            f"--slot={slot}",
            "--file=/dev/null",
            f"--endpos={self.place.ends[workload.name]}",
            "--option=proto_version=1",
            "--option=publication_names=bench",
        ]
        began = time.perf_counter()
        with self._to_null(command, workload.name, port) as process:
            if watch:
                watch.client = process.pid
            usage = ended(process)
        wall_s = time.perf_counter() - began
        return Took(workload.events, wall_s, usage.ru_utime, usage.ru_stime)


def ended(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Waits for the end of a program, for what it used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        name = Path(str(process.args[0])).name if isinstance(process.args, list) else ""
        raise ClientError(f"{name} ended with {process.returncode}: see {LOGS}")
    return usage


@contextmanager
def relayed(place: Place, recording: Path, what: str) -> Iterator[int]:
    """The port of a relay to the server that records or replays."""
    command = [sys.executable, "-m", "bench.relay", str(place.server.port), str(recording), what]
    relay = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert relay.stdin is not None
    assert relay.stdout is not None
    try:
        yield int(relay.stdout.readline())
    finally:
        relay.stdin.close()
        relay.wait()
        relay.stdout.close()
