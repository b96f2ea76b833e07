"""Slots that a reader makes."""

from __future__ import annotations

import asyncio
import logging

import pytest
from conftest import Database, eventually, take
from pgoutput_decoder import ConfigurationError, SlotNotFoundError


def slots(database: Database) -> list[tuple[str, bool]]:
    return database.execute(
        "SELECT slot_name, temporary FROM pg_replication_slots "
        f"WHERE database = '{database.name}' ORDER BY 1"
    )


async def test_it_is_made_when_asked_and_stays(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    made = f"{database.slot}_made"
    with pytest.raises(SlotNotFoundError):
        async with database.reader(slot_name=made):
            pass
    for expected in (1, 2):
        async with database.reader(slot_name=made, create_slot=True) as reader:
            database.execute(f"INSERT INTO t VALUES ({expected})")
            messages = await take(reader, 1)
            assert messages[0].after["id"] == expected
            await asyncio.sleep(0)
    assert (made, False) in slots(database)


async def test_a_temporary_one_is_gone_afterwards(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    made = f"{database.slot}_made"
    async with database.reader(slot_name=made, create_slot="temporary") as reader:
        database.execute("INSERT INTO t VALUES (1)")
        assert [message.op for message in await take(reader, 1)] == ["c"]
        assert (made, True) in slots(database)

    await eventually(lambda: made not in dict(slots(database)), "the slot is gone")


async def test_the_log_says_what_making_it_waits_for(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    reader = database.reader(slot_name=f"{database.slot}_made", create_slot=True)
    with caplog.at_level(logging.WARNING), database.connect() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES (1)")
            connecting = asyncio.create_task(reader.__aenter__())
            await eventually(lambda: "pg_terminate_backend" in caplog.text, "it says so")
        await connecting
    await reader.stop()


@pytest.mark.parametrize("create_slot", ["yes", 1, "Temporary"])
def test_it_is_a_bool_or_temporary(create_slot: object) -> None:
    with pytest.raises(ConfigurationError, match="create_slot"):
        Database("127.0.0.1", 5432, "u", "", "d", "s").reader(create_slot=create_slot)
