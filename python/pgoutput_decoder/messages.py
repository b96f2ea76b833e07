"""A message's columns, and small functions of a message, with the names they had in 0.1.0."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a message's rows."""

    name: str
    """`pg_attribute.attname`."""

    type_oid: int
    """`pg_type.oid`; of a domain, its base type's."""

    type_modifier: int
    """`pg_attribute.atttypmod`; -1 for none."""

    in_key: bool
    """Whether it is part of `message.key`."""

    nullable: bool
    """Whether it may be NULL."""


def message_to_dict(message: ReplicationMessage) -> dict[str, Any] | None:
    """The event's JSON as a dict: `json.loads(message.json, parse_float=Decimal)`.

    Fractions are `Decimal`, so nothing is rounded, and so are whole numbers of more digits than
    Python makes an `int` of; bytes are base64 `str` and an unchanged value is its placeholder, as
    JSON has neither. For a tombstone, which only `format="debezium"` has, None.
    """
    event: dict[str, Any] | None = json.loads(
        message.json or b"null", parse_float=Decimal, parse_int=_whole_number
    )
    return event


def _whole_number(text: str) -> int | Decimal:
    limit = sys.get_int_max_str_digits()
    return Decimal(text) if 0 < limit < len(text) else int(text)


def format_operation(op: str | None) -> str:
    """The SQL word for an operation's letter, like `"INSERT"` for `"c"`, or `"UNKNOWN(x)"`."""
    return _OPERATIONS.get(op or "", f"UNKNOWN({op})")


def get_table_name(message: ReplicationMessage) -> str:
    """The table with its schema, like `"public.customers"`; empty for what is about no table."""
    return f"{message.schema}.{message.table}" if message.table else ""
