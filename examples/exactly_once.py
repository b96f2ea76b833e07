"""What each customer has spent, kept in another PostgreSQL database, each change counted once.

    psql -f examples/setup_postgres.sql                             # once
    createdb copy
    python examples/exactly_once.py --target dbname=copy

A sum shows every change that is lost or counted twice. None is: sums and position are written in
one transaction, and the program starts behind the position it finds. It begins with an empty table,
so it uses the slot of setup_postgres.sql, which is older than the first order.

The source is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE, and so is the target but
for what --target says. Needs psycopg.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from decimal import Decimal

import psycopg
from pgoutput_decoder import LogicalReplicationReader, ReplicationError, ReplicationMessage

SLOT = "ecommerce_slot"
SETUP = """
    CREATE TABLE IF NOT EXISTS spending (
        customer_id integer PRIMARY KEY, orders bigint NOT NULL, total numeric NOT NULL
    );
    CREATE TABLE IF NOT EXISTS progress (slot text PRIMARY KEY, position text NOT NULL);
"""
ADD = """
    INSERT INTO spending VALUES (%s, %s, %s) ON CONFLICT (customer_id) DO UPDATE
    SET orders = spending.orders + excluded.orders, total = spending.total + excluded.total
"""
# Of two programs at work by mistake, one finds that the position is not what it left.
ADVANCE = "UPDATE progress SET position = %s WHERE slot = %s AND position = %s"
BEGIN = "INSERT INTO progress (position, slot) VALUES (%s, %s)"


def effects(message: ReplicationMessage) -> Iterator[tuple[int, int, Decimal]]:
    """What a change of an order adds to whose sums: customer, orders, total.

    What an order was before is taken off, and must be known.
    """
    if message.op == "u" and message.before is None:
        raise SystemExit("exactly_once.py: ecommerce.orders needs REPLICA IDENTITY FULL")
    if message.before is not None:
        yield message.before["customer_id"], -1, -message.before["total"]
    if message.after is not None:
        yield message.after["customer_id"], 1, message.after["total"]


async def write(
    target: psycopg.AsyncConnection, batch: list[ReplicationMessage], position: str | None
) -> str:
    """Writes a batch and its position in one transaction; the new position."""
    new = batch[-1].position
    async with target.transaction():
        for message in batch:
            if message.op == "t":
                await target.execute("DELETE FROM spending")
            for effect in effects(message):
                await target.execute(ADD, effect)
        if position is None:
            await target.execute(BEGIN, [new, SLOT])
        elif (await target.execute(ADVANCE, [new, SLOT, position])).rowcount != 1:
            raise SystemExit("exactly_once.py: another program writes to this target")
    return new


async def main(conninfo: str) -> None:
    """Counts until stopped."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as target:
        await target.execute(SETUP)
        found = await target.execute("SELECT position FROM progress WHERE slot = %s", [SLOT])
        row = await found.fetchone()
        position = row[0] if row else None
        reader = LogicalReplicationReader(
            "ecommerce_pub",
            SLOT,
            auto_acknowledge=False,
            start_position=position,
            options={"table.include.list": "ecommerce.orders"},
        )
        async with reader:
            print(f"Going on behind {position or 'nothing'}; Ctrl-C stops.", flush=True)
            async for batch in reader.batches(max_events=500, max_wait=0.1):
                position = await write(target, batch, position)
                # What comes again after a crash before this line is passed over.
                await reader.acknowledge(batch[-1])
                print(f"{len(batch)} changes, up to {position}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sums that every change enters once.")
    parser.add_argument("--target", default="dbname=copy", help="a connection string")
    try:
        asyncio.run(main(parser.parse_args().target))
    except KeyboardInterrupt:
        print("Stopped.")
    except (psycopg.OperationalError, ReplicationError) as error:
        raise SystemExit(f"exactly_once.py: {error}") from None
