"""The first two examples, run as their docstrings say; the others are tested in examples/."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from conftest import REPOSITORY, Database
from running import EXAMPLES, environment

TIMEOUT_S = 30


def sell(database: Database) -> None:
    """Four changes."""
    database.execute(
        "INSERT INTO ecommerce.customers (id, name, email) VALUES (77, 'Emmy', 'emmy@example.com')",
        "INSERT INTO ecommerce.products (id, name, price, stock) VALUES (88, 'Lamp', 49.90, 3)",
        "UPDATE ecommerce.products SET stock = 2 WHERE id = 88",
        "DELETE FROM ecommerce.customers WHERE id = 77",
    )


def run(database: Database, name: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        env=environment(database),
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_package_is_pinned_to_one_version() -> None:
    pins = [
        dict(line.split("==") for line in path.read_text().splitlines() if "==" in line)
        for path in (EXAMPLES / "requirements.txt", REPOSITORY / "scripts" / "requirements.txt")
    ]
    assert {name: pins[1][name] for name in pins[0].keys() & pins[1]} == {
        name: pins[0][name] for name in pins[0].keys() & pins[1]
    }


def test_basic_cdc(shop: Database) -> None:
    sell(shop)
    lines = run(shop, "basic_cdc.py", "--count", "4").splitlines()
    assert lines[1].startswith("INSERT ecommerce.customers")
    assert "UPDATE ecommerce.products" in lines
    assert lines[-2] == "DELETE ecommerce.customers"
    assert "'price': Decimal('49.90')" in lines[4]


def test_basic_cdc_stops_at_ctrl_c(shop: Database) -> None:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "basic_cdc.py")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(shop),
        # A test run in the background of a script ignores Ctrl-C, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    guard = threading.Timer(TIMEOUT_S, process.kill)
    guard.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Waiting for changes")
        sell(shop)
        while not (line := process.stdout.readline()).startswith("DELETE"):
            assert line, "it ended by itself"
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(TIMEOUT_S) == 0
        assert rest.endswith("Stopped.\n")
    finally:
        guard.cancel()
        process.kill()
        process.wait()


def test_basic_cdc_says_what_is_wrong(database: Database) -> None:
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / "basic_cdc.py"), "--slot", "none", "--publication", "pub"],
        capture_output=True,
        text=True,
        env=environment(database),
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 1
    assert "SELECT pg_create_logical_replication_slot('none', 'pgoutput');" in result.stderr
    assert "Traceback" not in result.stderr


def test_debezium_format(shop: Database) -> None:
    sell(shop)
    output = run(shop, "debezium_format.py")
    assert output.count('"op": "') == 4
    assert '"connector": "postgresql"' in output
    assert "shop.ecommerce.products {'id': 88}" in output
    assert "Acknowledged up to " in output
