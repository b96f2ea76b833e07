"""How this package's reader gets on with the rest of its process: event loop, threads, memory.

python -m bench.clients.conduct late|thread|pace|memory|stall SECONDS
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from pgoutput_decoder import LogicalReplicationReader

from bench.clients.meter import EVENTS, PUBLICATION, SLOT, memory_mib, tell

TICK_S = 0.001
# Memory is looked at so often; the first tenth of all events fills buffers and caches.
SAMPLES = 100


async def read(reader: LogicalReplicationReader, events: int) -> None:
    """At full speed, touching `op`."""
    async for message in reader:
        _ = message.op
        events -= 1
        if not events:
            return


async def tick(late_us: list[int]) -> None:
    """Wants to run each millisecond, and notes how late it does, in µs."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        late_us.append(round((loop.time() - due) * 1e6))


async def ticked(task: asyncio.Task[None]) -> list[int]:
    """How late a ticker is beside a task."""
    late_us: list[int] = []
    ticker = asyncio.create_task(tick(late_us))
    await task
    ticker.cancel()
    return late_us


async def late(reader: LogicalReplicationReader, seconds: float) -> None:
    """The event loop, first idle beside a connection, then beside reading."""
    idle_us = await ticked(asyncio.create_task(asyncio.sleep(seconds)))
    busy_us = await ticked(asyncio.create_task(read(reader, EVENTS)))
    tell(idle_us=idle_us, busy_us=busy_us)


class Counter(threading.Thread):
    """A thread of Python code without a pause."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.count = 0
        self.goes_on = True

    def run(self) -> None:
        """Counts."""
        while self.goes_on:
            self.count += 1


async def counted(task: asyncio.Task[None]) -> tuple[float, float]:
    """How far a thread counts in a second beside a task, and how long that took, in seconds."""
    counter = Counter()
    began = time.perf_counter()
    counter.start()
    await task
    counter.goes_on = False
    counter.join()
    took_s = time.perf_counter() - began
    return counter.count / took_s, took_s


async def thread(reader: LogicalReplicationReader, seconds: float) -> None:
    """A second thread alone, and beside reading."""
    alone, _ = await counted(asyncio.create_task(asyncio.sleep(seconds)))
    beside, took_s = await counted(asyncio.create_task(read(reader, EVENTS)))
    tell(alone=alone, beside=beside, rate=EVENTS / took_s)


async def pace(reader: LogicalReplicationReader, seconds: float) -> None:
    """From commit, by the server's clock, to the loop's body, in µs."""
    took_us: list[int] = []
    tell(ready=True)
    async for message in reader:
        took_us.append(time.time_ns() // 1000 - message.commit_ts_us)
        if len(took_us) == EVENTS:
            break
    tell(took_us=took_us)


async def memory(reader: LogicalReplicationReader, seconds: float) -> None:
    """Its size while it reads."""
    tell(ready=True)
    sizes_mib = []
    for _ in range(SAMPLES):
        await read(reader, EVENTS // SAMPLES)
        sizes_mib.append(memory_mib())
    steady = sizes_mib[SAMPLES // 10 :]
    tell(first_mib=steady[0], least_mib=min(steady), most_mib=max(steady), last_mib=steady[-1])


async def stall(reader: LogicalReplicationReader, seconds: float) -> None:
    """Its size when the consumer stops taking, with more to read than any buffer holds."""
    await read(reader, EVENTS // 2)
    first_mib = memory_mib()
    sizes_mib = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.05)
        sizes_mib.append(memory_mib())
    tell(first_mib=first_mib, least_mib=min(sizes_mib), most_mib=max(sizes_mib))


async def main() -> None:
    """The command line."""
    uses = {use.__name__: use for use in (late, thread, pace, memory, stall)}
    async with LogicalReplicationReader(PUBLICATION, SLOT) as reader:
        await uses[sys.argv[1]](reader, float(sys.argv[2]))


if __name__ == "__main__":
    asyncio.run(main())
