"""What can go wrong. Everything this package raises about a stream is a `ReplicationError`.

No message or attribute of these ever holds a row's values or a password.
"""

from __future__ import annotations

import builtins

__all__ = [
    "ChangesLostError",
    "ConfigurationError",
    "ConnectionError",
    "DecodingError",
    "PluginError",
    "PublicationNotFoundError",
    "ReplicationError",
    "SlotNotFoundError",
    "UnrepresentableError",
]


class ReplicationError(RuntimeError):
    """Base of all errors; also a `RuntimeError`, which is what 0.1.0 raised.

    `sqlstate` is PostgreSQL's five-character code and `hint` what to do about it, mostly the SQL to
    run; both are None where there is none.
    """

    def __init__(
        self, message: str = "", *, sqlstate: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.hint = hint


class ConnectionError(ReplicationError, builtins.ConnectionError):
    """The server cannot be reached or will not stream: address, login, rights, `wal_level`."""


class ConfigurationError(ReplicationError, ValueError):
    """A setting that cannot be what it was given as."""


class ChangesLostError(ReplicationError):
    """Changes cannot be had any more, or others were handed out than the server has now.

    The slot was dropped, made anew, moved by somebody else or invalidated while this program was
    connected or came back to it; the server is another one, was restored to an earlier point, or is
    a promoted standby that lagged behind. The message says which. Trying again does not help: take
    a new snapshot of the tables, with a new slot.
    """


class SlotNotFoundError(ReplicationError):
    """The replication slot `slot` does not exist; `hint` is the SQL that makes it."""

    def __init__(
        self,
        message: str = "",
        *,
        slot: str | None = None,
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, hint=hint)
        self.slot = slot


class PublicationNotFoundError(ReplicationError):
    """The publication `publication` does not exist; `hint` is the SQL that makes it."""

    def __init__(
        self,
        message: str = "",
        *,
        publication: str | None = None,
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, hint=hint)
        self.publication = publication


class DecodingError(ReplicationError):
    """A frame that cannot be decoded. Nothing behind it has been or will be acknowledged.

    `lsn` is the frame's (like `"0/16B3748"`) or the open transaction's commit LSN where the frame
    has none, `offset` the place in the pgoutput message in bytes, `message_type` the message's
    first letter.
    """

    def __init__(
        self,
        message: str = "",
        *,
        lsn: str | None = None,
        offset: int | None = None,
        message_type: str | None = None,
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, hint=hint)
        self.lsn = lsn
        self.offset = offset
        self.message_type = message_type


class PluginError(ReplicationError):
    """A plugin cannot be used, or failed. Nothing from that message on has been acknowledged.

    `plugin` is its name, or its file where it has not said that yet; `position` and `topic` say at
    which message it failed, and are None where it was not about one.
    """

    def __init__(
        self,
        message: str = "",
        *,
        plugin: str | None = None,
        position: str | None = None,
        topic: str | None = None,
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, hint=hint)
        self.plugin = plugin
        self.position = position
        self.topic = topic


class UnrepresentableError(ReplicationError, ValueError):
    """A value that the Arrow type of its column cannot hold, as `infinity` in a date.

    `schema`, `table` and `column` say where, `position` in which change; `hint` names the column as
    an argument that has its values as text. The messages are as good as before.
    """

    def __init__(
        self,
        message: str = "",
        *,
        schema: str | None = None,
        table: str | None = None,
        column: str | None = None,
        position: str | None = None,
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, hint=hint)
        self.schema = schema
        self.table = table
        self.column = column
        self.position = position
