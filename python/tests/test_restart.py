"""The server crashes in the middle of a stream: every row arrives, once, and in order."""

from __future__ import annotations

import asyncio
import threading

import psycopg
from conftest import database_at, load_postgres

ROWS = 10_000


async def test_server_crash_in_the_middle_of_10_000_rows() -> None:
    with load_postgres().Server(settings={"fsync": "on"}) as server:
        database = database_at(server.url)
        database.create()
        database.execute("CREATE TABLE t (id int PRIMARY KEY)")
        crashed = threading.Event()

        def produce() -> None:
            """Ten rows a transaction; one the crash took is made again."""
            done = 0
            while done < ROWS:
                try:
                    with database.connect() as connection:
                        row = connection.execute("SELECT coalesce(max(id), 0) FROM t").fetchone()
                        done = row[0] if row else 0
                        while done < ROWS:
                            connection.execute(
                                "INSERT INTO t SELECT generate_series(%s::int, %s)",
                                [done + 1, done + 10],
                            )
                            done += 10
                except psycopg.OperationalError:
                    continue

        def crash() -> None:
            server.restart("immediate")
            crashed.set()

        producer = threading.Thread(target=produce)
        crasher = threading.Thread(target=crash)
        got: list[int] = []
        before_the_crash = 0
        reader = database.reader()
        producer.start()
        async with asyncio.timeout(90):
            async for message in reader:
                got.append(message.after["id"])
                if len(got) == ROWS // 4:
                    crasher.start()
                    before_the_crash = len(got)
                if len(got) % 100 == 0 and crasher.ident and not crashed.is_set():
                    # Leaves something to be received after the crash.
                    await asyncio.sleep(0.01)
                if got[-1] == ROWS:
                    await reader.acknowledge(message)
                    break
        await reader.stop()
        producer.join()
        crasher.join()
        assert crashed.is_set()
        assert 0 < before_the_crash < len(got)
        assert got == list(range(1, ROWS + 1))

        # What was acknowledged before the crash and after it is confirmed: nothing comes again.
        database.execute("INSERT INTO t VALUES (0)")
        async with asyncio.timeout(20), database.reader() as again:
            assert (await anext(again)).after == {"id": 0}
