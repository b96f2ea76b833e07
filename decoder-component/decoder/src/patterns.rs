//! Debezium's lists of regular expressions.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::OptionError;
use crate::options::error;
use crate::regex::Regex;

/// Expressions, one of which is to match the whole of a name, in capitals or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<Regex>);

impl Patterns {
    /// Parses a comma-separated list; `\,` is a comma in an expression.
    pub(crate) fn parse(option: &str, list: &str) -> Result<Self, OptionError> {
        let mut patterns = Vec::new();
        let parts = split(list).ok_or_else(|| error(option, "\\ at the end"))?;
        for (part, number) in parts.into_iter().zip(1..) {
            let pattern = part
                .trim_matches(|character| character <= ' ')
                .replace("\\,", ",");
            let regex = Regex::new(&pattern).map_err(|reason| {
                let reason = format!("expression {number} is none known here: {reason}");
                error(option, &reason)
            })?;
            patterns.push(regex);
        }
        Ok(Self(patterns))
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// An include list or an exclude list; without either everything is included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    include: Option<Patterns>,
    exclude: Option<Patterns>,
}

impl Filter {
    pub(crate) fn set_include(&mut self, option: &str, list: &str) -> Result<(), OptionError> {
        self.include = unless_blank(option, list)?;
        self.check(option)
    }

    pub(crate) fn set_exclude(&mut self, option: &str, list: &str) -> Result<(), OptionError> {
        self.exclude = unless_blank(option, list)?;
        self.check(option)
    }

    pub(crate) fn includes(&self, name: &str) -> bool {
        match (&self.include, &self.exclude) {
            (Some(include), _) => include.matches(name),
            (None, Some(exclude)) => !exclude.matches(name),
            (None, None) => true,
        }
    }

    fn check(&self, option: &str) -> Result<(), OptionError> {
        if self.include.is_some() && self.exclude.is_some() {
            return Err(error(
                option,
                "an include list and an exclude list cannot be given both",
            ));
        }
        Ok(())
    }
}

fn unless_blank(option: &str, list: &str) -> Result<Option<Patterns>, OptionError> {
    if list.trim().is_empty() {
        return Ok(None);
    }
    Patterns::parse(option, list).map(Some)
}

/// The parts between commas that are not escaped, empty ones left out. None: the last character
/// is an escape.
fn split(list: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        match character {
            ',' => parts.push(core::mem::take(&mut part)),
            '\\' => {
                part.push(character);
                part.push(characters.next()?);
            }
            _ => part.push(character),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    Some(parts)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn patterns(list: &str) -> Patterns {
        Patterns::parse("table.include.list", list).unwrap()
    }

    #[test]
    fn match_whole_names_in_capitals_or_not() {
        let one = patterns(" public.(a|b) ,\tother\\..*,,");
        for name in ["public.a", "PUBLIC.B", "publicXa", "other.x.y"] {
            assert!(one.matches(name), "{name}");
        }
        for name in ["public.ab", "xpublic.a", "public.c", "otherx", ""] {
            assert!(!one.matches(name), "{name}");
        }
        assert!(patterns("a\\,b").matches("a,b"));
        assert!(!patterns("ä").matches("Ä"), "as Java does by default");
        assert!(patterns("a|b").matches("b"));
        assert!(!patterns("a|b").matches("ac"));
        assert!(!patterns("").matches(""));
    }

    #[test]
    fn refused_by_name() {
        for list in ["public.(a", "a)|(b", "a,*", "a(?<!b)", "x\\"] {
            let refused = Patterns::parse("column.include.list", list).unwrap_err();
            assert_eq!(refused.name, "column.include.list", "{list}");
        }
        let both = |filter: &mut Filter| {
            filter.set_include("table.include.list", "a")?;
            filter.set_exclude("table.exclude.list", "b")
        };
        let refused = both(&mut Filter::default()).unwrap_err().to_string();
        assert!(refused.starts_with("option table.exclude.list: "));
    }

    #[test]
    fn filters_include_what_is_listed_or_not_excluded() {
        let mut filter = Filter::default();
        assert!(filter.includes("x"));
        filter.set_exclude("", "a,b").unwrap();
        assert!(!filter.includes("a") && filter.includes("x"));
        filter.set_exclude("", " ").unwrap();
        assert!(filter.includes("a"));
        filter.set_include("", "a,b").unwrap();
        assert!(filter.includes("a") && !filter.includes("x"));
    }
}
