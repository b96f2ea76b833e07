//! Sets of characters.

use alloc::vec::Vec;

/// Characters, as ranges in order that do not touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Set(Vec<(u32, u32)>);

impl Set {
    pub(super) fn of(ranges: &[(char, char)]) -> Self {
        let ranges = ranges
            .iter()
            .map(|(first, last)| (u32::from(*first), u32::from(*last)));
        Self::normalized(ranges.collect())
    }

    fn normalized(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut normalized: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match normalized.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => normalized.push((first, last)),
            }
        }
        Self(normalized)
    }

    pub(super) fn contains(&self, character: char) -> bool {
        let code = u32::from(character);
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&code))
    }

    pub(super) fn union(self, other: Self) -> Self {
        let mut ranges = self.0;
        ranges.extend(other.0);
        Self::normalized(ranges)
    }

    pub(super) fn complement(&self) -> Self {
        let mut ranges = Vec::new();
        let mut next = 0;
        for (first, last) in &self.0 {
            if *first > next {
                ranges.push((next, first - 1));
            }
            next = last.saturating_add(1);
        }
        if next <= u32::from(char::MAX) {
            ranges.push((next, u32::from(char::MAX)));
        }
        Self(ranges)
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.complement().union(other.complement()).complement()
    }

    /// With the other case of its ASCII letters.
    pub(super) fn without_case(self) -> Self {
        const TO_LOWER: u32 = 32;
        let shifted = |letters: &Self, by: i64| {
            let shift = |code: &u32| u32::try_from(i64::from(*code) + by).unwrap_or(*code);
            let ranges = letters.0.iter();
            Self(ranges.map(|(a, b)| (shift(a), shift(b))).collect())
        };
        let upper = self.intersection(&Self::of(&[('A', 'Z')]));
        let lower = self.intersection(&Self::of(&[('a', 'z')]));
        self.union(shifted(&upper, i64::from(TO_LOWER)))
            .union(shifted(&lower, -i64::from(TO_LOWER)))
    }
}

pub(super) fn is_line_terminator(character: char) -> bool {
    LINE_TERMINATORS.contains(&character)
}

pub(super) const LINE_TERMINATORS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
pub(super) const DIGIT: &[(char, char)] = &[('0', '9')];
pub(super) const SPACE: &[(char, char)] = &[('\t', '\r'), (' ', ' ')];
pub(super) const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
pub(super) const VERTICAL: &[(char, char)] =
    &[('\n', '\r'), ('\u{85}', '\u{85}'), ('\u{2028}', '\u{2029}')];
pub(super) const HORIZONTAL: &[(char, char)] = &[
    ('\t', '\t'),
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
];
