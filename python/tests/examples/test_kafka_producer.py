"""examples/kafka_producer.py beside a real broker, read by Kafka's own console consumer."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from running import start, stop, wait_until
from services import AbsentError, Kafka, Record
from shop import call_witness, open_for_business, witnessed


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    """A broker."""
    try:
        broker = Kafka()
    except AbsentError as reason:
        pytest.skip(str(reason))
    with broker:
        yield broker


def once(records: list[Record]) -> list[Record]:
    """Without what came again, which the header tells."""
    seen: dict[str, Record] = {}
    for record in records:
        seen.setdefault(record.headers, record)
    return list(seen.values())


def rank(record: Record) -> tuple[int, ...]:
    """A position as something that can be compared."""
    lsn, _, place = record.headers.removeprefix("position:").partition(":")
    high, low = (int(half, 16) for half in lsn.split("/"))
    return (high, low, *map(int, place.split(".")))


def test_killed_in_the_middle(shop: Database, kafka: Kafka, tmp_path: Path) -> None:
    where = {"KAFKA_SERVERS": kafka.servers}
    shop.slot = "kafka_producer"
    with start(shop, "kafka_producer.py", cwd=tmp_path, **where) as example:
        example.wait_for("Publishing")
        example.kill()
    with shop.connect() as connection:
        call_witness(connection)
        with open_for_business(connection):
            for _ in range(4):
                with start(shop, "kafka_producer.py", cwd=tmp_path, **where) as example:
                    example.wait_for("events, up to")
                    time.sleep(random.uniform(0, 0.5))
                    example.kill()
        connection.execute("DELETE FROM order_lines WHERE order_id < 10 OR product_id = 6")
        connection.execute("DELETE FROM orders WHERE id < 10")
        connection.execute("UPDATE products SET id = 60, name = 'Größe' WHERE id = 6")
        changes = witnessed(connection, "orders")
        written = shop.wal_lsn()
        with start(shop, "kafka_producer.py", cwd=tmp_path, **where) as example:
            wait_until(lambda: shop.confirmed_lsn() >= written, "all is acknowledged")
            stop(example)

    records = kafka.consume("shop.ecommerce.orders")
    events = once(records)
    print(f"{len(records)} records, {len(records) - len(events)} of them again")
    assert_each_key_is_in_one_partition(records)
    # The last state of each key, as a compacted topic has it, is the table.
    assert_table(shop, "orders", records)

    # No change is missing, none is invented, and each key's are in order.
    arrived = defaultdict(list)
    for record in events:
        if record.value is not None:
            event = json.loads(record.value)
            arrived[record.key].append((event["op"], event["before"], event["after"]))
    expected = defaultdict(list)
    for op, before, after in changes:
        row = after or before
        assert row is not None
        expected[f'{{"id":{row["id"]}}}'].append((op, before, after))
    assert arrived.keys() == expected.keys()
    ops = {"INSERT": "c", "UPDATE": "u", "DELETE": "d"}
    for key, seen in expected.items():
        outline = [(ops[op], state(before), state(after)) for op, before, after in seen]
        known = [(op, state(before), state(after)) for op, before, after in arrived[key]]
        assert known == outline, key

    # A deletion is followed by a tombstone under the same key.
    by_key: dict[str | None, list[Record]] = defaultdict(list)
    for record in events:
        by_key[record.key].append(record)
    gone = [key for key, seen in expected.items() if seen[-1][0] == "DELETE"]
    assert len(gone) >= 5
    for key in gone:
        *_, deletion, tombstone = by_key[key]
        assert json.loads(deletion.value or "")["op"] == "d"
        assert tombstone.value is None
        assert rank(tombstone) > rank(deletion)

    products = kafka.consume("shop.ecommerce.products")
    assert_table(shop, "products", products)
    # A new key is a deletion, a tombstone and a new row.
    moved = [record for record in once(products) if record.key in ('{"id":6}', '{"id":60}')]
    assert [json.loads(one.value)["op"] if one.value else None for one in moved[-3:]] in (
        ["d", None, "c"],
        ["c", "d", None],  # another partition's
    )
    assert "Größe" in (moved[-1].value or moved[-3].value or "")


def state(row: Any) -> Any:
    """What a row of orders and an event of it both have, in the same form."""
    return row and (row["id"], row["customer_id"], row["status"], f"{float(row['total']):.2f}")


def assert_each_key_is_in_one_partition(records: list[Record]) -> None:
    partitions = defaultdict(set)
    for record in records:
        partitions[record.key].add(record.partition)
    assert all(len(known) == 1 for known in partitions.values())
    assert {record.partition for record in records} == {0, 1, 2}


def assert_table(shop: Database, table: str, records: list[Record]) -> None:
    rows = {f'{{"id":{row[0]}}}' for row in shop.execute(f"SELECT id FROM ecommerce.{table}")}
    last = {record.key: record.value for record in records}
    alive = {key for key, value in last.items() if value is not None}
    assert alive <= rows
    # What was never changed since the slot was made is in the table alone.
    known = {record.key for record in records}
    assert rows & known == alive
