//! What became of events, for people: the parts that are other than before.

use pgoutput_decoder_host::records::Event;

use super::pretty::row;
use super::terminal::{Style, printable};

/// What became of events, counted.
pub(crate) struct Tally {
    /// What is said of an event that is not there afterwards.
    gone: &'static str,
    pub(crate) events: usize,
    pub(crate) same: usize,
    pub(crate) changed: usize,
    pub(crate) dropped: usize,
    pub(crate) made: usize,
}

impl Tally {
    pub(crate) fn new(gone: &'static str) -> Self {
        Self {
            gone,
            events: 0,
            same: 0,
            changed: 0,
            dropped: 0,
            made: 0,
        }
    }
}

/// Lines about the events that are not as they were, an entry for each. A change's events are all
/// there, or none of them.
pub(crate) fn compare(
    before: &[Event],
    after: &[Event],
    style: Style,
    tally: &mut Tally,
) -> Vec<String> {
    tally.events += before.len();
    let place = |event: &Event| (event.position().commit_lsn, event.position().index);
    let mut entries = Vec::new();
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    while let Some(at) = before
        .peek()
        .into_iter()
        .chain(after.peek())
        .map(|event| place(event))
        .min()
    {
        let mut old = Vec::new();
        while let Some(event) = before.next_if(|event| place(event) == at) {
            old.push(event);
        }
        let mut new = Vec::new();
        while let Some(event) = after.next_if(|event| place(event) == at) {
            new.push(event);
        }
        entries.extend(compare_change(&old, &new, style, tally));
    }
    entries
}

/// The same for the events of one change: what is of the same kind is the same event, and what was
/// made stands with what it was made of.
fn compare_change(old: &[&Event], new: &[&Event], style: Style, tally: &mut Tally) -> Vec<String> {
    let mut entries: Vec<(&Event, String)> = Vec::new();
    let mut new = new.iter().peekable();
    for event in old {
        let kept = new.next_if(|made| made.op() == event.op() && made.lsn() == event.lsn());
        let Some(kept) = kept else {
            tally.dropped += 1;
            entries.push((
                event,
                format!("{}\n", style.red(&format!("- {}", tally.gone))),
            ));
            continue;
        };
        let lines = differences(event, kept, style);
        if lines.is_empty() {
            tally.same += 1;
        } else {
            tally.changed += 1;
            entries.push((event, lines));
        }
    }
    for made in new {
        tally.made += 1;
        let key = made.key().unwrap_or("null");
        let value = made.value().unwrap_or("null");
        let text = format!("+ {} {key} {value}", made.topic().name);
        let line = format!("{}\n", style.green(&printable(&text)));
        match entries.last_mut() {
            Some((_, lines)) => *lines += &line,
            None => entries.push((made, line)),
        }
    }
    let entry = |(event, lines): (&Event, String)| entry(event, style, &lines);
    entries.into_iter().map(entry).collect()
}

/// An event's place and what is to be said of it.
fn entry(event: &Event, style: Style, lines: &str) -> String {
    let op = event.op().map_or_else(String::new, |op| format!("{op} "));
    let topic = &event.topic().name;
    let key = event.key().unwrap_or_default();
    let head = printable(&format!("{op}{topic} {key}")).into_owned();
    let position = style.dim(&event.position().to_string()).into_owned();
    let lines = lines.trim_end().replace('\n', "\n    ");
    format!("{}  {position}\n    {lines}\n", style.bold(&head))
}

fn differences(before: &Event, after: &Event, style: Style) -> String {
    let mut lines = String::new();
    let topics = [before, after].map(|event| format!("\"{}\"", event.topic().name));
    for (name, [old, new]) in [
        ("topic", topics.each_ref().map(|topic| Some(topic.as_str()))),
        ("key", [before, after].map(Event::key)),
        ("", [before, after].map(Event::value)),
        (
            "headers",
            [before, after].map(|event| Some(event.headers())),
        ),
    ] {
        difference(name, old, new, style, &mut lines);
    }
    lines
}

/// Appends a line for each part of a JSON text that is not in the other.
fn difference(path: &str, old: Option<&str>, new: Option<&str>, style: Style, lines: &mut String) {
    let [old, new] = [old, new].map(|json| json.map(str::trim));
    if old == new {
        return;
    }
    let [old_row, new_row] = [old, new].map(|json| json.map(row).unwrap_or_default());
    if old_row.is_empty() || new_row.is_empty() {
        let path = if path.is_empty() { "value" } else { path };
        let text =
            |sign: &str, json: &str| printable(&format!("{sign} {path}  {json}")).into_owned();
        if let Some(json) = old {
            *lines += &style.red(&text("-", json));
            lines.push('\n');
        }
        if let Some(json) = new {
            *lines += &style.green(&text("+", json));
            lines.push('\n');
        }
        return;
    }
    let find = |row: &[(String, String)], name: &str| {
        let member = row.iter().find(|(known, _)| known == name);
        member.map(|(_, json)| json.clone())
    };
    let names = old_row.iter().chain(
        new_row
            .iter()
            .filter(|(name, _)| find(&old_row, name).is_none()),
    );
    for (name, _) in names {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let [old, new] = [&old_row, &new_row].map(|row| find(row, name));
        difference(&path, old.as_deref(), new.as_deref(), style, lines);
    }
}
