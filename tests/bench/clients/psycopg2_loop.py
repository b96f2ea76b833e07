"""psycopg2's replication cursor: consume_stream() and feedback as its documentation has them.

`raw` counts messages and looks at nothing but their kind. `typed` is what one writes by hand on top
of it: a dict of each row with bool, int and float by type OID, all else text, in an event of op,
before, after, schema, table and LSN. It has no numerics, times, arrays or bytes, no catalog, no
commit time, no position, no truncate, and loses the connection when the server does. `json` is
json.dumps of that.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2.extras import LogicalReplicationConnection

from bench.clients.meter import EVENTS, PUBLICATION, SLOT, Meter

CONVERSIONS: dict[int, Callable[[str], Any]] = {16: "t".__eq__, 700: float, 701: float}
CONVERSIONS |= dict.fromkeys((20, 21, 23), int)
INT32 = struct.Struct(">i")
OID = struct.Struct(">I")
Columns = list[tuple[str, Callable[[str], Any] | None]]


class EnoughError(Exception):
    """All events are there: the way out of consume_stream() is an exception."""


class Raw:
    """Counts the changes, and confirms each transaction."""

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = meter
        self.left = EVENTS if meter is None else 1

    def __call__(self, message: Any) -> None:
        kind = message.payload[0]
        if kind in b"IUD":
            self.left -= 1
            if not self.left:
                self.counted()
        elif kind == 67:
            message.cursor.send_feedback(flush_lsn=message.data_start)

    def counted(self) -> None:
        """The first change is there, or all are."""
        if self.meter is None:
            raise EnoughError
        self.meter.first()
        self.meter = None
        self.left = EVENTS - 1


class Typed(Raw):
    """Makes events of them."""

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__(meter)
        self.relations: dict[int, tuple[str, str, Columns]] = {}

    def __call__(self, message: Any) -> None:
        payload = message.payload
        kind = payload[0]
        if kind in b"IUD":
            schema, table, columns = self.relations[OID.unpack_from(payload, 1)[0]]
            before = after = None
            at = 5
            if payload[at] != 78:  # K or O: the old row
                before, at = row(payload, at + 1, columns)
            if kind != 68:
                after, at = row(payload, at + 1, columns)
            self.event = {
                "op": "c" if kind == 73 else "u" if kind == 85 else "d",
                "before": before,
                "after": after,
                "source": {"schema": schema, "table": table, "lsn": message.data_start},
            }
        elif kind == 82:
            self.relation(payload)
        super().__call__(message)

    def relation(self, payload: bytes) -> None:
        """Remembers a table's columns."""
        schema, _, rest = payload[5:].partition(b"\0")
        table, _, rest = rest.partition(b"\0")
        rest = rest[3:]  # the replica identity and the number of columns
        columns: Columns = []
        while rest:
            name, _, rest = rest[1:].partition(b"\0")
            columns.append((name.decode(), CONVERSIONS.get(OID.unpack_from(rest)[0])))
            rest = rest[8:]
        oid = OID.unpack_from(payload, 1)[0]
        self.relations[oid] = (schema.decode(), table.decode(), columns)


class Text(Typed):
    """Makes JSON of the events."""

    def __call__(self, message: Any) -> None:
        super().__call__(message)
        if message.payload[0] in b"IUD":
            self.text = json.dumps(self.event)


def row(payload: bytes, at: int, columns: Columns) -> tuple[dict[str, Any], int]:
    """A tuple's values, and where it ends."""
    values: dict[str, Any] = {}
    at += 2
    for name, conversion in columns:
        kind = payload[at]
        at += 1
        if kind == 116:
            end = at + 4 + INT32.unpack_from(payload, at)[0]
            text = payload[at + 4 : end].decode()
            values[name] = conversion(text) if conversion else text
            at = end
        elif kind == 110:
            values[name] = None
    return values, at


def cursor() -> Any:
    """Streams the slot."""
    connection = psycopg2.connect(
        host=os.environ["PGHOST"],  # the rest comes by the environment, too
        connection_factory=LogicalReplicationConnection,
    )
    cursor = connection.cursor()
    options = {"proto_version": "1", "publication_names": PUBLICATION}
    cursor.start_replication(slot_name=SLOT, decode=False, options=options)
    return cursor


def consume(streaming: Any, consumer: Raw) -> None:
    """Until the consumer has all of its events."""
    with contextlib.suppress(EnoughError):
        streaming.consume_stream(consumer)


def main() -> None:
    """The command line."""
    meter = Meter()
    consumers = {"raw": Raw, "typed": Typed, "json": Text}
    consume(cursor(), consumers[sys.argv[1]](meter))
    meter.report()


if __name__ == "__main__":
    main()
