"""A PostgreSQL in a container of its own, by testcontainers, for tests that need Docker."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Sequence
from typing import Any

import docker
import psycopg

# Its helper that removes containers of a killed test is an image from a registry.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

START_ATTEMPTS = 5
READY = "database system is ready to accept connections"
PATIENCE_S = 30.0


class Container:
    """One server; `with Container(image) as container:` starts it and removes it.

    Options are those of `postgres`. Its port on this machine stays the same when it is restarted:
    Docker would choose another.
    """

    host = "127.0.0.1"
    user = "postgres"
    port: int

    def __init__(self, image: str, options: Sequence[str] = ()) -> None:
        self.image = image
        self.options = options
        self.password = secrets.token_urlsafe(18)

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/database`"""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/postgres"

    def restart(self) -> None:
        """`docker restart`: the server is shut down, and started again."""
        self._docker.restart()
        self._wait()

    def kill(self) -> None:
        """`docker kill`: every process of the server is gone at once."""
        self._docker.kill()

    def start(self) -> None:
        """`docker start`, after `kill`."""
        self._docker.start()
        self._wait()

    def pause(self) -> None:
        """`docker pause`: connections stay, and nobody answers."""
        self._docker.pause()

    def unpause(self) -> None:
        """`docker unpause`"""
        self._docker.unpause()

    def __enter__(self) -> Container:
        for attempt in range(1, START_ATTEMPTS + 1):
            with socket.socket() as probe:
                probe.bind((self.host, 0))
                self.port = int(probe.getsockname()[1])
            container = DockerContainer(self.image)
            container.with_env("POSTGRES_PASSWORD", self.password)
            container.with_command(list(self.options))
            # Docker takes an address besides, though testcontainers does not say so.
            container.ports["5432/tcp"] = (self.host, self.port)  # type: ignore[assignment]
            container.waiting_for(LogMessageWaitStrategy(READY))
            self._container = container
            try:
                container.start()
                self._wait()
                break
            except docker.errors.APIError:
                # Between finding a free port and listening on it, another process may take it.
                self.__exit__()
                if attempt == START_ATTEMPTS:
                    raise
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._container.stop()

    @property
    def _docker(self) -> Any:
        """Docker's own view of it, which can do more."""
        return self._container.get_wrapped_container()

    def _wait(self) -> None:
        """Until it accepts connections."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
