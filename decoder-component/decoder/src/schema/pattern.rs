//! Lists of patterns, as Debezium's options have them.

use alloc::vec::Vec;

/// Regular expressions of which one must match a whole name, in capitals or not: characters, `.`,
/// both repeated by `*`, and `\` before a character that stands for itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<Vec<Piece>>);

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// None: any.
    character: Option<char>,
    repeated: bool,
}

impl Patterns {
    /// Parses a list separated by commas. None: something in it is not understood.
    pub(crate) fn parse(list: &str) -> Option<Self> {
        let patterns = list.split(',').map(str::trim);
        let patterns = patterns.filter(|pattern| !pattern.is_empty());
        patterns.map(parse).collect::<Option<_>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }
}

fn parse(pattern: &str) -> Option<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '*' => {
                let last = pieces.last_mut().filter(|last| !last.repeated)?;
                last.repeated = true;
                continue;
            }
            '.' => None,
            '\\' => Some(characters.next().filter(|next| !next.is_alphanumeric())?),
            '+' | '?' | '|' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            _ => Some(character.to_ascii_lowercase()),
        };
        pieces.push(Piece {
            character,
            repeated: false,
        });
    }
    Some(pieces)
}

/// Follows all ways through the pattern at once, so that time is bounded by the product of lengths.
fn matches(pattern: &[Piece], name: &str) -> bool {
    let skip = |at: &mut Vec<bool>| {
        for index in 0..pattern.len() {
            let optional = pattern.get(index).is_some_and(|piece| piece.repeated);
            if optional
                && at.get(index) == Some(&true)
                && let Some(next) = at.get_mut(index + 1)
            {
                *next = true;
            }
        }
    };
    let mut at = alloc::vec![false; pattern.len() + 1];
    if let Some(first) = at.first_mut() {
        *first = true;
    }
    skip(&mut at);
    for character in name.chars() {
        let character = character.to_ascii_lowercase();
        let mut next = alloc::vec![false; pattern.len() + 1];
        for (index, piece) in pattern.iter().enumerate() {
            if at.get(index) == Some(&true)
                && piece.character.is_none_or(|wanted| wanted == character)
                && let Some(place) = next.get_mut(index + usize::from(!piece.repeated))
            {
                *place = true;
            }
        }
        skip(&mut next);
        at = next;
    }
    at.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (list, name, expected) in [
            (".*", "public.m.id", true),
            ("", "public.m.id", false),
            (r".*\.numeric, .*\.varchar", "public.m.varchar", true),
            (r".*\.numeric,.*\.varchar", "public.m._numeric", false),
            (r"PUBLIC\.m\.id", "public.m.id", true),
            (r"public\.m", "public.m.id", false),
            ("a*b*", "aab", true),
            ("a*b*", "aba", false),
        ] {
            assert_eq!(Patterns::parse(list).unwrap().matches(name), expected);
        }
        for list in ["a|b", "*", "a**", r"\d", "[a]"] {
            assert!(Patterns::parse(list).is_none());
        }
    }
}
