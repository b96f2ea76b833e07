//! Native and component: the same answer to every call a host makes, for streams no one recorded.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

use pgoutput_decoder as inner;
use pgoutput_decoder_fuzz::{
    Call, Caller, Choices, FRAME_HEAD_BYTES, History, Protocol, facts, frames, random_bytes,
};
use pgoutput_decoder_host::engine::{
    ColumnFacts, Engine, EngineKind, Facts, RelationFacts, Stop, TypeFacts, TypeKind,
};

/// What a host calls while it decodes a history, damaged if that is wanted.
fn calls(seed: u64, options: &[(&str, &str)], protocol: Protocol, damaged: bool) -> Vec<Call> {
    let bytes = random_bytes(seed, 1200);
    let history = History::generate(&mut Choices::new(&bytes));
    let mut frames = frames(&history, protocol);
    if damaged {
        for (frame, chance) in frames.iter_mut().zip(bytes.iter().cycle()) {
            let at = FRAME_HEAD_BYTES + usize::from(chance / 8);
            if let (0, Some(byte)) = (chance % 8, frame.get_mut(at)) {
                *byte ^= 0x41;
            }
        }
    }
    let options = inner::Options::parse(options.iter().copied()).unwrap();
    let mut caller = Caller::new(options, &facts).recording();
    for call in frames.chunks(1 + usize::from(bytes[0] % 9)) {
        caller.pass(&call.concat());
    }
    caller.calls.unwrap()
}

#[test]
fn the_component_answers_every_call_as_the_native_decoder_does() {
    let (mut records_bytes, mut errors) = (0, 0);
    for seed in 0..60 {
        let protocols = [
            Protocol::One,
            Protocol::Two,
            Protocol::Three,
            Protocol::Four,
        ];
        let protocol = protocols[usize::try_from(seed % 4).unwrap()];
        let format = if seed % 3 == 0 { "native" } else { "debezium" };
        let options = [("format", format), ("provide.transaction.metadata", "true")];
        let owned = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut component = Engine::open(EngineKind::Component, &owned).unwrap();
        let mut native = Engine::open(EngineKind::Native, &owned).unwrap();
        for call in calls(seed, &options, protocol, seed % 5 == 4) {
            match call {
                Call::Learn(learnt) => {
                    let facts = of_host(learnt);
                    component.learn(&facts).unwrap();
                    native.learn(&facts).unwrap();
                }
                Call::Skip => {
                    component.skip().unwrap();
                    native.skip().unwrap();
                }
                Call::Decode(frames) => {
                    let sandboxed = component.decode(&frames, 0).unwrap();
                    let linked = native.decode(&frames, 0).unwrap();
                    assert!(
                        sandboxed == linked,
                        "seed {seed}: {sandboxed:?}, {linked:?}"
                    );
                    records_bytes += linked.records.len();
                    errors += u32::from(matches!(linked.stop, Some(Stop::Failed(_))));
                }
            }
        }
        assert_eq!(
            component.save().unwrap(),
            native.save().unwrap(),
            "seed {seed}"
        );
    }
    println!("{records_bytes} bytes of records, {errors} errors");
    assert!(records_bytes > 1_000_000 && errors > 100);
}

/// The host's own form of facts of a history.
fn of_host(facts: inner::Facts) -> Facts {
    let type_facts = |facts: inner::TypeFacts| TypeFacts {
        oid: facts.oid,
        namespace: facts.namespace,
        name: facts.name,
        kind: TypeKind::Enumeration,
        element: facts.element,
        delimiter: facts.delimiter,
        base: facts.base,
        base_typmod: facts.base_typmod,
        subtype: facts.subtype,
        labels: facts.labels,
        attributes: Vec::new(),
    };
    let column = |facts: inner::ColumnFacts| ColumnFacts {
        name: facts.name,
        type_: facts.type_oid,
        typmod: facts.typmod,
        not_null: facts.not_null,
        default: facts.default,
    };
    let relation = |facts: inner::RelationFacts| RelationFacts {
        oid: facts.oid,
        namespace: facts.namespace,
        name: facts.name,
        columns: facts.columns.into_iter().map(column).collect(),
        primary_key: facts.primary_key,
        unique_indexes: Vec::new(),
    };
    Facts {
        types: facts.types.into_iter().map(type_facts).collect(),
        relations: facts.relations.into_iter().map(relation).collect(),
    }
}
