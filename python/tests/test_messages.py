"""The functions of a message, JSON in both formats."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest
from conftest import Database, take
from pgoutput_decoder import (
    format_operation,
    get_table_name,
    message_to_debezium_json,
    message_to_dict,
)

TABLE = (
    """CREATE TABLE t (
        id int PRIMARY KEY, n numeric(10,2), f float8, b bytea, j jsonb, a text[], e text
    )""",
    "ALTER TABLE t REPLICA IDENTITY FULL",
    r"""INSERT INTO t VALUES (
        1, 750, 1.5, '\x00ff', '{"k": [1, {"x": []}], "o": {}}', '{"a,b","c\"d"}',
        E'brackets {[,: \\ " \n é'
    )""",
    "UPDATE t SET id = 2",
    "DELETE FROM t",
)


@pytest.mark.parametrize("format", ["native", "debezium"])
@pytest.mark.parametrize("indent", [None, 0, 2, 4])
async def test_json_layout_is_json_dumps_s(
    database: Database, format: str, indent: int | None
) -> None:
    database.execute(*TABLE)
    async with database.reader(format=format) as reader:
        messages = await take(reader, 3)
    for message in messages:
        text = message_to_debezium_json(message, indent=indent)
        assert text == message.to_debezium_json(indent=indent)
        if indent is None:
            assert "\n" not in text
            continue
        # Fractions pass as marked strings, so that 750.00 stays what it is.
        parsed = json.loads(text, parse_float=lambda fraction: f"<{fraction}>")
        laid_out = json.dumps(parsed, indent=indent, ensure_ascii=False)
        assert text == re.sub(r'"<([-+.\deE]+)>"', r"\1", laid_out)


async def test_json_default_arguments(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert message_to_debezium_json(message) == message.to_debezium_json(2)
    assert message_to_debezium_json(message, None) == message.to_debezium_json()
    assert message.json == message.to_debezium_json().encode()
    assert '\n  "op": "c"' in message_to_debezium_json(message)


async def test_message_to_dict(database: Database) -> None:
    database.execute(*TABLE)
    async with database.reader() as reader:
        insert, update, delete = await take(reader, 3)
    for message in (insert, update, delete):
        event = message_to_dict(message)
        assert event is not None
        assert event == json.loads(message.to_debezium_json(), parse_float=Decimal)
        assert (event["op"], event["ts_ms"]) == (message.op, message.ts_ms)
        assert event["source"] == message.source
    inserted = message_to_dict(insert)
    assert inserted is not None
    after = inserted["after"]
    assert str(after["n"]) == "750.00"
    assert after["b"] == "AP8="
    assert insert.after["b"] == b"\x00\xff"
    assert update.before == insert.after
    assert delete.before == update.after
    assert delete.key == {"id": 2}


def test_format_operation() -> None:
    words = {"c": "INSERT", "u": "UPDATE", "d": "DELETE", "t": "TRUNCATE", "x": "UNKNOWN(x)"}
    assert {op: format_operation(op) for op in words} == words


async def test_get_table_name(database: Database) -> None:
    database.execute(
        "CREATE SCHEMA shop", "CREATE TABLE shop.t (id int)", "INSERT INTO shop.t VALUES (1)"
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert get_table_name(message) == "shop.t"


async def test_debezium_format(database: Database) -> None:
    database.execute(*TABLE)
    async with database.reader(format="debezium", options={"topic.prefix": "app"}) as reader:
        insert, delete, tombstone, create, *_ = await take(reader, 6)
    # The JSON as it is: Debezium's rendering of numeric and bytea.
    assert insert.after["n"] == "AST4"
    assert insert.after["b"] == "AP8="
    assert json.loads(insert.after["j"]) == {"k": [1, {"x": []}], "o": {}}
    assert insert.source["connector"] == "postgresql"
    assert insert.source["name"] == "app"
    # A key change is a delete, a tombstone and a create, of one change of the server.
    ops: list[str | None] = [message.op for message in (delete, tombstone, create)]
    assert ops == ["d", None, "c"]
    assert (tombstone.json, tombstone.to_debezium_json(), tombstone.after) == (None, "null", None)
    assert tombstone.key == delete.key == {"id": 1}
    assert [m.position.partition(":")[2] for m in (delete, tombstone, create)] == [
        "1",
        "1.1",
        "1.2",
    ]
    assert "__debezium.newkey" in delete.headers


async def test_helpers_of_tombstones_and_transaction_metadata(database: Database) -> None:
    database.execute(*TABLE[:1], "INSERT INTO t VALUES (1)", "DELETE FROM t")
    options = {"provide.transaction.metadata": True}
    async with database.reader(format="debezium", options=options) as reader:
        messages = await take(reader, 7)
    *_, delete, tombstone, end = messages
    assert (delete.op, message_to_dict(tombstone)) == ("d", None)
    assert [get_table_name(m) for m in messages] == ["", "public.t", "", "", *["public.t"] * 2, ""]
    event = message_to_dict(end)
    assert event is not None
    assert event["status"] == "END"
    assert message_to_debezium_json(tombstone) == "null"
    for message in (tombstone, end):
        assert (message.op, message.source, format_operation(message.op)) == (
            None,
            None,
            "UNKNOWN(None)",
        )
    assert (tombstone.ts_ms, tombstone.ts_us, tombstone.ts_ns) == (None, None, None)


async def test_debezium_options(database: Database) -> None:
    database.execute("CREATE TABLE t (n numeric(10,2))", "INSERT INTO t VALUES (1.5)")
    options = {"decimal_handling_mode": "string"}
    async with database.reader(format="debezium", options=options) as reader:
        [message] = await take(reader, 1)
    assert message.after == {"n": "1.50"}
