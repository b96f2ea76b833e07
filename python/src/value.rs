//! JSON into Python objects, typed by what a column's shape says its JSON stands for.

use jiter::{Jiter, JiterError, Peek};
use pgoutput_decoder_host::Topic;
use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString};

use crate::error;
use crate::number::exact_float;

/// What numbers that a float cannot hold become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalAs {
    Decimal,
    Float,
    Str,
}

impl DecimalAs {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "Decimal" => Some(Self::Decimal),
            "float" => Some(Self::Float),
            "str" => Some(Self::Str),
            _ => None,
        }
    }
}

/// What a value's JSON stands for: wit/decoding.wit, "shape". Arrays have their elements' kind,
/// because nothing but the JSON says where the elements are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Itself; also the server's own json.
    Plain,
    Decimal,
    Bytes,
    Float,
}

impl Kind {
    fn of(shape: u8) -> Self {
        match shape % 16 {
            1 => Self::Decimal,
            2 => Self::Bytes,
            3 => Self::Float,
            _ => Self::Plain,
        }
    }
}

/// As deep as Python's own json module goes by default.
const DEPTH_MAX: usize = 1000;
/// Beyond this `int(text)` refuses: `sys.int_info.default_max_str_digits`.
const INT_DIGITS_MAX: usize = 4300;

/// The names of a topic's columns as Python objects, made once.
pub(crate) struct ColumnNames(Vec<Py<PyString>>);

impl ColumnNames {
    pub(crate) fn new(py: Python<'_>, topic: &Topic) -> Self {
        let names = topic.columns.iter();
        Self(
            names
                .map(|column| PyString::intern(py, &column.name).unbind())
                .collect(),
        )
    }
}

/// Parses `json`, a row of `topic`, into a dict; columns whose indexes are in `unchanged` get the
/// sentinel whatever they say.
pub(crate) fn row(
    py: Python<'_>,
    json: &str,
    topic: &Topic,
    names: &ColumnNames,
    unchanged: &[u32],
    decimal: DecimalAs,
) -> PyResult<Py<PyAny>> {
    let mut parser = Parser {
        py,
        jiter: Jiter::new(json.as_bytes()),
        decimal,
    };
    if parser.jiter.peek().map_err(invalid)? == Peek::Null {
        return Ok(py.None());
    }
    let dict = PyDict::new(py);
    let mut expected = 0;
    let mut more = parser.jiter.next_object().map_err(invalid)?;
    while let Some(name) = more {
        // Columns come in the topic's order; a key tuple leaves some out.
        let index = (expected..topic.columns.len())
            .chain(0..expected)
            .find(|&index| {
                topic
                    .columns
                    .get(index)
                    .is_some_and(|column| *column.name == *name)
            });
        let column = index.and_then(|index| {
            Some((
                names.0.get(index)?.bind(py).clone(),
                topic.columns.get(index)?.shape,
            ))
        });
        let (key, shape) = column.unwrap_or_else(|| (PyString::new(py, name), 0));
        let peek = parser.jiter.peek().map_err(invalid)?;
        let mut value = parser.value(peek, Kind::of(shape), 0)?;
        if index
            .and_then(|index| u32::try_from(index).ok())
            .is_some_and(|i| unchanged.contains(&i))
        {
            value = unchanged_sentinel(py)?;
        }
        dict.set_item(key, value)?;
        expected = index.map_or(expected, |index| index + 1);
        more = parser.jiter.next_key().map_err(invalid)?;
    }
    Ok(dict.into_any().unbind())
}

/// Parses `json`, about whose values no more is known than it says.
pub(crate) fn plain(py: Python<'_>, json: &str, decimal: DecimalAs) -> PyResult<Py<PyAny>> {
    let mut parser = Parser {
        py,
        jiter: Jiter::new(json.as_bytes()),
        decimal,
    };
    let peek = parser.jiter.peek().map_err(invalid)?;
    parser.value(peek, Kind::Plain, 0)
}

struct Parser<'py, 'j> {
    py: Python<'py>,
    jiter: Jiter<'j>,
    decimal: DecimalAs,
}

impl Parser<'_, '_> {
    fn value(&mut self, peek: Peek, kind: Kind, depth: usize) -> PyResult<Py<PyAny>> {
        match peek {
            Peek::Null => {
                self.jiter.known_null().map_err(invalid)?;
                Ok(self.py.None())
            }
            Peek::True | Peek::False => {
                let value = self.jiter.known_bool(peek).map_err(invalid)?;
                Ok(value.into_pyobject(self.py)?.to_owned().unbind().into_any())
            }
            Peek::String => self.string(kind),
            Peek::Array => self.array(kind, deeper(depth)?),
            Peek::Object => self.object(deeper(depth)?),
            _ => self.number(peek, kind),
        }
    }

    fn string(&mut self, kind: Kind) -> PyResult<Py<PyAny>> {
        let py = self.py;
        let text = self.jiter.known_str().map_err(invalid)?;
        match kind {
            Kind::Plain => Ok(PyString::new(py, text).into_any().unbind()),
            Kind::Bytes => {
                static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                Ok(FUNCTION
                    .import(py, "binascii", "a2b_base64")?
                    .call1((text,))?
                    .unbind())
            }
            Kind::Decimal if self.decimal == DecimalAs::Decimal => decimal(py, text),
            Kind::Decimal if self.decimal == DecimalAs::Str => {
                Ok(PyString::new(py, text).into_any().unbind())
            }
            Kind::Decimal | Kind::Float => float(py, text),
        }
    }

    fn array(&mut self, kind: Kind, depth: usize) -> PyResult<Py<PyAny>> {
        let list = PyList::empty(self.py);
        let mut more = self.jiter.known_array().map_err(invalid)?;
        while let Some(peek) = more {
            list.append(self.value(peek, kind, depth)?)?;
            more = self.jiter.array_step().map_err(invalid)?;
        }
        Ok(list.into_any().unbind())
    }

    fn object(&mut self, depth: usize) -> PyResult<Py<PyAny>> {
        let dict = PyDict::new(self.py);
        let mut more = self.jiter.known_object().map_err(invalid)?;
        while let Some(name) = more {
            let key = PyString::new(self.py, name);
            let peek = self.jiter.peek().map_err(invalid)?;
            dict.set_item(key, self.value(peek, Kind::Plain, depth)?)?;
            more = self.jiter.next_key().map_err(invalid)?;
        }
        Ok(dict.into_any().unbind())
    }

    fn number(&mut self, peek: Peek, kind: Kind) -> PyResult<Py<PyAny>> {
        let py = self.py;
        let bytes = self.jiter.known_number_bytes(peek).map_err(invalid)?;
        let text =
            std::str::from_utf8(bytes).map_err(|_| error::unreadable("not UTF-8 in a number"))?;
        match kind {
            Kind::Decimal => exactly(py, text, self.decimal),
            Kind::Float => float(py, text),
            Kind::Plain | Kind::Bytes if is_whole(text) => match text.parse::<i64>() {
                Ok(int) => Ok(int.into_pyobject(py)?.into_any().unbind()),
                Err(_) if text.len() > INT_DIGITS_MAX => exactly(py, text, self.decimal),
                Err(_) => Ok(py.get_type::<PyInt>().call1((text,))?.unbind()),
            },
            Kind::Plain | Kind::Bytes => match exact_float(text) {
                Some(float) => Ok(PyFloat::new(py, float).into_any().unbind()),
                None => exactly(py, text, self.decimal),
            },
        }
    }
}

/// A number as the caller wishes to have those that a float cannot hold.
fn exactly(py: Python<'_>, text: &str, wish: DecimalAs) -> PyResult<Py<PyAny>> {
    match wish {
        DecimalAs::Decimal => decimal(py, text),
        DecimalAs::Float => float(py, text),
        DecimalAs::Str => Ok(PyString::new(py, text).into_any().unbind()),
    }
}

fn decimal(py: Python<'_>, text: &str) -> PyResult<Py<PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(CLASS
        .import(py, "decimal", "Decimal")?
        .call1((text,))?
        .unbind())
}

/// `text` as the decoder writes floats, "NaN" and "-Infinity" included.
fn float(py: Python<'_>, text: &str) -> PyResult<Py<PyAny>> {
    let float: f64 = text
        .parse()
        .map_err(|_| error::unreadable("not a number"))?;
    Ok(PyFloat::new(py, float).into_any().unbind())
}

fn is_whole(number: &str) -> bool {
    !number
        .bytes()
        .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

fn deeper(depth: usize) -> PyResult<usize> {
    if depth < DEPTH_MAX {
        Ok(depth + 1)
    } else {
        Err(PyRecursionError::new_err(format!(
            "json is nested more than {DEPTH_MAX} levels deep"
        )))
    }
}

fn unchanged_sentinel(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static SENTINEL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(SENTINEL
        .import(py, "pgoutput_decoder.unchanged", "UNCHANGED")?
        .clone()
        .unbind())
}

/// The decoder wrote it, so this is a bug; the error says where, not what.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid(error: JiterError) -> PyErr {
    error::unreadable(&error.to_string())
}
