//! A column's text as JSON, by its type and the options.
//!
//! [`Rendering`] is chosen once for a column of a relation version; each value then costs one
//! `match`. What a type's text means is known in the modules below, one for each kind of value.
//! Nothing here trusts the text: it becomes well-formed JSON, or an error. A value in binary form
//! is turned into its text first, in `wire`.

mod array;
mod binary;
pub(crate) mod builtin;
mod composite;
mod decimal_number;
mod default;
mod embedded;
mod geometric;
mod hstore;
mod interval;
mod mapped;
mod number;
mod numeric;
mod placeholder;
mod resolve;
mod schema;
mod shape;
mod source_type;
mod temporal;
mod usual;
mod vector;
pub(crate) mod wire;
mod writer;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub(crate) use self::embedded::is_json;
pub(crate) use self::mapped::MappedAs;
use self::resolve::{Resolved, resolve};
pub(crate) use self::schema::bytes as bytes_schema;
pub(crate) use self::shape::Shape;
pub(crate) use self::source_type::SourceType;
pub(crate) use self::usual::Usual;
use self::wire::Wire;
use self::writer::Writer;
use crate::error::InvalidValue;
use crate::facts::{TypeFacts, TypeKind};
use crate::options::Options;

/// The types that are known: built-in ones, and those learnt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    learnt: BTreeMap<u32, TypeFacts>,
}

impl Types {
    /// Takes facts of a type, in place of any it had.
    pub(crate) fn learn(&mut self, facts: TypeFacts) {
        self.learnt.insert(facts.oid, facts);
    }

    /// Whether nothing need be asked about a type.
    pub(crate) fn knows(&self, oid: u32) -> bool {
        oid < builtin::HAND_ASSIGNED_END || self.learnt.contains_key(&oid)
    }

    /// Facts of a type that is not built in.
    fn learnt(&self, oid: u32) -> Option<&TypeFacts> {
        if oid < builtin::HAND_ASSIGNED_END {
            None
        } else {
            self.learnt.get(&oid)
        }
    }

    fn is_domain(&self, type_oid: u32) -> bool {
        let facts = self.learnt(type_oid);
        facts.is_some_and(|facts| facts.kind == TypeKind::Domain)
    }

    /// The element type, if it is a true array type.
    fn element(&self, type_oid: u32) -> Option<u32> {
        match self.learnt(type_oid) {
            Some(facts) => (facts.element != 0).then_some(facts.element),
            None => builtin::element_of(type_oid),
        }
    }
}

/// How a column's text becomes JSON.
#[derive(Clone, Debug)]
pub(crate) struct Rendering {
    writer: Writer,
    wire: Wire,
    type_oid: u32,
    has_default: bool,
    unavailable: Box<[u8]>,
}

impl Rendering {
    /// None: the format leaves columns of this type out.
    pub(crate) fn resolve(
        sent_oid: u32,
        typmod: i32,
        types: &Types,
        options: &Options,
    ) -> Option<Self> {
        let Resolved {
            writer,
            type_oid,
            has_default,
        } = resolve(sent_oid, typmod, types, options)?;
        let unavailable = placeholder::unavailable(&writer, sent_oid, types, options).into();
        Some(Self {
            writer,
            wire: Wire::resolve(type_oid, types),
            type_oid,
            has_default,
            unavailable,
        })
    }

    /// Appends JSON for the text of a value. `null` is what the format cannot express. After an
    /// error the caller discards what was appended.
    #[inline]
    pub(crate) fn write_text(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        self.writer.write(text, out)
    }

    /// Which values [`Usual::write`] writes as well, and faster.
    pub(crate) fn usual(&self) -> Usual {
        Usual::of(&self.writer)
    }

    /// The same for a value in its type's binary send format.
    #[inline]
    pub(crate) fn write_binary(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        self.wire.write(value, &self.writer, out)
    }

    /// JSON for a NOT NULL column of which nothing was sent.
    pub(crate) fn fallback(&self) -> Vec<u8> {
        default::fallback(&self.writer)
    }

    /// JSON for a column default, from what `pg_get_expr` says; none where Debezium shows none.
    pub(crate) fn default(&self, expression: &str) -> Option<Vec<u8>> {
        if self.has_default {
            default::default(&self.writer, expression)
        } else {
            None
        }
    }

    /// JSON for a TOASTed value that did not change and was not sent.
    pub(crate) fn unavailable(&self) -> Vec<u8> {
        self.unavailable.to_vec()
    }

    /// The shape of a column in a topic record, `wit/decoding.wit`.
    pub(crate) fn shape(&self) -> Shape {
        Shape::of(&self.writer)
    }

    /// What a mapping of the column's values works on.
    pub(crate) fn mapped_as(&self) -> MappedAs {
        mapped::mapped_as(&self.writer)
    }

    /// Whether the type is one of characters, whose values can be masked and hashed.
    pub(crate) fn is_character(&self) -> bool {
        mapped::is_character(self.type_oid, &self.writer)
    }

    /// A domain's base type, else the type itself.
    pub(crate) fn type_oid(&self) -> u32 {
        self.type_oid
    }
}

#[cfg(test)]
mod tests;
