//! JSON into Python objects, typed by what a column's shape says its JSON stands for.

use jiter::{Jiter, JiterError, Peek};
use pgoutput_decoder_host::{Shape, Topic};
use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::error;
use crate::number::exact_float;
use crate::raw::split_value;

/// What numbers that a float cannot hold become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalAs {
    Decimal,
    Float,
    Str,
}

impl DecimalAs {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "Decimal" => Some(Self::Decimal),
            "float" => Some(Self::Float),
            "str" => Some(Self::Str),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Decimal => "Decimal",
            Self::Float => "float",
            Self::Str => "str",
        }
    }
}

/// What the caller wishes values to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) decimal: DecimalAs,
    /// Dates and times become `datetime`'s types, else they stay ISO 8601 text.
    pub(crate) datetime: bool,
    /// uuids become `uuid.UUID`, else they stay text.
    pub(crate) uuid: bool,
}

impl Wishes {
    /// As the arguments of these names have them.
    pub(crate) fn parse(decimal: &str, temporal: &str, uuid: &str) -> PyResult<Self> {
        let either = |name: &str, value: &str, class: &str| match value {
            "str" => Ok(false),
            value if value == class => Ok(true),
            _ => {
                let reason = format!("expected {class:?} or \"str\"");
                Err(error::configuration(name, &reason))
            }
        };
        Ok(Self {
            decimal: DecimalAs::parse(decimal).ok_or_else(|| {
                error::configuration("decimal", "expected \"Decimal\", \"float\" or \"str\"")
            })?,
            datetime: either("temporal", temporal, "datetime")?,
            uuid: either("uuid", uuid, "UUID")?,
        })
    }

    /// What [`Wishes::parse`] takes.
    pub(crate) fn names(self) -> [&'static str; 3] {
        let temporal = if self.datetime { "datetime" } else { "str" };
        let uuid = if self.uuid { "UUID" } else { "str" };
        [self.decimal.name(), temporal, uuid]
    }
}

/// Text that Python has a type of its own for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Plain,
    Date,
    Time,
    Timestamp,
    Uuid,
}

impl Text {
    /// By the types' OIDs and those of their arrays: `catalog/pg_type.dat`.
    fn of(type_oid: u32, wishes: Wishes) -> Self {
        match type_oid {
            1082 | 1182 if wishes.datetime => Self::Date,
            1083 | 1183 | 1266 | 1270 if wishes.datetime => Self::Time,
            1114 | 1115 | 1184 | 1185 if wishes.datetime => Self::Timestamp,
            2950 | 2951 if wishes.uuid => Self::Uuid,
            _ => Self::Plain,
        }
    }

    /// What Python's type cannot hold stays text: infinity, years before 1 and after 9999, and
    /// 24:00:00.
    fn to_python(self, py: Python<'_>, text: &str) -> PyResult<Py<PyAny>> {
        static DATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static TIME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static TIMESTAMP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static UUID: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let python = PyString::new(py, text);
        let made = match self {
            Self::Plain => return Ok(python.into_any().unbind()),
            Self::Date => iso(py, &DATE, "date")?.call1((&python,)),
            Self::Time if text.starts_with("24") => return Ok(python.into_any().unbind()),
            Self::Time => iso(py, &TIME, "time")?.call1((&python,)),
            Self::Timestamp => iso(py, &TIMESTAMP, "datetime")?.call1((&python,)),
            Self::Uuid => UUID.import(py, "uuid", "UUID")?.call1((&python,)),
        };
        match made {
            Ok(made) => Ok(made.unbind()),
            Err(error) if error.is_instance_of::<PyValueError>(py) => {
                Ok(python.into_any().unbind())
            }
            Err(error) => Err(error),
        }
    }
}

fn iso<'py>(
    py: Python<'py>,
    function: &PyOnceLock<Py<PyAny>>,
    class: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let function = function.get_or_try_init(py, || {
        let class = py.import("datetime")?.getattr(class)?;
        Ok::<_, PyErr>(class.getattr("fromisoformat")?.unbind())
    })?;
    Ok(function.bind(py).clone())
}

/// What a value's JSON stands for: wit/decoding.wit, "shape". Arrays have their elements' kind,
/// because nothing but the JSON says where the elements are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Itself.
    Plain,
    Decimal,
    Bytes,
    Float,
    /// The server's own json.
    Json,
}

impl Kind {
    fn of(shape: &Shape) -> Self {
        match shape.element() {
            1 => Self::Decimal,
            2 => Self::Bytes,
            3 => Self::Float,
            4 => Self::Json,
            _ => Self::Plain,
        }
    }
}

/// Of what is inside of json, and of what nothing is known.
static PLAIN: Shape = Shape {
    code: 0,
    attributes: Vec::new(),
};

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
    wishes: Wishes,
) -> PyResult<Py<PyAny>> {
    let mut parser = Parser::new(py, json, wishes.decimal);
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
            let column = topic.columns.get(index)?;
            Some((
                names.0.get(index)?.bind(py).clone(),
                &column.shape,
                Text::of(column.type_oid, wishes),
            ))
        });
        let (key, shape, text) =
            column.unwrap_or_else(|| (PyString::new(py, name), &PLAIN, Text::Plain));
        parser.text = text;
        let peek = parser.jiter.peek().map_err(invalid)?;
        let is_unchanged = index
            .and_then(|index| u32::try_from(index).ok())
            .is_some_and(|index| unchanged.contains(&index));
        let value = if is_unchanged {
            // A placeholder, which is no value of the column's type.
            parser.jiter.known_skip(peek).map_err(invalid)?;
            unchanged_sentinel(py)?
        } else {
            parser.value(peek, shape, 0)?
        };
        dict.set_item(key, value)?;
        expected = index.map_or(expected, |index| index + 1);
        more = parser.jiter.next_key().map_err(invalid)?;
    }
    Ok(dict.into_any().unbind())
}

/// Parses `json`, about whose values no more is known than it says.
pub(crate) fn plain(py: Python<'_>, json: &str, decimal: DecimalAs) -> PyResult<Py<PyAny>> {
    let mut parser = Parser::new(py, json, decimal);
    let peek = parser.jiter.peek().map_err(invalid)?;
    parser.value(peek, &PLAIN, 0)
}

struct Parser<'py, 'j> {
    py: Python<'py>,
    /// What `jiter` reads.
    json: &'j str,
    jiter: Jiter<'j>,
    decimal: DecimalAs,
    /// What the column's plain text is.
    text: Text,
}

impl<'py, 'j> Parser<'py, 'j> {
    fn new(py: Python<'py>, json: &'j str, decimal: DecimalAs) -> Self {
        Self {
            py,
            json,
            jiter: Jiter::new(json.as_bytes()),
            decimal,
            text: Text::Plain,
        }
    }

    fn value(&mut self, peek: Peek, shape: &Shape, depth: usize) -> PyResult<Py<PyAny>> {
        if Kind::of(shape) == Kind::Json {
            return self.json(peek, depth);
        }
        match peek {
            Peek::Null => {
                self.jiter.known_null().map_err(invalid)?;
                Ok(self.py.None())
            }
            Peek::True | Peek::False => {
                let value = self.jiter.known_bool(peek).map_err(invalid)?;
                Ok(value.into_pyobject(self.py)?.to_owned().unbind().into_any())
            }
            Peek::String => self.string(shape),
            Peek::Array => self.array(shape, deeper(depth)?),
            Peek::Object => self.object(shape, deeper(depth)?),
            _ => self.number(peek, Kind::of(shape)),
        }
    }

    /// The server's own json, which may hold what `jiter` does not take: half a surrogate pair.
    fn json(&mut self, peek: Peek, depth: usize) -> PyResult<Py<PyAny>> {
        let (json, start) = (self.json, self.jiter.current_index());
        match self.value(peek, &PLAIN, depth) {
            Err(error) if !error.is_instance_of::<PyRecursionError>(self.py) => {
                self.json = json;
                let text = self.skip_value(start);
                loads(self.py, text, self.decimal)
            }
            value => value,
        }
    }

    /// Goes on behind the value that begins at `start`, whatever `jiter` thinks of it.
    fn skip_value(&mut self, start: usize) -> &'j str {
        let (text, behind) = split_value(self.json.get(start..).unwrap_or_default());
        self.json = behind;
        self.jiter = Jiter::new(behind.as_bytes());
        text
    }

    fn string(&mut self, shape: &Shape) -> PyResult<Py<PyAny>> {
        let py = self.py;
        let text = self.jiter.known_str().map_err(invalid)?;
        match Kind::of(shape) {
            Kind::Plain | Kind::Json => self.text.to_python(py, text),
            // An array that is the server's text: JSON's arrays cannot show it.
            _ if shape.is_array() && text.starts_with(['[', '{']) => {
                Ok(PyString::new(py, text).into_any().unbind())
            }
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

    fn array(&mut self, shape: &Shape, depth: usize) -> PyResult<Py<PyAny>> {
        let list = PyList::empty(self.py);
        let mut more = self.jiter.known_array().map_err(invalid)?;
        while let Some(peek) = more {
            list.append(self.value(peek, shape, depth)?)?;
            more = self.jiter.array_step().map_err(invalid)?;
        }
        Ok(list.into_any().unbind())
    }

    fn object(&mut self, shape: &Shape, depth: usize) -> PyResult<Py<PyAny>> {
        let dict = PyDict::new(self.py);
        let mut attributes = shape.attributes.iter();
        let mut more = self.jiter.known_object().map_err(invalid)?;
        while let Some(name) = more {
            let key = PyString::new(self.py, name);
            let attribute = attributes.next().filter(|attribute| attribute.name == name);
            let shape = attribute.map_or(&PLAIN, |attribute| &attribute.shape);
            let peek = self.jiter.peek().map_err(invalid)?;
            dict.set_item(key, self.value(peek, shape, depth)?)?;
            more = self.jiter.next_key().map_err(invalid)?;
        }
        Ok(dict.into_any().unbind())
    }

    fn number(&mut self, peek: Peek, kind: Kind) -> PyResult<Py<PyAny>> {
        let py = self.py;
        let start = self.jiter.current_index();
        let text = match self.jiter.known_number_bytes(peek) {
            Ok(_) => self.json.get(start..self.jiter.current_index()),
            // `jiter` takes no number of more than 4300 digits.
            Err(_) => Some(self.skip_value(start).trim_ascii()),
        };
        let text = text.unwrap_or_default();
        match kind {
            Kind::Decimal => exactly(py, text, self.decimal),
            Kind::Float => float(py, text),
            Kind::Plain | Kind::Bytes | Kind::Json => plain_number(py, text, self.decimal),
        }
    }
}

/// An `int`, or a `float` if that says the same.
fn plain_number(py: Python<'_>, text: &str, decimal: DecimalAs) -> PyResult<Py<PyAny>> {
    if !is_whole(text) {
        return match exact_float(text) {
            Some(float) => Ok(PyFloat::new(py, float).into_any().unbind()),
            None => exactly(py, text, decimal),
        };
    }
    match text.parse::<i64>() {
        Ok(int) => Ok(int.into_pyobject(py)?.into_any().unbind()),
        Err(_) if text.len() > INT_DIGITS_MAX => exactly(py, text, decimal),
        Err(_) => Ok(py.get_type::<PyInt>().call1((text,))?.unbind()),
    }
}

/// Python's own `json.loads`, with our numbers.
#[cold]
fn loads(py: Python<'_>, json: &str, decimal: DecimalAs) -> PyResult<Py<PyAny>> {
    let number = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        let text: String = arguments.get_item(0)?.extract()?;
        plain_number(arguments.py(), &text, decimal)
    };
    let number = PyCFunction::new_closure(py, None, None, number)?;
    let hooks = PyDict::new(py);
    hooks.set_item("parse_float", &number)?;
    hooks.set_item("parse_int", &number)?;
    let loads = py.import("json")?.getattr("loads")?;
    Ok(loads.call((json,), Some(&hooks))?.unbind())
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

pub(crate) fn unchanged_sentinel(py: Python<'_>) -> PyResult<Py<PyAny>> {
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
