"""How much is measured, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace

# Of each workload how many events a client reads, and one that takes ten times as long.
Sizes = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Effort:
    """How long and how often."""

    rounds: int
    idle_s: float
    rates: tuple[int, ...]
    """Transactions a second."""

    rate_s: float
    memory_events: int
    stall_s: float
    quiet_s: float
    """How long streams are watched that have nothing to read."""

    transactions: tuple[int, ...]
    """Rows of one."""

    tables: tuple[int, ...]
    streams: tuple[int, ...]
    """In one process."""


SMOKE: Sizes = {"w1": (60_000, 0), "w3": (20_000, 0)}
QUICK: Sizes = {
    "w1": (100_000, 10_000),
    "w2": (30_000, 6_000),
    "w3": (20_000, 4_000),
    "w4": (30_000, 30_000),
}
USUAL: Sizes = {
    "w1": (500_000, 100_000),
    "w2": (150_000, 45_000),
    "w3": (100_000, 30_000),
    "w4": (300_000, 300_000),
}
FULL: Sizes = {
    "w1": (1_000_000, 300_000),
    "w2": (300_000, 150_000),
    "w3": (100_000, 100_000),
    "w4": (1_000_000, 1_000_000),
}
RATES = (100, 1_000, 10_000)
QUICK_EFFORT = Effort(
    rounds=2,
    idle_s=1.0,
    rates=RATES,
    rate_s=1.0,
    memory_events=200_000,
    stall_s=3.0,
    quiet_s=5.0,
    transactions=(1_000, 10_000, 100_000),
    tables=(10, 100, 1_000),
    streams=(1, 10, 50),
)
USUAL_EFFORT = Effort(
    rounds=5,
    idle_s=2.0,
    rates=RATES,
    rate_s=4.0,
    memory_events=1_000_000,
    stall_s=10.0,
    quiet_s=30.0,
    transactions=(*QUICK_EFFORT.transactions, 1_000_000),
    tables=(*QUICK_EFFORT.tables, 5_000),
    streams=(*QUICK_EFFORT.streams, 100, 200),
)
FULL_EFFORT = Effort(
    rounds=5,
    idle_s=5.0,
    rates=RATES,
    rate_s=10.0,
    memory_events=10_000_000,
    stall_s=60.0,
    quiet_s=60.0,
    transactions=(*USUAL_EFFORT.transactions, 10_000_000),
    tables=(*USUAL_EFFORT.tables, 20_000),
    streams=USUAL_EFFORT.streams,
)
EFFORTS = {
    "smoke": (SMOKE, replace(QUICK_EFFORT, rounds=1, rate_s=0.5)),
    "quick": (QUICK, QUICK_EFFORT),
    "usual": (USUAL, USUAL_EFFORT),
    "full": (FULL, FULL_EFFORT),
}
