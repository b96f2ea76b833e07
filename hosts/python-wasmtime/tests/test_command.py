import hashlib
import json
from pathlib import Path

import forge
import pytest
from pgoutput_decoder_wasmtime.__main__ import main

FRAMES = b"".join(forge.transactions(1, 3))
GOOD = forge.recording(forge.block(forge.FRAMES, FRAMES))


@pytest.fixture(name="files")
def fixture_files(tmp_path: Path) -> list[str]:
    good, cut = tmp_path / "good.pgrec", tmp_path / "cut.pgrec"
    good.write_bytes(GOOD)
    cut.write_bytes(GOOD[:-1])
    return [str(cut), str(good)]


def test_lines(files: list[str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(files) == 1
    out, error = capfdbinary.readouterr()
    lines = out.splitlines(keepends=True)
    assert lines[:3] == lines[3:]
    assert list(json.loads(lines[0])) == ["topic", "key", "value", "headers"]
    assert error.startswith(f"{files[0]}: block 4 at byte ".encode())
    assert main(files[1:]) == 0


def test_line_breaks_of_embedded_json_are_spaces(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    json_oid = 114
    columns = {"id": forge.INT8, "data": json_oid}
    values = ["1", '{"a":\r\n"b\\n"}']
    frames = [forge.begin(8, 1), forge.relation(columns), forge.insert(1, 4, values=values)]
    head = forge.head(options={**forge.OPTIONS, "format": "native"})
    blocks = [forge.MAGIC, head, forge.facts(columns=columns)]
    blocks += [forge.block(forge.FRAMES, b"".join([*frames, forge.commit(8)]))]
    path = tmp_path / "json.pgrec"
    path.write_bytes(b"".join([*blocks, forge.block(forge.END)]))
    assert main([str(path)]) == 0
    out, _ = capfdbinary.readouterr()
    assert out.count(b"\n") == 1
    assert b'{"a":  "b\\n"}' in out


def test_digest(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--digest", *files, str(Path(files[0]).with_name("none.pgrec"))]) == 1
    cut, good, none = map(json.loads, capsys.readouterr().out.splitlines())
    assert main(files[1:]) == 0
    lines = capsys.readouterr().out.encode()
    assert good == {
        "file": "good.pgrec",
        "events": 3,
        "sha256": hashlib.sha256(lines).hexdigest(),
    }
    assert cut == {**good, "file": "cut.pgrec", "error": cut["error"]}
    assert "block 4" in cut["error"]
    assert none["events"] == 0


def test_bench(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bench", files[1]]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["file"], report["events"]) == ("good.pgrec", 3)
    assert report["seconds"] > 0
    assert main(["--bench", files[0]]) == 1
