"""This package: each way to read, touching what its row is called after."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from pgoutput_decoder import LogicalReplicationReader, SyncReader

from bench.clients.meter import EVENTS, PUBLICATION, SLOT, Meter


async def op(reader: LogicalReplicationReader) -> None:
    """`message.op`, which reads nothing of the event."""
    left = EVENTS
    async for message in reader:
        _ = message.op
        left -= 1
        if not left:
            return


async def json(reader: LogicalReplicationReader) -> None:
    """`message.json`: the whole envelope, as bytes."""
    left = EVENTS
    async for message in reader:
        _ = message.json
        left -= 1
        if not left:
            return


async def after(reader: LogicalReplicationReader) -> None:
    """`message.after`, or `before` of a deletion: a dict with a Python object for each value."""
    left = EVENTS
    async for message in reader:
        _ = message.after if message.op != "d" else message.before
        left -= 1
        if not left:
            return


async def batches(reader: LogicalReplicationReader) -> None:
    """`batches()`, touching `op`."""
    left = EVENTS
    async for batch in reader.batches():
        for message in batch:
            _ = message.op
        left -= len(batch)
        if left <= 0:
            return


async def transactions(reader: LogicalReplicationReader) -> None:
    """`transactions()`, touching `op`; of a huge one the rest is read as it comes."""
    left = EVENTS
    async for transaction in reader.transactions():
        async for message in transaction:
            _ = message.op
            left -= 1
        if left <= 0:
            return


async def arrow(reader: LogicalReplicationReader) -> None:
    """`arrow_batches()`: every column as an Arrow array."""
    left = EVENTS
    async for tables in reader.arrow_batches(max_events=10_000):
        left -= sum(table.num_rows for table in tables)
        if left <= 0:
            return


def sync() -> None:
    """`SyncReader` in a plain `for`, touching `op`."""
    meter = Meter()
    reader = SyncReader(PUBLICATION, SLOT)
    left = EVENTS
    for message in reader:
        _ = message.op
        left -= 1
        if not left:
            break
    meter.report()
    reader.stop()


async def read(use: Callable[[LogicalReplicationReader], Awaitable[None]]) -> None:
    """From before the connection to the last event; the stop is not counted, for any client."""
    meter = Meter()
    reader = LogicalReplicationReader(PUBLICATION, SLOT)
    await use(reader)
    meter.report()
    await reader.stop()


def main() -> None:
    """The command line."""
    uses = {use.__name__: use for use in (op, json, after, batches, transactions, arrow)}
    if sys.argv[1] == "sync":
        sync()
    else:
        asyncio.run(read(uses[sys.argv[1]]))


if __name__ == "__main__":
    main()
