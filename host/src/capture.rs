//! Streams recorded by other means than ours: frames from a `pgoutput.jsonl`, catalog facts from a
//! `catalog.json`. [`Replay`](crate::recording::Replay) decodes the one against the other.

mod catalog;
mod write;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use self::catalog::{Catalog, CatalogAt};
pub(crate) use self::write::{frame_line, hex, stage_line};
use crate::frames::{POSTGRES_EPOCH_US, push_frame};
use crate::lsn::Lsn;
use crate::recording::RecordingError;

/// A recorded stream, its messages in the wire form `wit/decoding.wit` wants.
///
/// The file holds one JSON object a line, in the order of the stream: `lsn` and `end_lsn` (start
/// and end of WAL as `X/X`), `server_ts_us` (µs since 1970-01-01) and `hex` (the pgoutput message).
/// Between them there may be stages of a catalog: see [`Catalog::of_capture`].
pub struct Capture {
    path: PathBuf,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    sent_at_us: i64,
}

struct Frame {
    /// Where it ends in `bytes`.
    end: usize,
    /// Of its own; of the next frame that has one for Relation and Type, which are sent with 0/0.
    lsn: Lsn,
    line: usize,
}

/// A file that is no capture or no catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// JSON, but not a catalog's, or no JSON.
    #[error("{}: not a catalog with stages of types and relations", path.display())]
    Catalog {
        /// The file.
        path: PathBuf,
        /// What was expected where.
        source: serde_json::Error,
    },
    /// A line of a capture is not what it must be. Holds nothing of the line itself.
    #[error("{}, line {line}: expected {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It begins as a recording in blocks does, and is none that can be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A catalog without stages has no facts to give.
    #[error("{}: a catalog with at least one stage was expected", path.display())]
    Stages {
        /// The file.
        path: PathBuf,
    },
}

impl Capture {
    /// Reads the whole file.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::parse(path, &read(path)?)
    }

    /// Parses `text`; `path` is named in errors. Empty lines are passed over.
    pub fn parse(path: &Path, text: &str) -> Result<Self, CaptureError> {
        let mut capture = Self {
            path: path.to_owned(),
            bytes: Vec::with_capacity(text.len() / 2),
            frames: Vec::new(),
            sent_at_us: 0,
        };
        for (index, line) in text.lines().enumerate() {
            if !line.trim().is_empty() && !catalog::is_stage(line) {
                capture
                    .push(index + 1, line)
                    .map_err(|expected| CaptureError::Line {
                        path: path.to_owned(),
                        line: index + 1,
                        expected,
                    })?;
            }
        }
        let mut next = Lsn(0);
        for frame in capture.frames.iter_mut().rev() {
            if frame.lsn == Lsn(0) {
                frame.lsn = next;
            }
            next = frame.lsn;
        }
        Ok(capture)
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether the capture holds no message.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frame `index`, counted from 0, in wire form.
    pub fn frame(&self, index: usize) -> Option<&[u8]> {
        (index < self.len()).then(|| self.span(index, index + 1))
    }

    /// When the server sent the last message, µs since 1970-01-01: the decoder's `now` throughout
    /// a replay, which makes its output the same each time.
    pub fn sent_at_us(&self) -> i64 {
        self.sent_at_us
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where frame `index` is in the file: its line, counted from 1.
    pub(crate) fn line(&self, index: usize) -> usize {
        self.frames.get(index).map_or(0, |frame| frame.line)
    }

    /// A frame's own LSN; of the next frame that has one for Relation and Type.
    pub(crate) fn lsn(&self, index: usize) -> Option<Lsn> {
        self.frames.get(index).map(|frame| frame.lsn)
    }

    /// Behind the frames from `first` on that fit into so many bytes, and at least one.
    pub(crate) fn batch_end(&self, first: usize, bytes_max: usize) -> usize {
        let start = self.start(first);
        let rest = self.frames.get(first..).unwrap_or_default();
        let fits = |frame: &&Frame| frame.end - start <= bytes_max;
        first + rest.iter().take_while(fits).count().max(rest.len().min(1))
    }

    /// The frame behind so many bytes of those from `first` on.
    pub(crate) fn index_behind(&self, first: usize, bytes: usize) -> usize {
        let end = self.start(first) + bytes;
        let rest = self.frames.get(first..).unwrap_or_default();
        first + rest.partition_point(|frame| frame.end <= end)
    }

    /// Frames `from..to`, one after the other.
    pub(crate) fn span(&self, from: usize, to: usize) -> &[u8] {
        self.bytes
            .get(self.start(from)..self.start(to))
            .unwrap_or_default()
    }

    fn start(&self, index: usize) -> usize {
        let before = index.checked_sub(1).and_then(|last| self.frames.get(last));
        before.map_or(0, |frame| frame.end)
    }

    fn push(&mut self, number: usize, line: &str) -> Result<(), &'static str> {
        let line: Line<'_> = serde_json::from_str(line).map_err(|error| {
            if error.is_data() {
                LINE_MEMBERS
            } else {
                "one whole JSON object"
            }
        })?;
        let lsn: Lsn = line
            .lsn
            .parse()
            .map_err(|_| "an LSN such as 0/28E1250 in \"lsn\"")?;
        let end_lsn: Lsn = line
            .end_lsn
            .parse()
            .map_err(|_| "an LSN such as 0/28E1250 in \"end_lsn\"")?;
        let sent_at_us = line
            .server_ts_us
            .checked_sub(POSTGRES_EPOCH_US)
            .map(|_| line.server_ts_us)
            .ok_or("microseconds since 1970-01-01 in \"server_ts_us\"")?;
        let message =
            from_hex(line.hex.as_bytes()).ok_or("pairs of hexadecimal digits in \"hex\"")?;
        push_frame(&mut self.bytes, lsn, end_lsn, sent_at_us, &message)
            .ok_or("a message of at most 1 GiB in \"hex\"")?;
        self.frames.push(Frame {
            end: self.bytes.len(),
            lsn,
            line: number,
        });
        self.sent_at_us = self.sent_at_us.max(line.server_ts_us);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    lsn: Cow<'a, str>,
    #[serde(borrow)]
    end_lsn: Cow<'a, str>,
    server_ts_us: i64,
    #[serde(borrow)]
    hex: Cow<'a, str>,
}

fn read(path: &Path) -> Result<String, CaptureError> {
    std::fs::read_to_string(path).map_err(|source| CaptureError::Read {
        path: path.to_owned(),
        source,
    })
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|&[high, low]| Some(value(high)? << 4 | value(low)?));
    bytes.collect::<Option<_>>().filter(|_| rest.is_empty())
}

const LINE_MEMBERS: &str = "members \"lsn\", \"end_lsn\" and \"hex\" (strings) and \
                            \"server_ts_us\" (a whole number)";

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str =
        r#"{"lsn":"0/10","end_lsn":"0/18","server_ts_us":946684800000007,"hex":"42fF"}"#;
    const RELATION: &str =
        r#"{"lsn":"0/0","end_lsn":"0/0","server_ts_us":946684800000003,"hex":"52"}"#;

    fn parse(text: &str) -> Result<Capture, CaptureError> {
        Capture::parse(Path::new("c.jsonl"), text)
    }

    #[test]
    fn makes_frames_in_wire_form() {
        let capture = parse(&format!("{RELATION}\n\n{BEGIN}\n")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(capture.len(), 2);
        assert_eq!(capture.sent_at_us(), 946_684_800_000_007);
        let mut begin = vec![b'd', 0, 0, 0, 31, b'w'];
        begin.extend([0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x18]);
        begin.extend([0, 0, 0, 0, 0, 0, 0, 7, 0x42, 0xFF]);
        assert_eq!(capture.frame(1), Some(&begin[..]));
        assert_eq!(capture.frame(0).map(<[u8]>::len), Some(31));
        assert_eq!(capture.frame(2), None);
    }

    #[test]
    fn gives_a_relation_the_lsn_that_follows() {
        let capture = parse(&format!("{RELATION}\n{BEGIN}\n{RELATION}")).unwrap();
        let lsns: Vec<_> = capture.frames.iter().map(|frame| frame.lsn.0).collect();
        assert_eq!(lsns, [0x10, 0x10, 0]);
    }

    #[test]
    fn names_the_line_and_what_was_expected() {
        let message = |line: &str| match parse(&format!("{BEGIN}\n{line}\n")) {
            Ok(_) => panic!("{line} was accepted"),
            Err(error) => error.to_string(),
        };
        let members = format!("c.jsonl, line 2: expected {LINE_MEMBERS}");
        assert_eq!(
            message("{"),
            "c.jsonl, line 2: expected one whole JSON object"
        );
        assert_eq!(message(r#"{"lsn":"0/1"}"#), members);
        assert_eq!(message(&BEGIN.replace("\"42fF\"", "17")), members);
        assert_eq!(
            message(&BEGIN.replace("42fF", "42f")),
            "c.jsonl, line 2: expected pairs of hexadecimal digits in \"hex\""
        );
        assert_eq!(
            message(&BEGIN.replace("42fF", "secret")),
            "c.jsonl, line 2: expected pairs of hexadecimal digits in \"hex\""
        );
        assert_eq!(
            message(&BEGIN.replace("0/18", "zzz")),
            "c.jsonl, line 2: expected an LSN such as 0/28E1250 in \"end_lsn\""
        );
    }
}
