"""The orders of a shop as a table in memory, of polars or pandas, no older than a second.

    psql -f examples/setup_postgres.sql         # once
    python examples/live_table.py               # --with pandas

The slot is temporary: it is gone with the program, which copies the table anew when it starts. The
server is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. Needs polars or pandas, and
psycopg for the copy.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

import psycopg
from pgoutput_decoder import LogicalReplicationReader, ReplicationError, ReplicationMessage

Row = dict[str, Any]
COLUMNS = ("id", "customer_id", "status", "total")


class PolarsTable:
    """A polars.DataFrame, `self.rows`."""

    def __init__(self) -> None:
        import polars

        self.polars = polars
        kinds = (polars.Int64, polars.Int64, polars.String, polars.Float64)
        self.schema = dict(zip(COLUMNS, kinds, strict=True))
        self.clear()

    def clear(self) -> None:
        """Removes all rows."""
        self.rows = self.polars.DataFrame(schema=self.schema)

    def update(self, changed: dict[int, Row | None]) -> None:
        """Replaces or adds the rows with these ids; None removes one."""
        new = [row for row in changed.values() if row is not None]
        ids = self.polars.Series("id", list(changed), dtype=self.polars.Int64)
        kept = self.rows.filter(~self.rows["id"].is_in(ids.implode()))
        self.rows = self.polars.concat([kept, self.polars.DataFrame(new, schema=self.schema)])

    def summary(self) -> str:
        """Orders and money by status."""
        column = self.polars.col
        sums = self.rows.group_by("status").agg(
            column("id").len().alias("orders"), column("total").sum()
        )
        return str(sums.sort("status"))


class PandasTable:
    """A pandas.DataFrame indexed by `id`, `self.rows`."""

    def __init__(self) -> None:
        import pandas

        self.pandas = pandas
        self.clear()

    def clear(self) -> None:
        """Removes all rows."""
        kinds = {"id": "int64", "customer_id": "int64", "status": "str", "total": "float64"}
        self.rows = self.pandas.DataFrame(columns=COLUMNS).astype(kinds).set_index("id")

    def update(self, changed: dict[int, Row | None]) -> None:
        """Replaces or adds the rows with these ids; None removes one."""
        kept = self.rows[~self.rows.index.isin(list(changed))]
        new = [row for row in changed.values() if row is not None]
        if new:
            frame = self.pandas.DataFrame(new, columns=COLUMNS).set_index("id")
            kept = self.pandas.concat([kept, frame]) if len(kept) else frame
        self.rows = kept

    def summary(self) -> str:
        """Orders and money by status."""
        sums = self.rows.groupby("status").agg(orders=("total", "size"), total=("total", "sum"))
        return str(sums)


Table = PolarsTable | PandasTable


def copy(table: Table) -> None:
    """Fills the table with the orders there are.

    The slot is older than what is read here, so what happened in between comes again. That does no
    harm: each change replaces a whole row, and the last one wins.
    """
    with psycopg.connect() as server:
        found = server.execute(
            "SELECT id, customer_id, status::text, total::float8 FROM ecommerce.orders"
        )
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in found]
    table.update({row["id"]: row for row in rows})


def apply(table: Table, batch: list[ReplicationMessage]) -> None:
    """Does to the table what was done to PostgreSQL's, with one update of all the batch's rows.

    No column can be UNCHANGED: none is of a type whose values are stored out of line.
    """
    changed: dict[int, Row | None] = {}
    for message in batch:
        if message.op == "t":
            changed.clear()
            table.clear()
        if message.before is not None:
            changed[message.before["id"]] = None
        if message.after is not None:
            row = {column: message.after[column] for column in COLUMNS}
            changed.pop(row["id"], None)
            changed[row["id"]] = row
    table.update(changed)


async def main(table: Table) -> None:
    """Follows and prints until stopped."""
    reader = LogicalReplicationReader(
        "ecommerce_pub",
        f"live_table_{os.getpid()}",
        auto_acknowledge=False,
        create_slot="temporary",
        decimal="float",
        options={"table.include.list": "ecommerce.orders"},
    )
    async with reader:
        copy(table)
        print(table.summary(), flush=True)
        async for batch in reader.batches(max_events=10_000, max_wait=1.0):
            apply(table, batch)
            await reader.acknowledge(batch[-1])
            print(f"{len(batch)} changes\n{table.summary()}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A table of PostgreSQL as a data frame.")
    parser.add_argument("--with", dest="library", choices=["polars", "pandas"], default="polars")
    try:
        polars = parser.parse_args().library == "polars"
        asyncio.run(main(PolarsTable() if polars else PandasTable()))
    except KeyboardInterrupt:
        print("Stopped.")
    except (psycopg.OperationalError, ReplicationError) as error:
        raise SystemExit(f"live_table.py: {error}") from None
