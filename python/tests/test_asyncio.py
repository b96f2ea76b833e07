"""The reader among other tasks: cancelling, stopping, and leaving the event loop its turns."""

from __future__ import annotations

import asyncio
import collections.abc
import ctypes
import itertools
import subprocess
import sys
import threading
import time

import pytest
from conftest import TIMEOUT_S, Database, insert_rows, take
from pgoutput_decoder import ReplicationError


async def test_timeouts_lose_nothing(table: Database) -> None:
    got: list[int] = []
    rows = 200

    def produce() -> None:
        for n in range(1, rows + 1):
            insert_rows(table, n, n)

    producer = threading.Thread(target=produce)
    reader = table.reader()
    timeouts = 0
    producer.start()
    async with asyncio.timeout(TIMEOUT_S):
        while len(got) < rows:
            try:
                message = await asyncio.wait_for(anext(reader), 0.0005 * (1 + len(got) % 5))
            except TimeoutError:
                timeouts += 1
            else:
                got.append(message.after["id"])
    producer.join()
    await reader.stop()
    assert got == list(range(1, rows + 1))
    assert timeouts > 0


async def test_cancelling_at_any_moment_loses_nothing(table: Database) -> None:
    rows = 3000
    insert_rows(table, 1, rows)
    reader = table.reader()
    got: list[int] = []

    async def consume() -> None:
        async for message in reader:
            got.append(message.after["id"])

    cancelled = 0
    async with asyncio.timeout(TIMEOUT_S):
        while len(got) < rows:
            task = asyncio.create_task(consume())
            for _ in range(cancelled % 7):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            cancelled += 1
            if cancelled % 50 == 0:
                await asyncio.sleep(0.001)
    await reader.stop()
    assert got == list(range(1, rows + 1))


async def test_awaitable_that_is_never_awaited_takes_nothing(table: Database) -> None:
    insert_rows(table, 1, 2)
    async with table.reader() as reader:
        for _ in range(10):
            anext(reader).close()
        waiting = asyncio.create_task(anext(reader))
        waiting.cancel()
        assert [message.after["id"] for message in await take(reader, 2)] == [1, 2]


async def test_stop_ends_a_waiting_consumer(table: Database) -> None:
    insert_rows(table, 1, 1)
    reader = table.reader()
    got = []

    async def consume() -> None:
        async for message in reader:
            got.append(message.after["id"])

    task = asyncio.create_task(consume())
    while not got:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    await asyncio.wait_for(reader.stop(), TIMEOUT_S)
    await asyncio.wait_for(task, 1)
    assert got == [1]


async def test_after_stop_iteration_ends_for_ever(table: Database) -> None:
    insert_rows(table, 1, 5)
    reader = table.reader()
    await take(reader, 2)
    await reader.stop()
    await reader.stop()
    for _ in range(3):
        with pytest.raises(StopAsyncIteration):
            await anext(reader)
    assert [message async for message in reader] == []
    assert await anext(reader, "default") == "default"
    with pytest.raises(ReplicationError, match="has been stopped"):
        await reader.acknowledge()


async def test_stop_before_the_first_message(table: Database) -> None:
    reader = table.reader()
    await reader.stop()
    assert [message async for message in reader] == []


async def test_stop_while_connecting() -> None:
    from pgoutput_decoder import LogicalReplicationReader

    # 192.0.2.0/24 is for documentation: nobody answers there.
    reader = LogicalReplicationReader("p", "s", "192.0.2.1", "d")
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(reader.stop(), 2)
    with pytest.raises((StopAsyncIteration, ReplicationError)):
        await waiting


async def test_break_and_loop_again(table: Database) -> None:
    insert_rows(table, 1, 5)
    reader = table.reader()
    got = []
    for _ in range(5):
        async for message in reader:
            got.append(message.after["id"])
            break
    await reader.stop()
    assert got == [1, 2, 3, 4, 5]


async def test_several_consumers_share_a_reader(table: Database) -> None:
    rows = 2000
    reader = table.reader(auto_acknowledge=False)
    got: list[int] = []

    async def consume() -> None:
        async for message in reader:
            got.append(message.after["id"])
            await asyncio.sleep(0)

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(consume())
        await asyncio.sleep(0.2)
        insert_rows(table, 1, rows)
        while len(got) < rows:
            await asyncio.sleep(0.01)
        await reader.stop()
    assert sorted(got) == list(range(1, rows + 1))


async def test_awaitables_are_coroutines(table: Database) -> None:
    reader = table.reader()
    for awaitable in (anext(reader), reader.stop()):
        assert isinstance(awaitable, collections.abc.Coroutine)
    stopping = reader.stop()
    await stopping
    with pytest.raises(RuntimeError, match="cannot reuse"):
        await stopping


def test_a_reader_outlives_its_event_loop(table: Database) -> None:
    insert_rows(table, 1, 2)
    reader = table.reader()

    async def one() -> int:
        [message] = await take(reader, 1)
        return int(message.after["id"])

    assert [asyncio.run(one()), asyncio.run(one())] == [1, 2]
    asyncio.run(reader.stop())


async def test_event_loop_keeps_its_turns_at_full_rate(table: Database) -> None:
    rows = 50_000
    insert_rows(table, 1, rows)
    reader = table.reader()
    got = 0
    taken_at_turns = [0]
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)
            taken_at_turns.append(got)

    await take(reader, 1)
    ticker = asyncio.create_task(tick())
    spinner = asyncio.create_task(spin())
    # CPU time: what other processes take away from this one does not count.
    started = time.thread_time()
    async with asyncio.timeout(TIMEOUT_S):
        async for _ in reader:
            got += 1
            if got == rows - 1:
                break
    worked_ms = (time.thread_time() - started) * 1000
    ticker.cancel()
    spinner.cancel()
    await reader.stop()
    # A turn a millisecond, and no stretch of messages that is long against the whole.
    assert len(taken_at_turns) >= worked_ms / 4, (len(taken_at_turns), worked_ms)
    longest = max(b - a for a, b in itertools.pairwise(taken_at_turns))
    assert longest < rows / 5, longest
    assert ticks >= 1


async def test_timeout_and_stop_work_at_full_rate(table: Database) -> None:
    rows = 100_000
    insert_rows(table, 1, rows)
    reader = table.reader(auto_acknowledge=False)
    got = [message.after["id"] for message in await take(reader, 1)]

    async def drain() -> None:
        async for message in reader:
            got.append(message.after["id"])

    # A time-out takes effect among messages that are there already, whenever that is.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(drain(), 0.001)
    timed_out_at = len(got)

    async def stop_soon() -> None:
        while len(got) == timed_out_at:
            await asyncio.sleep(0)
        await reader.stop()

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(drain())
        group.create_task(stop_soon())
    assert 1 <= timed_out_at < len(got) < rows
    assert got == list(range(1, len(got) + 1))


async def test_a_held_gil_does_not_delay_what_the_server_waits_for(table: Database) -> None:
    table.execute(f"ALTER DATABASE {table.name} SET wal_sender_timeout = '1s'")
    walsender = f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{table.slot}'"
    insert_rows(table, 1, 1)
    async with table.reader() as reader:
        await take(reader, 1)
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(0.1)
        before = table.execute(walsender)
        insert_rows(table, 2, 2)
        # Two workers could be waiting for the GIL now, if waking a task needed it.
        ctypes.PyDLL(None).usleep(3_000_000)
        assert (await waiting).after == {"id": 2}
        assert table.execute(walsender) == before


def test_a_forked_child_can_stream(table: Database) -> None:
    insert_rows(table, 1, 1)
    script = f"""
import asyncio, os
from pgoutput_decoder import LogicalReplicationReader

async def first():
    async with LogicalReplicationReader(**{table.arguments(auto_acknowledge=False)}) as reader:
        return (await anext(reader)).after

assert asyncio.run(first()) == {{"id": 1}}
child = os.fork()
if child == 0:
    os._exit(7 if asyncio.run(first()) == {{"id": 1}} else 8)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert asyncio.run(first()) == {{"id": 1}}
"""
    run_script(script)


def test_leaving_without_stop_is_harmless(table: Database) -> None:
    insert_rows(table, 1, 1)
    script = f"""
import asyncio
from pgoutput_decoder import LogicalReplicationReader

async def main():
    await anext(reader)
    asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0.1)

reader = LogicalReplicationReader(**{table.arguments()})
asyncio.run(main())
"""
    run_script(script)


def run_script(script: str) -> None:
    """Runs it in an interpreter of its own, which must end by itself and say nothing."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
