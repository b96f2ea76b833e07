"""The clients, the interpreter they all run in, and a run of one of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.workload import Place, Workload

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "target" / "bench"
LOGS = FOLDER / "logs"
OURS = REPOSITORY / "python"
OLD = FOLDER / "0.1.0"
OLD_WHEEL = "pgoutput-decoder==0.1.0"
# What to install, and the clients that need it.
PACKAGES = {"psycopg2-binary==2.9.13": "psycopg2", "pyarrow==26.0.1": "arrow_batches"}
# 0.1.0's wheel is for 3.12 and newer.
PYTHON_MIN = (3, 12)
RUN_MAX_S = 900.0
BASELINE = "0.1.0 op"


@dataclass(frozen=True)
class Client:
    """A row of the tables."""

    name: str
    arguments: tuple[str, ...]
    does: str
    package: Path | None = None
    """Where its `pgoutput_decoder` is."""

    peer: bool = False
    """Whether it is one of the Python clients the fastest of which ours is compared with."""

    slow: bool = False
    """Whether it reads a part of a workload only."""

    ceiling: bool = True
    """Whether it reads recordings, too."""


def ours(name: str, mode: str, does: str) -> Client:
    """A row of this package."""
    return Client(name, ("bench.clients.reader", mode), does, OURS)


CLIENTS = (
    ours("message.op", "op", "async for; reads nothing of the event"),
    ours("message.json", "json", "async for; the whole envelope as bytes"),
    ours("message.after", "after", "async for; a dict with a typed object for each value"),
    ours("batches()", "batches", "lists of up to 1,000; op of each"),
    ours("transactions()", "transactions", "by transaction; op of each"),
    ours("arrow_batches()", "arrow", "record batches of up to 10,000 rows, all columns"),
    ours("SyncReader", "sync", "a plain for; op of each"),
    Client(
        BASELINE,
        ("bench.clients.reader_0_1_0", "op"),
        "the wheel 0.1.0; async for; op of each, a whole message by then; a part of the workload",
        OLD,
        slow=True,
    ),
    Client(
        "0.1.0 dict",
        ("bench.clients.reader_0_1_0", "dict"),
        "the wheel 0.1.0; message_to_dict of each; a part of the workload",
        OLD,
        slow=True,
        ceiling=False,
    ),
    Client(
        "psycopg2 raw",
        ("bench.clients.psycopg2_loop", "raw"),
        "consume_stream; counts messages, decodes nothing",
        peer=True,
    ),
    Client(
        "psycopg2 typed",
        ("bench.clients.psycopg2_loop", "typed"),
        "a decoder of 60 lines by hand: dicts with bool, int, float, all else text; no envelope",
        peer=True,
    ),
    Client(
        "pg_recvlogical",
        (),
        "the server's own client; writes each message to /dev/null, decodes nothing",
        ceiling=False,
    ),
)


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
        """Waits until it says that it is connected."""
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise ClientError(f"it ended: see {self.log}")

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
    python: Path = field(default_factory=lambda: FOLDER / "python" / "bin" / "python")
    left_out: dict[str, str] = field(default_factory=dict)
    """Clients that cannot be had, and why."""

    def install(self) -> None:
        """One interpreter for all, with the peers; a client that cannot be had is left out."""
        LOGS.mkdir(parents=True, exist_ok=True)
        base = interpreter()
        if base is None:
            wanted = ".".join(map(str, PYTHON_MIN))
            self._without("0.1.0", f"its wheel needs Python {wanted} or newer, and there is none")
            base = sys.executable
        if not self.python.exists():
            subprocess.run([base, "-m", "venv", str(FOLDER / "python")], check=True)
        for package, clients in PACKAGES.items():
            try:
                self._pip(package)
            except subprocess.CalledProcessError:
                self._without(clients, f"pip cannot install {package}")
        if not OLD.exists() and BASELINE not in self.left_out:
            try:
                self._pip("--target", str(OLD), "--only-binary=:all:", "--no-deps", OLD_WHEEL)
            except subprocess.CalledProcessError:
                self._without("0.1.0", f"pip cannot install {OLD_WHEEL}")

    def version(self) -> str:
        """The interpreter's, for the report."""
        command = [str(self.python), "--version"]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def _pip(self, *arguments: str) -> None:
        pip = (str(self.python), "-m", "pip", "--disable-pip-version-check")
        subprocess.run([*pip, "install", "--quiet", *arguments], check=True)

    def _without(self, beginning: str, reason: str) -> None:
        for client in CLIENTS:
            if client.name.startswith(beginning):
                self.left_out[client.name] = reason

    def clients(self) -> list[Client]:
        """Those that can be had."""
        return [client for client in CLIENTS if client.name not in self.left_out]

    @contextmanager
    def started(
        self,
        arguments: Sequence[str],
        database: str,
        slot: str,
        events: int,
        package: Path | None = OURS,
        port: int | None = None,
    ) -> Iterator[Started]:
        """A client in a process of its own, which ends with the block."""
        log = LOGS / f"{'-'.join(arguments[:2])}-{database}.log".replace("/", "_")
        # Nothing of .venv, in which all this runs.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= self.place.server.environment()
        environment |= {
            "BENCH_EVENTS": str(events),
            "BENCH_SLOT": slot,
            "PGDATABASE": database,
            "PGPORT": str(port or self.place.server.port),
            "PYTHONPATH": os.pathsep.join(
                str(path) for path in (package, REPOSITORY / "tests") if path
            ),
        }
        with log.open("w") as errors:
            process = subprocess.Popen(
                [self.python, "-m", *arguments],
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

    def read(self, client: Client, workload: Workload, round_: int, port: int | None = None) -> Run:
        """A client reads a workload from the server, or from what listens on `port`."""
        load = os.getloadavg()[0]
        events = workload.slow_events if client.slow else workload.events
        with self.place.slot(workload.name) as slot:
            if not client.arguments:
                took = self.receive(workload, slot)
                return Run(client.name, workload.name, round_, load, took, None, None)
            with self.started(
                client.arguments, workload.name, slot, events, client.package, port
            ) as started:
                report = started.answer()
        return Run(
            client.name,
            workload.name,
            round_,
            load,
            Took(events, **report["total"]),
            Took(report["events_first"], **report["first"]),
            report["peak_rss_mib"],
        )

    def receive(self, workload: Workload, slot: str, port: int | None = None) -> Took:
        """pg_recvlogical reads a workload; with protocol 1, as whoever records needs it."""
        server = self.place.server
        command = [
            str(server.programs / "pg_recvlogical"),
            "--start",
            "--no-loop",
            f"--dbname={workload.name}",
            f"--slot={slot}",
            "--file=/dev/null",
            f"--endpos={self.place.ends[workload.name]}",
            "--option=proto_version=1",
            "--option=publication_names=bench",
        ]
        environment = {
            **os.environ,
            **server.environment(),
            "PGGSSENCMODE": "disable",
            "PGPORT": str(port or server.port),
            "PGSSLMODE": "disable",
        }
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise ClientError(f"pg_recvlogical ended with {process.returncode}")
        return Took(workload.events, wall_s, usage.ru_utime, usage.ru_stime)


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


def interpreter() -> str | None:
    """A Python that 0.1.0 has a wheel for."""
    names = [f"python3.{minor}" for minor in range(PYTHON_MIN[1], 20)]
    found = [path for name in ("python3", *names) if (path := shutil.which(name))]
    # A name on the path may be a shim that does not run; pyenv's versions do.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += sorted(map(str, pyenv.glob("3.*/bin/python3")))
    check = f"import ensurepip, sys; sys.exit(sys.version_info < {PYTHON_MIN})"
    for python in found:
        if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
            return python
    return None
