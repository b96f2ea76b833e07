"""examples/exactly_once.py: sums in another database are right to the cent, whatever was killed."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from psycopg import sql
from running import start, stop, wait_until
from shop import open_for_business

LIVES = 8


@pytest.fixture
def target(shop: Database) -> Iterator[str]:
    """An empty database on the same server, by name."""
    name = f"{shop.name}_copy"
    with shop.connect() as connection:
        # The program begins with an empty table: so does the shop.
        connection.execute("DELETE FROM ecommerce.orders")
        connection.execute(
            "SELECT pg_replication_slot_advance('ecommerce_slot', pg_current_wal_insert_lsn())"
        )
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield name
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(drop.format(sql.Identifier(name)))


def sums(shop: Database) -> list[Any]:
    """What each customer has ordered, as the source says."""
    return shop.execute(
        "SELECT customer_id, count(*), sum(total) FROM ecommerce.orders GROUP BY 1 ORDER BY 1"
    )


def copied(shop: Database, target: str) -> list[Any]:
    """The same, as the target says."""
    with shop.connect(target) as connection:
        query = "SELECT customer_id, orders, total FROM spending WHERE orders <> 0 ORDER BY 1"
        return connection.execute(query).fetchall()


def stored(shop: Database, target: str) -> int:
    """The commit LSN of the last change counted."""
    with shop.connect(target) as connection:
        query = "SELECT split_part(position, ':', 1)::pg_lsn - '0/0' FROM progress"
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_killed_again_and_again(shop: Database, target: str, tmp_path: Path) -> None:
    where = f"dbname={target}"
    with shop.connect() as connection, open_for_business(connection, pace_s=0.002):
        for _ in range(LIVES):
            with start(shop, "exactly_once.py", "--target", where, cwd=tmp_path) as example:
                example.wait_for("changes, up to")
                time.sleep(random.uniform(0, 0.4))
                example.kill()
    with start(shop, "exactly_once.py", "--target", where, cwd=tmp_path) as example:
        wait_until(lambda: sums(shop) == copied(shop, target), "the sums are the same")
        shop.execute("TRUNCATE ecommerce.orders CASCADE")
        wait_until(lambda: copied(shop, target) == [], "all is taken off")
        stop(example)


def test_killed_before_the_server_heard_of_it(shop: Database, target: str, tmp_path: Path) -> None:
    shop.slot = "ecommerce_slot"
    order = "INSERT INTO ecommerce.orders (customer_id, total) VALUES (1, 10)"
    where = f"dbname={target} port={shop.port}"
    with (
        Relay(shop.port) as relay,
        start(
            replace(shop, port=relay.port), "exactly_once.py", "--target", where, cwd=tmp_path
        ) as example,
    ):
        example.wait_for("Going on")
        shop.execute(order)
        example.wait_for("changes, up to")
        relay.deaf.set()
        shop.execute(order)
        wait_until(lambda: copied(shop, target) == [(1, 2, 20)], "both are counted")
        example.kill()
    # The server would send the second order again, and is told to pass over it.
    assert shop.confirmed_lsn() <= stored(shop, target)
    shop.execute(order)
    with start(shop, "exactly_once.py", "--target", where, cwd=tmp_path) as example:
        wait_until(lambda: copied(shop, target) == [(1, 3, 30)], "the third is counted")
        stop(example)


class Relay:
    """Passes connections on to a port of this machine; from `deaf` on not what clients say."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.deaf = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            from_client = source.getsockname()[1] == self.port
            while data := source.recv(65536):
                if not (from_client and self.deaf.is_set()):
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_two_at_once(shop: Database, target: str, tmp_path: Path) -> None:
    where = f"dbname={target}"
    order = "INSERT INTO ecommerce.orders (customer_id, total) VALUES (1, 10)"
    with start(shop, "exactly_once.py", "--target", where, cwd=tmp_path) as example:
        example.wait_for("Going on")
        shop.execute(order)
        example.wait_for("changes, up to")
        with shop.connect(target) as other:
            other.execute("UPDATE progress SET position = '0/1:1'")
        shop.execute(order)
        assert example.process.wait(30) == 1
    assert example.lines[-1] == "exactly_once.py: another program writes to this target"
    assert copied(shop, target) == [(1, 1, 10)]
