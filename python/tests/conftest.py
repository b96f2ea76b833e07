"""A real PostgreSQL for every test, with a database, a publication and a slot of its own."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from pgoutput_decoder import LogicalReplicationReader, ReplicationMessage
from psycopg import sql

if TYPE_CHECKING:
    from container import Container

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 20.0
_numbers = itertools.count(1)


def guest(name: str) -> Path:
    """The file of a plugin in examples/plugins or tests/plugins, which tests/build.rs compiles."""
    folder = REPOSITORY / "target/component/wasm32-unknown-unknown/component"
    file = folder / f"{name}.wasm"
    assert file.is_file(), f"{file} is missing: make test-python builds it"
    return file


def load_postgres() -> ModuleType:
    """tests/postgres.py, which starts servers."""
    folder = str(REPOSITORY / "tests")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("postgres")


@dataclass
class Database:
    """One database with the publication `pub` for all its tables, and a slot."""

    host: str
    port: int
    user: str
    password: str
    name: str
    slot: str
    publication: str = "pub"

    def connect(self, database: str | None = None) -> psycopg.Connection[Any]:
        """A connection that commits each statement."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database or self.name,
            autocommit=True,
        )

    def execute(self, *statements: str) -> list[Any]:
        """Runs each statement in a transaction of its own; the rows of the last."""
        with self.connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def arguments(self, **changed: Any) -> dict[str, Any]:
        """What a reader of this database is made with."""
        arguments = {
            "publication_name": self.publication,
            "slot_name": self.slot,
            "host": self.host,
            "database": self.name,
            "port": self.port,
            "user": self.user,
            "password": self.password,
        }
        return arguments | changed

    def reader(self, **changed: Any) -> LogicalReplicationReader:
        """A reader of this database."""
        return LogicalReplicationReader(**self.arguments(**changed))

    def confirmed_lsn(self) -> int:
        """What the slot has confirmed."""
        query = "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s"
        with self.connect() as connection:
            row = connection.execute(query, [self.slot]).fetchone()
            assert row is not None
            return int(row[0])

    def wal_lsn(self) -> int:
        """Where the server's WAL ends."""
        return int(self.execute("SELECT pg_current_wal_lsn() - '0/0'")[0][0])

    def create(self) -> None:
        """Makes the database, the publication and the slot."""
        with self.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))
        with self.connect() as connection:
            name = sql.Identifier(self.publication)
            connection.execute(sql.SQL("CREATE PUBLICATION {} FOR ALL TABLES").format(name))
            connection.execute(
                "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [self.slot]
            )

    def drop(self) -> None:
        """Ends whoever streams, and removes the slot and the database."""
        with self.connect("postgres") as connection:
            ended = (
                "SELECT pg_terminate_backend(active_pid), pg_sleep(0.1) FROM pg_replication_slots "
                "WHERE database = %s AND active"
            )
            while connection.execute(ended, [self.name]).fetchone():
                pass
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE database = %s",
                [self.name],
            )
            # WITH (FORCE) came with PostgreSQL 13; without, the server waits 5 s for the last.
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [self.name],
            )
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(self.name)))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The server `scripts/postgres run` started around us, or one of our own."""
    given = os.environ.get("PGOUTPUT_TEST_URL")
    if given:
        yield given
        return
    with load_postgres().Server() as server:
        yield server.url


def database_at(url: str) -> Database:
    """A database that does not exist yet."""
    parts = urlsplit(url)
    number = next(_numbers)
    return Database(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 5432,
        user=unquote(parts.username or "postgres"),
        password=unquote(parts.password or ""),
        name=f"test_{os.getpid()}_{number}",
        slot=f"slot_{os.getpid()}_{number}",
    )


@pytest.fixture(scope="session")
def image() -> str:
    """A container image with a server; a test that wants it is skipped where Docker is not."""
    postgres = load_postgres()
    made = importlib.import_module("postgres_image")
    try:
        version = os.environ.get("PGOUTPUT_TEST_PG_VERSION")
        return str(made.image(version or None, postgres.SETTINGS))
    except made.DockerAbsentError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def container(image: str) -> Iterator[Container]:
    """A server in a container, which soon gives up on a reader that does not answer."""
    from container import Container

    with Container(image, ["-c", "wal_sender_timeout=2s"]) as container:
        yield container


@pytest.fixture
def database(server_url: str) -> Iterator[Database]:
    """A fresh database."""
    database = database_at(server_url)
    database.create()
    yield database
    database.drop()


@pytest.fixture
def table(database: Database) -> Database:
    """With the table t, of the one column id."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    return database


def insert_each(database: Database, *ids: int) -> None:
    """Rows of t, each of a transaction of its own."""
    database.execute(*(f"INSERT INTO t VALUES ({n})" for n in ids))


def insert_rows(database: Database, first: int, last: int) -> None:
    """Rows of t, of one transaction."""
    database.execute(f"INSERT INTO t SELECT generate_series({first}, {last})")


@pytest.fixture
def shop(database: Database) -> Database:
    """The database examples/setup_postgres.sql makes, with what it sells at first already read."""
    database.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
        "WHERE slot_name = 'ecommerce_slot'"
    )
    with database.connect() as connection:
        connection.execute((REPOSITORY / "examples" / "setup_postgres.sql").read_bytes())
    database.execute(
        "SELECT pg_replication_slot_advance('ecommerce_slot', pg_current_wal_insert_lsn())"
    )
    return database


async def take(reader: LogicalReplicationReader, count: int) -> list[ReplicationMessage]:
    """The next `count` messages."""
    async with asyncio.timeout(TIMEOUT_S):
        return [await anext(reader) for _ in range(count)]


async def eventually(condition: Any, what: str) -> None:
    """Waits until `condition()` holds."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"waited {TIMEOUT_S} s in vain: {what}")
