"""All recordings of the folder that `PGOUTPUT_DECODER_RECORDINGS` names, and what they come to."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from pgoutput_decoder_wasmtime import JsonLines, Recording

VARIABLE = "PGOUTPUT_DECODER_RECORDINGS"
FOLDER = Path(os.environ.get(VARIABLE, ""))


def expected() -> dict[str, dict[str, int | str]]:
    if VARIABLE not in os.environ:
        return {}
    answers: dict[str, dict[str, int | str]] = json.loads(
        (FOLDER / "expected.json").read_text(encoding="utf-8")
    )
    return answers


@pytest.mark.parametrize(("name", "answer"), expected().items(), ids=expected())
def test_events_are_those_of_every_host(name: str, answer: dict[str, int | str]) -> None:
    lines = JsonLines()
    found = [lines.line(event) for event in Recording(FOLDER / f"{name}.pgrec")]
    digest = hashlib.sha256(b"".join(found)).hexdigest()
    assert (len(found), digest) == (answer["events"], answer["sha256"])
