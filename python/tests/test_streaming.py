"""What the server is asked for: streamed and prepared transactions, binary, origins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Database, eventually, take
from pgoutput_decoder import ConfigurationError, ReplicationError
from psycopg import sql

ROWS = 5000


def prepare(database: Database) -> None:
    """With so little memory the server streams what has some hundred changes."""
    with database.connect() as connection:
        name = sql.Identifier(database.name)
        memory = sql.SQL("ALTER DATABASE {} SET logical_decoding_work_mem = '64kB'").format(name)
        connection.execute(memory)
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, v numeric(9,2), b bytea)")


def insert(database: Database) -> None:
    database.execute(
        f"INSERT INTO t SELECT n, n / 7.0, 'abc' FROM generate_series(1, {ROWS}) n",
    )


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"streaming": "off"},
        {"streaming": "on", "binary": True},
        {"streaming": "parallel"},
        {"origin": "none"},
        {"two_phase": True, "origin": "any"},
    ],
    ids=["default", "off", "on", "parallel", "origin", "two_phase"],
)
async def test_the_messages_are_the_same(database: Database, asked: dict[str, Any]) -> None:
    prepare(database)
    async with database.reader(**asked) as reader:
        insert(database)
        messages = await take(reader, ROWS)
    assert [message.after["id"] for message in messages] == list(range(1, ROWS + 1))
    assert str(messages[6].after["v"]) == "1.00"
    assert messages[6].after["b"] == b"abc"
    two_phase = database.execute("SELECT two_phase FROM pg_replication_slots WHERE active_pid > 0")
    assert two_phase in ([], [(bool(asked.get("two_phase")),)])


async def test_origin_none_leaves_out_what_was_replicated(database: Database) -> None:
    prepare(database)
    async with database.reader(origin="none") as reader:
        with database.connect() as connection:
            connection.execute(
                "SELECT pg_replication_origin_create(%s), pg_replication_origin_session_setup(%s)",
                [database.slot, database.slot],
            )
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute("SELECT pg_replication_origin_session_reset()")
            connection.execute("SELECT pg_replication_origin_drop(%s)", [database.slot])
        database.execute("INSERT INTO t VALUES (2)")
        assert [message.after["id"] for message in await take(reader, 1)] == [2]


async def test_a_prepared_transaction_comes_when_it_is_committed(database: Database) -> None:
    prepare(database)
    async with database.reader(two_phase=True) as reader:
        gid = database.slot
        with database.connect() as connection:
            connection.execute("BEGIN")
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute(f"PREPARE TRANSACTION '{gid}'".encode())
        prepared = database.wal_lsn()
        database.execute("INSERT INTO t VALUES (2)")
        assert [message.after["id"] for message in await take(reader, 1)] == [2]
        await take_marker(database, reader)
        assert database.confirmed_lsn() < prepared
        database.execute(f"COMMIT PREPARED '{gid}'")
        assert [message.after["id"] for message in await take(reader, 1)] == [1]
        await take_marker(database, reader)
        await eventually(lambda: database.confirmed_lsn() > prepared, "it is confirmed")


async def take_marker(database: Database, reader: Any) -> None:
    """Asks for one more message, which acknowledges those before."""
    database.execute("SELECT pg_logical_emit_message(true, 'marker', '')")
    assert [message.op for message in await take(reader, 1)] == ["m"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"streaming": "yes"}, 'streaming: expected "off", "on" or "parallel"'),
        ({"origin": "some"}, 'origin: expected "any" or "none"'),
    ],
)
def test_other_words_are_refused(database: Database, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        database.reader(**asked)


async def test_the_stash_has_a_place_and_a_limit(database: Database, tmp_path: Path) -> None:
    prepare(database)
    with pytest.raises(ConfigurationError, match="stash_directory: "):
        await take(database.reader(stash_directory=tmp_path / "nowhere"), 1)
    # Beyond the memory for it, 32 MiB, and with nothing allowed in files.
    reader = database.reader(stash_directory=str(tmp_path), stash_max_bytes=0)
    database.execute(
        "ALTER TABLE t ALTER b SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT n, 0, convert_to(repeat('x', 1000000), 'UTF8') "
        "FROM generate_series(1, 40) n",
    )
    with pytest.raises(ReplicationError, match="stash_max_bytes, which is 0") as caught:
        await take(reader, 1)
    assert caught.value.hint is not None
    assert "stash_max_bytes" in caught.value.hint
    await reader.stop()
    assert list(tmp_path.iterdir()) == []
    async with database.reader(stash_directory=tmp_path) as reader:
        assert len(await take(reader, 40)) == 40
