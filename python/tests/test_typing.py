"""The stubs say what the extension module has, and users' code type-checks against them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USE = """
import asyncio
from pgoutput_decoder import (
    UNCHANGED, LogicalReplicationReader, ReplicationMessage, format_operation, get_table_name,
    message_to_debezium_json, message_to_dict,
)

def rows(message: ReplicationMessage) -> list[str]:
    return [name for name, value in message.after.items() if value is not UNCHANGED]

async def main() -> None:
    options = {"topic.prefix": "x"}
    async with LogicalReplicationReader("p", "s", "h", "d", options=options) as reader:
        async for message in reader:
            print(format_operation(message.op), get_table_name(message), rows(message))
            text: str = message_to_debezium_json(message, indent=None)
            event = message_to_dict(message)
            print(text, event and event["op"], message.source["lsn"])
        one = await asyncio.wait_for(anext(reader), 1)
        await reader.acknowledge(one)
        await asyncio.create_task(reader.stop())

asyncio.run(main())
"""


def run(*arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_stubs_are_true() -> None:
    run("mypy.stubtest", "pgoutput_decoder")


@pytest.mark.parametrize("strictness", [[], ["--strict"]])
def test_users_code_type_checks(tmp_path: Path, strictness: list[str]) -> None:
    script = tmp_path / "use.py"
    script.write_text(USE)
    run("mypy", "--cache-dir", str(tmp_path / "cache"), *strictness, str(script))
