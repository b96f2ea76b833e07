//! What a terminal shows: colours where they are wanted, width, and nothing that steers it.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal, Write};

/// Colours, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// Colours for a terminal, unless `NO_COLOR` is set or it is a dumb one.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: stream.is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    pub(crate) fn bold(self, text: &str) -> Cow<'_, str> {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> Cow<'_, str> {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> Cow<'_, str> {
        self.paint("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> Cow<'_, str> {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> Cow<'_, str> {
        self.paint("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> Cow<'_, str> {
        self.paint("36", text)
    }

    fn paint<'t>(self, code: &str, text: &'t str) -> Cow<'t, str> {
        if self.colour && !text.is_empty() {
            Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Columns of the terminal behind stdout; none where stdout is a file or a pipe.
pub(crate) fn width() -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(std::io::stdout())?;
    (columns > 0).then(|| usize::from(columns))
}

/// `text` with every character that could steer a terminal replaced: values and names come from
/// a database.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(steers) {
        Cow::Owned(
            text.chars()
                .map(|c| if steers(c) { '\u{FFFD}' } else { c })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}

/// The same for text of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// Columns `text` takes, wide characters counted as two.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

/// As much of `text` as fits into `columns`, its end marked where something is left out.
pub(crate) fn fit(text: &str, columns_max: usize) -> Cow<'_, str> {
    if columns(text) <= columns_max {
        return Cow::Borrowed(text);
    }
    let mut left = columns_max.saturating_sub(1);
    let kept = text.chars().take_while(|c| {
        let fits = char_columns(*c) <= left;
        left = left.saturating_sub(char_columns(*c));
        fits
    });
    Cow::Owned(kept.chain(std::iter::once('…')).collect())
}

/// Bytes in the unit that reads best.
pub(crate) fn bytes_text(bytes: i64) -> String {
    let mut rest = bytes;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        // As pg_size_pretty does, whole numbers of up to five digits.
        if rest.unsigned_abs() < 10_240 {
            return format!("{rest} {unit}");
        }
        rest /= 1024;
    }
    format!("{rest} TiB")
}

fn steers(c: char) -> bool {
    // Besides control characters: those that turn the direction of what follows.
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// East Asian wide and fullwidth characters and emoji, by block; combining marks are not told
/// apart, which at worst leaves a column empty.
fn char_columns(c: char) -> usize {
    let wide = matches!(c,
        '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE6F}' | '\u{FF00}'..='\u{FF60}'
        | '\u{FFE0}'..='\u{FFE6}' | '\u{1F300}'..='\u{1FAFF}' | '\u{20000}'..='\u{3FFFD}');
    1 + usize::from(wide)
}

/// Writes what needs somebody's attention to stderr.
pub(crate) fn warn(text: &str) {
    let style = Style::of(&io::stderr());
    let text = printable(text);
    // A warning nobody can read is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{}: {text}", style.yellow("warning"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(
            printable("a\x1b[31m\u{9b}b\u{202e}"),
            "a\u{FFFD}[31m\u{FFFD}b\u{FFFD}"
        );
        assert!(matches!(printable("Größe 高"), Cow::Borrowed(_)));
    }

    #[test]
    fn fits_what_is_too_wide() {
        assert_eq!(fit("price", 5), "price");
        assert_eq!(fit("prices", 5), "pric…");
        assert_eq!(fit("高橋花子", 6), "高橋…");
        assert_eq!(columns("高橋a"), 5);
    }

    #[test]
    fn sizes_have_the_unit_that_reads_best() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (-1, "-1 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 KiB"),
            (16 << 20, "16 MiB"),
            (3 << 40, "3072 GiB"),
            (i64::MAX, "8388607 TiB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }

    #[test]
    fn no_colour_where_none_is_wanted() {
        let style = Style { colour: false };
        assert_eq!(style.red("error"), "error");
        assert_eq!(Style { colour: true }.green("ok"), "\x1b[32mok\x1b[0m");
    }
}
