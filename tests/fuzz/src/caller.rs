//! What a host does around a decoder, with every promise of `wit/decoding.wit` looked after.

use std::collections::BTreeMap;
use std::rc::Rc;

use pgoutput_decoder::{
    DecodeError, DecodeErrorKind, Decoded, Decoder, Facts, Options, Question, Stop,
};
use serde_json::value::RawValue;

/// The clock of every call.
const NOW_US: i64 = 1_700_000_000_123_456;

/// A decoder and its host.
#[derive(Clone)]
pub struct Caller<'f> {
    decoder: Decoder,
    answer: &'f dyn Fn(&Question) -> Facts,
    /// By transaction.
    stash: BTreeMap<u32, Vec<Stashed>>,
    /// LSN of the PREPARE by xid.
    prepared: BTreeMap<u32, u64>,
    topics: BTreeMap<u32, Vec<u8>>,
    /// Of the transaction that has begun and was not committed.
    open: Option<Open>,
    /// What came out so far.
    pub lines: Vec<Line>,
    /// What was refused.
    pub errors: Vec<DecodeError>,
    /// What was called, if it is wanted.
    pub calls: Option<Vec<Call>>,
}

/// Frames, and their subtransaction.
type Stashed = (u32, Rc<[u8]>);

#[derive(Clone)]
struct Open {
    commit_lsn: u64,
    events: u32,
    position: (u32, u32),
}

/// A record without what depends on how the stream arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A transaction begins.
    Begin(Vec<u8>),
    /// And ends.
    Commit(Vec<u8>),
    /// An event, with its topic's record instead of the topic's number.
    Event {
        /// The topic record, its number zeroed.
        topic: Vec<u8>,
        /// The event record, its topic's number zeroed.
        record: Vec<u8>,
    },
}

/// A call of the decoder.
#[derive(Clone, Debug)]
pub enum Call {
    /// Facts were given.
    Learn(Facts),
    /// Frames were given.
    Decode(Vec<u8>),
    /// A frame was given up.
    Skip,
}

impl<'f> Caller<'f> {
    /// A host with a new decoder, which answers its questions like this.
    pub fn new(options: Options, answer: &'f dyn Fn(&Question) -> Facts) -> Self {
        Self {
            decoder: Decoder::new(options),
            answer,
            stash: BTreeMap::new(),
            prepared: BTreeMap::new(),
            topics: BTreeMap::new(),
            open: None,
            lines: Vec::new(),
            errors: Vec::new(),
            calls: None,
        }
    }

    /// Keeps every call from here on.
    pub fn recording(mut self) -> Self {
        self.calls = Some(Vec::new());
        self
    }

    /// A host whose decoder goes on where a saved one stood.
    pub fn restored(mut self, saved: &[u8]) -> Self {
        self.decoder.restore(saved).unwrap();
        self
    }

    /// What a successor needs.
    pub fn save(&self) -> Vec<u8> {
        self.decoder.save()
    }

    /// Gives facts no one asked for.
    pub fn learn(&mut self, facts: Facts) {
        if let Some(calls) = &mut self.calls {
            calls.push(Call::Learn(facts.clone()));
        }
        self.decoder.learn(facts);
    }

    /// Transactions whose frames are stashed.
    pub fn undecided(&self) -> Vec<u32> {
        self.stash.keys().copied().collect()
    }

    /// Passes whole frames, and does what the decoder says until they are used up. A frame that
    /// cannot be decoded is given up.
    pub fn pass(&mut self, frames: &[u8]) {
        let mut rest = frames;
        let mut asked = 0;
        while !rest.is_empty() {
            let decoded = self.decode(rest);
            assert!(decoded.consumed <= rest.len(), "used more than was given");
            if decoded.consumed > 0 {
                asked = 0;
            }
            rest = &rest[decoded.consumed..];
            match decoded.stop {
                None => assert!(decoded.consumed > 0, "stands still"),
                Some(Stop::Unknown(question)) => {
                    asked += 1;
                    assert!(asked < 3, "{question:?} was answered");
                    self.learn((self.answer)(&question));
                }
                Some(Stop::Failed(error)) => {
                    self.refused(rest, &error);
                    rest = &rest[frame_bytes(rest)..];
                    self.errors.push(error);
                }
                Some(Stop::Replay(xid)) => {
                    asked += 1;
                    assert!(asked < 3, "transaction {xid} was replayed");
                    let stashed = self.stash.get(&xid).cloned().unwrap_or_default();
                    for (_, frames) in stashed {
                        self.pass(&frames);
                    }
                }
            }
        }
    }

    fn decode(&mut self, frames: &[u8]) -> Decoded {
        let mut records = Vec::new();
        let decoded = self.decoder.decode(frames, NOW_US, &mut records);
        if let Some(calls) = &mut self.calls {
            calls.push(Call::Decode(frames.to_vec()));
        }
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let length = u32_at(rest, 0);
            let (record, behind) = rest.split_at(usize::try_from(length).unwrap());
            self.record(record, &frames[..decoded.consumed]);
            rest = behind;
        }
        decoded
    }

    /// A decoder that failed says so again, whatever it is given, until it is told to skip.
    fn refused(&mut self, rest: &[u8], error: &DecodeError) {
        let frame = &rest[..frame_bytes(rest)];
        let offset = usize::try_from(error.offset).unwrap();
        if error.kind == DecodeErrorKind::Frame {
            assert!(offset <= rest.len(), "{error}");
        } else {
            let (head, message) = frame.split_at(super::FRAME_HEAD_BYTES);
            assert!(offset <= message.len(), "{error}");
            assert_eq!(error.message_type, message.first().copied(), "{error}");
            let lsn = u64::from_be_bytes(head[6..14].try_into().unwrap());
            let open = self.open.as_ref().map_or(0, |open| open.commit_lsn);
            assert_eq!(error.lsn.0, if lsn == 0 { open } else { lsn }, "{error}");
        }
        for again in [rest, &[], b"d\0\0\0\x04"] {
            let repeated = self.decode(again);
            assert_eq!(repeated.consumed, 0);
            assert_eq!(repeated.stop, Some(Stop::Failed(error.clone())));
        }
        if let Some(calls) = &mut self.calls {
            calls.push(Call::Skip);
        }
        self.decoder.skip();
    }

    fn record(&mut self, record: &[u8], frames: &[u8]) {
        match record[4] {
            1 => {
                let mut topic = record.to_vec();
                topic[8..12].fill(0);
                let before = self.topics.insert(u32_at(record, 8), topic);
                assert!(before.is_none(), "a topic's number is used once");
            }
            2 => {
                assert!(self.open.is_none(), "a transaction begins within another");
                self.open = Some(Open {
                    commit_lsn: u64_at(record, 8),
                    events: 0,
                    position: (0, 0),
                });
                self.lines.push(Line::Begin(record.to_vec()));
            }
            3 => {
                let open = self.open.take().expect("a transaction ends that is open");
                assert_eq!(open.commit_lsn, u64_at(record, 8));
                assert_eq!(open.events, u32_at(record, 28), "events of the transaction");
                self.lines.push(Line::Commit(record.to_vec()));
            }
            4 => self.event(record),
            5 => {
                let start = usize::try_from(u64_at(record, 16)).unwrap();
                let bytes = usize::try_from(u64_at(record, 24)).unwrap();
                let kept: Rc<[u8]> = frames[start..][..bytes].into();
                if let [b'b', rest @ ..] = &kept[super::FRAME_HEAD_BYTES..] {
                    let lsn = rest.first_chunk().map(|lsn| u64::from_be_bytes(*lsn));
                    let told = self.prepared.get(&u32_at(record, 8)).copied();
                    assert_eq!(told, lsn, "LSN of a PREPARE");
                }
                let stash = self.stash.entry(u32_at(record, 8)).or_default();
                stash.push((u32_at(record, 12), kept));
            }
            6 => {
                let (xid, subxid) = (u32_at(record, 8), u32_at(record, 12));
                if xid == subxid {
                    self.stash.remove(&xid);
                    self.prepared.remove(&xid);
                } else if let Some(stash) = self.stash.get_mut(&xid) {
                    stash.retain(|(of, _)| *of != subxid);
                }
            }
            7 => {
                assert_eq!(record.len(), 24, "length of a prepared record");
                self.prepared.insert(u32_at(record, 8), u64_at(record, 16));
            }
            kind => panic!("there is no record kind {kind}"),
        }
    }

    fn event(&mut self, record: &[u8]) {
        let number = |at| usize::try_from(u32_at(record, at)).unwrap();
        let lengths = [48, 52, 56].map(number);
        let mut at = 88;
        let [key, value, headers] = lengths.map(|length| {
            at += length;
            str::from_utf8(&record[at - length..at]).expect("UTF-8")
        });
        assert_eq!(record.len(), at + 4 * number(60), "length of the event");
        for json in [key, value, headers] {
            if !json.is_empty()
                && let Err(error) = serde_json::from_str::<&RawValue>(json)
            {
                panic!("{error} in {json}");
            }
        }
        for part in [64, 72, 80] {
            let part = &value[number(part)..][..number(part + 4)];
            let whole = part.is_empty() || part == "null" || part.starts_with(['{', '"']);
            assert!(whole, "a part of the value: {part}");
        }
        let index = (u32_at(record, 16), u32_at(record, 20));
        if record[6] & 2 == 0 {
            let open = self.open.as_mut().expect("an event is of a transaction");
            assert_eq!(open.commit_lsn, u64_at(record, 8));
            assert!(open.events == 0 || open.position < index, "positions rise");
            open.position = index;
            open.events += 1;
        }
        let mut record = record.to_vec();
        let topic = self
            .topics
            .get(&u32_at(&record, 44))
            .expect("a topic that was named");
        record[44..48].fill(0);
        self.lines.push(Line::Event {
            topic: topic.clone(),
            record,
        });
    }
}

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("lines", &self.lines.len())
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

/// Bytes of the first frame; all there are where it is not whole.
fn frame_bytes(frames: &[u8]) -> usize {
    let length = frames.get(1..5).map_or(usize::MAX, |length| {
        usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap()
    });
    length.saturating_add(1).min(frames.len())
}

fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(record[at..at + 4].try_into().unwrap())
}

fn u64_at(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().unwrap())
}
