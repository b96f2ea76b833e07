"""What reading took, told in one line of JSON."""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

PUBLICATION = "bench"
SLOT = os.environ.get("BENCH_SLOT", "")
EVENTS = int(os.environ.get("BENCH_EVENTS", "0"))


class Meter:
    """Runs from when it is made, which is just before a client connects."""

    def __init__(self) -> None:
        self._began = now()

    def first(self, events: int = 1) -> None:
        """To be called once the first of them are there."""
        self._first = now()
        self._events_first = events

    def report(self) -> None:
        """To be called once all events are there."""
        last = now()
        tell(
            events=EVENTS,
            events_first=self._events_first,
            total=last.since(self._began),
            first=self._first.since(self._began),
            peak_rss_mib=memory_mib("VmHWM"),
        )


@dataclass(frozen=True)
class Time:
    """In seconds."""

    wall: float
    user: float
    system: float

    def since(self, earlier: Time) -> dict[str, float]:
        """What went by in between."""
        return {
            "wall_s": self.wall - earlier.wall,
            "user_s": self.user - earlier.user,
            "system_s": self.system - earlier.system,
        }


def now() -> Time:
    """By the clock, and of CPU, by all of this process's threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Time(time.perf_counter(), usage.ru_utime, usage.ru_stime)


def tell(**facts: object) -> None:
    """Prints a line for the harness."""
    print(json.dumps(facts), flush=True)


def memory_mib(name: str = "VmRSS", process: int | str = "self") -> float:
    """A process's memory; `VmHWM` is the most it had.

    Not `ru_maxrss`, which begins with that of the process this one was forked from.
    """
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(name)
