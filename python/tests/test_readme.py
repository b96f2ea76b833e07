"""Runs the Python blocks of README.md, docs/ and 0.1.0's README, against a real server.

Every block fenced by ```python is run, the blocks of a page in order and with one set of names,
on top level as if inside a coroutine; a function that a block only defines is called, and a
generator it returns is read. Readers connect to the test's server whatever a block says; they see
changes of `public.users (id, name, email)` and are stopped once they have had them all. `reader`,
`cdc_reader`, `message`, what `PREDEFINED` names and what `Page` gives besides exist beforehand,
also as arguments; the recording `orders.jsonl` is in the working directory. A block right below the
line

    <!-- not run: REASON -->

is not run, and one with tests is run by test_without_server.py.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pgoutput_decoder
import pytest
from conftest import REPOSITORY, TIMEOUT_S, Database, take
from pgoutput_decoder import LogicalReplicationReader, ReplicationMessage, SyncReader

# What a page may take for granted besides.
PREDEFINED = ("cache", "process", "publish", "search", "store", "write")
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
RECORDING = REPOSITORY / "tests" / "vectors" / "ecommerce" / "pgoutput.jsonl"
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

    async def batches(self, **bounds: Any) -> AsyncIterator[Any]:
        async for batch in self.reader.batches(**bounds):
            self.taken += len(batch)
            yield batch

    async def arrow_batches(self, **bounds: Any) -> AsyncIterator[Any]:
        async for batches in self.reader.arrow_batches(**bounds):
            self.taken += sum(batch.num_rows for batch in batches)
            yield batches

    async def transactions(self, **bounds: Any) -> AsyncIterator[Any]:
        async for transaction in self.reader.transactions(**bounds):
            self.taken += len(transaction)
            yield transaction

    async def __aenter__(self) -> Watched:
        await self.reader.__aenter__()
        return self

    async def __aexit__(self, *exception: Any) -> bool:
        return await self.reader.__aexit__(*exception)

    async def end(self) -> None:
        await self.reader.stop()


class WatchedSync:
    """The same of a reader without asyncio."""

    def __init__(self, reader: SyncReader) -> None:
        self.reader = reader
        self.taken = 0

    def __iter__(self) -> Iterator[ReplicationMessage]:
        for message in self.reader:
            self.taken += 1
            yield message

    def __enter__(self) -> WatchedSync:
        self.reader.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.reader.__exit__(*exception)

    async def end(self) -> None:
        await asyncio.to_thread(self.reader.stop)


AnyReader = TypeVar("AnyReader", Watched, WatchedSync)


class Readers:
    """Stands for `LogicalReplicationReader`: checks what the real one would, and watches."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def __call__(self, *arguments: Any, **named: Any) -> Watched:
        inspect.signature(LogicalReplicationReader).bind(*arguments, **named)
        return self.page.connect(**named)

    def from_recording(self, *arguments: Any, **named: Any) -> Watched:
        reader = LogicalReplicationReader.from_recording(*arguments, **named)
        return self.page.watch(Watched(reader))


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
        self.names |= {"slot": database.slot, "publication": database.publication}
        self.names["dsn"] = (
            f"host={database.host} port={database.port} dbname={database.name}"
            f" user={database.user} password={database.password}"
        )
        self.readers: list[Watched | WatchedSync] = []

    def connect(self, **named: Any) -> Watched:
        """A reader of the test's database; those of its arguments that are not about where."""
        return self.watch(Watched(self.database.reader(**self.kept(named))))

    def connect_sync(self, *arguments: Any, **named: Any) -> WatchedSync:
        """The same without asyncio."""
        inspect.signature(LogicalReplicationReader).bind(*arguments, **named)
        where = self.database.arguments(**self.kept(named))
        return self.watch(WatchedSync(SyncReader(**where)))

    def kept(self, named: dict[str, Any]) -> dict[str, Any]:
        kept = {"auto_acknowledge", "create_slot", "decimal", "format", "options"}
        kept |= {"temporal", "uuid"}
        return {name: value for name, value in named.items() if name in kept}

    def watch(self, reader: AnyReader) -> AnyReader:
        self.readers.append(reader)
        return reader

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
        loops = "async for" in block.code or "SyncReader(" in block.code
        async with asyncio.timeout(TIMEOUT_S):
            while not running.done():
                await asyncio.sleep(0.01)
                if any(reader.taken >= changes for reader in self.readers):
                    break
            for reader in self.readers:
                if loops or not running.done():
                    await reader.end()
            await running
        if loops:
            assert any(reader.taken for reader in self.readers), f"{name}:{block.line} saw nothing"
        for reader in self.readers:
            await reader.end()

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
                    await function(*self.arguments(function))
            elif isinstance(statement, ast.FunctionDef):
                function = self.names[statement.name]
                if block.code.count(statement.name) == 1:
                    found = await asyncio.to_thread(lambda f: list(f(*self.arguments(f))), function)
                    assert len(found) > INSERTS, f"{name}:{block.line} gave {len(found)} messages"

    def arguments(self, function: Any) -> list[Any]:
        return [self.names[parameter] for parameter in inspect.signature(function).parameters]


async def run_page(
    page: Path, database: Database, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> int:
    """How many blocks were run."""
    database.execute("CREATE TABLE users (id serial PRIMARY KEY, name text, email text)")
    database.execute("INSERT INTO users (name) VALUES ('first')")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    running = Page(database, names | {"message": message})
    monkeypatch.setattr(pgoutput_decoder, "LogicalReplicationReader", Readers(running))
    monkeypatch.setattr(pgoutput_decoder, "SyncReader", running.connect_sync)
    count = 0
    for block in blocks(page):
        if (page == PREDECESSOR and block.heading in NOT_RUN) or "def test_" in block.code:
            continue
        await running.run(block, page.name)
        count += 1
    return count


PROGRAMS = [page for page in PAGES if "```python" in page.read_text()]


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.stem)
async def test_pages(
    page: Path, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(RECORDING, tmp_path / "orders.jsonl")
    shutil.copy(REPOSITORY / "examples/recordings/shop.pgrec", tmp_path)
    shutil.copy(RECORDING.with_name("catalog.json"), tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {name: Anything() for name in PREDEFINED}
    assert await run_page(page, database, names, monkeypatch) > 0


async def test_quick_start_as_it_stands(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its SQL, its program and what that prints; only where the server is differs."""
    _, section = PROGRAMS[0].read_text().split("## Quick start\n")
    section, _, _ = section.partition("\n## ")
    found = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    assert [kind for kind, _ in found] == ["sql", "python", "sql", "text", "sql"]
    setup, program, changes, printed, cleanup = (code for _, code in found)
    readers = []

    def reader(**named: Any) -> LogicalReplicationReader:
        where = {"host", "database", "port", "user", "password"}
        named |= {name: value for name, value in database.arguments().items() if name in where}
        readers.append(LogicalReplicationReader(**named))
        return readers[0]

    monkeypatch.setattr(pgoutput_decoder, "LogicalReplicationReader", reader)
    database.execute(*statements(setup))
    running = asyncio.create_task(asyncio.to_thread(exec, program, {}))
    database.execute(*statements(changes))
    out = ""
    async with asyncio.timeout(TIMEOUT_S):
        while out.count("\n") < printed.count("\n"):
            assert not running.done()
            await asyncio.sleep(0.01)
            out += capsys.readouterr().out
        await readers[0].stop()
        await running
    assert out == printed
    database.execute(*statements(cleanup))


def statements(code: str) -> list[str]:
    return [statement for statement in code.split(";\n") if statement]


async def test_readme_of_0_1_0(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name: Anything() for name in LEFT_UNDEFINED}
    assert await run_page(PREDECESSOR, database, names, monkeypatch) == 21
