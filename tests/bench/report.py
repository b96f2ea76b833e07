"""BENCHMARKS.md and the pictures in docs/bench, of target/bench/bench.json: python -m bench.report.

Nothing is measured here, so a run can be put into other words without another hour.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from typing import Any

from bench.figures import Bar, Bars, Figure, Plot, figures_table, middle, number, table
from bench.peers import FOLDER, REPOSITORY
from bench.plot import draw

PAGE = REPOSITORY / "BENCHMARKS.md"
PICTURES = REPOSITORY / "docs" / "bench"
INTRODUCTION = """\
How fast this project is, beside its peers, on one machine in one run. All of this page is written
by `make bench`; its figures depend on the machine, and on what else that does: run it on yours.

Every client reads the same WAL: a base slot is made before a workload is written, and each reads a
copy of it, in a process of its own, by turns, forwards in one round and backwards in the next.
Server and client share the machine. A time is from before a client connects to its last event; a
figure is the median of all rounds; a ratio is the median of those of what ran in the same round."""
COLUMNS = """\
- *makes*: what is compared with what. **counts** looks at nothing of a change but its kind, or at
  nothing a program would use; **objects** has each value in the language's own type, as far as the
  client knows types; **JSON** has a text of each change. Work differs within these, too: the table
  above says how.
- *÷ recvlogical*, *÷ best alike*: the time for an event as a share of that of `pg_recvlogical`,
  and of the fastest peer that makes the same; less is better. Clients that ran once are not among
  the peers for the latter.
- *user*, *system*: the client's CPU for an event. *walsender*: the server's. A client that reads
  as soon as something is there makes the server send in small pieces, and both pay for it.
- *then*: behind the first event, without connecting and the server's way to it.
- *RSS*: the most of all rounds."""
CEILING = """\
What the client alone can do: a relay sends a recording of the workload as fast as the client takes
it, so no server decodes anything meanwhile. *then events/s* is what a client goes on with once it
has connected. Debezium is not here: it asks for replication twice, and the recording is sent once.
Nor are clients whose difference lies in the server: binary, TLS, protocol versions."""
HOW = """\
`make bench` takes an hour and writes this page; `make bench-quick` some minutes, and shows that all
of it works; `make bench-python` measures the clients in Python alone. A peer that cannot be had is
left out, with its reason. All runs, round by round, are in `target/bench/bench.json`; `python -m
bench --help` lists the options (`PYTHONPATH=tests`), `python -m bench.report` writes this page anew
from that file. The clients are in [tests/bench/clients](tests/bench/clients) and
[host/examples/reader.rs](host/examples/reader.rs)."""


def publish(report: dict[str, Any]) -> None:
    """Writes page and pictures."""
    figures = [Figure(**figure) for section in report["sections"] for figure in section["figures"]]
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    parts = [
        "# Benchmarks",
        INTRODUCTION,
        table(["", ""], provenance(report)),
        *(["## At a glance", kept(figures), overview(report)] if report["runs"] else []),
        "## Who reads",
        clients(report["clients"]),
        "\n".join(f"- {name} is left out: {why}" for name, why in report["left_out"].items()),
        COLUMNS,
    ]
    for section in report["sections"]:
        parts.append(f"## {section['title']}")
        if "ceiling" in section["title"]:
            parts.append(CEILING)
        parts += [picture(plot) for plot in section["plots"]]
        parts.append(section["text"].strip())
    parts += ["## Beside what is promised", figures_table(figures), "## How to run it", HOW]
    PAGE.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def kept(figures: list[Figure]) -> str:
    """How many promises this run kept."""
    verdicts = [figure.verdict for figure in figures]
    kept, missed = verdicts.count("pass"), verdicts.count("MISSED")
    return (
        f"Of {kept + missed} promises this run kept {kept}; each is"
        " [below](#beside-what-is-promised). Events a second, medians, server and client on one"
        " machine:"
    )


def overview(report: dict[str, Any]) -> str:
    """Everybody's speed, workload by workload."""
    rates: dict[tuple[str, str], list[float]] = {}
    for run in report["runs"]:
        where = run["workload"].upper() + (" ceiling" if run["where"] == "ceiling" else "")
        rate = run["total"]["events"] / run["total"]["wall_s"]
        rates.setdefault((run["client"], where), []).append(rate)
    columns = sorted({where for _, where in rates}, key=lambda where: (len(where), where))
    rows = []
    for client in report["clients"]:
        name = client["name"]
        medians = [middle(rates.get((name, where), [])) for where in columns]
        if any(medians):
            rows.append([name, client["makes"], *map(number, medians)])
    return table(["client", "makes", *columns], rows)


def provenance(report: dict[str, Any]) -> list[list[str]]:
    """Where, when and of what."""
    facts = {
        "date": f"{when(report['began'])} to {when(report['ended'])}, UTC",
        "command": f"`{report['command'].strip()}`",
        "commit": report["commit"],
        **report["machine"],
        **report["versions"],
        "rounds": report["rounds"],
    }
    return [[name, str(value)] for name, value in facts.items()]


def when(moment: str) -> str:
    """A time for people."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M}"


def clients(rows: list[dict[str, Any]]) -> str:
    """What each of them does."""
    what = [[row["name"], row["makes"], remark(row), row["does"]] for row in rows]
    return table(["client", "makes", "", "what it does"], what)


def remark(row: dict[str, Any]) -> str:
    """Whose it is, and how much of the work it gets."""
    whose = {"host": "ours, Rust", "python": "ours, Python", "peer": "peer"}[row["of"]]
    if row["part"]:
        return f"{whose}; one round, a part"
    return f"{whose}; one round" if row["once"] else whose


def picture(values: dict[str, Any]) -> str:
    """Draws one, and shows it."""
    if "bars" in values:
        plot: Plot | Bars = Bars(**{**values, "bars": [Bar(**bar) for bar in values["bars"]]})
    else:
        plot = Plot(**values)
    path = PICTURES / f"{plot.name}.svg"
    path.write_text(draw(plot), encoding="utf-8")
    return f"![{plot.title}]({path.relative_to(REPOSITORY)})"


def main() -> None:
    """Of the last run."""
    publish(json.loads((FOLDER / "bench.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
