//! One line of JSON an event: `{"topic":…,"key":…,"value":…,"headers":…}`.

use std::sync::Arc;

use pgoutput_decoder_host::records::{Event, Topic};

/// Writes events as lines. The pieces are the decoder's own bytes.
#[derive(Default)]
pub(crate) struct JsonLines {
    /// The last event's topic, and its name as JSON.
    topic: Option<(Arc<Topic>, String)>,
}

impl JsonLines {
    /// Appends the event's line.
    pub(crate) fn write(&mut self, line: &mut Vec<u8>, event: &Event) {
        let topic = event.topic();
        if !self
            .topic
            .as_ref()
            .is_some_and(|(known, _)| Arc::ptr_eq(known, topic))
        {
            let name = serde_json::Value::from(topic.name.as_str()).to_string();
            self.topic = Some((Arc::clone(topic), name));
        }
        let name = self.topic.as_ref().map_or("null", |(_, name)| name);
        let start = line.len();
        for piece in [
            "{\"topic\":",
            name,
            ",\"key\":",
            event.key().unwrap_or("null"),
            ",\"value\":",
            event.value().unwrap_or("null"),
            ",\"headers\":",
            event.headers(),
            "}",
        ] {
            line.extend_from_slice(piece.as_bytes());
        }
        // The server's own json may have line breaks, which stand between its tokens alone.
        for byte in line.iter_mut().skip(start) {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        line.push(b'\n');
    }
}
