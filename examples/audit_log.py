"""An audit log: who changed what and when, as lines of JSON, each change once.

    psql -f examples/setup_postgres.sql                 # once
    python examples/audit_log.py --log audit.jsonl

PostgreSQL's WAL does not say who. An application says it at the start of a transaction:

    SELECT pg_logical_emit_message(true, 'audit', 'ada@example.com');

What a row was before is known where the table has REPLICA IDENTITY FULL; without, an update's entry
has what the columns became. Lines are on the disk before they are acknowledged, and the last one
tells where to go on: killed at any moment, the program leaves nothing out and repeats nothing.

The server is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. When you are done:
SELECT pg_drop_replication_slot('audit_log').
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import mmap
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from pgoutput_decoder import (
    LogicalReplicationReader,
    ReplicationError,
    ReplicationMessage,
    format_operation,
    get_table_name,
    message_to_dict,
)

SLOT = "audit_log"
PREFIX = "audit"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def open_log(path: Path) -> BinaryIO:
    """The log, made if need be: for its owner's eyes, as it holds values of rows."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    # A new file's name is on the disk when its folder is.
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return os.fdopen(descriptor, "r+b")


def recover(log: BinaryIO) -> dict[str, Any] | None:
    """The log's last entry. What a crash left of a line behind it is cut off."""
    if log.seek(0, os.SEEK_END) == 0:
        return None
    with mmap.mmap(log.fileno(), 0, access=mmap.ACCESS_READ) as text:
        end = text.rfind(b"\n") + 1
        last = text[text.rfind(b"\n", 0, max(end - 1, 0)) + 1 : end]
    log.truncate(end)
    log.seek(end)
    entry: dict[str, Any] | None = json.loads(last) if last else None
    return entry


def changed(event: dict[str, Any], unchanged: tuple[str, ...]) -> dict[str, list[Any]]:
    """The columns that are not what they were, each with its old and its new value."""
    before, after = event["before"] or {}, event["after"] or {}
    return {
        column: [before.get(column), after.get(column)]
        for column in {**before, **after}
        if column not in unchanged and before.get(column) != after.get(column)
    }


class Audit:
    """Makes entries of messages; remembers who the open transaction's author is."""

    def __init__(self, last: dict[str, Any] | None) -> None:
        # A transaction that was cut by a crash goes on behind its author's name.
        self.xid: int | None = last["xid"] if last else None
        self.who: str | None = last["who"] if last else None

    def entry(self, message: ReplicationMessage) -> dict[str, Any] | None:
        """What is to be written about a message."""
        event = message_to_dict(message)
        if event is None:
            return None
        if message.xid != self.xid:
            self.xid, self.who = message.xid, None
        if message.op == "m":
            if event["message"]["prefix"] == PREFIX and message.xid is not None:
                self.who = base64.b64decode(event["message"]["content"]).decode()
            return None
        committed = EPOCH + timedelta(microseconds=event["source"]["ts_us"])
        return {
            "at": committed.isoformat(timespec="microseconds"),
            "who": self.who,
            "what": format_operation(message.op),
            "table": get_table_name(message),
            "key": message.key,
            "changed": changed(event, message.unchanged),
            "xid": message.xid,
            "position": message.position,
        }


async def main(path: Path) -> None:
    """Writes until stopped."""
    log = open_log(path)
    last = recover(log)
    audit = Audit(last)
    reader = LogicalReplicationReader(
        "ecommerce_pub",
        SLOT,
        auto_acknowledge=False,
        # Once there is a log, a slot that is gone means changes that are gone: an error.
        create_slot=last is None,
        start_position=last["position"] if last else None,
    )
    with log:
        async with reader:
            print(f"Writing to {path}; Ctrl-C stops.", flush=True)
            async for batch in reader.batches(max_events=500, max_wait=0.1):
                for entry in filter(None, map(audit.entry, batch)):
                    # Numerics are Decimal, which JSON does not have: they become text, exact.
                    line = json.dumps(entry, default=str, ensure_ascii=False)
                    log.write(line.encode() + b"\n")
                log.flush()
                os.fsync(log.fileno())
                await reader.acknowledge(batch[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Who changed what in PostgreSQL, and when.")
    parser.add_argument("--log", type=Path, default=Path("audit.jsonl"))
    try:
        asyncio.run(main(parser.parse_args().log))
    except KeyboardInterrupt:
        print("Stopped.")
    except ReplicationError as error:
        raise SystemExit(f"audit_log.py: {error}") from None
