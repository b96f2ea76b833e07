"""Recordings: the file format of `docs/recordings.md`, and how what is in them is decoded."""

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple

import zstandard

from .catalog import Facts, no_facts
from .decoder import Decoder, pieces
from .engine import Question
from .errors import DamagedError, DecodingError, NotARecordingError, VersionError
from .records import Event

HEAD: Final = 1
FACTS: Final = 2
FRAMES: Final = 3
END: Final = 4

VERSION: Final = 1
CONTENT_BYTES_MAX: Final = 1 << 30

_MAGIC: Final = b"PGREC\x1a\r\n"
_START: Final = Struct("<8sHH")
_BLOCK: Final = Struct("<BBHIIqI")
_CHECKED_BYTES: Final = 20


class Block(NamedTuple):
    """One block of a recording, checked and decompressed."""

    kind: int
    received_us: int
    content: bytes
    number: int
    """Counted from 1."""
    offset: int
    """Where it begins in the file."""


def blocks(file: BinaryIO) -> Iterator[Block]:
    """The blocks of a file that is sound; of another, those before the damage, and the error."""
    start = file.read(_START.size)
    if len(start) < _START.size or not start.startswith(_MAGIC):
        raise NotARecordingError
    version = _START.unpack(start)[1]
    if version != VERSION:
        raise VersionError(version)
    number, offset, is_ended = 1, _START.size, False
    while head := file.read(_BLOCK.size):
        block, size = _block(head, file, number, offset)
        if number == 1 and block.kind != HEAD:
            raise DamagedError("no head", number, offset)
        yield block
        is_ended = block.kind == END
        number, offset = number + 1, offset + size
    if not is_ended:
        raise DamagedError("no end", number, offset)


def _block(head: bytes, file: BinaryIO, number: int, offset: int) -> tuple[Block, int]:
    def damaged(what: str) -> DamagedError:
        return DamagedError(what, number, offset)

    if len(head) < _BLOCK.size:
        raise damaged("cut short")
    kind, storage, zero, stored_bytes, content_bytes, received_us, crc = _BLOCK.unpack(head)
    if zero or max(stored_bytes, content_bytes) > CONTENT_BYTES_MAX:
        raise damaged("lengths that cannot be")
    stored = file.read(stored_bytes)
    if len(stored) < stored_bytes:
        raise damaged("cut short")
    if zlib.crc32(stored, zlib.crc32(head[:_CHECKED_BYTES])) != crc:
        raise damaged("a wrong CRC")
    content = stored
    if storage == _ZSTD:
        try:
            content = _decompressed(stored, content_bytes)
        except zstandard.ZstdError as error:
            raise damaged("content that is no zstd frame") from error
    elif storage != _STORED:
        raise damaged("content stored in an unknown way")
    if len(content) != content_bytes:
        raise damaged("lengths that cannot be")
    return Block(kind, received_us, content, number, offset), _BLOCK.size + stored_bytes


def _decompressed(stored: bytes, content_bytes: int) -> bytes:
    """A frame that says how large it is decides what is allocated: it is asked before."""
    if zstandard.frame_content_size(stored) not in (-1, content_bytes):
        return b""
    decompressor = zstandard.ZstdDecompressor()
    return decompressor.decompress(stored, max_output_size=content_bytes, allow_extra_data=False)


_STORED: Final = 0
_ZSTD: Final = 1


class Recording:
    """A file of frames, and the events that come of them. Each iteration reads it anew."""

    def __init__(
        self,
        path: str | PathLike[str],
        options: Mapping[str, str] | None = None,
        *,
        undecodable: Callable[[DecodingError], None] | None = None,
        core: Path | None = None,
    ) -> None:
        """`options` go before those of the recording.

        `undecodable` is called with the error of a frame that cannot be decoded, which is then
        skipped; without it, the error is raised.
        """
        self._path = Path(path)
        self._options = options or {}
        self._undecodable = undecodable
        self._core = core

    def __iter__(self) -> Iterator[Event]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Event]]:
        """The events, as many at a time as one call to the decoder gave: at least one."""
        last: Event | None = None
        with self._path.open("rb") as file:
            for block in blocks(file):
                if block.kind == HEAD:
                    stream = self._stream(block, last)
                elif block.kind == FACTS:
                    stream.add(block)
                elif block.kind == FRAMES:
                    for batch in stream.decode(block):
                        yield batch
                        last = batch[-1]

    def _stream(self, head: Block, last: Event | None) -> "_Stream":
        options = _json(head).get("options")
        if not isinstance(options, dict) or not all(isinstance(v, str) for v in options.values()):
            raise DamagedError("a head without options", head.number, head.offset)
        decoder = Decoder.open({**options, **self._options}, self._core)
        return _Stream(decoder, last, self._undecodable)


class _Stream:
    """What stands between two heads."""

    def __init__(
        self,
        decoder: Decoder,
        last: Event | None,
        undecodable: Callable[[DecodingError], None] | None,
    ) -> None:
        self._decoder = decoder
        self._last = last and last.position
        self._undecodable = undecodable
        self._facts: defaultdict[int, list[Facts]] = defaultdict(list)
        self._used: defaultdict[int, int] = defaultdict(int)

    def add(self, block: Block) -> None:
        facts: Any = _json(block)
        relation = facts.get("relation")
        if not isinstance(relation, int):
            raise DamagedError("facts of no relation", block.number, block.offset)
        self._facts[relation].append(facts)

    def decode(self, block: Block) -> Iterator[list[Event]]:
        for frames in pieces(block.content):
            rest = frames
            while rest:
                batch, consumed, stop = self._decoder.decode(rest, block.received_us)
                rest = rest[consumed:]
                if events := self._new(batch):
                    yield events
                if isinstance(stop, Question):
                    self._decoder.learn(self._answer(stop.relation))
                elif isinstance(stop, DecodingError) and self._undecodable:
                    self._undecodable(stop)
                    rest = rest[self._decoder.skip() :]
                elif stop:
                    stop.add_note(f"in block {block.number} at byte {block.offset}")
                    raise stop

    def _new(self, batch: list[Any]) -> list[Event]:
        """The events that did not come before the last head."""
        events = [record for record in batch if record.__class__ is Event]
        if self._last is None:
            return events
        return [event for event in events if event.position > self._last]

    def _answer(self, relation: int) -> Facts:
        """The oldest facts that were not used yet; where all were, the last ones."""
        given = self._facts[relation]
        index = min(self._used[relation], len(given) - 1)
        self._used[relation] = index + 1
        return given[index] if given else no_facts()


def _json(block: Block) -> dict[str, Any]:
    try:
        value = json.loads(block.content.decode())
    except (ValueError, RecursionError) as error:
        raise DamagedError("content that is no JSON", block.number, block.offset) from error
    if not isinstance(value, dict):
        raise DamagedError("content that is no JSON object", block.number, block.offset)
    return value
