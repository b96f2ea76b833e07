//! One line of JSON an event: `{"topic":…,"key":…,"value":…,"headers":…}`.

use crate::event::Event;

/// Writes events as lines, of the decoder's own bytes.
#[derive(Default)]
pub struct JsonLines {
    /// The last event's topic, and that as JSON.
    topic: (String, String),
}

impl JsonLines {
    /// Appends the event's line.
    pub fn write(&mut self, lines: &mut Vec<u8>, event: &Event<'_>) {
        let name = &event.topic.name;
        if self.topic.0 != *name || self.topic.1.is_empty() {
            let json = serde_json::Value::from(name.as_str()).to_string();
            self.topic = (name.clone(), json);
        }
        let start = lines.len();
        for piece in [
            "{\"topic\":",
            &self.topic.1,
            ",\"key\":",
            event.key.unwrap_or("null"),
            ",\"value\":",
            event.value.unwrap_or("null"),
            ",\"headers\":",
            event.headers(),
            "}",
        ] {
            lines.extend_from_slice(piece.as_bytes());
        }
        // The server's own json may have line breaks, which stand between its tokens alone.
        for byte in lines.iter_mut().skip(start) {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        lines.push(b'\n');
    }
}
