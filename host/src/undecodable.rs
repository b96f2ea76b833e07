//! A change that cannot be decoded: what is to be done with it, and the file it is parked in.
//!
//! The one place of the host that looks into a pgoutput message, and only where changes are not to
//! stop the stream: at its kind, at the relation's OID behind that, and at a relation's name. To be
//! decoded again, a change needs its relation's message, the catalogs' facts of it, and a
//! transaction around it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::json;

use crate::capture::{frame_line, stage_line};
use crate::engine::Facts;
use crate::error::Error;
use crate::frames::POSTGRES_EPOCH_US;
use crate::lsn::Lsn;
use crate::records::{Begin, Position};
use crate::stash::{blocking, first_lsn, frame_bytes};

/// What is done with a change that cannot be decoded, or whose decoding takes more memory or time
/// than it may.
///
/// What is not a change, and cannot be decoded, ends the stream whatever is said here: nothing
/// behind it could be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnUndecodable {
    /// The stream ends with an error, and nothing behind the change is confirmed.
    #[default]
    Stop,
    /// It is passed over, counted ([`Status::skipped`](crate::Status::skipped)) and warned of: its
    /// LSN, relation and what is wrong.
    Skip,
    /// It is appended to this file, which is on the disk before the change can be confirmed, and
    /// passed over; `pgoutput-decoder decode --capture FILE` decodes it later. The file, of mode
    /// 0600, holds rows' values.
    Park(PathBuf),
}

impl FromStr for OnUndecodable {
    type Err = Error;

    /// `stop`, `skip`, `park:FILE`, or `park`: `pgoutput-parked.jsonl`, where the program runs.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse("on_undecodable", text)
    }
}

impl OnUndecodable {
    /// The same, of a setting of any name.
    ///
    /// # Errors
    /// [`Error::Configuration`] for anything else.
    pub fn parse(setting: &str, text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            None if text == "stop" => Ok(Self::Stop),
            None if text == "skip" => Ok(Self::Skip),
            None if text == "park" => Ok(Self::Park("pgoutput-parked.jsonl".into())),
            Some(("park", file)) if !file.is_empty() => Ok(Self::Park(file.into())),
            _ => Err(Error::configuration(
                setting,
                "expected \"stop\", \"skip\", \"park\" or \"park:FILE\"",
            )),
        }
    }
}

/// What of the stream is needed to pass a change over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// The transaction that is open.
    open: Option<Begin>,
    /// Its changes so far.
    changes: u32,
    /// Of the transaction whose streamed messages come, which name a subtransaction.
    streamed: Option<u32>,
    /// Messages of relations by OID, the last ones, without a subtransaction. Those that came with
    /// a streamed transaction are its own until it commits, and everybody's from then on: the
    /// server does not send them again.
    relations: BTreeMap<(Option<u32>, u32), Vec<u8>>,
    /// What the catalogs said of them.
    facts: BTreeMap<u32, Facts>,
    /// Those passed over last, by position and LSN. They come again when the connection is lost,
    /// and may do so in another form: what was streamed and is prepared by then comes in one piece.
    last: Option<(Position, Vec<Lsn>)>,
}

/// Tells a frame from others, also when it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameId {
    lsn: Lsn,
    message: u64,
}

/// A change that is passed over.
pub(crate) struct Undecodable<'a> {
    pub(crate) frame: &'a [u8],
    pub(crate) position: Position,
    pub(crate) reason: &'a str,
}

impl FrameId {
    pub(crate) fn of(frame: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(message(frame));
        Self {
            lsn: first_lsn(frame),
            message: hasher.finish(),
        }
    }

    /// Whether it may be `frame`: cheap.
    pub(crate) fn is_at(self, frame: &[u8]) -> bool {
        self.lsn == first_lsn(frame)
    }
}

impl Context {
    /// A new connection: the server describes every relation again.
    pub(crate) fn connected(&mut self) {
        let last = self.last.take();
        *self = Self {
            last,
            ..Self::default()
        };
    }

    /// These frames have been decoded, or stashed.
    pub(crate) fn passed(&mut self, frames: &[u8]) {
        self.walk(frames, &[], |_, _, _| {});
    }

    /// The same, and stops at each change, with its place in the stream. `begins` are those of the
    /// transactions that begin in the frames.
    pub(crate) fn walk(
        &mut self,
        mut frames: &[u8],
        begins: &[Begin],
        mut at_change: impl FnMut(&Self, Position, &[u8]),
    ) {
        // Of what was stashed, the frames say when it begins nowhere.
        if let Some(begin) = begins.first()
            && kind(frames) != Some(b'B')
            && self.open.is_none()
        {
            self.open = Some(*begin);
        }
        while !frames.is_empty() {
            let (frame, rest) = frames.split_at(frame_bytes(frames));
            if kind(frame) == Some(b'B') {
                let commit_lsn = message(frame).get(1..).and_then(<[u8]>::first_chunk::<8>);
                let commit_lsn = commit_lsn.map(|lsn| Lsn(u64::from_be_bytes(*lsn)));
                let begin = begins
                    .iter()
                    .find(|begin| Some(begin.commit_lsn) == commit_lsn);
                self.open = begin.copied().or(self.open);
            }
            if is_change(frame) {
                at_change(self, self.position(frame), frame);
            }
            match kind(frame) {
                Some(b'S') => self.streamed = number(frame, 1),
                Some(b'c') => self.keep_relations(number(frame, 1)),
                Some(b'B' | b'b') => {
                    self.streamed = None;
                    self.changes = 0;
                }
                Some(b'I' | b'U' | b'D' | b'T') => self.changes = self.changes.saturating_add(1),
                Some(b'R') => {
                    if let Some(oid) = self.relation_oid(frame) {
                        let rest = message(frame).get(self.form_bytes()..).unwrap_or_default();
                        let relation = [b"R", rest].concat();
                        self.relations.insert((self.streamed, oid), relation);
                    }
                }
                _ => {}
            }
            frames = rest;
        }
    }

    pub(crate) fn begin(&mut self, begin: Begin) {
        self.open = Some(begin);
    }

    pub(crate) fn commit(&mut self) {
        self.open = None;
    }

    /// What was stashed of a transaction comes again.
    pub(crate) fn replaying(&mut self) {
        self.changes = 0;
        self.streamed = None;
    }

    pub(crate) fn learn(&mut self, relation: u32, facts: &Facts) {
        self.facts.insert(relation, facts.clone());
    }

    /// What comes may be another history: nothing of it has been passed over.
    pub(crate) fn rewind(&mut self) {
        self.last = None;
    }

    /// A change that is passed over now: where it stands, unless it has been passed over before.
    pub(crate) fn pass_over(&mut self, frame: &[u8]) -> Option<Position> {
        let position = self.position(frame);
        if !is_message(frame) {
            self.changes = self.changes.saturating_add(1);
        }
        self.is_first(position, first_lsn(frame))
            .then_some(position)
    }

    /// Where a change stands that comes next.
    fn position(&self, frame: &[u8]) -> Position {
        let own = u32::from(!is_message(frame));
        Position {
            commit_lsn: self.open.map_or(first_lsn(frame), |begin| begin.commit_lsn),
            index: self.open.map_or(0, |_| self.changes.saturating_add(own)),
            sub: 0,
        }
    }

    /// Whether a change has not been passed over before, as it is from now on.
    pub(crate) fn is_first(&mut self, position: Position, at: Lsn) -> bool {
        match &mut self.last {
            Some((last, _)) if *last > position => return false,
            Some((last, lsns)) if *last == position => {
                if lsns.contains(&at) {
                    return false;
                }
                lsns.push(at);
            }
            last => *last = Some((position, vec![at])),
        }
        true
    }

    /// What a warning says of it.
    pub(crate) fn describe(&self, undecodable: &Undecodable<'_>) -> String {
        let Undecodable {
            frame,
            position,
            reason,
        } = undecodable;
        let kind = kind(frame).unwrap_or_default().escape_ascii();
        let of = match self.relation_name(frame) {
            Some(name) => format!(" of {name}"),
            None => String::new(),
        };
        format!(
            "message '{kind}'{of} at LSN {}, position {position}: {reason}",
            first_lsn(frame)
        )
    }

    /// Lines of a capture that has this change alone.
    pub(crate) fn lines(&self, undecodable: &Undecodable<'_>) -> String {
        let frame = undecodable.frame;
        let at = first_lsn(frame);
        let (first, last) = match self.open {
            None => (None, Vec::new()),
            Some(begin) if self.streamed.is_some() => (
                Some(parts(&[b"S", &begin.xid.to_be_bytes(), &[1]])),
                vec![b"E".to_vec(), {
                    let commit = commit(&begin);
                    parts(&[b"c", &begin.xid.to_be_bytes(), &commit])
                }],
            ),
            Some(begin) => (
                Some(parts(&[
                    b"B",
                    &begin.commit_lsn.0.to_be_bytes(),
                    &since_2000(begin.commit_ts_us).to_be_bytes(),
                    &begin.xid.to_be_bytes(),
                ])),
                vec![parts(&[b"C", &commit(&begin)])],
            ),
        };
        let of = self.relation_oid(frame);
        let needed = |(_, oid): &(Option<u32>, u32)| {
            // A TRUNCATE may name several.
            kind(frame) == Some(b'T') || of == Some(*oid)
        };
        // Those of the transaction come last, and replace the others.
        let relations: BTreeMap<u32, &Vec<u8>> = self
            .relations
            .iter()
            .filter(|(key, _)| (key.0.is_none() || key.0 == self.streamed) && needed(key))
            .map(|((_, oid), relation)| (*oid, relation))
            .collect();
        let facts = relations.keys().filter_map(|oid| self.facts.get(oid));
        // What is known of a type was told with the first relation that has it.
        let types = self.facts.values().flat_map(|facts| &facts.types);
        let sent = sent_at_us(frame);
        let mut lines = stage_line(
            Lsn(at.0.saturating_add(1)),
            types,
            facts.flat_map(|facts| &facts.relations),
        );
        if let Some(message) = first {
            lines.push_str(&frame_line(at, sent, &message, None));
        }
        for relation in relations.values() {
            let form: &[u8] = match (self.streamed, self.open) {
                (Some(_), Some(begin)) => &begin.xid.to_be_bytes(),
                _ => &[],
            };
            let rest = relation.get(1..).unwrap_or_default();
            let relation = parts(&[b"R", form, rest]);
            lines.push_str(&frame_line(Lsn(0), sent, &relation, None));
        }
        let parked = json!({
            "position": undecodable.position.to_string(),
            "reason": undecodable.reason,
        });
        lines.push_str(&frame_line(at, sent, message(frame), Some(parked)));
        for message in last {
            lines.push_str(&frame_line(at, sent, &message, None));
        }
        lines
    }

    fn relation_oid(&self, frame: &[u8]) -> Option<u32> {
        match kind(frame)? {
            b'I' | b'U' | b'D' | b'R' => {}
            _ => return None,
        }
        number(frame, self.form_bytes())
    }

    /// What is in front of a message's own fields: its kind, and maybe a subtransaction.
    fn form_bytes(&self) -> usize {
        if self.streamed.is_some() { 5 } else { 1 }
    }

    /// A streamed transaction is committed.
    fn keep_relations(&mut self, xid: Option<u32>) {
        let of = |(of, _): &(Option<u32>, u32)| of.is_some() && *of == xid;
        let keys: Vec<_> = self.relations.keys().copied().filter(of).collect();
        for key in keys {
            if let Some(relation) = self.relations.remove(&key) {
                self.relations.insert((None, key.1), relation);
            }
        }
    }

    fn relation_name(&self, frame: &[u8]) -> Option<String> {
        let oid = self.relation_oid(frame)?;
        let own = self.relations.get(&(self.streamed, oid));
        let relation = own.or_else(|| self.relations.get(&(None, oid)))?;
        let names = relation.get(5..)?;
        let mut names = names.split(|byte| *byte == 0);
        let schema = String::from_utf8_lossy(names.next()?);
        let table = String::from_utf8_lossy(names.next()?);
        Some(format!("{schema}.{table}"))
    }
}

/// Whether it is a change, or a logical message: what can be passed over.
pub(crate) fn is_change(frame: &[u8]) -> bool {
    matches!(kind(frame), Some(b'I' | b'U' | b'D' | b'T' | b'M'))
}

/// Whether it is a logical message.
pub(crate) fn is_message(frame: &[u8]) -> bool {
    kind(frame) == Some(b'M')
}

/// A frame that says of a change what it belongs to, and no more: a decoder stashes it as it would
/// stash the change, or cannot decode it.
pub(crate) fn stand_in(frame: &[u8]) -> Vec<u8> {
    let mut stand_in: Vec<u8> = frame.iter().copied().take(HEAD_BYTES + 5).collect();
    let length = u32::try_from(stand_in.len().saturating_sub(1)).unwrap_or(0);
    if let Some(field) = stand_in.get_mut(1..5) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    stand_in
}

/// Opens the file, and makes it if it is not there.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Appends to the file, and returns when it is on the disk.
pub(crate) fn append(path: &Path, lines: &str) -> io::Result<()> {
    blocking(|| {
        let mut file = open(path)?;
        let before = file.metadata()?.len();
        let written = file
            .write_all(lines.as_bytes())
            .and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line would spoil those that follow. Where that fails too, there is no more.
            let _ = file.set_len(before);
        }
        written
    })
}

fn message(frame: &[u8]) -> &[u8] {
    frame.get(HEAD_BYTES..).unwrap_or_default()
}

/// A number of the message.
fn number(frame: &[u8], at: usize) -> Option<u32> {
    let bytes = message(frame).get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}

fn kind(frame: &[u8]) -> Option<u8> {
    message(frame).first().copied()
}

/// The server's clock, µs since 1970-01-01.
fn sent_at_us(frame: &[u8]) -> i64 {
    let clock = frame.get(22..).and_then(<[u8]>::first_chunk::<8>);
    let clock = clock.map_or(0, |clock| i64::from_be_bytes(*clock));
    clock.saturating_add(POSTGRES_EPOCH_US)
}

fn since_2000(us: i64) -> i64 {
    us.saturating_sub(POSTGRES_EPOCH_US)
}

/// Flags, commit and end LSN, and time, as the messages that commit end.
fn commit(begin: &Begin) -> Vec<u8> {
    let lsn = begin.commit_lsn.0.to_be_bytes();
    parts(&[
        &[0],
        &lsn,
        &lsn,
        &since_2000(begin.commit_ts_us).to_be_bytes(),
    ])
}

fn parts(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Of a frame, before its message.
const HEAD_BYTES: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_their_words() {
        let parse = |text: &str| text.parse::<OnUndecodable>();
        assert_eq!(parse("stop").unwrap(), OnUndecodable::Stop);
        assert_eq!(parse("skip").unwrap(), OnUndecodable::Skip);
        let file = OnUndecodable::Park("/var/lib/a:b".into());
        assert_eq!(parse("park:/var/lib/a:b").unwrap(), file);
        let usual = OnUndecodable::Park("pgoutput-parked.jsonl".into());
        assert_eq!(parse("park").unwrap(), usual);
        for text in ["", "park:", "fail", "skip:x"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("\"park:FILE\""), "{text}: {error}");
        }
    }
}
