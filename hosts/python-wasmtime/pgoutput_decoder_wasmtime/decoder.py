"""Frames in, records out: for who has frames of their own.

Transactions that are streamed or prepared come before they are decided. The decoder's program does
not keep them; what it says to keep is kept here, in memory, and passed again when it asks for it.
"""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

from . import records
from .catalog import Facts
from .engine import Engine, Question, Replay
from .errors import DecodingError, Error, NotStashedError, StalledError
from .records import Discard, Event, Record, Stash, Topic

CALL_BYTES_MAX: Final = 64 * 1024
"""Frames are passed so many bytes at a time, or one alone that is larger: more gains nothing."""


class Decoded(NamedTuple):
    """What a call to `Decoder.decode` came to."""

    records: list[Record]
    consumed: int
    """Bytes of the frames used up, whole frames only: pass the rest again."""
    stop: Question | Error | None
    """Why it stopped before a frame: a question to `learn` the answer of, a `DecodingError` that
    may be skipped, or another error, after which the decoder is of no further use."""


class Decoder:
    """One decoder per replication stream, and what it needs beside it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._topics: dict[int, Topic] = {}
        self._stash = _Stash()
        self._replay: deque[bytes] = deque()
        self._asked: set[int] = set()
        self._failed_bytes = 0

    @classmethod
    def open(cls, options: Mapping[str, str], core: Path | None = None) -> Self:
        """A decoder at the beginning of a stream. Options are named as in Debezium."""
        return cls(Engine(options, core))

    def ignored_options(self) -> list[str]:
        """Options that were given, are Debezium's, and have no meaning to a decoder."""
        return self._engine.ignored_options()

    def learn(self, facts: Facts) -> None:
        """Takes facts from the server's catalogs. What was asked for and is missing is gone."""
        self._engine.learn(facts)

    def decode(self, frames: bytes, now_us: int) -> Decoded:
        """Decodes whole frames, as `wit/decoding.wit` has them.

        `now_us` is the time given to the events, µs since 1970-01-01. While frames that were
        stashed are decoded, none of the argument's are used up, and nothing needs to be done.
        """
        is_replay = bool(self._replay)
        passed = self._replay[0] if is_replay else frames
        packed, consumed, stop = self._engine.decode(passed, now_us)
        batch = records.read(packed, self._topics)
        self._keep(batch, passed)
        if is_replay:
            self._consume_replay(consumed)
        if consumed:
            self._asked.clear()
        reason = self._reason(stop, passed[consumed:], is_replay=is_replay)
        if stop is None and passed and not consumed:
            reason = StalledError()
        return Decoded(batch, 0 if is_replay else consumed, reason)

    def skip(self) -> int:
        """Gives up the frame of the last `DecodingError`.

        It is so many bytes of what was not used up, to be passed over; 0 if it was stashed.
        """
        self._engine.skip()
        self._asked.clear()
        size, self._failed_bytes = self._failed_bytes, 0
        if not self._replay:
            return size
        self._consume_replay(size)
        return 0

    def save(self) -> bytes:
        """What a successor needs to go on where this one stands, between transactions.

        Frames that are stashed are not in it.
        """
        return self._engine.save()

    def restore(self, saved: bytes) -> None:
        """The inverse of `save`, on a new decoder with the same options."""
        self._engine.restore(saved)

    def _keep(self, batch: list[Record], frames: bytes) -> None:
        for record in [record for record in batch if record.__class__ is not Event]:
            match record:
                case Stash(xid, subxid, start, size):
                    self._stash.keep(xid, subxid, frames[start : start + size])
                case Discard(xid, subxid):
                    self._stash.discard(xid, subxid)

    def _reason(
        self, stop: Question | DecodingError | Replay | None, rest: bytes, *, is_replay: bool
    ) -> Question | Error | None:
        match stop:
            case DecodingError():
                self._failed_bytes = _frame_bytes(rest)
            case Question(relation):
                if relation in self._asked:
                    return StalledError()
                self._asked.add(relation)
            case Replay(xid):
                if is_replay:
                    return StalledError()
                self._replay = self._stash.take(xid)
                return None if self._replay else NotStashedError(xid)
        return stop

    def _consume_replay(self, count: int) -> None:
        rest = self._replay.popleft()[count:]
        if rest:
            self._replay.appendleft(rest)


class _Stash:
    """Frames by transaction and subtransaction, in the order they came."""

    def __init__(self) -> None:
        self._kept: dict[int, list[tuple[int, bytearray]]] = {}

    def keep(self, xid: int, subxid: int, frames: bytes) -> None:
        runs = self._kept.setdefault(xid, [])
        if runs and runs[-1][0] == subxid:
            runs[-1][1].extend(frames)
        else:
            runs.append((subxid, bytearray(frames)))

    def discard(self, xid: int, subxid: int) -> None:
        if xid == subxid:
            self._kept.pop(xid, None)
        elif xid in self._kept:
            self._kept[xid] = [run for run in self._kept[xid] if run[0] != subxid]

    def take(self, xid: int) -> deque[bytes]:
        """What was kept of a transaction, in pieces of whole frames."""
        return deque(pieces(b"".join(frames for _, frames in self._kept.pop(xid, []))))


def pieces(frames: bytes) -> list[bytes]:
    """Frames in pieces of at most `CALL_BYTES_MAX`, or of one frame that is larger."""
    cuts, start = [], 0
    while len(frames) - start > CALL_BYTES_MAX:
        end = start
        while (following := end + _frame_bytes(frames, end)) - start <= CALL_BYTES_MAX:
            end = following
        end = end if end > start else following
        cuts.append(frames[start:end])
        start = end
    return [*cuts, frames[start:]] if frames[start:] else cuts


def _frame_bytes(frames: bytes, start: int = 0) -> int:
    """Bytes of the frame that starts there, all there are if it is cut short."""
    length = int.from_bytes(frames[start + 1 : start + 5], "big")
    rest = len(frames) - start
    return min(length + 1, rest) if rest >= 5 else rest
