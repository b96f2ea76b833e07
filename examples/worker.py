"""Workers that deliver each change of an order to a webhook: several at once, each order's in turn.

    psql -f examples/setup_postgres.sql                                 # once
    python examples/worker.py http://localhost:8000/ --workers 4

What fails is tried again, each time after a longer pause; what is refused (4xx), or failed
ATTEMPTS times, goes to the file of dead letters, a line of JSON each. Changes end in any order but
are acknowledged in the stream's: up to the last one before which all are done. Killed in between,
the program delivers what was not acknowledged once more; the header Idempotency-Key tells.

The server is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. When you are done:
SELECT pg_drop_replication_slot('worker').
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
from collections import deque
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, urlsplit

from pgoutput_decoder import LogicalReplicationReader, ReplicationError, ReplicationMessage

SLOT = "worker"
ATTEMPTS = 5
# Before the second attempt; doubled for each that follows.
PAUSE_S = 0.2
REQUEST_TIMEOUT_S = 5
# Changes that wait for one worker. When it is full nothing is read: the server keeps the rest.
QUEUE = 20


class RefusedError(Exception):
    """The receiver will not have it, however often it is tried."""


class Unfinished:
    """The changes handed to workers, in the stream's order."""

    def __init__(self) -> None:
        self._messages: deque[ReplicationMessage] = deque()
        self._done: set[str] = set()

    def add(self, message: ReplicationMessage) -> None:
        """Takes note of one that is handed out."""
        self._messages.append(message)

    def finish(self, message: ReplicationMessage) -> ReplicationMessage | None:
        """The last change that may be acknowledged now, if there is a new one."""
        self._done.add(message.position)
        last = None
        while self._messages and self._messages[0].position in self._done:
            last = self._messages.popleft()
            self._done.remove(last.position)
        return last


class Webhook:
    """Where changes are delivered, and the file for those that cannot be."""

    def __init__(self, url: SplitResult, dead_letters: BinaryIO) -> None:
        self._url = url
        self._dead_letters = dead_letters

    async def deliver(self, message: ReplicationMessage) -> None:
        """Returns when the change was delivered or buried."""
        for attempt in range(ATTEMPTS):
            try:
                await asyncio.to_thread(self._post, message)
                return
            except RefusedError as error:
                self._bury(message, str(error))
                return
            except (OSError, http.client.HTTPException) as error:
                reason = f"{type(error).__name__}: {error}"
            if attempt + 1 < ATTEMPTS:
                # Not all workers at the same moment: half of the pause is chance.
                await asyncio.sleep(PAUSE_S * 2**attempt * random.uniform(0.5, 1))  # noqa: S311
        self._bury(message, reason)

    def _post(self, message: ReplicationMessage) -> None:
        https = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=REQUEST_TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json", "Idempotency-Key": message.position}
            connection.request("POST", self._url.path or "/", message.json, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status >= 500 or status in (408, 429):
            raise http.client.HTTPException(f"status {status}")
        if status >= 300:
            raise RefusedError(f"status {status}")

    def _bury(self, message: ReplicationMessage, reason: str) -> None:
        letter = f'{{"reason":{json.dumps(reason)},"position":"{message.position}","event":'
        self._dead_letters.write(letter.encode() + (message.json or b"null") + b"}\n")
        # On the disk before it is acknowledged.
        self._dead_letters.flush()
        os.fsync(self._dead_letters.fileno())
        print(f"buried {message.table} {message.key}: {reason}", flush=True)


def concerns_others(message: ReplicationMessage) -> bool:
    """Whether a change must wait for those of other keys: a new key, TRUNCATE."""
    before = message.before or {}
    key = message.key
    return key is None or any(before.get(column, value) != value for column, value in key.items())


async def work(
    mine: asyncio.Queue[ReplicationMessage],
    webhook: Webhook,
    unfinished: Unfinished,
    reader: LogicalReplicationReader,
) -> None:
    """Delivers what comes, one after the other."""
    while True:
        message = await mine.get()
        await webhook.deliver(message)
        await settle(reader, unfinished, message)
        mine.task_done()


async def settle(
    reader: LogicalReplicationReader, unfinished: Unfinished, message: ReplicationMessage
) -> None:
    """Acknowledges as much as may be, now that this one is finished."""
    if (last := unfinished.finish(message)) is not None:
        await reader.acknowledge(last)


async def hand_out(
    reader: LogicalReplicationReader,
    queues: list[asyncio.Queue[ReplicationMessage]],
    unfinished: Unfinished,
) -> None:
    """Gives all changes of a row to the same worker."""
    print(f"{len(queues)} workers wait; Ctrl-C stops.", flush=True)
    async for message in reader:
        unfinished.add(message)
        if not message.table:
            # A logical message: nothing to deliver, but what is not finished holds the position.
            await settle(reader, unfinished, message)
            continue
        alone = concerns_others(message)
        if alone:
            await asyncio.gather(*(waiting.join() for waiting in queues))
        chosen = queues[hash((message.table, repr(message.key))) % len(queues)]
        await chosen.put(message)
        if alone:
            await chosen.join()


async def main(url: str, dead_letters: Path, workers: int) -> None:
    """Works until stopped."""
    reader = LogicalReplicationReader(
        "ecommerce_pub",
        SLOT,
        auto_acknowledge=False,
        create_slot=True,
        options={"table.include.list": "ecommerce.orders"},
    )
    unfinished = Unfinished()
    queues: list[asyncio.Queue[ReplicationMessage]] = [asyncio.Queue(QUEUE) for _ in range(workers)]
    opener = os.open(dead_letters, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(opener, "ab") as letters:
        webhook = Webhook(urlsplit(url), letters)
        try:
            async with reader, asyncio.TaskGroup() as tasks:
                for mine in queues:
                    tasks.create_task(work(mine, webhook, unfinished, reader))
                tasks.create_task(hand_out(reader, queues, unfinished))
        except* ReplicationError as errors:
            raise errors.exceptions[0] from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Delivers changes of orders to a webhook.")
    parser.add_argument("url", help="http://… or https://…")
    parser.add_argument("--dead-letters", type=Path, default=Path("dead_letters.jsonl"))
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    try:
        asyncio.run(main(arguments.url, arguments.dead_letters, arguments.workers))
    except KeyboardInterrupt:
        print("Stopped.")
    except ReplicationError as error:
        raise SystemExit(f"worker.py: {error}") from None
