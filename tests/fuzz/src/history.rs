//! A history of a server: what its transactions did, in the order of the WAL, and nothing about how
//! that is sent.
//!
//! A table changes its columns only while no open transaction has touched it, as locks see to.

use std::collections::{BTreeMap, BTreeSet};

use pgoutput_decoder::{ColumnFacts, Facts, Question, RelationFacts, TypeFacts, TypeKind};

use crate::choices::Choices;
use crate::wire::{Cell, Column, Commit};

/// Steps in the order of the WAL.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub(crate) steps: Vec<Step>,
    /// Transactions that are undecided at the end.
    pub undecided: BTreeSet<u32>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Change {
        xid: u32,
        subxid: u32,
        lsn: u64,
        change: Change,
    },
    /// The server has no room for a transaction any more, and streams what it has of it.
    Flush {
        xid: u32,
    },
    SubAbort {
        xid: u32,
        subxid: u32,
        lsn: u64,
    },
    Abort {
        xid: u32,
        lsn: u64,
    },
    Prepare {
        xid: u32,
        lsn: u64,
    },
    Commit {
        xid: u32,
        commit: Commit,
    },
    RollbackPrepared {
        xid: u32,
        lsn: u64,
    },
    /// A message of no transaction.
    Message {
        lsn: u64,
        content: Vec<u8>,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Insert(Row),
    Update(Option<(u8, Vec<Cell>)>, Row),
    Delete(u8, Row),
    Truncate(Vec<(usize, usize)>),
    /// Of the transaction as a whole, whatever subtransaction wrote it.
    Message(Vec<u8>),
}

/// A row of a table, which has so many columns.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) table: usize,
    pub(crate) columns: usize,
    pub(crate) cells: Vec<Cell>,
}

/// Columns a table has at most; the fewest it has are two.
const COLUMNS: [(&str, u32); 5] = [
    ("id", 23),
    ("note", 25),
    ("mood", ENUM),
    ("n", 1700),
    ("ok", 16),
];
const ENUM: u32 = 20_001;
const TABLES: usize = 3;
const FIRST_TABLE: u32 = 16_400;

/// A table's columns.
pub(crate) fn columns(count: usize) -> Vec<Column> {
    let column = |(name, type_oid): &(&str, u32)| Column {
        in_identity: *name == "id",
        name: (*name).to_owned(),
        type_oid: *type_oid,
        typmod: -1,
    };
    COLUMNS[..count].iter().map(column).collect()
}

pub(crate) fn table_oid(table: usize) -> u32 {
    FIRST_TABLE + u32::try_from(table).unwrap()
}

pub(crate) fn table_name(table: usize) -> String {
    format!("t{table}")
}

/// What the catalogs say, of the present as always.
pub fn facts(question: &Question) -> Facts {
    let column = |(name, type_oid): &(&str, u32)| ColumnFacts {
        name: (*name).to_owned(),
        type_oid: *type_oid,
        typmod: -1,
        not_null: *name == "id",
        default: None,
    };
    Facts {
        types: vec![TypeFacts {
            oid: ENUM,
            namespace: "public".to_owned(),
            name: "mood".to_owned(),
            kind: TypeKind::Enumeration,
            element: 0,
            delimiter: ',',
            base: 0,
            base_typmod: -1,
            subtype: 0,
            labels: vec!["sad".to_owned(), "ok".to_owned()],
            attributes: Vec::new(),
        }],
        relations: vec![RelationFacts {
            oid: question.relation,
            namespace: question.namespace.clone(),
            name: question.name.clone(),
            columns: COLUMNS.iter().map(column).collect(),
            primary_key: vec!["id".to_owned()],
            unique_indexes: Vec::new(),
        }],
    }
}

/// What the catalogs say of every table.
pub(crate) fn all_facts() -> Facts {
    let mut all = Facts::default();
    for table in 0..TABLES {
        let of_table = facts(&Question {
            relation: table_oid(table),
            namespace: "public".to_owned(),
            name: table_name(table),
            types: Vec::new(),
        });
        all.types = of_table.types;
        all.relations.extend(of_table.relations);
    }
    all
}

/// A transaction that is not decided.
#[derive(Debug, Default)]
struct Open {
    /// Subtransactions that can still be written in, the innermost last.
    subxids: Vec<u32>,
    /// Those that were released, with what they are within.
    released: Vec<(u32, u32)>,
    touched: BTreeSet<usize>,
    prepared: bool,
}

struct Writer<'c, 'b> {
    choices: &'c mut Choices<'b>,
    history: History,
    open: BTreeMap<u32, Open>,
    columns: [usize; TABLES],
    next_xid: u32,
    lsn: u64,
}

impl History {
    /// A history made of decisions.
    pub fn generate(choices: &mut Choices<'_>) -> Self {
        let mut writer = Writer {
            choices,
            history: Self::default(),
            open: BTreeMap::new(),
            columns: [2; TABLES],
            next_xid: 700,
            lsn: 0x1000,
        };
        while !writer.choices.is_empty() && writer.history.steps.len() < STEPS_MAX {
            writer.step();
        }
        writer.history.undecided = writer.open.into_keys().collect();
        writer.history
    }

    /// Where each transaction is committed: its index among the steps.
    pub(crate) fn commits(&self) -> Vec<usize> {
        let is_commit = |step: &Step| matches!(step, Step::Commit { .. });
        let steps = self.steps.iter().enumerate();
        steps
            .filter(|(_, step)| is_commit(step))
            .map(|(at, _)| at)
            .collect()
    }

    /// What happened before a step.
    pub(crate) fn until(&self, at: usize) -> Self {
        Self {
            steps: self.steps[..at].to_vec(),
            undecided: BTreeSet::new(),
        }
    }

    /// What a server sends that was confirmed all before a step: transactions decided later are
    /// sent whole.
    pub(crate) fn resumed_at(&self, at: usize) -> Self {
        let decided: BTreeSet<u32> = self.steps[..at]
            .iter()
            .filter_map(|step| match step {
                Step::Commit { xid, .. }
                | Step::Abort { xid, .. }
                | Step::RollbackPrepared { xid, .. } => Some(*xid),
                _ => None,
            })
            .collect();
        let wanted = |(index, step): &(usize, &Step)| match step.xid() {
            Some(xid) => !decided.contains(&xid),
            None => *index >= at,
        };
        let steps = self.steps.iter().enumerate().filter(wanted);
        Self {
            steps: steps.map(|(_, step)| step.clone()).collect(),
            undecided: self.undecided.clone(),
        }
    }
}

impl Step {
    fn xid(&self) -> Option<u32> {
        match self {
            Self::Change { xid, .. }
            | Self::Flush { xid }
            | Self::SubAbort { xid, .. }
            | Self::Abort { xid, .. }
            | Self::Prepare { xid, .. }
            | Self::Commit { xid, .. }
            | Self::RollbackPrepared { xid, .. } => Some(*xid),
            Self::Message { .. } => None,
        }
    }
}

impl Writer<'_, '_> {
    fn step(&mut self) {
        self.lsn += 8 + u64::from(self.choices.byte() & 0x38);
        let lsn = self.lsn;
        if self.open.is_empty() || self.open.len() < 4 && self.choices.once_in(8) {
            let xid = self.xid();
            self.open.insert(
                xid,
                Open {
                    subxids: vec![xid],
                    ..Open::default()
                },
            );
        }
        let xids: Vec<u32> = self.open.keys().copied().collect();
        let xid = self.choices.of(&xids);
        let open = &self.open[&xid];
        let innermost = *open.subxids.last().unwrap();
        let prepared = open.prepared;
        let step = match self.choices.below(32) {
            0 => {
                let content = self.choices.bytes(3).to_vec();
                Step::Message { lsn, content }
            }
            1 => {
                let table = self.choices.below(TABLES);
                let touched = self.open.values().any(|open| open.touched.contains(&table));
                if !touched {
                    self.columns[table] = 2 + self.choices.below(COLUMNS.len() - 1);
                }
                return;
            }
            2 if prepared => {
                self.open.remove(&xid);
                Step::RollbackPrepared { xid, lsn }
            }
            3..=5 if prepared => self.commit(xid),
            _ if prepared => return,
            2 => {
                self.open.remove(&xid);
                Step::Abort { xid, lsn }
            }
            3..=4 => self.commit(xid),
            5 => {
                let open = self.open.get_mut(&xid).unwrap();
                open.prepared = true;
                open.subxids.truncate(1);
                Step::Prepare { xid, lsn }
            }
            6..=9 => {
                let subxid = self.xid();
                self.open.get_mut(&xid).unwrap().subxids.push(subxid);
                return;
            }
            10 if innermost != xid => {
                let open = self.open.get_mut(&xid).unwrap();
                open.subxids.pop();
                open.released
                    .push((innermost, *open.subxids.last().unwrap()));
                return;
            }
            11..=13 if innermost != xid => {
                let depth = 1 + self.choices.below(open.subxids.len() - 1);
                let open = self.open.get_mut(&xid).unwrap();
                let mut gone = open.subxids.split_off(depth);
                // What is within it goes with it, though it was released.
                let mut at = 0;
                while let Some(outer) = gone.get(at).copied() {
                    let released = open.released.iter();
                    gone.extend(
                        released
                            .filter(|(_, of)| *of == outer)
                            .map(|(inner, _)| *inner),
                    );
                    at += 1;
                }
                let subxid = gone.remove(0);
                for subxid in gone {
                    self.history.steps.push(Step::SubAbort { xid, subxid, lsn });
                }
                Step::SubAbort { xid, subxid, lsn }
            }
            14..=17 => Step::Flush { xid },
            _ => {
                let change = self.change(xid, innermost == xid);
                Step::Change {
                    xid,
                    subxid: innermost,
                    lsn,
                    change,
                }
            }
        };
        self.history.steps.push(step);
    }

    fn xid(&mut self) -> u32 {
        self.next_xid += 1;
        self.next_xid
    }

    fn commit(&mut self, xid: u32) -> Step {
        self.open.remove(&xid);
        let lsn = self.lsn;
        self.lsn += 48;
        let commit = Commit {
            lsn,
            end_lsn: self.lsn,
            ts: 800_000_000_000_000 + i64::try_from(self.lsn).unwrap(),
        };
        Step::Commit { xid, commit }
    }

    /// A message in a subtransaction may be one that is rolled back, which a streaming server
    /// does not say.
    fn change(&mut self, xid: u32, message: bool) -> Change {
        match self.choices.below(8) {
            0 if message => return Change::Message(self.choices.bytes(4).to_vec()),
            1 => {
                let first = self.row(xid);
                let second = self.row(xid);
                let mut tables = vec![(first.table, first.columns)];
                if second.table != first.table {
                    tables.push((second.table, second.columns));
                }
                return Change::Truncate(tables);
            }
            _ => {}
        }
        let row = self.row(xid);
        match self.choices.below(4) {
            0 => {
                let kind = self.choices.of(b"KO");
                Change::Delete(kind, old(kind, row))
            }
            1 => {
                let mut row = row;
                let old = match self.choices.below(3) {
                    0 => None,
                    kind => {
                        let kind = [b'K', b'O'][kind - 1];
                        let mut before = row.clone();
                        before.cells[0] = id(self.choices);
                        Some((kind, old(kind, before).cells))
                    }
                };
                if self.choices.once_in(3) {
                    row.cells[1] = Cell::Unchanged;
                }
                Change::Update(old, row)
            }
            _ => Change::Insert(row),
        }
    }

    fn row(&mut self, xid: u32) -> Row {
        let table = self.choices.below(TABLES);
        self.open.get_mut(&xid).unwrap().touched.insert(table);
        let columns = self.columns[table];
        let mut cells = vec![id(self.choices)];
        for (_, type_oid) in &COLUMNS[1..columns] {
            let text = match *type_oid {
                _ if self.choices.once_in(5) => {
                    cells.push(Cell::Null);
                    continue;
                }
                ENUM => "ok".to_owned(),
                1700 => format!("{}.50", self.choices.byte()),
                16 => "t".to_owned(),
                _ => format!("é{}\"", self.choices.byte()),
            };
            cells.push(Cell::Text(text.into_bytes()));
        }
        Row {
            table,
            columns,
            cells,
        }
    }
}

fn id(choices: &mut Choices<'_>) -> Cell {
    Cell::Text(choices.below(4).to_string().into_bytes())
}

/// A key tuple has nothing but the key.
fn old(kind: u8, mut row: Row) -> Row {
    if kind == b'K' {
        row.cells[1..].fill(Cell::Null);
    }
    row
}

const STEPS_MAX: usize = 2000;
