"""What the library's memory and CPU grow with: rows, transactions, tables, streams.

The reader has a process of its own and does nothing but read: its memory is the library's. It is
looked at from outside, once all events are there and it has had time to give back what it can.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.clients.meter import PUBLICATION, memory_mib
from bench.effort import Effort
from bench.figures import Bars, Figure, Plot, Section, number, table
from bench.programs import Programs
from bench.workload import SMALL, SMALL_ROW

# Bytes of a row's text, and how many rows of it.
WIDTHS = (
    (100, 100_000),
    (1_000, 50_000),
    (10_000, 10_000),
    (100_000, 1_000),
    (1_000_000, 100),
    (10_000_000, 10),
)
# What each of many streams reads.
STREAM_ROWS = 10_000
# A server's locks are for so many tables at once.
TABLES_AT_ONCE = 100
SETTLE_S = 2.0
TRANSACTION_MIB_MAX = 256.0
STREAMS_MANY = 200
STREAM_MIB_MAX = 2.0
# What 0 % is, to the first digit.
IDLE_PERCENT_MAX = 0.05
SIZES = ("peak RSS, MiB", "steady")
TEXT = """The process of `reader`, which counts events of the library and does nothing else. Peak is
the most it had; steady is what it has some seconds after the last event. What was written lies
there when it connects, so it is read as fast as the server sends.

{widths}

A wide row is in several places at once: as it came, in the decoder's memory, as an event; and while
one is read, the next is there already.

{transactions}

Streamed, an open transaction is kept in 32 MiB of memory and then in a file; else the server keeps
it.

{tables}

One row in each table, of six columns: every one is looked up in the catalogs, and remembered.

{streams}

Streams in one process, each on a slot of its own: one engine and one compiled decoder for all,
and for each its memory, its connection and one to the catalogs. Each reads {rows:,} rows while all
others do; then all are watched for {quiet_s:.0f} s in which nothing is written. CPU is that of the
whole process, divided among them."""


@dataclass(frozen=True)
class Sizes:
    """Of a process, in MiB."""

    peak: float
    steady: float

    @classmethod
    def of(cls, process: int) -> Sizes:
        """As it is, and the most it had."""
        return cls(memory_mib("VmHWM", process), memory_mib("VmRSS", process))

    def cells(self) -> list[str]:
        """Of a table's row."""
        return [number(self.peak), number(self.steady)]


class Scale:
    """The measurements, each of which returns its table."""

    def __init__(self, programs: Programs, effort: Effort) -> None:
        self.programs = programs
        self.place = programs.place
        self.effort = effort
        self.figures: list[Figure] = []
        self.plots: list[Plot | Bars] = []

    def widths(self) -> str:
        """Ever wider rows."""
        database = "width"
        self.place.create(database, "id bigint PRIMARY KEY, note text")
        rows = []
        sizes = {}
        for width, events in WIDTHS:
            row = f"n, repeat('x', {width})"
            sizes[width] = self.filled(database, row, events)
            rows.append([f"{width:,} bytes", f"{events:,}", *sizes[width].cells()])
        self.plot("rss-row", "Memory beside a row's size", "bytes", sizes)
        return table(["a row", "of them", *SIZES], rows)

    def transactions(self) -> str:
        """Ever larger transactions."""
        database = "transaction"
        self.place.create(database, SMALL)
        rows = []
        sizes = {}
        for events in self.effort.transactions:
            sizes[events] = self.filled(database, SMALL_ROW, events)
            held = self.read(database, events, "--streaming", "off")
            rows.append([f"{events:,} rows", *sizes[events].cells(), *held.cells()])
        most = max(sizes)
        name = f"peak RSS, a transaction of {most:,} rows"
        self.figures.append(Figure(name, sizes[most].peak, TRANSACTION_MIB_MAX, False, "MiB"))
        self.plot("rss-transaction", "Memory beside a transaction's size", "rows", sizes)
        return table(["a transaction", *SIZES, "not streamed: peak", "steady"], rows)

    def tables(self) -> str:
        """Ever more tables, each of which the decoder has to know."""
        database = "tables"
        self.place.create(database, SMALL)
        self.place.run(database, f"ALTER PUBLICATION {PUBLICATION} ADD TABLES IN SCHEMA public")
        rows = []
        sizes = {}
        made = 0
        for tables in self.effort.tables:
            self.place.run(
                database,
                each_table(0, made, "TRUNCATE t@"),
                each_table(made, tables, f"CREATE TABLE t@ ({SMALL})"),
            )
            made = tables
            self.place.pass_over(database)
            row = f"INSERT INTO t@ SELECT {SMALL_ROW} FROM (SELECT @ AS n) k"
            self.place.run(database, each_table(0, tables, row))
            sizes[tables] = self.read(database, tables)
            rows.append([f"{tables:,}", *sizes[tables].cells()])
        self.plot("rss-tables", "Memory beside the number of tables", "tables", sizes)
        return table(["tables", *SIZES], rows)

    def streams(self) -> str:
        """Ever more streams in one process."""
        database = "streams"
        self.place.create(database, SMALL)
        # As servers have it by default: a keepalive when half of it is over.
        self.place.run(database, f"ALTER DATABASE {database} SET wal_sender_timeout = '1min'")
        rows = []
        sizes = {}
        for count in self.effort.streams:
            self.place.run(database, "TRUNCATE event")
            self.place.pass_over(database)
            with ExitStack() as stack:
                slots = [stack.enter_context(self.place.slot(database)) for _ in range(count)]
                started = stack.enter_context(
                    self.programs.started(
                        "reader", ("many",), database, ",".join(slots), STREAM_ROWS
                    )
                )
                process = started.process.pid
                began = time.monotonic()
                started.ready()
                took_s = time.monotonic() - began
                connected = memory_mib("VmRSS", process)
                self.place.run(database, filling(SMALL_ROW, STREAM_ROWS))
                started.ready()
                time.sleep(SETTLE_S)
                sizes[count] = Sizes.of(process)
                idle = idle_percent(process, self.effort.quiet_s) / count
                threads = len(list(Path(f"/proc/{process}/task").iterdir()))
            each = sizes[count].peak / count
            alone = min(sizes)
            more = (
                (sizes[count].peak - sizes[alone].peak) / (count - alone) if count > alone else None
            )
            cells = [number(connected), *sizes[count].cells(), number(each), number(more)]
            rows.append([f"{count}", *cells, f"{idle:.3f}", f"{threads}", number(took_s)])
            if count in (1, STREAMS_MANY):
                name = "idle CPU of a stream" + (f", each of {count}" if count > 1 else "")
                self.figures.append(Figure(name, idle, IDLE_PERCENT_MAX, False, "%"))
            if count == STREAMS_MANY:
                name = f"peak RSS of a stream, each of {count}"
                self.figures.append(Figure(name, each, STREAM_MIB_MAX, False, "MiB"))
        self.plot("rss-streams", "Memory beside the number of streams", "streams", sizes)
        head = ["streams", "connected RSS, MiB", *SIZES, "peak each", "each further"]
        head += ["idle CPU each, %", "threads", "to connect, s"]
        return table(head, rows)

    def filled(self, database: str, row: str, events: int) -> Sizes:
        """Reads so many rows of one transaction."""
        self.place.run(database, "TRUNCATE event")
        self.place.pass_over(database)
        self.place.run(database, filling(row, events))
        return self.read(database, events)

    def read(self, database: str, events: int, *options: str) -> Sizes:
        """Reads what is there, and stays."""
        arguments = ("many", *options)
        with (
            self.place.slot(database) as slot,
            self.programs.started("reader", arguments, database, slot, events) as started,
        ):
            for _ in ("connected", "read"):
                started.ready()
            time.sleep(SETTLE_S)
            return Sizes.of(started.process.pid)

    def plot(self, name: str, title: str, x: str, sizes: dict[int, Sizes]) -> None:
        """Of all these sizes."""
        lines = {
            "peak": [(float(at), size.peak) for at, size in sizes.items()],
            "steady": [(float(at), size.steady) for at, size in sizes.items()],
        }
        self.plots.append(Plot(name, title, x, "RSS, MiB", lines, log_x=x != "streams"))


def section(programs: Programs, effort: Effort) -> Section:
    """All of them."""
    scale = Scale(programs, effort)
    text = TEXT.format(
        widths=scale.widths(),
        transactions=scale.transactions(),
        tables=scale.tables(),
        streams=scale.streams(),
        rows=STREAM_ROWS,
        quiet_s=effort.quiet_s,
    )
    return Section("Memory and scale", text, scale.figures, scale.plots)


def filling(row: str, rows: int) -> str:
    """Writes so many in one transaction."""
    return f"INSERT INTO event SELECT {row} FROM generate_series(1, {rows}) n"


def each_table(first: int, end: int, statement: str) -> str:
    """Does it to each of so many tables, whose number is @."""
    return f"""DO $do$ BEGIN FOR k IN {first} .. {end - 1} LOOP
        EXECUTE replace($each${statement}$each$, '@', k::text);
        IF k % {TABLES_AT_ONCE} = 0 THEN COMMIT; END IF; END LOOP; END $do$"""


def idle_percent(process: int, seconds: float) -> float:
    """CPU of all of its threads meanwhile, in percent of one."""
    before = cpu_s(process)
    time.sleep(seconds)
    return (cpu_s(process) - before) / seconds * 100


def cpu_s(process: int) -> float:
    """Of all of its threads, to the nanosecond."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
