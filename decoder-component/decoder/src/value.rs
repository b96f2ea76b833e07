//! A column's text as JSON, by its type and the options.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::facts::TypeFacts;
use crate::json::{Escape, write_string};
use crate::options::Options;

/// The types that are known: built-in ones, and those learnt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    learnt: BTreeMap<u32, TypeFacts>,
}

impl Types {
    pub(crate) fn learn(&mut self, facts: TypeFacts) {
        self.learnt.insert(facts.oid, facts);
    }

    pub(crate) fn knows(&self, oid: u32) -> bool {
        oid < 10_000 || self.learnt.contains_key(&oid)
    }
}

/// How a column's text becomes JSON.
#[derive(Clone, Debug)]
pub(crate) struct Rendering {
    type_oid: u32,
    escape: Escape,
}

impl Rendering {
    pub(crate) fn resolve(
        type_oid: u32,
        _typmod: i32,
        _types: &Types,
        options: &Options,
    ) -> Option<Self> {
        Some(Self {
            type_oid,
            escape: Escape::for_format(options.format),
        })
    }

    pub(crate) fn write_text(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidValue> {
        write_string(text, self.escape, out)
    }

    pub(crate) fn fallback(&self) -> Vec<u8> {
        b"null".to_vec()
    }

    pub(crate) fn default(&self, _expression: &str) -> Option<Vec<u8>> {
        None
    }

    pub(crate) fn unavailable(&self) -> Vec<u8> {
        b"null".to_vec()
    }

    pub(crate) fn shape(&self) -> u8 {
        0
    }

    pub(crate) fn type_oid(&self) -> u32 {
        self.type_oid
    }
}
