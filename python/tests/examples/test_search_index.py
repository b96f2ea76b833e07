"""examples/search_index.py: what SQLite has is what PostgreSQL has."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from running import run, start, stop, wait_until
from shop import open_for_business

# Long enough to be stored out of line.
LONG = (
    "(SELECT jsonb_build_object('text', string_agg(md5(i::text), ' '))"
    " FROM generate_series(1, 500) i)"
)


@pytest.fixture
def products(shop: Database) -> Database:
    """Products one of which has a long value that updates do not send."""
    shop.execute(
        "ALTER TABLE ecommerce.products REPLICA IDENTITY DEFAULT",
        f"UPDATE ecommerce.products SET details = {LONG} WHERE id = 4",
    )
    return shop


def agree(products: Database, index: Path) -> bool:
    """Whether the index has what the table has."""
    table: list[Any] = products.execute(
        "SELECT id, name, details::text, price::text FROM ecommerce.products ORDER BY id"
    )
    with sqlite3.connect(index) as connection:
        indexed = connection.execute(
            "SELECT rowid, name, details, price FROM products ORDER BY rowid"
        ).fetchall()
    connection.close()
    return table == indexed


def test_it_follows(products: Database, tmp_path: Path) -> None:
    index = tmp_path / "search_index.db"
    with start(products, "search_index.py", cwd=tmp_path) as example:
        example.wait_for("Following")
        assert agree(products, index), "the copy"
        products.execute(
            "INSERT INTO ecommerce.products (id, name, price)"
            " VALUES (50, 'Kettle \"blue\"', 19.90)",
            "UPDATE ecommerce.products SET price = 45 WHERE id = 4",
            "UPDATE ecommerce.products SET details = NULL WHERE id = 3",
            "DELETE FROM ecommerce.products WHERE id = 6",
            "INSERT INTO ecommerce.products (id, name, price, details) "
            f"VALUES (60, 'Encyclopedia', 900, {LONG})",
            "UPDATE ecommerce.products SET id = 61 WHERE id = 60",
        )
        wait_until(lambda: agree(products, index), "the index has what the table has")
        assert "Kettle" in run(products, "search_index.py", "kett", cwd=tmp_path)
        found = run(products, "search_index.py", '"blue"', cwd=tmp_path)
        assert found.split() == ["50", "Kettle", '"blue"', "19.90"]
        assert "Encyclopedia" in run(products, "search_index.py", "c4ca4238", cwd=tmp_path)
        products.execute("TRUNCATE ecommerce.products CASCADE")
        wait_until(lambda: agree(products, index), "the index is empty")
        stop(example)


def test_it_goes_on_where_it_was_killed(products: Database, tmp_path: Path) -> None:
    index = tmp_path / "search_index.db"
    with products.connect() as connection, open_for_business(connection):
        for life in range(5):
            with start(products, "search_index.py", cwd=tmp_path) as example:
                example.wait_for("changes, up to")
                assert ("Copied" in example.output) == (life == 0), example.output
                time.sleep(random.uniform(0, 0.5))
                example.kill()
    products.execute("UPDATE ecommerce.products SET name = 'The end' WHERE id = 4")
    with start(products, "search_index.py", cwd=tmp_path):
        wait_until(lambda: agree(products, index), "the index has what the table has")


def test_an_index_is_not_continued_by_another_slot(products: Database, tmp_path: Path) -> None:
    with start(products, "search_index.py", cwd=tmp_path) as example:
        example.wait_for("Following")
        stop(example)
    products.execute("SELECT pg_drop_replication_slot('search_index')")
    with start(products, "search_index.py", cwd=tmp_path) as example:
        assert example.process.wait(30) == 1
    assert 'replication slot "search_index" does not exist' in example.output
    assert "Traceback" not in example.output
