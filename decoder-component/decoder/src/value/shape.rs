//! What a column's JSON stands for: its shape, as `wit/decoding.wit` numbers them.

use alloc::string::String;
use alloc::vec::Vec;

use super::numeric::MoneyStyle;
use super::writer::Writer;
use crate::options::BinaryMode;

/// A shape's number and, of an object, the shapes of its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) code: u8,
    pub(crate) attributes: Vec<(String, Self)>,
}

impl Shape {
    pub(super) fn of(writer: &Writer) -> Self {
        let code = match writer {
            Writer::DecimalExact
            | Writer::DecimalNumber(_)
            | Writer::Money(MoneyStyle::Number(_)) => DECIMAL,
            Writer::Bytea(BinaryMode::Bytes)
            | Writer::UnknownBytes {
                mode: BinaryMode::Bytes,
                ..
            } => BYTES,
            Writer::DecimalDouble(_) | Writer::Float(_) => FLOAT,
            Writer::Embedded => JSON,
            Writer::Vector(_) => ARRAY + FLOAT,
            Writer::Array(array) => {
                let element = Self::of(&array.element);
                // Arrays of domains over arrays, deeper than the numbers go, are no more than JSON.
                return match element.code.checked_add(ARRAY) {
                    Some(code) => Self { code, ..element },
                    None => Self::default(),
                };
            }
            Writer::Composite(composite) => {
                let attributes = composite.attributes.iter();
                return Self {
                    code: OBJECT,
                    attributes: attributes
                        .map(|attribute| (attribute.name.clone(), Self::of(&attribute.writer)))
                        .collect(),
                };
            }
            _ => 0,
        };
        Self {
            code,
            attributes: Vec::new(),
        }
    }

    /// Whether the attributes of an object belong to it.
    pub(crate) fn is_object(&self) -> bool {
        self.code % ARRAY == OBJECT
    }
}

const DECIMAL: u8 = 1;
const BYTES: u8 = 2;
const FLOAT: u8 = 3;
const JSON: u8 = 4;
const OBJECT: u8 = 5;
/// Added to the elements' number.
const ARRAY: u8 = 16;
