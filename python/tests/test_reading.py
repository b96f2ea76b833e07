"""Messages by list and by transaction, and without asyncio; cancelled and left in every way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import TIMEOUT_S, Database, eventually
from pgoutput_decoder import LogicalReplicationReader, ReplicationError, SyncReader, Transaction

CUT = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}'"


def table(database: Database, rows: int = 0) -> None:
    """A table, and rows in a transaction each."""
    database.execute("CREATE TABLE item (id int PRIMARY KEY, note text)")
    insert(database, 0, rows)


def insert(database: Database, start: int, count: int) -> None:
    """Rows in a transaction each."""
    for n in range(start, start + count):
        database.execute(f"INSERT INTO item VALUES ({n})")


def insert_at_once(database: Database, start: int, count: int) -> None:
    """Rows in one transaction."""
    rows = f"generate_series({start}, {start} + {count} - 1)"
    database.execute(f"INSERT INTO item SELECT {rows}")


def ids(messages: Any) -> list[int]:
    """The rows' ids."""
    return [message.after["id"] for message in messages]


async def collect(reader: LogicalReplicationReader, total: int, **bounds: Any) -> list[list[int]]:
    """Lists until there are as many messages."""
    found: list[list[int]] = []
    async with asyncio.timeout(TIMEOUT_S):
        async for batch in reader.batches(**bounds):
            found.append(ids(batch))
            if sum(map(len, found)) >= total:
                break
    return found


async def test_a_list_is_as_long_as_it_may_be_and_in_order(database: Database) -> None:
    table(database)
    insert_at_once(database, 0, 5000)
    async with database.reader() as reader:
        batches = await collect(reader, 5000, max_events=700, max_wait=5.0)
    assert [len(batch) for batch in batches] == [700] * 7 + [100]
    assert [n for batch in batches for n in batch] == list(range(5000))


async def test_bytes_bound_a_list_but_not_a_single_message(database: Database) -> None:
    table(database)
    database.execute(
        "INSERT INTO item SELECT n, repeat('x', CASE n WHEN 3 THEN 9000 ELSE 1000 END) "
        "FROM generate_series(0, 9) n"
    )
    async with database.reader() as reader:
        batches = await collect(reader, 10, max_bytes=4000, max_wait=1.0)
    sizes = [len(batch) for batch in batches]
    assert max(sizes) == 2
    assert [3] in batches
    assert [n for batch in batches for n in batch] == list(range(10))


async def test_without_a_wait_the_first_message_comes_at_once(database: Database) -> None:
    table(database)
    async with database.reader() as reader:
        for n in range(20):
            insert(database, n, 1)
            began = time.monotonic()
            assert await collect(reader, 1, max_events=1000) == [[n]]
            assert time.monotonic() - began < TIMEOUT_S / 2


async def test_messages_wait_for_others_no_longer_than_asked(database: Database) -> None:
    table(database)
    async with database.reader() as reader:
        reading = asyncio.create_task(collect(reader, 3, max_events=1000, max_wait=1.5))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        for n in range(3):
            insert(database, n, 1)
            await asyncio.sleep(0.1)
        assert await reading == [[0, 1, 2]]
        assert 1.0 < time.monotonic() - began < TIMEOUT_S / 2


async def test_a_cancelled_wait_for_a_list_loses_nothing(database: Database) -> None:
    table(database)
    async with database.reader(auto_acknowledge=False) as reader:
        for n in range(5):
            insert(database, n, 1)
            waiting = reader.batches(max_events=100, max_wait=60.0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(waiting), 0.3)
        found = ids([await anext(reader), await anext(reader)])
        found += (await collect(reader, 3))[0]
    assert found == list(range(5))


async def test_a_list_is_acknowledged_when_the_next_is_asked_for(database: Database) -> None:
    table(database, 4)
    reader = database.reader()
    batches = reader.batches(max_events=2, max_wait=5.0)
    assert ids(await anext(batches)) == [0, 1]
    assert reader.status().outstanding_transactions >= 2
    assert ids(await anext(batches)) == [2, 3]
    await eventually(lambda: reader.status().outstanding_transactions <= 2, "acknowledged")
    del batches
    await reader.stop()
    async with database.reader() as again:
        insert(database, 9, 1)
        assert ids([await anext(again)]) == [9]


@pytest.mark.parametrize(
    ("bounds", "name"),
    [
        ({"max_events": 0}, "max_events"),
        ({"max_bytes": -1}, "max_bytes"),
        ({"max_wait": -1}, "max_wait"),
    ],
)
async def test_a_bound_that_cannot_be_is_a_value_error(
    database: Database, bounds: dict[str, Any], name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        database.reader().batches(**bounds)
    with pytest.raises(ValueError, match="max_events"):
        database.reader().transactions(max_events=0)


async def transactions(
    reader: LogicalReplicationReader, count: int, **bounds: Any
) -> list[Transaction]:
    """The next ones."""
    found = reader.transactions(**bounds)
    async with asyncio.timeout(TIMEOUT_S):
        return [await anext(found) for _ in range(count)]


async def test_transactions_are_what_was_committed(database: Database) -> None:
    table(database)
    before = datetime.now(UTC)
    with database.connect() as connection:
        for sizes in (1, 3, 0, 2):
            with connection.transaction():
                connection.execute("CREATE TEMP TABLE IF NOT EXISTS nothing ()")
                for _ in range(sizes):
                    connection.execute("INSERT INTO item SELECT count(*) FROM item")
    database.execute("INSERT INTO item VALUES (100)")
    async with database.reader() as reader:
        found = await transactions(reader, 4)
        assert [ids(transaction.messages) for transaction in found] == [
            [0],
            [1, 2, 3],
            [4, 5],
            [100],
        ]
        for transaction in found:
            first, last = transaction.messages[0], transaction.messages[-1]
            assert transaction.is_whole
            assert len(transaction) == len(transaction.messages)
            assert list(transaction) == [message async for message in transaction]
            assert transaction.xid == first.xid == last.xid
            assert transaction.position == last.position
            assert transaction.position.startswith(transaction.commit_lsn + ":")
            assert transaction.commit_ts.timestamp() == pytest.approx(first.source["ts_us"] / 1e6)
            assert before - timedelta(seconds=60) < transaction.commit_ts
            assert repr(transaction).endswith(f"messages: {len(transaction)}>")


async def test_a_transaction_comes_when_it_is_complete_without_another(database: Database) -> None:
    table(database)
    async with database.reader() as reader:
        for n in range(20):
            insert(database, n, 1)
            (transaction,) = await transactions(reader, 1)
            assert ids(transaction) == [n]


async def test_a_message_of_no_transaction_is_one_of_its_own(database: Database) -> None:
    table(database)
    if int(database.execute("SHOW server_version_num")[0][0]) < 140000:
        pytest.skip("pgoutput sends messages from PostgreSQL 14 on")
    emit = "SELECT pg_logical_emit_message({}, 'p', '{}')"
    database.execute(emit.format("false", 1), emit.format("true", 2), emit.format("false", 3))
    async with database.reader() as reader:
        found = await transactions(reader, 3)
    assert [transaction.xid is None for transaction in found] == [True, False, True]
    assert [len(transaction) for transaction in found] == [1, 1, 1]


async def test_a_large_transaction_is_iterated_over_and_not_held(database: Database) -> None:
    table(database)
    insert_at_once(database, 0, 3000)
    insert(database, 5000, 1)
    async with database.reader() as reader:
        found = reader.transactions(max_events=1000)
        large = await anext(found)
        assert not large.is_whole
        assert repr(large).endswith("messages: more than 1000>")
        with pytest.raises(ReplicationError, match="more than 1000 messages"):
            _ = large.messages
        with pytest.raises(ReplicationError):
            len(large)
        with pytest.raises(ReplicationError):
            next(iter(large))
        read = [message async for message in large]
        assert ids(read) == list(range(3000))
        assert large.position == read[-1].position
        assert ids((await anext(found)).messages) == [5000]
        # Nothing is left of the first.
        assert len([message async for message in large]) == 1000


@pytest.mark.parametrize("read", [0, 1, 1500])
async def test_what_is_not_read_of_a_large_transaction_is_passed_over(
    database: Database, read: int
) -> None:
    table(database)
    insert_at_once(database, 0, 3000)
    insert(database, 5000, 1)
    async with database.reader(auto_acknowledge=False) as reader:
        found = reader.transactions(max_events=1000)
        large = await anext(found)
        messages = aiter(large)
        assert ids([await anext(messages) for _ in range(read)]) == list(range(read))
        assert ids(await anext(found)) == [5000]


async def test_a_large_transaction_that_is_open_is_streamed_and_cut(database: Database) -> None:
    """The connection is lost in the middle: each message once, in order, and the end is found."""
    table(database)
    insert_at_once(database, 0, 30_000)
    async with database.reader() as reader:
        large = await anext(reader.transactions(max_events=10))
        read: list[int] = []
        async for message in large:
            read.append(message.after["id"])
            if len(read) == 2000:
                database.execute(CUT.format(slot=database.slot))
        assert read == list(range(30_000))
        insert(database, 40_000, 1)
        assert ids((await transactions(reader, 1))[0]) == [40_000]


def test_a_plain_loop_reads_acknowledges_and_stops(database: Database) -> None:
    table(database, 5)
    reader = SyncReader(**database.arguments())
    assert repr(reader).startswith("SyncReader(")
    found = []
    for message in reader:
        found.append(message.after["id"])
        if len(found) == 3:
            break
    reader.stop()
    with SyncReader(**database.arguments(auto_acknowledge=False)) as again:
        assert again.status().state == "streaming"
        messages = iter(again)
        assert ids([next(messages), next(messages)]) == [3, 4]
        again.acknowledge()
    with SyncReader(**database.arguments()) as last:
        insert(database, 5, 1)
        assert ids([next(iter(last))]) == [5]


def test_lists_and_transactions_without_asyncio(database: Database) -> None:
    table(database)
    insert_at_once(database, 0, 500)
    insert(database, 500, 1)
    with SyncReader(**database.arguments(auto_acknowledge=False)) as reader:
        batches = reader.batches(200, max_wait=5.0)
        assert [len(next(batches)), len(next(batches))] == [200, 200]
    with SyncReader(**database.arguments()) as reader:
        found = reader.transactions(100)
        assert not next(found).is_whole
        assert ids(next(found)) == [500]
    insert_at_once(database, 1000, 500)
    with SyncReader(**database.arguments()) as reader:
        assert ids(next(reader.transactions(100))) == list(range(1000, 1500))


async def test_a_plain_loop_may_go_on_in_another_task(database: Database) -> None:
    """As in a notebook, whose cells run in tasks of one loop."""
    table(database, 3)
    reader = SyncReader(**database.arguments())
    messages = iter(reader)
    first = asyncio.Event()

    async def cell() -> int:
        key = next(messages).after["id"]
        await first.wait()
        return int(key)

    earlier = asyncio.create_task(cell())
    await asyncio.sleep(0)
    assert ids([next(messages)]) == [1]
    first.set()
    assert await earlier == 0
    assert ids([next(messages)]) == [2]
    reader.stop()


def test_a_thread_that_waits_is_stopped_by_another(database: Database) -> None:
    table(database)
    reader = SyncReader(**database.arguments())
    found: list[int] = []
    rows = (message.after["id"] for message in reader)
    thread = threading.Thread(target=lambda: found.extend(rows))
    thread.start()
    deadline = time.monotonic() + TIMEOUT_S
    while reader.status().state != "streaming" and time.monotonic() < deadline:
        time.sleep(0.01)
    insert(database, 0, 1)
    while not found and time.monotonic() < deadline:
        time.sleep(0.01)
    reader.stop()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert found == [0]


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_without_asyncio_a_function_is_asked_for_the_password(
    database: Database, kind: str
) -> None:
    table(database, 1)

    def password() -> str:
        return database.password

    async def coroutine() -> str:
        await asyncio.sleep(0)
        return database.password

    asked = password if kind == "function" else coroutine
    with SyncReader(**database.arguments(password=asked)) as reader:
        assert ids([next(iter(reader))]) == [0]


def test_ctrl_c_interrupts_a_plain_loop_within_a_moment(database: Database) -> None:
    table(database, 1)
    program = (
        "import json, sys\n"
        "from pgoutput_decoder import SyncReader\n"
        "try:\n"
        "    for message in SyncReader(**json.loads(sys.argv[1])):\n"
        "        print(message.after['id'], flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(database.arguments())],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert process.wait(TIMEOUT_S) == 0
    assert time.monotonic() - began < TIMEOUT_S / 4


async def test_an_error_comes_behind_the_messages_before_it(database: Database) -> None:
    table(database, 3)
    reader = database.reader(reconnect_attempts_max=0)
    found = reader.batches(max_events=2, max_wait=30.0)
    assert ids(await anext(found)) == [0, 1]
    database.execute(CUT.format(slot=database.slot))
    assert ids(await anext(found)) == [2]
    with pytest.raises(ReplicationError):
        await anext(found)
    await reader.stop()
