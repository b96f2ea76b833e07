"""examples/audit_log.py: the log is what triggers saw, line by line, whatever was killed."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

from conftest import Database
from running import start, stop, wait_until
from shop import call_witness, open_for_business, witnessed

TABLES = ("customers", "products", "orders", "order_lines")
LIVES = 5


def entries(log: Path) -> list[dict[str, Any]]:
    """The log's whole lines."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if "\n" in line]


def comparable(value: Any) -> Any:
    """Of numbers that are text in the log and JSON's in the trigger's account, the same."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def differences(before: Any, after: Any) -> dict[str, Any]:
    """What `changed` is to say, from the rows a trigger saw."""
    old, new = before or {}, after or {}
    return {
        column: [comparable(old.get(column)), comparable(new.get(column))]
        for column in {**old, **new}
        if old.get(column) != new.get(column) and not column.endswith("_at")
    }


def logged(log: list[dict[str, Any]], table: str) -> list[Any]:
    """A table's changes as the log has them. Times are written in two ways: left out."""
    return [
        (
            entry["what"],
            {
                column: [comparable(value) for value in values]
                for column, values in entry["changed"].items()
                if not column.endswith("_at")
            },
        )
        for entry in log
        if entry["table"] == f"ecommerce.{table}"
    ]


def test_killed_again_and_again(shop: Database, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with start(shop, "audit_log.py", cwd=tmp_path) as example:
        example.wait_for("Writing to")
        example.kill()
    with shop.connect() as connection:
        call_witness(connection)
        with open_for_business(connection):
            for _ in range(LIVES):
                with start(shop, "audit_log.py", cwd=tmp_path) as example:
                    example.wait_for("Writing to")
                    time.sleep(random.uniform(0.1, 0.6))
                    example.kill()
                # A crash may leave half a line.
                with path.open("ab") as log:
                    log.write(b'{"at": "2026-')
        connection.execute("DELETE FROM customers WHERE name = 'Edsger Dijkstra' AND id < 0")
        with start(shop, "audit_log.py", cwd=tmp_path) as example:
            connection.execute("UPDATE customers SET name = 'The end' WHERE id = 1")
            wait_until(lambda: "The end" in path.read_text(), "the last entry")
            stop(example)
        written = entries(path)
        for table in TABLES:
            seen = [
                (op, differences(before, after))
                for op, before, after in witnessed(connection, table)
            ]
            assert logged(written, table) == seen, table
    positions = [entry["position"] for entry in written]
    assert len(set(positions)) == len(positions)
    assert path.stat().st_mode & 0o777 == 0o600
    # Each of the shop's transactions says who it is; the last one, which is ours, does not.
    assert {entry["who"] for entry in written[:-1]} == {"ada@example.com", "grace@example.com"}
    assert written[-1]["who"] is None
    by_transaction: dict[int, set[str]] = {}
    for entry in written:
        by_transaction.setdefault(entry["xid"], set()).add(entry["who"])
    assert all(len(who) == 1 for who in by_transaction.values())


def test_a_log_is_not_continued_by_another_slot(shop: Database, tmp_path: Path) -> None:
    with start(shop, "audit_log.py", cwd=tmp_path) as example:
        example.wait_for("Writing to")
        shop.execute("UPDATE ecommerce.customers SET name = 'New' WHERE id = 1")
        wait_until(lambda: len(entries(tmp_path / "audit.jsonl")) == 1, "an entry")
        stop(example)
    shop.execute("SELECT pg_drop_replication_slot('audit_log')")
    with start(shop, "audit_log.py", cwd=tmp_path) as example:
        assert example.process.wait(30) == 1
    assert 'replication slot "audit_log" does not exist' in example.output
