"""What can go wrong, caught by its root. No message names the value of a row."""

from typing import Literal

FailureKind = Literal["frame", "limit", "sequence", "trailing", "truncated", "unsupported", "value"]


class Error(Exception):
    """Root of the errors of this package."""


class OptionError(Error, ValueError):
    """An option is unknown or has a value it cannot have."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"option {name}: {reason}")
        self.name = name
        self.reason = reason


class FactsError(Error, ValueError):
    """Facts are not of the form that `catalog.Facts` describes."""


class RestoreError(Error, ValueError):
    """What was saved cannot be restored."""

    def __init__(self, reason: Literal["corrupt", "version"]) -> None:
        texts = {
            "corrupt": "not something a decoder saved",
            "version": "saved by a decoder of another version",
        }
        super().__init__(texts[reason])
        self.reason = reason


class EngineError(Error):
    """The decoder's program cannot be loaded, or trapped: a new decoder is needed."""


class RecordError(Error):
    """Bytes that are no records: a bug in the decoder, or in whoever stored them."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(f"not a decoder's records: {what} at byte {offset}")
        self.what = what
        self.offset = offset


class DecodingError(Error):
    """A frame cannot be decoded. What came before it was; `skip` goes on behind it."""

    def __init__(
        self, kind: FailureKind, message_type: int | None, offset: int, lsn: int, detail: str
    ) -> None:
        message = "" if message_type is None else f" in message {chr(message_type)!r}"
        super().__init__(
            f"{kind}{message} at byte {offset}, LSN {lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}: {detail}"
        )
        self.kind = kind
        """What is wrong, by the enum `decode-error-kind`."""
        self.message_type = message_type
        """The pgoutput message's first byte, where there is one."""
        self.offset = offset
        """Where in the pgoutput message, in bytes."""
        self.lsn = lsn
        """Of the frame, or of the open transaction's commit where the frame has none."""
        self.detail = detail
        """Which field, relation or column: for people, not for matching."""


class NotStashedError(Error):
    """A frame commits a transaction none of whose frames have come."""

    def __init__(self, xid: int) -> None:
        super().__init__(f"none of transaction {xid}'s frames have come")
        self.xid = xid


class StalledError(Error):
    """The decoder does not go on: a bug in it."""

    def __init__(self) -> None:
        super().__init__("the decoder does not go on")


class RecordingError(Error):
    """A file cannot be read as a recording. What is sound before that place was decoded."""

    def __init__(self, what: str) -> None:
        super().__init__(what)


class NotARecordingError(RecordingError):
    """The file is of another kind."""

    def __init__(self) -> None:
        super().__init__("not a recording")


class VersionError(RecordingError):
    """The file is of another version of the format than this package reads."""

    def __init__(self, version: int) -> None:
        super().__init__(f"a recording of version {version}: only version 1 can be read")
        self.version = version


class DamagedError(RecordingError):
    """A block is not as it was written, or there should be another."""

    def __init__(self, what: str, block: int, offset: int) -> None:
        super().__init__(f"block {block} at byte {offset}: {what}")
        self.what = what
        self.block = block
        """Counted from 1."""
        self.offset = offset
        """Where the block begins in the file."""
