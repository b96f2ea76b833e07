//! Values in their types' binary send formats (`value/wire` says what these are): constants of the
//! same length, in the structure that was there.

use super::guess::kind_of;
use super::json;
use super::text::{distinguish, plain};
use crate::inspection::memory::{Form, Memory};
use crate::limits::{DIMENSIONS_MAX, INSPECTED_DEPTH_MAX};
use crate::value::wire::kind::{Kind, Shape};

/// `other` tells the value apart from one that was redacted without it.
pub(super) fn redact(value: &mut [u8], form: Form, memory: &Memory, other: bool) {
    let place = Place {
        memory,
        depth: 0,
        other,
    };
    if by_form(value, form, place).is_some() {
        return;
    }
    // Zeros may be a value of the type, and are to be the same when it is redacted again.
    value.fill(0);
    if by_form(value, form, place).is_none() {
        value.fill(0);
    }
}

/// Where a value is, and what it is to become.
#[derive(Clone, Copy)]
struct Place<'m> {
    memory: &'m Memory,
    depth: u8,
    other: bool,
}

/// None: it is no value of the type. What became of it by then is of no use.
fn by_form(value: &mut [u8], form: Form, place: Place<'_>) -> Option<()> {
    let mut rest = Rest {
        bytes: value,
        other: place.other,
    };
    let rest = &mut rest;
    match form.kind {
        Kind::Bool => rest.either([[1], [0]])?,
        Kind::Int2 => rest.either([1_i16, 2].map(i16::to_be_bytes))?,
        Kind::Int4 | Kind::Registered { .. } | Kind::Unsigned4 => {
            rest.either([1_i32, 2].map(i32::to_be_bytes))?;
        }
        Kind::Int8 | Kind::Money | Kind::Unsigned8 => {
            rest.either([1_i64, 2].map(i64::to_be_bytes))?;
        }
        Kind::Float4 => rest.float4()?,
        Kind::Float8 => rest.float8()?,
        Kind::Numeric => numeric(rest)?,
        Kind::Bits => bits(rest)?,
        Kind::Date => date(rest)?,
        Kind::Time => rest.either(CLOCK_US.map(i64::to_be_bytes))?,
        Kind::TimeTz => {
            rest.either(CLOCK_US.map(i64::to_be_bytes))?;
            rest.put([0; 4])?;
        }
        Kind::Timestamp | Kind::TimestampTz => timestamp(rest)?,
        Kind::Interval => interval(rest)?,
        Kind::Lsn => rest.fill(8)?,
        Kind::MacAddress(length) => rest.fill(usize::from(length))?,
        Kind::Uuid => rest.fill(16)?,
        Kind::Bytea | Kind::Geometry => rest.fill(rest.bytes.len())?,
        Kind::Inet => {
            let [_, _, _, length] = rest.number()?;
            rest.fill(usize::from(length))?;
        }
        Kind::Tid => {
            rest.either([1_u32, 2].map(u32::to_be_bytes))?;
            rest.either([1_u16, 2].map(u16::to_be_bytes))?;
        }
        Kind::Snapshot => {
            rest.u32()?;
            while !rest.bytes.is_empty() {
                rest.either([1_u64, 2].map(u64::to_be_bytes))?;
            }
        }
        Kind::Char => {
            if rest.peek()? == [0] {
                rest.take(1)?;
            } else {
                rest.lexeme(1)?;
            }
        }
        Kind::Text => rest.text(form.json),
        Kind::Versioned => {
            rest.take(1)?;
            rest.text(form.json);
        }
        Kind::Geometric(shape) => geometric(shape, rest)?,
        Kind::Cube => {
            rest.u32()?;
            rest.float8s()?;
        }
        Kind::Vector => {
            rest.u32()?;
            rest.float4s()?;
        }
        Kind::HalfVector => {
            rest.u32()?;
            while !rest.bytes.is_empty() {
                let half = u16::from_be_bytes(rest.peek()?);
                if half & HALF_INFINITE == HALF_INFINITE {
                    rest.take(2)?;
                } else {
                    rest.either(HALF.map(u16::to_be_bytes))?;
                }
            }
        }
        Kind::SparseVector => sparse_vector(rest)?,
        Kind::Hstore => hstore(rest)?,
        Kind::TsVector => text_search_vector(rest)?,
        Kind::TsQuery => text_search_query(rest)?,
        _ => return nested(rest, form, place),
    }
    rest.finish()
}

/// What is made of values; of a type that is not known, whatever it can be.
fn nested(rest: &mut Rest<'_>, form: Form, place: Place<'_>) -> Option<()> {
    let Place { memory, depth, .. } = place;
    let kind = match form.kind {
        _ if depth >= INSPECTED_DEPTH_MAX => None,
        Kind::Composite | Kind::Unknown => kind_of(rest.bytes),
        kind => Some(kind),
    };
    let Some(kind) = kind else {
        core::mem::take(&mut rest.bytes).fill(0);
        return Some(());
    };
    let place = Place {
        depth: depth + 1,
        ..place
    };
    match kind {
        Kind::Array | Kind::Words => {
            let dimensions = usize::try_from(rest.u32()?).ok()?;
            rest.u32()?;
            let mut element = memory.form(rest.u32()?);
            // The name of an array's type names its elements', which was not announced itself.
            if element.kind == Kind::Unknown {
                element = form.elements();
            }
            if dimensions > DIMENSIONS_MAX {
                return None;
            }
            rest.take(dimensions * 8)?;
            while !rest.bytes.is_empty() {
                rest.part(|value| by_form(value, element, place))?;
            }
        }
        Kind::Composite => {
            rest.u32()?;
            while !rest.bytes.is_empty() {
                let attribute = memory.form(rest.u32()?);
                rest.part(|value| by_form(value, attribute, place))?;
            }
        }
        Kind::Multirange(subtype) => {
            rest.u32()?;
            while !rest.bytes.is_empty() {
                let range = Form::of(Kind::Range(subtype));
                rest.part(|value| by_form(value, range, place))?;
            }
        }
        Kind::Range(subtype) => {
            rest.take(1)?;
            let bound = memory.form(subtype);
            while !rest.bytes.is_empty() {
                rest.part(|value| by_form(value, bound, place))?;
            }
        }
        _ => by_form(core::mem::take(&mut rest.bytes), Form::of(kind), place)?,
    }
    rest.finish()
}

/// Digits to the base of 10000. The header stays: how many there are, where the point is, the sign,
/// and how many decimal ones are shown behind it.
fn numeric(rest: &mut Rest<'_>) -> Option<()> {
    let [d1, d2, _, _, _, _, _, _] = rest.number::<8>()?;
    for _ in 0..u16::from_be_bytes([d1, d2]) {
        rest.either([1111_u16, 2222].map(u16::to_be_bytes))?;
    }
    Some(())
}

/// Those behind the last one stay zero.
fn bits(rest: &mut Rest<'_>) -> Option<()> {
    let count = usize::try_from(rest.u32()?).ok()?;
    let bytes = rest.take(count.div_ceil(8))?;
    bytes.fill(if rest.other { 0 } else { 0xFF });
    if let Some(last) = bytes.last_mut()
        && !count.is_multiple_of(8)
    {
        *last <<= 8 - count % 8;
    }
    Some(())
}

fn date(rest: &mut Rest<'_>) -> Option<()> {
    match i32::from_be_bytes(rest.peek()?) {
        i32::MIN | i32::MAX => rest.take(4).map(|_| ()),
        _ => rest.either(DATE_DAYS.map(i32::to_be_bytes)),
    }
}

fn timestamp(rest: &mut Rest<'_>) -> Option<()> {
    match i64::from_be_bytes(rest.peek()?) {
        i64::MIN | i64::MAX => rest.take(8).map(|_| ()),
        _ => rest.either(TIMESTAMP_US.map(i64::to_be_bytes)),
    }
}

fn interval(rest: &mut Rest<'_>) -> Option<()> {
    match i128::from_be_bytes(rest.peek()?) {
        INTERVAL_INFINITE | INTERVAL_NEGATIVE_INFINITE => rest.take(16).map(|_| ()),
        _ => rest.either(INTERVAL.map(i128::to_be_bytes)),
    }
}

fn geometric(shape: Shape, rest: &mut Rest<'_>) -> Option<()> {
    match shape {
        Shape::Path => {
            rest.take(5)?;
        }
        Shape::Polygon => {
            rest.take(4)?;
        }
        Shape::Box | Shape::Circle | Shape::Line | Shape::Point | Shape::Segment => {}
    }
    rest.float8s()
}

/// The first indexes instead of those that were there.
fn sparse_vector(rest: &mut Rest<'_>) -> Option<()> {
    rest.u32()?;
    let count = rest.u32()?;
    rest.u32()?;
    for index in 0..count {
        rest.put(index.to_be_bytes())?;
    }
    rest.float4s()
}

fn hstore(rest: &mut Rest<'_>) -> Option<()> {
    rest.u32()?;
    while !rest.bytes.is_empty() {
        for _ in 0..2 {
            match rest.number().map(i32::from_be_bytes)? {
                -1 => {}
                length => rest.lexeme(usize::try_from(length).ok()?)?,
            }
        }
    }
    Some(())
}

/// Lexemes, ended by a zero byte, and their positions, whose weights stay.
fn text_search_vector(rest: &mut Rest<'_>) -> Option<()> {
    rest.u32()?;
    while !rest.bytes.is_empty() {
        rest.ended()?;
        for _ in 0..u16::from_be_bytes(rest.number()?) {
            let position = u16::from_be_bytes(rest.peek()?);
            rest.either([1, 2].map(|place| (position & 0xC000 | place).to_be_bytes()))?;
        }
    }
    Some(())
}

fn text_search_query(rest: &mut Rest<'_>) -> Option<()> {
    const VALUE: u8 = 1;
    const PHRASE: u8 = 4;
    rest.u32()?;
    while !rest.bytes.is_empty() {
        let [item, second] = rest.number()?;
        if item == VALUE {
            rest.take(1)?;
            rest.ended()?;
        } else if second == PHRASE {
            rest.take(2)?;
        }
    }
    Some(())
}

/// What is not redacted yet.
struct Rest<'a> {
    bytes: &'a mut [u8],
    other: bool,
}

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a mut [u8]> {
        let (taken, rest) = core::mem::take(&mut self.bytes).split_at_mut_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes.first_chunk().copied()
    }

    /// Bytes that stay.
    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let number = self.peek()?;
        self.take(N)?;
        Some(number)
    }

    fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_be_bytes)
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        self.take(N)?.copy_from_slice(&bytes);
        Some(())
    }

    fn either<const N: usize>(&mut self, [one, other]: [[u8; N]; 2]) -> Option<()> {
        self.put(if self.other { other } else { one })
    }

    fn fill(&mut self, length: usize) -> Option<()> {
        let byte = if self.other { 0x12 } else { 0x11 };
        self.take(length)?.fill(byte);
        Some(())
    }

    fn float4(&mut self) -> Option<()> {
        if f32::from_be_bytes(self.peek()?).is_finite() {
            self.either([1_f32, 2.0].map(f32::to_be_bytes))
        } else {
            self.take(4).map(|_| ())
        }
    }

    fn float8(&mut self) -> Option<()> {
        if f64::from_be_bytes(self.peek()?).is_finite() {
            self.either([1_f64, 2.0].map(f64::to_be_bytes))
        } else {
            self.take(8).map(|_| ())
        }
    }

    fn float4s(&mut self) -> Option<()> {
        while !self.bytes.is_empty() {
            self.float4()?;
        }
        Some(())
    }

    fn float8s(&mut self) -> Option<()> {
        while !self.bytes.is_empty() {
            self.float8()?;
        }
        Some(())
    }

    /// All that is left.
    fn text(&mut self, is_json: bool) {
        let text = core::mem::take(&mut self.bytes);
        if is_json {
            json::redact(text);
        } else {
            plain(text);
        }
        if self.other {
            distinguish(text, Form::of(Kind::Text));
        }
    }

    fn lexeme(&mut self, length: usize) -> Option<()> {
        let mut lexeme = Rest {
            other: self.other,
            bytes: self.take(length)?,
        };
        lexeme.text(false);
        Some(())
    }

    /// The same, ended by a zero byte.
    fn ended(&mut self) -> Option<()> {
        self.lexeme(memchr::memchr(0, self.bytes)?)?;
        self.take(1).map(|_| ())
    }

    /// A value with its length before it; a length of -1 is NULL.
    fn part(&mut self, mut redact: impl FnMut(&mut [u8]) -> Option<()>) -> Option<()> {
        match self.number().map(i32::from_be_bytes)? {
            -1 => Some(()),
            length => redact(self.take(usize::try_from(length).ok()?)?),
        }
    }

    fn finish(&self) -> Option<()> {
        self.bytes.is_empty().then_some(())
    }
}

// One value, and another.

/// 1111-11-11 and 2111-11-11, since 2000-01-01.
const DATE_DAYS: [i32; 2] = [-324_387, 40_856];

/// 11:11:11.111111 and 21:11:11.111111
const CLOCK_US: [i64; 2] = [40_271_111_111, 76_271_111_111];

/// 1111-11-11 11:11:11.111111 and 2111-11-11 11:11:11.111111
const TIMESTAMP_US: [i64; 2] = [-28_026_996_528_888_889, 3_529_998_671_111_111];

/// 11 or 21 mons, 11 days, 11:11:11.111111: µs, days, months.
const INTERVAL: [i128; 2] = [
    40_271_111_111 << 64 | 0x0B << 32 | 0x0B,
    40_271_111_111 << 64 | 0x0B << 32 | 0x15,
];

/// 1 and 2 in IEEE 754's binary16.
const HALF: [u16; 2] = [0x3C00, 0x4000];

const INTERVAL_INFINITE: i128 = 0x7FFF_FFFF_FFFF_FFFF_7FFF_FFFF_7FFF_FFFF;
const INTERVAL_NEGATIVE_INFINITE: i128 = i128::MIN | 0x8000_0000_8000_0000;

/// Infinite, or no number, if all of these are set.
const HALF_INFINITE: u16 = 0x7C00;
