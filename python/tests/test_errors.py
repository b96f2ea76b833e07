"""Bad input: which exception, what it says, what it never says."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import pickle
import socket
from collections.abc import Iterator
from typing import Any

import pgoutput_decoder
import pytest
from conftest import TIMEOUT_S, Database, eventually, load_postgres, take
from pgoutput_decoder import (
    ChangesLostError,
    ConfigurationError,
    ConnectionError,
    DecodingError,
    LogicalReplicationReader,
    PublicationNotFoundError,
    ReplicationError,
    SlotNotFoundError,
    exceptions,
)


async def first_error(reader: LogicalReplicationReader) -> ReplicationError:
    """What the first iteration raises, and that the second raises the same."""
    errors = []
    for _ in range(2):
        with pytest.raises(ReplicationError) as caught:
            await asyncio.wait_for(anext(reader), TIMEOUT_S)
        errors.append(caught.value)
    first, second = errors
    assert first is not second
    assert (type(first), str(first)) == (type(second), str(second))
    await asyncio.wait_for(reader.stop(), TIMEOUT_S)
    with pytest.raises(StopAsyncIteration):
        await anext(reader)
    assert isinstance(first, ReplicationError)
    return first


async def test_slot_missing(database: Database) -> None:
    error = await first_error(database.reader(slot_name="it's not here"))
    assert type(error) is SlotNotFoundError
    assert error.slot == "it's not here"
    assert error.sqlstate == "42704"
    expected = "SELECT pg_create_logical_replication_slot('it''s not here', 'pgoutput');"
    assert error.hint == expected
    assert expected in str(error)


async def test_publication_missing(database: Database) -> None:
    error = await first_error(database.reader(publication_name=["pub", "Nope"]))
    assert type(error) is PublicationNotFoundError
    assert error.publication == "Nope"
    assert 'CREATE PUBLICATION "Nope" FOR ALL TABLES;' in str(error)
    assert error.hint == 'CREATE PUBLICATION "Nope" FOR ALL TABLES;'


async def test_wrong_password(database: Database) -> None:
    error = await first_error(database.reader(password="secret-but-wrong"))
    assert type(error) is ConnectionError
    assert error.sqlstate == "28P01"
    assert error.hint is not None
    assert "secret-but-wrong" not in repr(error)


async def test_wrong_user(database: Database) -> None:
    error = await first_error(database.reader(user="nobody_here"))
    assert type(error) is ConnectionError
    assert error.sqlstate in ("28P01", "28000")
    assert "nobody_here" in str(error)


async def test_wrong_database(database: Database) -> None:
    error = await first_error(database.reader(database="no such database"))
    assert type(error) is ConnectionError
    assert error.sqlstate == "3D000"
    assert "no such database" in str(error)


async def test_wrong_host(database: Database) -> None:
    error = await first_error(database.reader(host="no-such-host.invalid"))
    assert type(error) is ConnectionError
    assert isinstance(error, OSError)
    assert "no-such-host.invalid" in str(error)


async def test_wrong_port(database: Database) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = await first_error(database.reader(host="127.0.0.1", port=port))
    assert type(error) is ConnectionError
    assert str(port) in str(error)


async def test_role_without_replication(database: Database) -> None:
    role = f"plain_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    try:
        error = await first_error(database.reader(user=role, password="pw"))
    finally:
        database.execute(f"DROP ROLE {role}")
    assert type(error) is ConnectionError
    assert error.sqlstate == "42501"
    assert f'ALTER ROLE "{role}" REPLICATION;' in str(error)


async def test_wal_level(database: Database) -> None:
    with load_postgres().Server(settings={"wal_level": "replica"}) as server:
        other = Database("127.0.0.1", server.port, server.user, server.password, "postgres", "s")
        other.execute("CREATE PUBLICATION pub FOR ALL TABLES")
        error = await first_error(other.reader())
    assert type(error) is ConnectionError
    assert error.sqlstate == "55000"
    assert "ALTER SYSTEM SET wal_level = logical" in str(error)


async def test_slot_of_another_plugin(database: Database) -> None:
    slot = f"{database.slot}_physical"
    database.execute(f"SELECT pg_create_physical_replication_slot('{slot}')")
    try:
        error = await first_error(database.reader(slot_name=slot))
    finally:
        database.execute(f"SELECT pg_drop_replication_slot('{slot}')")
    assert slot in str(error)


async def test_slot_in_use(database: Database) -> None:
    async with database.reader() as reader:
        # It is waited for: it may be a session of ours that was cut off.
        error = await first_error(database.reader(reconnect_time_max=0.5))
        assert type(error) is ConnectionError
        assert error.sqlstate == "55006"
        database.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
        assert [message.after for message in await take(reader, 1)] == [{"id": 1}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start_lsn": "zzz"}, "start_lsn: "),
        ({"start_lsn": ""}, "start_lsn: "),
        ({"start_lsn": -1}, "start_lsn: "),
        ({"start_position": "0/1"}, "start_position: "),
        ({"start_position": 7}, "start_position: "),
        ({"start_position": "0/1:1", "start_lsn": "0/1"}, "start_position: "),
        ({"reconnect_delay_max": -1.0}, "reconnect_delay_max: "),
        ({"reconnect_attempts_max": -1}, "reconnect_attempts_max: "),
        ({"reconnect_time_max": float("nan")}, "reconnect_time_max: "),
        ({"format": "xml"}, 'format: expected "native" or "debezium"'),
        ({"decimal": "int"}, 'decimal: expected "Decimal", "float" or "str"'),
    ],
)
def test_arguments_are_checked_when_the_reader_is_made(
    arguments: dict[str, Any], said: str
) -> None:
    names = ("publication_name", "slot_name", "host", "database")
    needed: dict[str, Any] = dict.fromkeys(names, "x")
    with pytest.raises(ValueError, match=said) as caught:
        LogicalReplicationReader(**(needed | arguments))
    assert type(caught.value) is ConfigurationError
    with pytest.raises(TypeError):
        LogicalReplicationReader(**(needed | {"options": {"topic.prefix": object()}}))
    with pytest.raises(TypeError):
        LogicalReplicationReader(**(needed | {"publication_name": 7}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"no_such_option": "x"}, "no.such.option"),
        ({"decimal.handling.mode": "exact"}, "precise, double, string"),
    ],
)
async def test_options_are_refused_by_name(
    database: Database, options: dict[str, str], said: str
) -> None:
    error = await first_error(database.reader(format="debezium", options=options))
    assert type(error) is ConfigurationError
    assert said in str(error)


async def test_options_without_meaning_are_noticed(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    options = {"plugin_name": "pgoutput", "topic_prefix": "app", "skipped_operations": ["d", "t"]}
    async with database.reader(options=options) as reader:
        [message] = await take(reader, 1)
    assert message.topic == "app.public.t"
    assert [record.getMessage() for record in caplog.records] == [
        "option plugin.name has no meaning here"
    ]


class CorruptingProxy:
    """Passes a connection on, and once spoils the frame that holds a certain text."""

    def __init__(self, database: Database, text: bytes, replacement: bytes) -> None:
        self.database = database
        self.text = text
        self.replacement = replacement
        assert len(text) == len(replacement)

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoil: bool
    ) -> None:
        carry = b""
        with contextlib.suppress(builtins.ConnectionError, asyncio.CancelledError):
            while data := await reader.read(1 << 16):
                if spoil:
                    data = (carry + data).replace(self.text, self.replacement)
                    # What may be the beginning of the text waits for what comes next.
                    cut = len(data) - self._begun(data)
                    data, carry = data[:cut], data[cut:]
                writer.write(data)
                await writer.drain()
            writer.write(carry)
        writer.close()

    def _begun(self, data: bytes) -> int:
        """How many of the last bytes are the text's first."""
        lengths = range(min(len(self.text) - 1, len(data)), 0, -1)
        return next((n for n in lengths if data.endswith(self.text[:n])), 0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection(self.database.host, self.database.port)
        await asyncio.gather(
            self._pipe(reader, server[1], False), self._pipe(server[0], writer, True)
        )

    async def start(self) -> tuple[asyncio.Server, int]:
        """The listening server and its port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[1]


async def test_corrupt_frame(database: Database) -> None:
    """An Insert whose tuple claims an unknown kind of column."""
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, secret text)",
        "INSERT INTO t VALUES (1, 'fine')",
        "INSERT INTO t VALUES (2, 'spoiltvalue')",
        "INSERT INTO t VALUES (3, 'later')",
    )
    value = b"spoiltvalue"
    marked = b"t" + len(value).to_bytes(4, "big") + value
    proxy = CorruptingProxy(database, marked, b"?" + marked[1:])
    server, port = await proxy.start()
    async with server:
        reader = database.reader(host="127.0.0.1", port=port)
        [message] = await take(reader, 1)
        assert message.after["id"] == 1
        error = await first_error(reader)
    assert type(error) is DecodingError
    assert error.message_type == "I"
    assert error.offset is not None
    assert error.offset > 0
    assert error.lsn is not None
    high, low = error.lsn.split("/")
    lsn = (int(high, 16) << 32) + int(low, 16)
    assert message.source["lsn"] < lsn <= database.wal_lsn()
    assert "spoiltvalue" not in repr(error)
    assert error.lsn in str(error)
    # The first row is confirmed, nothing from the corrupt frame on is.
    assert message.source["lsn"] < database.confirmed_lsn() <= lsn
    async with database.reader() as again:
        assert [message.after["id"] for message in await take(again, 2)] == [2, 3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("stash_max_bytes", -1),
        ("stash_max_bytes", 2**64),
        ("options", {"format": "debezium"}),
    ],
)
def test_settings_that_cannot_be_right(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Database("127.0.0.1", 5432, "u", "", "d", "s").reader(**{name: value})


def test_one_tree() -> None:
    for name in exceptions.__all__:
        assert issubclass(getattr(exceptions, name), ReplicationError)
        assert getattr(pgoutput_decoder, name) is getattr(exceptions, name)
        assert name in pgoutput_decoder.__all__
    assert issubclass(ReplicationError, RuntimeError)
    assert issubclass(ConnectionError, builtins.ConnectionError)
    assert issubclass(ConfigurationError, ValueError)


def made() -> Iterator[ReplicationError]:
    yield ReplicationError("a", sqlstate="XX000")
    yield ConnectionError("b", sqlstate="28P01", hint="h")
    yield ConfigurationError("c")
    yield ChangesLostError("lost", sqlstate="55000", hint="h")
    yield SlotNotFoundError("d", slot="s", sqlstate="42704", hint="h")
    yield PublicationNotFoundError("e", publication="p")
    yield DecodingError("f", lsn="0/1", offset=7, message_type="I")


@pytest.mark.parametrize("error", list(made()), ids=lambda error: type(error).__name__)
def test_exceptions_survive_pickling(error: ReplicationError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


async def test_password_is_nowhere(database: Database) -> None:
    reader = database.reader(password="hunter2")
    assert "hunter2" not in repr(reader)
    error = await first_error(reader)
    assert "hunter2" not in repr(error) + str(vars(error))


async def test_terminated_walsender_is_replaced(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    async with database.reader() as reader:
        assert (await take(reader, 1))[0].after == {"id": 1}
        terminate = (
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
            f"WHERE slot_name = '{database.slot}' AND active"
        )
        assert database.execute(terminate) == [(True,)]
        database.execute("INSERT INTO t VALUES (2)")
        assert (await take(reader, 1))[0].after == {"id": 2}
        await eventually(lambda: database.confirmed_lsn() > 0, "the slot exists")


async def test_a_slot_made_anew_behind_us_is_a_hole(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    async with database.reader() as reader:
        database.execute("INSERT INTO t VALUES (1)")
        await take(reader, 1)
        while database.execute(
            "SELECT pg_terminate_backend(active_pid), pg_sleep(0.05) FROM pg_replication_slots "
            f"WHERE slot_name = '{database.slot}' AND active",
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            f"WHERE slot_name = '{database.slot}' AND NOT active",
            f"SELECT slot_name FROM pg_replication_slots WHERE slot_name = '{database.slot}'",
        ):
            pass
        database.execute(
            f"SELECT pg_create_logical_replication_slot('{database.slot}', 'pgoutput')"
        )
        async with asyncio.timeout(30):
            with pytest.raises(ChangesLostError, match="cannot be had") as caught:
                await anext(reader)
        assert "new snapshot" in (caught.value.hint or "")
