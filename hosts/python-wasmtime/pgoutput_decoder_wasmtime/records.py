"""Reads packed records: layouts and offsets are those of the tables in `wit/decoding.wit`."""

from collections.abc import Callable
from struct import Struct, error, unpack_from
from typing import Any, NamedTuple

from .errors import RecordError


class Column(NamedTuple):
    """A column of a topic's events, or an attribute of a column: with neither OID nor typmod."""

    type_oid: int
    typmod: int
    shape: int
    flags: int  # 1 = in the key, 2 = nullable
    name: str
    attributes: "tuple[Column, ...]"


class Topic(NamedTuple):
    """What is constant for the events that name it."""

    id: int
    relation_oid: int
    name: str
    schema: str
    table: str
    headers: bytes
    columns: tuple[Column, ...]


# ruff: noqa: UP014  What stands between events is short, and its meaning is in the contract.
Begin = NamedTuple("Begin", [("commit_lsn", int), ("commit_ts_us", int), ("xid", int)])
Commit = NamedTuple(
    "Commit",
    [("commit_lsn", int), ("commit_ts_us", int), ("xid", int), ("events", int), ("end_lsn", int)],
)
Stash = NamedTuple("Stash", [("xid", int), ("subxid", int), ("start", int), ("size", int)])
Discard = NamedTuple("Discard", [("xid", int), ("subxid", int)])
Prepared = NamedTuple("Prepared", [("xid", int), ("prepare_lsn", int)])


def _field(layout: str, offset: int, read: Callable[..., Any] = lambda _, field: field) -> Any:
    unpack = Struct(layout).unpack_from
    return property(lambda event: read(event, *unpack(event.head, offset)))


def _part(event: "Event", start: int, size: int) -> bytes | None:
    return event.value[start : start + size] if event.value and size else None


class _Parts(NamedTuple):
    head: bytes  # the record's fixed part
    topic: Topic
    key: bytes | None
    value: bytes | None
    headers: bytes
    unchanged: tuple[int, ...]  # columns of `after` whose TOASTed value was not sent


class Event(_Parts):
    """A change, or what stands for one. Key, value and parts are JSON in UTF-8; None is null."""

    __slots__ = ()

    # None for tombstones and transaction metadata.
    op: str | None = _field("<B", 5, lambda _, code: chr(code) if code else None)
    flags: int = _field("<B", 6)  # 2 = of no transaction
    position: tuple[int, int, int] = _field("<QII", 8, lambda _, *fields: fields)
    lsn: int = _field("<Q", 24)
    commit_ts_us: int = _field("<q", 32)
    xid: int = _field("<I", 40)  # 0 for none
    before: bytes | None = _field("<II", 64, _part)
    after: bytes | None = _field("<II", 72, _part)
    source: bytes | None = _field("<II", 80, _part)


Record = Event | Begin | Commit | Stash | Discard | Prepared

_unpack_event = Struct("<I2xB37x5I").unpack_from
_MARKS: dict[int, tuple[Callable[..., Record], Struct]] = {
    2: (Begin, Struct("<QqI")),
    3: (Commit, Struct("<QqIIQ")),
    5: (Stash, Struct("<IIQQ")),
    6: (Discard, Struct("<II")),
    7: (Prepared, Struct("<I4xQ")),
}


def read(data: bytes, topics: dict[int, Topic]) -> list[Record]:
    """The records of one call to the decoder. `topics` are those it named so far, by id."""
    records, at = list[Record](), 0
    try:
        while at < len(data):
            if data[at + 4] == 4:
                size, flags, topic_id, key, value, headers, unchanged = _unpack_event(data, at)
                value_at = (key_at := at + 88) + key
                end = (headers_at := value_at + value) + headers
                topic = topics[topic_id]
                event = Event(
                    data[at:key_at],
                    topic,
                    data[key_at:value_at] if key else None,
                    data[value_at:headers_at] if value else None,
                    data[headers_at:end] if flags & 1 else topic.headers,
                    unpack_from(f"<{unchanged}I", data, end) if unchanged else (),
                )
                records.append(event)
                used = end + 4 * unchanged - at
            else:
                size, kind, used = *unpack_from("<IB", data, at), 5
                if kind == 1:
                    used = _topic(data, at, topics)
                elif kind in _MARKS:
                    mark, layout = _MARKS[kind]
                    records.append(mark(*layout.unpack_from(data, at + 8)))
                    used = 8 + layout.size
            if used > size or at + size > len(data):
                raise RecordError("a record cut short", at)
            at += size
    except (error, IndexError, KeyError, RecursionError, UnicodeDecodeError) as cause:
        raise RecordError(f"{type(cause).__name__} in a record", at) from cause
    return records


def _topic(data: bytes, start: int, topics: dict[int, Topic]) -> int:
    topic_id, oid, *sizes, count = unpack_from("<7I", data, start + 8)
    at, columns = start + 36, list[Column]()
    texts = [data[at : (at := at + size)] for size in sizes]
    for _ in range(count):
        column, at = _column(data, at + 8, *unpack_from("<Ii", data, at))
        columns.append(column)
    name, schema, table = (text.decode() for text in texts[:3])
    topics[topic_id] = Topic(topic_id, oid, name, schema, table, texts[3], tuple(columns))
    return at - start


def _column(data: bytes, at: int, oid: int, typmod: int) -> tuple[Column, int]:
    shape, flags, size = unpack_from("<BBH", data, at)
    name, attributes, at = data[at + 4 : at + 4 + size].decode(), list[Column](), at + 4 + size
    if shape % 16 == 5:
        (count,), at = unpack_from("<H", data, at), at + 2
        for _ in range(count):
            attribute, at = _column(data, at, 0, 0)
            attributes.append(attribute)
    return Column(oid, typmod, shape, flags, name, tuple(attributes)), at
