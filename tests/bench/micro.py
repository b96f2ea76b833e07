"""What a message costs Python, part by part: python -m bench.micro [RECORDING].

A recording is read into a list, then something is asked of every message: CPU time of the thread
that asks, an event, in the median of the rounds. A message keeps what it made, so each round reads
anew. Reading is CPU time of all threads, with the opening of the recording and decoding.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from pgoutput_decoder import LogicalReplicationReader, ReplicationMessage, arrow_batches

from bench.figures import number, table

ROUNDS = 51
SHOP = Path(__file__).resolve().parents[2] / "examples/recordings/shop.pgrec"

Messages = list[ReplicationMessage]


async def read(recording: Path) -> Messages:
    """All of them, at once or nearly so."""
    reader = LogicalReplicationReader.from_recording(recording)
    return [message async for batch in reader.batches(10_000) for message in batch]


def each(ask: Callable[[ReplicationMessage], object]) -> Callable[[Messages], None]:
    """Asks every message, in a loop without bytecode; lets go of the answer."""

    def ask_all(messages: Messages) -> None:
        deque(map(ask, messages), maxlen=0)

    return ask_all


ASKED: dict[str, Callable[[Messages], object]] = {
    "a loop and a call": each(lambda _: None),
    "message.op": each(lambda message: message.op),
    "message.position": each(lambda message: message.position),
    "message.json": each(lambda message: message.json),
    "message.key": each(lambda message: message.key),
    "message.after": each(lambda message: message.after),
    "message.before": each(lambda message: message.before),
    "message.source": each(lambda message: message.source),
    "arrow_batches(messages)": arrow_batches,
}


def nanoseconds(spent: Iterable[int], events: int) -> str:
    """An event's, in the median."""
    return number(median(spent) / events)


def main() -> None:
    """Prints the table."""
    recording = Path(sys.argv[1]) if len(sys.argv) > 1 else SHOP
    events = len(asyncio.run(read(recording)))
    if not events:
        sys.exit(f"{recording}: no events, so there is nothing to measure")
    reading: list[int] = []
    asking: dict[str, list[int]] = {name: [] for name in ASKED}
    for _ in range(ROUNDS):
        for name, ask in ASKED.items():
            began = time.process_time_ns()
            messages = asyncio.run(read(recording))
            reading.append(time.process_time_ns() - began)
            began = time.thread_time_ns()
            ask(messages)
            asking[name].append(time.thread_time_ns() - began)
    rows = [["reading, all threads", nanoseconds(reading, events)]]
    rows += [[name, nanoseconds(spent, events)] for name, spent in asking.items()]
    print(f"{recording.name}, {events} events, median of {ROUNDS} rounds\n")
    print(table(["", "ns an event"], rows))


if __name__ == "__main__":
    main()
