"""Measures what is promised of a stream, beside throw-away servers: make reliability.

    tests/reliability.py [--quick] [--version 14]

Prints one table: each figure, what was measured, its bound, and whether it holds; the exit code
says whether all do. --quick writes and waits less. The Python package must be installed in .venv.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from pgoutput_decoder import LogicalReplicationReader
from postgres import Server

SEGMENT_BYTES = 16 << 20
SLOT = "reliability"
SETUP = (
    "CREATE TABLE item (id int PRIMARY KEY, name text)",
    "CREATE TABLE noise (id int, name text)",
    "CREATE PUBLICATION reliability FOR TABLE item",
    f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')",
)
# What anything may take before it counts as never.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Effort:
    """How much is written and how long is waited."""

    noise_bytes: int
    stall_s: int
    restarts: int
    outages: int
    outage_s: int


FULL = Effort(noise_bytes=1 << 30, stall_s=60, restarts=9, outages=5, outage_s=20)
QUICK = Effort(noise_bytes=256 << 20, stall_s=15, restarts=5, outages=3, outage_s=5)


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    measured: str
    bound: str
    holds: bool

    def printed(self) -> str:
        """As the table has it."""
        verdict = "pass" if self.holds else "FAIL"
        return f"{self.name:<62} {self.measured:>22} {self.bound:>14}  {verdict}"


class Place:
    """A server with a publication and a slot."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.run(*SETUP)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs each statement in a transaction of its own; the rows of the last."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def value(self, expression: str) -> Any:
        """Of the slot's row."""
        query = f"SELECT {expression} FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
        return self.run(query)[0][0]

    def insert(self, first: int, last: int) -> None:
        """One transaction a row."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            for number in range(first, last + 1):
                connection.execute("INSERT INTO item VALUES (%s, 'x')", [number])

    def reader(self, **settings: Any) -> LogicalReplicationReader:
        """A reader of the slot."""
        server = self.server
        return LogicalReplicationReader(
            publication_name=SLOT,
            slot_name=SLOT,
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
            **settings,
        )


@contextmanager
def place(version: str | None, **settings: str) -> Iterator[Place]:
    """A place on a server of its own."""
    with Server(version=version, settings=settings) as server:
        yield Place(server)


async def take(reader: LogicalReplicationReader, count: int) -> list[int]:
    """The next ids."""
    async with asyncio.timeout(PATIENCE_S):
        return [(await anext(reader)).after["id"] for _ in range(count)]


def megabytes(count: int) -> str:
    """For people."""
    return f"{count / 1e6:.1f} MB behind"


async def idle_slot(version: str | None, effort: Effort) -> list[Figure]:
    """Another table is written to: the slot holds no WAL back for it."""
    with place(version, max_wal_size="4GB", checkpoint_timeout="1h") as here:
        async with here.reader() as reader:
            here.run("INSERT INTO item VALUES (1, 'x')")
            await take(reader, 1)
            waiting = asyncio.ensure_future(anext(reader))

            def write() -> None:
                began = here.run("SELECT pg_current_wal_lsn()")[0][0]
                written = 0
                while written < effort.noise_bytes:
                    here.run(
                        "INSERT INTO noise SELECT n, repeat(md5(n::text), 30)"
                        " FROM generate_series(1, 30000) n"
                    )
                    query = f"SELECT pg_current_wal_lsn() - '{began}'"
                    written = int(here.run(query)[0][0])

            await asyncio.to_thread(write)
            await asyncio.sleep(3)
            flushed = int(here.value("pg_current_wal_flush_lsn() - confirmed_flush_lsn"))
            here.run("CHECKPOINT")
            await asyncio.sleep(3)
            kept = int(here.value("pg_current_wal_flush_lsn() - restart_lsn"))
            waiting.cancel()
    wrote = f"another table writes {effort.noise_bytes >> 20} MiB"
    bound = 2 * SEGMENT_BYTES
    at_most = f"<= {bound / 1e6:.1f} MB"
    return [
        Figure(
            f"{wrote}, 3 s later: confirmed_flush", megabytes(flushed), at_most, flushed <= bound
        ),
        Figure("CHECKPOINT, 3 s later: restart_lsn", megabytes(kept), at_most, kept <= bound),
    ]


async def stopped_fast(version: str | None, unacknowledged: int) -> tuple[float, list[int]]:
    """How long `pg_ctl stop -m fast` takes with a reader attached, and what comes afterwards."""
    count = unacknowledged or 1
    with place(version) as here:
        async with here.reader(auto_acknowledge=False) as reader:
            here.insert(1, count)
            await take(reader, count)
            if not unacknowledged:
                await reader.acknowledge()
            waiting = asyncio.ensure_future(anext(reader))
            await asyncio.sleep(1.5)
            began = time.monotonic()
            await asyncio.to_thread(here.server.stop, "fast")
            took = time.monotonic() - began
            waiting.cancel()
        await asyncio.to_thread(here.server.restart)
        here.insert(count + 1, count + 1)
        async with here.reader() as reader:
            return took, await take(reader, unacknowledged + 1)


async def stops(version: str | None, effort: Effort) -> list[Figure]:
    """A reader does not hold up a server that is stopped, and confirms no more for that."""
    figures = []
    for name, unacknowledged in (("idle", 0), ("1,000 events unacknowledged", 1000)):
        took, again = await stopped_fast(version, unacknowledged)
        first = 1 if unacknowledged else 2
        holds = took < 1 and again == list(range(first, first + len(again)))
        name = f"pg_ctl stop -m fast, reader attached, {name}"
        figures.append(Figure(name, f"{took * 1000:.0f} ms", "< 1 s", holds))
    return figures


async def stalled(version: str | None, effort: Effort) -> list[Figure]:
    """A consumer that does nothing, with more to read than any buffer holds."""
    rows = 100_000
    with place(version, wal_sender_timeout="5s") as here:
        async with here.reader() as reader:
            here.run(
                f"INSERT INTO item SELECT n, repeat('x', 1000) FROM generate_series(1, {rows}) n"
            )
            await take(reader, 1)
            before = here.value("active_pid")
            # Not asyncio.sleep: nothing of this process's Python goes on.
            time.sleep(effort.stall_s)
            after = here.value("active_pid")
            rest = await take(reader, rows - 1)
            last = here.value("active_pid")
    holds = before is not None and before == after == last and rest == list(range(2, rows + 1))
    name = f"consumer stalled {effort.stall_s} s, wal_sender_timeout = 5 s"
    measured = "same walsender" if before == after == last else "disconnected"
    return [Figure(name, measured, "no disconnect", holds)]


async def restarted(version: str | None, effort: Effort) -> list[Figure]:
    """A reader is stopped and another goes on, again and again."""
    rows, runs = 5000, 10
    got: list[int] = []
    with place(version) as here:
        here.insert(1, rows)
        for run in range(1, runs + 1):
            async with here.reader() as reader, asyncio.timeout(PATIENCE_S):
                async for message in reader:
                    got.append(message.after["id"])
                    if len(got) >= rows * run // runs:
                        break
    twice = len(got) - len(set(got))
    missing = rows - len(set(got))
    name = f"{runs} clean stops and restarts in {rows} transactions"
    measured = f"{twice} twice, {missing} missing"
    return [Figure(name, measured, "0 twice", twice == missing == 0 and got == sorted(got))]


async def reconnected(version: str | None, effort: Effort) -> list[Figure]:
    """From the server's first accepted connection to the first event."""
    return [
        await reconnected_after(version, effort.restarts, "fast", 0),
        await reconnected_after(version, effort.restarts, "immediate", 0),
        await reconnected_after(version, effort.outages, "fast", effort.outage_s),
    ]


async def reconnected_after(version: str | None, restarts: int, mode: str, outage_s: int) -> Figure:
    """The same with one way to stop the server, and so long a pause before it starts again."""
    took = []
    with place(version) as here:
        async with here.reader() as reader:
            here.insert(1, 1)
            await take(reader, 1)
            for number in range(2, restarts + 2):
                await asyncio.to_thread(here.server.stop, mode)
                await asyncio.sleep(outage_s)
                starting = asyncio.ensure_future(asyncio.to_thread(here.server.restart))
                accepted = await asyncio.to_thread(first_accepted, here, number)
                assert await take(reader, 1) == [number]
                took.append(time.monotonic() - accepted)
                await starting
    median = statistics.median(took)
    pause = f", down for {outage_s} s" if outage_s else ""
    name = f"first event after {len(took)} restarts ({mode}{pause}), median"
    measured = f"{median * 1000:.0f} ms, max {max(took) * 1000:.0f}"
    return Figure(name, measured, "< 1 s", median < 1)


def first_accepted(here: Place, number: int) -> float:
    """Inserts a row as soon as the server lets anybody in, and when that was."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            with psycopg.connect(here.server.url, autocommit=True) as connection:
                accepted = time.monotonic()
                connection.execute("INSERT INTO item VALUES (%s)", [number])
                return accepted
        except psycopg.OperationalError:
            time.sleep(0.005)
    raise TimeoutError("the server does not come back")


MEASUREMENTS: Sequence[Callable[[str | None, Effort], Awaitable[list[Figure]]]] = (
    idle_slot,
    stops,
    stalled,
    restarted,
    reconnected,
)


async def measure(version: str | None, effort: Effort) -> list[Figure]:
    """All figures, printed as they come."""
    figures = []
    for measurement in MEASUREMENTS:
        for figure in await measurement(version, effort):
            print(figure.printed(), flush=True)
            figures.append(figure)
    return figures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="What is promised of a stream, measured")
    parser.add_argument("--quick", action="store_true", help="write and wait less")
    parser.add_argument("--version", help="of PostgreSQL; the wheel's if not given")
    asked = parser.parse_args()
    print(f"{'figure':<62} {'measured':>22} {'bound':>14}")
    figures = asyncio.run(measure(asked.version, QUICK if asked.quick else FULL))
    return int(not all(figure.holds for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
