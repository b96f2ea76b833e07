"""The gate of make budget: what it lets pass, and what it writes."""

from __future__ import annotations

import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "scripts/budget"


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program as a module."""
    spec = spec_from_loader("budget", SourceFileLoader("budget", str(PROGRAM)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Where its dataclass looks for itself; and no compiled file beside it.
    monkeypatch.setitem(sys.modules, "budget", module)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("recorded", "counted", "verdict"),
    [
        (1000, 1029, ""),
        (1000, 1031, "MORE"),
        (1000, 971, ""),
        (1000, 969, "LESS"),
        (None, 1000, "NEW"),
        (1000, None, "GONE"),
    ],
)
def test_a_budget_holds_in_both_directions(
    budget: Any, recorded: int | None, counted: int | None, verdict: str
) -> None:
    budgets = {} if recorded is None else {("a", "b"): recorded}
    counts = {} if counted is None else {("a", "b"): counted}
    [row] = budget.compare(budgets, counts)
    assert row.verdict == verdict
    tools = {"rustc": "1"}
    assert budget.judge([row], tools, tools) == int(verdict != "")
    assert budget.judge([row], tools, {"rustc": "2"}) == int(verdict in ("NEW", "GONE"))


def test_the_file_says_what_was_counted(budget: Any) -> None:
    counts = {("native", "debezium", 'W1, "six" columns'): 3526, ("reading", "debezium", "W1"): 7}
    file = tomllib.loads(budget.written(counts, {"valgrind": "valgrind-3"}))
    assert file.pop("recorded_with") == {"valgrind": "valgrind-3"}
    assert dict(budget.recorded(file)) == counts


def test_the_budgets_are_there(budget: Any) -> None:
    file = tomllib.loads(budget.BUDGETS.read_text(encoding="utf-8"))
    file.pop("recorded_with")
    assert {place[0] for place, _ in budget.recorded(file)} == {"native", "component", "reading"}


def test_valgrind_that_counted_nothing_is_no_result(budget: Any, tmp_path: Path) -> None:
    file = tmp_path / "native.out.2"
    with pytest.raises(budget.BudgetError, match="no counts"):
        budget.total(file)
    file.write_text("summary: 12\ntotals: 34\n", encoding="utf-8")
    assert budget.total(file) == 34
