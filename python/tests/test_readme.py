"""Runs the Python blocks of README.md, and of 0.1.0's README, against a real server.

Every block fenced by ```python is run, the blocks of a page in order and with one set of names,
on top level as if inside a coroutine; a coroutine function that a block only defines is called.
Readers connect to the test's server whatever a block says; they see changes of `public.users (id,
name, email)` and are stopped once they have had them all. `reader`, `cdc_reader`, `message` and
what `PREDEFINED` names exist beforehand, also as arguments. A block right below the line

    <!-- not run: REASON -->

is not run.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pgoutput_decoder
import pytest
from conftest import REPOSITORY, TIMEOUT_S, Database, take
from pgoutput_decoder import LogicalReplicationReader, ReplicationMessage

# What a page may take for granted besides.
PREDEFINED = ("process", "publish", "store", "write")
PREDECESSOR = Path(__file__).parent / "readme_0_1_0.md"
# What 0.1.0's README uses without defining it.
LEFT_UNDEFINED = (
    "audit_log",
    "es_client",
    "kafka_producer",
    "logger",
    "process_batch",
    "process_message",
    "process_user_change",
    "redis",
)
# Its blocks that are no program, need another library, or cannot work with a DELETE.
NOT_RUN = {"Expected Output", "Manual Slot Management"}
WITHOUT_DELETE = {"4. Cache Invalidation"}
INSERTS = 110


@dataclass(frozen=True)
class Block:
    """One fenced block of Python."""

    heading: str
    line: int
    code: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks that are to be run."""
    heading = ""
    above = ""
    lines = enumerate(page.read_text().splitlines(), start=1)
    for number, line in lines:
        if line.startswith("```"):
            end = re.match("`+", line)
            assert end is not None
            code = []
            for _, inside in lines:
                if inside.strip() == end.group():
                    break
                code.append(inside)
            if line.strip() == "```python" and not above.startswith("<!-- not run: "):
                yield Block(heading, number, "\n".join(code))
        elif line.startswith("#"):
            heading = line.lstrip("# ")
        above = line.strip()


class Watched:
    """A reader, and how many messages were taken from it."""

    def __init__(self, reader: LogicalReplicationReader) -> None:
        self.reader = reader
        self.taken = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def __aiter__(self) -> Watched:
        return self

    async def __anext__(self) -> ReplicationMessage:
        message = await anext(self.reader)
        self.taken += 1
        return message

    async def __aenter__(self) -> Watched:
        await self.reader.__aenter__()
        return self

    async def __aexit__(self, *exception: Any) -> bool:
        return await self.reader.__aexit__(*exception)


class Anything:
    """Stands in for what a README leaves to its reader: can be called, awaited and looked into."""

    def __getattr__(self, name: str) -> Anything:
        return self

    def __call__(self, *arguments: Any, **named: Any) -> Anything:
        return self

    def __await__(self) -> Iterator[None]:
        return iter(())


class Page:
    """Runs a page's blocks one after the other."""

    def __init__(self, database: Database, names: dict[str, Any]) -> None:
        self.database = database
        self.names = names | {"__name__": "__main__", "pgoutput_decoder": pgoutput_decoder}
        self.names["asyncio"] = asyncio
        self.names["connection"] = {"host": database.host, "database": database.name}
        self.readers: list[Watched] = []

    def make_reader(self, *arguments: Any, **named: Any) -> Watched:
        """Checks the arguments as the real one would, and connects to the test's server."""
        inspect.signature(LogicalReplicationReader).bind(*arguments, **named)
        return self.connect(**named)

    def connect(self, **named: Any) -> Watched:
        """A reader of the test's database; those of its arguments that are not about where."""
        kept = {"auto_acknowledge", "format", "decimal", "options"}
        named = {name: value for name, value in named.items() if name in kept}
        self.readers.append(Watched(self.database.reader(**named)))
        return self.readers[-1]

    def change(self, delete: bool) -> int:
        """Changes rows; how many messages that makes."""
        statements = [
            f"INSERT INTO users (name) SELECT 'Alice' FROM generate_series(1, {INSERTS})",
            "UPDATE users SET name = 'Alice Smith' WHERE id = (SELECT max(id) FROM users)",
            "DELETE FROM users WHERE id = (SELECT max(id) FROM users)",
        ]
        # What the last block left unacknowledged is not for this one.
        forget = f"SELECT pg_replication_slot_advance('{self.database.slot}', pg_current_wal_lsn())"
        self.database.execute(forget, *statements[: 3 if delete else 2])
        return INSERTS + 1 + delete

    async def run(self, block: Block, name: str) -> None:
        """Runs one block to its end, stopping its readers once they have had every change."""
        automatic = "acknowledge()" not in block.code
        self.readers = []
        for predefined in ("reader", "cdc_reader"):
            if not re.search(rf"\b{predefined} = ", block.code):
                self.names[predefined] = self.connect(auto_acknowledge=automatic)
        changes = self.change(delete=block.heading not in WITHOUT_DELETE)
        running = asyncio.ensure_future(self.execute(block, name))
        loops = "async for" in block.code
        async with asyncio.timeout(TIMEOUT_S):
            while not running.done():
                await asyncio.sleep(0.01)
                if any(reader.taken >= changes for reader in self.readers):
                    break
            for reader in self.readers:
                if loops or not running.done():
                    await reader.stop()
            await running
        if loops:
            assert any(reader.taken for reader in self.readers), f"{name}:{block.line} saw nothing"
        for reader in self.readers:
            await reader.stop()

    async def execute(self, block: Block, name: str) -> None:
        """The block itself, and then what it has defined and not called."""
        source = "\n" * block.line + block.code
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, name, "exec", flags=flags)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, self.names)
        else:
            # It may have an event loop of its own.
            await asyncio.to_thread(eval, code, self.names)
        for statement in ast.parse(block.code).body:
            if isinstance(statement, ast.AsyncFunctionDef):
                function = self.names[statement.name]
                if block.code.count(statement.name) == 1:
                    await function(*(self.names[p] for p in inspect.signature(function).parameters))


async def run_page(
    page: Path, database: Database, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> int:
    """How many blocks were run."""
    database.execute("CREATE TABLE users (id serial PRIMARY KEY, name text, email text)")
    database.execute("INSERT INTO users (name) VALUES ('first')")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    running = Page(database, names | {"message": message})
    monkeypatch.setattr(pgoutput_decoder, "LogicalReplicationReader", running.make_reader)
    count = 0
    for block in blocks(page):
        if page == PREDECESSOR and block.heading in NOT_RUN:
            continue
        await running.run(block, page.name)
        count += 1
    return count


async def test_readme(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    page = REPOSITORY / "README.md"
    names = {name: Anything() for name in PREDEFINED}
    assert await run_page(page, database, names, monkeypatch) > 0


async def test_readme_of_0_1_0(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name: Anything() for name in LEFT_UNDEFINED}
    assert await run_page(PREDECESSOR, database, names, monkeypatch) == 21
