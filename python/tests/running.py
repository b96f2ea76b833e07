"""Runs the examples as a user would."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import REPOSITORY, Database
from services import Process

EXAMPLES = REPOSITORY / "examples"
TIMEOUT_S = 30.0


def environment(database: Database) -> dict[str, str]:
    """Where the examples find the server. Their output is buffered, as it is for most people."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return inherited | {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
        "PGDATABASE": database.name,
    }


def start(
    database: Database, name: str, *arguments: str | Path, cwd: Path, **variables: str
) -> Process:
    """Starts an example; to be ended by `with`, `end` or `kill`."""
    # What it leaves open, it is to say.
    command = [
        sys.executable,
        "-W",
        "always::ResourceWarning",
        str(EXAMPLES / name),
        *map(str, arguments),
    ]
    return Process(command, env=environment(database) | variables, cwd=cwd)


def run(database: Database, name: str, *arguments: str | Path, cwd: Path, **variables: str) -> str:
    """Runs an example to its end; what it printed."""
    with start(database, name, *arguments, cwd=cwd, **variables) as example:
        assert example.process.wait(TIMEOUT_S) == 0, example.output
    return example.output


def stop(example: Process) -> None:
    """Ctrl-C, after which an example ends in order."""
    assert example.end(signal.SIGINT) == 0, example.output
    assert example.lines[-1] == "Stopped.", example.output
    assert "Warning" not in example.output


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Waits until something holds that only asking can tell."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {TIMEOUT_S} s in vain: {what}")
        time.sleep(0.05)
