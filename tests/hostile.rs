//! Bytes a server would not send: every prefix and every damaged byte of real messages ends in an
//! event or an error, never in a panic, and what comes out is JSON.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

use pgoutput_decoder_host::Lsn;
use pgoutput_decoder_host::capture::{Capture, Catalog, CatalogAt};
use pgoutput_decoder_host::engine::{Engine, EngineKind, Stop};
use pgoutput_decoder_host::records::TopicTable;
use pgoutput_decoder_tests::{cases, folder};
use serde_json::value::RawValue;

/// Of the frames' own header; the message follows.
const HEADER_BYTES: usize = 30;

/// A decoder in the middle of a capture, which damaged frames are tried on.
struct Bench {
    engine: Engine,
    topics: TopicTable,
    catalog: Catalog,
    accepted: u64,
    refused: u64,
}

impl Bench {
    /// Passes one frame; one that is refused is skipped.
    fn pass(&mut self, bytes: &[u8]) {
        let decoded = self.engine.decode(bytes, 0).unwrap();
        for event in self.topics.read(decoded.records).unwrap().events() {
            for json in [event.key(), event.value(), Some(event.headers())]
                .into_iter()
                .flatten()
            {
                if let Err(error) = serde_json::from_str::<&RawValue>(json) {
                    panic!("{error} in {json}");
                }
            }
        }
        match decoded.stop {
            None => self.accepted += 1,
            Some(Stop::Failed(_)) => {
                self.refused += 1;
                self.engine.skip().unwrap();
            }
            Some(Stop::Replay(_)) => panic!("nothing was streamed"),
            Some(Stop::Unknown(question)) => {
                let facts = self.catalog.answer(&question, Lsn(0), CatalogAt::End);
                self.engine.learn(&facts).unwrap();
                self.pass(bytes);
            }
        }
    }

    fn pass_damaged(&mut self, bytes: &[u8]) {
        // Long messages repeat themselves: their first and last bytes tell.
        let edge = 200;
        let ends = |at: &usize| *at < edge || at + edge > bytes.len();
        for length in (HEADER_BYTES..bytes.len()).filter(ends) {
            let mut prefix = bytes[..length].to_vec();
            let copy_data = u32::try_from(length - 1).unwrap();
            prefix[1..5].copy_from_slice(&copy_data.to_be_bytes());
            self.pass(&prefix);
        }
        for at in (HEADER_BYTES..bytes.len()).filter(ends) {
            for mask in [0x01, 0x80, 0xFF] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= mask;
                if !opens_or_closes(&damaged) {
                    self.pass(&damaged);
                }
            }
        }
    }
}

#[test]
fn damaged_messages_end_in_an_event_or_an_error() {
    let (mut accepted, mut refused) = (0, 0);
    for case in cases().unwrap() {
        let case = folder().join(case.name);
        for format in ["debezium", "native"] {
            let options = [("format".into(), format.into())];
            let mut bench = Bench {
                engine: Engine::open(EngineKind::Native, &options).unwrap(),
                topics: TopicTable::default(),
                catalog: Catalog::open(&case.join("catalog.json")).unwrap(),
                accepted: 0,
                refused: 0,
            };
            let capture = Capture::open(&case.join("pgoutput.jsonl")).unwrap();
            // Every message of a short stream, some of a long one.
            let step = capture.len().div_ceil(200).max(1);
            for at in 0..capture.len() {
                let bytes = capture.frame(at).unwrap();
                // Transactions must begin and end as they did, or nothing inside them is tried.
                if at % step == 0 && !opens_or_closes(bytes) {
                    bench.pass_damaged(bytes);
                }
                bench.pass(bytes);
            }
            accepted += bench.accepted;
            refused += bench.refused;
        }
    }
    println!("{accepted} messages accepted, {refused} refused");
    assert!(
        accepted > 10_000 && refused > 100_000,
        "the vectors hardly tried anything"
    );
}

fn opens_or_closes(frame: &[u8]) -> bool {
    matches!(
        frame.get(HEADER_BYTES),
        // The last six open or decide streamed and prepared transactions.
        Some(b'B' | b'C' | b'S' | b'b' | b'c' | b'K' | b'E' | b'P')
    )
}
