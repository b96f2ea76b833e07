"""The extension module. Import its names from `pgoutput_decoder`."""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypedDict, Unpack, final

import pyarrow  # type: ignore[import-untyped]

from .messages import Column
from .plugins import Plugin
from .status import Status
from .transactions import Transaction
from .unchanged import Unchanged

__all__ = [
    "Decoder",
    "Iteration",
    "LogicalReplicationReader",
    "ReplicationMessage",
    "arrow_batches",
    "message_to_debezium_json",
]

class _Parameters(TypedDict, total=False):
    """libpq's connection parameters that have no argument of their own."""

    application_name: str
    channel_binding: Literal["disable", "prefer", "require"]
    client_encoding: str
    connect_timeout: float | str
    fallback_application_name: str
    gssencmode: Literal["disable", "prefer"]
    hostaddr: str
    keepalives: bool | int
    keepalives_count: int
    keepalives_idle: int
    keepalives_interval: int
    load_balance_hosts: Literal["disable", "random"]
    passfile: str | PathLike[str]
    require_auth: str
    service: str
    servicefile: str | PathLike[str]
    ssl_max_protocol_version: Literal["TLSv1.2", "TLSv1.3"]
    ssl_min_protocol_version: Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
    sslcert: str | PathLike[str]
    sslcertmode: Literal["disable", "allow"]
    sslcrl: str | PathLike[str]
    sslkey: str | PathLike[str]
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
    sslnegotiation: Literal["postgres", "direct"]
    sslpassword: str
    sslrootcert: str | PathLike[str]
    sslsni: bool | int
    target_session_attrs: Literal[
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
    ]
    tcp_user_timeout: int

class _Settings(_Parameters, total=False):
    """Every argument of a reader but the publication and the slot."""

    host: str | None
    database: str | None
    port: int | None
    user: str | None
    password: str | Callable[[], str | Awaitable[str]] | None
    start_lsn: str | int | None
    auto_acknowledge: bool
    dsn: str | None
    format: Literal["native", "debezium"]
    decimal: Literal["Decimal", "float", "str"]
    temporal: Literal["str", "datetime"]
    uuid: Literal["str", "UUID"]
    options: Mapping[str, str | bool | int | Sequence[str]] | None
    streaming: Literal["off", "on", "parallel"] | None
    binary: bool
    two_phase: bool
    origin: Literal["any", "none"]
    stash_directory: str | PathLike[str] | None
    stash_max_bytes: int | None
    create_slot: bool | Literal["temporary"] | None
    start_position: str | ReplicationMessage | None
    reconnect_delay_max: float | None
    reconnect_attempts_max: int | None
    reconnect_time_max: float | None
    on_undecodable: str
    memory_max_bytes: int | None
    plugins: Sequence[str | PathLike[str] | Plugin] | None

@final
class LogicalReplicationReader:
    """Streams the changes of one or more publications from a replication slot.

    `async for message in reader` connects at the first message and reconnects by itself; it ends
    after `stop()`. Leaving the loop keeps the connection: looping again goes on where it was.
    `async with reader` connects on entering and stops on leaving. Belongs to asyncio. With
    `auto_acknowledge=False` several tasks may take messages from one reader, each gets different
    ones; with True a second one gets a ReplicationError until the first has ended.

    Delivery is at least once: what was not acknowledged comes again after a restart of the program.
    Cancelling a task that waits for a message loses nothing.

    publication_name: a name, or a list of them, exactly as PostgreSQL has it (no quotes).
    slot_name: a logical slot with the output plugin pgoutput. It must exist, but see create_slot.
    host, database, port, user: what is None comes from `dsn`, and else from libpq's environment
        variables (PGHOST, …) as with psycopg, or its defaults. Several hosts: between commas.
    password: a str, or a function that returns one, sync (it runs in a thread) or async. It is
        asked at every connect and reconnect; what it raises is the ConnectionError's `__cause__`.
        None: `~/.pgpass`.
    dsn: a connection string, `"postgresql://…"` or `"host=… dbname=…"`.
    start_lsn: passes over what was committed before: `"0/16B3748"` or an int.
    start_position: passes over everything up to this message: its `position`, or itself. Store the
        position of the last message with what you made of it, in one transaction, and give it here:
        then each message takes effect once, whatever happens in between. Counts as acknowledged.
    auto_acknowledge: acknowledge a message when the next one is asked for, or at the end of
        `async with` if that is left without an exception and no other task failed on the message,
        still works on it or is forgotten; `stop()` says when it does. False: call `acknowledge`.
    format: "native", or "debezium" for events as Debezium's PostgreSQL connector makes them.
    decimal: what numeric values become in "native": `decimal.Decimal`, `float` (rounds) or `str`.
    temporal: what date, time, timetz, timestamp and timestamptz values become in "native": ISO 8601
        `str`, or with "datetime" `datetime`'s `date`, `time` and `datetime`, but for what those
        cannot hold: infinity, years before 1 and after 9999, 24:00:00.
    uuid: what uuid values become in "native": `str`, or `uuid.UUID`.
    options: Debezium's properties by name (`"time.precision.mode"` or `"time_precision_mode"`).
    streaming: "on" (None: where the server has it) takes large transactions while they are open and
        keeps them in memory or a file until they commit; "parallel" is for us the same; "off"
        leaves that to the server. The messages are the same, and come after the commit.
    binary: the server sends values in binary, which is cheaper for it. The same messages, but for
        `regclass` and its like, which come as their OIDs.
    two_phase: transactions are sent when they are prepared. Changes the slot for good. While one is
        prepared, nothing behind its PREPARE is confirmed to the server: a program that starts again
        gets what was committed since once more. Messages come after the commit either way.
    origin: "none" leaves out what was replicated to the server.
    stash_directory: where open transactions are kept beyond 32 MiB; None: the system's directory
        for temporary files. Nothing is left behind, however the process ends.
    stash_max_bytes: what they may take there; None: 16 GiB. More is a ReplicationError.
    reconnect_delay_max: longest wait in seconds between attempts to make a lost connection again;
        None: 10. Waits are random and stay below half a second in the first minute of an outage.
    reconnect_attempts_max, reconnect_time_max: how many attempts in a row, and how long in seconds
        they may fail before the last error is raised; None: it never gives up.
    on_undecodable: what is done with a change that cannot be decoded. "stop": DecodingError, and
        nothing behind it is confirmed. "skip": it is passed over, counted in `status()` and logged.
        "park:FILE": it is passed over as well, and is on the disk before it can be confirmed, for
        `pgoutput-decoder decode --capture FILE`. The file holds values of rows.
    memory_max_bytes: what the decoder may take; None: 2 GiB. One text takes about four times its
        length.
    plugins: what messages go through, in this order: each a `Plugin`, or the path of a .wasm, or of
        a .json that says what a `Plugin` is told.
    create_slot: True makes the slot when connecting if it is missing, and waits for the
        transactions that are open then; the log says which. "temporary" makes one that ends with
        the connection and leaves nothing behind: where that breaks, the reader ends with an error.
    parameters: any other of libpq's connection parameters by its name, like `sslmode`.

    Raises ConfigurationError, which is a ValueError, for a setting that cannot be right. What the
    server objects to is raised when connecting: ConnectionError, SlotNotFoundError,
    PublicationNotFoundError, ConfigurationError for options. ChangesLostError, then or later: going
    on would leave a hole.
    """

    def __new__(
        cls,
        publication_name: str | Sequence[str],
        slot_name: str,
        host: str | None = None,
        database: str | None = None,
        port: int | None = None,
        user: str | None = None,
        password: str | Callable[[], str | Awaitable[str]] | None = None,
        start_lsn: str | int | None = None,
        auto_acknowledge: bool = True,
        *,
        dsn: str | None = None,
        format: Literal["native", "debezium"] = "native",
        decimal: Literal["Decimal", "float", "str"] = "Decimal",
        temporal: Literal["str", "datetime"] = "str",
        uuid: Literal["str", "UUID"] = "str",
        options: Mapping[str, str | bool | int | Sequence[str]] | None = None,
        streaming: Literal["off", "on", "parallel"] | None = None,
        binary: bool = False,
        two_phase: bool = False,
        origin: Literal["any", "none"] = "any",
        stash_directory: str | PathLike[str] | None = None,
        stash_max_bytes: int | None = None,
        create_slot: bool | Literal["temporary"] | None = None,
        start_position: str | ReplicationMessage | None = None,
        reconnect_delay_max: float | None = None,
        reconnect_attempts_max: int | None = None,
        reconnect_time_max: float | None = None,
        on_undecodable: str = "stop",
        memory_max_bytes: int | None = None,
        plugins: Sequence[str | PathLike[str] | Plugin] | None = None,
        **parameters: Unpack[_Parameters],
    ) -> LogicalReplicationReader: ...
    @staticmethod
    def from_recording(
        path: str | PathLike[str],
        catalog: str | PathLike[str] | None = None,
        *,
        auto_acknowledge: bool = True,
        format: Literal["native", "debezium"] = "native",
        decimal: Literal["Decimal", "float", "str"] = "Decimal",
        temporal: Literal["str", "datetime"] = "str",
        uuid: Literal["str", "UUID"] = "str",
        options: Mapping[str, str | bool | int | Sequence[str]] | None = None,
        database: str = "",
        plugins: Sequence[str | PathLike[str] | Plugin] | None = None,
    ) -> LogicalReplicationReader:
        """A reader of a recorded stream, without a server: for tests.

        It gives the messages that the recording has and ends there, with StopAsyncIteration; all
        else is as with a server. What was acknowledged is `status().acknowledged`.

        path: a recording, made by `pgoutput-decoder record`; or a JSON object a line, `lsn`,
            `end_lsn`, `server_ts_us` and `hex`, which is a pgoutput message; or what
            `on_undecodable="park:FILE"` wrote.
        catalog: what the server's catalogs held, JSON, where it is not in the recording. None: it
            is there, or in `catalog.json` beside it.
        options: Debezium's, instead of those that were recorded.
        database: its name, as `source["db"]` and options have it; "" for the one recorded.
        plugins: as for a LogicalReplicationReader. What they fail at and `on_error` does not stop
            at is left out, and told in the log.

        Raises OSError for a file that cannot be read, ValueError for one that is no recording, with
        the line; while reading, DecodingError for a message that cannot be decoded, and
        ReplicationError where a recording is damaged, with the block, behind what is sound.
        """

    def __aiter__(self) -> Iteration: ...
    def __anext__(self) -> Coroutine[Any, Any, ReplicationMessage]: ...
    def batches(
        self, max_events: int = 1000, max_bytes: int | None = None, max_wait: float = 0.0
    ) -> AsyncIterator[list[ReplicationMessage]]:
        """The messages in lists, of one message at least: for who writes many at a time.

        max_events, max_bytes: a list has no more messages, nor more bytes of their JSON; but one
            message, however large, is a list.
        max_wait: how long a message may wait for others, in seconds; 0.0: what is there comes at
            once, also a single message.

        Asking for the next list acknowledges the one before, with automatic acknowledgement. Lists
        know nothing of transactions. Cancelling a wait loses nothing.

        Raises ValueError for a bound that cannot be.
        """

    def arrow_batches(
        self,
        max_events: int = 1000,
        max_bytes: int | None = None,
        max_wait: float = 0.0,
        *,
        text_columns: Sequence[str] | None = None,
    ) -> AsyncIterator[list[pyarrow.RecordBatch]]:
        """The lists of `batches`, each as one record batch for each table and version of it.

        Acknowledged as those lists are: all record batches of a list together. The function
        `arrow_batches` says what they are, what `text_columns` is for, and what is raised.
        """

    def transactions(self, max_events: int = 10_000) -> AsyncIterator[Transaction]:
        """The messages by transaction, each when it is complete; no transaction is empty.

        max_events: how many messages of a transaction are held. A larger one comes when there are
            as many, and the others are read while it is iterated over; those not read when the next
            transaction is asked for are passed over.

        A logical message of no transaction comes as one of its own.

        Raises ValueError for a bound that cannot be.
        """

    def __aenter__(self) -> Coroutine[Any, Any, LogicalReplicationReader]: ...
    def __aexit__(
        self,
        kind: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, Literal[False]]: ...
    def acknowledge(
        self, lsn: str | int | ReplicationMessage | None = None
    ) -> Coroutine[Any, Any, None]:
        """Says that everything up to a message has been dealt with and need not come again.

        lsn: a message; an LSN (`"0/16B3748"` or the int in `message.source["lsn"]`); a position
            (`message.position`); or None for the message received last.

        Cumulative. The server is told once a whole transaction is acknowledged. May be called while
        another task waits for a message.

        Raises ReplicationError ("No pending LSN to acknowledge …") without `lsn` if nothing is
        left to acknowledge, which with `auto_acknowledge=True` is always so, and after `stop()`;
        ValueError for what is no LSN, or lies beyond the message received last:
        also for the LSN of a change that has not been received yet.
        """

    def stop(self) -> Coroutine[Any, Any, None]:
        """Ends the stream: sends the last acknowledgement made and closes the connection.

        With automatic acknowledgement the message received last counts as dealt with if its loop
        was left by `break` or `return`; it comes again if an exception left the loop, caught or
        not, or if the loop's body still runs.

        May be called from any task, and more than once. From here on, iterating raises
        StopAsyncIteration; messages not yet handed out come again next time.
        """

    def status(self) -> Status:
        """How the reader is: its state, positions, lag, what is outstanding, the slot's health.

        Cheap: asks nobody but this process. May be called at any time, before the first message and
        after `stop()` too, and from any thread or task.
        """

@final
class Decoder:
    """Turns pgoutput's messages into `ReplicationMessage`s: for who has a connection of their own.

    It sees every message of the stream, from where the slot stands on, in order. Streamed and
    prepared transactions are kept until they are decided. What is confirmed to the server, and
    when, is the caller's business.

    query: runs an SQL statement and returns the one text that it gives, on an ordinary connection
        to the database: `lambda sql: cursor.execute(sql).fetchone()[0]` with psycopg. It is asked
        when a relation first comes or has changed. None: nothing is asked, and what only the
        catalogs know is missing: there are no keys, and values of types that are not PostgreSQL's
        own, like arrays of an enum, come as text.
    format, decimal, temporal, uuid, options: as for a LogicalReplicationReader.
    database: its name, as `source["db"]` has it.

    Raises ConfigurationError for a setting that cannot be right.
    """

    def __new__(
        cls,
        *,
        query: Callable[[str], str] | None = None,
        format: Literal["native", "debezium"] = "native",
        decimal: Literal["Decimal", "float", "str"] = "Decimal",
        temporal: Literal["str", "datetime"] = "str",
        uuid: Literal["str", "UUID"] = "str",
        options: Mapping[str, str | bool | int | Sequence[str]] | None = None,
        database: str = "",
    ) -> Decoder: ...
    def decode(
        self,
        payload: bytes,
        lsn: str | int | None = None,
        end_lsn: str | int | None = None,
        sent_at_us: int | None = None,
    ) -> list[ReplicationMessage]:
        """The messages that one pgoutput message gives: mostly one, none for a BEGIN.

        payload: what XLogData carries: with psycopg2 `message.payload`.
        lsn, end_lsn: XLogData's start and end of WAL, `"0/16B3748"` or an int: with psycopg2
            `message.data_start` and `message.wal_end`.
        sent_at_us: the server's clock, µs since 1970; None: now.

        Raises DecodingError for what cannot be decoded: it is passed over, and decoding may go on
        behind it. What `query` raises comes through, and the payload may be passed again. Messages
        that came before an error, or beside it in a streamed transaction, come with the next call.
        ReplicationError while another call is under way, in a thread or around `query`.
        """

@final
class Iteration:
    """What `async for` iterates over: its end tells how the loop was left."""

    def __aiter__(self) -> Iteration: ...
    def __anext__(self) -> Coroutine[Any, Any, ReplicationMessage]: ...
    def wait_next(self) -> Any:
        """What `__anext__` gives, waited for without an event loop: for `SyncReader`."""

@final
class ReplicationMessage:
    """One change of one row, or a TRUNCATE or a logical message. Immutable, may be pickled.

    Equal to another where position, key, JSON and headers are: an event that is sent again is made
    again, at another time. What is the same change has the same `position`.

    Values in "native": bool, int, float, numeric `Decimal`, text `str`, bytea `bytes`, json what
    it holds, uuid `str`, dates and times ISO 8601 `str`, arrays `list`, composites `dict`, NULL
    `None`, and `UNCHANGED` for a TOASTed value that an update left alone. Fractions without a type
    of their own, as inside json, are `float` where that is exact and `Decimal` (or what `decimal`
    asks for) where it is not. The README has a table of all types. In "debezium" values are the
    JSON's.
    """

    __match_args__ = ("op", "table")

    @property
    def op(self) -> str | None:
        """`"c"` insert, `"u"` update, `"d"` delete, `"t"` truncate, `"m"` logical message.

        None for a tombstone, which only "debezium" has, and for the transaction metadata that
        `provide.transaction.metadata` asks for, which is in `json`.
        """

    @property
    def before(self) -> Any:
        """The old row as a dict, or None. As much of it as the table's REPLICA IDENTITY gives.

        With a key only, other columns are absent; without either, before is None.
        """

    @property
    def after(self) -> Any:
        """The new row as a dict, or None."""

    @property
    def source(self) -> Any:
        """Where the change comes from: db, schema, table, lsn (int), txId, commit times, more.

        A dict; None for a tombstone, for transaction metadata, and where ExtractNewRecordState has
        taken the envelope away: `after` is then what it made of a row, `before` of a deletion.
        """

    @property
    def ts_ms(self) -> int | None:
        """When the event was made, ms since 1970. The commit's time is `source["ts_ms"]`.

        None for a tombstone, as are `ts_us` and `ts_ns`.
        """

    @property
    def ts_us(self) -> int | None:
        """When the event was made, µs since 1970."""

    @property
    def ts_ns(self) -> int | None:
        """When the event was made, ns since 1970."""

    @property
    def key(self) -> Any:
        """The columns of the key as a dict, or None for a table without one."""

    @property
    def key_json(self) -> bytes | None:
        """The key's JSON in UTF-8, as the decoder wrote it; None where `key` is."""

    @property
    def headers(self) -> dict[str, Any]:
        """Debezium's message headers."""

    @property
    def transaction(self) -> Any:
        """Debezium's block about the transaction: id, total_order, data_collection_order.

        A dict, with the option `provide.transaction.metadata`; else None.
        """

    @property
    def commit_ts_us(self) -> int:
        """The transaction's commit time by the server's clock, µs since 1970."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the columns of its rows are, in their order."""

    @property
    def json(self) -> bytes | None:
        """The event's JSON in UTF-8, as the decoder wrote it; None for a tombstone.

        On one line, unless the server's own text in a `json` column has line breaks.
        """

    @property
    def topic(self) -> str:
        """Debezium's topic, like `"pgoutput-decoder.public.orders"`."""

    @property
    def schema(self) -> str:
        """The table's schema; empty for what is about no table."""

    @property
    def table(self) -> str:
        """The table's name; empty for what is about no table."""

    @property
    def position(self) -> str:
        """Commit LSN and number in the transaction, like `"0/16B3748:7"`. Each has its own."""

    @property
    def lsn(self) -> str:
        """The change's own LSN, like `"0/16B3748"`. Several events can share it."""

    @property
    def xid(self) -> int | None:
        """The transaction's id; None for a non-transactional message."""

    @property
    def unchanged(self) -> tuple[str, ...]:
        """The columns of `after` whose TOASTed values were not sent."""

    def raw(
        self, column: str, row: Literal["after", "before", "key"] = "after"
    ) -> str | Unchanged | None:
        """A column's JSON text as it stands in the event, nothing read or rounded.

        Of `json` and `jsonb` that is the server's own text, byte for byte: white space, duplicate
        keys, the spelling of numbers. SQL's NULL is None, json's null is `"null"`: `after` has None
        for both. A value that was not sent is `UNCHANGED`.

        Raises KeyError for a column the row does not have, or if there is no such row.
        """

    def to_debezium_json(self, indent: int | None = None) -> str:
        """The event as JSON, on one line or indented by `indent` spaces; "null" for a tombstone."""

    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __copy__(self) -> ReplicationMessage: ...
    def __deepcopy__(self, _memo: Any) -> ReplicationMessage: ...

def message_to_debezium_json(message: ReplicationMessage, indent: int | None = 2) -> str:
    """The event as JSON in the reader's format: indented, or with None on one line."""

def arrow_batches(
    messages: Iterable[ReplicationMessage], *, text_columns: Sequence[str] | None = None
) -> list[pyarrow.RecordBatch]:
    """The messages as Arrow record batches, for polars, pandas, DuckDB and all that reads Arrow.

    One batch for each table and version of its columns, in the order in which these appear; within
    it a row for each message, in their order. First the table's columns: of `after`, for `"d"` of
    `before`, where columns that were not sent are null; for `"t"` all are. Those of the key have
    the metadata `key`. Behind them, with one more underscore where the table has such a column:

    `__op` (utf8): as `message.op`.
    `__before` (utf8): for `"u"` the old row, as far as it was sent, in JSON: with a changed key the
        old one, with REPLICA IDENTITY FULL all of it.
    `__unchanged` (list<utf8>): columns whose TOASTed value was not sent: null, and not NULL.
    `__position` (utf8), `__lsn` (uint64), `__xid` (uint32): as the message's. `__lsn` and `__xid`
        are numbers.
    `__commit_ts` (timestamp[us, UTC]): when the transaction was committed; null, as `__xid` is, for
        a message of none.

    What is about no table, as a logical message, has one column `value`, its JSON. The metadata of
    a batch's schema are `schema`, `table`, `topic` and `relation_oid`.

    numeric(p, s) of up to 38 digits is decimal128, or what the reader's `decimal` asks for, other
    numerics are utf8; docs/arrow.md has a table of all types. Other threads run meanwhile: from
    asyncio, `await asyncio.to_thread(arrow_batches, messages)` for very many.

    messages: of readers with the same `format` and `decimal`. Over 2 GiB of a table are more than
        one batch.
    text_columns: columns, as `"schema.table.column"`, to be utf8 whatever their type: what the
        event's JSON has.

    Raises UnrepresentableError, with the column's name for `text_columns`, where there would be a
    null for what is no NULL: `infinity` in a date or timestamp, the time 24:00:00, NaN in a
    decimal128, years that a timestamp of 64 bits does not reach, and arrays of several dimensions
    or with other lower bounds than 1. ConfigurationError for `format="debezium"`, ValueError for
    messages of unlike readers, ImportError without pyarrow.
    """
