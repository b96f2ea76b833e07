//! What an inspector knows of the frames before: relations, types, whether a chunk is open.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::walk::{Problem, Walked};
use crate::limits::RELATIONS_MAX;
use crate::value::builtin;
use crate::value::wire::kind::Kind;

#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    announced: BTreeMap<Oid, Announced>,
    /// The streamed transaction of the chunk that is open.
    pub(super) chunk: Option<u32>,
}

/// Relations and types may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Oid {
    Relation(u32),
    /// Of a type that is not built in.
    Type(u32),
}

/// What a Relation or a Type message said.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    /// With its schema. Of a domain this is the name of its base type (`logicalrep_write_typ`,
    /// replication/logical/proto.c).
    pub(super) name: String,
    /// Of a relation.
    columns: Vec<Column>,
    /// Of a type's values.
    form: Form,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) form: Form,
}

/// What the values of a type look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// [`Kind::Composite`] is any type that was announced by a name that says nothing, and
    /// [`Kind::Unknown`] one that was not.
    pub(super) kind: Kind,
    /// Of an array.
    pub(super) element: Kind,
    /// Of an array's elements.
    pub(super) delimiter: u8,
    /// Whether the text, or that of an array's elements, is JSON.
    pub(super) json: bool,
}

/// What a frame leaves behind.
#[derive(Debug)]
pub(super) enum Trace {
    None,
    Announced(Oid, Announced),
    /// A chunk begins, or ends.
    Chunk(Option<u32>),
}

impl Memory {
    /// Takes what a frame left, if all of that was understood.
    pub(super) fn remember(&mut self, walked: &mut Walked) {
        match core::mem::replace(&mut walked.trace, Trace::None) {
            Trace::None => {}
            Trace::Chunk(chunk) => self.chunk = chunk,
            Trace::Announced(oid, announced) => {
                if self.announced.len() < RELATIONS_MAX || self.announced.contains_key(&oid) {
                    self.announced.insert(oid, announced);
                } else {
                    walked.problem = Some(Problem {
                        at: walked.end,
                        text: format!("limit exceeded: more than {RELATIONS_MAX} relations"),
                    });
                }
            }
        }
    }

    /// Its name, if it was announced.
    pub(super) fn name(&self, oid: Oid) -> Option<&str> {
        let announced = self.announced.get(&oid)?;
        Some(&announced.name)
    }

    /// Columns of a relation; none of one that was not announced.
    pub(super) fn columns(&self, relation: u32) -> &[Column] {
        let announced = self.announced.get(&Oid::Relation(relation));
        announced.map_or(&[], |announced| &announced.columns)
    }

    /// What values of a type look like.
    pub(super) fn form(&self, type_oid: u32) -> Form {
        if type_oid < builtin::HAND_ASSIGNED_END {
            return Form::built_in(type_oid);
        }
        let announced = self.announced.get(&Oid::Type(type_oid));
        announced.map_or(Form::UNKNOWN, |announced| announced.form)
    }

    #[cfg(test)]
    pub(super) fn announce(&mut self, type_oid: u32, namespace: &str, name: &str) {
        let announced = Announced::of_type(namespace, name);
        self.announced.insert(Oid::Type(type_oid), announced);
    }
}

impl Announced {
    pub(super) fn relation(namespace: &str, name: &str, columns: Vec<Column>) -> Self {
        Self {
            name: format!("{}.{name}", schema(namespace)),
            columns,
            form: Form::UNKNOWN,
        }
    }

    pub(super) fn of_type(namespace: &str, name: &str) -> Self {
        let namespace = schema(namespace);
        Self {
            name: format!("{namespace}.{name}"),
            columns: Vec::new(),
            form: Form::named(namespace, name),
        }
    }
}

impl Form {
    pub(super) const UNKNOWN: Self = Self::of(Kind::Unknown);

    pub(super) const fn of(kind: Kind) -> Self {
        Self {
            kind,
            element: Kind::Unknown,
            delimiter: b',',
            json: false,
        }
    }

    fn built_in(type_oid: u32) -> Self {
        let is_json = |oid| matches!(oid, builtin::JSON | builtin::JSONB);
        match builtin::element_of(type_oid) {
            Some(element) => Self {
                kind: Kind::Array,
                element: Kind::built_in(element),
                delimiter: builtin::delimiter_of(element),
                json: is_json(element),
            },
            None => Self {
                json: is_json(type_oid),
                ..Self::of(Kind::built_in(type_oid))
            },
        }
    }

    fn named(namespace: &str, name: &str) -> Self {
        if namespace == PG_CATALOG
            && let Some(oid) = builtin::oid_of(name)
        {
            return Self::built_in(oid);
        }
        if let Some(kind) = Kind::of_extension(name) {
            return Self::of(kind);
        }
        match name.strip_prefix('_').and_then(Kind::of_extension) {
            Some(element) => Self {
                element,
                ..Self::of(Kind::Array)
            },
            None => Self::of(Kind::Composite),
        }
    }

    /// Of an array's elements.
    pub(super) fn elements(self) -> Self {
        Self {
            json: self.json,
            ..Self::of(self.element)
        }
    }
}

/// `pg_catalog` is sent as an empty string.
fn schema(namespace: &str) -> &str {
    if namespace.is_empty() {
        PG_CATALOG
    } else {
        namespace
    }
}

const PG_CATALOG: &str = "pg_catalog";
