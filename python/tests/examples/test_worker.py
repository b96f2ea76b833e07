"""examples/worker.py beside a webhook that fails, refuses and stalls."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from conftest import Database
from running import start, stop, wait_until
from services import Delivery, Receiver
from shop import call_witness, open_for_business, witnessed


def number_of(event: dict[str, Any]) -> int:
    """The order an event is about."""
    return int((event["after"] or event["before"])["id"])


def order(shop: Database, *numbers: int) -> None:
    """New orders, a transaction each."""
    for number in numbers:
        shop.execute(f"INSERT INTO ecommerce.orders (id, customer_id) VALUES ({number}, 1)")


def test_what_fails_is_tried_again_and_then_buried(shop: Database, tmp_path: Path) -> None:
    attempts: Counter[int] = Counter()

    def answer(event: dict[str, Any]) -> int:
        number = number_of(event)
        attempts[number] += 1
        if number == 101:
            return 503
        if number == 102:
            return 422
        return 200 if number == 103 or attempts[number] > 2 else 500

    letters = tmp_path / "dead_letters.jsonl"
    shop.slot = "worker"
    with (
        Receiver(answer) as receiver,
        start(shop, "worker.py", receiver.url, cwd=tmp_path) as example,
    ):
        example.wait_for("4 workers wait")
        order(shop, 101, 102, 103, 104)
        written = shop.wal_lsn()
        wait_until(lambda: shop.confirmed_lsn() >= written, "all are acknowledged")
        assert attempts == {101: 5, 102: 1, 103: 1, 104: 3}
        stop(example)
    buried = [json.loads(line) for line in letters.read_text().splitlines()]
    assert {number_of(one["event"]): one["reason"] for one in buried} == {
        101: "HTTPException: status 503",
        102: "status 422",
    }
    assert letters.stat().st_mode & 0o777 == 0o600


def test_what_is_not_done_holds_the_position(shop: Database, tmp_path: Path) -> None:
    go_on = threading.Event()

    def answer(event: dict[str, Any]) -> int:
        if number_of(event) == 201:
            go_on.wait()
        return 200

    shop.slot = "worker"
    with Receiver(answer) as receiver:
        with start(shop, "worker.py", receiver.url, cwd=tmp_path) as example:
            example.wait_for("4 workers wait")
            order(shop, 200)
            between = shop.wal_lsn()
            order(shop, 201, 202, 203, 204, 205, 206, 207, 208)
            # Of those on other workers, some are done.
            wait_until(lambda: len(receiver.deliveries) > 1, "others are delivered")
            wait_until(lambda: shop.confirmed_lsn() >= between - 1000, "the first is acknowledged")
            assert shop.confirmed_lsn() <= between
            example.kill()
        go_on.set()
        assert shop.confirmed_lsn() <= between
        receiver.deliveries.clear()
        with start(shop, "worker.py", receiver.url, cwd=tmp_path):
            wait_until(lambda: len(receiver.deliveries) >= 8, "they come again")
        assert {number_of(one.event) for one in receiver.deliveries} >= set(range(201, 209))


def test_a_new_key_waits_for_the_old_one(shop: Database, tmp_path: Path) -> None:
    def answer(event: dict[str, Any]) -> int:
        time.sleep(0.2 if event["op"] == "c" else 0)
        return 200

    with (
        Receiver(answer) as receiver,
        start(shop, "worker.py", receiver.url, cwd=tmp_path) as example,
    ):
        example.wait_for("4 workers wait")
        order(shop, 300)
        shop.execute("UPDATE ecommerce.orders SET id = 301 WHERE id = 300")
        shop.execute("UPDATE ecommerce.orders SET total = 1 WHERE id = 301")
        shop.execute("TRUNCATE ecommerce.orders CASCADE")
        order(shop, 302)
        wait_until(lambda: len(receiver.deliveries) == 5, "all are delivered")
    assert [one.event["op"] for one in receiver.deliveries] == ["c", "u", "u", "t", "c"]


def test_killed_again_and_again(shop: Database, tmp_path: Path) -> None:
    shop.slot = "worker"
    failures: Counter[str] = Counter()
    deliveries: list[Delivery] = []
    letters = tmp_path / "dead_letters.jsonl"

    def answer(event: dict[str, Any]) -> int:
        """One in five fails, but none as often as is given up after."""
        change = event["source"]["sequence"]
        if failures[change] < 3 and random.random() < 0.2:
            failures[change] += 1
            return 503
        return 200

    with Receiver(answer) as receiver:
        with start(shop, "worker.py", receiver.url, cwd=tmp_path) as example:
            example.wait_for("4 workers wait")
            example.kill()
        with shop.connect() as connection:
            call_witness(connection)
            with open_for_business(connection, pace_s=0.02):
                for _ in range(4):
                    deliveries += receiver.deliveries
                    receiver.deliveries = []
                    with start(shop, "worker.py", receiver.url, cwd=tmp_path) as example:
                        wait_until(lambda: len(receiver.deliveries) > 0, "a delivery")
                        time.sleep(random.uniform(0.2, 0.6))
                        example.kill()
            written = shop.wal_lsn()
            with start(shop, "worker.py", receiver.url, cwd=tmp_path) as example:
                wait_until(lambda: shop.confirmed_lsn() >= written, "all are acknowledged")
                stop(example)
            expected: dict[int, list[Any]] = {}
            for _, before, after in witnessed(connection, "orders"):
                row = after or before
                assert row is not None
                expected.setdefault(row["id"], []).append(outline(before, after))
    assert letters.read_text() == ""
    arrived: dict[int, list[Any]] = {}
    known: set[str] = set()
    for one in deliveries + receiver.deliveries:
        if one.status == 200 and one.key not in known:
            known.add(one.key)
            arrived.setdefault(number_of(one.event), []).append(of_delivery(one))
    assert arrived == expected


def outline(before: Any, after: Any) -> tuple[Any, ...]:
    """What tells one change of an order from another."""
    return tuple(row and (row["status"], float(row["total"])) for row in (before, after))


def of_delivery(delivery: Delivery) -> tuple[Any, ...]:
    """The same, of what was delivered."""
    event: dict[str, Any] = delivery.event
    return outline(event["before"], event["after"])
