"""The wheel 0.1.0 of this package, as its README's basic example calls it."""

from __future__ import annotations

import asyncio
import os
import sys

from pgoutput_decoder import (
    LogicalReplicationReader,
    message_to_debezium_json,
    message_to_dict,
)

from bench.clients.meter import EVENTS, PUBLICATION, SLOT, Meter


async def read(mode: str) -> None:
    """Touches `op`; or makes the whole message a dict, or JSON."""
    meter = Meter()
    reader = LogicalReplicationReader(
        publication_name=PUBLICATION,
        slot_name=SLOT,
        host=os.environ["PGHOST"],
        database=os.environ["PGDATABASE"],
        port=int(os.environ["PGPORT"]),
        user=os.environ["PGUSER"],
        password=os.environ["PGPASSWORD"],
    )
    await anext(aiter(reader))
    meter.first()
    left = EVENTS - 1
    if mode == "dict":
        async for message in reader:
            message_to_dict(message)
            left -= 1
            if not left:
                break
    elif mode == "json":
        async for message in reader:
            message_to_debezium_json(message, indent=None)
            left -= 1
            if not left:
                break
    else:
        async for message in reader:
            _ = message.op
            left -= 1
            if not left:
                break
    meter.report()
    # After `stop()` its threads may keep the interpreter from ending.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1]))
