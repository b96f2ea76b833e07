import json
from typing import cast

import forge
import pytest
from pgoutput_decoder_wasmtime import (
    Begin,
    Commit,
    Decoded,
    Decoder,
    DecodingError,
    EngineError,
    Error,
    Event,
    Facts,
    FactsError,
    NotStashedError,
    OptionError,
    Question,
    RestoreError,
    TypeFacts,
    no_facts,
)
from pgoutput_decoder_wasmtime.engine import Engine

NOW_US = forge.TIME_US


def decoder() -> Decoder:
    return Decoder.open(forge.OPTIONS)


def events(decoder: Decoder, frames: bytes, facts: Facts | None = None) -> list[Event]:
    found = []
    while frames:
        decoded = decoder.decode(frames, NOW_US)
        found += [record for record in decoded.records if isinstance(record, Event)]
        frames = frames[decoded.consumed :]
        if isinstance(decoded.stop, Question):
            decoder.learn(facts or forge.ORDERS)
        elif decoded.stop:
            raise decoded.stop
    return found


def test_a_question_is_asked_and_answered() -> None:
    frames = b"".join(forge.transactions(1, 2))
    each = decoder()
    asked = each.decode(frames, NOW_US)
    assert asked.stop == Question(forge.RELATION_OID, "public", "orders", [])
    assert 0 < asked.consumed < len(frames)

    each.learn(forge.ORDERS)
    answered = each.decode(frames[asked.consumed :], NOW_US)
    assert answered.consumed == len(frames) - asked.consumed
    assert answered.stop is None
    first, *_ = found = [record for record in answered.records if isinstance(record, Event)]
    assert [event.key for event in found] == [b'{"id":0}', b'{"id":1}']
    assert first.topic.name == "app.public.orders"
    assert [column.name for column in first.topic.columns] == list(forge.COLUMNS)
    assert json.loads(first.after or b"")["name"] == "a name of some length"
    assert json.loads(first.source or b"")["table"] == "orders"
    assert any(isinstance(record, Begin) for record in asked.records + answered.records)
    assert isinstance(answered.records[-1], Commit)


def test_facts_of_every_kind_cross_the_boundary() -> None:
    mood, range_oid, pair = 90_000, 90_001, 90_002
    facts = forge.facts_of({"id": forge.INT8, "mood": mood, "span": range_oid, "pair": pair})
    common = {"namespace": "public", "delimiter": "Ω", "element": 0, "base": 0, "base_typmod": -1}
    more = {"subtype": 0, "labels": list[str](), "attributes": list[object]()}
    attribute = {"name": "é", "type": forge.TEXT, "typmod": -1}
    types = [
        {
            **common,
            **more,
            "oid": mood,
            "name": "mood",
            "kind": "enumeration",
            "labels": ["🙂", ""],
        },
        {**common, **more, "oid": range_oid, "name": "span", "kind": "range", "subtype": 20},
        {**common, **more, "oid": pair, "name": "pair", "kind": "composite"}
        | {"attributes": [attribute, {**attribute, "name": "b"}]},
    ]
    facts["types"] = cast("list[TypeFacts]", types)
    facts["relations"][0]["columns"][1]["default"] = "'🙂'::mood"
    facts["relations"][0]["unique_indexes"] = [
        {"name": "i", "columns": ["mood", "span"], "expression": True}
    ]
    columns = {"id": 20, "mood": mood, "span": range_oid, "pair": pair}
    values = ["1", "🙂", "[1,2)", "(a,b)"]
    frames = [forge.begin(8, 1), forge.relation(columns), forge.insert(1, 4, values=values)]
    (event,) = events(decoder(), b"".join([*frames, forge.commit(8)]), facts)
    after = json.loads(event.after or b"")
    assert after["mood"] == "🙂"


def test_what_comes_out_does_not_depend_on_the_division_into_calls() -> None:
    frames = list(forge.transactions(3, 5))
    whole = events(decoder(), b"".join(frames))
    each = decoder()
    assert [event for frame in frames for event in events(each, frame)] == whole
    assert len(whole) == 15


def test_memory_grows_where_it_has_to() -> None:
    text = "x" * (8 << 20)
    values = ["1", text, "2024-02-29 12:34:56+00", "1"]
    frames = [forge.begin(8, 1), forge.relation(), forge.insert(1, 4, values=values)]
    (event,) = events(decoder(), b"".join([*frames, forge.commit(8)]))
    assert json.loads(event.after or b"")["name"] == text


def test_a_frame_that_cannot_be_decoded_is_skipped() -> None:
    bad = forge.frame(b"?", lsn=0x10_0000_0007)
    frames = b"".join(forge.transactions(1, 1)) + bad + b"".join(forge.transactions(1, 1, 5))
    each = decoder()
    before = len(b"".join(forge.transactions(1, 1)))
    with pytest.raises(DecodingError) as caught:
        events(each, frames)
    error = caught.value
    assert (error.kind, error.message_type, error.lsn) == ("unsupported", 0x3F, 0x10_0000_0007)
    assert "LSN 10/7" in str(error)
    again = each.decode(frames[before:], NOW_US)
    assert isinstance(again.stop, DecodingError)
    assert each.skip() == len(bad)
    assert len(events(each, frames[before + len(bad) :])) == 1


def test_streamed_transactions_are_kept_and_replayed() -> None:
    each = decoder()
    start, commit = forge.streamed()
    assert [event.key for event in events(each, start + commit)] == [
        b'{"id":0}',
        b'{"id":1}',
        b'{"id":2}',
    ]
    assert isinstance(each.decode(commit, NOW_US).stop, NotStashedError)


def test_a_replay_uses_up_no_frames_of_the_call() -> None:
    each = decoder()
    start, commit = forge.streamed()
    assert each.decode(start + commit, NOW_US).consumed == len(start)
    asked = each.decode(commit, NOW_US)
    assert (asked.consumed, type(asked.stop)) == (0, Question)
    each.learn(forge.ORDERS)
    replayed = each.decode(commit, NOW_US)
    assert (replayed.consumed, replayed.stop) == (0, None)
    assert each.decode(commit, NOW_US).consumed == len(commit)


def test_a_successor_goes_on() -> None:
    each = decoder()
    events(each, b"".join(forge.transactions(1, 2)))
    successor = decoder()
    successor.restore(each.save())
    # The server describes its relations again.
    later = b"".join(forge.transactions(2, 2, first=1))
    assert [event.value for event in events(successor, later)] == [
        event.value for event in events(each, later)
    ]
    for saved in (b"", b"no such thing", each.save()[:-1]):
        with pytest.raises(RestoreError):
            decoder().restore(saved)


def test_options_are_checked() -> None:
    with pytest.raises(OptionError) as caught:
        Decoder.open({**forge.OPTIONS, "decimal.handling.mode": "rounded"})
    assert caught.value.name == "decimal.handling.mode"
    with pytest.raises(OptionError):
        Decoder.open({"topic.prefix": "\ud800"})
    each = Decoder.open({**forge.OPTIONS, "plugin.name": "pgoutput"})
    assert each.ignored_options() == ["plugin.name"]


@pytest.mark.parametrize(
    "change",
    [
        {"oid": -1},
        {"oid": "1"},
        {"name": None},
        {"name": "\ud800"},
        {"columns": [{}]},
        {"columns": 5},
        {"primary_key": [5]},
    ],
)
def test_facts_are_checked(change: dict[str, object]) -> None:
    each = decoder()
    facts = {"types": [], "relations": [{**forge.ORDERS["relations"][0], **change}]}
    with pytest.raises(FactsError):
        each.learn(cast("Facts", facts))
    each.learn(no_facts())


def test_the_program_is_looked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("programs")
    with pytest.raises(EngineError, match="PGOUTPUT_DECODER_CORE_WASM"):
        Engine({}, folder / "none.wasm")
    for content in (b"", b"\0asm\x01\0\0\0"):
        path = folder / f"{len(content)}.wasm"
        path.write_bytes(content)
        with pytest.raises(EngineError):
            Engine({}, path)


def test_any_bytes_are_frames_or_an_error() -> None:
    frames = b"".join(forge.transactions(1, 1))
    for at in range(len(frames)):
        changed = bytearray(frames)
        changed[at] ^= 1 << at % 8
        decoded: Decoded = SHARED.decode(bytes(changed), NOW_US)
        while isinstance(decoded.stop, DecodingError):
            SHARED.skip()
            decoded = SHARED.decode(b"", NOW_US)
        assert decoded.stop is None or isinstance(decoded.stop, Question | Error)


SHARED = decoder()
