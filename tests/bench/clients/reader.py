"""This package: each way to read, touching what its row is called after."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from pgoutput_decoder import LogicalReplicationReader, SyncReader

from bench.clients.meter import EVENTS, PUBLICATION, SLOT, Meter

# The bound of `transactions()`, and what Arrow is asked for.
HUGE = 10_000


async def first(reader: LogicalReplicationReader, meter: Meter) -> int:
    """The first message alone: what comes before it is the same for few events and for many."""
    await anext(reader)
    meter.first()
    return 1


async def op(reader: LogicalReplicationReader, meter: Meter) -> None:
    """`message.op`, which reads nothing of the event."""
    left = EVENTS - await first(reader, meter)
    async for message in reader:
        _ = message.op
        left -= 1
        if not left:
            return


async def json(reader: LogicalReplicationReader, meter: Meter) -> None:
    """`message.json`: the whole envelope, as bytes."""
    left = EVENTS - await first(reader, meter)
    async for message in reader:
        _ = message.json
        left -= 1
        if not left:
            return


async def after(reader: LogicalReplicationReader, meter: Meter) -> None:
    """`message.after`, or `before` of a deletion: a dict with a Python object for each value."""
    left = EVENTS - await first(reader, meter)
    async for message in reader:
        _ = message.after if message.op != "d" else message.before
        left -= 1
        if not left:
            return


async def batches(reader: LogicalReplicationReader, meter: Meter) -> None:
    """`batches()`, touching `op`."""
    iterator = reader.batches()
    left = EVENTS - len(await anext(iterator))
    meter.first(EVENTS - left)
    async for batch in iterator:
        for message in batch:
            _ = message.op
        left -= len(batch)
        if left <= 0:
            return


async def transactions(reader: LogicalReplicationReader, meter: Meter) -> None:
    """`transactions()`, touching `op`; of a huge one the rest is read as it comes."""
    left = EVENTS
    async for transaction in reader.transactions():
        if left == EVENTS:
            # It is there when its first messages are, or all of them if they are few.
            meter.first(len(transaction) if transaction.is_whole else HUGE)
        async for message in transaction:
            _ = message.op
            left -= 1
        if left <= 0:
            return


async def arrow(reader: LogicalReplicationReader, meter: Meter) -> None:
    """`arrow_batches()`: every column as an Arrow array."""
    iterator = reader.arrow_batches(max_events=HUGE)
    left = EVENTS - sum(table.num_rows for table in await anext(iterator))
    meter.first(EVENTS - left)
    async for tables in iterator:
        left -= sum(table.num_rows for table in tables)
        if left <= 0:
            return


def sync() -> None:
    """`SyncReader` in a plain `for`, touching `op`."""
    meter = Meter()
    reader = SyncReader(PUBLICATION, SLOT)
    next(iter(reader))
    meter.first()
    left = EVENTS - 1
    for message in reader:
        _ = message.op
        left -= 1
        if not left:
            break
    meter.report()
    reader.stop()


async def read(use: Callable[[LogicalReplicationReader, Meter], Awaitable[None]]) -> None:
    """From before the connection to the last event; the stop is not counted, for any client."""
    meter = Meter()
    reader = LogicalReplicationReader(PUBLICATION, SLOT)
    await use(reader, meter)
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
