"""The plugin as a Python module: `make test` runs it without WebAssembly."""

import unittest

from componentize_py_types import Err
from wit_world.exports.transform import (
    Column,
    Event,
    Operation,
    Relation,
    Rows,
    Value,
    Value_Boolean,
    Value_Null,
    Verdict_Drop,
    Verdict_Keep,
)

from app import Transform

HIDDEN = Column(name="hidden", type_oid=16, typmod=-1, key=False, nullable=True)


class Filter(unittest.TestCase):
    def test_marked_rows_are_dropped(self) -> None:
        plugin = Transform()
        plugin.init("hidden")
        wanted = plugin.select(Relation(1, "shop.public.posts", "public", "posts", [HIDDEN]))
        assert wanted is not None
        values: list[Value] = [Value_Boolean(True), Value_Boolean(False), Value_Null()]
        events = [Event(operation=Operation.CREATE, lsn=1, commit_us=0) for _ in values]
        rows = Rows(relation=1, events=events, values=values, old=[], documents=[])
        assert plugin.process(rows) == [Verdict_Drop(), Verdict_Keep(), Verdict_Keep()]

    def test_other_tables_pass_by(self) -> None:
        Transform().init("hidden")
        assert Transform().select(Relation(1, "shop.public.users", "public", "users", [])) is None

    def test_a_column_is_needed(self) -> None:
        with self.assertRaises(Err):
            Transform().init("")
