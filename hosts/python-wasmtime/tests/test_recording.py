import hashlib
from pathlib import Path
from struct import pack

import forge
import pytest
import zstandard
from pgoutput_decoder_wasmtime import (
    DamagedError,
    DecodingError,
    Error,
    Event,
    FactsError,
    JsonLines,
    NotARecordingError,
    NotStashedError,
    OptionError,
    Recording,
    RecordingError,
    VersionError,
)

STREAMED = Path(__file__).parent / "streamed.pgrec"

FIRST = forge.block(forge.FRAMES, b"".join(forge.transactions(1, 2)))
SECOND = forge.block(forge.FRAMES, b"".join(forge.transactions(1, 1, first=5)), compress=False)
SMALL = forge.recording(FIRST, SECOND)


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    return tmp_path / "some.pgrec"


def read(path: Path, data: bytes) -> tuple[list[Event], Error | None]:
    """What can be decoded, and what ended it."""
    path.write_bytes(data)
    found: list[Event] = []
    try:
        for batch in Recording(path).batches():
            found += batch
    except Error as error:
        return found, error
    return found, None


def test_a_recording_has_events(path: Path) -> None:
    events, error = read(path, SMALL)
    assert error is None
    assert [event.key for event in events] == [b'{"id":0}', b'{"id":1}', b'{"id":5}']
    assert list(Recording(path)) == events
    assert [event for batch in Recording(path).batches() for event in batch] == events
    assert all(Recording(path).batches())


def test_a_streamed_transaction_is_replayed() -> None:
    lines = JsonLines()
    found = [lines.line(event) for event in Recording(STREAMED)]
    assert len(found) == 664
    assert hashlib.sha256(b"".join(found)).hexdigest() == (
        "9d6a91d3b03c572b03ffff41c440789d8002c10d91c60b098f642d5cd288a6d5"
    )


def test_options_of_ones_own_go_first(path: Path) -> None:
    path.write_bytes(SMALL)
    topics = {event.topic.name for event in Recording(path, {"topic.prefix": "mine"})}
    assert topics == {"mine.public.orders"}
    with pytest.raises(OptionError):
        list(Recording(path, {"topic.prefix": "mine", "no.such": "option"}))


def test_cut_anywhere_it_is_sound_up_to_there(path: Path) -> None:
    whole, _ = read(path, SMALL)
    second = SMALL.index(SECOND)
    for end in range(len(SMALL)):
        events, error = read(path, SMALL[:end])
        if end < len(forge.MAGIC):
            assert isinstance(error, NotARecordingError)
            continue
        count = 0 if end < second else 2 if end < second + len(SECOND) else 3
        assert events == whole[:count]
        assert isinstance(error, DamagedError)
        assert error.offset <= end
        assert f"block {error.block} at byte {error.offset}" in str(error)


def test_the_end_is_missing(path: Path) -> None:
    end = SMALL[: -len(forge.block(forge.END))]
    events, error = read(path, end)
    assert len(events) == 3
    assert isinstance(error, DamagedError)
    assert (error.what, error.block, error.offset) == ("no end", 5, len(end))


def test_no_changed_byte_goes_unnoticed(path: Path) -> None:
    whole, _ = read(path, SMALL)
    for at in range(len(SMALL)):
        changed = bytearray(SMALL)
        changed[at] ^= 1 << at % 8
        events, error = read(path, bytes(changed))
        # Two bytes of the file's start mean nothing yet.
        if at in (10, 11):
            assert (events, error) == (whole, None)
            continue
        assert isinstance(error, RecordingError)
        assert events == whole[: len(events)]


def test_what_is_no_recording_is_refused(path: Path) -> None:
    for data in (b"", b"PGREC", b"PGREC\n\n\n" + bytes(90), zstandard.compress(SMALL)):
        assert isinstance(read(path, data)[1], NotARecordingError)
    with pytest.raises(FileNotFoundError):
        list(Recording(path.parent / "none.pgrec"))


def test_a_later_version_is_refused(path: Path) -> None:
    events, error = read(path, SMALL[:8] + b"\2\0" + SMALL[10:])
    assert not events
    assert isinstance(error, VersionError)
    assert error.version == 2


def test_unknown_blocks_are_passed_over(path: Path) -> None:
    data = forge.recording(forge.block(9, b"?"), FIRST, forge.block(200))
    events, error = read(path, data)
    assert (len(events), error) == (2, None)


def test_blocks_have_what_they_should(path: Path) -> None:
    zstd = zstandard.compress(b"12345678")
    blocks = {
        "no head": forge.facts(),
        "a head without options": forge.block(forge.HEAD, b"{}"),
        "content that is no JSON": forge.block(forge.HEAD, b"{"),
        "content that is no JSON object": forge.block(forge.HEAD, b"[" + b"]"),
        "content stored in an unknown way": forge.raw_block(forge.HEAD, b"{}", 2, 2),
        "lengths that cannot be": forge.raw_block(forge.HEAD, b"{}", 3, 0),
        "content that is no zstd frame": forge.raw_block(forge.HEAD, b"{}", 3, 1),
    }
    for what, block in blocks.items():
        events, error = read(path, forge.MAGIC + block)
        assert isinstance(error, DamagedError)
        assert (events, error.what, error.block, error.offset) == ([], what, 1, 12)
    for stored, size in ((zstd, 7), (zstd, 9), (zstd + b"?", 8), (zstd, 1 << 31)):
        block = forge.raw_block(forge.HEAD, stored, size, 1)
        assert isinstance(read(path, forge.MAGIC + block)[1], DamagedError)
    deep = forge.block(forge.HEAD, b"[" * 100_000)
    assert isinstance(read(path, forge.MAGIC + deep)[1], DamagedError)
    nameless = forge.recording(forge.block(forge.FACTS, b"{}"))
    assert isinstance(read(path, nameless)[1], DamagedError)
    formless = forge.block(forge.FACTS, b'{"relation":%d}' % forge.RELATION_OID)
    data = forge.MAGIC + forge.head() + formless + FIRST
    assert isinstance(read(path, data)[1], FactsError)


def test_a_stream_connected_again_sends_again(path: Path) -> None:
    once, _ = read(path, SMALL)
    again = forge.block(forge.FRAMES, b"".join(forge.transactions(7, 2)))
    events, error = read(path, SMALL + forge.recording(again)[len(forge.MAGIC) :])
    assert error is None
    assert events[:3] == once
    # Of the seven, those up to xid 5's first event came before.
    assert [event.key for event in events[3:]] == [b'{"id":%d}' % id_ for id_ in (11, 12, 13)]


def test_a_head_forgets_what_was_stashed(path: Path) -> None:
    start, rest = forge.streamed()
    cut = [forge.block(forge.FRAMES, start), forge.head(), forge.facts()]
    _, error = read(path, forge.recording(*cut, forge.block(forge.FRAMES, rest)))
    assert isinstance(error, NotStashedError)
    events, error = read(path, forge.recording(forge.block(forge.FRAMES, start + rest)))
    assert (len(events), error) == (3, None)


def test_facts_are_used_in_their_order(path: Path) -> None:
    title = {"id": forge.INT8, "title": forge.TEXT}
    label = {"id": forge.INT8, "label": forge.TEXT}
    facts = [forge.facts(columns=columns) for columns in (title, label)]
    frames = b""
    for at, columns in enumerate([title, label, title]):
        lsn = 0x1000 * (at + 1)
        frames += forge.begin(lsn + 9, at) + forge.relation(columns)
        frames += forge.insert(at, lsn, values=[str(at), "x"]) + forge.commit(lsn + 9)
    data = forge.MAGIC + forge.head() + b"".join(facts) + forge.block(forge.FRAMES, frames)
    events, error = read(path, data + forge.block(forge.END))
    assert error is None
    assert [event.after for event in events] == [
        b'{"id":0,"title":"x"}',
        b'{"id":1,"label":"x"}',
        b'{"id":2,"title":"x"}',
    ]


def test_without_facts_the_stream_is_believed(path: Path) -> None:
    events, error = read(path, forge.MAGIC + forge.head() + FIRST + forge.block(forge.END))
    assert (len(events), error) == (2, None)


def test_frames_that_cannot_be_decoded_are_skipped_where_that_is_wanted(path: Path) -> None:
    bad = forge.frame(b"?" + pack(">I", 5), lsn=9)
    frames = b"".join(forge.transactions(1, 2)) + bad + b"".join(forge.transactions(1, 1, 5))
    data = forge.recording(forge.block(forge.FRAMES, frames))
    events, error = read(path, data)
    assert (len(events), type(error)) == (2, DecodingError)
    assert getattr(error, "__notes__", [])[0].startswith("in block 3 at byte ")
    errors: list[DecodingError] = []
    assert len(list(Recording(path, undecodable=errors.append))) == 3
    assert [str(each) for each in errors] == [str(error)]


def test_a_frame_may_be_larger_than_a_call(path: Path) -> None:
    values = ["1", "x" * 200_000, "2024-02-29 12:34:56+00", "1"]
    frames = [forge.begin(8, 1), forge.relation(), forge.insert(1, 4, values=values)]
    whole = b"".join([*frames, *frames[2:], forge.commit(8)])
    events, error = read(path, forge.recording(forge.block(forge.FRAMES, whole)))
    assert (len(events), error) == (2, None)
