"""Keeps a full-text index in SQLite in step with the products of a shop, each change once.

    psql -f examples/setup_postgres.sql         # once
    python examples/search_index.py             # copies the products, then follows them
    python examples/search_index.py keyboard    # in another terminal: searches

The index and the position in the stream it stands for are written in one SQLite transaction. Killed
at any moment, the program goes on behind the last change in the index. The server is found by
PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. Needs psycopg, for the first copy. When you are
done: SELECT pg_drop_replication_slot('search_index').
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from pathlib import Path

import psycopg
from pgoutput_decoder import (
    UNCHANGED,
    LogicalReplicationReader,
    ReplicationError,
    ReplicationMessage,
)

SLOT = "search_index"


def open_index(path: Path) -> sqlite3.Connection:
    """The index in the file at `path`, made if need be."""
    index = sqlite3.connect(path)
    # What is acknowledged must be on the disk: FULL is the default, and must stay so.
    index.executescript(
        """
        PRAGMA synchronous = FULL;
        CREATE VIRTUAL TABLE IF NOT EXISTS products USING fts5(name, details, price UNINDEXED);
        CREATE TABLE IF NOT EXISTS progress (position TEXT);
        """
    )
    return index


def copy(index: sqlite3.Connection) -> int:
    """Fills the index with the products there are; how many.

    The slot is older than what is read here, so what happened in between comes again. That does no
    harm: each change writes a whole row, and the last one wins.
    """
    with psycopg.connect() as server, index:
        rows = server.execute(
            "SELECT id, name, details::text, price::text FROM ecommerce.products"
        ).fetchall()
        index.execute("DELETE FROM products")
        index.executemany(
            "INSERT INTO products (rowid, name, details, price) VALUES (?, ?, ?, ?)", rows
        )
        index.execute("INSERT INTO progress VALUES (NULL)")
    return len(rows)


def apply(index: sqlite3.Connection, message: ReplicationMessage) -> None:
    """Does to the index what was done to the table."""
    match message.op:
        case "c" | "u":
            write(index, message)
        case "d":
            index.execute("DELETE FROM products WHERE rowid = ?", [message.before["id"]])
        case "t":
            index.execute("DELETE FROM products")


def write(index: sqlite3.Connection, message: ReplicationMessage) -> None:
    """Puts the new row in the place of the old one, which may have had another key."""
    row = message.after
    old = message.before["id"] if message.before is not None else row["id"]
    # An UPDATE does not send a long value (TOAST) that it left alone: the index has it. Right after
    # the copy it may have it under the new key already.
    indexed = index.execute(
        "SELECT name, details FROM products WHERE rowid IN (?, ?)", [old, row["id"]]
    ).fetchone() or (None, None)
    sent = (row["name"], message.raw("details"))
    name, details = (
        was if value is UNCHANGED else value for value, was in zip(sent, indexed, strict=True)
    )
    index.execute("DELETE FROM products WHERE rowid IN (?, ?)", [old, row["id"]])
    index.execute(
        "INSERT INTO products (rowid, name, details, price) VALUES (?, ?, ?, ?)",
        [row["id"], name, details, str(row["price"])],
    )


async def follow(index: sqlite3.Connection) -> None:
    """Copies, if that was never done, and then follows until stopped."""
    progress = index.execute("SELECT position FROM progress").fetchone()
    reader = LogicalReplicationReader(
        "ecommerce_pub",
        SLOT,
        auto_acknowledge=False,
        # Once there is an index, a slot that is gone means changes that are gone: an error.
        create_slot=progress is None,
        start_position=progress[0] if progress else None,
        options={"table.include.list": "ecommerce.products"},
    )
    async with reader:
        if progress is None:
            print(f"Copied {copy(index)} products.", flush=True)
        print("Following; Ctrl-C stops.", flush=True)
        async for batch in reader.batches(max_events=500, max_wait=0.1):
            with index:
                for message in batch:
                    apply(index, message)
                index.execute("UPDATE progress SET position = ?", [batch[-1].position])
            await reader.acknowledge(batch[-1])
            print(f"{len(batch)} changes, up to {batch[-1].position}", flush=True)


def search(index: sqlite3.Connection, words: list[str]) -> None:
    """Prints the products that have all the words, the best first."""
    quoted = ('"' + word.replace('"', '""') + '"*' for word in words)
    query = "SELECT rowid, name, price FROM products WHERE products MATCH ? ORDER BY rank"
    for number, name, price in index.execute(query, [" ".join(quoted)]):
        print(f"{number:>6}  {name:<30} {price:>10}")


def main() -> None:
    """Searches if there are words to search for, and otherwise follows."""
    parser = argparse.ArgumentParser(description="A search index of a table of PostgreSQL.")
    parser.add_argument("--index", type=Path, default=Path("search_index.db"))
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    index = open_index(arguments.index)
    try:
        if arguments.words:
            search(index, arguments.words)
        else:
            asyncio.run(follow(index))
    except KeyboardInterrupt:
        print("Stopped.")
    except (psycopg.OperationalError, ReplicationError) as error:
        raise SystemExit(f"search_index.py: {error}") from None
    finally:
        index.close()


if __name__ == "__main__":
    main()
