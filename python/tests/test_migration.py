"""What docs/migration.md says of this package, where no other test holds it; and that one does."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from decimal import Decimal
from pathlib import Path

import pgoutput_decoder
import pytest
from conftest import REPOSITORY, Database, take
from pgoutput_decoder import (
    ConfigurationError,
    LogicalReplicationReader,
    ReplicationError,
    format_operation,
    get_table_name,
    message_to_debezium_json,
    message_to_dict,
)

PAGE = REPOSITORY / "docs" / "migration.md"
TESTS = Path(__file__).parent


def test_every_row_of_the_page_has_a_test() -> None:
    known = set()
    for path in TESTS.glob("test_*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                known.add(f"{path.stem}::{statement.name}")
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| [^-|]", line)]
    rows = [row for row in rows if not row.startswith("| 0.1.0 |")]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`(test_\w+::test_\w+)`", row.rsplit("|", 2)[1])
        assert named, row
        assert set(named) <= known, row


def test_what_0_1_0_had_is_there() -> None:
    names = ("LogicalReplicationReader", "ReplicationMessage", "message_to_debezium_json")
    for name in (*names, "message_to_dict", "format_operation", "get_table_name"):
        assert name in pgoutput_decoder.__all__
    parameters = inspect.signature(LogicalReplicationReader).parameters
    assert list(parameters)[:9] == [
        "publication_name",
        "slot_name",
        "host",
        "database",
        "port",
        "user",
        "password",
        "start_lsn",
        "auto_acknowledge",
    ]
    assert parameters["auto_acknowledge"].default is True
    assert parameters["user"].default is None
    for name in ("ReplicationError", "ConnectionError", "SlotNotFoundError", "DecodingError"):
        error = getattr(pgoutput_decoder.exceptions, name)
        assert issubclass(error, RuntimeError)
        assert getattr(pgoutput_decoder, name) is error


def test_start_lsn_is_read() -> None:
    with pytest.raises(ConfigurationError):
        LogicalReplicationReader("p", "s", start_lsn="nonsense")
    LogicalReplicationReader("p", "s", start_lsn="0/16B3748")
    LogicalReplicationReader("p", "s", start_lsn=23803720)


async def test_truncates_and_messages_can_be_left_out(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "TRUNCATE t",
        "SELECT pg_logical_emit_message(true, 'prefix', 'content')",
        "INSERT INTO t VALUES (1)",
    )
    options = {"skipped.operations": "t", "message.prefix.exclude.list": ".*"}
    async with database.reader(options=options) as reader:
        [message] = await take(reader, 1)
    assert message.op == "c"


async def test_a_message_as_a_dict_is_its_json(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, b bytea, long text)",
        "INSERT INTO t SELECT 1, 1.50, '\\x00ff', string_agg(md5(i::text), '')"
        " FROM generate_series(1, 500) i",
        "UPDATE t SET n = 2.50",
    )
    async with database.reader() as reader:
        [inserted, updated] = await take(reader, 2)
    row = (message_to_dict(inserted) or {})["after"]
    assert (row["n"], row["b"]) == (Decimal("1.50"), "AP8=")
    assert inserted.after["b"] == b"\x00\xff"
    row = (message_to_dict(updated) or {})["after"]
    assert row["long"] == "__debezium_unavailable_value"


async def test_json_has_the_columns_order(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (z int PRIMARY KEY, a boolean, j json)",
        """INSERT INTO t VALUES (1, true, '{"b": [1], "a": 2}')""",
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    text = '"after":{"z":1,"a":true,"j":{"b": [1], "a": 2}}'
    assert text in message.to_debezium_json()
    assert message.json == message.to_debezium_json().encode()
    assert text in message_to_debezium_json(message, indent=None)
    indented = message_to_debezium_json(message)
    assert indented.startswith('{\n  "before": null,\n  "after": {\n    "z": 1,')
    assert list(json.loads(indented)) == ["before", "after", "source", "op"] + [
        f"ts_{unit}" for unit in ("ms", "us", "ns")
    ]


async def test_helpers_know_the_new_operations(database: Database) -> None:
    database.execute("SELECT pg_logical_emit_message(true, 'prefix', 'content')")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert get_table_name(message) == ""
    names = [format_operation(op) for op in "cudrtm"]
    assert names == ["INSERT", "UPDATE", "DELETE", "READ", "TRUNCATE", "MESSAGE"]


async def test_lsns_as_decimal_text(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    async with database.reader(auto_acknowledge=False) as reader:
        [message] = await take(reader, 1)
        await reader.acknowledge(str(message.source["lsn"]))
        with pytest.raises(ReplicationError, match="No pending LSN"):
            await reader.acknowledge()


async def test_the_server_is_told_soon(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    end = database.wal_lsn()
    async with database.reader(auto_acknowledge=False) as reader:
        await take(reader, 1)
        await reader.acknowledge()
        async with asyncio.timeout(5):
            while database.confirmed_lsn() < end:
                await asyncio.sleep(0.05)
