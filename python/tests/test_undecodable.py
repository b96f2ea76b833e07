"""Changes that cannot be decoded: here those that take more memory than the decoder may have."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from conftest import Database, take
from pgoutput_decoder import ConfigurationError, ReplicationError

INSERT = (
    "INSERT INTO item SELECT n, repeat('x', CASE n WHEN 2 THEN 16 << 20 ELSE 1 END) "
    "FROM generate_series(1, 3) n"
)


@pytest.mark.parametrize("what", ["skip", "park"])
async def test_passed_over(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    database.execute("CREATE TABLE item (id int PRIMARY KEY, note text)")
    file = tmp_path / "parked.jsonl"
    policy = what if what == "skip" else f"park:{file}"
    reader = database.reader(on_undecodable=policy, memory_max_bytes=24 << 20)
    with caplog.at_level(logging.WARNING, "pgoutput_decoder"):
        async with reader:
            database.execute(INSERT)
            messages = await take(reader, 2)
    assert [message.after["id"] for message in messages if message.after] == [1, 3]
    status = reader.status()
    assert (status.skipped, status.parked) == ((1, 0) if what == "skip" else (0, 1))
    assert "public.item at LSN" in caplog.text
    assert "xxx" not in caplog.text
    assert file.exists() == (what == "park")
    # It is dealt with.
    async with database.reader() as again:
        database.execute("INSERT INTO item VALUES (4)")
        assert [message.after["id"] for message in await take(again, 1) if message.after] == [4]


async def test_stops_by_default(database: Database) -> None:
    database.execute("CREATE TABLE item (id int PRIMARY KEY, note text)")
    reader = database.reader(memory_max_bytes=24 << 20)
    database.execute(INSERT)
    with pytest.raises(ReplicationError, match="memory"):
        await take(reader, 3)
    await reader.stop()
    assert reader.status().state == "failed"
    async with database.reader() as again:
        assert [message.after["id"] for message in await take(again, 3) if message.after] == [
            1,
            2,
            3,
        ]


@pytest.mark.parametrize("words", ["", "parks", "park:", "fail"])
def test_other_words_are_refused(database: Database, words: str) -> None:
    with pytest.raises(ConfigurationError, match="on_undecodable: expected"):
        database.reader(on_undecodable=words)
    with pytest.raises(ConfigurationError, match="memory_max_bytes"):
        database.reader(memory_max_bytes=-1)
