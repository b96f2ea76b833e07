"""What reading took, told in one line of JSON."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

PUBLICATION = "bench"
SLOT = os.environ.get("BENCH_SLOT", "")
EVENTS = int(os.environ.get("BENCH_EVENTS", "0"))


class Meter:
    """Runs from when it is made, which is just before a client connects."""

    def __init__(self) -> None:
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._began = time.perf_counter()

    def report(self) -> None:
        """To be called once all events are there."""
        wall_s = time.perf_counter() - self._began
        usage = resource.getrusage(resource.RUSAGE_SELF)
        tell(
            events=EVENTS,
            wall_s=wall_s,
            user_s=usage.ru_utime - self._usage.ru_utime,
            system_s=usage.ru_stime - self._usage.ru_stime,
            peak_rss_mib=memory_mib("VmHWM"),
        )


def tell(**facts: object) -> None:
    """Prints a line for the harness."""
    print(json.dumps(facts), flush=True)


def memory_mib(name: str = "VmRSS") -> float:
    """This process's memory; `VmHWM` is the most it had.

    Not `ru_maxrss`, which begins with that of the process this one was forked from.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(name)
