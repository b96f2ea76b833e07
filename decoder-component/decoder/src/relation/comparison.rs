//! When Debezium takes two rows, or the keys of two rows, for equal.

use alloc::vec::Vec;

use super::{Column, InvalidCell, Relation, cell};
use crate::mapping::Mapping;
use crate::message::Cell;

impl Relation {
    /// Whether Debezium takes the rows for equal, though what is shown may differ or not. What is
    /// unchanged in the new one is taken from `filled`, the old tuple, where that has it.
    #[cold]
    pub(crate) fn same_row<'a>(
        &self,
        old: &[Cell<'a>],
        new: &[Cell<'a>],
        filled: Option<&[Cell<'a>]>,
    ) -> Result<bool, InvalidCell<'a>> {
        same(&self.columns, old, new, filled)
    }

    /// The same for the rows' keys.
    pub(crate) fn same_key<'a>(
        &self,
        old: &[Cell<'a>],
        new: &[Cell<'a>],
        filled: Option<&[Cell<'a>]>,
    ) -> Result<bool, InvalidCell<'a>> {
        same(&self.key, old, new, filled)
    }
}

impl Column {
    /// Whether values that were sent in different words are the same to Debezium.
    #[cold]
    fn shows_same<'a>(&self, old: Cell<'a>, new: Cell<'a>) -> Result<bool, InvalidCell<'a>> {
        Ok(self.compared(old)? == self.compared(new)?)
    }

    /// A value as Debezium compares it: NULL before a default is shown in its place.
    fn compared<'a>(&self, cell: Cell<'a>) -> Result<Vec<u8>, InvalidCell<'a>> {
        let mut out = Vec::new();
        let rendered = match cell {
            Cell::Text(text) => self.rendering.write_text(text, &mut out),
            Cell::Binary(value) => self.rendering.write_binary(value, &mut out),
            Cell::Null => Ok(()),
            Cell::Unchanged => return Ok(self.unavailable.clone()),
        };
        if let (Err(invalid), Cell::Text(value) | Cell::Binary(value)) = (rendered, cell) {
            return Err(InvalidCell {
                column: self.name.clone(),
                value,
                invalid,
            });
        }
        if matches!(cell, Cell::Null) || out == b"null" {
            return Ok(if self.null_is_null() {
                b"null".to_vec()
            } else {
                self.null.clone()
            });
        }
        if let Some(mapping) = &self.mapping {
            mapping.apply(0, &mut out);
        }
        Ok(out)
    }

    /// NULL is null for Debezium, though a default may be shown in its place.
    fn null_is_null(&self) -> bool {
        self.nullable && !matches!(self.mapping.as_deref(), Some(Mapping::Mask(_)))
    }
}

#[inline]
fn same<'a>(
    columns: &[Column],
    old: &[Cell<'a>],
    new: &[Cell<'a>],
    filled: Option<&[Cell<'a>]>,
) -> Result<bool, InvalidCell<'a>> {
    for column in columns {
        let old = cell(old, column.tuple_index, None);
        let new = cell(new, column.tuple_index, filled);
        let same = match (old, new) {
            (Cell::Null, Cell::Null) | (Cell::Unchanged, Cell::Unchanged) => true,
            (Cell::Text(old), Cell::Text(new)) | (Cell::Binary(old), Cell::Binary(new)) => {
                old == new
            }
            _ => false,
        };
        if !same && !column.shows_same(old, new)? {
            return Ok(false);
        }
    }
    Ok(true)
}
