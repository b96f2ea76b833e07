"""Readers under asyncio's own event loop, uvloop's and anyio, cancelled wherever they wait."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest
import trio
import uvloop
from conftest import TIMEOUT_S, Database, insert_rows
from pgoutput_decoder import LogicalReplicationReader, ReplicationError, ReplicationMessage

Main = Callable[[], Coroutine[Any, Any, None]]
Work = Callable[[], Awaitable[object]]


def run_uvloop(main: Main) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


# Each runs a coroutine function to its end.
LOOPS: dict[str, Callable[[Main], None]] = {
    "asyncio": lambda main: asyncio.run(main()),
    "uvloop": run_uvloop,
    "anyio": lambda main: anyio.run(main, backend="asyncio"),
}


# Ways to interrupt work after some turns of the event loop, or the time of some.
TURN_S = 0.0002


async def by_cancel(work: Work, turns: int) -> None:
    async def worker() -> None:
        await work()

    task = asyncio.create_task(worker())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def by_timeout(work: Work, turns: int) -> None:
    try:
        async with asyncio.timeout(turns * TURN_S):
            await work()
    except TimeoutError:
        pass


async def by_wait_for(work: Work, turns: int) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(work(), turns * TURN_S)


class SiblingError(Exception):
    """What ends a group of tasks."""


async def by_task_group(work: Work, turns: int) -> None:
    async def fail() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise SiblingError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await work()
    except* SiblingError:
        pass


async def by_cancel_scope(work: Work, turns: int) -> None:
    """Which cancels again at each turn."""

    async def cancel(scope: anyio.CancelScope) -> None:
        for _ in range(turns):
            await anyio.sleep(0)
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel, group.cancel_scope)
        await work()


async def by_move_on(work: Work, turns: int) -> None:
    with anyio.move_on_after(turns * TURN_S):
        await work()


INTERRUPTIONS = (by_cancel, by_timeout, by_wait_for, by_task_group, by_cancel_scope, by_move_on)


# Ways to read, for ever.


def ids(messages: tuple[ReplicationMessage, ...] | list[ReplicationMessage]) -> list[int]:
    return [message.after["id"] for message in messages]


async def one_by_one(reader: LogicalReplicationReader, found: list[int]) -> None:
    while True:
        found += ids([await anext(reader)])


async def in_a_loop(reader: LogicalReplicationReader, found: list[int]) -> None:
    async for message in reader:
        found += ids([message])


async def acknowledging(reader: LogicalReplicationReader, found: list[int]) -> None:
    async for message in reader:
        found += ids([message])
        await reader.acknowledge(message)


async def in_batches(reader: LogicalReplicationReader, found: list[int]) -> None:
    async for batch in reader.batches(max_events=70, max_wait=0.001):
        found += ids(batch)


async def in_transactions(reader: LogicalReplicationReader, found: list[int]) -> None:
    async for transaction in reader.transactions():
        found += ids(transaction.messages)


async def in_arrow_batches(reader: LogicalReplicationReader, found: list[int]) -> None:
    async for batches in reader.arrow_batches(max_events=70, max_wait=0.001):
        for batch in batches:
            found += batch.column("id").to_pylist()


READINGS = (one_by_one, in_a_loop, acknowledging, in_batches, in_transactions, in_arrow_batches)
ROWS = 4000
ROWS_OF_A_TRANSACTION = 50


def write(database: Database) -> None:
    """Transactions one after the other."""
    with database.connect() as connection:
        for first in range(1, ROWS, ROWS_OF_A_TRANSACTION):
            last = first + ROWS_OF_A_TRANSACTION - 1
            connection.execute(
                "INSERT INTO t SELECT generate_series(%s::int, %s::int)", [first, last]
            )


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.__name__)
@pytest.mark.parametrize("loop", LOOPS)
def test_interrupted_after_any_number_of_turns_each_row_comes_once(
    table: Database,
    loop: str,
    reading: Callable[[LogicalReplicationReader, list[int]], Coroutine[Any, Any, None]],
) -> None:
    """Rows are written meanwhile; the reader connects, waits and has much to give by turns."""
    found: list[int] = []
    interrupted = 0

    async def main() -> None:
        nonlocal interrupted
        reader = table.reader(auto_acknowledge=False)
        async with asyncio.timeout(TIMEOUT_S):
            for interrupted, interrupt in enumerate(itertools.cycle(INTERRUPTIONS)):
                if len(found) >= ROWS:
                    break
                turns = interrupted // len(INTERRUPTIONS) % 40
                await interrupt(lambda: reading(reader, found), turns)
        await reader.stop()

    writer = threading.Thread(target=write, args=(table,))
    writer.start()
    LOOPS[loop](main)
    writer.join()
    assert found == list(range(1, ROWS + 1))
    assert interrupted > len(INTERRUPTIONS)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_rest_of_a_large_transaction_survives_interruptions(table: Database, loop: str) -> None:
    insert_rows(table, 1, ROWS)
    insert_rows(table, ROWS + 1, ROWS + 1)
    found: list[int] = []

    async def main() -> None:
        async with table.reader(auto_acknowledge=False) as reader, asyncio.timeout(TIMEOUT_S):
            transactions = reader.transactions(max_events=10)
            large = await anext(transactions)

            async def read() -> None:
                # Those that are held come first each time.
                seen = 0
                async for message in large:
                    seen += 1
                    if seen > 10:
                        found.append(message.after["id"])

            found.extend(range(1, 11))
            for interrupted, interrupt in enumerate(itertools.cycle(INTERRUPTIONS)):
                if len(found) >= ROWS:
                    break
                await interrupt(read, interrupted // len(INTERRUPTIONS) % 40)
            found.extend(ids((await anext(transactions)).messages))

    LOOPS[loop](main)
    assert found == list(range(1, ROWS + 2))


@pytest.mark.parametrize("loop", LOOPS)
def test_interrupted_in_entering_acknowledging_and_stopping(table: Database, loop: str) -> None:
    """Each reader acknowledges one row, and the next has the one after it."""
    turns = (0, 1, 2, 5)
    readers = 2 * len(turns) * len(INTERRUPTIONS)
    for n in range(1, readers + 1):
        insert_rows(table, n, n)
    found: list[int] = []

    async def one(interrupt: Callable[[Work, int], Awaitable[None]], turns: int, way: str) -> None:
        reader = table.reader(auto_acknowledge=False)
        await interrupt(reader.__aenter__, turns)
        message = await anext(reader)
        found.append(message.after["id"])
        await interrupt(lambda: reader.acknowledge(message), turns)
        await reader.acknowledge(message)
        if way == "stop":
            await interrupt(reader.stop, turns)
        else:
            await interrupt(lambda: reader.__aexit__(None, None, None), turns)
        await reader.stop()

    async def main() -> None:
        async with asyncio.timeout(2 * TIMEOUT_S):
            for choice in itertools.product(INTERRUPTIONS, turns, ("stop", "exit")):
                await one(*choice)

    LOOPS[loop](main)
    assert found == list(range(1, readers + 1))


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_cancelled_task_was_working_on_comes_again(table: Database, loop: str) -> None:
    """With automatic acknowledgement, by whoever cancels it."""
    insert_rows(table, 1, 1)
    insert_rows(table, 2, 2)

    async def main() -> None:
        for interrupt in INTERRUPTIONS:
            working = False

            async def work() -> None:
                nonlocal working
                async with table.reader() as reader:
                    async for message in reader:
                        assert message.after["id"] == 1
                        working = True
                        await asyncio.sleep(TIMEOUT_S)

            turns = 0
            while not working:
                turns += 500
                await interrupt(work, turns)

    LOOPS[loop](main)


@pytest.mark.parametrize("use", ["anext", "enter", "batches"])
def test_trio_is_told_what_a_reader_needs(table: Database, use: str) -> None:
    reader = table.reader()

    async def main() -> None:
        if use == "enter":
            async with reader:
                pass
        elif use == "batches":
            await anext(reader.batches())
        else:
            await anext(reader)

    with pytest.raises(ReplicationError, match=r"asyncio\.run\(.*not from trio.*SyncReader"):
        trio.run(main)
    assert reader.status().state == "new"
