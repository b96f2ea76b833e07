"""What an event says about updates, deletes, keys, TOAST, TRUNCATE and logical messages."""

from __future__ import annotations

import copy
import pickle

import pytest
from conftest import Database, take
from pgoutput_decoder import UNCHANGED


async def test_default_identity_gives_no_old_row(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "INSERT INTO t VALUES (1, 'x')",
        "UPDATE t SET a = 'y'",
        "DELETE FROM t",
    )
    async with database.reader() as reader:
        _, update, delete = await take(reader, 3)
    assert (update.before, update.after) == (None, {"id": 1, "a": "y"})
    # The other columns are not known: absent, not None.
    assert (delete.before, delete.after) == ({"id": 1}, None)


async def test_key_change_is_one_update_with_the_old_key(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a int, id int PRIMARY KEY)",
        "INSERT INTO t VALUES (7, 1)",
        "UPDATE t SET id = 2",
        "INSERT INTO t VALUES (8, 3)",
    )
    async with database.reader() as reader:
        _, update, insert = await take(reader, 3)
    assert (update.op, update.before, update.after) == ("u", {"id": 1}, {"a": 7, "id": 2})
    assert insert.op == "c"


async def test_unchanged_toast_is_a_sentinel(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text, big text)",
        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO t VALUES (1, 'a', repeat('x', 100000))",
        "UPDATE t SET a = 'b'",
        "UPDATE t SET big = NULL",
    )
    async with database.reader() as reader:
        insert, unchanged, null = await take(reader, 3)
    assert insert.after["big"] == "x" * 100_000
    assert unchanged.after["big"] is UNCHANGED
    assert unchanged.after["a"] == "b"
    assert unchanged.unchanged == ("big",)
    assert null.after["big"] is None
    assert null.unchanged == ()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(None, b"\xde\xad"), ("bytes", b"\xde\xad"), ("base64", "3q"), ("hex", "de")],
)
async def test_bytea_cut(database: Database, mode: str | None, expected: bytes | str) -> None:
    database.execute("CREATE TABLE t (b bytea)", r"INSERT INTO t VALUES ('\xdeadbeef')")
    options = {"column.truncate.to.2.chars": "public.t.b"}
    if mode:
        options["binary.handling.mode"] = mode
    async with database.reader(options=options) as reader:
        [message] = await take(reader, 1)
    assert message.after == {"b": expected}


@pytest.mark.parametrize("placeholder", [None, "x", "[1]", "null"])
async def test_unchanged_toast_of_every_kind(database: Database, placeholder: str | None) -> None:
    kinds = {
        "numeric": "repeat('1234567890', 1000)::numeric",
        "numeric[]": "array_fill(1.5, ARRAY[1000])",
        "float8[]": "array_fill(1.5::float8, ARRAY[1000])",
        "bytea": "decode(repeat('ab', 10000), 'hex')",
        "bytea[]": "array_fill('\\xab'::bytea, ARRAY[1000])",
        "jsonb": "to_jsonb(array_fill(1.5, ARRAY[1000]))",
        "pair": "ROW(repeat('1234567890', 1000)::numeric)::pair",
    }
    columns = [f"v{index}" for index in range(len(kinds))]
    declared = ", ".join(map(" ".join, zip(columns, kinds, strict=True)))
    external = ", ".join(f"ALTER {column} SET STORAGE EXTERNAL" for column in columns)
    database.execute(
        "CREATE TYPE pair AS (n numeric)",
        f"CREATE TABLE t (id int PRIMARY KEY, a text, {declared})",
        f"ALTER TABLE t {external}",
        f"INSERT INTO t SELECT 1, 'a', {', '.join(kinds.values())}",
        "UPDATE t SET a = 'b'",
    )
    options = {"unavailable.value.placeholder": placeholder} if placeholder else {}
    async with database.reader(options=options) as reader:
        insert, update = await take(reader, 2)
    assert not insert.unchanged
    assert update.after == {"id": 1, "a": "b"} | dict.fromkeys(columns, UNCHANGED)
    assert update.unchanged == tuple(columns)


async def test_unchanged_toast_with_full_identity(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text, big text)",
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO t VALUES (1, 'a', repeat('x', 100000))",
        "UPDATE t SET a = 'b'",
    )
    async with database.reader() as reader:
        _, update = await take(reader, 2)
    assert update.before["big"] == "x" * 100_000
    assert update.after["big"] in (UNCHANGED, "x" * 100_000)


def test_unchanged_is_one_thing() -> None:
    assert repr(UNCHANGED) == str(UNCHANGED) == "UNCHANGED"
    assert not UNCHANGED
    assert UNCHANGED != None  # noqa: E711
    assert pickle.loads(pickle.dumps(UNCHANGED)) is UNCHANGED
    assert copy.copy(UNCHANGED) is UNCHANGED
    assert copy.deepcopy({"a": UNCHANGED})["a"] is UNCHANGED


async def test_truncate(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)", "TRUNCATE t")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert (message.op, message.before, message.after) == ("t", None, None)
    assert message.source["table"] == message.table == "t"


async def test_logical_message(database: Database) -> None:
    database.execute("SELECT pg_logical_emit_message(true, 'my prefix', 'content')")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert message.op == "m"
    assert (message.before, message.after) == (None, None)
    assert (message.schema, message.table) == ("", "")
    assert '"my prefix"' in message.to_debezium_json()


async def test_schema_changes_are_followed(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "INSERT INTO t VALUES (1, 'x')",
        "ALTER TABLE t ADD b numeric",
        "INSERT INTO t VALUES (2, 'y', 1.5)",
        "ALTER TABLE t DROP a",
        "ALTER TABLE t RENAME b TO c",
        "INSERT INTO t VALUES (3, 2.5)",
    )
    async with database.reader() as reader:
        messages = await take(reader, 3)
    assert [list(message.after) for message in messages] == [
        ["id", "a"],
        ["id", "a", "b"],
        ["id", "c"],
    ]


async def test_composite(database: Database) -> None:
    database.execute(
        "CREATE TYPE pair AS (a int, b text, c int)",
        "CREATE TABLE t (p pair)",
        "INSERT INTO t VALUES (ROW(1, 'x y', NULL))",
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert message.after == {"p": {"a": 1, "b": "x y", "c": None}}


@pytest.mark.parametrize("format", ["native", "debezium"])
async def test_rolled_back_changes_are_not_seen(database: Database, format: str) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with database.connect() as connection:
        for statement in (
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "SAVEPOINT s",
            "INSERT INTO t VALUES (2)",
            "ROLLBACK TO s",
            "INSERT INTO t VALUES (3)",
            "COMMIT",
        ):
            connection.execute(statement)
    async with database.reader(format=format) as reader:
        messages = await take(reader, 2)
    assert [message.after["id"] for message in messages] == [1, 3]
