"""Record batches: every type beside what the server says of its values, and what the rows tell."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import polars
import psycopg
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from conftest import Database, take
from pgoutput_decoder import (
    ConfigurationError,
    ReplicationError,
    ReplicationMessage,
    SyncReader,
    UnrepresentableError,
    arrow_batches,
)
from test_round_trip import Row, fill

OWN = ["__op", "__before", "__unchanged", "__position", "__lsn", "__xid", "__commit_ts"]
MICROSECONDS = (
    "extract(epoch FROM date_trunc('second', v))::int8 * 1000000"
    " + extract(microseconds FROM v)::int8 % 1000000"
)
NO_TIMESTAMP = "NOT isfinite(v) OR v > '294247-01-10 04:00:54.775807'"


@dataclass(frozen=True)
class Expected:
    """A type in Arrow, and what the server is asked of a value.

    value: an expression for it, in numbers where Python's own types have too small a range.
    unfit: whether Arrow's type cannot hold it.
    """

    arrow_type: pa.DataType
    value: str = "v"
    unfit: str = "false"


# Unlike a cast, keeps the blanks of char(n).
TEXT = Expected(pa.string(), "CASE WHEN v IS NOT NULL THEN format('%s', v) END")
# The event's own text: compared with message.raw.
AS_JSON = Expected(pa.string(), "")
# No text of the server's: compared with message.after.
AS_EVENT = Expected(pa.string(), "NULL")
TYPES = {
    "bool": Expected(pa.bool_()),
    "int2": Expected(pa.int16()),
    "int4": Expected(pa.int32()),
    "int8": Expected(pa.int64()),
    "oid": Expected(pa.uint32()),
    "lo": Expected(pa.uint32()),
    "float4": Expected(pa.float32()),
    "float8": Expected(pa.float64()),
    "numeric(10,2)": Expected(pa.decimal128(10, 2), "v::numeric", "v = 'NaN'"),
    "numeric(5,-2)": Expected(pa.decimal128(7, 0)),
    "numeric(3,5)": Expected(pa.decimal128(5, 5)),
    "bytea": Expected(pa.binary()),
    "json": TEXT,
    "jsonb": TEXT,
    "document": TEXT,
    "date": Expected(pa.date32(), "v - '1970-01-01'::date", "NOT isfinite(v)"),
    "time": Expected(pa.time64("us"), MICROSECONDS, "v = '24:00'"),
    "timestamp": Expected(pa.timestamp("us"), MICROSECONDS, NO_TIMESTAMP),
    "timestamptz": Expected(pa.timestamp("us", "UTC"), MICROSECONDS, NO_TIMESTAMP),
    "timetz": AS_EVENT,
    "interval": AS_EVENT,
    "interval day to second": AS_EVENT,
    **dict.fromkeys(("hstore", "pair", "sure", "station", "nothing", "alone", "bundle"), AS_JSON),
    "tags[]": AS_JSON,
}
LISTS = {"vector": pa.list_(pa.float64()), "halfvec": pa.list_(pa.float64())}


def expected(kind: str) -> tuple[Expected, bool]:
    """What is expected of a type, or of its elements, and whether these are meant."""
    plain = re.sub(r"\(\d+\)", "", kind)
    if kind == "tags":
        return TEXT, True
    for name in (kind, plain):
        if name in TYPES:
            return TYPES[name], False
    element = plain.removesuffix("[]")
    if element != plain:
        return TYPES.get(element, TEXT), True
    return TEXT, False


def in_numbers(values: pa.Array) -> list[Any]:
    """As Python's, but days and microseconds for what may be beyond its years."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_timestamp(values.type) or pa.types.is_time(values.type):
        values = values.cast(pa.int64())
    return list(values.to_pylist())


def parsed(value: Any) -> Any:
    """The same of texts of JSON, in a list too."""
    if isinstance(value, list):
        return [parsed(element) for element in value]
    return None if value is None else json.loads(value)


class Server:
    """What the server says of the values of one table."""

    def __init__(self, connection: psycopg.Connection[Any], message: ReplicationMessage) -> None:
        self._connection = connection
        self._of = f"{message.table} WHERE id = {message.after['id']}"

    def ask(self, query: str) -> list[Any]:
        return self._connection.execute(query.format(of=self._of).encode()).fetchall()

    def value(self, kind: Expected) -> Any:
        [(value,)] = self.ask(f"SELECT {kind.value} FROM {{of}}")
        return value

    def is_unfit(self, kind: Expected) -> bool:
        return bool(self.ask(f"SELECT ({kind.unfit}) IS TRUE FROM {{of}}")[0][0])

    def elements(self, kind: Expected) -> list[Any] | None:
        query = (
            f"SELECT {kind.value} FROM (SELECT v AS a FROM {{of}}) AS t,"
            " unnest(a) WITH ORDINALITY AS u(v, i) ORDER BY i"
        )
        if self.ask("SELECT v IS NULL FROM {of}")[0][0]:
            return None
        return [value for (value,) in self.ask(query)]

    def is_unfit_list(self, kind: Expected) -> bool:
        query = (
            "SELECT array_ndims(a) > 1 OR array_lower(a, 1) <> 1"
            f" OR (SELECT bool_or({kind.unfit}) FROM unnest(a) AS u(v))"
            " FROM (SELECT v AS a FROM {of}) AS t"
        )
        return bool(self.ask(query)[0][0])


def compare(
    connection: psycopg.Connection[Any], rows: Sequence[Row], messages: Sequence[ReplicationMessage]
) -> list[str]:
    """What is wrong with one case's column."""
    kind, is_list = expected(rows[0].case.kind)
    arrow_type = LISTS.get(rows[0].case.kind, kind.arrow_type)
    if is_list:
        arrow_type = pa.list_(arrow_type)
    values, fitting, faults = [], [], []
    for message in messages:
        server = Server(connection, message)
        unfit = server.is_unfit_list(kind) if is_list else server.is_unfit(kind)
        if unfit:
            column = f"public.{message.table}.v"
            with pytest.raises(UnrepresentableError, match=re.escape(column)) as raised:
                arrow_batches([message])
            assert raised.value.column == "v"
            assert raised.value.position == message.position
            [batch] = arrow_batches([message], text_columns=[column])
            [held] = batch.column("v").to_pylist()
            raw = message.raw("v")
            if raw not in (held, json.dumps(held, ensure_ascii=False)):
                faults.append(f"{rows[0].case.kind}: {held!r} for {raw!r}")
            continue
        fitting.append(message)
        if kind is AS_JSON:
            values.append(json.loads(str(message.raw("v") or "null")))
        elif arrow_type in LISTS.values() or kind is AS_EVENT:
            values.append(message.after["v"])
        else:
            values.append(server.elements(kind) if is_list else server.value(kind))
    [batch] = arrow_batches(fitting)
    column = batch.column("v")
    if column.type != arrow_type:
        faults.append(f"{rows[0].case.kind}: {column.type}, not {arrow_type}")
    found = (
        [None if scalar.values is None else in_numbers(scalar.values) for scalar in column]
        if is_list
        else in_numbers(column)
    )
    if kind is AS_JSON:
        found = [parsed(value) for value in found]
    for value, wanted in zip(found, values, strict=True):
        if arrow_type == pa.float32() and wanted is not None:
            wanted = pa.scalar(wanted, pa.float32()).as_py()
        # NaN is not itself, and -0.0 is 0.0.
        if repr(value) != repr(wanted):
            faults.append(f"{rows[0].case.kind}: {value!r}, not {wanted!r}"[:200])
    return faults


async def test_every_type_is_what_the_server_says(database: Database) -> None:
    with database.connect() as connection:
        rows = fill(connection)
        async with database.reader() as reader:
            messages = await take(reader, len(rows))
        by_table = itertools.groupby(
            zip(rows, messages, strict=True), key=lambda pair: pair[1].table
        )
        faults = []
        for _, pairs in by_table:
            of_case, sent = zip(*pairs, strict=True)
            faults += compare(connection, of_case, sent)
    assert faults == []


async def test_a_batch_for_each_table_and_version_of_it(database: Database) -> None:
    database.execute(
        "CREATE TABLE a (id int PRIMARY KEY, n numeric(5,2))",
        'CREATE SCHEMA "S x"',
        'CREATE TABLE "S x".b ("Key ü" text PRIMARY KEY)',
        "INSERT INTO a VALUES (1, 1.5)",
        """INSERT INTO "S x".b VALUES ('x')""",
        "INSERT INTO a VALUES (2, NULL)",
        "ALTER TABLE a ADD c bool, ALTER n TYPE text",
        """INSERT INTO "S x".b VALUES ('y"')""",
        "INSERT INTO a VALUES (3, 'text', true)",
        "INSERT INTO a VALUES (4, '', NULL)",
    )
    async with database.reader() as reader:
        messages = await take(reader, 6)
    before, b, after = batches = arrow_batches(iter(messages))
    assert columns(before) == {"id": [1, 2], "n": [Decimal("1.50"), None]}
    assert columns(b) == {"Key ü": ["x", 'y"']}
    assert columns(after) == {"id": [3, 4], "n": ["text", ""], "c": [True, None]}
    assert before.schema.metadata == {
        b"schema": b"public",
        b"table": b"a",
        b"topic": messages[0].topic.encode(),
        b"relation_oid": str(database.execute("SELECT 'a'::regclass::oid")[0][0]).encode(),
    }
    assert b.schema.metadata[b"schema"] == b"S x"
    assert before.schema.field("id").metadata == {b"key": b"true"}
    assert before.schema.field("n").metadata is None
    for batch in batches:
        batch.validate(full=True)
    assert arrow_batches([]) == []


async def test_after_a_reconnect_a_table_is_the_same(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    async with database.reader() as reader:
        messages = await take(reader, 1)
    database.execute("INSERT INTO t VALUES (2)")
    async with database.reader() as reader:
        messages += await take(reader, 1)
    [batch] = arrow_batches(messages)
    assert columns(batch) == {"id": [1, 2]}


async def test_what_is_told_of_each_change(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text, big text)",
        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO t VALUES (1, 'a', repeat('x', 100000))",
        "UPDATE t SET a = 'b'",
        "UPDATE t SET id = 2, big = NULL",
        "DELETE FROM t",
        "TRUNCATE t",
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "INSERT INTO t VALUES (3, NULL, 'x')",
        "DELETE FROM t",
    )
    async with database.reader() as reader:
        messages = await take(reader, 7)
    batch = pa.Table.from_batches(arrow_batches(messages))
    rows = batch.to_pylist()
    told = ("__op", "id", "a", "__unchanged", "__before")
    assert [tuple(row[name] for name in told) for row in rows] == [
        ("c", 1, "a", [], None),
        ("u", 1, "b", ["big"], None),
        ("u", 2, "b", [], '{"id":1}'),
        ("d", 2, None, [], None),
        ("t", None, None, [], None),
        ("c", 3, None, [], None),
        ("d", 3, None, [], None),
    ]
    assert batch.column("big").to_pylist() == ["x" * 100_000, *[None] * 4, "x", "x"]
    for row, message in zip(rows, messages, strict=True):
        assert row["__position"] == message.position
        assert row["__xid"] == message.xid
        assert row["__lsn"] == message.source["lsn"]
        since = row["__commit_ts"] - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        assert since // datetime.timedelta(microseconds=1) == message.source["ts_us"]
    assert batch.schema.names == ["id", "a", "big", *OWN]
    assert [str(batch.schema.field(name).type) for name in OWN] == [
        *("string", "string", "list<item: string>", "string", "uint64", "uint32"),
        "timestamp[us, tz=UTC]",
    ]


async def test_names_of_ours_make_way_for_columns(database: Database) -> None:
    database.execute(
        'CREATE TABLE t (__op int, ___op text, "__LSN" int)', "INSERT INTO t VALUES (1, 'x', 2)"
    )
    async with database.reader() as reader:
        [batch] = arrow_batches(await take(reader, 1))
    own = [{"__op": "____op", "__lsn": "___lsn"}.get(name, name) for name in OWN]
    assert batch.schema.names == ["__op", "___op", "__LSN", *own]
    assert batch.column("____op").to_pylist() == ["c"]


async def test_what_is_about_no_table_is_json(database: Database) -> None:
    database.execute(
        "SELECT pg_logical_emit_message(true, 'outbox', 'in')",
        "SELECT pg_logical_emit_message(false, 'outbox', 'out')",
    )
    async with database.reader() as reader:
        messages = await take(reader, 2)
    [batch] = arrow_batches(messages)
    assert batch.schema.names == ["value", *OWN]
    assert batch.column("value").to_pylist() == [message.to_debezium_json() for message in messages]
    assert batch.column("__op").to_pylist() == ["m", "m"]
    assert batch.column("__xid").to_pylist() == [messages[0].xid, None]
    assert [at is None for at in batch.column("__commit_ts").to_pylist()] == [False, True]


@pytest.mark.parametrize(
    ("decimal", "arrow_type", "values"),
    [("str", pa.string(), ["1.50", "NaN"]), ("float", pa.float64(), [1.5, float("nan")])],
)
async def test_numerics_on_request(
    database: Database, decimal: str, arrow_type: pa.DataType, values: list[Any]
) -> None:
    database.execute(
        "CREATE TABLE t (n numeric(10,2), ns numeric[])",
        "INSERT INTO t VALUES ('1.5', '{1.5}'), ('NaN', '{NaN}')",
    )
    async with database.reader(decimal=decimal) as reader:
        [batch] = arrow_batches(await take(reader, 2))
    assert batch.column("n").type == arrow_type
    assert batch.column("ns").type == pa.list_(arrow_type)
    assert repr(batch.column("n").to_pylist()) == repr(values)


async def test_numerics_of_many_digits(database: Database) -> None:
    most = "9" * 36 + ".99"
    database.execute(
        "CREATE TABLE t (a numeric(38,2), b numeric(38,38), c numeric(39,2))",
        f"INSERT INTO t VALUES (-{most}, -0.{'9' * 38}, {most})",
    )
    async with database.reader() as reader:
        [batch] = arrow_batches(await take(reader, 1))
    assert [field.type for field in batch.schema][:3] == [
        *(pa.decimal128(38, 2), pa.decimal128(38, 38), pa.string()),
    ]
    assert columns(batch) == {
        "a": [Decimal(f"-{most}")],
        "b": [Decimal("-0." + "9" * 38)],
        "c": [most],
    }


async def test_options_that_change_values(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (n numeric(10,2), b bytea, s text, d date)",
        r"INSERT INTO t VALUES (1.5, '\xdeadbeef', 'secret', '2024-02-29')",
    )
    options = {
        "decimal.handling.mode": "string",
        "binary.handling.mode": "hex",
        "column.mask.with.3.chars": "public.t.s",
        "time.precision.mode": "connect",
    }
    async with database.reader(options=options) as reader:
        messages = await take(reader, 1)
    # A number of days is not what a date is told by.
    with pytest.raises(UnrepresentableError, match=r"public\.t\.d: Arrow's Date32"):
        arrow_batches(messages)
    [batch] = arrow_batches(messages, text_columns=["public.t.d"])
    assert columns(batch) == {"n": ["1.50"], "b": ["deadbeef"], "s": ["***"], "d": ["19782"]}


async def test_an_error_says_where_and_never_what(database: Database) -> None:
    database.execute(
        'CREATE TABLE "T" (id int, "a b" timestamptz[])',
        "INSERT INTO \"T\" VALUES (1, '{2024-01-01}'), (2, '{NULL, -infinity}')",
    )
    async with database.reader() as reader:
        messages = await take(reader, 2)
    with pytest.raises(UnrepresentableError) as raised:
        arrow_batches(messages)
    error = raised.value
    assert isinstance(error, ReplicationError)
    assert isinstance(error, ValueError)
    assert (error.schema, error.table, error.column) == ("public", "T", "a b")
    assert error.position == messages[1].position
    assert error.hint == 'text_columns=["public.T.a b"]'
    assert "infinity" not in str(error)
    assert str(error).startswith("public.T.a b: Arrow's List(Timestamp(")
    [batch] = arrow_batches(messages, text_columns=["public.T.a b"])
    assert batch.column("a b").to_pylist() == ['["2024-01-01T00:00:00Z"]', '[null,"-infinity"]']


async def test_what_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.execute("CREATE TABLE t (n numeric)", "INSERT INTO t VALUES (1)")
    async with database.reader(format="debezium") as reader:
        debezium = await take(reader, 1)
    database.execute("INSERT INTO t VALUES (2)")
    async with database.reader() as reader:
        native = await take(reader, 1)
    with pytest.raises(ConfigurationError, match='format: Arrow is made of "native" events alone'):
        arrow_batches(debezium)
    with pytest.raises(ValueError, match="other settings: format, decimal"):
        arrow_batches(native + debezium)
    with pytest.raises(TypeError):
        arrow_batches(["t"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        arrow_batches(native, text_columns="public.t.n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        arrow_batches(native)


async def test_polars_pandas_and_duckdb_are_one_call_away(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, price numeric(8,2), made timestamptz, tags text[])",
        "INSERT INTO t SELECT g, g * 1.25, '2024-01-01T00:00:00Z'::timestamptz + g * interval "
        "'1 hour', ARRAY['a', NULL] FROM generate_series(1, 100) AS g",
    )
    async with database.reader() as reader:
        [batch] = arrow_batches(await take(reader, 100))
    second = datetime.datetime(2024, 1, 1, 2, tzinfo=datetime.UTC)

    frame = polars.from_arrow(batch)
    assert isinstance(frame, polars.DataFrame)
    assert frame["price"].sum() == Decimal("6312.50")
    assert frame.row(1)[:4] == (2, Decimal("2.50"), second, ["a", None])

    table = batch.to_pandas()
    assert table["price"].sum() == Decimal("6312.50")
    assert table["made"][1] == second
    assert list(table["__op"].unique()) == ["c"]

    query = "SELECT sum(price), max(id), any_value(tags), max(made) - min(made) FROM t"
    relation = duckdb.from_arrow(batch).query("t", query)
    assert relation is not None
    assert relation.fetchall() == [
        (Decimal("6312.50"), 100, ["a", None], datetime.timedelta(hours=99))
    ]


def columns(batch: pa.RecordBatch) -> dict[str, list[Any]]:
    """The table's own."""
    return {name: values for name, values in batch.to_pydict().items() if name not in OWN}


async def test_a_reader_gives_lists_of_record_batches(database: Database) -> None:
    database.execute(
        "CREATE TABLE a (id int PRIMARY KEY)",
        "CREATE TABLE b (id int PRIMARY KEY, at timestamptz)",
        "INSERT INTO a SELECT generate_series(1, 250)",
        "INSERT INTO b SELECT n, 'infinity' FROM generate_series(1, 50) n",
    )
    tables = []
    async with database.reader() as reader:
        async for batches in reader.arrow_batches(100, max_wait=5.0, text_columns=["public.b.at"]):
            tables += [(batch.schema.metadata[b"table"], batch.num_rows) for batch in batches]
            if sum(rows for _, rows in tables) == 300:
                break
    assert tables == [(b"a", 100), (b"a", 100), (b"a", 50), (b"b", 50)]
    database.execute("INSERT INTO a VALUES (1000)")
    with SyncReader(**database.arguments()) as waiting:
        (batch,) = next(waiting.arrow_batches())
        assert batch.column("id").to_pylist() == [1000]
