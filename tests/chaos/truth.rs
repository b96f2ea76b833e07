//! What was committed, by the server's own word: a second slot that nobody disturbs, read in one
//! piece with protocol 1, whose few messages are parsed here and not by the product.

use std::collections::HashMap;

use pgoutput_decoder_host::Lsn;
use pgoutput_decoder_tests::chaos::history::Unit;
use tokio_postgres::Client;

/// The slot nobody disturbs.
pub(crate) const SLOT: &str = "truth";

/// Everything it has, in the order of LSNs.
pub(crate) async fn read(sql: &Client, slot: &str) -> Vec<Unit> {
    let query = format!(
        "SELECT data FROM pg_logical_slot_peek_binary_changes('{slot}', NULL, NULL,
             'proto_version', '1', 'publication_names', 'p', 'messages', 'true')"
    );
    let mut truth = Truth::default();
    for row in sql.query(&query, &[]).await.unwrap() {
        let message: Vec<u8> = row.get(0);
        truth.message(&message);
    }
    truth.units.retain(|unit| !unit.labels.is_empty());
    truth.units
}

#[derive(Default)]
struct Truth {
    units: Vec<Unit>,
    relations: HashMap<u32, Relation>,
    within: bool,
}

struct Relation {
    name: String,
    columns: Vec<String>,
}

/// What is left of a message.
struct Rest<'bytes>(&'bytes [u8]);

impl<'bytes> Rest<'bytes> {
    fn take(&mut self, count: usize) -> &'bytes [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn lsn(&mut self) -> Lsn {
        Lsn(u64::from_be_bytes(self.take(8).try_into().unwrap()))
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(self.take(end).to_vec()).unwrap();
        self.byte();
        text
    }

    /// A tuple's values as text, as far as they were sent.
    fn tuple(&mut self) -> Vec<Option<String>> {
        let columns = self.u16();
        let value = |rest: &mut Self| match rest.byte() {
            b't' => {
                let length = usize::try_from(rest.u32()).unwrap();
                Some(String::from_utf8(rest.take(length).to_vec()).unwrap())
            }
            _ => None,
        };
        (0..columns).map(|_| value(self)).collect()
    }
}

impl Truth {
    fn message(&mut self, message: &[u8]) {
        let mut rest = Rest(message);
        match rest.byte() {
            b'B' => {
                let commit_lsn = rest.lsn();
                rest.take(8);
                self.units.push(Unit {
                    lsn: commit_lsn,
                    xid: rest.u32(),
                    labels: Vec::new(),
                });
                self.within = true;
            }
            b'C' => self.within = false,
            b'R' => {
                let oid = rest.u32();
                rest.text();
                let name = rest.text();
                rest.byte();
                let columns = (0..rest.u16()).map(|_| {
                    rest.byte();
                    let name = rest.text();
                    rest.take(8);
                    name
                });
                let columns = columns.collect();
                self.relations.insert(oid, Relation { name, columns });
            }
            b'M' => self.logical(rest),
            b'T' => {
                let count = rest.u32();
                rest.byte();
                for _ in 0..count {
                    let label = format!("t {}", self.relations[&rest.u32()].name);
                    self.label(label);
                }
            }
            kind @ (b'I' | b'U' | b'D') => {
                let relation = &self.relations[&rest.u32()];
                let mut tuple = Vec::new();
                // The old one, where it is sent, comes before the new.
                while !rest.0.is_empty() {
                    rest.byte();
                    tuple = rest.tuple();
                }
                let value = |name: &str| {
                    let at = relation.columns.iter().position(|column| column == name);
                    tuple[at.unwrap()].clone().unwrap()
                };
                let table = &relation.name;
                let label = match kind {
                    b'I' => format!("c {table} {}", value("tag")),
                    b'U' => format!("u {table} {}", value("tag")),
                    _ => format!("d {table} #{}", value("id")),
                };
                self.label(label);
            }
            _ => {}
        }
    }

    fn logical(&mut self, mut rest: Rest<'_>) {
        let transactional = rest.byte() & 1 == 1;
        let lsn = rest.lsn();
        let label = format!("m {}", rest.text());
        if transactional {
            return self.label(label);
        }
        let unit = Unit {
            lsn,
            xid: 0,
            labels: vec![label],
        };
        // One that is written while a transaction is being sent would be out of order.
        assert!(!self.within, "a message inside of a transaction");
        self.units.push(unit);
    }

    fn label(&mut self, label: String) {
        let unit = self.units.last_mut().expect("a change of no transaction");
        unit.labels.push(label);
    }
}
