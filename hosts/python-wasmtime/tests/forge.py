"""Recordings made by hand: frames of a small table, and the blocks around them."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from struct import pack

import zstandard
from pgoutput_decoder_wasmtime import Facts, RelationFacts

MAGIC = b"PGREC\x1a\r\n\x01\x00\x00\x00"
HEAD, FACTS, FRAMES, END = 1, 2, 3, 4
OPTIONS = {"topic.prefix": "app", "database.dbname": "shop"}
RELATION_OID = 16384
INT8, TEXT, TIMESTAMPTZ, NUMERIC = 20, 25, 1184, 1700
COLUMNS = {"id": INT8, "name": TEXT, "created_at": TIMESTAMPTZ, "price": NUMERIC}
TIME_US = 1_700_000_000_000_000
_EPOCH_US = 946_684_800_000_000


def block(kind: int, content: bytes = b"", *, compress: bool = True) -> bytes:
    if compress and content:
        return raw_block(kind, zstandard.compress(content), len(content), 1)
    return raw_block(kind, content, len(content), 0)


def raw_block(kind: int, stored: bytes, content_bytes: int, storage: int) -> bytes:
    head = pack("<BBHIIq", kind, storage, 0, len(stored), content_bytes, TIME_US)
    return head + pack("<I", zlib.crc32(stored, zlib.crc32(head))) + stored


def head(**more: object) -> bytes:
    return block(HEAD, json.dumps({"recorder": "tests", "options": OPTIONS, **more}).encode())


def facts_of(columns: Mapping[str, int]) -> Facts:
    relation: RelationFacts = {
        "oid": RELATION_OID,
        "namespace": "public",
        "name": "orders",
        "columns": [
            {"name": name, "type": oid, "typmod": -1, "not_null": name == "id", "default": None}
            for name, oid in columns.items()
        ],
        "primary_key": ["id"],
        "unique_indexes": [],
    }
    return {"types": [], "relations": [relation]}


def facts(relation: int = RELATION_OID, columns: Mapping[str, int] = COLUMNS) -> bytes:
    return block(FACTS, json.dumps({"relation": relation, **facts_of(columns)}).encode())


def frame(message: bytes, lsn: int = 0) -> bytes:
    body = pack(">cQQq", b"w", lsn, lsn, TIME_US - _EPOCH_US) + message
    return pack(">cI", b"d", 4 + len(body)) + body


def relation(columns: Mapping[str, int] = COLUMNS, xid: bytes = b"") -> bytes:
    packed = b"".join(
        (b"\x01" if name == "id" else b"\x00") + name.encode() + b"\0" + pack(">Ii", oid, -1)
        for name, oid in columns.items()
    )
    message = b"R" + xid + pack(">I", RELATION_OID) + b"public\0orders\0d"
    return frame(message + pack(">H", len(columns)) + packed)


def insert(number: int, lsn: int, *, values: Sequence[str] = (), xid: bytes = b"") -> bytes:
    row = values or [str(number), "a name of some length", "2024-02-29 12:34:56.789+00", "12.50"]
    fields = [b"t" + pack(">I", len(value.encode())) + value.encode() for value in row]
    head = b"I" + xid + pack(">IcH", RELATION_OID, b"N", len(row))
    return frame(head + b"".join(fields), lsn)


def begin(commit_lsn: int, xid: int) -> bytes:
    return frame(b"B" + pack(">QqI", commit_lsn, TIME_US - _EPOCH_US, xid), commit_lsn)


def commit(commit_lsn: int) -> bytes:
    return frame(b"C" + _commit_fields(commit_lsn), commit_lsn)


def _commit_fields(commit_lsn: int) -> bytes:
    return pack(">BQQq", 0, commit_lsn, commit_lsn + 8, TIME_US - _EPOCH_US)


def streamed() -> tuple[bytes, bytes]:
    """A streamed transaction of three inserts: what comes before it is decided, and its commit."""
    xid = pack(">I", 77)
    rows = [insert(number, 4 + number, xid=xid) for number in range(3)]
    start = b"".join([frame(b"S" + xid + b"\x01"), relation(xid=xid), *rows, frame(b"E")])
    return start, frame(b"c" + xid + _commit_fields(0x100), 0x100)


def transactions(count: int, inserts: int, first: int = 0) -> Iterator[bytes]:
    for xid in range(first, first + count):
        lsn = 0x1000_0000 + (xid << 16)
        yield begin(lsn + 0x8000, 700 + xid)
        if xid == first:
            yield relation()
        for number in range(inserts):
            yield insert(xid * inserts + number, lsn + number)
        yield commit(lsn + 0x8000)


def recording(*blocks: bytes) -> bytes:
    return b"".join([MAGIC, head(), facts(), *blocks, block(END)])


ORDERS = facts_of(COLUMNS)


def large(events: int) -> bytes:
    """Transactions of a hundred inserts, in blocks of 64 KiB."""
    blocks, frames = [], b""
    for each in transactions(events // 100, 100):
        if len(frames) + len(each) > 64 * 1024:
            blocks.append(block(FRAMES, frames))
            frames = b""
        frames += each
    return recording(*blocks, block(FRAMES, frames))
