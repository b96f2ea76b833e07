"""examples/live_table.py: the tables of both libraries have what PostgreSQL has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from running import start, stop, wait_until
from services import Process
from shop import open_for_business

ROW = re.compile(r"(placed|paid|shipped|cancelled)\W+(\d+)\W+([\d.]+)")


def shown(example: Process) -> list[tuple[str, int, float]]:
    """The table printed last."""
    last = example.output.rsplit("changes\n", 1)[-1]
    return [(status, int(orders), float(total)) for status, orders, total in ROW.findall(last)]


def actual(shop: Database) -> list[Any]:
    """The same from PostgreSQL."""
    return shop.execute(
        "SELECT status::text, count(*), sum(total)::float8 FROM ecommerce.orders"
        " GROUP BY 1 ORDER BY 1"
    )


def agree(example: Process, shop: Database) -> bool:
    """Whether the two are the same; polars rounds what it prints."""
    printed, there = shown(example), actual(shop)
    return [row[:2] for row in printed] == [row[:2] for row in there] and all(
        one[2] == pytest.approx(other[2], rel=1e-5)
        for one, other in zip(printed, there, strict=True)
    )


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_it_follows(shop: Database, tmp_path: Path, library: str) -> None:
    pytest.importorskip(library)
    with start(shop, "live_table.py", "--with", library, cwd=tmp_path) as example:
        example.wait_for("paid")
        with shop.connect() as connection, open_for_business(connection):
            example.wait_for("changes")
        wait_until(lambda: agree(example, shop), "the table is PostgreSQL's")
        shop.execute("DELETE FROM ecommerce.order_lines")
        shop.execute("UPDATE ecommerce.orders SET id = id + 100000")
        shop.execute("DELETE FROM ecommerce.orders WHERE status = 'placed'")
        wait_until(lambda: agree(example, shop), "the table is PostgreSQL's")
        assert shown(example)
        shop.execute("TRUNCATE ecommerce.orders CASCADE")
        wait_until(lambda: agree(example, shop), "the table is empty")
        stop(example)
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'live_table%'"
    wait_until(lambda: shop.execute(slots)[0][0] == 0, "the slot is gone")
