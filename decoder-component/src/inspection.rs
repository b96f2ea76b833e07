//! The interface `inspection`.

use alloc::vec::Vec;
use core::cell::RefCell;

use pgoutput_decoder::inspection as inner;

use crate::exports::inspection;

/// The exported resource.
pub(crate) struct Inspector(RefCell<inner::Inspector>);

impl inspection::GuestInspector for Inspector {
    fn new() -> Self {
        Self(RefCell::new(inner::Inspector::new()))
    }

    fn messages(&self, frames: Vec<u8>) -> Vec<inspection::Message> {
        let messages = self.0.borrow_mut().messages(&frames);
        messages.into_iter().map(message).collect()
    }

    fn fields(&self, frame: Vec<u8>) -> Vec<inspection::Field> {
        let fields = self.0.borrow_mut().fields(&frame);
        let field = |field: inner::Field| inspection::Field {
            offset: u32_of(field.offset),
            bytes: u32_of(field.bytes),
            name: field.name,
            value: field.value,
        };
        fields.into_iter().map(field).collect()
    }

    fn redact(&self, mut frames: Vec<u8>) -> Vec<u8> {
        self.0.borrow_mut().redact(&mut frames);
        frames
    }
}

fn message(message: inner::Message) -> inspection::Message {
    inspection::Message {
        offset: u32_of(message.offset),
        bytes: u32_of(message.bytes),
        lsn: message.lsn,
        wal_end: message.wal_end,
        clock_us: message.clock_us,
        message_type: message.message_type,
        xid: message.xid,
        subxid: message.subxid,
        in_chunk: message.in_chunk,
        commit_lsn: message.commit_lsn,
        relations: message.relations,
        name: message.name,
        columns: message.columns,
        problem: message.problem,
    }
}

/// A list is shorter than that.
fn u32_of(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
