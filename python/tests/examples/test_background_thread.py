"""examples/background_thread.py: a program without asyncio, and its thread's end."""

from __future__ import annotations

from pathlib import Path

from conftest import Database
from running import run, start, stop, wait_until

SLOT = "background_thread"


def test_it_ends_at_ctrl_c_and_has_acknowledged(shop: Database, tmp_path: Path) -> None:
    shop.slot = SLOT
    with start(shop, "background_thread.py", cwd=tmp_path) as example:
        example.wait_for("Watching")
        shop.execute(
            "UPDATE ecommerce.products SET stock = stock - 5 WHERE id = 6",
            "UPDATE ecommerce.products SET stock = 900 WHERE id = 3",
        )
        written = shop.wal_lsn()
        # The body for this one may be interrupted behind its print.
        shop.execute("UPDATE ecommerce.products SET stock = 3 WHERE id = 1")
        example.wait_for("Keyboard: 3 left")
        stop(example)
    assert list(example.lines)[1:] == ["Chair: 115 left", "Keyboard: 3 left", "Stopped."]
    assert shop.confirmed_lsn() >= written


def test_what_the_loop_did_not_end_with_comes_again(shop: Database, tmp_path: Path) -> None:
    with start(shop, "background_thread.py", "--count", "2", cwd=tmp_path) as example:
        example.wait_for("Watching")
        for stock in (1, 2, 3):
            shop.execute(f"UPDATE ecommerce.products SET stock = {stock} WHERE id = 1")
        assert example.process.wait(30) == 0, example.output
    assert list(example.lines)[1:] == ["Keyboard: 1 left", "Keyboard: 2 left"]
    output = run(shop, "background_thread.py", "--count", "2", cwd=tmp_path)
    assert output.splitlines()[1:] == ["Keyboard: 2 left", "Keyboard: 3 left"]


def test_more_than_the_thread_may_be_ahead(shop: Database, tmp_path: Path) -> None:
    shop.execute("SELECT pg_create_logical_replication_slot('background_thread', 'pgoutput')")
    shop.execute(
        "INSERT INTO ecommerce.products (name, price, stock)"
        " SELECT 'Part ' || i, 1, 1 FROM generate_series(1, 5000) i"
    )
    output = run(shop, "background_thread.py", "--count", "5000", cwd=tmp_path).splitlines()
    assert output[1:] == [f"Part {number}: 1 left" for number in range(1, 5001)]


def test_ctrl_c_while_it_waits_for_the_server(shop: Database, tmp_path: Path) -> None:
    with shop.connect() as connection, connection.transaction():
        # Making the slot waits for this transaction.
        connection.execute("UPDATE ecommerce.products SET stock = 1 WHERE id = 1")
        with start(shop, "background_thread.py", cwd=tmp_path) as example:
            wait_until(
                lambda: (
                    shop.execute(
                        f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
                    )[0][0]
                    == 1
                ),
                "the slot is being made",
            )
            stop(example)
    assert list(example.lines) == ["Stopped."]


def test_its_errors_are_raised_in_the_loop(shop: Database, tmp_path: Path) -> None:
    shop.execute("DROP PUBLICATION ecommerce_pub")
    with start(shop, "background_thread.py", cwd=tmp_path) as example:
        assert example.process.wait(30) == 1
    assert 'publication "ecommerce_pub" does not exist' in example.output
    assert "Traceback" not in example.output
