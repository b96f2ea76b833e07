"""What the examples write to: throw-away servers of Redis and Kafka, and a webhook's receiver.

Each listens on a free port of 127.0.0.1, keeps its files in a temporary directory, and goes with
its `with` block. Where its program is missing, `AbsentError` says what to install.
"""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from postgres_programs import REPOSITORY

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
POM = REPOSITORY / "tests" / "kafka" / "pom.xml"
JARS = REPOSITORY / "target" / "kafka"


class AbsentError(RuntimeError):
    """A program that is needed and not installed."""


def program(name: str, package: str) -> str:
    """Where a program is."""
    found = shutil.which(name)
    if found is None:
        raise AbsentError(f"{name} is missing: sudo apt-get install {package}")
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A program whose output is read all the time, and that ends with its `with` block."""

    def __init__(
        self, command: list[str], *, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.lines: deque[str] = deque(maxlen=10_000)
        self._more = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Where this runs in the background of a script, Ctrl-C is ignored, and a child would
            # inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert self.process.stdout is not None
        self._reading = threading.Thread(target=self._read, args=[self.process.stdout])
        self._reading.start()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self._add(line.rstrip("\n"))
        with self._more:
            self._ended = True
            self._more.notify_all()

    def _add(self, line: str) -> None:
        with self._more:
            self.lines.append(line)
            self._more.notify_all()

    @property
    def output(self) -> str:
        """What it has printed."""
        with self._more:
            return "\n".join(self.lines)

    def wait_for(self, text: str, timeout_s: float = START_TIMEOUT_S) -> str:
        """Waits until it has printed a line with `text`; the first such line."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._more:
            self._more.wait_for(lambda: found() is not None or self._ended, timeout_s)
            line = found()
        if line is None:
            raise RuntimeError(f"it did not print {text!r}:\n{self.output}")
        return line

    def end(self, number: int = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Sends a signal, waits, and returns the exit code; kills what does not end in time."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reading.join()

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.end(signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._reading.join()


class Redis:
    """A Redis; `url` is where."""

    def __init__(self) -> None:
        self._program = program("redis-server", "redis-server")
        self._client = program("redis-cli", "redis-tools")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Redis:
        self._directory = tempfile.TemporaryDirectory(prefix="pgoutput-redis-")
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self._directory.name]
        self._process = Process([self._program, *where, "--save", "", "--appendonly", "no"])
        self._process.wait_for("Ready to accept connections")
        return self

    def cli(self, *words: str) -> str:
        """What redis-cli answers."""
        command = [self._client, "-h", "127.0.0.1", "-p", str(self.port), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def __exit__(self, *_: object) -> None:
        self._process.end()
        self._directory.cleanup()


@dataclass(frozen=True)
class Record:
    """What a consumer of Kafka sees of a record."""

    partition: int
    key: str | None
    value: str | None
    headers: str


class Kafka:
    """One broker of Kafka, which is its own controller; `servers` is where.

    Topics are made when first written to, with three partitions.
    """

    def __init__(self) -> None:
        self._java = program("java", "default-jre-headless")
        self._fetch()
        self.servers = f"127.0.0.1:{free_port()}"

    def _fetch(self) -> None:
        """Has the jars in target/, by Maven."""
        pinned = JARS / "pom.xml"
        if pinned.exists() and pinned.read_bytes() == POM.read_bytes():
            return
        maven = program("mvn", "maven")
        shutil.rmtree(JARS, ignore_errors=True)
        command = [maven, "--quiet", "--batch-mode", f"--file={POM}"]
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
        done = subprocess.run([*command, *goal], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AbsentError(f"Maven cannot fetch Kafka: {done.stdout[-500:]}")
        shutil.copy(POM, pinned)

    def _run(self, kind: str, *words: str) -> list[str]:
        # One core's compiler is enough for programs that live for seconds.
        quick = ["-XX:TieredStopAtLevel=1", "-Xmx400m", "-cp", f"{JARS}/*"]
        return [self._java, *quick, kind, *words]

    def __enter__(self) -> Kafka:
        self._directory = tempfile.TemporaryDirectory(prefix="pgoutput-kafka-")
        controller = f"127.0.0.1:{free_port()}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.servers},CONTROLLER://{controller}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": f"{self._directory.name}/log",
            "group.initial.rebalance.delay.ms": "0",
            "num.partitions": "3",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
        }
        settings = Path(self._directory.name) / "server.properties"
        settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_storage = ["format", "--cluster-id", identity, "--config", str(settings)]
        subprocess.run(
            self._run("kafka.tools.StorageTool", *format_storage), capture_output=True, check=True
        )
        self._process = Process(self._run("kafka.Kafka", str(settings)))
        self._process.wait_for("Kafka Server started")
        return self

    def topics(self) -> list[str]:
        """The topics there are."""
        command = self._run(
            "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.servers, "--list"
        )
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if not line.startswith("__")]

    def consume(self, topic: str) -> list[Record]:
        """All records of a topic, as Kafka's own console consumer has them."""
        shown = {f"print.{what}": "true" for what in ("partition", "key", "headers")}
        shown |= {"key.separator": "\t", "headers.separator": ";", "null.literal": "<null>"}
        words = ["--bootstrap-server", self.servers, "--topic", topic, "--from-beginning"]
        # It ends when nothing came for so long.
        words += ["--timeout-ms", "5000"]
        for name, value in shown.items():
            words += ["--property", f"{name}={value}"]
        command = self._run("org.apache.kafka.tools.consumer.ConsoleConsumer", *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        output = done.stdout
        records = []
        for line in output.splitlines():
            partition, headers, key, value = line.split("\t", 3)
            record = Record(
                partition=int(partition.removeprefix("Partition:")),
                key=None if key == "<null>" else key,
                value=None if value == "<null>" else value,
                headers=headers,
            )
            records.append(record)
        return records

    def __exit__(self, *_: object) -> None:
        # Nothing in it is worth an orderly end, which takes seconds.
        self._process.kill()
        self._directory.cleanup()


@dataclass(frozen=True)
class Delivery:
    """A request that was answered."""

    key: str
    event: dict[str, object]
    status: int


@dataclass
class Receiver:
    """A webhook's receiver; `answer` says with which status, of a request's event."""

    answer: Callable[[dict[str, object]], int] = lambda event: 200
    said: Callable[[Delivery], None] = lambda delivery: None
    deliveries: list[Delivery] = field(default_factory=list)

    def __enter__(self) -> Receiver:
        receiver = self

        class Request(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = json.loads(body)
                delivery = Delivery(self.headers["Idempotency-Key"], event, receiver.answer(event))
                receiver.deliveries.append(delivery)
                receiver.said(delivery)
                self.send_response(delivery.status)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._serving = threading.Thread(target=self._server.serve_forever)
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()
