"""examples/cache.py beside a real Redis, which redis-cli looks into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Database
from running import run, start, stop, wait_until
from services import AbsentError, Process, Redis


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis with nothing in it."""
    try:
        server = Redis()
    except AbsentError as reason:
        pytest.skip(str(reason))
    with server:
        yield server


def follow(shop: Database, redis: Redis, cwd: Path) -> Process:
    """The example, once it streams."""
    example = start(shop, "cache.py", cwd=cwd, REDIS_URL=redis.url)
    example.wait_for("Following")
    return example


def read(shop: Database, redis: Redis, product: int, cwd: Path) -> str:
    """A product through the cache."""
    return run(shop, "cache.py", str(product), cwd=cwd, REDIS_URL=redis.url)


def test_it_forgets_what_changes(shop: Database, redis: Redis, tmp_path: Path) -> None:
    with follow(shop, redis, tmp_path) as example:
        assert read(shop, redis, 1, tmp_path).startswith("database: ")
        assert read(shop, redis, 1, tmp_path).startswith("cache: ")
        assert '"stock": 500' in redis.cli("GET", "product:0:1")
        assert 3500 < int(redis.cli("TTL", "product:0:1")) <= 3600
        shop.execute("UPDATE ecommerce.products SET stock = 7 WHERE id = 1")
        wait_until(lambda: redis.cli("GET", "product:0:1") == "", "the mark")
        assert 0 < int(redis.cli("TTL", "product:0:1")) <= 10
        # Somebody read the row before it changed and stores it now.
        assert redis.cli("SET", "product:0:1", "stale", "NX") == ""
        assert '"stock": 7' in read(shop, redis, 1, tmp_path)
        assert redis.cli("GET", "product:0:1") == ""
        # The mark's time passes.
        redis.cli("DEL", "product:0:1")
        assert read(shop, redis, 1, tmp_path).startswith("database: ")
        assert read(shop, redis, 1, tmp_path).startswith("cache: ")
        assert "None" in read(shop, redis, 99, tmp_path)

        shop.execute("UPDATE ecommerce.products SET id = 99 WHERE id = 6")
        example.wait_for("Forgot product 99.")
        assert "Forgot product 6." in example.lines
        shop.execute("DELETE FROM ecommerce.products WHERE id = 99")
        wait_until(lambda: example.output.count("product 99") == 2, "the deletion")

        read(shop, redis, 2, tmp_path)
        shop.execute("TRUNCATE ecommerce.products CASCADE")
        example.wait_for("Forgot all products.")
        assert "None" in read(shop, redis, 2, tmp_path)
        stop(example)


def test_what_changes_while_it_is_down_is_forgotten_later(
    shop: Database, redis: Redis, tmp_path: Path
) -> None:
    with follow(shop, redis, tmp_path) as example:
        read(shop, redis, 3, tmp_path)
        example.kill()
    shop.execute("UPDATE ecommerce.products SET price = 1 WHERE id = 3")
    assert redis.cli("GET", "product:0:3") != ""
    with follow(shop, redis, tmp_path):
        wait_until(lambda: redis.cli("GET", "product:0:3") == "", "the mark")
