"""The first things a newcomer does, with the names 0.1.0 gave them."""

from __future__ import annotations

import asyncio
from typing import Any

import pgoutput_decoder
from conftest import TIMEOUT_S, Database, take


def test_insert_update_delete(database: Database) -> None:
    database.execute(
        "CREATE TABLE users (id serial PRIMARY KEY, name text, email text)",
        "ALTER TABLE users REPLICA IDENTITY FULL",
        "INSERT INTO users (name, email) VALUES ('Alice', 'alice@example.com')",
        "UPDATE users SET name = 'Alice Smith'",
        "DELETE FROM users",
    )
    alice = {"id": 1, "name": "Alice", "email": "alice@example.com"}
    smith = alice | {"name": "Alice Smith"}
    seen: list[tuple[Any, ...]] = []

    async def main() -> None:
        cdc_reader = pgoutput_decoder.LogicalReplicationReader(
            publication_name=database.publication,
            slot_name=database.slot,
            host=database.host,
            database=database.name,
            port=database.port,
            user=database.user,
            password=database.password,
        )
        async for message in cdc_reader:
            table = f"{message.source['schema']}.{message.source['table']}"
            seen.append((message.op, message.before, message.after, table))
            if len(seen) == 3:
                break
        await cdc_reader.stop()

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))
    assert seen == [
        ("c", None, alice, "public.users"),
        ("u", alice, smith, "public.users"),
        ("d", smith, None, "public.users"),
    ]


async def test_message_has_what_0_1_0_had(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    before = database.wal_lsn()
    database.execute("INSERT INTO t VALUES (1)")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    source = message.source
    fixed = {"version", "connector", "name", "ts_ms", "snapshot", "db", "schema", "table", "lsn"}
    assert fixed <= source.keys()
    assert (source["connector"], source["name"]) == ("pgoutput-decoder", "pgoutput-decoder")
    assert source["snapshot"] == "false"
    assert (source["db"], source["schema"], source["table"]) == (database.name, "public", "t")
    assert before <= source["lsn"] <= database.wal_lsn()
    assert message.ts_ms is not None
    assert message.ts_us is not None
    assert message.ts_ns is not None
    assert message.ts_ms == message.ts_us // 1000 == message.ts_ns // 1_000_000
    assert source["ts_ms"] <= message.ts_ms


async def test_message_says_where_it_stands(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)")
    async with database.reader() as reader:
        messages = await take(reader, 3)
    first = messages[0]
    assert [message.position.partition(":")[2] for message in messages] == ["1", "2", "3"]
    assert len({message.position.partition(":")[0] for message in messages}) == 1
    high, low = first.lsn.split("/")
    assert (int(high, 16) << 32) + int(low, 16) == first.source["lsn"]
    assert first.xid == first.source["txId"]
    assert (first.schema, first.table, first.topic) == ("public", "t", "pgoutput-decoder.public.t")
    assert first.key == {"id": 1}
    assert first.unchanged == ()
    assert repr(first) == "<ReplicationMessage 'c' public.t {\"id\":1}>"


async def test_messages_are_immutable(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    async with database.reader() as reader:
        [message] = await take(reader, 1)
    for name in ("op", "after", "position"):
        try:
            setattr(message, name, None)
        except AttributeError:
            continue
        raise AssertionError(name)
    assert message.after is message.after


async def test_several_publications_with_awkward_names(database: Database) -> None:
    database.execute(
        'CREATE TABLE "Mixed Case, ""quoted""" (id int PRIMARY KEY, "a.b" int)',
        "CREATE TABLE other (id int PRIMARY KEY)",
        'CREATE PUBLICATION "My, ""Pub""" FOR TABLE "Mixed Case, ""quoted"""',
        'CREATE PUBLICATION "MyOther" FOR TABLE other',
        'INSERT INTO "Mixed Case, ""quoted""" VALUES (1, 2)',
        "INSERT INTO other VALUES (3)",
    )
    names = ['My, "Pub"', "MyOther"]
    async with database.reader(publication_name=names) as reader:
        messages = await take(reader, 2)
    assert [message.after for message in messages] == [{"id": 1, "a.b": 2}, {"id": 3}]
    assert messages[0].table == 'Mixed Case, "quoted"'
