"""The stubs say what the extension module has, and users' code type-checks against them.

Pyright needs Node, and gets it by itself where there is none.
"""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pgoutput_decoder
import pytest
from conftest import REPOSITORY

USE = """
import asyncio
from decimal import Decimal
from pgoutput_decoder import (
    UNCHANGED, DecodingError, LogicalReplicationReader, ReplicationError, ReplicationMessage,
    SlotNotFoundError, Status, SyncReader, Transaction, Unchanged, format_operation, get_table_name,
    message_to_debezium_json, message_to_dict,
)

async def password() -> str:
    return "secret"

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
        await reader.acknowledge(one.position)
        async for batch in reader.batches(max_events=10, max_wait=0.5):
            first: ReplicationMessage = batch[0]
            print(first.columns[0].type_oid, first.commit_ts_us + 1, first.json)
        async for transaction in reader.transactions():
            held: Transaction = transaction
            print(held.xid, held.commit_ts.isoformat(), [m.op async for m in held])
        status: Status = reader.status()
        print(status.lag_bytes + 1, status.state == "streaming")
        await asyncio.create_task(reader.stop())

def kind(message: ReplicationMessage) -> str:
    match message:
        case ReplicationMessage("c", "orders"):
            return "order"
        case ReplicationMessage(op="d"):
            return "gone"
        case _:
            pass
    text: str | Unchanged | None = message.raw("doc")
    return "absent" if text is UNCHANGED else str(text)

def plain() -> None:
    try:
        with SyncReader(["p", "q"], "s", password=password, sslmode="verify-full") as reader:
            for message in reader:
                print(kind(message), message.key == {"id": Decimal(1)})
            for batch in reader.batches():
                print(len(batch))
            for transaction in reader.transactions():
                print([m.table for m in transaction])
    except SlotNotFoundError as error:
        print(error.slot, error.hint)
    except DecodingError as error:
        print(error.lsn, error.offset)
    except ReplicationError as error:
        print(error.sqlstate)

asyncio.run(main())
"""


WRONG = """
from pgoutput_decoder import LogicalReplicationReader, ReplicationMessage

def wrong(message: ReplicationMessage) -> None:
    LogicalReplicationReader("p")  # no slot
    LogicalReplicationReader("p", "s", decimal="double")  # no such thing
    message.op = "c"  # immutable
    message.position + 1  # text
"""


def run(*arguments: str, code: int = 0, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout


def pyright(*arguments: str, code: int = 0) -> str:
    # An editable install is not where a package's completeness is looked for.
    path = str(REPOSITORY / "python")
    return run("pyright", "--pythonpath", sys.executable, *arguments, code=code, PYTHONPATH=path)


def test_stubs_are_true() -> None:
    run("mypy.stubtest", "pgoutput_decoder")


@pytest.mark.parametrize("strictness", [[], ["--strict"]])
def test_users_code_type_checks(tmp_path: Path, strictness: list[str]) -> None:
    script = tmp_path / "use.py"
    script.write_text(USE)
    run("mypy", "--cache-dir", str(tmp_path / "cache"), *strictness, str(script))


def test_users_code_type_checks_by_pyright(tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text("# pyright: strict, reportUnknownMemberType=false\n" + USE)
    (tmp_path / "wrong.py").write_text(WRONG)
    pyright(str(tmp_path / "use.py"), str(REPOSITORY / "python" / "pgoutput_decoder"))
    found = pyright(str(tmp_path / "wrong.py"), code=1)
    lines = [line for line in found.splitlines() if " - error: " in line]
    assert {int(line.split(".py:")[1].split(":")[0]) for line in lines} == {5, 6, 7, 8}, found


def test_every_public_type_is_known_to_pyright() -> None:
    # pyarrow has none.
    found = pyright("--verifytypes", "pgoutput_decoder", "--ignoreexternal")
    assert "Type completeness score: 100%" in found, found


# What `help()` says.


def public_members(kind: type) -> Iterator[str]:
    """Those that it defines itself, and how it is entered and left."""
    for name, member in vars(kind).items():
        if name in ("__aenter__", "__aexit__", "__enter__", "__exit__") or (
            not name.startswith("_")
            and (callable(member) or isinstance(member, property) or is_getter(member))
        ):
            yield name


def is_getter(member: object) -> bool:
    return inspect.isgetsetdescriptor(member)


def test_help_has_something_to_say() -> None:
    silent = []
    for name in pgoutput_decoder.__all__:
        value = getattr(pgoutput_decoder, name)
        if not value.__doc__:
            silent.append(name)
        if isinstance(value, type):
            silent += [
                f"{name}.{member}"
                for member in public_members(value)
                if not (inspect.getattr_static(value, member).__doc__ or "").strip()
            ]
    assert silent == []


def undocumented(body: list[ast.stmt], within: str) -> Iterator[str]:
    """Public functions, classes and fields without a docstring, in a stub or a dataclass."""
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not statement.name.startswith("_") and not ast.get_docstring(statement):
                yield f"{within}{statement.name}"
            is_typed_dict = isinstance(statement, ast.ClassDef) and statement.name.startswith("_")
            if isinstance(statement, ast.ClassDef) and not is_typed_dict:
                yield from undocumented(statement.body, f"{within}{statement.name}.")
        elif isinstance(statement, ast.AnnAssign) and not (
            isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        ):
            yield f"{within}{ast.unparse(statement.target)}"


@pytest.mark.parametrize("name", ["_native.pyi", "messages.py", "status.py", "transactions.py"])
def test_what_editors_show_has_something_to_say(name: str) -> None:
    path = REPOSITORY / "python" / "pgoutput_decoder" / name
    assert list(undocumented(ast.parse(path.read_text()).body, "")) == []
