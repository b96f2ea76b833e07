"""Shows Debezium's events, and the two ways of acknowledging them.

Set the server up once:

    psql -f examples/setup_postgres.sql

then run this and change something in another terminal: it prints two changes and acknowledges them
automatically, then two more that it acknowledges itself. The server is found by PGHOST, PGPORT,
PGUSER, PGPASSWORD and PGDATABASE, as psql finds it.
"""

from __future__ import annotations

import asyncio
import os
import sys

from pgoutput_decoder import (
    LogicalReplicationReader,
    ReplicationError,
    ReplicationMessage,
    message_to_debezium_json,
)


def make_reader(*, auto_acknowledge: bool) -> LogicalReplicationReader:
    """A reader whose events are those of Debezium's PostgreSQL connector, byte for byte."""
    env = os.environ.get
    return LogicalReplicationReader(
        publication_name="ecommerce_pub",
        slot_name="ecommerce_slot",
        host=env("PGHOST", "localhost"),
        database=env("PGDATABASE", "postgres"),
        port=int(env("PGPORT", "5432")),
        user=env("PGUSER", "postgres"),
        password=env("PGPASSWORD", ""),
        auto_acknowledge=auto_acknowledge,
        format="debezium",
        # Debezium's own properties, by their own names.
        options={"topic.prefix": "shop", "decimal.handling.mode": "string"},
    )


def show(message: ReplicationMessage) -> None:
    """Prints where Debezium would send the event, and the event."""
    print(f"{message.topic} {message.key}")
    print(message_to_debezium_json(message, indent=2), flush=True)


async def automatic(count: int) -> None:
    """A message is acknowledged when the next one is asked for, or on leaving: after its body."""
    async with make_reader(auto_acknowledge=True) as reader:
        async for message in reader:
            show(message)
            count -= 1
            if count == 0:
                break


async def manual(count: int) -> None:
    """A message is acknowledged when we say so: here after every second one.

    An acknowledgement covers everything before it, so a batch takes only one.
    """
    async with make_reader(auto_acknowledge=False) as reader:
        batch: list[ReplicationMessage] = []
        async for message in reader:
            batch.append(message)
            if len(batch) == count:
                for one in batch:
                    show(one)
                await reader.acknowledge()  # what was received last, and all before it
                print(f"Acknowledged up to {message.position}.", flush=True)
                break


async def main() -> None:
    """One after the other: a slot serves one reader at a time."""
    print("Automatic acknowledgement: waiting for two changes.", flush=True)
    await automatic(2)
    print("Manual acknowledgement: waiting for two changes.", flush=True)
    await manual(2)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("Stopped.")
    except ReplicationError as error:
        sys.exit(f"debezium_format.py: {error}")
