"""What a reader says of itself, whoever asks and whenever."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import FrozenInstanceError

import pytest
from conftest import Database, eventually, take
from pgoutput_decoder import ReplicationError, Status


async def test_from_before_the_start_until_after_the_end(database: Database) -> None:
    database.execute("CREATE TABLE item (id int PRIMARY KEY)")
    reader = database.reader(auto_acknowledge=False)
    new = reader.status()
    assert (new.state, new.delivered, new.confirmed_lsn) == ("new", None, "0/0")
    with pytest.raises(FrozenInstanceError):
        new.state = "failed"  # type: ignore[misc]

    async with reader:
        await eventually(lambda: reader.status().publishes_tables is not None, "no sample")
        idle = reader.status()
        assert (idle.state, idle.publishes_tables, idle.lag_s) == ("streaming", True, 0.0)
        [(number,)] = database.execute("SELECT current_setting('server_version_num')::int")
        reserved = "reserved" if number >= 130_000 else None
        assert (idle.wal_status, idle.last_error) == (reserved, None)
        database.execute("INSERT INTO item VALUES (1)", "INSERT INTO item VALUES (2)")
        messages = await take(reader, 2)

        # From another thread, which has no event loop.
        seen: list[Status] = []
        thread = threading.Thread(target=lambda: seen.append(reader.status()))
        thread.start()
        thread.join()
        assert seen[0].delivered == messages[1].position
        assert (seen[0].outstanding_events, seen[0].outstanding_transactions) == (2, 2)
        assert seen[0].lag_bytes > 0
        await reader.acknowledge()
        done = reader.status()
        assert (done.outstanding_events, done.outstanding_transactions) == (0, 0)
    assert reader.status().state == "stopped"
    assert reader.status().delivered == messages[1].position


async def test_of_one_that_cannot_connect(database: Database) -> None:
    reader = database.reader(slot_name="none_such")
    with pytest.raises(ReplicationError) as raised:
        await anext(reader)
    status = reader.status()
    assert (status.state, status.last_error) == ("failed", str(raised.value))
    await reader.stop()
    assert reader.status().state == "failed"


async def test_a_publication_without_tables_is_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute("CREATE PUBLICATION empty")
    with caplog.at_level(logging.WARNING, "pgoutput_decoder"):
        async with database.reader(publication_name="empty") as reader:
            waiting = asyncio.create_task(anext(reader))
            await eventually(lambda: "has no tables" in caplog.text, "no warning")
            assert reader.status().publishes_tables is False
            waiting.cancel()
