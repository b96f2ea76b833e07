"""Every plugin in examples/plugins, and of each template one, on a recorded and on a live stream.

`make plugins` builds them before.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import REPOSITORY, Database, guest, take
from pgoutput_decoder import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgoutput_decoder import ReplicationMessage

COMMAND = REPOSITORY / "target/release/pgoutput-decoder"


def built(name: str) -> Path:
    """What scripts/plugins made."""
    return REPOSITORY / "target" / "plugins" / name / f"{name}.wasm"


@dataclass(frozen=True)
class Case:
    """A plugin, and what it is to do."""

    file: Callable[[], Path]
    recorded_config: Any
    """For the recorded stream."""
    recorded: tuple[int, int, int]
    """Events changed, dropped and made there."""
    shown: str
    """A line of what it changed."""
    live_config: Any
    table: str
    statements: list[str]
    """Each a transaction."""
    live: list[Any]
    """Of the messages, what `seen` sees."""
    seen: Callable[[ReplicationMessage], Any]
    vector: str = "ecommerce"


def row_id(message: ReplicationMessage) -> Any:
    return message.after["id"]


def row(message: ReplicationMessage) -> Any:
    return message.after


def topic_and_body(message: ReplicationMessage) -> Any:
    assert message.json is not None
    return message.topic.split(".")[-1], json.loads(message.json)


def filters(file: Callable[[], Path]) -> Case:
    return Case(
        file=file,
        recorded_config="in_stock",
        recorded=(0, 3, 0),
        shown="    - dropped",
        live_config="hidden",
        table="CREATE TABLE item (id int PRIMARY KEY, hidden bool)",
        statements=[
            "INSERT INTO item VALUES (1, false), (2, true), (3, NULL)",
            "UPDATE item SET hidden = true WHERE id = 3",
            "INSERT INTO item VALUES (4, false)",
        ],
        live=[1, 3, 4],
        seen=row_id,
    )


ITEM = "CREATE TABLE item (id int PRIMARY KEY, name text, tenant text, attrs jsonb)"
CASES = {
    "soft-deletes": filters(lambda: guest("soft_deletes")),
    "filter-rust": filters(lambda: built("filter-rust")),
    "filter-javascript": filters(lambda: built("filter-javascript")),
    "filter-python": filters(lambda: built("filter-python")),
    "filter-c": filters(lambda: built("filter-c")),
    "filter-go": filters(lambda: built("filter-go")),
    "mask": Case(
        file=lambda: guest("mask"),
        recorded_config="public.customers.email=***",
        recorded=(5, 0, 0),
        shown='    + after.email  "***"',
        live_config="public.item.name=***",
        table=ITEM,
        statements=["INSERT INTO item VALUES (1, 'Ada', 'a'), (2, NULL, 'b')"],
        live=["***", None],
        seen=lambda message: message.after["name"],
    ),
    "route": Case(
        file=lambda: guest("route"),
        recorded_config="customer_id",
        recorded=(4, 0, 0),
        shown='    + topic  "pgoutput-decoder.public.orders.1"',
        live_config="tenant",
        table=ITEM,
        statements=["INSERT INTO item VALUES (1, 'Ada', 'a'), (2, 'Bob', NULL)"],
        live=["a", "item"],
        seen=lambda message: message.topic.split(".")[-1],
    ),
    "flatten": Case(
        file=lambda: guest("flatten"),
        recorded_config="",
        recorded=(25, 0, 0),
        shown="    + __deleted  true",
        live_config="",
        table=ITEM,
        statements=["INSERT INTO item VALUES (1, 'Ada', 'a', '[1]')", "DELETE FROM item"],
        live=[
            ("item", {"id": 1, "name": "Ada", "tenant": "a", "attrs": [1]}),
            ("item", {"id": 1, "__deleted": True}),
        ],
        seen=topic_and_body,
    ),
    "outbox": Case(
        file=lambda: guest("outbox"),
        recorded_config="",
        recorded=(0, 0, 0),
        shown="it wants none of them",
        live_config="",
        table="CREATE TABLE outbox (id int PRIMARY KEY, aggregatetype text, aggregateid text,"
        " type text, payload jsonb)",
        statements=["""INSERT INTO outbox VALUES (1, 'order', '7', 'Paid', '{"n": 1}')"""],
        live=[("order", {"n": 1})],
        seen=topic_and_body,
    ),
    "enrich": Case(
        file=lambda: built("enrich"),
        recorded_config={
            "table": "public.orders",
            "column": "status",
            "into": "status_name",
            "lookup": {"new": "neu", "paid": "bezahlt"},
        },
        recorded=(4, 0, 0),
        shown='    + after.status_name  "bezahlt"',
        live_config={
            "table": "public.item",
            "column": "tenant",
            "into": "tenant_name",
            "lookup": {"a": "Alpha"},
            "otherwise": "?",
        },
        table=ITEM,
        statements=["INSERT INTO item VALUES (1, 'Ada', 'a'), (2, 'Bob', 'z')"],
        live=["Alpha", "?"],
        seen=lambda message: topic_and_body(message)[1]["after"]["tenant_name"],
    ),
    "json-path": Case(
        file=lambda: built("json-path"),
        recorded_config={
            "table": "public.customers",
            "column": "attrs",
            "paths": {"lang": "$.lang", "second": "$.scores[1]"},
        },
        recorded=(5, 0, 0),
        shown="    + after.attrs.second  2.50",
        live_config={
            "table": "public.item",
            "column": "attrs",
            "paths": {"size": "$.variants[0].size"},
        },
        table=ITEM,
        statements=[
            """INSERT INTO item (id, attrs) VALUES (1, '{"variants": [{"size": 12.50}]}')""",
            "INSERT INTO item (id) VALUES (2)",
        ],
        live=[{"size": 12.5}, None],
        seen=lambda message: message.after["attrs"],
    ),
    "only-changes": Case(
        file=lambda: built("only-changes"),
        recorded_config="public.ri_full: id, b",
        recorded=(0, 2, 0),
        shown="    - dropped",
        live_config="public.item: name",
        table=f"{ITEM}; ALTER TABLE item REPLICA IDENTITY FULL",
        statements=[
            "INSERT INTO item VALUES (1, 'Ada', 'a')",
            "UPDATE item SET tenant = 'b'",
            "UPDATE item SET name = 'Eve'",
        ],
        live=["Ada", "Eve"],
        seen=lambda message: message.after["name"],
        vector="replica-identity",
    ),
    "summary": Case(
        file=lambda: built("summary"),
        recorded_config="stats",
        recorded=(0, 0, 11),
        shown='"tables":{"public.customers":{"create":3}}}',
        live_config="stats",
        table=ITEM,
        statements=["INSERT INTO item VALUES (1), (2)"],
        live=[1, 2, {"public.item": {"create": 2}}],
        seen=lambda message: (
            topic_and_body(message)[1]["tables"] if message.topic == "stats" else row_id(message)
        ),
    ),
}


def as_text(config: Any) -> str:
    return config if isinstance(config, str) else json.dumps(config)


@pytest.mark.parametrize("name", CASES)
def test_on_a_recorded_stream(name: str) -> None:
    case = CASES[name]
    vector = REPOSITORY / "tests" / "vectors" / case.vector
    command: list[str | Path] = [COMMAND, "plugin", "check", case.file(), "--format", "native"]
    command += ["--all"]
    command += ["--config", as_text(case.recorded_config)]
    command += ["--capture", vector / "pgoutput.jsonl", "--catalog", vector / "catalog.json"]
    checked = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"were, (\d+) changed, (\d+) dropped, (\d+) made", checked.stdout)
    assert found is not None
    assert tuple(map(int, found.groups())) == case.recorded, checked.stdout
    assert case.shown in checked.stdout, checked.stdout
    assert checked.stderr == ""


@pytest.mark.parametrize("name", CASES)
async def test_on_a_live_stream(database: Database, name: str) -> None:
    case = CASES[name]
    database.execute(case.table)
    plugin = Plugin(case.file(), config=case.live_config, cpu_max=0.1)
    async with database.reader(plugins=[plugin]) as reader:
        database.execute(*case.statements)
        messages = await take(reader, len(case.live))
        assert [case.seen(message) for message in messages] == case.live
        [status] = reader.status().plugins
        assert status.events > 0
