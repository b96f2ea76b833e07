"""NAME: drops the events of rows that a boolean column marks.

The configuration is that column's name. Tables that have no such column pass by, and so do
DELETE and TRUNCATE.
"""

from dataclasses import dataclass

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.transform import (
    Commit,
    Description,
    Emission,
    Operations,
    Relation,
    Rows,
    Value,
    Value_Boolean,
    Verdict,
    Verdict_Drop,
    Verdict_Keep,
    Wanted,
)


@dataclass
class State:
    """What the plugin knows. No member of Transform: each function has an object of its own."""

    column: str = ""


state = State()


class Transform(exports.Transform):
    """What the plugin exports: the interface is described in wit/plugin.wit."""

    def describe(self) -> Description:
        """Says what the plugin is. `commits`: whether `flush` is called."""
        return Description(name="NAME", version="0.1.0", commits=False)

    def init(self, config: str) -> None:
        """Takes the configuration, or raises Err, which must not quote a secret of it."""
        if not config:
            raise Err("the configuration is the name of a boolean column")
        state.column = config

    def select(self, relation: Relation) -> Wanted | None:
        """What is wanted of a relation's events. What is not wanted costs nothing."""
        names = [column.name for column in relation.columns]
        if state.column not in names:
            return None
        return Wanted(
            operations=Operations.CREATE | Operations.READ | Operations.UPDATE,
            columns=[names.index(state.column)],
            old=False,  # True: the row before an UPDATE, too, in rows.old
            payload=False,  # True: key and payload, JSON, in rows.documents
        )

    def process(self, rows: Rows) -> list[Verdict]:
        """One verdict for each of rows.events.

        rows.values has the wanted columns of one row behind the other: here it is one column, so
        there is one value for each event.
        """
        return [verdict(value) for value in rows.values]

    def flush(self, commit: Commit) -> list[Emission]:  # noqa: ARG002
        """Events behind a transaction's last; called if `describe` asks for commits."""
        return []


def verdict(value: Value) -> Verdict:
    """What becomes of an event.

    Besides these two there are Verdict_Change([NewValue(column, old, value)]), which gives columns
    other values, Verdict_Replace(json) for another payload, Verdict_Route(topic),
    Verdict_Emit([Emission(topic, key, payload, headers)]) for other events in its place, and
    Verdict_Fail(why), which must not quote a value of the row.
    """
    match value:
        case Value_Boolean(True):
            return Verdict_Drop()
        case _:  # false, NULL, Value_Unchanged, or no boolean
            return Verdict_Keep()
