"""What is confirmed to the server, when, and what comes again after a restart."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from conftest import TIMEOUT_S, Database, eventually, insert_each, take
from pgoutput_decoder import LogicalReplicationReader, ReplicationError


@pytest.fixture
def table(table: Database) -> Database:
    """A table with three rows of three transactions in the slot."""
    insert_each(table, 1, 2, 3)
    return table


async def ids(reader: LogicalReplicationReader, count: int) -> list[int]:
    return [message.after["id"] for message in await take(reader, count)]


async def redelivered(database: Database) -> list[int]:
    """What a second reader gets before the row 99, which is inserted now."""
    insert_each(database, 99)
    got = []
    async with asyncio.timeout(TIMEOUT_S), database.reader(auto_acknowledge=False) as reader:
        async for message in reader:
            if message.after["id"] == 99:
                break
            got.append(message.after["id"])
    return got


async def test_manual_without_acknowledging_everything_comes_again(table: Database) -> None:
    before = table.confirmed_lsn()
    async with table.reader(auto_acknowledge=False) as reader:
        messages = await take(reader, 3)
        assert [message.after["id"] for message in messages] == [1, 2, 3]
    # Servers before 15 send transactions that change nothing, such as CREATE TABLE.
    assert before <= table.confirmed_lsn() <= messages[0].source["lsn"]
    assert await redelivered(table) == [1, 2, 3]


@pytest.mark.parametrize("form", ["message", "text", "int", "decimal text", "position"])
async def test_manual_up_to_a_message(table: Database, form: str) -> None:
    async with table.reader(auto_acknowledge=False) as reader:
        _, second, _ = await take(reader, 3)
        await reader.acknowledge(
            {
                "message": second,
                "text": second.lsn,
                "int": second.source["lsn"],
                "decimal text": str(second.source["lsn"]),
                "position": second.position,
            }[form]
        )
    assert await redelivered(table) == [3]


async def test_manual_last_message(table: Database) -> None:
    async with table.reader(auto_acknowledge=False) as reader:
        await ids(reader, 2)
        await reader.acknowledge()
        # As in 0.1.0, there is nothing left to acknowledge now.
        with pytest.raises(ReplicationError, match=r"^No pending LSN to acknowledge"):
            await reader.acknowledge()
    assert await redelivered(table) == [3]


async def test_acknowledgement_is_seen_by_the_server_while_streaming(table: Database) -> None:
    end = table.wal_lsn()
    async with table.reader(auto_acknowledge=False) as reader:
        await ids(reader, 3)
        await asyncio.sleep(0.3)
        assert table.confirmed_lsn() < end
        await reader.acknowledge()
        await eventually(lambda: table.confirmed_lsn() >= end, "confirmed_flush_lsn moves")


async def test_partly_acknowledged_transaction_comes_again_whole(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 5)"
    )
    async with database.reader(auto_acknowledge=False) as reader:
        messages = await take(reader, 5)
        await reader.acknowledge(messages[3])
    assert await redelivered(database) == [1, 2, 3, 4, 5]


async def test_rows_that_share_an_lsn_are_not_acknowledged_unseen(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    # COPY writes its rows by multi-insert: one WAL record, one LSN for all.
    with (
        database.connect() as connection,
        connection.cursor().copy("COPY t FROM STDIN") as copy,
    ):
        for n in range(1, 6):
            copy.write_row([n])
    async with database.reader(auto_acknowledge=False) as reader:
        first, second = await take(reader, 2)
        assert first.lsn == second.lsn
        await reader.acknowledge(first.source["lsn"])
    assert await redelivered(database) == [1, 2, 3, 4, 5]


async def test_beyond_what_was_received_is_refused(table: Database) -> None:
    async with table.reader(auto_acknowledge=False) as reader:
        with pytest.raises(ValueError, match="no message has been received yet"):
            await reader.acknowledge(1)
        first, second = await take(reader, 2)
        with pytest.raises(ValueError, match="cannot acknowledge"):
            await reader.acknowledge(table.wal_lsn())
        await reader.acknowledge(first)
        await reader.acknowledge(second)
        for nonsense in ("zzz", "0/zzz", "0/1:x", -1, 2**64):
            with pytest.raises(ValueError, match=r"^lsn: "):
                await reader.acknowledge(nonsense)
        for wrong in (1.5, True, b"0/1"):
            with pytest.raises(TypeError):
                await reader.acknowledge(wrong)  # type: ignore[arg-type]
    assert await redelivered(table) == [3]


async def test_changes_not_handed_out_yet_are_refused(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 50)"
    )
    async with database.reader(auto_acknowledge=False) as reader:
        last = (await take(reader, 50))[-1]
    async with database.reader(auto_acknowledge=False) as reader:
        second = (await take(reader, 3))[1]
        for ahead in (last.lsn, last.source["lsn"], second.source["lsn"] + 100_000, last.position):
            with pytest.raises(ValueError, match=r"^cannot acknowledge"):
                await reader.acknowledge(ahead)
        await reader.acknowledge(second.lsn)
    assert await redelivered(database) == list(range(1, 51))


@pytest.mark.parametrize("of", ["change", "commit"])
async def test_an_lsn_of_an_earlier_transaction(table: Database, of: str) -> None:
    async with table.reader(auto_acknowledge=False) as reader:
        _, second, _ = await take(reader, 3)
        commit = second.position.partition(":")[0]
        await reader.acknowledge(second.lsn if of == "change" else commit)
    assert await redelivered(table) == [3]


async def test_acknowledge_while_another_task_waits(table: Database) -> None:
    async with table.reader(auto_acknowledge=False) as reader:
        messages = await take(reader, 3)
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(0.2)
        await reader.acknowledge(messages[-1])
        insert_each(table, 4)
        message = await asyncio.wait_for(waiting, TIMEOUT_S)
        assert message.after == {"id": 4}
    assert await redelivered(table) == [4]


async def test_automatic_refuses_acknowledge(table: Database) -> None:
    async with table.reader() as reader:
        await ids(reader, 1)
        with pytest.raises(RuntimeError, match="No pending LSN"):
            await reader.acknowledge()


async def test_automatic_acknowledges_when_the_next_is_asked_for(table: Database) -> None:
    reader = table.reader()
    assert await ids(reader, 3) == [1, 2, 3]
    end = table.wal_lsn()
    await asyncio.sleep(0.3)
    assert table.confirmed_lsn() < end, "the third row's body is still running"
    waiting = asyncio.create_task(anext(reader))
    await eventually(lambda: table.confirmed_lsn() >= end, "the third row is confirmed")
    await reader.stop()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_automatic_acknowledges_on_break_and_stop(table: Database) -> None:
    reader = table.reader()
    async for message in reader:
        if message.after["id"] == 2:
            break
    await reader.stop()
    assert await redelivered(table) == [3]


async def test_automatic_does_not_acknowledge_what_the_body_is_at(table: Database) -> None:
    reader = table.reader()
    async for message in reader:
        if message.after["id"] == 2:
            await reader.stop()
    assert await redelivered(table) == [2, 3]


async def test_automatic_acknowledges_on_break_out_of_async_with(table: Database) -> None:
    async with table.reader() as reader:
        async for message in reader:
            if message.after["id"] == 2:
                break
    assert await redelivered(table) == [3]


async def test_stop_after_a_body_that_failed_does_not_acknowledge(table: Database) -> None:
    reader = table.reader()
    with contextlib.suppress(ZeroDivisionError):
        async for message in reader:
            if message.after["id"] == 2:
                fail()
    await reader.stop()
    assert await redelivered(table) == [2, 3]


@pytest.mark.parametrize("ends", ["working", "cancelled", "failed", "returned"])
async def test_leaving_async_with_while_another_task_consumes(table: Database, ends: str) -> None:
    working = asyncio.Event()

    async def consume(reader: LogicalReplicationReader) -> None:
        async for message in reader:
            if message.after["id"] == 2:
                working.set()
                if ends == "failed":
                    fail()
                if ends == "returned":
                    return
                await asyncio.sleep(TIMEOUT_S)

    async with table.reader() as reader:
        task = asyncio.create_task(consume(reader))
        await asyncio.wait_for(working.wait(), TIMEOUT_S)
        if ends == "cancelled":
            task.cancel()
        if ends != "working":
            await asyncio.wait([task])
    task.cancel()
    await asyncio.wait([task])
    assert await redelivered(table) == ([3] if ends == "returned" else [2, 3])


async def test_automatic_refuses_a_second_task(table: Database) -> None:
    working = asyncio.Event()

    async def consume(reader: LogicalReplicationReader) -> None:
        await ids(reader, 1)
        working.set()
        await asyncio.sleep(TIMEOUT_S)

    async with table.reader() as reader:
        task = asyncio.create_task(consume(reader))
        await asyncio.wait_for(working.wait(), TIMEOUT_S)
        with pytest.raises(ReplicationError, match="use auto_acknowledge=False"):
            await anext(reader)
        task.cancel()
        await asyncio.wait([task])
        # It has ended: now another may ask.
        assert await ids(reader, 1) == [2]
    assert await redelivered(table) == [3]


async def test_messages_asked_for_together_are_not_done_before_they_come(table: Database) -> None:
    async with table.reader() as reader:
        await ids(reader, 1)
        both = await asyncio.gather(anext(reader), anext(reader))
        assert [message.after["id"] for message in both] == [2, 3]
        await reader.stop()
    assert await redelivered(table) == [2, 3]


async def test_automatic_acknowledges_at_the_end_of_async_with(table: Database) -> None:
    async with table.reader() as reader:
        await ids(reader, 2)
    assert await redelivered(table) == [3]


async def test_automatic_does_not_acknowledge_what_failed(table: Database) -> None:
    async def consume() -> None:
        async with table.reader() as reader:
            async for message in reader:
                if message.after["id"] == 2:
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await consume()
    assert await redelivered(table) == [2, 3]


def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("where", ["except", "finally"])
async def test_stop_while_an_exception_is_handled_does_not_acknowledge(
    table: Database, where: str
) -> None:
    """0.1.0's README stops the reader in an `except` clause."""
    reader = table.reader()
    try:
        try:
            async for message in reader:
                if message.after["id"] == 2:
                    fail()
        except ZeroDivisionError:
            if where == "finally":
                raise
            await reader.stop()
        finally:
            await reader.stop()
    except ZeroDivisionError:
        pass
    assert await redelivered(table) == [2, 3]


async def test_stop_by_another_task_does_not_acknowledge_work_in_progress(table: Database) -> None:
    reader = table.reader()
    working = asyncio.Event()

    async def consume() -> list[int]:
        got = []
        async for message in reader:
            got.append(message.after["id"])
            if message.after["id"] == 2:
                working.set()
                await asyncio.sleep(0.5)
        return got

    task = asyncio.create_task(consume())
    await asyncio.wait_for(working.wait(), TIMEOUT_S)
    await reader.stop()
    assert await task == [1, 2]
    assert await redelivered(table) == [2, 3]


async def test_restart_after_everything_is_acknowledged_brings_nothing(table: Database) -> None:
    async with table.reader() as reader:
        assert await ids(reader, 3) == [1, 2, 3]
    assert await redelivered(table) == []


async def test_quiet_publication_does_not_hold_wal_back(table: Database) -> None:
    table.execute("DROP PUBLICATION pub", "CREATE PUBLICATION pub FOR TABLE t")
    async with table.reader() as reader:
        await ids(reader, 3)
        waiting = asyncio.create_task(anext(reader))
        table.execute("CREATE TABLE u (id int)", "INSERT INTO u SELECT generate_series(1, 10000)")
        end = table.wal_lsn()
        await eventually(lambda: table.confirmed_lsn() >= end, "unpublished WAL is confirmed")
        waiting.cancel()


async def test_start_lsn(table: Database) -> None:
    async with table.reader(auto_acknowledge=False) as reader:
        messages = await take(reader, 3)
    commit = messages[1].position.partition(":")[0]
    async with table.reader(auto_acknowledge=False, start_lsn=commit) as reader:
        assert (await ids(reader, 1))[0] in (2, 3)
    later = table.wal_lsn()
    insert_each(table, 4)
    async with table.reader(auto_acknowledge=False, start_lsn=later) as reader:
        assert await ids(reader, 1) == [4]
