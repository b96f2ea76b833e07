"""A cache in Redis whose entries go when the row in PostgreSQL changes.

    psql -f examples/setup_postgres.sql     # once
    python examples/cache.py                # forgets what changes
    python examples/cache.py 1              # in another terminal: product 1, through the cache

The server is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE, Redis by REDIS_URL. Needs
redis and psycopg. When you are done: SELECT pg_drop_replication_slot('cache').

Who fills a cache beside the stream may have read the row before it changed, and store it after it
was forgotten. So a changed row's entry does not vanish: for MARK_S it is a mark that SET NX, with
which entries are stored, does not replace.
"""

from __future__ import annotations

import argparse
import asyncio
import os

import psycopg
from pgoutput_decoder import LogicalReplicationReader, ReplicationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

SLOT = "cache"
# Longer than anybody takes between reading a row and storing it.
MARK_S = 10
# The bound on an entry's age, should this program not run.
ENTRY_S = 3600
MARK = ""
# A number that is part of every key: another one makes all entries unknown at once, and they go
# by themselves after ENTRY_S.
GENERATION = "products:generation"


async def key_of(cache: Redis, product: int) -> str:
    """Where the cache has this product."""
    return f"product:{await cache.get(GENERATION) or 0}:{product}"


async def read(cache: Redis, product: int) -> tuple[str | None, str]:
    """A product as JSON, or None if there is none, and where it was found."""
    key = await key_of(cache, product)
    cached: str | None = await cache.get(key)
    if cached:
        return cached, "cache"
    async with await psycopg.AsyncConnection.connect() as server:
        found = await server.execute(
            "SELECT to_jsonb(p)::text FROM ecommerce.products p WHERE id = %s", [product]
        )
        row = await found.fetchone()
    if row is None:
        return None, "database"
    await cache.set(key, row[0], nx=True, ex=ENTRY_S)
    return str(row[0]), "database"


async def follow(cache: Redis) -> None:
    """Forgets what changes, until stopped.

    A change is acknowledged when the next one is asked for. Killed in between, the program forgets
    an entry twice, which does no harm.
    """
    reader = LogicalReplicationReader(
        "ecommerce_pub",
        SLOT,
        create_slot=True,
        options={"table.include.list": "ecommerce.products"},
    )
    async with reader:
        print("Following; Ctrl-C stops.", flush=True)
        async for message in reader:
            if message.op == "t":
                await cache.incr(GENERATION)
                print("Forgot all products.", flush=True)
            # Of a row whose key changed, both.
            rows = (row for row in (message.before, message.after) if row is not None)
            for product in sorted({row["id"] for row in rows}):
                await cache.set(await key_of(cache, product), MARK, ex=MARK_S)
                print(f"Forgot product {product}.", flush=True)


async def main() -> None:
    """Reads if it is told which product, and otherwise follows."""
    parser = argparse.ArgumentParser(description="A cache that PostgreSQL's changes clear.")
    parser.add_argument("product", type=int, nargs="?")
    product = parser.parse_args().product
    url = os.environ.get("REDIS_URL", "redis://localhost:6379")
    async with Redis.from_url(url, decode_responses=True) as cache:
        if product is None:
            await follow(cache)
        else:
            row, where = await read(cache, product)
            print(f"{where}: {row}")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("Stopped.")
    except (RedisError, ReplicationError) as error:
        raise SystemExit(f"cache.py: {error}") from None
