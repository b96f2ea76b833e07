//! Java's regular expressions, as far as Debezium's lists of names need them.
//!
//! An expression is a program whose states are followed all at once, so that matching takes time in
//! proportion to the text and no stack, whatever the expression. Captures are not kept; what needs
//! them, or the order in which alternatives are tried, is refused: back-references, possessive
//! quantifiers, atomic groups. So is look-behind.
//!
//! Case is ignored in ASCII, and predefined classes are of ASCII: `Pattern.CASE_INSENSITIVE` alone.

mod set;
mod syntax;

use alloc::vec;
use alloc::vec::Vec;

use self::set::{Set, is_line_terminator};
use self::syntax::{Assertion, Node, Refused, parse};
use crate::limits::PATTERN_PARTS_MAX;

/// An expression that matches whole texts.
#[derive(Clone, Debug)]
pub(crate) struct Regex {
    program: Vec<Instruction>,
}

#[derive(Clone, Debug)]
enum Instruction {
    /// The character is one of these.
    Set(Set),
    Assert(Assertion),
    /// What follows matches (or does not) the program, which need not reach the end.
    Look {
        program: Vec<Instruction>,
        negative: bool,
    },
    /// Goes on at both.
    Split(usize, usize),
    Jump(usize),
    Match,
}

impl Regex {
    pub(crate) fn new(pattern: &str) -> Result<Self, Refused> {
        let node = parse(pattern)?;
        let (mut program, mut left) = (Vec::new(), PATTERN_PARTS_MAX);
        emit(&node, &mut program, &mut left)?;
        program.push(Instruction::Match);
        Ok(Self { program })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        run(&self.program, text, 0, true)
    }
}

/// Follows the program from `start` on. Without `whole` it may end anywhere.
fn run(program: &[Instruction], text: &str, start: usize, whole: bool) -> bool {
    let mut states = States::new(program.len());
    let mut next = States::new(program.len());
    let mut at = start;
    states.follow(program, 0, text, at);
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let character = rest.chars().next();
        if states.matched && (!whole || character.is_none()) {
            return true;
        }
        let Some(character) = character else {
            return false;
        };
        at += character.len_utf8();
        for &state in &states.list {
            if let Some(Instruction::Set(set)) = program.get(state)
                && set.contains(character)
            {
                next.follow(program, state + 1, text, at);
            }
        }
        if next.list.is_empty() && !next.matched {
            return false;
        }
        core::mem::swap(&mut states, &mut next);
        next.clear();
    }
}

/// States of a program that wait for a character.
struct States {
    list: Vec<usize>,
    seen: Vec<bool>,
    matched: bool,
    pending: Vec<usize>,
}

impl States {
    fn new(states: usize) -> Self {
        Self {
            list: Vec::new(),
            seen: vec![false; states],
            matched: false,
            pending: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.fill(false);
        self.matched = false;
    }

    /// Adds a state, and those that are reached from it without a character.
    fn follow(&mut self, program: &[Instruction], state: usize, text: &str, at: usize) {
        self.pending.push(state);
        while let Some(state) = self.pending.pop() {
            match self.seen.get_mut(state) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            match program.get(state) {
                Some(Instruction::Set(_)) => self.list.push(state),
                Some(Instruction::Assert(assertion)) if assertion.holds(text, at) => {
                    self.pending.push(state + 1);
                }
                Some(Instruction::Look { program, negative })
                    if run(program, text, at, false) != *negative =>
                {
                    self.pending.push(state + 1);
                }
                Some(Instruction::Split(one, other)) => self.pending.extend([*one, *other]),
                Some(Instruction::Jump(to)) => self.pending.push(*to),
                Some(Instruction::Match) => self.matched = true,
                Some(Instruction::Assert(_) | Instruction::Look { .. }) | None => {}
            }
        }
    }
}

impl Assertion {
    fn holds(self, text: &str, at: usize) -> bool {
        let (before, behind) = text.split_at_checked(at).unwrap_or((text, ""));
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let boundary = || {
            before.chars().next_back().is_some_and(is_word)
                != behind.chars().next().is_some_and(is_word)
        };
        match self {
            Self::Start => before.is_empty(),
            Self::End => behind.is_empty(),
            Self::LastLine => {
                let mut characters = behind.chars();
                behind.is_empty()
                    || behind == "\r\n"
                    || (characters.next().is_some_and(is_line_terminator)
                        && characters.next().is_none()
                        && !(behind == "\n" && before.ends_with('\r')))
            }
            Self::WordBoundary => boundary(),
            Self::NoWordBoundary => !boundary(),
        }
    }
}

/// Appends a node's instructions; `left` counts the nodes that there may yet be, repeated ones each
/// time.
fn emit(node: &Node, program: &mut Vec<Instruction>, left: &mut usize) -> Result<(), Refused> {
    *left = left.checked_sub(1).ok_or("it is too large")?;
    match node {
        Node::Set(set) => program.push(Instruction::Set(set.clone())),
        Node::Assert(assertion) => program.push(Instruction::Assert(*assertion)),
        Node::Look { inside, negative } => {
            let mut inner = Vec::new();
            emit(inside, &mut inner, left)?;
            inner.push(Instruction::Match);
            program.push(Instruction::Look {
                program: inner,
                negative: *negative,
            });
        }
        Node::Sequence(nodes) => {
            for node in nodes {
                emit(node, program, left)?;
            }
        }
        Node::Alternatives(nodes) => {
            let mut ends = Vec::new();
            let mut nodes = nodes.iter().peekable();
            while let Some(node) = nodes.next() {
                if nodes.peek().is_none() {
                    emit(node, program, left)?;
                    break;
                }
                let split = reserve(program);
                emit(node, program, left)?;
                ends.push(reserve(program));
                set_split(program, split);
            }
            let behind = program.len();
            for end in ends {
                set(program, end, Instruction::Jump(behind));
            }
        }
        Node::Repeat { inside, min, max } => {
            for _ in 0..*min {
                emit(inside, program, left)?;
            }
            let Some(max) = max else {
                let split = reserve(program);
                emit(inside, program, left)?;
                program.push(Instruction::Jump(split));
                set_split(program, split);
                return Ok(());
            };
            let mut splits = Vec::new();
            for _ in *min..*max {
                splits.push(reserve(program));
                emit(inside, program, left)?;
            }
            for split in splits {
                set_split(program, split);
            }
        }
    }
    Ok(())
}

/// Leaves room for an instruction that is not known yet.
fn reserve(program: &mut Vec<Instruction>) -> usize {
    program.push(Instruction::Match);
    program.len() - 1
}

/// Goes on behind the instruction, or behind all there are.
fn set_split(program: &mut [Instruction], at: usize) {
    let behind = program.len();
    set(program, at, Instruction::Split(at + 1, behind));
}

fn set(program: &mut [Instruction], at: usize, instruction: Instruction) {
    if let Some(place) = program.get_mut(at) {
        *place = instruction;
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn matches_whole_texts_as_java_does() {
        for (pattern, matching, others) in [
            ("a|bc?", &["a", "b", "BC"][..], &["", "ac", "c", "bcc"][..]),
            (
                "public\\.t[0-9]+",
                &["public.t1", "PUBLIC.T20"],
                &["public.t", "publicXt1"],
            ),
            (
                "(?:ab){2}|x{1,2}y{2,}",
                &["abab", "xxyyy"],
                &["ab", "xxxyy", "xy"],
            ),
            (
                "^(?!public\\.audit).*$",
                &["public.t"],
                &["public.audit_log"],
            ),
            ("(?=a).b", &["ab"], &["bb"]),
            ("[^a-c]+", &["xyz", "Ä"], &["xAz", "b"]),
            ("[a-z&&[^aeiou]]", &["b", "Z"], &["a", "1"]),
            ("[]a-]+", &["]", "a-"], &["b"]),
            ("[\\w.\\-]+", &["a_1.-"], &["a b", "ä"]),
            ("\\Qa.b\\E.", &["a.bx", "A.Bx"], &["axbx"]),
            ("(?-i)a(?i:b)c", &["abc", "aBc"], &["Abc", "abC"]),
            (".*", &["", "häus 😀"], &["a\nb"]),
            ("(?s).*", &["a\nb"], &[]),
            ("\\p{Alpha}\\x41\\u00e4", &["qaä"], &["qaÄ"]),
            ("a??b+?", &["ab", "bb"], &["aab"]),
            ("\\ba\\b.*", &["a b"], &["ab"]),
            ("(?<name>x)*", &["", "xx"], &["y"]),
            ("", &[""], &["a"]),
            ("(a*)*", &["", "aaa"], &["b"]),
        ] {
            let regex = Regex::new(pattern).unwrap();
            for text in matching {
                assert!(regex.matches(text), "{pattern} matches {text}");
            }
            for text in others {
                assert!(!regex.matches(text), "{pattern} does not match {text}");
            }
        }
    }

    #[test]
    fn refuses_what_it_cannot_follow_and_what_is_malformed() {
        for pattern in [
            "(a",
            "a)",
            "*a",
            "a**",
            "a{",
            "a{2,1}",
            "a{x}",
            "[&&a]",
            "[a&&]",
            "[a&&&b]",
            "[a",
            "[z-a]",
            "\\",
            "\\y",
            "a*+",
            "(?>a)",
            "(?<=a)b",
            "(a)\\1",
            "(?x)a",
            "(?<>a)",
            "\\p{L}",
            "\\u12",
            "{",
            "(((((a{1000}){1000}){1000}){1000}){1000})",
            "((((){1000}){1000}){1000}){1000}",
            "(?=(?=a{1000}){1000}){1000}",
        ] {
            assert!(Regex::new(pattern).is_err(), "{pattern}");
        }
        assert!(Regex::new(&"(".repeat(100_000)).is_err());
        assert!(Regex::new(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn takes_time_in_proportion_to_the_text() {
        let text: String = "a".repeat(100_000);
        assert!(!Regex::new("(a*)*(a|aa)+b").unwrap().matches(&text));
        assert!(Regex::new("(a*)*(a|aa)+").unwrap().matches(&text));
    }
}
