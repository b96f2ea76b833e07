from contextlib import suppress
from struct import pack

import pytest
from pgoutput_decoder_wasmtime import Begin, Column, Commit, Discard, Event, Prepared, Stash, Topic
from pgoutput_decoder_wasmtime.errors import RecordError
from pgoutput_decoder_wasmtime.records import read

VALUE = '{"before":null,"after":{"id":1,"name":"é"},"source":{"db":"shop"}}'.encode()
LSN = 0xFFFF_FFFF_0000_0001


def record(kind: int, body: bytes) -> bytes:
    return pack("<IB", 5 + len(body), kind) + body


def name(text: str) -> bytes:
    return pack("<H", len(text)) + text.encode()


def topic() -> bytes:
    texts = [b"shop.public.orders", b"public", b"orders", b'{"constant":true}']
    nested = bytes([1, 0]) + name("n") + bytes([5, 0]) + name("o") + pack("<H", 0)
    columns = [
        pack("<IiBB", 20, -1, 0, 1) + name("id"),
        pack("<IiBB", 90_000, 44, 16 + 5, 2) + name("items") + pack("<H", 2) + nested,
    ]
    sizes = pack("<5I", *map(len, texts), len(columns))
    return record(1, bytes(3) + pack("<II", 7, 16_384) + sizes + b"".join(texts + columns))


def event(
    op: str = "u",
    flags: int = 0,
    key: bytes = b'{"id":1}',
    value: bytes = VALUE,
    headers: bytes = b"",
    unchanged: tuple[int, ...] = (),
    parts: tuple[int, ...] = (10, 4, 23, 20, 53, 13),
) -> bytes:
    fixed = pack("<cBxQIIQqI", op.encode(), flags, LSN, 4, 1, LSN - 9, -5, 742)
    sizes = pack("<5I6I", 7, len(key), len(value), len(headers), len(unchanged), *parts)
    indexes = pack(f"<{len(unchanged)}I", *unchanged)
    return record(4, fixed + sizes + key + value + headers + indexes)


def test_every_field_is_read() -> None:
    topics: dict[int, Topic] = {}
    data = [
        record(99, b"of a later version"),
        topic(),
        record(2, bytes(3) + pack("<QqI", LSN, -5, 742)),
        event(unchanged=(3, 9)),
        event("\0", 3, b"", b"", b'{"own":1}', parts=(0,) * 6),
        record(3, bytes(3) + pack("<QqIIQ", LSN, -5, 742, 2, LSN + 8)),
        record(5, bytes(3) + pack("<IIQQ", 742, 743, 1 << 40, 64)),
        record(6, bytes(3) + pack("<II", 742, 743)),
        record(7, bytes(3) + pack("<I4xQ", 742, LSN)),
    ]
    begin, first, second, *rest = read(b"".join(data), topics)

    nested = (Column(0, 0, 1, 0, "n", ()), Column(0, 0, 5, 0, "o", ()))
    columns = Column(20, -1, 0, 1, "id", ()), Column(90_000, 44, 21, 2, "items", nested)
    assert topics == {
        7: Topic(7, 16_384, "shop.public.orders", "public", "orders", b'{"constant":true}', columns)
    }
    assert begin == Begin(LSN, -5, 742)
    assert isinstance(first, Event)
    assert first.topic is topics[7]
    assert (first.op, first.flags, first.xid, first.commit_ts_us) == ("u", 0, 742, -5)
    assert (first.position, first.lsn) == ((LSN, 4, 1), LSN - 9)
    assert (first.key, first.value, first.headers) == (b'{"id":1}', VALUE, b'{"constant":true}')
    assert first.unchanged == (3, 9)
    assert first.before == b"null"
    assert first.after == '{"id":1,"name":"é"}'.encode()
    assert first.source == b'{"db":"shop"}'
    assert isinstance(second, Event)
    assert (second.op, second.key, second.value) == (None, None, None)
    assert (second.flags, second.headers) == (3, b'{"own":1}')
    assert (second.before, second.after, second.source) == (None, None, None)
    assert rest == [
        Commit(LSN, -5, 742, 2, LSN + 8),
        Stash(742, 743, 1 << 40, 64),
        Discard(742, 743),
        Prepared(742, LSN),
    ]


def test_topics_are_kept_from_call_to_call() -> None:
    topics: dict[int, Topic] = {}
    assert read(topic(), topics) == []
    assert len(read(event() * 2, topics)) == 2
    with pytest.raises(RecordError):
        read(event(), {})


def test_what_is_cut_short_is_no_record() -> None:
    first, second = topic(), event(unchanged=(1,), headers=b"{}", flags=1)
    data = first + second
    for end in range(1, len(data)):
        if end != len(first):
            with pytest.raises(RecordError):
                read(data[:end], {})


def test_no_length_is_trusted() -> None:
    for data in (topic() + event(unchanged=(1,)), record(3, bytes(35)), record(5, bytes(27))):
        for at in range(len(data)):
            for byte in (0x00, 0x7F, 0xFF):
                changed = bytearray(data)
                changed[at] = byte
                with suppress(RecordError):
                    read(bytes(changed), {})
