//! A plugin that does what no plugin should, as its configuration says: a word, and maybe numbers.
//! With numbers it does so at rows whose first column is one of them, otherwise at all rows.

use std::cell::RefCell;
use std::hint::black_box;

use exports::pgoutput::plugin::transform::{
    Commit, Description, Emission, Guest, NewValue, Operations, Relation, Rows, Value, Verdict,
    Wanted,
};
use pgoutput::plugin::log::{Level, log};

wit_bindgen::generate!({ path: "../../../wit/plugin", world: "plugin" });
export!(Hostile);

struct Hostile;

thread_local! {
    static WORD: RefCell<String> = RefCell::default();
    static AT: RefCell<Vec<i64>> = RefCell::default();
    static HOARD: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

impl Guest for Hostile {
    fn describe() -> Description {
        Description {
            name: "hostile".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commits: true,
        }
    }

    fn init(config: String) -> Result<(), String> {
        let mut words = config.split_whitespace();
        let word = words.next().unwrap_or_default();
        if word == "refuse" {
            return Err("it is a bad day".to_owned());
        }
        WORD.set(word.to_owned());
        AT.set(words.filter_map(|number| number.parse().ok()).collect());
        Ok(())
    }

    fn select(relation: Relation) -> Option<Wanted> {
        let word = WORD.with_borrow(Clone::clone);
        let echoes = word == "echo";
        let width = if echoes { relation.columns.len() } else { 1 };
        let columns = relation.columns.iter().zip(0..);
        let mut columns: Vec<u32> = columns.map(|(_, index)| index).take(width).collect();
        match word.as_str() {
            "liar-column" => columns.push(7_000),
            "liar-twice" => columns.extend(columns.clone()),
            "trap-select" => panic!("select"),
            _ => {}
        }
        Some(Wanted {
            operations: Operations::all(),
            columns,
            old: echoes,
            payload: echoes,
        })
    }

    fn process(rows: Rows) -> Vec<Verdict> {
        let word = WORD.with_borrow(Clone::clone);
        if word == "echo" {
            return echo(rows);
        }
        let at = AT.with_borrow(Clone::clone);
        let mut verdicts = Vec::new();
        for index in 0..rows.events.len() {
            // What is of no table has no column.
            let here = match rows.values.get(index) {
                _ if at.is_empty() => true,
                Some(Value::Integer(id)) => at.contains(id),
                _ => false,
            };
            verdicts.push(if here { be(&word) } else { Verdict::Keep });
            if here && word == "liar" {
                verdicts.push(Verdict::Keep);
            }
        }
        verdicts
    }

    fn flush(_commit: Commit) -> Vec<Emission> {
        if WORD.with_borrow(|word| word == "trap-flush") {
            panic!("flush");
        }
        if WORD.with_borrow(|word| word == "drop-emit-at-commit") {
            return vec![emission("a"), emission("b")];
        }
        Vec::new()
    }
}

/// Gives each column the value that it has.
fn echo(rows: Rows) -> Vec<Verdict> {
    let count = rows.events.len();
    assert_eq!(rows.documents.len(), count);
    assert_eq!(rows.old.len(), rows.values.len());
    let width = rows.values.len() / count;
    let mut values = rows.values.into_iter();
    let mut old_values = rows.old.into_iter();
    let image = |values: &mut dyn Iterator<Item = Value>, old| {
        let values = (0..).zip(values.take(width));
        let known = values.filter(|(_, value)| !matches!(value, Value::Unchanged));
        known
            .map(|(column, value)| NewValue { column, old, value })
            .collect::<Vec<_>>()
    };
    let echo = |_| {
        let mut values = image(&mut values, false);
        values.extend(image(&mut old_values, true));
        Verdict::Change(values)
    };
    (0..count).map(echo).collect()
}

fn be(word: &str) -> Verdict {
    match word {
        "spin" => loop {
            black_box(());
        },
        "hog" => loop {
            HOARD.with_borrow_mut(|hoard| hoard.push(black_box(vec![1; 1 << 20])));
        },
        "trap" => panic!("trap"),
        "flood" => Verdict::Replace(format!("\"{}\"", "x".repeat(512 << 10))),
        "flood-json" => Verdict::Emit((0..1_000_000).map(|_| emission("flood")).collect()),
        // SAFETY: none, which is the point: the host is to find out.
        "utf8" => Verdict::Replace(unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, b'"']) }),
        "deep-recursion" => deep(1),
        "host-call-storm" => loop {
            log(Level::Warning, "a line");
        },
        "liar-type" => change(0, Value::Text("no number".to_owned())),
        "liar-index" => change(9_999, Value::Null),
        "liar-json" => Verdict::Replace("{".to_owned()),
        "liar-topic" => Verdict::Emit(vec![emission("")]),
        "fail" => Verdict::Fail("this one will not do".to_owned()),
        "emit" => Verdict::Emit(vec![emission("a"), emission("b"), emission("a")]),
        "drop" | "drop-emit-at-commit" => Verdict::Drop,
        "route" => Verdict::Route("elsewhere".to_owned()),
        "route-nowhere" => Verdict::Route(String::new()),
        _ => Verdict::Keep,
    }
}

fn change(column: u32, value: Value) -> Verdict {
    Verdict::Change(vec![NewValue {
        column,
        old: false,
        value,
    }])
}

fn emission(topic: &str) -> Emission {
    Emission {
        topic: topic.to_owned(),
        key: Some("1".to_owned()),
        payload: Some("{\"n\":1}".to_owned()),
        headers: vec![("h".to_owned(), "v".to_owned())],
    }
}

fn deep(level: u64) -> Verdict {
    let below = if black_box(level) > 0 {
        deep(level + 1)
    } else {
        Verdict::Keep
    };
    if black_box(level) == 0 {
        Verdict::Keep
    } else {
        below
    }
}
