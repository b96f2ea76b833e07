//! Lays JSON out over lines without reading it: numbers, keys and escapes stay as written.

use std::borrow::Cow;

use crate::raw::string_length;

/// `json` on one line: its line breaks, which stand between tokens alone, are made spaces.
pub(crate) fn on_one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) {
        Cow::Owned(json.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(json)
    }
}

/// `json` with each element on a line of its own, as `json.dumps(indent=…)` lays it out.
pub(crate) fn indented(json: &str, indent: usize) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json;
    while let Some(byte) = rest.bytes().next() {
        let token = match byte {
            b'"' => string_length(rest),
            b'{' | b'[' | b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => 1,
            _ => rest
                .find(['}', ']', ',', ' ', '\t', '\n', '\r'])
                .unwrap_or(rest.len()),
        };
        let (text, behind) = rest.split_at(token);
        rest = behind;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'{' | b'[' => {
                out.push_str(text);
                if rest.trim_start().starts_with(['}', ']']) {
                    continue;
                }
                depth += 1;
                line(&mut out, depth * indent);
            }
            b'}' | b']' => {
                if !out.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth * indent);
                }
                out.push_str(text);
            }
            b',' => {
                out.push_str(text);
                line(&mut out, depth * indent);
            }
            b':' => out.push_str(": "),
            _ => out.push_str(text),
        }
    }
    out
}

fn line(out: &mut String, spaces: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', spaces));
}
