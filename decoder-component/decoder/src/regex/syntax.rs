//! From an expression's text to its parts.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

use super::set::{DIGIT, HORIZONTAL, LINE_TERMINATORS, SPACE, Set, VERTICAL, WORD};
use crate::limits::PATTERN_DEPTH_MAX;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Set(Set),
    Assert(Assertion),
    Look {
        inside: Box<Node>,
        negative: bool,
    },
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        inside: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Assertion {
    Start,
    End,
    /// Or before the line terminator at the end.
    LastLine,
    WordBoundary,
    NoWordBoundary,
}

/// What is wrong with an expression.
pub(super) type Refused = &'static str;

/// Parses an expression that ignores case from the beginning.
pub(super) fn parse(pattern: &str) -> Result<Node, Refused> {
    let mut parser = Parser {
        rest: pattern.chars().peekable(),
        flags: Flags {
            ignore_case: true,
            dot_all: false,
        },
        depth: 0,
    };
    let node = parser.alternatives()?;
    if parser.rest.next().is_some() {
        return Err("a parenthesis is closed that is not open");
    }
    Ok(node)
}

#[derive(Clone, Copy)]
struct Flags {
    ignore_case: bool,
    dot_all: bool,
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    flags: Flags,
    /// Of groups and classes.
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, character: char) -> bool {
        self.rest.next_if_eq(&character).is_some()
    }

    fn take_all(&mut self, text: &str) -> bool {
        let mut ahead = self.rest.clone();
        let taken = text.chars().all(|wanted| ahead.next() == Some(wanted));
        if taken {
            self.rest = ahead;
        }
        taken
    }

    fn alternatives(&mut self) -> Result<Node, Refused> {
        let mut nodes = vec![self.sequence()?];
        while self.take('|') {
            nodes.push(self.sequence()?);
        }
        Ok(Node::Alternatives(nodes))
    }

    fn sequence(&mut self) -> Result<Node, Refused> {
        let mut nodes = Vec::new();
        while let Some(&character) = self.rest.peek() {
            if matches!(character, '|' | ')') {
                break;
            }
            if self.take_all("\\Q") {
                nodes.extend(self.quoted());
                let Some(last) = nodes.pop() else {
                    continue;
                };
                nodes.push(self.quantified(last)?);
                continue;
            }
            if let Some(node) = self.atom()? {
                let node = self.quantified(node)?;
                nodes.push(node);
            }
        }
        Ok(Node::Sequence(nodes))
    }

    /// What stands between `\Q` and `\E`: characters that stand for themselves.
    fn quoted(&mut self) -> Vec<Node> {
        let mut literals = Vec::new();
        while !self.take_all("\\E") {
            let Some(character) = self.rest.next() else {
                break;
            };
            literals.push(Node::Set(self.literal(character)));
        }
        literals
    }

    /// None: it was a flag.
    fn atom(&mut self) -> Result<Option<Node>, Refused> {
        let Some(character) = self.rest.next() else {
            return Ok(None);
        };
        Ok(Some(match character {
            '(' => return self.group(),
            '[' => Node::Set(self.class()?),
            '.' if self.flags.dot_all => Node::Set(Set::default().complement()),
            '.' => {
                let terminators = LINE_TERMINATORS.map(|character| (character, character));
                Node::Set(Set::of(&terminators).complement())
            }
            '^' => Node::Assert(Assertion::Start),
            '$' => Node::Assert(Assertion::LastLine),
            '\\' => self.escape()?,
            '*' | '+' | '?' | '{' => return Err("a quantifier follows nothing"),
            _ => Node::Set(self.literal(character)),
        }))
    }

    fn group(&mut self) -> Result<Option<Node>, Refused> {
        self.enter()?;
        let flags = self.flags;
        let node = if !self.take('?') || self.take(':') {
            self.alternatives()?
        } else if let Some(sign) = self.rest.next_if(|sign| matches!(sign, '=' | '!')) {
            let inside = Box::new(self.alternatives()?);
            Node::Look {
                inside,
                negative: sign == '!',
            }
        } else if self.take('<') {
            if matches!(self.rest.peek(), Some('=' | '!')) {
                return Err("look-behind is not supported");
            }
            let mut letters = 0;
            while self.rest.next_if(char::is_ascii_alphanumeric).is_some() {
                letters += 1;
            }
            if letters == 0 || !self.take('>') {
                return Err("a group has a malformed name");
            }
            self.alternatives()?
        } else if self.take('>') {
            return Err("atomic groups are not supported");
        } else {
            self.set_flags()?;
            if self.take(')') {
                self.depth -= 1;
                return Ok(None);
            }
            if !self.take(':') {
                return Err("flags other than i and s are not supported");
            }
            self.alternatives()?
        };
        self.leave(flags)?;
        Ok(Some(node))
    }

    fn enter(&mut self) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > PATTERN_DEPTH_MAX {
            return Err("it is nested too deeply");
        }
        Ok(())
    }

    fn leave(&mut self, flags: Flags) -> Result<(), Refused> {
        self.depth -= 1;
        self.flags = flags;
        if self.take(')') {
            Ok(())
        } else {
            Err("a parenthesis is not closed")
        }
    }

    fn set_flags(&mut self) -> Result<(), Refused> {
        let mut on = true;
        loop {
            match self.rest.peek() {
                Some('-') if on => on = false,
                Some('i') => self.flags.ignore_case = on,
                Some('s') => self.flags.dot_all = on,
                _ => return Ok(()),
            }
            self.rest.next();
        }
    }

    fn quantified(&mut self, node: Node) -> Result<Node, Refused> {
        let (min, max) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.rest.next();
                self.bounds()?
            }
            _ => return Ok(node),
        };
        // Bounds end with their brace, which is still there.
        self.rest.next();
        match self.rest.peek() {
            // Which of the possible matches comes first makes no difference.
            Some('?') => {
                self.rest.next();
            }
            Some('+') => return Err("possessive quantifiers are not supported"),
            _ => {}
        }
        if matches!(self.rest.peek(), Some('*' | '+' | '?' | '{')) {
            return Err("a quantifier follows another");
        }
        Ok(Node::Repeat {
            inside: Box::new(node),
            min,
            max,
        })
    }

    /// What stands in braces, up to the closing one.
    fn bounds(&mut self) -> Result<(u32, Option<u32>), Refused> {
        const MALFORMED: Refused = "a repetition is malformed";
        let min = self.number().ok_or(MALFORMED)?;
        let max = if self.take(',') {
            self.number()
        } else {
            Some(min)
        };
        if self.rest.peek() != Some(&'}') || max.is_some_and(|max| max < min) {
            return Err(MALFORMED);
        }
        Ok((min, max))
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit) = self.rest.peek().and_then(|digit| digit.to_digit(10)) {
            self.rest.next();
            let sum: u32 = number.unwrap_or(0_u32);
            number = Some(sum.saturating_mul(10).saturating_add(digit));
        }
        number
    }

    fn literal(&self, character: char) -> Set {
        self.cased(Set::of(&[(character, character)]))
    }

    fn cased(&self, set: Set) -> Set {
        if self.flags.ignore_case {
            set.without_case()
        } else {
            set
        }
    }

    /// What follows a backslash outside of classes.
    fn escape(&mut self) -> Result<Node, Refused> {
        let assertion = match self.rest.peek() {
            Some('A') => Assertion::Start,
            Some('z') => Assertion::End,
            Some('Z') => Assertion::LastLine,
            Some('b') => Assertion::WordBoundary,
            Some('B') => Assertion::NoWordBoundary,
            Some('1'..='9' | 'k') => return Err("back-references are not supported"),
            _ => {
                return Ok(Node::Set(match self.escaped()? {
                    Escaped::Character(character) => self.literal(character),
                    Escaped::Set(set) => set,
                }));
            }
        };
        self.rest.next();
        Ok(Node::Assert(assertion))
    }

    /// What follows a backslash and stands for one character.
    fn escaped(&mut self) -> Result<Escaped, Refused> {
        let character = self.rest.next().ok_or("an escape is not finished")?;
        let of = |ranges: &[(char, char)]| Escaped::Set(Set::of(ranges));
        let not = |ranges: &[(char, char)]| Escaped::Set(Set::of(ranges).complement());
        Ok(match character {
            'd' => of(DIGIT),
            'D' => not(DIGIT),
            'h' => of(HORIZONTAL),
            'H' => not(HORIZONTAL),
            's' => of(SPACE),
            'S' => not(SPACE),
            'v' => of(VERTICAL),
            'V' => not(VERTICAL),
            'w' => of(WORD),
            'W' => not(WORD),
            't' => Escaped::Character('\t'),
            'n' => Escaped::Character('\n'),
            'r' => Escaped::Character('\r'),
            'f' => Escaped::Character('\u{c}'),
            'a' => Escaped::Character('\u{7}'),
            'e' => Escaped::Character('\u{1b}'),
            'u' => Escaped::Character(self.code(4)?),
            'x' => Escaped::Character(self.code(2)?),
            'p' | 'P' => {
                let set = self.posix()?;
                let set = self.cased(set);
                Escaped::Set(if character == 'p' {
                    set
                } else {
                    set.complement()
                })
            }
            _ if character.is_ascii_alphanumeric() => return Err("an escape is not supported"),
            _ => Escaped::Character(character),
        })
    }

    /// A character by its code, in so many hexadecimal digits.
    fn code(&mut self, digits: usize) -> Result<char, Refused> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.rest.next().and_then(|digit| digit.to_digit(16));
            code = code * 16 + digit.ok_or("a character's code is malformed")?;
        }
        char::from_u32(code).ok_or("a character's code is malformed")
    }

    /// The name of a class, in braces.
    fn posix(&mut self) -> Result<Set, Refused> {
        let classes: &[(&str, &[(char, char)])] = &[
            ("{Alnum}", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
            ("{Alpha}", &[('A', 'Z'), ('a', 'z')]),
            ("{ASCII}", &[('\0', '\u{7f}')]),
            ("{Digit}", DIGIT),
            ("{Lower}", &[('a', 'z')]),
            ("{Punct}", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
            ("{Space}", SPACE),
            ("{Upper}", &[('A', 'Z')]),
            ("{XDigit}", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
        ];
        let named = classes.iter().find(|(name, _)| self.take_all(name));
        named
            .map(|(_, ranges)| Set::of(ranges))
            .ok_or("a class is not supported")
    }

    /// The rest of a class, its bracket being open.
    fn class(&mut self) -> Result<Set, Refused> {
        self.enter()?;
        let negative = self.take('^');
        let mut whole: Option<Set> = None;
        let mut part: Option<Set> = None;
        loop {
            if self.take_all("&&") {
                // Java's answers to what lacks a side differ from release to release.
                if part.is_none() || matches!(self.rest.peek(), Some('&' | ']')) {
                    return Err("an intersection lacks a side");
                }
                whole = intersected(whole, part.take());
                continue;
            }
            let character = self.rest.next().ok_or("a class is not closed")?;
            let item = match character {
                ']' if part.is_some() || whole.is_some() => break,
                '[' => self.class()?,
                _ => self.item(character)?,
            };
            part = Some(part.unwrap_or_default().union(item));
        }
        self.depth -= 1;
        let set = intersected(whole, part).unwrap_or_default();
        Ok(if negative { set.complement() } else { set })
    }

    /// A character of a class, or a range that begins with it.
    fn item(&mut self, character: char) -> Result<Set, Refused> {
        let first = match character {
            '\\' => match self.escaped()? {
                Escaped::Set(set) => return Ok(set),
                Escaped::Character(character) => character,
            },
            _ => character,
        };
        let mut ahead = self.rest.clone();
        let range = ahead.next() == Some('-') && !matches!(ahead.next(), Some('[' | ']') | None);
        if !range {
            return Ok(self.literal(first));
        }
        self.rest.next();
        let last = match self.rest.next() {
            Some('\\') => match self.escaped()? {
                Escaped::Set(_) => return Err("a range is malformed"),
                Escaped::Character(character) => character,
            },
            Some(character) => character,
            None => return Err("a class is not closed"),
        };
        if first > last {
            return Err("a range is malformed");
        }
        Ok(self.cased(Set::of(&[(first, last)])))
    }
}

enum Escaped {
    Character(char),
    Set(Set),
}

fn intersected(one: Option<Set>, other: Option<Set>) -> Option<Set> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.intersection(&other)),
        (one, other) => one.or(other),
    }
}
