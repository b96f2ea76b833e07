//! The demo's shop: sells, edits and deletes, and keeps count of what it committed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_postgres::{Client, Error, Transaction};

/// Changes by table and operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    counts: BTreeMap<(String, char), u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, table: &str, op: char, changes: u64) {
        if changes > 0 {
            *self.counts.entry((table.to_owned(), op)).or_default() += changes;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for ((table, op), changes) in &other.counts {
            self.add(table, *op, *changes);
        }
    }

    pub(crate) fn get(&self, table: &str, op: char) -> u64 {
        self.counts
            .get(&(table.to_owned(), op))
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Where `other` has another count, in words.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let keys = self.counts.keys().chain(other.counts.keys());
        let differing = keys.filter(|key| self.counts.get(key) != other.counts.get(key));
        let mut texts: Vec<_> = differing
            .map(|(table, op)| {
                let (here, there) = (self.get(table, *op), other.get(table, *op));
                format!("{table} '{op}': {here} committed, {there} arrived")
            })
            .collect();
        texts.dedup();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// What a shop did in its time.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) changes: Tally,
    pub(crate) committed: u64,
    pub(crate) rolled_back: u64,
}

/// One connection that writes.
pub(crate) struct Shop {
    client: Client,
    books: Books,
}

#[derive(Clone, Copy)]
enum Business {
    Sale { changes_mind: bool },
    Payment,
    Shipment,
    Cancellation,
    Purge,
    PriceChange,
    NewCustomer,
    EmailChange,
    Restock,
}

impl Shop {
    /// A shop in the schema `client` has first in its `search_path`. What is there already counts
    /// as inserted by it.
    pub(crate) async fn open(client: Client) -> Result<Self, Error> {
        let mut books = Books::default();
        for table in TABLES {
            let row = client
                .query_one(&format!("SELECT count(*) FROM {table}"), &[])
                .await?;
            books
                .changes
                .add(table, 'c', u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
        }
        books.committed = 1;
        Ok(Self { client, books })
    }

    /// Does business until `until` or until `closing` is told, and hands over the books.
    pub(crate) async fn trade(
        mut self,
        until: Instant,
        mut closing: tokio::sync::watch::Receiver<bool>,
    ) -> Result<Books, Error> {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while Instant::now() < until && !*closing.borrow_and_update() {
            pace.tick().await;
            self.transact(Business::random()).await?;
        }
        Ok(self.books)
    }

    async fn transact(&mut self, business: Business) -> Result<(), Error> {
        let transaction = self.client.transaction().await?;
        let mut changes = Tally::default();
        business.conduct(&transaction, &mut changes).await?;
        if let Business::Sale { changes_mind: true } = business {
            transaction.rollback().await?;
            self.books.rolled_back += 1;
            return Ok(());
        }
        transaction.commit().await?;
        self.books.committed += u64::from(changes.total() > 0);
        self.books.changes.merge(&changes);
        Ok(())
    }
}

impl Business {
    fn random() -> Self {
        match rand::random_range(0..100) {
            0..50 => Self::Sale {
                changes_mind: false,
            },
            50..53 => Self::Sale { changes_mind: true },
            53..68 => Self::Payment,
            68..78 => Self::Shipment,
            78..83 => Self::Cancellation,
            83..86 => Self::Purge,
            86..92 => Self::PriceChange,
            92..95 => Self::NewCustomer,
            95..98 => Self::EmailChange,
            _ => Self::Restock,
        }
    }

    /// Runs its statements and counts the rows each of them changed.
    async fn conduct(self, sql: &Transaction<'_>, changes: &mut Tally) -> Result<(), Error> {
        match self {
            Self::Sale { .. } => return sell(sql, changes).await,
            Self::Payment => changes.add("orders", 'u', sql.execute(PAYMENT, &[]).await?),
            Self::Shipment => changes.add("orders", 'u', sql.execute(SHIPMENT, &[]).await?),
            Self::Cancellation => {
                changes.add("order_lines", 'd', sql.execute(RETURN_LINES, &[]).await?);
                changes.add("orders", 'u', sql.execute(CANCELLATION, &[]).await?);
            }
            Self::Purge => changes.add("orders", 'd', sql.execute(PURGE, &[]).await?),
            Self::PriceChange => {
                changes.add("products", 'u', sql.execute(PRICE_CHANGE, &[]).await?);
            }
            Self::NewCustomer => {
                changes.add("customers", 'c', sql.execute(NEW_CUSTOMER, &[]).await?);
            }
            Self::EmailChange => {
                changes.add("customers", 'u', sql.execute(EMAIL_CHANGE, &[]).await?);
            }
            Self::Restock => changes.add("products", 'u', sql.execute(RESTOCK, &[]).await?),
        }
        Ok(())
    }
}

/// An order with one to four lines, the stock they take, and the order's total.
async fn sell(sql: &Transaction<'_>, changes: &mut Tally) -> Result<(), Error> {
    let order: i64 = sql.query_one(ORDER, &[]).await?.get(0);
    changes.add("orders", 'c', 1);
    let lines: i64 = rand::random_range(1..=4);
    changes.add(
        "order_lines",
        'c',
        sql.execute(ORDER_LINES, &[&order, &lines]).await?,
    );
    changes.add("products", 'u', sql.execute(TAKE_STOCK, &[&order]).await?);
    changes.add("orders", 'u', sql.execute(TOTAL, &[&order]).await?);
    Ok(())
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} changes in {} transactions, {} more rolled back",
            self.changes.total(),
            self.committed,
            self.rolled_back
        )
    }
}

/// The tables of `examples/setup_postgres.sql`.
pub(crate) const TABLES: [&str; 4] = ["customers", "products", "orders", "order_lines"];

/// Between two transactions: about 200 a second.
const PACE: Duration = Duration::from_millis(5);

const ORDER: &str = "INSERT INTO orders (customer_id) \
    SELECT id FROM customers ORDER BY random() LIMIT 1 RETURNING id";
const ORDER_LINES: &str = "INSERT INTO order_lines \
    SELECT $1, row_number() OVER (), id, 1 + floor(random() * 3)::int, price \
    FROM (SELECT * FROM products ORDER BY random() LIMIT $2) AS chosen";
const TAKE_STOCK: &str = "UPDATE products SET stock = stock - quantity FROM order_lines \
    WHERE order_id = $1 AND product_id = products.id";
const TOTAL: &str = "UPDATE orders SET total = \
    (SELECT sum(quantity * unit_price) FROM order_lines WHERE order_id = $1) WHERE id = $1";
const PAYMENT: &str = "UPDATE orders SET status = 'paid' WHERE id = \
    (SELECT id FROM orders WHERE status = 'placed' ORDER BY id LIMIT 1)";
const SHIPMENT: &str = "UPDATE orders SET status = 'shipped' WHERE id = \
    (SELECT id FROM orders WHERE status = 'paid' ORDER BY id LIMIT 1)";
const RETURN_LINES: &str = "DELETE FROM order_lines WHERE order_id = \
    (SELECT id FROM orders WHERE status = 'placed' ORDER BY id DESC LIMIT 1)";
const CANCELLATION: &str = "UPDATE orders SET status = 'cancelled', total = 0 WHERE id = \
    (SELECT id FROM orders WHERE status = 'placed' ORDER BY id DESC LIMIT 1)";
const PURGE: &str = "DELETE FROM orders WHERE status = 'cancelled'";
const PRICE_CHANGE: &str = "UPDATE products \
    SET price = greatest(round(price * (0.9 + random() * 0.2)::numeric, 2), 0.01) \
    WHERE id = (SELECT id FROM products ORDER BY random() LIMIT 1)";
const NEW_CUSTOMER: &str = "INSERT INTO customers (name, email) \
    SELECT 'Customer ' || next, 'customer' || next || '@example.com' \
    FROM (SELECT max(id) + 1 AS next FROM customers) AS numbered";
const EMAIL_CHANGE: &str = "UPDATE customers \
    SET email = replace(split_part(email, '@', 1), '.new', '') || '.new@' || \
        substr(md5(random()::text), 1, 6) || '.example' \
    WHERE id = (SELECT id FROM customers ORDER BY random() LIMIT 1)";
const RESTOCK: &str = "UPDATE products SET stock = stock + 500 WHERE stock < 100";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_say_where_they_differ() {
        let mut committed = Tally::default();
        committed.add("orders", 'c', 2);
        committed.add("orders", 'u', 0);
        assert_eq!(committed.total(), 2);
        let mut arrived = Tally::default();
        arrived.add("orders", 'c', 1);
        assert_eq!(
            committed.difference(&arrived).unwrap(),
            "orders 'c': 2 committed, 1 arrived"
        );
        arrived.merge(&arrived.clone());
        assert_eq!(committed.difference(&arrived), None);
    }
}
