"""Changes in a program without asyncio: a thread reads them and hands them over by a queue.

    psql -f examples/setup_postgres.sql         # once
    python examples/background_thread.py

Prints which products run out. A change is acknowledged when the loop's body has run for it; Ctrl-C
ends the loop and the thread, and the server has the last acknowledgement before the program ends.
The server is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. When you are done:
SELECT pg_drop_replication_slot('background_thread').
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import threading
from collections.abc import Iterator

from pgoutput_decoder import LogicalReplicationReader, ReplicationError, ReplicationMessage

SLOT = "background_thread"
FEW = 200
# How far the thread may be ahead of the loop.
AHEAD = 1000


class Changes:
    """`with Changes(…) as changes: for message in changes: …`, in a thread without asyncio."""

    def __init__(self, publication: str, slot: str) -> None:
        self._reader = LogicalReplicationReader(
            publication, slot, create_slot=True, auto_acknowledge=False
        )
        # Messages, and then the error that ended the stream, or None. A full queue would block the
        # event loop: this one is bounded by `_room`.
        self._queue: queue.Queue[ReplicationMessage | Exception | None] = queue.Queue()
        self._room = asyncio.Semaphore(AHEAD)
        self._connected = threading.Event()
        self._left = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="changes")

    def __enter__(self) -> Changes:
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        try:
            self._connected.wait()
        except BaseException:  # Ctrl-C
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._left.set)
        self._thread.join()

    def __iter__(self) -> Iterator[ReplicationMessage]:
        while (message := self._queue.get()) is not None:
            if isinstance(message, Exception):
                raise message
            yield message
            asyncio.run_coroutine_threadsafe(self._dealt_with(message), self._loop)

    # What follows runs in the thread.

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        reading = asyncio.create_task(self._read())
        # The loop stays for as long as the other thread may call it.
        await self._left.wait()
        reading.cancel()
        await asyncio.wait([reading])

    async def _read(self) -> None:
        try:
            async with self._reader:
                self._connected.set()
                async for message in self._reader:
                    await self._room.acquire()
                    self._queue.put(message)
            self._queue.put(None)
        except Exception as error:  # noqa: BLE001 - it is raised in the other thread
            self._queue.put(error)
            self._connected.set()

    async def _dealt_with(self, message: ReplicationMessage) -> None:
        self._room.release()
        await self._reader.acknowledge(message)


def main(count: int | None) -> None:
    """Watches the stock; as plain as a program can be."""
    with Changes("ecommerce_pub", SLOT) as changes:
        print("Watching the stock; Ctrl-C stops.", flush=True)
        for seen, message in enumerate(changes, start=1):
            if message.table == "products" and message.op in ("c", "u"):
                product = message.after
                if product["stock"] < FEW:
                    print(f"{product['name']}: {product['stock']} left", flush=True)
            if seen == count:
                # The body has not run to its end for this one: it comes again next time.
                break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tells which products run out.")
    parser.add_argument("--count", type=int, help="stop at the change with this number")
    try:
        main(parser.parse_args().count)
    except KeyboardInterrupt:
        print("Stopped.")
    except ReplicationError as error:
        raise SystemExit(f"background_thread.py: {error}") from None
