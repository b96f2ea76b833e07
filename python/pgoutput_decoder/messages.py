"""Small functions of a message, with the names they had in 0.1.0."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from ._native import ReplicationMessage

_OPERATIONS = {
    "c": "INSERT",
    "u": "UPDATE",
    "d": "DELETE",
    "r": "READ",
    "t": "TRUNCATE",
    "m": "MESSAGE",
}


def message_to_dict(message: ReplicationMessage) -> dict[str, Any] | None:
    """The event's JSON as a dict: `json.loads(message.json(), parse_float=Decimal)`.

    Fractions are `Decimal`, so nothing is rounded; bytes are base64 `str` and an unchanged value is
    its placeholder, as JSON has neither. For a tombstone, which only `format="debezium"` has, None.
    """
    event: dict[str, Any] | None = json.loads(message.json(), parse_float=Decimal)
    return event


def format_operation(op: str | None) -> str:
    """The SQL word for an operation's letter, like `"INSERT"` for `"c"`, or `"UNKNOWN(x)"`."""
    return _OPERATIONS.get(op or "", f"UNKNOWN({op})")


def get_table_name(message: ReplicationMessage) -> str:
    """The table with its schema, like `"public.customers"`; empty for what is about no table."""
    return f"{message.schema}.{message.table}" if message.table else ""
