"""How a reader is, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .plugins import PluginStatus

__all__ = ["Status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `LogicalReplicationReader.status()` returns. LSNs are text like `"0/16B3748"`."""

    state: Literal["new", "connecting", "streaming", "waiting", "reconnecting", "stopped", "failed"]
    """`"new"`: nothing was asked for yet. `"waiting"`: the consumer is behind, and nothing is read
    from the server before it takes what is there. `"reconnecting"` and `"failed"`: see
    `last_error`."""

    last_error: str | None
    """What went wrong last, though it may be over."""

    reconnects: int
    """How often a connection that was lost has been made again."""

    received_lsn: str
    """Up to where WAL has come from the server."""

    delivered: str | None
    """The position of the message handed out last; None before the first."""

    acknowledged: str | None
    """The position up to which messages were acknowledged; None before the first."""

    confirmed_lsn: str
    """What the server has been told, or is just being told, to forget: `confirmed_flush_lsn`."""

    server_lsn: str
    """Where the server's WAL ends; while the connection stands half a minute old at most."""

    lag_bytes: int
    """Bytes of WAL between `confirmed_lsn` and `server_lsn`."""

    lag_s: float
    """Seconds since the oldest transaction with unacknowledged messages was committed, by the
    server's clock and ours; without one, seconds since the server was last heard of, or 0 while
    it streams."""

    outstanding_events: int
    """Messages not acknowledged, with those read ahead; no more than 65,536 are counted."""

    outstanding_transactions: int
    """Transactions with messages that have not all been acknowledged."""

    queued_bytes: int
    """Bytes of decoded messages that wait to be read ahead."""

    skipped: int
    """Changes that could not be decoded and were passed over."""

    parked: int
    """Changes that could not be decoded and were written to a file."""

    plugins: tuple[PluginStatus, ...]
    """The reader's plugins, in their order; empty before it connects."""

    publishes_tables: bool | None
    """Whether the publications have a table: without one nothing comes. None: not known yet."""

    wal_status: str | None
    """`pg_replication_slots.wal_status`: `"reserved"`, `"extended"`, `"unreserved"` (about to be
    lost) or `"lost"`. None before PostgreSQL 13, or where it is not known yet."""

    safe_wal_size: int | None
    """`pg_replication_slots.safe_wal_size`: bytes of WAL that may be written until the slot may be
    lost. None where `max_slot_wal_keep_size` is not set."""

    invalidation_in_s: float | None
    """Seconds until then, if WAL is written as fast as lately and nothing more is confirmed."""
