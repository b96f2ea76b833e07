//! The sandbox: it grants nothing, changes nothing, and its bounds end a call, not the process.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

use std::path::Path;

use pgoutput_decoder_host::capture::{Capture, Catalog, CatalogAt};
use pgoutput_decoder_host::engine::{
    ColumnFacts, Decoded, Engine, EngineError, EngineKind, Facts, Limits, RelationFacts, Stop,
};
use pgoutput_decoder_host::{COMPONENT, Lsn};
use pgoutput_decoder_tests::folder;

/// The largest call the host makes.
const BATCH_BYTES: usize = 64 << 10;

#[test]
fn the_component_imports_nothing() {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::from_binary(&engine, COMPONENT).unwrap();
    let world = component.component_type();
    let imports: Vec<_> = world.imports(&engine).map(|(name, _)| name).collect();
    assert_eq!(imports, [""; 0]);
    let exports: Vec<_> = world.exports(&engine).map(|(name, _)| name).collect();
    let expected = [
        "pgoutput:decoder/catalog@0.1.0",
        "pgoutput:decoder/decoding@0.1.0",
        "pgoutput:decoder/inspection@0.1.0",
    ];
    assert_eq!(exports, expected);
}

#[test]
fn component_and_native_agree_byte_for_byte() {
    let mut events_bytes = 0;
    for case in [
        "ecommerce",
        "identifiers",
        "messages",
        "replica-identity",
        "toast",
    ] {
        for format in ["debezium", "native"] {
            for batch_bytes in [1, 1000, BATCH_BYTES] {
                events_bytes += agree(&folder().join(case), format, batch_bytes);
            }
        }
    }
    assert!(
        events_bytes > 100_000,
        "{events_bytes} bytes of records compared"
    );
}

#[test]
fn the_memory_limit_ends_the_call_and_nothing_else() {
    let limits = Limits {
        memory_max_bytes: 8 << 20,
        ..Limits::default()
    };
    let large = "x".repeat(16 << 20);
    let mut engine = open(limits);
    decode(
        &mut engine,
        &[relation(), begin(), insert("small")].concat(),
    )
    .unwrap();

    let error = decode(&mut engine, &insert(&large)).unwrap_err();
    let EngineError::Memory { limit_bytes } = error else {
        panic!("{error:?}")
    };
    assert_eq!(limit_bytes, limits.memory_max_bytes);
    assert_eq!(
        error.to_string(),
        "the decoder ran into its memory limit of 8388608 bytes"
    );
    let again = decode(&mut engine, &insert("small")).unwrap_err();
    assert_eq!(
        again.to_string(),
        error.to_string(),
        "a stopped decoder says so again"
    );

    let mut successor = open(Limits::default());
    let frames = [relation(), begin(), insert(&large)].concat();
    let decoded = decode(&mut successor, &frames).unwrap();
    assert_eq!((decoded.consumed, decoded.stop), (frames.len(), None));
    assert!(decoded.records.len() > large.len());
}

#[test]
fn the_deadline_ends_the_call_and_nothing_else() {
    let limits = Limits {
        deadline_ms: 1,
        memory_max_bytes: 2 << 30,
    };
    let mut engine = open(limits);
    decode(
        &mut engine,
        &[relation(), begin(), insert("small")].concat(),
    )
    .unwrap();

    // Every byte becomes six: some 100 MB of work.
    let heavy = insert(&"\u{1}".repeat(1 << 20)).repeat(16);
    let error = decode(&mut engine, &heavy).unwrap_err();
    assert!(
        matches!(error, EngineError::Deadline { limit_ms: 1 }),
        "{error:?}"
    );
    let again = decode(&mut engine, &insert("small")).unwrap_err();
    assert_eq!(
        again.to_string(),
        "the decoder ran into its deadline of 1 ms a call"
    );

    let mut successor = open(Limits::default());
    let frames = [relation(), begin(), insert("small")].concat();
    assert!(!decode(&mut successor, &frames).unwrap().records.is_empty());
}

#[test]
fn a_deadline_counts_the_call_and_not_the_time_between_calls() {
    let mut engine = open(Limits {
        deadline_ms: 50,
        ..Limits::default()
    });
    decode(&mut engine, &[relation(), begin()].concat()).unwrap();
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(60));
        assert!(
            !decode(&mut engine, &insert("small"))
                .unwrap()
                .records
                .is_empty()
        );
    }
}

#[test]
fn a_bad_option_is_named_by_both_engines() {
    for kind in [EngineKind::Component, EngineKind::Native] {
        let options = [("decimal.handling.mode".to_owned(), "roman".to_owned())];
        let error = Engine::open(kind, &options).unwrap_err().to_string();
        assert!(
            error.starts_with("option decimal.handling.mode: expected one of"),
            "{error}"
        );
    }
}

/// Decodes a case with both engines, call by call, and returns how many bytes of records came.
fn agree(case: &Path, format: &str, batch_bytes: usize) -> usize {
    let capture = Capture::open(&case.join("pgoutput.jsonl")).unwrap();
    let catalog = Catalog::open(&case.join("catalog.json")).unwrap();
    let options = [("format".to_owned(), format.to_owned())];
    let mut component = Engine::open(EngineKind::Component, &options).unwrap();
    let mut native = Engine::open(EngineKind::Native, &options).unwrap();
    let frames: Vec<&[u8]> = (0..capture.len())
        .filter_map(|index| capture.frame(index))
        .collect();
    let stream = frames.concat();
    let mut at = 0;
    let mut records_bytes = 0;
    let mut ends = frames.iter().scan(0, |end, frame| {
        *end += frame.len();
        Some(*end)
    });
    let mut end = 0;
    while at < stream.len() {
        while end <= at || end - at < batch_bytes {
            let Some(next) = ends.next() else { break };
            end = next;
        }
        let sandboxed = component
            .decode(&stream[at..end], capture.sent_at_us())
            .unwrap();
        let linked = native
            .decode(&stream[at..end], capture.sent_at_us())
            .unwrap();
        let differs = sandboxed
            .records
            .iter()
            .zip(&linked.records)
            .position(|(a, b)| a != b);
        assert_eq!(differs, None, "{} at byte {at}", case.display());
        assert_eq!(sandboxed, linked, "{} at byte {at}", case.display());
        records_bytes += linked.records.len();
        at += linked.consumed;
        match linked.stop {
            None => assert_eq!(at, end),
            Some(Stop::Unknown(question)) => {
                let facts = catalog.answer(&question, Lsn(0), CatalogAt::End);
                component.learn(&facts).unwrap();
                native.learn(&facts).unwrap();
            }
            Some(Stop::Replay(xid)) => panic!("{}: {xid} was streamed", case.display()),
            Some(Stop::Failed(error)) => panic!("{}: {error}", case.display()),
        }
    }
    assert_eq!(
        component.save().unwrap(),
        native.save().unwrap(),
        "{}",
        case.display()
    );
    records_bytes
}

fn open(limits: Limits) -> Engine {
    let mut engine = Engine::open_within(limits, EngineKind::Component, &[]).unwrap();
    let column = |name: &str, type_| ColumnFacts {
        name: name.to_owned(),
        type_,
        typmod: -1,
        not_null: false,
        default: None,
    };
    let notes = RelationFacts {
        oid: RELATION_OID,
        namespace: "public".to_owned(),
        name: "notes".to_owned(),
        columns: vec![column("id", INT4), column("note", TEXT)],
        primary_key: vec!["id".to_owned()],
        unique_indexes: Vec::new(),
    };
    engine
        .learn(&Facts {
            types: Vec::new(),
            relations: vec![notes],
        })
        .unwrap();
    engine
}

fn decode(engine: &mut Engine, frames: &[u8]) -> Result<Decoded, EngineError> {
    let decoded = engine.decode(frames, 0)?;
    assert_eq!(decoded.stop, None);
    Ok(decoded)
}

const RELATION_OID: u32 = 16_384;
const INT4: u32 = 23;
const TEXT: u32 = 25;

/// One pgoutput message as the server sends it: `XLogData` in `CopyData`.
fn frame(message: &[u8]) -> Vec<u8> {
    let copy_data = u32::try_from(29 + message.len()).unwrap();
    let lsn = 0x0150_0000_u64.to_be_bytes();
    [
        &b"d"[..],
        &copy_data.to_be_bytes(),
        b"w",
        &lsn,
        &lsn,
        &[0; 8],
        message,
    ]
    .concat()
}

fn begin() -> Vec<u8> {
    frame(
        &[
            &b"B"[..],
            &0x0150_0100_u64.to_be_bytes(),
            &[0; 8],
            &742_u32.to_be_bytes(),
        ]
        .concat(),
    )
}

fn relation() -> Vec<u8> {
    let mut message = [&b"R"[..], &RELATION_OID.to_be_bytes(), b"public\0notes\0d"].concat();
    message.extend(2_u16.to_be_bytes());
    for (key, name, type_oid) in [(1, "id", INT4), (0, "note", TEXT)] {
        message.push(key);
        message.extend(name.bytes());
        message.push(0);
        message.extend(type_oid.to_be_bytes());
        message.extend((-1_i32).to_be_bytes());
    }
    frame(&message)
}

fn insert(note: &str) -> Vec<u8> {
    let mut message = [&b"I"[..], &RELATION_OID.to_be_bytes(), b"N"].concat();
    message.extend(2_u16.to_be_bytes());
    for value in ["1", note] {
        message.push(b't');
        message.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        message.extend(value.bytes());
    }
    frame(&message)
}
