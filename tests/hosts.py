"""Every host of the decoder over every vector, and over one recording of 100,000 events: a table.

    scripts/postgres run -- .venv/bin/python tests/hosts.py [--rounds N] [--only NAME]...

Each host is built, its own tests run, and it says of each recording how many events it has and
what their lines hash to: that must be what our own command gives, natively decoded. Then all
measure the large recording in turns. Exits with 1 where a host differs, or cannot be built.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "tests" / "vectors"
COMMAND = ROOT / "target" / "release" / "pgoutput-decoder"
WASM = ROOT / "target" / "wasm"
OUT = ROOT / "target" / "hosts"
RECORDINGS = OUT / "recordings"
LARGE = OUT / "large.pgrec"
EVENTS = 100_000
ATTEMPTS = 3
PATIENCE_S = 120.0

ENVIRONMENT = os.environ | {
    "PGOUTPUT_DECODER_WASM": str(WASM / "decoder.wasm"),
    "PGOUTPUT_DECODER_CORE_WASM": str(WASM / "decoder.core.wasm"),
    "PGOUTPUT_DECODER_RECORDINGS": str(RECORDINGS),
}

# What a shop writes: small transactions, rows that change and go, arrays and JSON. A deletion has
# a tombstone behind it.
SETUP = """
    CREATE TABLE orders (
        id bigint PRIMARY KEY, customer int NOT NULL, total numeric(12, 2), note text,
        tags text[], detail jsonb, placed timestamptz
    );
    CREATE PUBLICATION hosts FOR TABLE orders;
"""
WRITE = """
    DO $$ BEGIN FOR batch IN 0..599 LOOP
        INSERT INTO orders SELECT n, n % 977, n * 1.01, 'note ' || n, ARRAY['a', 'b ' || n],
            jsonb_build_object('n', n, 'of', 'order'), now()
            FROM generate_series(batch * 100 + 1, batch * 100 + 100) n;
        COMMIT;
    END LOOP; END $$;
    DO $$ BEGIN FOR batch IN 0..299 LOOP
        UPDATE orders SET total = total + 1, note = NULL
            WHERE id BETWEEN batch * 100 + 1 AND batch * 100 + 100;
        COMMIT;
    END LOOP; END $$;
    DELETE FROM orders WHERE id <= 5000;
"""


class HostsError(Exception):
    """A host cannot be built, or gives other events."""


@dataclass(frozen=True)
class Host:
    """One host: how it is built, tested and run."""

    name: str
    runs_on: str
    folder: Path
    build: tuple[tuple[str, ...], ...]
    test: tuple[str, ...]
    run: tuple[str, ...]
    needs: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Where it finds the decoder and the recordings."""
        return ENVIRONMENT | self.needs


@dataclass
class Row:
    """What a host came to."""

    host: Host
    equal: int = 0
    sha256: str = ""
    seconds: list[float] = field(default_factory=list)
    problem: str = ""


def hosts() -> list[Host]:
    """All of them; the first two are ours, to compare with."""
    ours = (str(ROOT / "target" / "release" / "examples" / "recorded"),)
    python = str(OUT / "python" / "bin" / "python")
    folder = ROOT / "hosts"
    # A crate tested alone would have its dependencies with other features, all compiled again.
    tests = ("--test", "records", "--test", "replaying")
    rust = ("cargo", "test", "--locked", "--release", *packages(), *tests)
    return [
        Host("native", "no sandbox", ROOT, (), (), (*ours, "--native")),
        Host("host", "wasmtime, ours", ROOT, (), (), ours),
        Host(
            "rust",
            "wasmtime",
            ROOT,
            (),
            rust,
            (str(ROOT / "target" / "release" / "pgoutput-decode"),),
        ),
        Host(
            "go",
            "wazero",
            folder / "go",
            (("go", "build", "-o", str(OUT / "decode-go"), "./cmd/pgoutput-decode"),),
            ("go", "test", "./..."),
            (str(OUT / "decode-go"),),
        ),
        Host(
            "node",
            "jco, V8",
            folder / "node",
            (("npm", "install", "--no-audit", "--no-fund"), ("npm", "run", "build")),
            ("npm", "test"),
            ("node", "dist/main.js"),
        ),
        Host(
            "java",
            "Chicory",
            folder / "java",
            (("mvn", "-q", "-B", "-DskipTests", "package"),),
            ("mvn", "-q", "-B", "test"),
            ("./run",),
            # Its compiler knows no SIMD.
            {"PGOUTPUT_DECODER_CORE_WASM": str(WASM / "decoder.core.plain.wasm")},
        ),
        Host(
            "python-wasmtime",
            "wasmtime",
            folder / "python-wasmtime",
            (
                (sys.executable, "-m", "venv", str(OUT / "python")),
                (python, "-m", "pip", "install", "-q", "-r", "requirements.txt", "-e", "."),
            ),
            (python, "-m", "pytest", "-q"),
            (python, "-m", "pgoutput_decoder_wasmtime"),
        ),
    ]


def packages() -> tuple[str, ...]:
    """The crates that are built together, so that nothing is compiled twice."""
    names = (
        "pgoutput-decoder-host",
        "pgoutput-decoder-python",
        "pgoutput-decoder-tests",
        "pgoutput-decoder-example",
    )
    return tuple(part for name in names for part in ("--package", name))


def do(command: tuple[str, ...], host: Host, attempts: int = 1) -> None:
    """Runs a command; its output is shown where it fails."""
    for attempt in range(attempts):
        done = subprocess.run(
            command,
            cwd=host.folder,
            env=host.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        if attempt + 1 < attempts:
            time.sleep(5 * (attempt + 1))
    print(done.stdout, file=sys.stderr)
    raise HostsError(f"{' '.join(command[:4])}… fails: {host.name}")


def record_vectors() -> dict[str, dict[str, object]]:
    """Makes a recording of each capture; what our command gives for it, by name."""
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    for old in RECORDINGS.iterdir():
        old.unlink()
    expected = {}
    for folder in sorted(path for path in VECTORS.iterdir() if path.is_dir()):
        about = json.loads((folder / "capture.json").read_text(encoding="utf-8"))
        options = about.get("debezium_config", {})
        options |= json.loads((folder / "connector.json").read_text(encoding="utf-8"))
        if "database" in about:
            options["database.dbname"] = about["database"]
        file = OUT / "options.json"
        file.write_text(json.dumps(options), encoding="utf-8")
        for capture in sorted(folder.glob("pgoutput*.jsonl")):
            name = folder.name + capture.stem.removeprefix("pgoutput")
            at = "end" if about.get("mode") == "posthoc" else "stream"
            done = subprocess.run(
                (
                    *(COMMAND, "decode", "--capture", capture),
                    *("--catalog", folder / "catalog.json", "--catalog-at", at),
                    *("--options", file, "--engine", "native"),
                    *("--record", RECORDINGS / f"{name}.pgrec"),
                ),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            expected[name] = {
                "events": done.stdout.count(b"\n"),
                "sha256": hashlib.sha256(done.stdout).hexdigest(),
                "code": done.returncode,
            }
    text = json.dumps(expected, indent=1)
    (RECORDINGS / "expected.json").write_text(text, encoding="utf-8")
    return expected


def record_large(url: str) -> None:
    """Records 100,000 events from the server, as a user does."""
    LARGE.unlink(missing_ok=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b"DROP PUBLICATION IF EXISTS hosts")
        connection.execute(b"DROP TABLE IF EXISTS orders")
        connection.execute(SETUP.encode())
        recorder = subprocess.Popen(
            (
                *(COMMAND, "record", url, "--slot", "hosts", "--create-slot=temporary"),
                *("--publication", "hosts", "--format", "debezium", "--out", LARGE),
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        slot = b"SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'hosts' AND active"
        wait_until(lambda: connection.execute(slot).fetchone() == (1,))
        for statement in WRITE.split("$$;"):
            connection.execute((statement + ("$$" if "$$" in statement else "")).encode())
        end = connection.execute(b"SELECT pg_current_wal_lsn()").fetchone()
        assert end is not None
        caught_up = (
            b"SELECT count(*) FROM pg_replication_slots"
            b" WHERE slot_name = 'hosts' AND confirmed_flush_lsn >= '" + end[0].encode() + b"'"
        )
        wait_until(lambda: connection.execute(caught_up).fetchone() == (1,))
        recorder.send_signal(signal.SIGTERM)
        _, said = recorder.communicate(timeout=PATIENCE_S)
        if recorder.returncode != 0 or f"{EVENTS} events" not in said:
            raise HostsError(f"record: {said}")
        connection.execute(b"DROP PUBLICATION hosts")
        connection.execute(b"DROP TABLE orders")


def wait_until(done: Callable[[], bool]) -> None:
    """Waits for what must come."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > PATIENCE_S:
            raise HostsError("the server or the recorder does not go on")
        time.sleep(0.05)


def digest(row: Row, expected: dict[str, dict[str, object]]) -> None:
    """Has a host decode everything, and compares."""
    files = sorted(RECORDINGS.glob("*.pgrec"))
    done = subprocess.run(
        (*row.host.run, "--digest", *files, LARGE),
        cwd=row.host.folder,
        env=row.host.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    found = {}
    for line in done.stdout.splitlines():
        said = json.loads(line)
        found[said["file"].removesuffix(".pgrec")] = said
    for name, wanted in expected.items():
        said = found.get(name, {})
        same = (said.get("events"), said.get("sha256")) == (wanted["events"], wanted["sha256"])
        row.equal += same and ("error" in said) == (wanted["code"] != 0)
    row.sha256 = found.get("large", {}).get("sha256", "")
    if row.equal < len(expected) or not row.sha256:
        row.problem = (done.stderr.strip().splitlines() or ["other events"])[-1]


def measure(row: Row) -> None:
    """One median of the host's own."""
    done = subprocess.run(
        (*row.host.run, "--bench", LARGE),
        cwd=row.host.folder,
        env=row.host.environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    row.seconds.append(said["seconds"])


def table(rows: list[Row], count: int) -> str:
    """The table, for people and for Markdown alike."""
    native = statistics.median(rows[0].seconds)
    lines = [
        "| host | runs on | recordings equal | events/s | of the native | sha256 of 100,000 |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.seconds:
            seconds = statistics.median(row.seconds)
            speed = f"{EVENTS / seconds:,.0f} | {native / seconds:.2f}"
        else:
            speed = "- | -"
        name, on = row.host.name, row.host.runs_on
        equal = f"{row.equal} of {count}"
        lines.append(f"| {name} | {on} | {equal} | {speed} | `{row.sha256[:16]}` |")
    return "\n".join(lines)


def main() -> int:
    """Builds, compares, measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", default=[], help="a host; may be repeated")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    chosen = [host for host in hosts() if not arguments.only or host.name in arguments.only]
    if "native" not in [host.name for host in chosen]:
        chosen.insert(0, hosts()[0])
    print("recording every vector, and 100,000 events of a server", flush=True)
    expected = record_vectors()
    record_large(os.environ["PGOUTPUT_TEST_URL"])
    rows = []
    for host in chosen:
        row = Row(host)
        rows.append(row)
        began = time.monotonic()
        try:
            for command in host.build:
                do(command, host, ATTEMPTS)
            if host.test:
                do(host.test, host)
            digest(row, expected)
        except (HostsError, OSError) as error:
            row.problem = str(error)
        spent = time.monotonic() - began
        print(f"{host.name}: {row.problem or 'as expected'} ({spent:.0f} s)", flush=True)
    for _ in range(arguments.rounds):
        for row in rows:
            if row.sha256:
                measure(row)
    text = table(rows, len(expected))
    print(f"\n{text}")
    (OUT / "table.md").write_text(text + "\n", encoding="utf-8")
    hashes = {row.sha256 for row in rows}
    failed = [row.host.name for row in rows if row.problem]
    if len(hashes) > 1 or failed:
        print(f"\nnot the same everywhere: {', '.join(failed)}", file=sys.stderr)
        return 1
    print("\nthe same everywhere")
    return 0


if __name__ == "__main__":
    sys.exit(main())
