//! The same frames without the rows' values: collected on a walk, and then replaced in their place.
//! Nothing else is changed, and no length: so what follows is where it was.

mod binary;
mod guess;
mod json;
mod text;

use alloc::vec::Vec;
use core::ops::Range;

use super::memory::{Form, Memory};
use super::walk::{Field, Meaning, Problem, Visitor};
use crate::value::wire::kind::Kind;

/// Where a frame's message begins, and so is said what it is.
const MESSAGE_OFFSET: usize = 30;

/// Collects the values of a frame, and replaces them. Kept across frames for its memory.
#[derive(Debug, Default)]
pub(super) struct Redaction {
    /// In the frame's order.
    edits: Vec<Edit>,
}

#[derive(Debug)]
struct Edit {
    at: Range<usize>,
    form: Form,
    binary: bool,
    /// Of the old tuple.
    old: bool,
    /// From 1; 0 is no column's.
    column: u16,
    /// The new tuple has another value of this column of the old one.
    other: bool,
}

impl<'a> Visitor<'a> for Redaction {
    fn field(&mut self, field: &Field<'a, '_>) {
        let at = field.offset..field.offset + field.bytes;
        match field.meaning {
            Meaning::Value(value) => self.edits.push(Edit {
                at,
                form: value.form,
                binary: value.binary,
                old: value.old,
                column: value.column,
                other: false,
            }),
            Meaning::Content(_) => self.edits.push(Edit {
                at,
                form: Form::of(Kind::Text),
                binary: false,
                old: false,
                column: 0,
                other: false,
            }),
            _ => {}
        }
    }
}

impl Redaction {
    /// What is to visit the fields of the next frame.
    pub(super) fn collector(&mut self) -> &mut Self {
        self.edits.clear();
        self
    }

    /// Replaces what was collected, and all that was not understood.
    pub(super) fn apply(&mut self, frame: &mut [u8], memory: &Memory, problem: Option<&Problem>) {
        self.compare(frame);
        for edit in &self.edits {
            let value = frame.get_mut(edit.at.clone()).unwrap_or_default();
            if edit.binary {
                binary::redact(value, edit.form, memory, edit.other);
            } else {
                text::redact(value, edit.form);
                if edit.other {
                    text::distinguish(value, edit.form);
                }
            }
        }
        if let Some(problem) = problem {
            // A message's type is no value, and says what could not be understood.
            let from = if problem.at == MESSAGE_OFFSET {
                MESSAGE_OFFSET + 1
            } else {
                problem.at
            };
            text::plain(frame.get_mut(from..).unwrap_or_default());
        }
    }

    /// Finds what an update changed: a change of a key, or of anything where only such are wanted,
    /// must stay one.
    fn compare(&mut self, frame: &[u8]) {
        let new = self.edits.partition_point(|edit| edit.old);
        let Some((old, new)) = self.edits.split_at_mut_checked(new) else {
            return;
        };
        for edit in old {
            let found = new.binary_search_by_key(&edit.column, |new| new.column);
            edit.other = found
                .ok()
                .and_then(|index| new.get(index))
                .is_some_and(|new| {
                    let same = frame.get(edit.at.clone()) == frame.get(new.at.clone());
                    !same || edit.binary != new.binary
                });
        }
    }
}
