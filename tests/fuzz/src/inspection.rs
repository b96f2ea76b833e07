//! What must hold of an inspector, whatever it is given.

use pgoutput_decoder::inspection::{Field, Inspector, Message};

/// What was found of a frame.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The message.
    pub message: Message,
    /// Its fields.
    pub fields: Vec<Field>,
    /// The frame without its values.
    pub redacted: Vec<u8>,
}

/// Inspects what is one frame, or the beginning of one, in every way.
pub fn inspect(inspector: &mut Inspector, frame: &[u8]) -> Inspected {
    let message = {
        let mut messages = inspector.clone().messages(frame);
        assert_eq!(messages.len(), 1, "of one frame");
        messages.remove(0)
    };
    assert_eq!((message.offset, message.bytes), (0, frame.len()));

    let fields = inspector.clone().fields(frame);
    let mut end = 0;
    for field in &fields {
        assert_eq!(field.offset, end, "{field:?}");
        end += field.bytes;
        assert!(field.value.chars().count() <= 256 || field.name == NOT_UNDERSTOOD);
    }
    assert_eq!(end, frame.len(), "fields are all of the frame");
    let problems: Vec<&Field> = fields.iter().filter(|f| f.name == NOT_UNDERSTOOD).collect();
    let (first, problem) = (problems.first(), message.problem.as_ref());
    assert_eq!(first.map(|field| &field.value), problem);
    assert!(problems.len() <= 1);

    let mut redacted = frame.to_vec();
    inspector.clone().redact(&mut redacted);
    let mut twice = redacted.clone();
    inspector.clone().redact(&mut twice);
    let differs = redacted
        .iter()
        .zip(&twice)
        .position(|(one, other)| one != other);
    let around = differs.map(|at| String::from_utf8_lossy(&redacted[at.saturating_sub(40)..]));
    assert_eq!(differs, None, "redacted twice: {around:?}");
    let again = inspector.clone().messages(&redacted);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].message_type, message.message_type);
    if problem.is_none() {
        assert_eq!(again[0], message, "but for values nothing changes");
    }
    inspector.messages(frame);
    Inspected {
        message,
        fields,
        redacted,
    }
}

const NOT_UNDERSTOOD: &str = "not understood";
