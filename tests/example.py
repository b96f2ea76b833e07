"""Runs one of the examples beside the shop it is about, for some seconds: make example NAME=cache.

    scripts/postgres run -- .venv/bin/python tests/example.py NAME [--seconds 10]

Makes the shop of examples/setup_postgres.sql in the server that PG* variables name, starts the
example as a user would, does business in the shop while it runs, interrupts it as Ctrl-C would, and
shows what came of it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psycopg
from postgres_programs import REPOSITORY
from services import AbsentError, Delivery, Kafka, Receiver, Redis, free_port
from shop import Shop

EXAMPLES = REPOSITORY / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "batches")
# Between transactions: slow enough to read along.
PACE_S = 0.2
PATIENCE_S = 15.0


class Show:
    """An example that runs, and the shop it watches."""

    def __init__(self, name: str, seconds: float, stack: contextlib.ExitStack) -> None:
        self.name = name
        self.seconds = seconds
        self.stack = stack
        self.environment = dict(os.environ)
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.server = stack.enter_context(psycopg.connect(autocommit=True))
        self.server.execute((EXAMPLES / "setup_postgres.sql").read_bytes())
        self.shop = Shop(self.server)
        self.running: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        """The example's command line; printed, as it is what a user would type."""
        print(f"$ python examples/{self.name}.py {' '.join(arguments)}".rstrip(), flush=True)
        return [sys.executable, str(EXAMPLES / f"{self.name}.py"), *arguments]

    def run(self, *arguments: str) -> None:
        """Runs the example to its end."""
        subprocess.run(
            self.command(*arguments), env=self.environment, cwd=self.directory, check=True
        )

    def start(self, *arguments: str) -> None:
        """Starts the example; returns when it streams."""
        self.running = subprocess.Popen(
            self.command(*arguments), env=self.environment, cwd=self.directory
        )
        self.stack.callback(self.kill)
        active = "SELECT count(*) FROM pg_replication_slots WHERE active"
        deadline = time.monotonic() + PATIENCE_S
        while self.server.execute(active).fetchone() == (0,):
            if self.running.poll() == 0:
                return  # it had what it waited for
            if self.running.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"examples/{self.name}.py does not stream")
            time.sleep(0.05)

    def trade(self, part: float = 1.0) -> None:
        """Does business for a part of the time."""
        end = time.monotonic() + self.seconds * part
        while time.monotonic() < end:
            # One that has taken its changes and ended by itself has nothing more to show.
            if self.running is not None and self.running.poll() is not None:
                return
            self.shop.transact()
            time.sleep(PACE_S)

    def stop(self) -> None:
        """Ctrl-C."""
        if self.running is not None and self.running.poll() is None:
            # What was committed last is still to be seen.
            time.sleep(1)
            self.running.send_signal(signal.SIGINT)
            self.running.wait(PATIENCE_S)

    def kill(self) -> None:
        """A crash."""
        if self.running is not None and self.running.poll() is None:
            self.running.kill()
            self.running.wait()

    def trade_while(self, *arguments: str) -> None:
        """Starts the example, does business, and stops it."""
        self.start(*arguments)
        self.trade()
        self.stop()


def search_index(show: Show) -> None:
    show.trade_while()
    show.run("brown")


def cache(show: Show) -> None:
    show.environment["REDIS_URL"] = show.stack.enter_context(Redis()).url
    show.start()
    show.run("1")
    show.run("1")
    show.trade()
    show.run("1")
    show.stop()


def audit_log(show: Show) -> None:
    show.trade_while()
    print("The last lines of audit.jsonl:")
    print("\n".join((show.directory / "audit.jsonl").read_text().splitlines()[-5:]))


def kafka_producer(show: Show) -> None:
    print("Starting Kafka.", flush=True)
    kafka = show.stack.enter_context(Kafka())
    show.environment["KAFKA_SERVERS"] = kafka.servers
    show.trade_while()
    topic = "shop.ecommerce.orders"
    print(f"Topics: {' '.join(kafka.topics())}. The last records of {topic}:", flush=True)
    for record in kafka.consume(topic)[-3:]:
        print(f"{record.key} {record.headers} {record.value}")


def exactly_once(show: Show) -> None:
    show.server.execute("CREATE DATABASE copy")
    show.start("--target", "dbname=copy")
    show.trade(0.5)
    print("kill -9", flush=True)
    show.kill()
    show.trade(0.2)
    show.trade_while("--target", "dbname=copy")
    sums = "SELECT customer_id, count(*), sum(total) FROM ecommerce.orders GROUP BY 1 ORDER BY 1"
    copied = "SELECT * FROM spending WHERE orders > 0 ORDER BY 1"
    source = show.server.execute(sums).fetchall()
    with psycopg.connect(dbname="copy") as copy:
        target = copy.execute(copied).fetchall()
    for row in source:
        print("customer {:>3}: {:>3} orders, {:>10}".format(*row))
    if source != target:
        raise SystemExit(f"the copy differs: {target}")
    print("The copy has the same.")


def sse(show: Show) -> None:
    show.seconds *= 2
    port = free_port()
    show.start("--port", str(port))
    show.shop.transact()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/events", headers={"Last-Event-ID": "the first"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as events:
        for line in (next(events).decode().rstrip() for _ in range(4)):
            print(line)
    print(f"It is there for {show.seconds:.0f} s.", flush=True)
    show.trade()
    show.stop()


def worker(show: Show) -> None:
    refused = 3

    def answer(event: dict[str, object]) -> int:
        """Order 3 is refused; about each fifth request fails."""
        row = event["after"] or event["before"]
        assert isinstance(row, dict)
        return 422 if row["id"] == refused else 503 if time.time_ns() % 5 == 0 else 200

    def said(delivery: Delivery) -> None:
        print(f"{delivery.status} {delivery.event['op']} {delivery.key}", flush=True)

    receiver = show.stack.enter_context(Receiver(answer, said))
    show.trade_while(receiver.url)
    letters = (show.directory / "dead_letters.jsonl").read_text().splitlines()
    print(f"{len(letters)} dead letters.")


SHOWS = {
    show.__name__: show
    for show in (
        search_index,
        cache,
        audit_log,
        kafka_producer,
        exactly_once,
        sse,
        worker,
    )
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make example", description="Shows an example.")
    parser.add_argument("name", choices=NAMES, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=8.0, help="of business")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        show = Show(asked.name, asked.seconds, stack)
        try:
            SHOWS.get(asked.name, Show.trade_while)(show)
        except AbsentError as error:
            raise SystemExit(f"{asked.name}: {error}") from None


if __name__ == "__main__":
    main()
