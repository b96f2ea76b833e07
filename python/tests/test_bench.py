"""The statistics of make bench: what would make a figure look better than it is."""

from __future__ import annotations

import importlib
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import load_postgres

load_postgres()  # the folder bench is in
figures: Any = importlib.import_module("bench.figures")
plot: Any = importlib.import_module("bench.plot")
programs: Any = importlib.import_module("bench.programs")
roster: Any = importlib.import_module("bench.roster")
CLIENTS = {client.name: client for client in roster.CLIENTS}
OP = CLIENTS["message.op"]


def took(wall_s: float) -> Any:
    """A thousand events."""
    return programs.Took(1000, wall_s, user_s=0.5, system_s=0.25)


def test_ratios_are_of_one_round() -> None:
    """Whoever ran in the slow round only is not slower for it."""
    both = {
        (0, OP.name): took(1.0),
        (0, roster.BASELINE): took(10.0),
        (1, OP.name): took(5.0),
        (1, roster.BASELINE): took(50.0),
        (2, OP.name): took(1.0),
        (2, roster.BASELINE): took(30.0),
        (3, OP.name): took(1.0),
    }
    speed = figures.speed(OP, both, [OP, CLIENTS[roster.BASELINE]])
    assert speed.times_baseline == pytest.approx(10)
    assert speed.rate == pytest.approx(1000)
    assert speed.user_us == pytest.approx(500)
    assert speed.system_us == pytest.approx(250)


def test_the_fastest_peer_is_known_when_all_have_run() -> None:
    clients = [OP, CLIENTS["psycopg2 raw"], CLIENTS["psycopg2 typed"], CLIENTS["Debezium"]]
    took_s = {(0, OP.name): took(1.0), (0, "psycopg2 raw"): took(2.0)}
    assert figures.speed(OP, took_s, clients).of_peers is None
    took_s[0, "psycopg2 typed"] = took(0.5)
    speed = figures.speed(OP, took_s, clients)
    assert speed.of_peers == speed.of_python == pytest.approx(2)


def test_who_makes_the_same_is_alike() -> None:
    """Counting is not compared with making JSON, nor a peer with itself."""
    clients = [
        CLIENTS[name] for name in (roster.JSON, "psycopg2 raw", "psycopg2 json", "pglogrepl json")
    ]
    took_s = {(0, client.name): took(s) for client, s in zip(clients, (4, 1, 8, 2), strict=True)}
    assert figures.speed(clients[0], took_s, clients).of_alike == pytest.approx(2)
    assert figures.speed(clients[0], took_s, clients).of_peers == pytest.approx(4)
    assert figures.speed(clients[2], took_s, clients).of_alike == pytest.approx(4)


def test_percentiles() -> None:
    values = list(range(1, 1001))
    shares = (0.5, 0.99, 0.999, 1)
    assert [figures.percentile(values, share) for share in shares] == [500, 990, 999, 1000]
    assert figures.percentile([7], 0.5) == 7


@pytest.mark.parametrize(
    ("measured", "bound", "at_least", "verdict"),
    [
        (15.0, 15.0, True, "pass"),
        (14.9, 15.0, True, "MISSED"),
        (1.2, 1.2, False, "pass"),
        (1.3, 1.2, False, "MISSED"),
        (None, 1.2, False, "not measured"),
        (3.0, None, True, ""),
    ],
)
def test_verdicts(measured: float, bound: float, at_least: bool, verdict: str) -> None:
    assert figures.Figure("", measured, bound, at_least, "").verdict == verdict


def test_pictures_are_well_formed() -> None:
    bar = figures.Bar("a < b & c", 2_000_000.0, "host")
    least = figures.Bar("", 0.001, "peer")
    points = {"library, p50": [(1.0, 2.0), (1000.0, 0.2)], "library, p99": [(1.0, 2.0)]}
    for picture in (
        figures.Bars("", "<title>", "µs", [bar, least], log=True, less_is_better=True),
        figures.Bars("", "", "", [bar]),
        figures.Plot("", "", "x", "y", points, log_x=True),
        figures.Plot("", "", "x", "y", {"one": [(1.0, 1.0)]}, log_y=True),
    ):
        drawn = plot.draw(picture)
        assert ElementTree.fromstring(drawn).attrib["viewBox"]
        assert "nan" not in drawn


def test_numbers_are_to_the_right_and_words_are_not() -> None:
    rows = [["W1", "≥ 1.50", "pass"], ["W2", "-", "MISSED"]]
    rule = figures.table(["figure", "promised", ""], rows).splitlines()[1]
    assert [cell.strip()[-1] for cell in rule.strip("|").split("|")] == ["-", ":", "-"]
