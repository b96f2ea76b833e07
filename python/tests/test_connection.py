"""Where a reader connects to, and where its password comes from."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from conftest import Database, eventually, take
from pgoutput_decoder import (
    ConfigurationError,
    ConnectionError,
    LogicalReplicationReader,
)

TABLE = "CREATE TABLE item (id int PRIMARY KEY)"


def without(database: Database, *names: str, **changed: Any) -> dict[str, Any]:
    """The arguments for a reader, some left out."""
    arguments = database.arguments(**changed)
    return {name: value for name, value in arguments.items() if name not in names}


async def works(database: Database, reader: LogicalReplicationReader) -> None:
    """A change arrives."""
    database.execute("CREATE TABLE IF NOT EXISTS item (id int)", "INSERT INTO item VALUES (1)")
    async with reader:
        (message,) = await take(reader, 1)
        assert message.after == {"id": 1}


async def test_a_dsn_says_where_and_arguments_count_before_it(database: Database) -> None:
    dsn = (
        f"postgresql://{database.user}:{database.password}@{database.host}:1/{database.name}"
        "?sslmode=disable"
    )
    arguments = without(database, "host", "database", "user", "password")
    await works(database, LogicalReplicationReader(**arguments, dsn=dsn))


async def test_what_is_missing_comes_from_the_environment(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
        "PGDATABASE": database.name,
        "PGAPPNAME": "of the environment",
    }.items():
        monkeypatch.setenv(name, value)
    reader = LogicalReplicationReader(database.publication, database.slot)
    async with reader:
        query = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name ~ %s"
        with database.connect() as connection:
            rows = connection.execute(query, ["of the env"]).fetchall()
        assert rows == [("of the environment",)]


async def test_libpqs_other_parameters_go_by_their_names(database: Database) -> None:
    reader = database.reader(sslmode="prefer", connect_timeout=5, sslsni=True, hostaddr=None)
    await works(database, reader)
    with pytest.raises(ConnectionError, match="does not support TLS"):
        await anext(database.reader(sslmode="require"))
    with pytest.raises(ConfigurationError, match=r"^sslmode: disable, allow"):
        database.reader(sslmode="hunter2")
    with pytest.raises(ConfigurationError, match="GSSAPI is not supported"):
        database.reader(krbsrvname="x")
    with pytest.raises(TypeError, match="sslmod"):
        database.reader(sslmod="require")
    with pytest.raises(TypeError, match="password: expected a str"):
        database.reader(password=7)


@pytest.mark.parametrize("kind", ["async", "sync", "returns an awaitable"])
async def test_a_password_is_asked_for_at_every_login(database: Database, kind: str) -> None:
    database.execute(TABLE)
    asked: list[threading.Thread] = []

    async def in_the_loop() -> str:
        asked.append(threading.current_thread())
        await asyncio.sleep(0)
        return database.password

    def in_a_thread() -> str:
        asked.append(threading.current_thread())
        return database.password

    passwords: dict[str, Any] = {
        "async": in_the_loop,
        "sync": in_a_thread,
        "returns an awaitable": lambda: in_the_loop(),
    }
    async with database.reader(password=passwords[kind]) as reader:
        database.execute("INSERT INTO item VALUES (1)")
        await take(reader, 1)
        before = len(asked)
        assert before > 0
        assert all((thread is threading.main_thread()) == (kind != "sync") for thread in asked)
        database.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
            f"WHERE slot_name = '{database.slot}'",
            "INSERT INTO item VALUES (2)",
        )
        (message,) = await take(reader, 1)
        assert message.after == {"id": 2}
        assert len(asked) > before


async def test_what_a_password_raises_is_the_cause(database: Database) -> None:
    closed = LookupError("the vault is closed")

    def fails() -> str:
        raise closed

    with pytest.raises(ConnectionError, match="the password's callback failed") as caught:
        await anext(database.reader(password=fails))
    assert caught.value.__cause__ is closed
    with pytest.raises(ConnectionError) as caught:
        await anext(database.reader(password=lambda: 7))
    assert isinstance(caught.value.__cause__, TypeError)


async def test_a_password_that_does_not_come_is_given_up(database: Database) -> None:
    cancelled = asyncio.Event()

    async def never() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    with pytest.raises(ConnectionError, match=r"no answer within 0\.2 s"):
        await anext(database.reader(password=never, connect_timeout=0.2))
    await eventually(cancelled.is_set, "the task is cancelled")


async def test_no_password_is_printed(database: Database) -> None:
    readers = [
        database.reader(password="hunter2"),
        database.reader(password="", dsn="postgresql://u:hunter2@h/d"),
        database.reader(sslpassword="hunter2", password="hunter2"),
    ]
    for reader in readers:
        assert "hunter2" not in repr(reader)
        with pytest.raises(ConnectionError) as caught:
            await anext(reader)
        assert "hunter2" not in repr(caught.value) + str(vars(caught.value))
    for wrong in ["postgresql://u:hunter2@h:x/d", "password=a hunter2", "hunter2"]:
        with pytest.raises(ConfigurationError) as refused:
            database.reader(dsn=wrong)
        assert "hunter2" not in repr(refused.value)
