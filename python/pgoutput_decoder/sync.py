"""The reader without asyncio: for scripts, notebooks and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from ._native import LogicalReplicationReader, ReplicationMessage
from .status import Status
from .transactions import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    import pyarrow as _pyarrow  # type: ignore[import-untyped]

    from ._native import _Settings

__all__ = ["SyncReader"]

_T = TypeVar("_T")


class SyncReader:
    """A `LogicalReplicationReader` for a plain `for` loop, with the same arguments.

    `for message in reader` waits for each message and goes on until Ctrl-C or `stop()`; `with`
    connects and stops. All means the same as there, awaited. For one thread at a time; `stop` and
    `status` may be called from another. In a coroutine use `LogicalReplicationReader`: waiting here
    would hold its event loop up.
    """

    def __init__(
        self,
        publication_name: str | Sequence[str],
        slot_name: str,
        **settings: Unpack[_Settings],
    ) -> None:
        self._reader = LogicalReplicationReader(publication_name, slot_name, **settings)
        self._asks = callable(settings.get("password"))
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def _of(cls, reader: LogicalReplicationReader) -> Self:
        made = cls.__new__(cls)
        made._reader = reader
        made._asks = False
        made._loop = None
        return made

    def __iter__(self) -> Iterator[ReplicationMessage]:
        """The messages, one by one."""
        self._start()
        return _Iterator(aiter(self._reader))

    def batches(
        self, max_events: int = 1000, max_bytes: int | None = None, max_wait: float = 0.0
    ) -> Iterator[list[ReplicationMessage]]:
        """As `LogicalReplicationReader.batches`."""
        self._start()
        return _Iterator(self._reader.batches(max_events, max_bytes, max_wait))

    def arrow_batches(
        self,
        max_events: int = 1000,
        max_bytes: int | None = None,
        max_wait: float = 0.0,
        *,
        text_columns: Sequence[str] | None = None,
    ) -> Iterator[list[_pyarrow.RecordBatch]]:
        """As `LogicalReplicationReader.arrow_batches`."""
        self._start()
        bounds = (max_events, max_bytes, max_wait)
        return _Iterator(self._reader.arrow_batches(*bounds, text_columns=text_columns))

    def transactions(self, max_events: int = 10_000) -> Iterator[Transaction]:
        """As `LogicalReplicationReader.transactions`; a transaction may be iterated over."""
        self._start()
        return _Transactions(self._reader.transactions(max_events))

    def acknowledge(self, lsn: str | int | ReplicationMessage | None = None) -> None:
        """As `LogicalReplicationReader.acknowledge`."""
        _wait(self._reader.acknowledge(lsn))

    def stop(self) -> None:
        """As `LogicalReplicationReader.stop`."""
        _wait(self._reader.stop())
        self._end_loop()

    def status(self) -> Status:
        """As `LogicalReplicationReader.status`."""
        return self._reader.status()

    def __enter__(self) -> Self:
        """Connects."""
        self._start()
        _wait(self._reader.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops, as `async with LogicalReplicationReader` does."""
        _wait(self._reader.__aexit__(kind, value, traceback))
        self._end_loop()

    def __repr__(self) -> str:
        return repr(self._reader).replace("LogicalReplicationReader", "SyncReader", 1)

    def _start(self) -> None:
        """A function that is asked for the password may be a coroutine: it gets a loop."""
        if not self._asks or self._loop is not None:
            return
        self._loop = asyncio.new_event_loop()
        threading.Thread(
            target=self._loop.run_forever, name="pgoutput-password", daemon=True
        ).start()
        connecting = asyncio.run_coroutine_threadsafe(self._reader.__aenter__(), self._loop)
        connecting.result()

    def _end_loop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


def _wait(awaitable: Any) -> Any:
    return cast("Callable[[], Any]", awaitable.wait)()


class _Iterator(Generic[_T]):
    """An asynchronous iterator of the reader's, waited for."""

    def __init__(self, each: Any) -> None:
        self._each = each

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        try:
            return cast("_T", self._each.wait_next())
        except StopAsyncIteration:
            raise StopIteration from None


class _Transactions(_Iterator[Transaction]):
    """Those whose rest is waited for, too."""

    def __next__(self) -> Transaction:
        return super().__next__()._waited(_Iterator[ReplicationMessage])
