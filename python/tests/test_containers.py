"""A stream from a server in a container, over the port Docker maps, through what befalls it."""

from __future__ import annotations

import asyncio

import pytest
from conftest import Database, database_at, take
from container import Container
from pgoutput_decoder import ConnectionError, LogicalReplicationReader

# Longer than the server's wal_sender_timeout.
PAUSE_S = 4


@pytest.fixture
def contained(container: Container) -> Database:
    """A database in the container, with a table."""
    database = database_at(container.url)
    database.create()
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    return database


def insert(database: Database, first: int, last: int) -> list[int]:
    """A transaction a row; the ids."""
    ids = list(range(first, last + 1))
    with database.connect() as connection:
        for number in ids:
            connection.execute("INSERT INTO t VALUES (%s)", [number])
    return ids


async def taken(reader: LogicalReplicationReader, count: int) -> list[int]:
    """The ids of the next messages."""
    return [message.after["id"] for message in await take(reader, count)]


async def test_a_stream_over_the_mapped_port(contained: Database) -> None:
    inserted = insert(contained, 1, 100)
    async with contained.reader() as reader:
        assert await taken(reader, 100) == inserted
        inserted = insert(contained, 101, 110)
        assert await taken(reader, 10) == inserted
    # Nothing comes again.
    inserted = insert(contained, 111, 111)
    async with contained.reader() as reader:
        assert await taken(reader, 1) == inserted


@pytest.mark.parametrize("befalls", ["restart", "kill"])
async def test_a_container_that_comes_back(
    container: Container, contained: Database, befalls: str
) -> None:
    async with contained.reader() as reader:
        waiting = asyncio.ensure_future(taken(reader, 20))
        inserted = insert(contained, 1, 10)
        if befalls == "restart":
            await asyncio.to_thread(container.restart)
        else:
            await asyncio.to_thread(container.kill)
            await asyncio.to_thread(container.start)
        inserted += insert(contained, 11, 20)
        assert await waiting == inserted
    # Nothing comes again, and nothing was left out.
    inserted = insert(contained, 21, 21)
    async with contained.reader() as reader:
        assert await taken(reader, 1) == inserted


async def test_a_container_that_is_paused(container: Container, contained: Database) -> None:
    async with contained.reader() as reader:
        waiting = asyncio.ensure_future(taken(reader, 20))
        inserted = insert(contained, 1, 10)
        await asyncio.to_thread(container.pause)
        # Its port still takes connections.
        with pytest.raises(ConnectionError, match="no answer within 1 s"):
            async with contained.reader(connect_timeout=1) as another:
                await taken(another, 1)
        await asyncio.sleep(PAUSE_S)
        assert not waiting.done()
        await asyncio.to_thread(container.unpause)
        inserted += insert(contained, 11, 20)
        assert await waiting == inserted
