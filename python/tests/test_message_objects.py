"""Messages as Python objects: compared, copied, pickled, matched, shown; values as classes."""

from __future__ import annotations

import copy
import pickle
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from conftest import Database, take
from pgoutput_decoder import Column, ConfigurationError, ReplicationMessage, message_to_dict

TABLE = """
CREATE TABLE item (id int PRIMARY KEY, price numeric(10, 2) NOT NULL, big text, doc json,
                   at timestamptz, tags text[])
"""


async def messages(database: Database, count: int, **changed: Any) -> list[ReplicationMessage]:
    """The next ones."""
    async with database.reader(**changed) as reader:
        return await take(reader, count)


def setup(database: Database) -> None:
    """Each kind of change."""
    database.execute(
        TABLE,
        "ALTER TABLE item ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO item VALUES (1, 1.50, repeat('x', 9000), '{\"a\": 1.10}', now(), '{a,b}')",
        "UPDATE item SET price = 2 WHERE id = 1",
        "DELETE FROM item WHERE id = 1",
        "TRUNCATE item",
    )


def parts(message: ReplicationMessage) -> dict[str, Any]:
    """Everything one can ask a message."""
    names = (
        "op before after source ts_ms ts_us ts_ns key topic position lsn xid table schema columns "
        "transaction unchanged headers json commit_ts_us"
    )
    found = {name: getattr(message, name) for name in names.split()}
    return found | {"repr": repr(message), "text": message.to_debezium_json(2)}


@pytest.mark.parametrize("format", ["native", "debezium"])
async def test_what_is_pickled_or_copied_is_the_same_message(
    database: Database, format: str
) -> None:
    setup(database)
    wishes = {"temporal": "datetime"} if format == "native" else {}
    found = await messages(database, 4, format=format, decimal="str", **wishes)
    assert len(set(found)) == 4
    for message in found:
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(message, protocol))
            assert again is not message
            assert again == message
            assert hash(again) == hash(message)
            assert parts(again) == parts(message)
        assert copy.copy(message) is message
        assert copy.deepcopy({"m": message})["m"] is message
    assert found[0] != found[1]
    assert found[0] != "a message"


async def test_a_message_can_be_matched(database: Database) -> None:
    setup(database)
    kinds = []
    for message in await messages(database, 4):
        match message:
            case ReplicationMessage("c", "item", after={"id": int() as key}):
                kinds.append(f"new {key}")
            case ReplicationMessage(op="u" | "d" as op):
                kinds.append(op)
            case ReplicationMessage("t"):
                kinds.append("all gone")
    assert kinds == ["new 1", "u", "d", "all gone"]


async def test_a_message_shows_its_table_and_key_alone(database: Database) -> None:
    setup(database)
    database.execute(
        "CREATE TABLE wide (name text PRIMARY KEY, secret text)",
        "INSERT INTO wide VALUES (repeat('k', 500), 'secret')",
        "CREATE TABLE keyless (secret text)",
        "INSERT INTO keyless VALUES ('secret')",
    )
    shown = [repr(message) for message in await messages(database, 6)]
    assert shown[:4] == [
        "<ReplicationMessage 'c' public.item {\"id\":1}>",
        "<ReplicationMessage 'u' public.item {\"id\":1}>",
        "<ReplicationMessage 'd' public.item {\"id\":1}>",
        "<ReplicationMessage 't' public.item>",
    ]
    assert len(shown[4]) < 130
    assert shown[4].endswith("…>")
    assert shown[5] == "<ReplicationMessage 'c' public.keyless>"
    assert "secret" not in str(shown)


async def test_a_message_is_immutable(database: Database) -> None:
    setup(database)
    (message,) = await messages(database, 1)
    with pytest.raises(AttributeError):
        message.op = "d"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        message.mine = 1  # type: ignore[attr-defined]


async def test_columns_are_described_and_the_commit_time_told(database: Database) -> None:
    setup(database)
    (message,) = await messages(database, 1)
    assert message.columns[:2] == (
        Column("id", 23, -1, in_key=True, nullable=False),
        Column("price", 1700, (10 << 16) + 2 + 4, in_key=False, nullable=False),
    )
    assert [column.name for column in message.columns] == list(message.after)
    assert message.commit_ts_us == message.source["ts_us"]
    assert message.json == message.to_debezium_json().encode()
    assert message.key_json == b'{"id":1}'
    event = message_to_dict(message)
    assert event is not None
    assert event["after"]["price"] == Decimal("1.50")


async def test_debeziums_transaction_block(database: Database) -> None:
    setup(database)
    options = {"provide.transaction.metadata": True}
    begin, insert, end = await messages(database, 3, format="debezium", options=options)
    assert (begin.transaction, end.transaction) == (None, None)
    assert insert.transaction["total_order"] == 1
    assert insert.transaction["id"].startswith(f"{insert.xid}:")
    database.execute("CREATE TABLE odd (transaction int PRIMARY KEY)", "INSERT INTO odd VALUES (5)")
    unwrapping = {"transforms": "u", "transforms.u.type": UNWRAP}
    async with database.reader(format="debezium", options=unwrapping) as reader:
        async for message in reader:
            if message.table == "odd":
                break
    assert (message.after, message.transaction) == ({"transaction": 5}, None)


UNWRAP = "io.debezium.transforms.ExtractNewRecordState"

TEMPORAL = [
    ("date", "'2024-02-29'", date(2024, 2, 29)),
    ("date", "'0044-03-15 BC'", "-0043-03-15"),
    ("date", "'infinity'", "infinity"),
    ("date", "'9999-12-31'", date(9999, 12, 31)),
    ("date", "'10000-01-01'", "+10000-01-01"),
    ("time", "'12:34:56.789012'", time(12, 34, 56, 789012)),
    ("time", "'24:00'", "24:00:00"),
    ("timetz", "'10:00+02'", time(10, tzinfo=timezone(timedelta(hours=2)))),
    (
        "timetz",
        "'10:00+02:03:04'",
        time(10, tzinfo=timezone(timedelta(hours=2, minutes=3, seconds=4))),
    ),
    ("timetz", "'24:00-12'", "24:00:00-12:00"),
    ("timestamp", "'2024-02-29 12:34:56.7'", datetime(2024, 2, 29, 12, 34, 56, 700000)),
    ("timestamp", "'-infinity'", "-infinity"),
    ("timestamptz", "'2024-02-29 12:00+05'", datetime(2024, 2, 29, 7, tzinfo=UTC)),
    ("timestamptz", "'0001-01-01 00:00+00'", datetime(1, 1, 1, tzinfo=UTC)),
    (
        "date[]",
        "'{{2024-02-29,NULL},{infinity,0001-01-01}}'",
        [[date(2024, 2, 29), None], ["infinity", date(1, 1, 1)]],
    ),
    ("date[]", "'[0:0]={2024-02-29}'", "[0:0]={2024-02-29}"),
    ("birthday", "'2024-02-29'", date(2024, 2, 29)),
    ("timestamptz[]", "'{2024-02-29 12:00+00}'", [datetime(2024, 2, 29, 12, tzinfo=UTC)]),
    (
        "uuid",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        uuid.UUID("a0eebc999c0b4ef8bb6d6bb9bd380a11"),
    ),
    (
        "uuid[]",
        "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
        [uuid.UUID("a0eebc999c0b4ef8bb6d6bb9bd380a11")],
    ),
    ("text", "'2024-02-29'", "2024-02-29"),
    ("interval", "'1 day'", "P0Y0M1DT0H0M0S"),
    ("date", "NULL", None),
]


@pytest.mark.parametrize("binary", [False, True])
async def test_dates_times_and_uuids_become_pythons(database: Database, binary: bool) -> None:
    if binary and int(database.execute("SHOW server_version_num")[0][0]) < 140000:
        pytest.skip("binary values came with PostgreSQL 14")
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(TEMPORAL))
    values = ", ".join(value for _, value, _ in TEMPORAL)
    database.execute(
        "CREATE DOMAIN birthday AS date",
        f"CREATE TABLE t (k date PRIMARY KEY DEFAULT '2024-02-29', {columns})",
        f"INSERT INTO t VALUES (DEFAULT, {values})",
    )
    (message,) = await messages(database, 1, binary=binary, temporal="datetime", uuid="UUID")
    assert message.key == {"k": date(2024, 2, 29)}
    for number, (kind, text, expected) in enumerate(TEMPORAL):
        found = message.after[f"c{number}"]
        if kind != "interval":
            assert found == expected, (kind, text)
        assert type(found) is type(expected), (kind, text)


@pytest.mark.parametrize("name", ["temporal", "uuid"])
def test_a_wish_that_cannot_be_met_is_refused(database: Database, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        database.reader(**{name: "no such class"})
    wish = {"temporal": "datetime", "uuid": "UUID"}[name]
    with pytest.raises(ConfigurationError, match=f'{name}: for format="native"'):
        database.reader(format="debezium", **{name: wish})
