"""Every type's values, from PostgreSQL's WAL into Python and back, compared in the server.

`=` is missing or blind for many types, so what came back is compared as PostgreSQL compares record
images, byte by byte (`*=`), and as text. `python test_round_trip.py` prints the table, as does
`pytest -s`: type, SQL value, JSON, Python value.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from conftest import REPOSITORY, Database, database_at, load_postgres, take
from pgoutput_decoder import ReplicationError, ReplicationMessage, message_to_dict
from type_table import CASES, SETUP, Case


@dataclass(frozen=True)
class Type:
    """What a program has to know of a type to write its values down again."""

    name: str
    element: Type | None = None
    delimiter: str = ","
    attributes: Mapping[str, Type] = field(default_factory=dict)


class Catalog:
    """Types by OID; a domain is its base type."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        types = "SELECT oid, typname, typbasetype, typelem, typdelim, typrelid, typlen FROM pg_type"
        self._types = {row[0]: row[1:] for row in connection.execute(types)}
        attributes = (
            "SELECT attrelid, attname, atttypid FROM pg_attribute"
            " WHERE attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum"
        )
        rows = itertools.groupby(connection.execute(attributes), key=lambda row: row[0])
        self._attributes = {of: [(name, kind) for _, name, kind in group] for of, group in rows}

    def type(self, oid: int) -> Type:
        name, base, element, _, relation, length = self._types[oid]
        if base:
            return self.type(base)
        if element and length == -1 and name not in ("int2vector", "oidvector"):
            return Type(name, self.type(element), delimiter=self._types[element][3])
        attributes = self._attributes.get(relation, []) if relation else []
        return Type(name, attributes={name: self.type(kind) for name, kind in attributes})


def written(value: Any, raw: str | None, kind: Type) -> str | None:
    """A value of `message.after` as PostgreSQL reads it; `raw`, its JSON, is wanted for json."""
    if kind.name in AS_JSON:
        return raw
    match value:
        case None:
            return None
        case bool():
            return "t" if value else "f"
        case Decimal():
            return f"{value:f}"
        case bytes():
            return rf"\x{value.hex()}"
        case list():
            assert kind.element
            return array(value, raw, kind.element, kind.delimiter)
        case dict() if kind.name == "hstore":
            return ",".join(
                f"{quoted(key)}=>{'NULL' if item is None else quoted(item)}"
                for key, item in value.items()
            )
        case dict():
            texts = map(written, value.values(), members(raw), kind.attributes.values())
            return f"({','.join('' if text is None else quoted(text) for text in texts)})"
        case str() if kind.name in ("date", "timestamp", "timestamptz"):
            return with_era(value)
        case _:
            return str(value)


def array(values: list[Any], raw: str | None, element: Type, delimiter: str) -> str:
    texts = []
    for value, inner in zip(values, members(raw), strict=True):
        if isinstance(value, list) and not element.element and element.name not in AS_JSON:
            texts.append(array(value, inner, element, delimiter))
        else:
            text = written(value, inner, element)
            texts.append("NULL" if text is None else quoted(text))
    return f"{{{delimiter.join(texts)}}}"


# Types whose JSON is what PostgreSQL reads, lists that are no arrays among it.
AS_JSON = ("json", "jsonb", "vector", "halfvec")


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def with_era(text: str) -> str:
    """Years as PostgreSQL has them: 0000 is 1 BC, and no sign stands before those after 9999."""
    parts = re.fullmatch(r"([+-]?\d{4,})(-\d\d-\d\d.*)", text)
    if parts is None:
        return text  # infinity
    year = int(parts[1])
    return f"{year:04}{parts[2]}" if year > 0 else f"{1 - year:04}{parts[2]} BC"


def members(raw: str | None) -> list[str | None]:
    """The JSON of an array's elements or an object's values; None for SQL's NULL."""
    assert raw is not None
    found, depth, start = [], 0, 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[][{},:]', raw, re.DOTALL):
        if token[0] in ("]", "}"):
            depth -= 1
        if (depth == 1 and token[0] in (",", ":")) or (depth == 0 and token.start() > start):
            found.append((raw[start : token.start()], token[0]))
        if token[0] in ("[", "{"):
            depth += 1
        if depth == 1 and token[0] in (",", ":", "[", "{"):
            start = token.end()
    texts = (text for text, end in found if end != ":")
    return [None if text == "null" else json_text(text) for text in texts]


def json_text(text: str) -> str:
    """json's own null has one more space than SQL's."""
    return text.removeprefix(" ") if text.strip() == "null" else text


@dataclass
class Row:
    """A line of the table that is printed."""

    case: Case
    expression: str
    oid: int
    json: str = "null"
    value: Any = None
    fault: str = ""

    def __str__(self) -> str:
        kind = type(self.value).__name__
        columns = (self.case.kind, self.expression, self.json, f"{kind} {self.value!r}")
        cells = (f"{shortened(text):{width}}" for text, width in zip(columns, WIDTHS, strict=True))
        return f"{' '.join(cells)} {self.fault or 'ok'}"


WIDTHS = (24, 44, 44, 44)


def shortened(text: str) -> str:
    text = re.sub(r"[^ -~\xa1-\uffff]", lambda found: ascii(found[0])[1:-1], text)
    return text if len(text) <= WIDTHS[1] else f"{text[:30]} … {len(text)}"


def cases_for(connection: psycopg.Connection[Any]) -> list[Case]:
    """All cases, but for xml where the server was built without libxml, as the wheel's is."""
    try:
        connection.execute("SELECT xml '<a/>'")
    except psycopg.errors.FeatureNotSupported:
        print("xml: left out, this server was built without it")
        return [case for case in CASES if "xml" not in case.kind]
    return list(CASES)


def fill(connection: psycopg.Connection[Any]) -> list[Row]:
    """Makes a table for each case, with a row for each value; rows in the order of the WAL."""
    for statement in SETUP:
        connection.execute(statement.encode())
    rows = []
    for number, case in enumerate(cases_for(connection)):
        if not accepted(connection, f"CREATE TABLE t{number} (id int, v {case.kind})"):
            continue
        query = "SELECT atttypid FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'v'"
        (oid,) = next(connection.execute(query, [f"t{number}"]))
        for index, expression in enumerate((*case.values, "NULL")):
            if accepted(connection, f"INSERT INTO t{number} VALUES ({index}, {expression})"):
                rows.append(Row(case, expression, oid))
    return rows


def accepted(connection: psycopg.Connection[Any], statement: str) -> bool:
    """Runs it. PostgreSQL 15 widened numerics' scales and intervals, 17 made these infinite."""
    try:
        connection.execute(statement.encode())
    except psycopg.DataError as error:
        if connection.info.server_version >= 170000:
            raise
        print(f"left out before PostgreSQL 17: {error.diag.message_primary}")
        return False
    return True


def compare(
    connection: psycopg.Connection[Any], kind: Type, row: Row, message: ReplicationMessage
) -> None:
    """Writes what Python got into the server, and says what is not as it was."""
    raw = message.raw("v")
    assert isinstance(raw, str | None)
    row.json = raw or "null"
    row.value = message.after["v"]
    parameter = written(row.value, raw, kind)
    query = (
        "SELECT a.v::text IS NULL, a *= b, a.v::text IS NOT DISTINCT FROM b.v::text"
        f" FROM (SELECT v FROM {message.table} WHERE id = {message.after['id']}) a,"
        f" (SELECT %s::{row.case.kind} AS v) b"
    )
    null, image, text = next(connection.execute(query.encode(), [parameter]))
    event = message_to_dict(message)
    assert event is not None
    plain = json.loads(row.json, parse_float=Decimal, parse_int=Decimal)
    same = {
        "NULL": null == (parameter is None),
        "image": image,
        "text": text,
        "message_to_dict": event["after"]["v"] == plain,
        "one line": "\n" not in message.to_debezium_json(),
    }
    row.fault = ", ".join(name for name, holds in same.items() if not holds)


async def send_round(database: Database, **options: Any) -> list[Row]:
    """All cases' rows, with what is wrong with each."""
    with database.connect() as connection:
        rows = fill(connection)
        catalog = Catalog(connection)
        async with database.reader(**options) as reader:
            messages = await take(reader, len(rows))
        for row, message in zip(rows, messages, strict=True):
            try:
                compare(connection, catalog.type(row.oid), row, message)
            except (psycopg.Error, ReplicationError) as error:
                row.fault = f"{type(error).__name__}: {error}".splitlines()[0]
        check_readme(connection, rows)
    return rows


class Readme:
    """The README's table of types: what becomes of a type, by its OID or the README's word."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        page = (REPOSITORY / "README.md").read_text()
        _, table = page.split("| PostgreSQL | Python | in the event's JSON |\n|---|---|---|\n")
        self.types: dict[int | str, tuple[set[str], set[str]]] = {}
        for line in table.partition("\n\n")[0].splitlines():
            names, python, example = line.removeprefix("| ").removesuffix(" |").split(" | ")
            row = (set(CODE.findall(python)), set(map(first, CODE.findall(example))))
            for name in CODE.findall(names):
                self.types[type_oid(connection, name)] = row
            for word in re.split(", ", CODE.sub("", names).strip(" ,")):
                self.types[word] = row


def type_oid(connection: psycopg.Connection[Any], name: str) -> int:
    (oid,) = next(connection.execute("SELECT %s::regtype::oid::int8", [name]))
    return int(oid)


CODE = re.compile("`([^`]+)`")


def first(value: str) -> str:
    """What kind of JSON it is."""
    return "0" if value[0] in "-0123456789" else "t" if value[0] in "tf" else value[0]


def check_readme(connection: psycopg.Connection[Any], rows: list[Row]) -> None:
    """Holds the README's table against what Python got; types it does not have are a fault."""
    readme = Readme(connection)
    for row in rows:
        name = row.case.of or row.oid
        if name not in readme.types:
            row.fault = row.fault or "not in README.md"
            continue
        python, example = readme.types[name]
        right = type(row.value).__name__ in python and (first(row.json) in example or not example)
        if row.value is not None and python and not right:
            row.fault = row.fault or "otherwise in README.md"
    # Without modifiers: a server may refuse some.
    tested = {case.of or type_oid(connection, MODIFIER.sub("", case.kind)) for case in CASES}
    assert readme.types.keys() - tested == UNTESTED


MODIFIER = re.compile(r"\([^)]*\)")

# What the README's table says besides, tested in test_changes.py.
UNTESTED = {"", "NULL", "a TOASTed value that did not change"}


def printed(rows: Iterable[Row]) -> None:
    for row in rows:
        print(row)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
async def test_every_type_goes_round(database: Database, binary: bool) -> None:
    rows = await send_round(database, binary=binary)
    printed(rows)
    assert [str(row) for row in rows if row.fault] == []


def main() -> None:
    """Prints the table, values sent as text and in binary, from a server of its own."""
    rows = []
    with load_postgres().Server() as server:
        for binary in (False, True):
            database = database_at(server.url)
            database.create()
            rows += asyncio.run(send_round(database, binary=binary))
            database.drop()
    printed(rows)
    faults = sum(bool(row.fault) for row in rows)
    print(f"{len(rows)} values of {len(CASES)} cases, {faults} not as they were")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
