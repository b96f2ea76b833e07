"""A transaction of 2 GB through the command: its memory and its files, committed and rolled back.

    .venv/bin/python tests/large_transaction.py [--megabytes N]

The server streams the transaction while it is open, and the command stashes it in a file. Exits
with 1 if the process ever had more than 256 MiB, a change is missing, or a file is left over.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from postgres import Server

COMMAND = Path(__file__).parent.parent / "target" / "release" / "pgoutput-decoder"
RSS_MAX_MIB = 256
PATIENCE_S = 900.0
ROWS_AT_A_TIME = 50_000
SETUP = (
    "CREATE TABLE large (id bigint PRIMARY KEY, body text)",
    "CREATE PUBLICATION large FOR TABLE large",
    "SELECT pg_create_logical_replication_slot('large', 'pgoutput')",
)
WAL_BYTES = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
CONFIRMED = """
    SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::bigint
    FROM pg_replication_slots WHERE slot_name = 'large'
"""


class MeasureError(Exception):
    """What was measured is not what is promised."""


def number(connection: psycopg.Connection[tuple[int]], query: str) -> int:
    """The one number a query returns."""
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def peak_mib(pid: int) -> int:
    """The most memory the process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise MeasureError("the process is gone")


def stash_mib(pid: int, directory: Path) -> int:
    """What the process has in files of `directory`, which have no names."""
    files = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        # It may be closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if descriptor.readlink().is_relative_to(directory):
                files += descriptor.stat().st_size
    return files // 2**20


def wait(condition: Callable[[], bool], what: str) -> float:
    """Seconds until the condition holds."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > PATIENCE_S:
            raise MeasureError(f"after {PATIENCE_S} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - started


def run(server: Server, end: str, megabytes: int) -> None:
    """One transaction of at least so many megabytes of WAL, ended by `end`."""
    with (
        psycopg.connect(server.url, autocommit=True) as watching,
        psycopg.connect(server.url, autocommit=True) as writing,
        tempfile.TemporaryDirectory(prefix="pgoutput-stash-") as name,
        tempfile.TemporaryFile() as lines,
    ):
        directory = Path(name)
        arguments = ["stream", server.url, "--slot=large", "--publication=large"]
        command: list[str | Path] = [COMMAND, *arguments, f"--stash-directory={directory}"]
        # Counting what it writes costs less than reading it.
        counting = subprocess.Popen(["wc", "-l"], stdin=subprocess.PIPE, stdout=lines)
        with subprocess.Popen(command, stdout=counting.stdin) as process:
            assert counting.stdin is not None
            counting.stdin.close()
            begun = number(watching, WAL_BYTES)
            writing.execute("TRUNCATE large")
            writing.execute("BEGIN")
            rows = 0
            while (bytes_written := number(watching, WAL_BYTES) - begun) < megabytes * 2**20:
                series = f"generate_series({rows + 1}, {rows + ROWS_AT_A_TIME}) n"
                insert = f"INSERT INTO large SELECT n, repeat(md5(n::text), 31) FROM {series}"
                writing.execute(insert.encode())
                rows += ROWS_AT_A_TIME
            # What the server keeps in its own memory comes with the commit.
            least = bytes_written // 2**20 * 3 // 4
            wait(lambda: stash_mib(process.pid, directory) > least, "it is not stashed")
            stashed = stash_mib(process.pid, directory)
            writing.execute(end.encode())
            ended = number(watching, WAL_BYTES)
            seconds = wait(lambda: number(watching, CONFIRMED) >= ended, "it is not confirmed")
            peak, left = peak_mib(process.pid), stash_mib(process.pid, directory)
            named = len(list(directory.iterdir()))
            process.send_signal(signal.SIGTERM)
            if process.wait() != 0:
                raise MeasureError("the command failed")
        counting.wait()
        lines.seek(0)
        events = int(lines.read())
        print(
            f"{end.lower()}: {bytes_written // 2**20} MiB of WAL, {rows} rows, {stashed} MiB "
            f"stashed; {seconds:.0f} s from {end} to confirmed, {events} events; peak {peak} MiB; "
            f"{left} MiB and {named} names left"
        )
        # The one before the rows is the TRUNCATE.
        expected = 1 + (rows if end == "COMMIT" else 0)
        if events != expected or left > 0 or named > 0 or peak >= RSS_MAX_MIB:
            raise MeasureError(f"{expected} events, < {RSS_MAX_MIB} MiB and nothing left: expected")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="A large transaction through the command")
    parser.add_argument("--megabytes", type=int, default=2048, help="of WAL; default 2048")
    arguments = parser.parse_args()
    with Server({"max_wal_size": "1GB", "wal_keep_size": "0"}) as server:
        with psycopg.connect(server.url, autocommit=True) as setup:
            for statement in SETUP:
                setup.execute(statement.encode())
        try:
            for end in ("ROLLBACK", "COMMIT"):
                run(server, end, arguments.megabytes)
        except MeasureError as error:
            print(f"large_transaction: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
