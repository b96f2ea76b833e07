//! The publications and the tables in them.

use super::check::{Answer, Check, Patient, Verdict, list};
use crate::error::{create_slot_sql, drop_slot_sql};

/// A question about `published`: each publication asked for with each table whose changes it
/// sends, `oid`, and the one it was named by, `root`.
macro_rules! published {
    ($question:literal) => {
        concat!(
            "WITH published AS (
               SELECT p.oid AS publication, p.pubname, p.pubupdate OR p.pubdelete AS by_key,
                      c.oid AS root, coalesce(leaf.oid, c.oid) AS oid
               FROM pg_publication p
               JOIN pg_publication_tables t ON t.pubname = p.pubname
               JOIN pg_namespace n ON n.nspname = t.schemaname
               JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
               LEFT JOIN LATERAL (SELECT relid::oid AS oid FROM pg_partition_tree(c.oid)
                                  WHERE isleaf) AS leaf ON c.relkind = 'p'
               WHERE p.pubname = ANY ($2)
             ), key AS (
               SELECT i.indrelid AS oid, k.attnum
               FROM pg_index i
               JOIN pg_class c ON c.oid = i.indrelid
               CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
               WHERE i.indisvalid AND k.place <= i.indnkeyatts
                 AND CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate
                                         WHEN 'i' THEN i.indisreplident END
             ) ",
            $question
        )
    };
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "publication",
        since: 0,
        question: "
            SELECT w.name, quote_ident(w.name) AS quoted
            FROM unnest($2) AS w(name)
            WHERE NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = w.name)",
        judge: publication,
    },
    Check {
        code: "publication-tables",
        since: 0,
        question: "
            SELECT p.pubname AS name, quote_ident(p.pubname) AS quoted, p.puballtables AS whole,
                   (SELECT count(*) FROM pg_publication_tables t WHERE t.pubname = p.pubname)
                     AS tables,
                   (SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid)
                    FROM (SELECT c.oid FROM pg_class c
                          WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
                            AND NOT c.relispartition AND c.oid >= 16384
                            AND c.relnamespace::regnamespace::text <> 'information_schema'
                          ORDER BY c.oid LIMIT 10) AS c) AS candidates
            FROM pg_publication p WHERE p.pubname = ANY ($2) ORDER BY tables",
        judge: publication_tables,
    },
    Check {
        code: "publication-after-slot",
        since: 0,
        question: "
            SELECT p.pubname AS name, s.active,
                   age(p.xmin) BETWEEN 0 AND age(s.catalog_xmin) AS younger,
                   NOT EXISTS (SELECT FROM pg_replication_slots o
                               WHERE o.slot_name <> s.slot_name
                                 AND age(o.catalog_xmin) >= age(s.catalog_xmin)) AS sure
            FROM pg_publication p
            JOIN pg_replication_slots s ON s.slot_name = $1 AND s.database = current_database()
            WHERE p.pubname = ANY ($2) ORDER BY younger DESC",
        judge: publication_after_slot,
    },
    Check {
        code: "publication-operations",
        since: 0,
        question: "
            SELECT p.pubname AS name, quote_ident(p.pubname) AS quoted,
                   concat_ws(', ', CASE WHEN NOT pubinsert THEN 'insert' END,
                             CASE WHEN NOT pubupdate THEN 'update' END,
                             CASE WHEN NOT pubdelete THEN 'delete' END,
                             CASE WHEN NOT pubtruncate THEN 'truncate' END) AS missing
            FROM pg_publication p WHERE p.pubname = ANY ($2) ORDER BY missing DESC",
        judge: publication_operations,
    },
    Check {
        code: "replica-identity",
        since: 0,
        question: published!(
            "SELECT c.oid::regclass::text AS name, c.relreplident = 'f' AS whole,
                    c.relreplident <> 'f'
                      AND NOT EXISTS (SELECT FROM key WHERE key.oid = c.oid) AS missing
             FROM (SELECT DISTINCT oid FROM published WHERE by_key) AS p
             JOIN pg_class c ON c.oid = p.oid AND c.relkind = 'r'
             ORDER BY 3 DESC, 1"
        ),
        judge: replica_identity,
    },
    Check {
        code: "row-filter",
        since: 15,
        question: published!(
            "SELECT DISTINCT r.prrelid::regclass::text AS name, a.attname AS column
             FROM pg_publication_rel r
             JOIN pg_publication p ON p.oid = r.prpubid AND p.pubname = ANY ($2)
                                  AND (p.pubupdate OR p.pubdelete)
             JOIN pg_class c ON c.oid = r.prrelid AND c.relreplident <> 'f'
             CROSS JOIN LATERAL regexp_matches(r.prqual::text, ':varattno (\\d+)', 'g') AS m(found)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = m.found[1]::int
             WHERE NOT EXISTS (SELECT FROM key WHERE key.oid = c.oid AND key.attnum = a.attnum)
             ORDER BY 1, 2"
        ),
        judge: row_filter,
    },
    Check {
        code: "column-list",
        since: 15,
        question: published!(
            "SELECT r.prrelid::regclass::text AS name, quote_ident(p.pubname) AS publication,
                    (SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                            || ')'
                     FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND c.relreplident <> 'f'
                       AND (a.attnum = ANY (r.prattrs::int2[])
                            OR EXISTS (SELECT FROM key WHERE key.oid = c.oid
                                                         AND key.attnum = a.attnum))) AS columns,
                    ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')' AS filter
             FROM pg_publication_rel r
             JOIN pg_publication p ON p.oid = r.prpubid AND p.pubname = ANY ($2)
                                  AND (p.pubupdate OR p.pubdelete)
             JOIN pg_class c ON c.oid = r.prrelid
             WHERE r.prattrs IS NOT NULL
               AND (c.relreplident = 'f' OR EXISTS (
                     SELECT FROM key WHERE key.oid = c.oid
                                       AND key.attnum <> ALL (r.prattrs::int2[])))
             ORDER BY 1, 2"
        ),
        judge: column_list,
    },
    Check {
        code: "column-lists-differ",
        since: 15,
        question: "
            SELECT t.name, t.lists,
                   (SELECT quote_ident(p.pubname)
                    FROM pg_publication_rel r
                    JOIN pg_publication p ON p.oid = r.prpubid AND p.pubname = ANY ($2)
                    WHERE r.prrelid = t.name::regclass AND r.prattrs IS NOT NULL
                    ORDER BY cardinality(r.prattrs::int2[]), p.pubname LIMIT 1) AS publication
            FROM (SELECT format('%I.%I', schemaname, tablename) AS name,
                         count(DISTINCT attnames::text) AS lists
                  FROM pg_publication_tables WHERE pubname = ANY ($2)
                  GROUP BY 1 HAVING count(DISTINCT attnames::text) > 1) AS t
            ORDER BY 1",
        judge: column_lists_differ,
    },
    Check {
        code: "unpublished-tables",
        since: 0,
        question: "
            SELECT c.oid::regclass::text AS name
            FROM pg_class c
            WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND c.oid >= 16384
              AND EXISTS (SELECT FROM pg_publication p
                          WHERE p.pubname = ANY ($2) AND p.puballtables)
            ORDER BY 1",
        judge: unpublished_tables,
    },
    Check {
        code: "partition-root",
        since: 13,
        question: published!(
            "SELECT DISTINCT quote_ident(p.pubname) AS name
             FROM published
             JOIN pg_publication p ON p.oid = published.publication AND NOT p.pubviaroot
             JOIN pg_class c ON c.oid = published.oid AND c.relispartition
             ORDER BY 1"
        ),
        judge: partition_root,
    },
    Check {
        code: "generated-columns",
        since: 12,
        question: published!(
            "SELECT DISTINCT c.oid::regclass::text AS name, quote_ident(p.pubname) AS publication
             FROM published
             JOIN pg_publication p ON p.oid = published.publication
                                  AND coalesce(to_jsonb(p) ->> 'pubgencols', 'n') <> 's'
             JOIN pg_class c ON c.oid = published.oid
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attgenerated = 's'
             ORDER BY 1"
        ),
        judge: generated_columns,
    },
    Check {
        code: "select-right",
        since: 0,
        question: published!(
            "SELECT DISTINCT c.oid::regclass::text AS name
             FROM published JOIN pg_class c ON c.oid = published.root
             WHERE NOT has_table_privilege(c.oid, 'SELECT')
             ORDER BY 1"
        ),
        judge: select_right,
    },
];

fn publication(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let asked = &patient.config.publications;
    if asked.is_empty() {
        return None;
    }
    if answer.rows.is_empty() {
        return Some(Verdict::ok(asked.join(", ")));
    }
    let quoted = answer.texts("quoted").into_iter();
    Some(
        Verdict::error(format!(
            "{} does not exist in this database",
            answer.list("name")
        ))
        .sqls(quoted.map(|name| format!("CREATE PUBLICATION {name} FOR ALL TABLES;")))
        .advice("or for some, FOR TABLE …; and before the slot is made"),
    )
}

fn publication_tables(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let (name, quoted) = (row.text("name"), row.text("quoted"));
    Some(if row.number("tables")? > 0 {
        let each = answer.rows.iter().map(|row| {
            let tables = row.number("tables").unwrap_or_default();
            format!("{}: {tables}", row.text("name"))
        });
        Verdict::ok(each.collect::<Vec<_>>().join(", "))
    } else if row.flag("whole") {
        Verdict::warning(format!("{name} is for all tables, and there is none yet"))
            .advice("connect to the database that has them, or make one")
    } else {
        let empty = Verdict::error(format!("{name} has no tables: nothing will ever come"));
        match row.text("candidates") {
            "" => empty.advice("make a table, and add it: ALTER PUBLICATION … ADD TABLE …"),
            tables => empty
                .sql(format!("ALTER PUBLICATION {quoted} ADD TABLE {tables};"))
                .advice("or those of them that matter"),
        }
    })
}

/// By the transactions that wrote them: a publication has no date, and altering it writes it
/// anew. A new slot keeps the rows of the catalogs from its beginning on, or from where the one
/// furthest behind does.
fn publication_after_slot(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    if !row.flag("younger") {
        return Some(Verdict::ok("no"));
    }
    let publication = row.text("name");
    if !row.flag("sure") {
        return Some(Verdict::info(format!(
            "it cannot be told of {publication}, beside a slot that is further behind"
        )));
    }
    let slot = &patient.config.slot;
    let (drop, create) = (drop_slot_sql(slot), create_slot_sql(slot));
    // From 18 on the server goes on, and sends nothing until it comes to the publication.
    let then = if patient.major >= 18 {
        "nothing comes until there"
    } else {
        "the stream ends there"
    };
    // No SQL to be run as it stands: it drops what may be needed.
    Some(
        Verdict::warning(format!(
            "{publication} was made, or altered, behind where the slot stands: if made, {then}"
        ))
        .advice(format!(
            "a new slot mends that: {drop} {create} but loses what this one keeps; nothing is to \
             be done where changes arrive, or it was only altered"
        )),
    )
}

fn publication_operations(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let missing = answer.first()?.text("missing");
    if missing.is_empty() {
        return Some(Verdict::ok("all"));
    }
    let name = answer.first()?.text("name");
    let lacking = answer
        .rows
        .iter()
        .filter(|row| !row.text("missing").is_empty());
    Some(
        Verdict::warning(format!("{name} does not send {missing}")).sqls(lacking.map(|row| {
            format!(
                "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate');",
                row.text("quoted")
            )
        })),
    )
}

fn replica_identity(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let count = |column| answer.rows.iter().filter(|row| row.flag(column)).count();
    let (missing, whole) = (count("missing"), count("whole"));
    if missing == 0 {
        let by_key = answer.rows.len() - whole;
        return (whole + by_key > 0).then(|| {
            Verdict::ok(format!(
                "tables by key: {by_key}, by the whole row: {whole}"
            ))
        });
    }
    let names: Vec<_> = answer.texts("name").into_iter().take(missing).collect();
    let shown = list(&names);
    Some(
        Verdict::error(format!(
            "none for {shown}: every UPDATE and DELETE there fails"
        ))
        .sqls(full(&names))
        .advice("or give them a primary key, which is cheaper"),
    )
}

fn row_filter(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    asked(patient)?;
    let Some(row) = answer.first() else {
        return Some(Verdict::ok("none in the way"));
    };
    let mut names = answer.texts("name");
    names.dedup();
    Some(
        Verdict::error(format!(
            "{} is filtered by {:?}, which is not in its replica identity: every UPDATE and \
             DELETE there fails",
            row.text("name"),
            row.text("column")
        ))
        .sqls(full(&names)),
    )
}

fn column_list(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    asked(patient)?;
    if answer.rows.is_empty() {
        return Some(Verdict::ok("none in the way"));
    }
    let mending = answer.rows.iter().flat_map(|row| {
        let (publication, name) = (row.text("publication"), row.text("name"));
        let (columns, filter) = (row.text("columns"), row.text("filter"));
        [
            format!("ALTER PUBLICATION {publication} DROP TABLE {name};"),
            format!("ALTER PUBLICATION {publication} ADD TABLE {name}{columns}{filter};"),
        ]
    });
    Some(
        Verdict::error(format!(
            "that of {} lacks columns of the replica identity: every UPDATE and DELETE there fails",
            answer.list("name")
        ))
        .sqls(mending),
    )
}

fn column_lists_differ(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    asked(patient)?;
    if answer.rows.is_empty() {
        return Some(Verdict::ok("no"));
    }
    let mending = answer
        .rows
        .iter()
        .filter(|row| !row.text("publication").is_empty());
    Some(
        Verdict::error(format!(
            "{} has other columns in each publication: the stream ends there",
            answer.list("name")
        ))
        .sqls(mending.map(|row| {
            format!(
                "ALTER PUBLICATION {} DROP TABLE {};",
                row.text("publication"),
                row.text("name")
            )
        }))
        .advice("or give it the same columns in all"),
    )
}

fn unpublished_tables(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    asked(patient)?;
    if answer.rows.is_empty() {
        return Some(Verdict::ok("none"));
    }
    let names = answer.texts("name").into_iter();
    Some(
        Verdict::warning(format!(
            "{}: unlogged, and so never published",
            answer.list("name")
        ))
        .sqls(names.map(|name| format!("ALTER TABLE {name} SET LOGGED;"))),
    )
}

fn partition_root(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    asked(patient)?;
    if answer.rows.is_empty() {
        return Some(Verdict::ok("as asked"));
    }
    let names = answer.texts("name").into_iter();
    Some(
        Verdict::info(format!(
            "{}: changes come under the names of partitions, not of their table",
            answer.list("name")
        ))
        .sqls(names.map(|name| {
            format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = true);")
        })),
    )
}

fn generated_columns(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    asked(patient)?;
    if answer.rows.is_empty() {
        return Some(Verdict::ok("none left out"));
    }
    let found = Verdict::info(format!("those of {} are not sent", answer.list("name")));
    if patient.major < 18 {
        return Some(found.advice("PostgreSQL sends them from 18 on"));
    }
    let mut names = answer.texts("publication");
    names.sort_unstable();
    names.dedup();
    Some(found.sqls(
        names.into_iter().map(|name| {
            format!("ALTER PUBLICATION {name} SET (publish_generated_columns = stored);")
        }),
    ))
}

fn select_right(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    asked(patient)?;
    if answer.rows.is_empty() {
        return Some(Verdict::ok("all may be read"));
    }
    let names = answer.texts("name").into_iter();
    let role = &patient.role;
    Some(
        Verdict::info(format!(
            "{} may not be read: streaming needs no right to, a copy of the table does",
            answer.list("name")
        ))
        .sqls(names.map(|name| format!("GRANT SELECT ON {name} TO {role};"))),
    )
}

/// Nothing is to be said of no publication.
fn asked(patient: &Patient<'_>) -> Option<()> {
    patient.published.then_some(())
}

fn full(tables: &[&str]) -> impl Iterator<Item = String> {
    let tables = tables.iter();
    tables.map(|table| format!("ALTER TABLE {table} REPLICA IDENTITY FULL;"))
}
