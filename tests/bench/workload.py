"""The workloads, and the server that has them: the same WAL for every client.

A base slot is made before a workload is written, and every client reads a copy of it.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from postgres import Server
from postgres_programs import ServerError

from bench.clients.meter import PUBLICATION

BASE_SLOT = "base_{}"
# Neither a checkpoint nor a segment that has to be made anew falls into one client's turn.
SETTINGS = {
    "checkpoint_timeout": "1h",
    # For the many streams in one process, each of which asks the catalogs, too.
    "max_connections": "500",
    "max_replication_slots": "250",
    "max_wal_senders": "250",
    "max_wal_size": "16GB",
    "shared_buffers": "128MB",
    "wal_sender_timeout": "10min",
}
# The major version that is fetched, as that has TLS.
VERSION = "18"
SMALL = """id bigint PRIMARY KEY, name text, amount numeric(12,2), active bool,
    created timestamptz, note text"""
MIXED = """id bigint PRIMARY KEY, doc jsonb, tags text[], name text, amount numeric(12,2),
    updated timestamptz"""
SMALL_ROW = """n, 'customer ' || n, n % 1000000 / 100.0, n % 3 = 0,
    timestamptz '2026-01-01' + n * interval '1.234567 s', 'note ' || n || ', some words about it'"""
# True in each third row, beginning with row 0.
FILTERED = "active"
# What the columns are called, their type, and their value in row n: 40 with the key.
WIDE = [
    *((f"count_{i}", "int", f"n * {i} % 2000000000") for i in range(1, 10)),
    *((f"total_{i}", "bigint", f"n * {i}::bigint * 1000003") for i in range(1, 6)),
    *((f"text_{i}", "text", f"'text {i} of row ' || n") for i in range(1, 6)),
    *((f"price_{i}", "numeric(20,6)", f"n * 1.{i} / 7") for i in range(1, 5)),
    *((f"flag_{i}", "bool", f"n % {i + 2} = 0") for i in range(1, 4)),
    *((f"seen_{i}", "timestamptz", f"'2026-01-01'::timestamptz + n * interval '1.{i} s'")
      for i in range(1, 4)),
    *((f"local_{i}", "timestamp", f"'2025-01-01'::timestamp + n * interval '1.{i} s'")
      for i in range(1, 3)),
    *((f"day_{i}", "date", f"'2020-01-01'::date + n % (3000 + {i})") for i in range(1, 3)),
    *((f"uuid_{i}", "uuid", f"md5(n || '{i}')::uuid") for i in range(1, 3)),
    ("ratio", "float8", "n / 3.0"),
    ("ratio_short", "float4", "n / 9.0"),
    ("document", "jsonb", "jsonb_build_object('k', n, 'v', ARRAY[1, 2, 3])"),
    ("digest", "bytea", "decode(md5(n::text), 'hex')"),
]  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """So many events in a database of their own."""

    name: str
    what: str
    columns: str
    events: int
    """How many a client reads."""

    slow_events: int
    """How many of them one reads that takes ten times as long."""

    after_create: str = ""

    @property
    def kept(self) -> int:
        """How many are left by a plugin that drops those whose FILTERED is true."""
        return self.events - (self.events + 2) // 3

    def statement(self) -> str:
        """Writes it."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """A table's heading."""
        return f"{self.name.upper()}: {self.events:,} {self.what}"


class Inserts(Workload):
    """Transactions of 100 rows."""

    row = SMALL_ROW

    def statement(self) -> str:
        return f"""DO $$ BEGIN FOR k IN 0 .. {self.events // 100 - 1} LOOP
            INSERT INTO event SELECT {self.row} FROM generate_series(k * 100, k * 100 + 99) n;
            COMMIT; END LOOP; END $$"""


class WideInserts(Inserts):
    """Likewise."""

    row = ", ".join(["n", *(value for _, _, value in WIDE)])


class Mixed(Workload):
    """A row is inserted, changed, and deleted a little later; each is a transaction."""

    def statement(self) -> str:
        return f"""DO $$ BEGIN FOR k IN 1 .. {self.events // 3} LOOP
            INSERT INTO event VALUES (k,
                jsonb_build_object('user', k, 'kind', 'order', 'items', jsonb_build_array(1, 2, k),
                                   'address', jsonb_build_object('city', 'Köln', 'zip', '50667')),
                ARRAY['a', 'b c', 'd"e', k::text], 'name ' || k, k * 1.01,
                timestamptz '2026-01-01' + k * interval '1 s');
            COMMIT;
            UPDATE event SET amount = amount + 1, name = 'again ' || k, tags = tags || 'x'::text
                WHERE id = k;
            COMMIT;
            IF k > 10 THEN DELETE FROM event WHERE id = k - 10;
            ELSE UPDATE event SET name = name || '!' WHERE id = k; END IF;
            COMMIT;
            END LOOP; END $$"""


class Huge(Workload):
    """One transaction."""

    def statement(self) -> str:
        return f"INSERT INTO event SELECT {SMALL_ROW} FROM generate_series(1, {self.events}) n"


def workloads(sizes: dict[str, tuple[int, int]]) -> list[Workload]:
    """Those that have a size: how many events a client reads, and a slow one."""
    wide = ", ".join(["id bigint PRIMARY KEY", *(f"{name} {kind}" for name, kind, _ in WIDE)])
    mixed = "inserts, updates, deletes, one a transaction, REPLICA IDENTITY FULL, jsonb, text[]"
    full = "ALTER TABLE event REPLICA IDENTITY FULL"
    kinds: dict[str, tuple[type[Workload], str, str, str]] = {
        "w1": (Inserts, "inserts of 6 columns, 100 a transaction", SMALL, ""),
        "w2": (Mixed, mixed, MIXED, full),
        "w3": (WideInserts, "inserts of 40 columns, 100 a transaction", wide, ""),
        "w4": (Huge, "inserts of 6 columns in one transaction", SMALL, ""),
    }
    return [
        kind(name, what, columns, *sizes[name], after_create)
        for name, (kind, what, columns, after_create) in kinds.items()
        if name in sizes
    ]


@dataclass
class Place:
    """The server."""

    server: Server
    ends: dict[str, str] = field(default_factory=dict)
    """Where the WAL of each workload ends."""

    def connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection each statement of which is a transaction."""
        server = self.server
        return psycopg.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=database,
            autocommit=True,
        )

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Runs each statement in a transaction of its own; the rows of the last."""
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, database: str, columns: str, after_create: str = "") -> None:
        """A database with the table `event`, its publication and its base slot."""
        self.run(self.server.database, f"CREATE DATABASE {database}")
        slot = f"pg_create_logical_replication_slot('{BASE_SLOT.format(database)}', 'pgoutput')"
        self.run(
            database,
            f"CREATE TABLE event ({columns})",
            after_create or "SELECT",
            f"CREATE PUBLICATION {PUBLICATION} FOR TABLE event",
            "CHECKPOINT",
            f"SELECT {slot}",
        )

    def write(self, workload: Workload) -> None:
        """Writes a workload, and a transaction behind it for who reads to an LSN."""
        self.create(workload.name, workload.columns, workload.after_create)
        end = "SELECT pg_current_wal_insert_lsn()"
        self.ends[workload.name] = self.run(workload.name, workload.statement(), end)[0][0]
        self.run(
            workload.name,
            "SELECT pg_logical_emit_message(true, 'bench', 'end')",
            "CHECKPOINT",
        )

    def pass_over(self, database: str) -> None:
        """Whoever gets a slot from now on does not get what was written before."""
        base = BASE_SLOT.format(database)
        self.run(database, f"SELECT pg_replication_slot_advance('{base}', pg_current_wal_lsn())")

    @contextmanager
    def slot(self, database: str) -> Iterator[str]:
        """A copy of the base slot, for one client."""
        name = f"{database}_{next(_numbers)}"
        base = BASE_SLOT.format(database)
        self.run(database, f"SELECT pg_copy_logical_replication_slot('{base}', '{name}')")
        try:
            yield name
        finally:
            # The server may not know yet that the client is gone.
            self.run(
                database,
                "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots"
                f" WHERE slot_name = '{name}' AND active",
                f"SELECT pg_drop_replication_slot('{name}')",
            )


@contextmanager
def made(folder: Path) -> Iterator[Place]:
    """A server, with TLS where there is what that needs."""
    try:
        running = Server(
            settings={**SETTINGS, "ssl": "on"}, version=VERSION, files=certificate(folder)
        )
        running.start()
    except (OSError, ServerError, subprocess.CalledProcessError) as error:
        print(f"no TLS: {error}", file=sys.stderr)
        running = Server(settings=SETTINGS)
        running.start()
    try:
        yield Place(running)
    finally:
        running.remove()


def certificate(folder: Path) -> dict[str, Path]:
    """A server's, made for this run."""
    files = {name: folder / name for name in ("server.key", "server.crt")}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench"]
    command += ["-keyout", str(files["server.key"]), "-out", str(files["server.crt"])]
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, capture_output=True, check=True)
    return files


_numbers = itertools.count(1)
