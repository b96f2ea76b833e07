"""Prints the changes of a database as they are committed.

Set the server up once:

    psql -f examples/setup_postgres.sql

then run this and change something in another terminal. The server is found by PGHOST, PGPORT,
PGUSER, PGPASSWORD and PGDATABASE, as psql finds it, or by the flags of the same names.
"""

from __future__ import annotations

import argparse
import asyncio
import os

from pgoutput_decoder import (
    LogicalReplicationReader,
    ReplicationError,
    format_operation,
    get_table_name,
)


def parse_arguments() -> argparse.Namespace:
    """Where the server is, and what to stream from it."""
    env = os.environ.get
    parser = argparse.ArgumentParser(description="Print changes as they are committed.")
    parser.add_argument("--host", default=env("PGHOST", "localhost"))
    parser.add_argument("--port", type=int, default=int(env("PGPORT", "5432")))
    parser.add_argument("--user", default=env("PGUSER", "postgres"))
    parser.add_argument("--password", default=env("PGPASSWORD", ""))
    parser.add_argument("--database", default=env("PGDATABASE", "postgres"))
    parser.add_argument("--publication", default="ecommerce_pub")
    parser.add_argument("--slot", default="ecommerce_slot")
    parser.add_argument("--count", type=int, help="stop after so many changes")
    return parser.parse_args()


async def main(arguments: argparse.Namespace) -> None:
    """Streams until stopped."""
    reader = LogicalReplicationReader(
        publication_name=arguments.publication,
        slot_name=arguments.slot,
        host=arguments.host,
        database=arguments.database,
        port=arguments.port,
        user=arguments.user,
        password=arguments.password,
    )
    # Connects here; on leaving, acknowledges what was dealt with and disconnects. What was not
    # acknowledged comes again the next time.
    async with reader:
        print(f"Waiting for changes of {arguments.publication}; Ctrl-C stops.", flush=True)
        seen = 0
        async for message in reader:
            print(f"{format_operation(message.op)} {get_table_name(message)}", flush=True)
            if message.before is not None:
                print(f"  before {message.before}", flush=True)
            if message.after is not None:
                print(f"  after  {message.after}", flush=True)
            seen += 1
            if seen == arguments.count:
                break


if __name__ == "__main__":
    try:
        asyncio.run(main(parse_arguments()))
    except KeyboardInterrupt:
        print("Stopped.")
    except ReplicationError as error:
        raise SystemExit(f"basic_cdc.py: {error}") from None
