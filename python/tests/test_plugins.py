"""Plugins in a reader: what they make of messages, what is told of them, what they may not do."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Database, guest, take
from pgoutput_decoder import (
    ConfigurationError,
    LogicalReplicationReader,
    Plugin,
    PluginError,
    ReplicationMessage,
)

KEY = "key=secret\npublic.item.note"


def ids(messages: list[ReplicationMessage]) -> list[Any]:
    return [message.after["id"] for message in messages if message.after]


@pytest.fixture(autouse=True)
def table(database: Database) -> None:
    database.execute("CREATE TABLE item (id int PRIMARY KEY, note text, deleted bool)")


@pytest.mark.parametrize("form", ["path", "str", "plugin", "bytes", "json"])
async def test_ways_to_name_one(database: Database, tmp_path: Path, form: str) -> None:
    wasm = guest("soft_deletes")
    settings = tmp_path / "plugin.json"
    settings.write_text(json.dumps({"file": str(wasm), "config": "deleted"}))
    by_form: dict[str, Any] = {
        "path": settings,
        "str": str(settings),
        "plugin": Plugin(wasm, config="deleted"),
        "bytes": Plugin(wasm.read_bytes(), config="deleted"),
        "json": Plugin(str(wasm), config="deleted", sha256=sha256(wasm)),
    }
    async with database.reader(plugins=[by_form[form]]) as reader:
        database.execute(
            "INSERT INTO item VALUES (1, 'a', false), (2, 'b', true), (3, 'c', NULL)",
        )
        assert ids(await take(reader, 2)) == [1, 3]
        [status] = reader.status().plugins
        assert (status.name, status.events, status.dropped) == ("soft-deletes", 3, 1)
        assert status.sha256 == sha256(wasm)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


async def test_masks_all_that_is_told_of_a_value(database: Database) -> None:
    mask = Plugin(guest("mask"), config=KEY)
    async with database.reader(plugins=[mask]) as reader:
        database.execute(
            "ALTER TABLE item REPLICA IDENTITY FULL",
            "INSERT INTO item VALUES (1, 'geheim \"é\"')",
            "UPDATE item SET deleted = true",
            "DELETE FROM item",
        )
        messages = await take(reader, 3)
    hidden = hmac.new(b"secret", 'geheim "é"'.encode(), "sha256").hexdigest()
    for message in messages:
        assert b"geheim" not in (message.json or b"")
        for row in (message.before, message.after):
            assert row is None or row["note"] == hidden
    assert [message.op for message in messages] == ["c", "u", "d"]
    assert messages[1].after == {"id": 1, "note": hidden, "deleted": True}
    assert json.loads(messages[1].json or b"")["before"]["note"] == hidden


async def test_messages_that_a_plugin_made(database: Database) -> None:
    async with database.reader(plugins=[Plugin(guest("hostile"), config="emit")]) as reader:
        database.execute("INSERT INTO item VALUES (1)")
        messages = await take(reader, 3)
    assert [message.topic for message in messages] == ["a", "b", "a"]
    for message in messages:
        assert json.loads(message.json or b"") == {"n": 1}
        assert (message.after, message.before, message.table) == (None, None, "")
        assert dict(message.headers) == {"h": "v"}
    assert [message.position.split(":")[1] for message in messages] == ["1", "1.1", "1.2"]


async def test_one_that_fails_says_where(database: Database) -> None:
    reader = database.reader(plugins=[Plugin(guest("hostile"), config="trap 2")])
    async with reader:
        database.execute("INSERT INTO item VALUES (1, 'geheim'), (2, 'geheim')")
        [first] = await take(reader, 1)
        await reader.acknowledge(first.position)
        with pytest.raises(PluginError, match="plugin hostile, at event") as raised:
            await take(reader, 1)
    error = raised.value
    assert error.plugin == "hostile"
    assert error.position == first.position.replace(":1", ":2")
    assert str(error.topic).endswith(".public.item")
    assert "geheim" not in str(error)


async def test_one_that_may_be_skipped_is(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = Plugin(guest("hostile"), config="host-call-storm 2", on_error="skip")
    with caplog.at_level(logging.DEBUG, "pgoutput_decoder"):
        async with database.reader(plugins=[plugin]) as reader:
            database.execute("INSERT INTO item VALUES (1), (2), (3)")
            assert ids(await take(reader, 2)) == [1, 3]
            [status] = reader.status().plugins
    assert (status.skipped, status.out_of_time > 0, status.lines_unshown > 0) == (1, True, True)
    lines = [record for record in caplog.records if record.name == "pgoutput_decoder.plugin"]
    assert lines[0].levelno == logging.WARNING
    assert lines[0].getMessage() == "hostile: a line"
    assert "a change that a plugin failed at was skipped" in caplog.text


async def test_what_is_no_plugin(database: Database, tmp_path: Path) -> None:
    text = tmp_path / "plugin.py"
    text.write_text("print()")
    for plugin, says in [
        (text, "it is not WebAssembly"),
        (tmp_path / "none.wasm", "its file cannot be read"),
        (Plugin(guest("mask"), config="public.item.name"), "a line key=… is missing"),
        (Plugin(guest("mask"), config=KEY, sha256="0" * 64), "was asked for"),
    ]:
        with pytest.raises(PluginError, match=says):
            async with database.reader(plugins=[plugin]):
                pass


def test_what_cannot_be_right(database: Database) -> None:
    wasm = guest("mask")
    wrong: list[tuple[Any, type[Exception], str]] = [
        (Plugin(wasm, on_error="shrug"), ConfigurationError, "on_error: expected"),
        (Plugin(wasm, cpu_max=-1), ConfigurationError, "cpu_max: expected"),
        (Plugin(wasm, memory_max_bytes=-1), ConfigurationError, "memory_max_bytes: not what"),
        (7, TypeError, "plugins: expected paths"),
    ]
    for plugin, error, says in wrong:
        with pytest.raises(error, match=says):
            database.reader(plugins=[plugin])


def test_a_configuration_may_be_anything_json_has() -> None:
    plugin = Plugin("x.wasm", config={"tenants": ["a", "é"], "n": 1})
    assert plugin.config_text() == '{"tenants":["a","é"],"n":1}'
    assert "tenants" not in repr(plugin)


async def test_a_recording_goes_through_plugins_too(caplog: pytest.LogCaptureFixture) -> None:
    recording = REPOSITORY / "tests" / "vectors" / "ecommerce" / "pgoutput.jsonl"
    plain = [message async for message in LogicalReplicationReader.from_recording(recording)]
    drops = Plugin(guest("hostile"), config="drop 2")
    reader = LogicalReplicationReader.from_recording(recording, plugins=[drops])
    left = [message async for message in reader]
    assert len(left) == len(plain) - 2
    [status] = reader.status().plugins
    assert (status.name, status.dropped) == ("hostile", 2)

    skips = Plugin(guest("hostile"), config="trap 2", on_error="skip")
    with caplog.at_level(logging.WARNING, "pgoutput_decoder"):
        reader = LogicalReplicationReader.from_recording(recording, plugins=[skips])
        assert len([message async for message in reader]) == len(left)
    assert "left out: plugin hostile, at event 0/4FE0E1E0:2 of " in caplog.text

    stops = Plugin(guest("hostile"), config="trap 2")
    reader = LogicalReplicationReader.from_recording(recording, plugins=[stops])
    assert (await anext(reader)).after["id"] == 1
    with pytest.raises(PluginError, match="it trapped"):
        await anext(reader)
    reader = LogicalReplicationReader.from_recording(recording, plugins=["/none/such.wasm"])
    with pytest.raises(PluginError, match="its file cannot be read"):
        await anext(reader)
