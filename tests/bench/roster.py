"""Who reads: the rows of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALL = ("w1", "w2", "w3", "w4")
RECVLOGICAL = "pg_recvlogical"
BASELINE = "0.1.0 op"
# The rows that promises speak of.
JSON = "library, JSON"
NATIVE = "library, JSON, no sandbox"
# What a client makes of each change. Those that make the same are compared.
COUNTS = "counts"
OBJECTS = "objects"
TEXT = "JSON"


@dataclass(frozen=True)
class Client:
    """A row of the tables."""

    name: str
    program: str
    """Which of `Programs.programs` it is."""

    arguments: tuple[str, ...]
    makes: str
    """COUNTS, OBJECTS or TEXT."""

    does: str
    of: str
    """Whose it is: "host" and "python" are ours, "peer" is not."""

    once: bool = False
    """Whether it reads in one round only, because it is slow."""

    part: bool = False
    """Whether it reads a part of a workload only, because it is very slow."""

    ceiling: bool = True
    """Whether it reads recordings, too."""

    workloads: Sequence[str] = ALL
    quick: bool = False
    """Whether it is in the run that only shows that all of this works."""

    filtered: bool = False
    """Whether a plugin drops some of what it reads."""

    tls: bool = False

    @property
    def ours(self) -> bool:
        """Not a peer."""
        return self.of != "peer"

    @property
    def python(self) -> bool:
        """Whether it runs in Python."""
        return self.program in ("python", "psycopg2", "0.1.0")


def library(
    name: str,
    makes: str,
    arguments: str,
    does: str,
    workloads: Sequence[str] = ALL,
    ceiling: bool = False,
    filtered: bool = False,
    tls: bool = False,
) -> Client:
    """A row of the library in Rust."""
    return Client(
        name,
        "reader",
        tuple(arguments.split()),
        makes,
        does,
        "host",
        ceiling=ceiling,
        workloads=workloads,
        quick=True,
        filtered=filtered,
        tls=tls,
    )


def package(name: str, mode: str, makes: str, does: str) -> Client:
    """A row of the Python package."""
    arguments = ("bench.clients.reader", mode)
    quick = mode in ("op", "json", "after", "arrow")
    return Client(name, "python", arguments, makes, does, "python", quick=quick)


def old(mode: str, makes: str, does: str) -> Client:
    """A row of the wheel 0.1.0."""
    return Client(
        f"0.1.0 {mode}",
        "0.1.0",
        ("bench.clients.reader_0_1_0", mode),
        makes,
        f"the wheel 0.1.0; {does}",
        "peer",
        once=True,
        part=True,
        ceiling=mode == "op",
        # Of one large transaction it would have to read all.
        workloads=ALL if mode == "op" else ALL[:3],
    )


def psycopg2(mode: str, makes: str, does: str) -> Client:
    """A row of psycopg2's replication cursor."""
    return Client(
        f"psycopg2 {mode}", "psycopg2", ("bench.clients.psycopg2_loop", mode), makes, does, "peer"
    )


def walstream(mode: str, makes: str, does: str) -> Client:
    """A row of the crate pg_walstream."""
    return Client(f"pg_walstream {mode}", "walstream", (mode,), makes, does, "peer")


def pglogrepl(mode: str, makes: str, does: str) -> Client:
    """A row of the Go library pglogrepl."""
    return Client(f"pglogrepl {mode}", "pglogrepl", (mode,), makes, does, "peer")


CLIENTS = (
    library("library, counting", COUNTS, "count", "counts events, looks at none", ceiling=True),
    library(
        JSON,
        TEXT,
        "json",
        "key and value of every event, as Debezium writes them: full envelope, every type",
        ceiling=True,
    ),
    library(
        NATIVE,
        TEXT,
        "json --engine native",
        "the same, the decoder linked in instead of sandboxed as a component",
        ceiling=True,
    ),
    library("library, JSON, binary", TEXT, "json --binary", "the same; the server sends binary"),
    library("library, JSON, TLS", TEXT, "json --sslmode require", "the same, encrypted", tls=True),
    library(
        "library, JSON, filter",
        TEXT,
        "json --plugin filter.json",
        "the same; a plugin in WebAssembly looks at a column of every row and drops a third",
        workloads=("w1", "w4"),
        filtered=True,
    ),
    library(
        "library, JSON, not streamed",
        TEXT,
        "json --streaming off",
        "the same; large transactions come after their commit, as to the peers",
        workloads=("w1", "w4"),
    ),
    library(
        "library, JSON, parallel",
        TEXT,
        "json --streaming parallel",
        "the same; protocol 4, streaming=parallel",
        workloads=("w1", "w4"),
    ),
    Client(
        "command",
        "command",
        (),
        TEXT,
        "pgoutput-decoder stream --format debezium > /dev/null: a line of JSON an event",
        "host",
        ceiling=False,
        quick=True,
    ),
    package("message.op", "op", COUNTS, "async for; reads nothing of the event"),
    package("message.json", "json", TEXT, "async for; the whole envelope as bytes"),
    package(
        "message.after", "after", OBJECTS, "async for; a dict with a typed object for each value"
    ),
    package("batches()", "batches", COUNTS, "lists of up to 1,000; op of each"),
    package("transactions()", "transactions", COUNTS, "by transaction; op of each"),
    package(
        "arrow_batches()", "arrow", OBJECTS, "record batches of up to 10,000 rows, all columns"
    ),
    package("SyncReader", "sync", COUNTS, "a plain for; op of each"),
    Client(
        RECVLOGICAL,
        RECVLOGICAL,
        (),
        COUNTS,
        "the server's own client; writes each message to /dev/null, decodes nothing",
        "peer",
        ceiling=False,
        quick=True,
    ),
    walstream("raw", COUNTS, "a crate; counts messages, decodes nothing"),
    walstream("decode", OBJECTS, "its events: every value is text"),
    walstream("json", TEXT, "serde's JSON of those: every value is text; no envelope, no key"),
    pglogrepl("raw", COUNTS, "a Go library; counts messages, decodes nothing"),
    pglogrepl(
        "typed", OBJECTS, "60 lines on top: maps with bool, int, float, all else text; no envelope"
    ),
    pglogrepl("json", TEXT, "encoding/json's text of that"),
    psycopg2("raw", COUNTS, "consume_stream; counts messages, decodes nothing"),
    psycopg2(
        "typed",
        OBJECTS,
        "a decoder of 60 lines by hand: dicts with bool, int, float, all else text; no envelope",
    ),
    psycopg2("json", TEXT, "json.dumps of that"),
    old("op", COUNTS, "async for; op of each, a whole message by then"),
    old("dict", OBJECTS, "message_to_dict of each"),
    old("json", TEXT, "message_to_debezium_json of each: no arrays, no bytea, floats for numerics"),
    Client(
        "Debezium",
        "debezium",
        (),
        TEXT,
        "its embedded engine in Java, to JSON; time and CPU of the JVM's start not counted",
        "peer",
        once=True,
        # It asks for replication twice, and the recording is sent once.
        ceiling=False,
    ),
)
