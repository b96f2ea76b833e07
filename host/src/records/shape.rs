//! What a column's JSON stands for: the table of shapes in `wit/decoding.wit`.

use super::read::Fields;

/// A column's shape, or that of an attribute of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its number.
    pub code: u8,
    /// The attributes of an object, or of the objects in an array, in their order.
    pub attributes: Vec<Attribute>,
}

/// An attribute of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// `pg_attribute.attname`.
    pub name: String,
    /// What its JSON stands for.
    pub shape: Shape,
}

impl Shape {
    /// The number that stands for the same, seen through arrays.
    pub fn element(&self) -> u8 {
        self.code % ARRAY
    }

    /// Whether there are arrays to be seen through.
    pub fn is_array(&self) -> bool {
        self.code >= ARRAY
    }

    /// Whether it lists attributes, maybe none.
    pub(super) fn has_attributes(&self) -> bool {
        self.element() == OBJECT
    }

    /// Reads what columns and attributes have in common: name, shape and flags.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<(String, Self, u8), &'static str> {
        Self::read_at(fields, 0)
    }

    fn read_at(fields: &mut Fields<'_>, depth: usize) -> Result<(String, Self, u8), &'static str> {
        let [code, flags] = fields.fixed()?;
        let name_bytes = u16::from_le_bytes(fields.fixed()?);
        let name = fields.string(name_bytes.into())?;
        let mut shape = Self {
            code,
            attributes: Vec::new(),
        };
        if shape.has_attributes() {
            if depth == DEPTH_MAX {
                return Err("objects within too many others");
            }
            for _ in 0..u16::from_le_bytes(fields.fixed()?) {
                let (name, inner, _) = Self::read_at(fields, depth + 1)?;
                let attribute = Attribute { name, shape: inner };
                shape.attributes.push(attribute);
            }
        }
        Ok((name, shape, flags))
    }
}

const OBJECT: u8 = 5;
const ARRAY: u8 = 16;

/// The decoder looks into fewer composites.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn field(code: u8, name: &str) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        [&[code, 0], length.as_slice(), name.as_bytes()].concat()
    }

    #[test]
    fn objects_and_arrays_of_them_have_attributes() {
        let record = [
            field(16 + 5, "c"),
            vec![2, 0],
            field(1, "n"),
            field(5, "o"),
            vec![1, 0],
            field(18, "b"),
        ]
        .concat();
        let mut fields = Fields(&record);
        let (name, shape, _) = Shape::read(&mut fields).unwrap();
        assert!(fields.0.is_empty());
        assert_eq!(
            (name.as_str(), shape.element(), shape.is_array()),
            ("c", 5, true)
        );
        let [number, object] = shape.attributes.as_slice() else {
            panic!("two attributes");
        };
        assert_eq!((number.name.as_str(), number.shape.code), ("n", 1));
        assert_eq!(object.shape.attributes[0].shape.code, 18);
        for end in 0..record.len() {
            assert!(Shape::read(&mut Fields(&record[..end])).is_err(), "{end}");
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let level = [field(5, "o"), vec![1, 0]].concat();
        for (levels, fits) in [(DEPTH_MAX, true), (DEPTH_MAX + 1, false)] {
            let record = [level.repeat(levels), field(0, "leaf")].concat();
            assert_eq!(Shape::read(&mut Fields(&record)).is_ok(), fits, "{levels}");
        }
    }
}
