"""Runs what needs a server on every version of PostgreSQL and prints a table: make test-versions.

    tests/versions.py [--only PATTERN] [--jobs 2] [VERSION...]

What a version cannot do is not run there: `versions.toml` says what, since when it can, and why.
The Python package must be installed in .venv. Each suite's output is kept in target/versions.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from postgres import Server
from postgres_programs import REPOSITORY, versions

LOGS = REPOSITORY / "target" / "versions"
RULES = Path(__file__).with_suffix(".toml")
PACKAGES = ("pgoutput-decoder-host", "pgoutput-decoder-python", "pgoutput-decoder-tests")
# Integration tests that need no server, or start those they want: the same on every version.
INDEPENDENT = frozenset({"agreement", "chaos", "sandbox", "tidy", "vectors"})
PYTHON = "python"
SUITE_TIMEOUT_S = 1800
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;", re.MULTILINE)
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED", re.MULTILINE)


@dataclass(frozen=True)
class Suite:
    """Tests that are run by one command; their names begin with the suite's."""

    name: str
    command: tuple[str, ...]
    directory: Path
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """Tests that are not run before a version."""

    before: int
    reason: str
    tests: tuple[str, ...]

    def is_about(self, test: str) -> bool:
        """Whether a test is one of its."""
        return any(fnmatch.fnmatchcase(test, pattern) for pattern in self.tests)


@dataclass
class Row:
    """What became of the tests on one version."""

    version: str
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    not_applicable: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def printed(self) -> str:
        """A line of the table."""
        run = self.passed + len(self.failed)
        absent = sum(len(tests) for tests in self.not_applicable.values())
        return (
            f"{self.version:>10} {run:>6} {self.passed:>7} {len(self.failed):>7} {absent:>15}"
            f" {self.seconds:>8.0f}"
        )


HEADING = (
    f"{'PostgreSQL':>10} {'run':>6} {'passed':>7} {'failed':>7} {'not applicable':>15} {'s':>8}"
)


def rust_suites() -> list[Suite]:
    """The integration tests that need a server, built."""
    packages = [word for name in PACKAGES for word in ("--package", name)]
    built = subprocess.run(
        ["cargo", "test", "--no-run", "--locked", "--release", "--message-format=json", *packages],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    suites = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        target = message.get("target", {})
        if target.get("kind") != ["test"] or target["name"] in INDEPENDENT:
            continue
        program = message["executable"]
        listed = subprocess.run(
            [program, "--list", "--format=terse"], stdout=subprocess.PIPE, text=True, check=True
        )
        tests = (line.removesuffix(": test") for line in listed.stdout.splitlines())
        suites.append(
            Suite(
                name=target["name"],
                command=(program,),
                directory=Path(message["manifest_path"]).parent,
                tests=tuple(f"{target['name']}::{test}" for test in tests),
            )
        )
    return suites


def python_suite() -> Suite:
    """The Python package's tests."""
    command = (sys.executable, "-m", "pytest", "python/tests")
    listed = subprocess.run(
        [*command, "--collect-only", "-q"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    tests = [line for line in listed.stdout.splitlines() if "::" in line]
    names = tuple(f"{PYTHON}::{test.removeprefix('tests/')}" for test in tests)
    return Suite(PYTHON, command, REPOSITORY, names)


def run(suite: Suite, left_out: Sequence[str], server: Server) -> tuple[int, list[str]]:
    """How many of its tests passed, and which failed."""
    log = LOGS / f"{server.version}-{suite.name}.log"
    report = log.with_suffix(".xml")
    if suite.name == PYTHON:
        names = (test.removeprefix(f"{PYTHON}::") for test in left_out)
        options = [f"--deselect=tests/{name}" for name in names]
        options.append(f"--junitxml={report}")
    else:
        names = (test.removeprefix(f"{suite.name}::") for test in left_out)
        options = [word for name in names for word in ("--skip", name)]
        options.append("--exact")
    with log.open("wb") as output:
        status = subprocess.run(
            [*suite.command, *options],
            cwd=suite.directory,
            env={**os.environ, **server.environment()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=SUITE_TIMEOUT_S,
            check=False,
        ).returncode
    if suite.name == PYTHON:
        passed, failed = of_junit(report)
    else:
        text = log.read_text(errors="replace")
        result = RESULT.search(text)
        passed = int(result[1]) if result else 0
        failed = FAILED.findall(text)
    if status != 0 and not failed:
        failed = [f"(exit code {status})"]
    return passed, [f"{suite.name}::{name}" for name in failed]


def of_junit(report: Path) -> tuple[int, list[str]]:
    """What pytest reported: a skipped test has not passed."""
    if not report.exists():
        return 0, []
    passed = 0
    failed = []
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case} & {"failure", "error", "skipped"}
        if outcomes & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif not outcomes:
            passed += 1
    return passed, failed


def on_version(version: str, suites: Sequence[Suite], rules: Sequence[Rule]) -> Row:
    """Runs everything that this version can do."""
    row = Row(version)
    began = time.monotonic()
    for suite in suites:
        left_out = []
        for rule in rules:
            if int(version) >= rule.before:
                continue
            tests = [t for t in suite.tests if rule.is_about(t) and t not in left_out]
            row.not_applicable.setdefault(rule.reason, []).extend(tests)
            left_out += tests
        # A server for each: what one suite leaves behind is not the next one's.
        with Server(version=version) as server:
            passed, failed = run(suite, left_out, server)
        row.passed += passed
        row.failed += failed
        print(f"PostgreSQL {version}, {suite.name}: {passed} passed, {len(failed)} failed")
        for name in failed:
            print(
                f"    failed: {name}, see {LOGS.relative_to(REPOSITORY)}/{version}-{suite.name}.log"
            )
        sys.stdout.flush()
    row.seconds = time.monotonic() - began
    return row


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="The tests on every version of PostgreSQL")
    parser.add_argument("--only", default="*", help="suites, by a pattern")
    parser.add_argument("--jobs", type=int, default=1, help="versions at a time")
    parser.add_argument("version", nargs="*", default=versions())
    asked = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    rules = [
        Rule(rule["before"], rule["reason"], tuple(rule["tests"]))
        for rule in tomllib.loads(RULES.read_text(encoding="utf-8"))["not_applicable"]
    ]
    everything = [*rust_suites(), python_suite()]
    names = [test for suite in everything for test in suite.tests]
    stale = [
        pattern for rule in rules for pattern in rule.tests if not fnmatch.filter(names, pattern)
    ]
    if stale:
        print(f"{RULES.name}: no test matches {', '.join(stale)}", file=sys.stderr)
        return 1
    suites = [suite for suite in everything if fnmatch.fnmatchcase(suite.name, asked.only)]
    with ThreadPoolExecutor(asked.jobs) as pool:
        rows = list(pool.map(lambda version: on_version(version, suites, rules), asked.version))
    print()
    for row in rows:
        for reason, tests in row.not_applicable.items():
            if tests:
                print(f"not run on PostgreSQL {row.version}: {reason} ({len(tests)} tests)")
    print(f"\n{HEADING}")
    for row in rows:
        print(row.printed())
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
