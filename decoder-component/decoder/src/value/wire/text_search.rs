//! `tsvector` and `tsquery` (utils/adt/tsvector.c, utils/adt/tsquery.c).

use alloc::vec::Vec;

use super::bytes::Bytes;
use super::number::write_integer;

/// `tsvectorsend`
pub(super) fn write_tsvector(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    for index in 0..bytes.u32()? {
        if index > 0 {
            out.push(b' ');
        }
        write_lexeme(bytes.cstr()?, out);
        for place in 0..bytes.u16()? {
            out.push(if place == 0 { b':' } else { b',' });
            let position = bytes.u16()?;
            write_integer(position & 0x3FFF, out);
            match position >> 14 {
                3 => out.push(b'A'),
                2 => out.push(b'B'),
                1 => out.push(b'C'),
                _ => {}
            }
        }
    }
    Some(())
}

/// `tsquerysend`: operators come before their operands, the right one of two first.
pub(super) fn write_tsquery(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let items = parse(bytes)?;
    let ends = ends(&items)?;
    // What is still to be written, the next one last: a query may be nested deeper than a stack.
    let mut due = Vec::new();
    if !items.is_empty() {
        due.push(Due::Item {
            index: 0,
            priority_min: 0,
            behind_phrase: false,
        });
    }
    while let Some(next) = due.pop() {
        let Due::Item {
            index,
            priority_min,
            behind_phrase,
        } = next
        else {
            next.write(out);
            continue;
        };
        let operator = match items.get(index)? {
            Item::Value {
                lexeme,
                weights,
                prefix,
            } => {
                write_operand(lexeme, *weights, *prefix, out);
                continue;
            }
            Item::Operator(operator) => *operator,
        };
        let priority = operator.priority();
        if priority < priority_min || matches!(operator, Operator::Phrase(_)) && behind_phrase {
            out.extend_from_slice(b"( ");
            due.push(Due::Close);
        }
        let first = index + 1;
        if operator == Operator::Not {
            out.push(b'!');
            due.push(Due::Item {
                index: first,
                priority_min: priority,
                behind_phrase: false,
            });
            continue;
        }
        due.push(Due::Item {
            index: first,
            priority_min: priority,
            behind_phrase: matches!(operator, Operator::Phrase(_)),
        });
        due.push(Due::Operator(operator));
        due.push(Due::Item {
            index: *ends.get(first)?,
            priority_min: priority,
            behind_phrase: false,
        });
    }
    Some(())
}

enum Item<'a> {
    Operator(Operator),
    Value {
        lexeme: &'a [u8],
        weights: u8,
        prefix: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Not,
    Or,
    /// Of operands that far apart.
    Phrase(i16),
}

impl Operator {
    /// `tsearch_op_priority`
    fn priority(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Phrase(_) => 3,
            Self::Not => 4,
        }
    }
}

enum Due {
    Close,
    Item {
        index: usize,
        /// Of an operator that needs no parentheses.
        priority_min: u8,
        /// Phrases are not associative.
        behind_phrase: bool,
    },
    Operator(Operator),
}

impl Due {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Close => out.extend_from_slice(b" )"),
            Self::Operator(Operator::And) => out.extend_from_slice(b" & "),
            Self::Operator(Operator::Or) => out.extend_from_slice(b" | "),
            Self::Operator(Operator::Phrase(1)) => out.extend_from_slice(b" <-> "),
            Self::Operator(Operator::Phrase(distance)) => {
                out.extend_from_slice(b" <");
                write_integer(distance, out);
                out.extend_from_slice(b"> ");
            }
            Self::Operator(Operator::Not) | Self::Item { .. } => {}
        }
    }
}

fn parse<'a>(bytes: &mut Bytes<'a>) -> Option<Vec<Item<'a>>> {
    let count = bytes.count()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(match bytes.u8()? {
            QI_VAL => {
                let [weights, prefix] = bytes.array()?;
                Item::Value {
                    weights,
                    prefix: prefix != 0,
                    lexeme: bytes.cstr()?,
                }
            }
            QI_OPR => Item::Operator(match bytes.u8()? {
                OP_NOT => Operator::Not,
                OP_AND => Operator::And,
                OP_OR => Operator::Or,
                OP_PHRASE => Operator::Phrase(bytes.i16()?),
                _ => return None,
            }),
            _ => return None,
        });
    }
    Some(items)
}

/// Behind each item, with its operands: none unless the items are one query, or none.
fn ends(items: &[Item<'_>]) -> Option<Vec<usize>> {
    let mut ends = alloc::vec![0; items.len()];
    // Ends of queries that start behind the item, the nearest last.
    let mut behind = Vec::new();
    for (index, item) in items.iter().enumerate().rev() {
        let end = match item {
            Item::Value { .. } => index + 1,
            Item::Operator(Operator::Not) => behind.pop()?,
            Item::Operator(_) => {
                behind.pop()?;
                behind.pop()?
            }
        };
        *ends.get_mut(index)? = end;
        behind.push(end);
    }
    (behind.len() == items.len().min(1)).then_some(ends)
}

fn write_operand(lexeme: &[u8], weights: u8, prefix: bool, out: &mut Vec<u8>) {
    write_lexeme(lexeme, out);
    if weights != 0 || prefix {
        out.push(b':');
    }
    if prefix {
        out.push(b'*');
    }
    for (bit, letter) in [(8, b'A'), (4, b'B'), (2, b'C'), (1, b'D')] {
        if weights & bit != 0 {
            out.push(letter);
        }
    }
}

fn write_lexeme(lexeme: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in lexeme {
        if matches!(byte, b'\'' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'\'');
}

// tsearch/ts_type.h
const QI_VAL: u8 = 1;
const QI_OPR: u8 = 2;
const OP_NOT: u8 = 1;
const OP_AND: u8 = 2;
const OP_OR: u8 = 3;
const OP_PHRASE: u8 = 4;
