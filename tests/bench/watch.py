"""What is seen of a run from outside: the server's CPU for it, and its memory."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

from bench.workload import Place

INTERVAL_S = 0.02
TICKS_S = os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks at the walsender of a slot, and at a client, until the block ends.

    A client may connect more than once: what each of its walsenders took is added up.
    """

    def __init__(self, place: Place, database: str, slot: str) -> None:
        self.client: int | None = None
        """The process whose memory is looked at, if any."""

        self.peak_rss_mib: float | None = None
        self._took_s: dict[int, float] = {}
        self._slot = slot
        self._connection = place.connect(database)
        self._asking = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def walsender_s(self) -> float | None:
        """CPU of the walsenders, user and system; None if none was seen."""
        return sum(self._took_s.values()) if self._took_s else None

    def confirmed(self, lsn: str) -> bool:
        """Whether the slot is confirmed up to there."""
        return bool(self._asked(f"SELECT confirmed_flush_lsn >= '{lsn}'"))

    def _asked(self, select: str) -> object:
        statement = f"{select} FROM pg_replication_slots WHERE slot_name = '{self._slot}'"
        with self._asking:
            row = self._connection.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def _watch(self) -> None:
        walsender = None
        while not self._done.wait(INTERVAL_S):
            if walsender is None:
                found = self._asked("SELECT active_pid")
                walsender = found if isinstance(found, int) else None
            if walsender is not None and not self._look(walsender):
                walsender = None
        # Of one that is still there, what it did last.
        if walsender is not None:
            self._look(walsender)

    def _look(self, walsender: int) -> bool:
        """Whether it is still there."""
        try:
            if self.client is not None:
                status = Path(f"/proc/{self.client}/status").read_text()
                peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
                self.peak_rss_mib = int(peak.split()[1]) / 1024
        except (OSError, StopIteration):
            self.client = None  # it has ended
        try:
            # Behind the name, which is in brackets.
            fields = Path(f"/proc/{walsender}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        self._took_s[walsender] = (int(fields[11]) + int(fields[12])) / TICKS_S
        return True

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self._connection.close()
