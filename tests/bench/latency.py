"""From commit to whoever reads: how long a change is on its way."""

from __future__ import annotations

from statistics import median

from bench.effort import Effort
from bench.figures import Figure, Plot, Section, number, percentile, table
from bench.programs import Programs
from bench.workload import SMALL, SMALL_ROW, Place

DATABASE = "pace"
LIBRARY = "library"
# Which of `Programs.commands` each is, and what that is told.
CLIENTS = {
    LIBRARY: ("reader", ("pace",)),
    "Python package": ("python", ("bench.clients.conduct", "pace", "0")),
    "psycopg2 typed": ("psycopg2", ("bench.clients.psycopg2_pace",)),
}
# Slow enough for each change to come alone: half of them are there sooner than the shortest wait
# of host/src/pace.rs would end.
ALONE_MAX = 1_000
ALONE_MS_MAX = 1.0
SHARES = (0.5, 0.9, 0.99, 0.999)
TEXT = """Milliseconds from a transaction's commit, by the server's clock, until its row is in the
consumer's hands: in `next_batch()`'s batch, in the body of `async for`, in psycopg2's callback.
Each transaction has one row; clients take turns, {rounds} each at every rate. The commit's time is
from before its WAL is written, which is part of the way. Nothing waits for company: a batch holds
what has come, be it one event, and only a stream that keeps coming is read some milliseconds at a
time. The server does not wait for its disk (`fsync=off`).

"""


def section(programs: Programs, effort: Effort) -> Section:
    """At each rate: transactions a second."""
    place = programs.place
    place.create(DATABASE, SMALL)
    clients = {name: client for name, client in CLIENTS.items() if client[0] in programs.commands}
    head = ["commit to consumer, ms", "written tx/s", "events"]
    head += [f"p{share * 100:g}" for share in SHARES]
    rows = []
    figures = []
    lines: dict[str, list[tuple[float, float]]] = {}
    next_id = 1
    for rate in effort.rates:
        took_us: dict[str, list[int]] = {name: [] for name in clients}
        written: dict[str, list[float]] = {name: [] for name in clients}
        events = int(rate * effort.rate_s)
        for round_ in range(effort.rounds):
            for name in list(clients)[:: 1 if round_ % 2 == 0 else -1]:
                program, arguments = clients[name]
                place.pass_over(DATABASE)
                with (
                    place.slot(DATABASE) as slot,
                    programs.started(program, arguments, DATABASE, slot, events) as started,
                ):
                    started.ready()
                    written[name].append(write_paced(place, next_id, events, rate))
                    took_us[name] += started.answer()["took_us"]
                next_id += events
        for name, values in took_us.items():
            took_ms = [percentile(values, share) / 1000 for share in SHARES]
            if name == LIBRARY:
                bound = ALONE_MS_MAX if rate <= ALONE_MAX else None
                title = f"{name}, p50 from commit at {rate:,} tx/s"
                figures.append(Figure(title, took_ms[0], bound, False, "ms"))
            shown = [f"{value:.2f}" for value in took_ms]
            of = [number(median(written[name])), f"{len(values):,}"]
            rows.append([f"{rate:,} tx/s, {name}", *of, *shown])
            for share, value in zip(SHARES, took_ms, strict=True):
                lines.setdefault(f"{name}, p{share * 100:g}", []).append((rate, value))
    plot = Plot(
        "latency", "From commit to consumer", "transactions/s", "ms", lines, log_x=True, log_y=True
    )
    text = TEXT.format(rounds=effort.rounds) + table(head, rows)
    return Section("Latency", text, figures, [plot])


def write_paced(place: Place, first: int, events: int, rate: int) -> float:
    """One transaction a row, `rate` a second if the server can; how many it was."""
    statement = f"""DO $$ DECLARE began timestamptz := clock_timestamp(); ahead_s float8; BEGIN
        FOR n IN {first} .. {first + events - 1} LOOP
            INSERT INTO event SELECT {SMALL_ROW};
            COMMIT;
            ahead_s := (n - {first} + 1) / {rate}.0
                - extract(epoch FROM clock_timestamp() - began);
            IF ahead_s > 0 THEN PERFORM pg_sleep(ahead_s); END IF;
        END LOOP; END $$"""
    clock = "SELECT extract(epoch FROM clock_timestamp())::float8"
    began = place.run(DATABASE, clock)[0][0]
    ended = place.run(DATABASE, statement, clock)[0][0]
    return events / float(ended - began)
