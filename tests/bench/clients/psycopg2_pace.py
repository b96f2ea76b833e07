"""psycopg2's latency: from commit, by the server's clock, to the callback of the change."""

from __future__ import annotations

import struct
import time
from typing import Any

from bench.clients.meter import tell
from bench.clients.psycopg2_loop import Typed, consume, cursor

# What PostgreSQL counts from, 2000-01-01, in µs since 1970.
EPOCH_US = 946_684_800_000_000


class Pace(Typed):
    """Decodes each row as ever, and notes when."""

    def __init__(self) -> None:
        super().__init__()
        self.took_us: list[int] = []
        self.committed_us = 0

    def __call__(self, message: Any) -> None:
        payload = message.payload
        if payload[0] == 66:  # Begin
            self.committed_us = struct.unpack_from(">q", payload, 9)[0] + EPOCH_US
        if payload[0] == 73:
            self.took_us.append(time.time_ns() // 1000 - self.committed_us)
        super().__call__(message)


def main() -> None:
    """The command line."""
    streaming = cursor()
    tell(ready=True)
    pace = Pace()
    consume(streaming, pace)
    tell(took_us=pace.took_us)


if __name__ == "__main__":
    main()
