"""How a reader ends: dropped, forked, interrupted, with its event loop or with the interpreter."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TIMEOUT_S, Database, eventually, insert_each, take
from pgoutput_decoder import LogicalReplicationReader, ReplicationError, SyncReader

# What each script begins with; `arguments` are a reader's.
BEGIN = """
import asyncio, gc, multiprocessing, os, signal, sys, threading
from pgoutput_decoder import LogicalReplicationReader, ReplicationError, SyncReader

arguments = {arguments}

async def first(reader):
    return (await anext(reader)).after["id"]
"""


@pytest.fixture
def table(table: Database) -> Database:
    """Three rows in three transactions."""
    insert_each(table, 1, 2, 3)
    return table


@pytest.fixture
def silent() -> Iterator[dict[str, object]]:
    """Where to connect to a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {"host": "127.0.0.1", "port": server.getsockname()[1]}


def run(
    database: Database, script: str, *options: str, code: int = 0, **changed: object
) -> tuple[str, str]:
    """Runs it in an interpreter of its own, which must end by itself; what it wrote."""
    begin = BEGIN.format(arguments=repr(database.arguments(**changed)))
    result = subprocess.run(
        [sys.executable, *options, "-c", begin + script],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout, result.stderr


def outstanding(database: Database) -> list[int]:
    """What a new reader gets, up to a row that is inserted now."""
    insert_each(database, -1)
    found: list[int] = []
    with SyncReader(**database.arguments(auto_acknowledge=False)) as reader:
        for message in reader:
            if message.after["id"] == -1:
                return found
            found.append(message.after["id"])
    raise AssertionError


# Without stop()

FUNCTION = """
async def main():
    reader = LogicalReplicationReader(**arguments)
    print(await first(reader))

asyncio.run(main())
"""
GLOBAL = """
reader = LogicalReplicationReader(**arguments)
print(asyncio.run(first(reader)))
"""
CYCLE = """
async def main():
    reader = LogicalReplicationReader(**arguments)
    print(await first(reader))
    cycle = [reader]
    cycle.append(cycle)

asyncio.run(main())
gc.collect()
"""
SYNC = """
for message in SyncReader(**arguments):
    print(message.after["id"])
    break
"""
LOOP_LEFT_OPEN = """
loop = asyncio.new_event_loop()
reader = LogicalReplicationReader(**arguments)
print(loop.run_until_complete(first(reader)))
"""


@pytest.mark.parametrize("script", [FUNCTION, GLOBAL, CYCLE, SYNC, LOOP_LEFT_OPEN])
def test_a_reader_nobody_stopped_is_warned_of(table: Database, script: str) -> None:
    """What it had handed out was not acknowledged, and comes again."""
    output, errors = run(table, script, "-W", "always::ResourceWarning")
    assert output == "1\n"
    sentence = f'ResourceWarning: LogicalReplicationReader of slot "{table.slot}" was not stopped'
    assert errors.count(sentence) == 1, errors
    assert outstanding(table) == [1, 2, 3]


@pytest.mark.parametrize("script", [FUNCTION, GLOBAL, SYNC])
def test_the_warning_is_off_unless_asked_for(table: Database, script: str) -> None:
    assert run(table, script) == ("1\n", "")


def test_the_warning_as_an_error_changes_no_exit_code(table: Database) -> None:
    output, errors = run(table, FUNCTION, "-W", "error::ResourceWarning")
    assert output == "1\n"
    assert "ResourceWarning: LogicalReplicationReader of slot" in errors


STOPPED = """
async def main():
    async with LogicalReplicationReader(**arguments) as reader:
        print(await first(reader))
    reader = LogicalReplicationReader(**arguments)
    await first(reader)
    await reader.stop()
    LogicalReplicationReader(**arguments)  # never used
    absent = LogicalReplicationReader(**arguments | {"slot_name": "absent"})
    try:
        await anext(absent)
    except ReplicationError:
        print("absent")

asyncio.run(main())
with SyncReader(**arguments) as reader:
    next(iter(reader))
"""


def test_a_reader_that_ended_is_not_warned_of(table: Database) -> None:
    output, errors = run(table, STOPPED, "-W", "always::ResourceWarning")
    assert (output, errors) == ("1\nabsent\n", "")


async def test_a_reader_that_is_cancelled_while_it_connects_is_not_warned_of(
    silent: dict[str, object],
) -> None:
    reader = LogicalReplicationReader("pub", "slot", **silent)  # type: ignore[arg-type]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.__aenter__(), 0.2)
        del reader
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


async def test_an_exception_on_its_way_is_not_replaced(table: Database) -> None:
    async def fail() -> None:
        reader = table.reader()
        await take(reader, 1)
        raise ZeroDivisionError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ZeroDivisionError) as raised:
            await fail()
        del raised
        gc.collect()
    assert {warning.category for warning in caught} <= {ResourceWarning}


def test_a_reader_waits_when_the_interpreter_ends(
    table: Database, silent: dict[str, object]
) -> None:
    """Neither the task that waits for it nor its own connection keeps the process."""
    script = f"""
async def main():
    reader = LogicalReplicationReader(**arguments)
    await first(reader)
    task = asyncio.ensure_future(anext(reader))
    waiting = asyncio.ensure_future(anext(LogicalReplicationReader(**arguments | {silent})))
    await asyncio.sleep(0.1)
    sys.exit(5)

asyncio.run(main())
"""
    began = time.monotonic()
    assert run(table, script, code=5) == ("", "")
    assert time.monotonic() - began < TIMEOUT_S / 2
    assert outstanding(table)[-2:] == [2, 3]


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1])
def test_a_daemon_thread_that_reads_does_not_keep_the_process(
    table: Database, pause: float
) -> None:
    script = f"""
seen = threading.Event()

def read():
    for message in SyncReader(**arguments):
        seen.set()

async def aread():
    async for message in LogicalReplicationReader(**arguments):
        seen.set()

target = read if {pause} else lambda: asyncio.run(aread())
threading.Thread(target=target, daemon=True).start()
seen.wait()
threading.Event().wait({pause})
sys.exit(3)
"""
    assert run(table, script, code=3) == ("", "")


# Fork

FORK = """
def in_child(work):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work() or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def refused(work):
    try:
        work()
    except ReplicationError as error:
        assert "a reader does not survive a fork" in str(error), error
        return 0
    return 2

async def use(reader, name):
    if name == "anext":
        await anext(reader)
    elif name == "batches":
        await anext(reader.batches())
    elif name == "transactions":
        await anext(reader.transactions())
    elif name == "acknowledge":
        await reader.acknowledge()
    elif name == "enter":
        async with reader:
            pass
"""
PARENT_GOES_ON = """
async def rest(reader):
    found = [(await anext(reader)).after["id"] for _ in range(2)]
    await reader.stop()
    return found

print(asyncio.run(rest(reader)))
"""
USED_IN_CHILD = """
reader = LogicalReplicationReader(**arguments)
print(asyncio.run(first(reader)))
for name in ["anext", "batches", "transactions", "acknowledge", "enter"]:
    assert in_child(lambda: refused(lambda: asyncio.run(use(reader, name)))) == 0, name
assert in_child(lambda: refused(reader.status)) == 0
assert in_child(lambda: asyncio.run(reader.stop())) == 0  # nothing to stop there, and no error
waiting = SyncReader._of(reader)
assert in_child(lambda: refused(lambda: next(iter(waiting)))) == 0
"""
DROPPED_IN_CHILD = """
reader = LogicalReplicationReader(**arguments)
print(asyncio.run(first(reader)))
messages = aiter(reader)

def drop():
    global reader, messages
    del messages, reader
    gc.collect()

assert in_child(drop) == 0
child = os.fork()
if child == 0:
    sys.exit(4)  # the interpreter ends with all that it does then
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
"""
WITHIN_WITH = """
async def main():
    async with LogicalReplicationReader(**arguments) as reader:
        print(await first(reader), flush=True)
        child = os.fork()
        if child == 0:
            sys.exit(4)  # leaves "async with" in the child
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
        print([await first(reader), await first(reader)])

async def run_main():
    try:
        await main()
    except SystemExit as error:
        os._exit(error.code)  # asyncio's own loop must not be closed in a child: they share it

asyncio.run(run_main())
"""


@pytest.mark.parametrize(
    "script",
    [USED_IN_CHILD + PARENT_GOES_ON, DROPPED_IN_CHILD + PARENT_GOES_ON, WITHIN_WITH],
    ids=["used", "dropped", "within with"],
)
def test_a_child_leaves_its_parents_reader_alone(table: Database, script: str) -> None:
    quiet = ("-W", "ignore::DeprecationWarning")  # 3.12: about forks of processes with threads
    assert run(table, FORK + script, *quiet) == ("1\n[2, 3]\n", "")


def test_forks_while_rows_stream(table: Database) -> None:
    """Whatever the threads behind the reader are doing at that moment."""
    table.execute("INSERT INTO t SELECT generate_series(4, 20000)")
    script = """
async def main():
    expected, forks = 1, 0
    async with LogicalReplicationReader(**arguments) as reader:
        async for message in reader:
            assert message.after["id"] == expected
            expected += 1
            if expected % 1000 == 0:
                forks += 1
                child = os.fork()
                if child == 0:
                    reader = message = None
                    gc.collect()
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            if expected > 20000:
                break
    print(expected, forks)

asyncio.run(main())
"""
    quiet = ("-W", "ignore::DeprecationWarning")
    assert run(table, script, *quiet) == ("20001 20\n", "")
    assert outstanding(table) == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_has_a_reader_of_its_own(
    table: Database, method: str, tmp_path: Path
) -> None:
    other = f"{table.slot}_other"
    table.execute(f"SELECT pg_copy_logical_replication_slot('{table.slot}', '{other}')")
    script = f"""
def work(queue):
    async def main():
        async with LogicalReplicationReader(**arguments | {{"slot_name": {other!r}}}) as reader:
            return [await first(reader) for _ in range(3)]
    queue.put(asyncio.run(main()))

async def main():
    async with LogicalReplicationReader(**arguments) as reader:
        found = [await first(reader)]
        context = multiprocessing.get_context({method!r})
        queue = context.Queue()
        process = context.Process(target=work, args=(queue,))
        process.start()
        theirs = await asyncio.to_thread(queue.get)
        await asyncio.to_thread(process.join)
        found += [await first(reader), await first(reader)]
        print(process.exitcode, theirs, found)

if __name__ == "__main__":
    asyncio.run(main())
"""
    # A child that is spawned imports the program by its path.
    program = tmp_path / "program.py"
    program.write_text(BEGIN.format(arguments=repr(table.arguments())) + script)
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(program)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("0 [1, 2, 3] [1, 2, 3]\n", "")


# Ctrl-C, signals, threads and loops

INTERRUPTED = """
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    {what}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    raise
"""
AWAITED = """
async def read():
    reader = LogicalReplicationReader(**arguments)
    print("ready", flush=True)
    {body}
"""
BODIES = {
    "connecting": "await anext(reader)",
    "entering": "await reader.__aenter__()",
    "waiting": "[await anext(reader) for _ in range(4)]",
    "waiting for a list": "await anext(reader.batches(max_events=100, max_wait=60.0))",
    "waiting for a transaction": "[x async for x in reader.transactions()]",
    "at full rate": "[x.after async for x in reader]",
}
PLAIN = {
    "connecting": "next(iter(reader))",
    "entering": "reader.__enter__()",
    "waiting": "list(reader)",
    "waiting for a list": "next(reader.batches(max_events=100, max_wait=60.0))",
    "waiting for a transaction": "list(reader.transactions())",
    "at full rate": "[x.after for x in reader]",
}


@pytest.mark.parametrize("when", BODIES)
@pytest.mark.parametrize("kind", ["asyncio", "plain"])
def test_ctrl_c_ends_the_process_at_once(
    table: Database, silent: dict[str, object], kind: str, when: str
) -> None:
    rate = when == "at full rate"
    if rate:
        table.execute("INSERT INTO t SELECT generate_series(4, 300000)")
    changed = silent if when in ("connecting", "entering") else {}
    begin = BEGIN.format(arguments=repr(table.arguments(auto_acknowledge=False, **changed)))
    if kind == "asyncio":
        script = AWAITED.format(body=BODIES[when])
        script += INTERRUPTED.format(what="asyncio.run(read())")
    else:
        script = "reader = SyncReader(**arguments)\nprint('ready', flush=True)\n"
        script += INTERRUPTED.format(what=PLAIN[when])
    process = subprocess.Popen(
        [sys.executable, "-c", begin + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        active = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{table.slot}'"
        deadline = time.monotonic() + (0.3 if changed else TIMEOUT_S)
        while time.monotonic() < deadline and table.execute(active) == [(False,)]:
            threading.Event().wait(0.02)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - began < 1.0
        process.wait(TIMEOUT_S / 4)
        # As of any program of Python's that Ctrl-C ends.
        assert process.returncode == -signal.SIGINT
    finally:
        process.kill()
        process.wait()
    if not rate:
        assert outstanding(table) == [1, 2, 3]


def test_a_signal_handler_stops_the_reader(table: Database) -> None:
    script = """
async def main():
    reader = LogicalReplicationReader(**arguments)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(reader.stop()))
    async for message in reader:
        print(message.after["id"])
        if message.after["id"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)
    print("ended", reader.status().state)

asyncio.run(main())
"""
    assert run(table, script) == ("1\n2\n3\nended stopped\n", "")


def test_one_event_loop_after_the_other(table: Database) -> None:
    """A reader for each, and one that is made in the first and read in the second."""

    async def one(reader: LogicalReplicationReader, count: int) -> list[int]:
        return [message.after["id"] for message in await take(reader, count)]

    async def whole() -> list[int]:
        async with table.reader() as reader:
            return await one(reader, 1)

    async def make() -> LogicalReplicationReader:
        return table.reader()

    assert asyncio.run(whole()) == [1]
    reader = asyncio.run(make())
    assert asyncio.run(one(reader, 1)) == [2]
    assert asyncio.run(one(reader, 1)) == [3]
    asyncio.run(reader.stop())


def test_two_event_loops_at_once_share_a_reader(table: Database) -> None:
    reader = table.reader(auto_acknowledge=False)
    found: list[int] = []

    async def consume() -> None:
        async for message in reader:
            found.append(message.after["id"])

    async def wait() -> None:
        table.execute("INSERT INTO t SELECT generate_series(4, 5000)")
        await eventually(lambda: len(found) == 5000, "all have come")
        await reader.stop()

    threads = [threading.Thread(target=lambda: asyncio.run(consume())) for _ in range(2)]
    for thread in threads:
        thread.start()
    asyncio.run(wait())
    for thread in threads:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    assert sorted(found) == list(range(1, 5001))


def test_a_loop_that_is_closed_does_not_harm_the_next(table: Database) -> None:
    """Its task still waits for a message, and nobody has cancelled it."""
    reader = table.reader(auto_acknowledge=False)
    left = asyncio.new_event_loop()
    left.run_until_complete(take(reader, 3))
    waiting = left.create_task(reader.__anext__())
    left.run_until_complete(asyncio.sleep(0))
    left.close()
    insert_each(table, 4, 5)

    async def rest() -> list[int]:
        found = [message.after["id"] for message in await take(reader, 2)]
        await reader.stop()
        return found

    assert asyncio.run(rest()) == [4, 5]
    assert not waiting.done()


def test_status_and_refusals_name_the_way_out(table: Database) -> None:
    reader = table.reader()
    with pytest.raises(ReplicationError, match=r"asyncio\.run.* SyncReader"):
        anext(reader).send(None)
    assert reader.status().state == "new"
