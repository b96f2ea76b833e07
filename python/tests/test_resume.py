"""Each message takes effect once: a consumer that stores positions with what it made of them."""

from __future__ import annotations

import asyncio
import random
import sqlite3

from conftest import Database, take
from pgoutput_decoder import LogicalReplicationReader

ROWS = 60


async def test_start_position(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (2), (3)")
    async with database.reader(auto_acknowledge=False) as reader:
        messages = await take(reader, 3)
    for start in (messages[1], messages[1].position):
        async with database.reader(auto_acknowledge=False, start_position=start) as reader:
            assert [message.after for message in await take(reader, 1)] == [{"id": 3}]


class CrashError(Exception):
    """Takes the consumer away at any moment."""


async def consume(reader: LogicalReplicationReader, store: sqlite3.Connection, steps: int) -> None:
    """Stores each message with its position, in one transaction, and dies after some."""
    async for message in reader:
        with store:
            store.execute("INSERT INTO effects VALUES (?)", [message.after["id"]])
            store.execute("UPDATE progress SET position = ?", [message.position])
        steps -= 1
        if steps == 0:
            raise CrashError
        if message.after["id"] == ROWS:
            return


async def test_a_stored_position_makes_each_message_take_effect_once(database: Database) -> None:
    # Six rows a transaction, so that it dies in the middle of some.
    sixes = [f"INSERT INTO t SELECT generate_series({n}, {n + 5})" for n in range(1, ROWS, 6)]
    database.execute("CREATE TABLE t (id int)", *sixes)
    store = sqlite3.connect(":memory:")
    store.execute("CREATE TABLE effects (id int)")
    store.execute("CREATE TABLE progress (position text)")
    store.execute("INSERT INTO progress VALUES (NULL)")
    seeded = random.Random(7)
    crashes = 0
    async with asyncio.timeout(60):
        while True:
            (position,) = store.execute("SELECT position FROM progress").fetchone()
            # What was acknowledged, and whether that was heard, does not matter.
            reader = database.reader(
                start_position=position, auto_acknowledge=seeded.random() < 0.5
            )
            try:
                await consume(reader, store, seeded.randint(1, 9))
            except CrashError:
                crashes += 1
                continue
            finally:
                await reader.stop()
            break
    assert crashes > 5
    effects = [row for (row,) in store.execute("SELECT id FROM effects")]
    assert effects == list(range(1, ROWS + 1))
