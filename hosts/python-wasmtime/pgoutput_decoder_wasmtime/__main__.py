"""Events of recordings, as lines of JSON."""

import argparse
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path

from .errors import Error
from .json_lines import JsonLines
from .recording import Recording

_PASSES = 5


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code is 1 if a file had an error."""
    parser = argparse.ArgumentParser(prog="pgoutput_decoder_wasmtime", description=__doc__)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--digest", action="store_true", help="a hash of each file's lines instead")
    forms.add_argument("--bench", action="store_true", help="how long a pass takes instead")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    run = _digest if given.digest else _bench if given.bench else _lines
    return max([run(path) for path in given.files])


def _lines(path: Path) -> int:
    lines, write = JsonLines(), sys.stdout.buffer.write
    try:
        for event in Recording(path):
            write(lines.line(event))
    except (Error, OSError) as error:
        sys.stdout.flush()
        sys.stderr.write(f"{path}: {_text(error)}\n")
        return 1
    return 0


def _digest(path: Path) -> int:
    lines, events, sha256, failure = JsonLines(), 0, hashlib.sha256(), {}
    try:
        for event in Recording(path):
            sha256.update(lines.line(event))
            events += 1
    except (Error, OSError) as error:
        failure = {"error": _text(error)}
    digest = {"file": path.name, "events": events, "sha256": sha256.hexdigest(), **failure}
    sys.stdout.write(json.dumps(digest) + "\n")
    return 1 if failure else 0


def _bench(path: Path) -> int:
    seconds = []
    try:
        events = _walk(path)
        for _ in range(_PASSES):
            start = time.perf_counter()
            _walk(path)
            seconds.append(time.perf_counter() - start)
    except (Error, OSError) as error:
        sys.stderr.write(f"{path}: {_text(error)}\n")
        return 1
    median = round(statistics.median(seconds), 6)
    sys.stdout.write(json.dumps({"file": path.name, "events": events, "seconds": median}) + "\n")
    return 0


def _text(error: Exception) -> str:
    return ", ".join([str(error), *getattr(error, "__notes__", [])])


def _walk(path: Path) -> int:
    events = 0
    for event in Recording(path):
        _ = event.topic, event.key, event.value, event.headers
        events += 1
    return events


if __name__ == "__main__":
    sys.exit(main())
