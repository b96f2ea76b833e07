"""The plugin as a Python module: its interface is that of `make bindings`."""

import json
import unittest

from componentize_py_types import Err
from enrich import Transform
from wit_world.exports.transform import (
    Column,
    Document,
    Event,
    Operation,
    Relation,
    Rows,
    Value,
    Value_Integer,
    Value_Json,
    Value_Null,
    Value_Text,
    Value_Unchanged,
    Verdict,
    Verdict_Fail,
    Verdict_Keep,
    Verdict_Replace,
)

CONFIG = {
    "table": "public.orders",
    "column": "country",
    "into": "country_name",
    "lookup": {"DE": "Deutschland", "1": "one"},
}


def column(name: str) -> Column:
    return Column(name=name, type_oid=25, typmod=-1, key=False, nullable=True)


ORDERS = Relation(1, "t", "public", "orders", [column("id"), column("country")])


def process(operation: Operation, value: Value, old: Value, payload: str) -> Verdict:
    event = Event(operation=operation, lsn=1, commit_us=0)
    document = Document(key=None, payload=payload)
    rows = Rows(relation=1, events=[event], values=[value], old=[old], documents=[document])
    [verdict] = Transform().process(rows)
    return verdict


class Enrich(unittest.TestCase):
    def setUp(self) -> None:
        Transform().init(json.dumps(CONFIG))
        wanted = Transform().select(ORDERS)
        assert wanted is not None
        assert wanted.columns == [1]

    def test_both_rows_get_the_member_and_nothing_else_changes(self) -> None:
        before = '{"op":"c","before":{"x":"{\\"}"},"after": {"n":1.50,"j":{"after":{}}} ,"b":[{}]}'
        after = (
            '{"op":"c","before":{"x":"{\\"}","country_name":null},'
            '"after": {"n":1.50,"j":{"after":{}},"country_name":"Deutschland"} ,"b":[{}]}'
        )
        verdict = process(Operation.UPDATE, Value_Text("DE"), Value_Null(), before)
        assert verdict == Verdict_Replace(after)

    def test_a_deleted_row_is_the_one_before(self) -> None:
        payload = '{"before":{},"after":null}'
        verdict = process(Operation.DELETE, Value_Integer(1), Value_Unchanged(), payload)
        assert verdict == Verdict_Replace('{"before":{"country_name":"one"},"after":null}')

    def test_what_was_not_sent_is_not_looked_up(self) -> None:
        payload = '{"before":{"id":1},"after":null}'
        verdict = process(Operation.DELETE, Value_Unchanged(), Value_Unchanged(), payload)
        assert verdict == Verdict_Keep()

    def test_other_tables_pass_by(self) -> None:
        assert Transform().select(Relation(2, "t", "x", "orders", ORDERS.columns)) is None
        assert Transform().select(Relation(2, "t", "public", "orders", [column("id")])) is None

    def test_a_json_column_is_not_looked_up(self) -> None:
        verdict = process(Operation.CREATE, Value_Json("{}"), Value_Unchanged(), "{}")
        assert isinstance(verdict, Verdict_Fail)

    def test_a_configuration_is_refused_that_lacks_something(self) -> None:
        for name in ("table", "column", "into", "lookup"):
            config = {key: value for key, value in CONFIG.items() if key != name}
            with self.assertRaisesRegex(Err, f"^{name}: expected"):
                Transform().init(json.dumps(config))
