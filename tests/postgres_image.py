"""Container images with a server, made here without an image registry: scripts/postgres image.

The fetched programs of a version, a shell, the libraries both need from this machine, and
`image/Dockerfile`. An image is made once: its tag is what it is made of.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import docker
import requests
from postgres_programs import ServerError, fetched_programs, versions
from testcontainers.core.docker_client import DockerClient

RECIPE = Path(__file__).with_name("image")
NAME = "pgoutput-decoder-postgres"
SHELL = Path("/bin/sh")
USER = "postgres:x:999:999::/tmp:/bin/sh\n"
GROUP = "postgres:x:999:\n"
# Reached through a mapped port.
SETTINGS: Mapping[str, str] = {"listen_addresses": "*", "port": "5432"}
# A library and where the dynamic linker finds it, or the linker itself.
LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
BUILD_TIMEOUT_S = 300


class DockerAbsentError(ServerError):
    """There is no Docker here, or it does not answer."""

    exit_code = 69  # EX_UNAVAILABLE, sysexits.h


def image(version: str | None, settings: Mapping[str, str]) -> str:
    """The name of the image with a server of this major version, the newest if not given.

    It is made if need be.
    """
    client = answering_docker()
    programs = fetched_programs(version or versions()[-1])
    configuration = "".join(f"{k} = '{v}'\n" for k, v in {**settings, **SETTINGS}.items())
    recipe = hashlib.sha256(configuration.encode())
    for path in (Path(__file__), *sorted(RECIPE.iterdir())):
        recipe.update(path.read_bytes())
    name = f"{NAME}:{programs.parent.name}-{recipe.hexdigest()[:12]}"
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        with tempfile.TemporaryDirectory() as directory:
            context = Path(directory)
            fill(context, programs.parent, configuration)
            try:
                client.images.build(path=directory, tag=name, rm=True, timeout=BUILD_TIMEOUT_S)
            except docker.errors.DockerException as error:
                raise ServerError(f"Docker cannot make {name}: {error}") from error
    return name


def answering_docker() -> docker.DockerClient:
    """The client that testcontainers would use, whose server answers."""
    try:
        client = DockerClient().client
        client.ping()
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise DockerAbsentError(f"Docker does not answer: {error}") from error
    return client


def fill(context: Path, tree: Path, configuration: str) -> None:
    """Puts in `context` what the Dockerfile wants: all files of the image, in `root`."""
    root = context / "root"
    server = root / "postgres"
    unneeded = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs")
    shutil.copytree(tree, server, symlinks=True, ignore=unneeded)
    shutil.copy(RECIPE / "entrypoint.sh", server)
    (server / "settings.conf").write_text(configuration, encoding="utf-8")
    shutil.copy(RECIPE / "Dockerfile", context)
    # initdb wants a shell, and to know its user's name.
    (root / "bin").mkdir()
    shutil.copy(SHELL, root / "bin" / "sh")
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text(USER, encoding="utf-8")
    (root / "etc" / "group").write_text(GROUP, encoding="utf-8")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    programs = [SHELL, *(tree / "bin").iterdir(), *(tree / "lib").rglob("*.so")]
    for library in libraries(programs, tree / "lib"):
        copy = root / library.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, copy)


def libraries(programs: Iterable[Path], own: Path) -> Iterator[Path]:
    """This machine's libraries that the programs and libraries are linked with.

    Some languages' libraries are missing: those languages are not there, then.
    """
    # ldd fails for what is not linked dynamically, which needs nothing.
    said = subprocess.run(
        ["ldd", *programs],
        env={**os.environ, "LD_LIBRARY_PATH": str(own), "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    ).stdout
    for library in sorted(set(LIBRARY.findall(said))):
        if not Path(library).is_relative_to(own):
            yield Path(library)
