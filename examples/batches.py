"""Messages by the batch, for targets where a transaction or a round trip costs more than a row."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from pgoutput_decoder import LogicalReplicationReader, ReplicationMessage


async def batches(
    reader: LogicalReplicationReader, max_events: int = 500, max_wait: float = 0.1
) -> AsyncIterator[list[ReplicationMessage]]:
    """Lists of 1 to `max_events` messages, each complete `max_wait` seconds after its first.

    The reader must have `auto_acknowledge=False`: acknowledge a batch when it is dealt with.
    """
    async for message in reader:
        batch = [message]
        # A read that is cancelled here loses nothing: its message comes with the next batch.
        with contextlib.suppress(TimeoutError, StopAsyncIteration):
            async with asyncio.timeout(max_wait):
                while len(batch) < max_events:
                    batch.append(await anext(reader))
        yield batch
