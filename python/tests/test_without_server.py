"""Recordings, `Decoder` and the fixtures for users' tests."""

from __future__ import annotations

import itertools
import json
import logging
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import REPOSITORY, TIMEOUT_S, Database, take
from pgoutput_decoder import (
    ConfigurationError,
    Decoder,
    DecodingError,
    LogicalReplicationReader,
    ReplicationError,
    ReplicationMessage,
)

VECTORS = REPOSITORY / "tests" / "vectors"
SHOP = VECTORS / "ecommerce" / "pgoutput.jsonl"
RECORDED = REPOSITORY / "examples" / "recordings" / "shop.pgrec"


def frames(path: Path) -> list[dict[str, Any]]:
    """A recording's messages."""
    lines = (json.loads(line) for line in path.read_text().splitlines() if line)
    return [line for line in lines if "hex" in line]


async def all_of(reader: LogicalReplicationReader) -> list[ReplicationMessage]:
    """Every message."""
    return [message async for message in reader]


async def test_a_recording_gives_its_messages_and_ends() -> None:
    reader = LogicalReplicationReader.from_recording(SHOP, database="shop")
    assert "recording=" in repr(reader)
    assert reader.status().state == "new"
    found = await all_of(reader)
    assert {message.op for message in found} >= {"c", "u", "d"}
    assert found[0].source["db"] == "shop"
    assert (await anext(reader, None)) is None
    assert reader.status().state == "stopped"
    await reader.stop()
    again = await all_of(LogicalReplicationReader.from_recording(SHOP, database="shop"))
    assert [m.to_debezium_json() for m in again] == [m.to_debezium_json() for m in found]


async def test_acknowledgements_of_a_recording_are_observed() -> None:
    async with LogicalReplicationReader.from_recording(SHOP) as reader:
        assert reader.status().acknowledged is None
        first = await anext(reader)
        assert reader.status().acknowledged is None
        assert reader.status().state in {"streaming", "stopped"}
        second = await anext(reader)
        assert reader.status().acknowledged == first.position
    assert reader.status().acknowledged == second.position
    manual = LogicalReplicationReader.from_recording(SHOP, auto_acknowledge=False)
    messages = [await anext(manual) for _ in range(3)]
    assert manual.status().acknowledged is None
    await manual.acknowledge(messages[1])
    assert manual.status().acknowledged == messages[1].position
    await manual.acknowledge()
    assert manual.status().acknowledged == messages[2].position
    with pytest.raises(ReplicationError, match="No pending"):
        await manual.acknowledge()
    await manual.stop()


async def test_lists_and_transactions_of_a_recording() -> None:
    whole = await all_of(LogicalReplicationReader.from_recording(SHOP))
    reader = LogicalReplicationReader.from_recording(SHOP)
    lists = [batch async for batch in reader.batches(7, max_wait=60.0)]
    assert [len(batch) for batch in lists[:-1]] == [7] * (len(lists) - 1)
    positions = [m.position for m in whole]
    assert [m.position for batch in lists for m in batch] == positions
    reader = LogicalReplicationReader.from_recording(SHOP)
    groups = [[m.position for m in t] async for t in reader.transactions()]
    assert list(itertools.chain(*groups)) == positions
    by_xid = [[m.position for m in g] for _, g in itertools.groupby(whole, lambda m: m.xid)]
    assert groups == by_xid


async def test_a_recording_in_debeziums_format(tmp_path: Path) -> None:
    """The file that Debezium wrote of the same stream has the same keys and topics."""
    options = {"topic.prefix": "app"}
    reader = LogicalReplicationReader.from_recording(
        SHOP, SHOP.parent / "catalog.json", format="debezium", options=options, database="shop"
    )
    found = [(m.topic, m.key) for m in await all_of(reader)]
    expected = [json.loads(line) for line in (SHOP.parent / "events.jsonl").open()]
    assert found == [(event["topic"], event["key"]) for event in expected]
    with pytest.raises(ConfigurationError):
        LogicalReplicationReader.from_recording(SHOP, options={"no.such.option": 1})


async def test_a_recording_of_the_command(tmp_path: Path) -> None:
    async with LogicalReplicationReader.from_recording(RECORDED) as reader:
        messages = [message async for message in reader]
    assert len(messages) > 800
    assert messages[0].source["db"] == "postgres"  # as it was recorded
    assert {message.schema for message in messages} == {"pgoutput_demo"}

    cut = tmp_path / "cut.pgrec"
    cut.write_bytes(RECORDED.read_bytes()[:-1])
    async with LogicalReplicationReader.from_recording(cut) as reader:
        assert [await anext(reader) for _ in messages] == messages
        with pytest.raises(ReplicationError, match=r"cut\.pgrec, block \d+ at byte \d+: the file"):
            await anext(reader)


async def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        LogicalReplicationReader.from_recording(tmp_path / "absent.jsonl")
    odd = tmp_path / "odd.jsonl"
    odd.write_text("{}\n")
    with pytest.raises(ValueError, match=r"odd\.jsonl, line 1"):
        LogicalReplicationReader.from_recording(odd)
    alone = tmp_path / "alone.jsonl"
    alone.write_text(SHOP.read_text())
    with pytest.raises(FileNotFoundError, match=r"catalog\.json"):
        LogicalReplicationReader.from_recording(alone)


async def test_a_damaged_recording_gives_what_comes_before_the_damage(tmp_path: Path) -> None:
    lines = SHOP.read_text().splitlines()
    whole = await all_of(LogicalReplicationReader.from_recording(SHOP))
    inserts = [n for n, line in enumerate(lines) if json.loads(line)["hex"].startswith("49")]
    damaged = json.loads(lines[inserts[5]])
    damaged["hex"] = damaged["hex"][:-8]
    lines[inserts[5]] = json.dumps(damaged)
    file = tmp_path / "pgoutput.jsonl"
    file.write_text("\n".join(lines))
    reader = LogicalReplicationReader.from_recording(file, SHOP.parent / "catalog.json")
    found: list[str] = []
    while len(found) < 5:
        found.append((await anext(reader)).position)
    with pytest.raises(DecodingError, match=f"line {inserts[5] + 1}") as caught:
        await anext(reader)
    assert found == [message.position for message in whole[:5]]
    assert caught.value.message_type == "I"
    assert reader.status().state == "failed"
    await reader.stop()


def rows(messages: list[ReplicationMessage]) -> list[Any]:
    """What they say."""
    return [(m.op, m.position, m.table, m.key, m.before, m.after, m.xid) for m in messages]


def decoded(decoder: Decoder, recorded: list[dict[str, Any]]) -> list[ReplicationMessage]:
    """All messages."""
    found = []
    for frame in recorded:
        found += decoder.decode(
            bytes.fromhex(frame["hex"]), frame["lsn"], frame["end_lsn"], frame["server_ts_us"]
        )
    return found


async def test_a_decoder_gives_what_a_reader_gives(database: Database) -> None:
    """Messages as the server gives them through SQL, to somebody else's connection."""
    database.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'glad')",
        "CREATE TABLE item (id int PRIMARY KEY, feeling mood, all_of mood[], n numeric)",
        "INSERT INTO item VALUES (1, 'glad', '{sad,glad}', 1.50), (2, NULL, NULL, NULL)",
        "UPDATE item SET n = 2 WHERE id = 1",
        "DELETE FROM item WHERE id = 2",
        "TRUNCATE item",
    )
    changes = (
        "SELECT lsn::text, xid::text, data FROM pg_logical_slot_peek_binary_changes("
        f"'{database.slot}', NULL, NULL, 'proto_version', '1', 'publication_names', 'pub')"
    )
    with database.connect() as connection:
        found = connection.execute(changes.encode()).fetchall()

        def query(statement: str) -> str:
            row = connection.execute(statement.encode()).fetchone()
            assert row is not None
            return str(row[0])

        decoder = Decoder(query=query, database=database.name)
        messages = [m for lsn, _, data in found for m in decoder.decode(data, lsn)]
    async with database.reader() as reader:
        expected = await take(reader, 5)
    assert rows(messages) == rows(expected)
    assert [m.source["db"] for m in messages] == [database.name] * 5


def test_a_decoder_without_catalogs_knows_the_servers_own_types() -> None:
    lines = frames(VECTORS / "types-scalar-uuid" / "pgoutput.jsonl")
    messages = decoded(Decoder(uuid="UUID", temporal="datetime"), lines)
    assert len(messages) > 0
    found = {
        type(value) for message in messages if message.after for value in message.after.values()
    }
    assert {int, uuid.UUID} <= found
    assert all(message.key is None for message in messages)


def test_what_a_query_answers_must_be_an_answer() -> None:
    def refuses(sql: str) -> str:
        raise psycopg.OperationalError("gone")

    answers: list[tuple[Any, type[Exception], str]] = [
        (lambda sql: None, ValueError, "one text"),
        (lambda sql: "[]", ValueError, "not what"),
        (refuses, psycopg.OperationalError, "gone"),
    ]
    for query, error, text in answers:
        with pytest.raises(error, match=text):
            decoded(Decoder(query=query), frames(SHOP))


def test_a_decoder_goes_on_behind_an_error_and_keeps_what_came_before() -> None:
    recorded = frames(SHOP)
    whole = decoded(Decoder(), recorded)
    at = next(n for n, frame in enumerate(recorded) if frame["hex"].startswith("49"))
    decoder = Decoder()
    decoded(decoder, recorded[:at])
    with pytest.raises(DecodingError) as caught:
        decoder.decode(bytes.fromhex(recorded[at]["hex"])[:-3], recorded[at]["lsn"])
    assert (caught.value.message_type, caught.value.lsn) == ("I", recorded[at]["lsn"])
    with pytest.raises(ValueError, match="lsn: expected"):
        decoder.decode(b"", "zzz")
    with pytest.raises(DecodingError):
        decoder.decode(b"")
    rest = decoded(decoder, recorded[at + 1 :])
    assert [m.lsn for m in rest] == [m.lsn for m in whole][1:]


TEST = "def test_"
TESTS = """
import pytest

async def test_reads(pg_cdc):
    pg_cdc.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (7)")
    async with pg_cdc.reader() as reader:
        message = await anext(reader)
    assert message.after == {"id": 7}
    left_open = pg_cdc.reader(auto_acknowledge=False)
    pg_cdc.execute("INSERT INTO t VALUES (8)")
    assert (await anext(left_open)).after == {"id": 8}

def test_is_fresh(pg_cdc):
    assert pg_cdc.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    pg_cdc.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with pg_cdc.sync_reader() as reader:
        assert next(iter(reader)).after == {"id": 1}

async def test_recording(cdc_recording):
    reader = cdc_recording("pgoutput.jsonl", format="debezium")
    assert len([message async for message in reader]) > 10
"""


def test_the_fixtures_work_in_a_users_project(tmp_path: Path) -> None:
    for name in ("pgoutput.jsonl", "catalog.json"):
        (tmp_path / name).write_text((SHOP.parent / name).read_text())
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "orders.jsonl").write_text(SHOP.read_text())
    page = (REPOSITORY / "README.md").read_text()
    readme = [code for code in re.findall("```python\n(.*?)```", page, re.DOTALL) if TEST in code]
    (tmp_path / "test_readme.py").write_text("\n".join(readme))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=6 * TIMEOUT_S
    )
    logging.info(result.stdout)
    assert "5 passed" in result.stdout, result.stdout + result.stderr


REENTERED = """
from pgoutput_decoder import Decoder
import json, sys

def query(sql):
    decoder.decode(b"")

decoder = Decoder(query=query)
for line in open(sys.argv[1]):
    frame = json.loads(line)
    try:
        decoder.decode(bytes.fromhex(frame["hex"]), frame["lsn"])
    except Exception as error:
        print(type(error).__name__, error)
        break
"""


def test_a_decoder_in_use_says_so() -> None:
    """And does not wait for itself, or with the GIL for another thread, for ever."""
    command = [sys.executable, "-c", REENTERED, str(SHOP)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    assert result.stdout.startswith("ReplicationError the decoder is in use")


def test_a_streamed_change_that_cannot_be_decoded_does_not_take_others_along() -> None:
    recorded = frames(VECTORS / "txn-interleaved" / "pgoutput.v2-stream.jsonl")
    whole = decoded(Decoder(), recorded)
    kinds = [bytes.fromhex(frame["hex"])[:1] for frame in recorded]
    at = kinds.index(b"I", kinds.index(b"S"))
    recorded[at]["hex"] = recorded[at]["hex"][:-6]
    decoder = Decoder()
    found, errors = [], []
    for frame in recorded:
        try:
            found += decoded(decoder, [frame])
        except DecodingError as error:
            errors.append(error.lsn)
    assert errors == [recorded[at]["lsn"]]
    assert [m.lsn for m in found] == [m.lsn for m in whole if m.lsn != errors[0]]
