"""A transaction and its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from ._native import ReplicationMessage
from .exceptions import ReplicationError

__all__ = ["Transaction"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Transaction:
    """What one COMMIT made visible, or a logical message that belongs to no transaction.

    `async for message in transaction` gives its messages, whatever their number: those beyond the
    bound of `transactions(max_events)` are read as they are asked for. `messages` has them all,
    where there are no more than that.
    """

    def __init__(
        self,
        messages: tuple[ReplicationMessage, ...],
        rest: AsyncIterator[ReplicationMessage] | Iterator[ReplicationMessage] | None = None,
    ) -> None:
        self._messages = messages
        self._rest = rest
        self._last = messages[-1]

    @property
    def xid(self) -> int | None:
        """The transaction's id; None for a message that belongs to none."""
        return self._last.xid

    @property
    def commit_lsn(self) -> str:
        """Where its COMMIT begins, like `"0/16B3748"`; of a message of its own, its LSN."""
        return self._last.position.partition(":")[0]

    @property
    def commit_ts(self) -> datetime:
        """When it was committed by the server's clock, in UTC, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self._last.commit_ts_us)

    @property
    def position(self) -> str:
        """The position of its last message, of those read so far: for `start_position`."""
        return self._last.position

    @property
    def is_whole(self) -> bool:
        """Whether `messages` has them all: there are no more than `max_events`."""
        return self._rest is None

    @property
    def messages(self) -> tuple[ReplicationMessage, ...]:
        """Its messages.

        Raises ReplicationError for a transaction with more than `max_events`: iterate over it
        instead, which holds no more than one at a time.
        """
        if not self.is_whole:
            message = (
                f"transaction {self.xid} has more than {len(self._messages)} messages: iterate "
                "over it, or ask for transactions(max_events=...) of more"
            )
            raise ReplicationError(message)
        return self._messages

    def __len__(self) -> int:
        """How many messages it has. Raises as `messages` does."""
        return len(self.messages)

    def __iter__(self) -> Iterator[ReplicationMessage]:
        """Its messages; from a `SyncReader` whatever their number, else as `messages` has them."""
        if not isinstance(self._rest, Iterator):
            yield from self.messages
            return
        yield from self._messages
        for message in self._rest:
            self._last = message
            yield message

    async def __aiter__(self) -> AsyncIterator[ReplicationMessage]:
        """Its messages. Once: those that are not held are gone then."""
        for message in self._messages:
            yield message
        if isinstance(self._rest, AsyncIterator):
            async for message in self._rest:
                self._last = message
                yield message

    def _waited(self, iterator: Callable[[Any], Iterator[ReplicationMessage]]) -> Self:
        """The same for a `SyncReader`."""
        if self._rest is not None:
            self._rest = iterator(self._rest)
        return self

    def __repr__(self) -> str:
        count = f"{len(self._messages)}" if self.is_whole else f"more than {len(self._messages)}"
        return f"<Transaction {self.xid} at {self.commit_lsn}, messages: {count}>"
