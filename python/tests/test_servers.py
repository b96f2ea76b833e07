"""Servers for tests: they go with whoever started them, and standbys follow and are promoted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
from conftest import REPOSITORY, TIMEOUT_S, load_postgres


def until(condition: Any) -> bool:
    """Whether `condition()` holds in time."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_server_goes_with_a_caller_that_is_killed() -> None:
    program = (
        "import subprocess, sys, time;"
        "subprocess.run([sys.argv[1], 'start'], check=True);"
        "time.sleep(600)"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", program, str(REPOSITORY / "scripts" / "postgres")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert caller.stdout is not None
    facts = json.loads(caller.stdout.readline())
    os.kill(facts["pid"], 0)
    with psycopg.connect(facts["url"]):
        caller.kill()
        caller.wait()
        assert until(lambda: not Path(facts["directory"]).exists())
    # Whoever adopts a process may take a moment to bury it.
    assert until(lambda: not Path("/proc", str(facts["pid"])).exists())


def test_a_standby_follows_its_primary_and_is_promoted() -> None:
    server = load_postgres().Server
    with (
        server(settings={"wal_sender_timeout": "3s"}) as primary,
        server(primary=primary, settings={"wal_receiver_timeout": "3s"}) as standby,
    ):
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS id")
        # What it has of its primary, and of its own.
        asked = (
            "SELECT pg_is_in_recovery(), to_regclass('t') IS NOT NULL,"
            " current_setting('wal_sender_timeout'), current_setting('wal_receiver_timeout')"
        )

        def told() -> Any:
            with psycopg.connect(standby.url) as connection:
                return connection.execute(asked).fetchone()

        assert until(lambda: told() == (True, True, "3s", "3s"))
        killed = primary.pid
        os.kill(killed, signal.SIGKILL)
        assert until(lambda: not Path("/proc", str(killed)).exists())
        standby.promote()
        with psycopg.connect(standby.url) as connection:
            connection.execute("INSERT INTO t VALUES (2)")
            assert connection.execute("SELECT id FROM t ORDER BY 1").fetchall() == [(1,), (2,)]
        primary.restart()
        with psycopg.connect(primary.url) as connection:
            assert connection.execute("SELECT id FROM t").fetchall() == [(1,)]
