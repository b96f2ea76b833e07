"""Business for the shop of examples/setup_postgres.sql."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import psycopg

# How often, and what. The schema is first in the search path.
BUSINESS = {
    """
    WITH sale AS (
        INSERT INTO orders (customer_id) SELECT id FROM customers ORDER BY random() LIMIT 1
        RETURNING id
    ), goods AS (SELECT * FROM products ORDER BY random() LIMIT 1 + (random() * 3)::int)
    INSERT INTO order_lines
        SELECT sale.id, row_number() OVER (), goods.id, 1 + (random() * 2)::int, price
        FROM sale, goods;
    UPDATE products SET stock = stock - quantity FROM order_lines
        WHERE order_id = (SELECT max(id) FROM orders) AND product_id = products.id;
    UPDATE orders SET total =
        (SELECT sum(quantity * unit_price) FROM order_lines WHERE order_id = orders.id)
        WHERE id = (SELECT max(id) FROM orders)
    """: 10,
    """
    UPDATE orders SET status = 'paid'
        WHERE id = (SELECT id FROM orders WHERE status = 'placed' ORDER BY id LIMIT 1)
    """: 4,
    """
    UPDATE orders SET status = 'shipped'
        WHERE id = (SELECT id FROM orders WHERE status = 'paid' ORDER BY id LIMIT 1)
    """: 3,
    "DELETE FROM orders WHERE id = (SELECT max(id) FROM orders WHERE status = 'placed')": 2,
    """
    UPDATE products SET price = round(price * 1.02, 2), stock = stock + 50
        WHERE id = (SELECT id FROM products ORDER BY random() LIMIT 1)
    """: 2,
}


class Shop:
    """A connection that does business; each transaction says who does it, for audit_log.py."""

    def __init__(self, connection: psycopg.Connection[Any], seed: int | None = None) -> None:
        self._connection = connection
        self._random = random.Random(seed)
        connection.execute("SET search_path = ecommerce")

    def transact(self) -> None:
        """One transaction of a random kind."""
        [statements] = self._random.choices(list(BUSINESS), list(BUSINESS.values()))
        who = self._random.choice(["ada@example.com", "grace@example.com"])
        with self._connection.transaction():
            self._connection.execute("SELECT pg_logical_emit_message(true, 'audit', %s)", [who])
            self._connection.execute(statements.encode())


@contextlib.contextmanager
def open_for_business(connection: psycopg.Connection[Any], pace_s: float = 0.01) -> Iterator[None]:
    """Does business in a thread of its own for as long as the `with` block lasts."""
    closing = threading.Event()
    shop = Shop(connection)

    def trade() -> None:
        while not closing.wait(pace_s):
            shop.transact()

    trading = threading.Thread(target=trade)
    trading.start()
    try:
        yield
    finally:
        closing.set()
        trading.join()


# A trigger's account of what is committed, beside the one in the WAL.
WITNESS = """
    CREATE TABLE witness (
        number bigserial PRIMARY KEY, name text NOT NULL, op text NOT NULL,
        before jsonb, after jsonb
    );
    CREATE FUNCTION testify() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.witness (name, op, before, after)
            VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW));
        RETURN NULL;
    END $$;
"""


def call_witness(connection: psycopg.Connection[Any]) -> None:
    """From now on, `witnessed` knows what happens in the shop."""
    connection.execute(WITNESS.encode())
    for table in ("customers", "products", "orders", "order_lines"):
        connection.execute(
            f"CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON ecommerce.{table}"
            " FOR EACH ROW EXECUTE FUNCTION public.testify()".encode()
        )


def witnessed(
    connection: psycopg.Connection[Any], table: str
) -> list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]]:
    """The changes of a table in the order in which they were made: op, before, after."""
    query = "SELECT op, before, after FROM public.witness WHERE name = %s ORDER BY number"
    return connection.execute(query, [table]).fetchall()
