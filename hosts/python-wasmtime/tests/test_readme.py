import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]


def test_its_examples_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(FOLDER)
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
        assert capsys.readouterr().out
    assert len(examples) == 2
