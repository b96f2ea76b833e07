"""Every type of 0.1.0's table, and the values it got wrong."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from conftest import Database, take
from pgoutput_decoder import UNCHANGED, message_to_dict

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
LONG = "123456789012345678901234567890.123456789"

# (type, SQL literal, what Python gets)
VALUES: list[tuple[str, str, Any]] = [
    ("bool", "true", True),
    ("bool", "false", False),
    ("int2", "-32768", -32768),
    ("int4", "2147483647", 2147483647),
    ("int8", "9223372036854775807", 9223372036854775807),
    ("float4", "1.1", 1.1),
    ("float8", "0.1", 0.1),
    ("float8", "1", 1.0),
    ("float8", "1e308", 1e308),
    ("float8", "'Infinity'", math.inf),
    ("float8", "'-Infinity'", -math.inf),
    ("numeric", LONG, Decimal(LONG)),
    ("numeric(10,2)", "1.5", Decimal("1.50")),
    ("numeric(10,0)", "1", Decimal(1)),
    ("text", "'\U0001f600 \" \\ / ü' || chr(1) || chr(10)", '\U0001f600 " \\ / ü\x01\n'),
    ("text", "''", ""),
    ("varchar(9)", "'abc'", "abc"),
    ("char(5)", "'ab'", "ab   "),
    ("bytea", r"'\x00ff10'", b"\x00\xff\x10"),
    ("bytea", "''", b""),
    ("json", '\'{"b":1,"a":[1,2],"n":1.5}\'', {"b": 1, "a": [1, 2], "n": 1.5}),
    ("jsonb", "'{\"a\":[1,null,true]}'", {"a": [1, None, True]}),
    ("jsonb", "'[1,2]'", [1, 2]),
    ("jsonb", "'\"text\"'", "text"),
    ("jsonb", "'12345678901234567890123'", 12345678901234567890123),
    ("jsonb", "'12345678901234567890.5'", Decimal("12345678901234567890.5")),
    ("jsonb", "'1e-7'", 1e-7),
    ("uuid", f"'{UUID}'", UUID),
    ("date", "'2024-02-29'", "2024-02-29"),
    ("time", "'12:34:56.789'", "12:34:56.789"),
    ("timestamp", "'2024-01-15 10:30:00.123456'", "2024-01-15T10:30:00.123456"),
    ("timestamptz", "'2024-01-15 10:30:00+02'", "2024-01-15T08:30:00Z"),
    ("int4[]", "'{1,2,NULL}'", [1, 2, None]),
    ("int4[]", "'{}'", []),
    (
        "text[]",
        r"""'{"d\"e","f,g","back\\slash",NULL,"NULL"}'""",
        ['d"e', "f,g", "back\\slash", None, "NULL"],
    ),
    ("bool[]", "'{t,f}'", [True, False]),
    ("float8[]", "'{0.1,Infinity}'", [0.1, math.inf]),
    ("numeric[]", "'{1.50,2}'", [Decimal("1.50"), Decimal(2)]),
    ("bytea[]", r"""'{"\\x00ff"}'""", [b"\x00\xff"]),
    ("uuid[]", f"'{{{UUID}}}'", [UUID]),
    ("jsonb[]", """ARRAY['{"a":1}'::jsonb, '[2]']""", [{"a": 1}, [2]]),
    ("mood", "'happy'", "happy"),
    ("mood[]", "'{happy,sad}'", ["happy", "sad"]),
    ("int4", "NULL", None),
    ("text[]", "NULL", None),
]


async def test_values(database: Database) -> None:
    columns = [f"c{i} {kind}" for i, (kind, _, _) in enumerate(VALUES)]
    literals = [literal for _, literal, _ in VALUES]
    database.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        f"CREATE TABLE t ({', '.join(columns)})",
        f"INSERT INTO t VALUES ({', '.join(literals)})",
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    row = message.after
    assert list(row) == [f"c{i}" for i in range(len(VALUES))]
    wrong = [
        (kind, literal, row[f"c{i}"], expected)
        for i, (kind, literal, expected) in enumerate(VALUES)
        if row[f"c{i}"] != expected or type(row[f"c{i}"]) is not type(expected)
    ]
    assert wrong == []


async def test_text_of_numbers_is_kept(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a numeric(10,2), b numeric, c jsonb)",
        "INSERT INTO t VALUES (750, '1e-9', '{\"n\": 1.10}')",
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert str(message.after["a"]) == "750.00"
    assert message.after["b"] == Decimal("0.000000001")
    # 1.10 and 1.1 are the same number, and a float holds it.
    assert message.after["c"] == {"n": 1.1}
    assert '"n": 1.10' in message.to_debezium_json()


async def test_not_a_number(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a float8, b numeric, c float4[])",
        "INSERT INTO t VALUES ('NaN', 'NaN', '{NaN}')",
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    row = message.after
    assert math.isnan(row["a"])
    assert isinstance(row["b"], Decimal)
    assert row["b"].is_nan()
    assert math.isnan(row["c"][0])


async def test_infinite_numerics(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a numeric, b numeric[])",
        "INSERT INTO t VALUES ('Infinity', '{-Infinity}')",
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert message.after == {"a": Decimal("Infinity"), "b": [Decimal("-Infinity")]}


@pytest.mark.parametrize(
    ("decimal", "expected"),
    [
        ("float", [1.5, math.inf, [1.25], 12345678901234567890.5]),
        ("str", ["1.50", "Infinity", ["1.25"], "12345678901234567890.5"]),
    ],
)
async def test_decimal_on_request(database: Database, decimal: str, expected: list[Any]) -> None:
    database.execute(
        "CREATE TABLE t (a numeric(10,2), b numeric, c numeric[], d json)",
        "INSERT INTO t VALUES (1.5, 'Infinity', '{1.25}', '12345678901234567890.5')",
    )
    async with database.reader(decimal=decimal) as reader:
        [message] = await take(reader, 1)
    assert list(message.after.values()) == expected


async def test_a_database_s_own_settings_change_nothing(database: Database) -> None:
    name = database.name
    database.execute(
        f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'",
        f"ALTER DATABASE {name} SET bytea_output = 'escape'",
        f"ALTER DATABASE {name} SET extra_float_digits = -10",
        f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'",
        "CREATE TABLE t (a date, b bytea, c float8, d timestamptz)",
    )
    database.execute(
        r"INSERT INTO t VALUES ('2024-01-15', '\x00ff41', 0.123456789012345, "
        "'2024-01-15 10:30:00+00')"
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert list(message.after.values()) == [
        "2024-01-15",
        b"\x00\xff\x41",
        0.123456789012345,
        "2024-01-15T10:30:00Z",
    ]


async def test_deep_json_does_not_end_the_stream(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int, doc json)",
        "INSERT INTO t VALUES (1, (repeat('[', 3000) || repeat(']', 3000))::json)",
        "INSERT INTO t VALUES (2, (repeat('[', 900) || repeat(']', 900))::json)",
    )
    async with database.reader() as reader:
        deep, shallow = await take(reader, 2)
    with pytest.raises(RecursionError):
        _ = deep.after
    assert deep.to_debezium_json().count("[") >= 3000
    assert deep.raw("doc") == "[" * 3000 + "]" * 3000
    assert deep.ts_ms is not None
    assert deep.ts_ms > 0
    assert shallow.after["id"] == 2


async def test_raw_is_the_server_s_own_json(database: Database) -> None:
    text = ' { "b" : 1.10 ,\r\n"a": 2,  "a":[] ,"e":"\\ud83d\\ude00" }\n'
    escaped = text.replace("\\", r"\\")
    database.execute(
        'CREATE TABLE t (id int PRIMARY KEY, doc json, "q""x" json, none json, half json)',
        "ALTER TABLE t ADD n numeric",
        f"INSERT INTO t VALUES (1, E'{escaped}', 'null', NULL, '[\"\\ud800\"]', 1.50)",
        "UPDATE t SET id = 2",
        "DELETE FROM t",
    )
    async with database.reader() as reader:
        insert, update, delete = await take(reader, 3)
    assert insert.raw("doc") == text
    assert insert.after["doc"] == {"b": 1.1, "a": [], "e": "\U0001f600"}
    # None for both, but raw tells them apart.
    assert (insert.after['q"x'], insert.after["none"]) == (None, None)
    assert (insert.raw('q"x'), insert.raw("none")) == ("null", None)
    # Half of a surrogate pair is what json.loads makes of it, and what follows is read.
    assert (insert.after["half"], insert.after["n"]) == (["\ud800"], Decimal("1.50"))
    assert (insert.raw("n"), insert.raw("id", "key")) == ("1.50", "1")
    assert (update.raw("id", "before"), delete.raw("id", row="before")) == ("1", "2")
    assert "\n" not in insert.to_debezium_json()
    assert '"doc": {\n' in insert.to_debezium_json(indent=2)
    for column, row in (("id", "before"), ("nothing", "after"), ("q", "after")):
        with pytest.raises(KeyError, match=column):
            insert.raw(column, row)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="id"):
        delete.raw("id")
    with pytest.raises(ValueError, match="after"):
        insert.raw("id", "new")  # type: ignore[arg-type]


async def test_raw_of_what_was_not_sent(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, doc json, n int)",
        "ALTER TABLE t ALTER doc SET STORAGE EXTERNAL",
        "INSERT INTO t VALUES (1, to_json(repeat('x', 100000)), 1)",
        "UPDATE t SET n = 2",
    )
    async with database.reader() as reader:
        insert, update = await take(reader, 2)
    assert insert.raw("doc") == '"' + "x" * 100_000 + '"'
    assert update.raw("doc") is UNCHANGED
    assert update.raw("n") == "2"


async def test_parts_are_typed_as_columns_are(database: Database) -> None:
    database.execute(
        "CREATE TYPE item AS (price numeric, photo bytea, at timestamptz)",
        "CREATE TYPE basket AS (items item[], weights float8[])",
        "CREATE TABLE t (b basket, i item)",
        r"INSERT INTO t VALUES (ROW(ARRAY[(1.50, '\x00ff', 'infinity'), NULL]::item[],"
        " '{NaN,-0}'), ROW('NaN', NULL, NULL))",
        "ALTER TYPE item ADD ATTRIBUTE more int CASCADE",
    )
    async with database.reader(decimal="str") as reader:
        [message] = await take(reader, 1)
    # What the catalogs say is of another time than the row.
    assert message.after["i"] == "(NaN,,)"
    database.execute("INSERT INTO t SELECT b, '(2.50,,,7)' FROM t")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    [item, null] = message.after["b"]["items"]
    assert item == {"price": Decimal("1.50"), "photo": b"\x00\xff", "at": "infinity", "more": None}
    assert null is None
    nan, zero = message.after["b"]["weights"]
    assert math.isnan(nan)
    assert math.copysign(1, zero) == -1


async def test_numbers_longer_than_python_likes(database: Database) -> None:
    digits = "9" * 5000
    database.execute(
        "CREATE TABLE t (n numeric, doc jsonb)",
        f"INSERT INTO t VALUES ({digits}, '[{digits}, {{\"a\": {digits}}}]')",
    )
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    assert message.after == {"n": Decimal(digits), "doc": [Decimal(digits), {"a": Decimal(digits)}]}
    event = message_to_dict(message)
    assert event is not None
    assert event["after"] == message.after
