//! pgoutput's messages as the server writes them, of every protocol version.

/// A `CopyData` message with `XLogData` in it.
pub fn frame(lsn: u64, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len() + 29).unwrap();
    let mut frame = vec![b'd'];
    frame.extend(length.to_be_bytes());
    frame.push(b'w');
    frame.extend(lsn.to_be_bytes());
    frame.extend(lsn.to_be_bytes());
    frame.extend([0; 8]);
    frame.extend(message);
    frame
}

/// Bytes before the message in a frame.
pub const FRAME_HEAD_BYTES: usize = 30;

/// A message being written.
#[derive(Clone, Debug)]
pub struct Message(pub Vec<u8>);

/// One column of a tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocol's own words")]
pub enum Cell {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

/// One column of a relation.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the protocol's own words")]
pub struct Column {
    pub in_identity: bool,
    pub name: String,
    pub type_oid: u32,
    pub typmod: i32,
}

/// When and where a transaction was committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    pub(crate) lsn: u64,
    pub(crate) end_lsn: u64,
    pub(crate) ts: i64,
}

impl Message {
    /// A message of protocol 1, or one between the segments of streamed transactions.
    pub fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    /// A message of a streamed transaction names its subtransaction.
    pub fn of(kind: u8, subxid: Option<u32>) -> Self {
        match subxid {
            Some(xid) => Self::new(kind).u32(xid),
            None => Self::new(kind),
        }
    }

    #[expect(missing_docs, reason = "what the name says")]
    pub fn u8(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    #[expect(missing_docs, reason = "what the name says")]
    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    #[expect(missing_docs, reason = "what the name says")]
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    #[expect(missing_docs, reason = "what the name says")]
    pub fn i64(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Ended by a zero byte.
    pub fn cstr(mut self, text: &str) -> Self {
        self.0.extend(text.as_bytes());
        self.u8(0)
    }

    /// With its length before it.
    pub fn sized(mut self, bytes: &[u8]) -> Self {
        self = self.u32(u32::try_from(bytes.len()).unwrap());
        self.0.extend(bytes);
        self
    }

    /// Flags, LSNs and time, as Commit, Stream Commit and Commit Prepared have them.
    pub(crate) fn commit(self, commit: Commit) -> Self {
        self.u8(0)
            .u64(commit.lsn)
            .u64(commit.end_lsn)
            .i64(commit.ts)
    }

    /// The tuple's kind and its cells.
    pub fn tuple(mut self, kind: u8, cells: &[Cell]) -> Self {
        self = self.u8(kind);
        self.0
            .extend(u16::try_from(cells.len()).unwrap().to_be_bytes());
        for cell in cells {
            self = match cell {
                Cell::Null => self.u8(b'n'),
                Cell::Unchanged => self.u8(b'u'),
                Cell::Text(text) => self.u8(b't').sized(text),
                Cell::Binary(value) => self.u8(b'b').sized(value),
            };
        }
        self
    }

    /// What a Relation says behind its OID.
    pub fn columns(self, name: &str, columns: &[Column]) -> Self {
        let mut message = self.cstr("public").cstr(name).u8(b'd');
        let count = u16::try_from(columns.len()).unwrap();
        message.0.extend(count.to_be_bytes());
        for column in columns {
            message = message
                .u8(u8::from(column.in_identity))
                .cstr(&column.name)
                .u32(column.type_oid)
                .u32(column.typmod.cast_unsigned());
        }
        message
    }

    /// The message in a frame.
    pub fn frame(&self, lsn: u64) -> Vec<u8> {
        frame(lsn, &self.0)
    }
}
