"""Adds to each row what a lookup table says of one of its columns.

The configuration, JSON:

    {"table": "public.orders", "column": "country", "into": "country_name",
     "lookup": {"DE": "Germany"}, "otherwise": null}

gives the rows of public.orders, new and old, a last member "country_name":"Germany". NULL, and
what the lookup table does not have, becomes `otherwise`, which may be left out and then is null.
A row of which the column was not sent gets no member.

An event's columns are those of its table, so it is the payload that is replaced. Afterwards the
event has no columns for plugins behind this one, and no `before` and `after` in Python, where
`message.json` has it all. An event whose payload has no `before` and `after` stays as it is: one
with its schema, or with the row alone.
"""

import json
import re
from dataclasses import dataclass, field

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.transform import (
    Commit,
    Description,
    Emission,
    Event,
    Operation,
    Operations,
    Relation,
    Rows,
    Value,
    Value_Boolean,
    Value_Bytes,
    Value_Decimal,
    Value_Float,
    Value_Integer,
    Value_Json,
    Value_Text,
    Value_Timestamp,
    Value_Unchanged,
    Verdict,
    Verdict_Fail,
    Verdict_Keep,
    Verdict_Replace,
    Wanted,
)


@dataclass
class State:
    """What the plugin knows. No member of Transform: each function has an object of its own."""

    table: str = ""
    column: str = ""
    into: str = ""
    lookup: dict[str, str] = field(default_factory=dict)
    """Members, as JSON, by the text of the column's value."""
    otherwise: str = ""
    taken: set[int] = field(default_factory=set)
    """Relations that have a column with the member's name."""


state = State()


class Transform(exports.Transform):
    """The plugin."""

    def describe(self) -> Description:
        """Says what the plugin is."""
        return Description(name="enrich", version="0.1.0", commits=False)

    def init(self, config: str) -> None:
        """Takes the configuration, or raises Err."""
        configure(config)

    def select(self, relation: Relation) -> Wanted | None:
        """Wants the column and the payload of the rows of that table."""
        names = [column.name for column in relation.columns]
        if f"{relation.schema}.{relation.table}" != state.table or state.column not in names:
            return None
        if state.into in names:
            state.taken.add(relation.id)
        return Wanted(
            operations=Operations.CREATE | Operations.READ | Operations.UPDATE | Operations.DELETE,
            columns=[names.index(state.column)],
            old=True,
            payload=True,
        )

    def process(self, rows: Rows) -> list[Verdict]:
        """Answers with as many verdicts as there are events."""
        if rows.relation in state.taken:
            why = f"{state.table} has a column {state.into} already"
            return [Verdict_Fail(why) for _ in rows.events]
        payloads = (document.payload for document in rows.documents)
        events = zip(rows.events, rows.values, rows.old, payloads, strict=True)
        return [verdict(*event) for event in events]

    def flush(self, commit: Commit) -> list[Emission]:  # noqa: ARG002
        """Is not called: `describe` does not ask for commits."""
        return []


def configure(config: str) -> None:
    """Takes the configuration, or refuses it: what is wrong, and nothing of what it says."""
    try:
        read = json.loads(config)
    except json.JSONDecodeError as error:
        raise Err(f"expected JSON: line {error.lineno}, column {error.colno}") from None
    if not isinstance(read, dict):
        raise Err("expected an object")
    lookup = read.get("lookup")
    if not isinstance(lookup, dict) or not all(isinstance(to, str) for to in lookup.values()):
        raise Err("lookup: expected an object of texts")
    otherwise = read.get("otherwise")
    if not isinstance(otherwise, str | None):
        raise Err("otherwise: expected a text or null")
    for name in ("table", "column", "into"):
        if not isinstance(read.get(name), str) or not read[name]:
            raise Err(f"{name}: expected a text")
    if read["table"].count(".") != 1:
        raise Err("table: expected schema.table")
    state.table, state.column, state.into = read["table"], read["column"], read["into"]
    state.lookup = {value: member(to) for value, to in lookup.items()}
    state.otherwise = member(otherwise)


def member(value: str | None) -> str:
    """The member that is added, JSON."""
    name, text = (json.dumps(part, ensure_ascii=False) for part in (state.into, value))
    return f"{name}:{text}"


def verdict(event: Event, value: Value, old: Value, payload: str | None) -> Verdict:
    """What becomes of an event: rows, where there are any, get their member."""
    if isinstance(value, NO_TEXT) or isinstance(old, NO_TEXT):
        return Verdict_Fail(f"{state.table}.{state.column} is of a type that is not looked up")
    if payload is None:
        return Verdict_Keep()
    before = value if event.operation is Operation.DELETE else old
    enriched = spliced(payload, {"before": addition(before), "after": addition(value)})
    return Verdict_Keep() if enriched == payload else Verdict_Replace(enriched)


NO_TEXT = Value_Float | Value_Bytes | Value_Timestamp | Value_Json


def addition(value: Value) -> str | None:
    """The member for a row with this value in the column; None: none."""
    match value:
        case Value_Unchanged():
            return None
        case Value_Text(text) | Value_Decimal(text):
            pass
        case Value_Integer(number):
            text = str(number)
        case Value_Boolean(flag):
            text = "true" if flag else "false"
        case _:
            return state.otherwise
    return state.lookup.get(text, state.otherwise)


# A member up to its value, with what is before it.
MEMBER = re.compile(r'[\s{,]*"([^"\\]*(?:\\.[^"\\]*)*)"\s*:\s*')
# Numbers are passed over as text: they may have more digits than Python would read.
DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


def spliced(payload: str, additions: dict[str, str | None]) -> str:
    """The payload with a last member in those of its members that are objects."""
    parts = []
    done = end = 0
    while additions and (match := MEMBER.match(payload, end)):
        value, end = DECODER.raw_decode(payload, match.end())
        added = additions.pop(match[1], None)
        if added is not None and isinstance(value, dict):
            parts += [payload[done : end - 1], "," if value else "", added]
            done = end - 1
    return "".join([*parts, payload[done:]])
