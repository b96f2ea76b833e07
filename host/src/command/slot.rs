//! `slot`: replication slots, made, listed, looked at and dropped.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{ArgMatches, Args, Subcommand};
use pgoutput_decoder_host::Slots;
use pgoutput_decoder_host::slots::{NewSlot, SlotInfo, SlotWait};

use super::connection::Connection;
use super::failure::Failure;
use super::subcommand;
use super::terminal::{self, Style, bytes_text};

/// What `slot` is told.
#[derive(Args)]
#[command(about = "Makes, lists, shows and drops replication slots")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Makes a slot with plugin pgoutput in the connection's database
    #[command(
        after_help = "A slot begins where every transaction that is open now has ended: \
        making one waits for them.\n\
        From then on the server keeps WAL until the slot's consumer confirms it."
    )]
    Create(Create),
    /// Lists all slots of the server
    List(List),
    /// Prints everything there is to know about one slot
    Show(Show),
    /// Drops a slot that is not in use: its consumer cannot go on where it was
    Drop(Drop),
}

#[derive(Args)]
struct Create {
    #[command(flatten)]
    slot: Name,
    /// Prepared transactions are sent when they are prepared, for good; from 15 on
    #[arg(long)]
    two_phase: bool,
    /// Standbys may keep a copy; from 17 on [default: yes, on a primary that can]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true")]
    failover: Option<bool>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
struct List {
    /// An array of objects, with the columns of the view and more
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
struct Show {
    #[command(flatten)]
    slot: Name,
    /// An object, with the columns of the view and more
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
struct Drop {
    #[command(flatten)]
    slot: Name,
    /// Without asking; needed where nobody can be asked
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
struct Name {
    /// The slot's name
    #[arg(
        long,
        env = "PGOUTPUT_SLOT",
        value_name = "NAME",
        hide_env_values = true
    )]
    slot: String,
}

/// Does what the verb says.
pub(crate) async fn run(arguments: Arguments, given: &ArgMatches) -> Result<(), Failure> {
    let given = subcommand(given);
    match arguments.verb {
        Verb::Create(arguments) => create(&arguments, given).await,
        Verb::Drop(arguments) => drop_slot(&arguments, given).await,
        Verb::List(arguments) => {
            let mut slots = connect(&arguments.connection, given).await?;
            let infos = slots.list().await?;
            let mut out = io::stdout().lock();
            if arguments.json {
                return print_json(&mut out, &infos);
            }
            Ok(print_list(&mut out, &infos)?)
        }
        Verb::Show(arguments) => {
            let mut slots = connect(&arguments.connection, given).await?;
            let info = slots.show(&arguments.slot.slot).await?;
            let mut out = io::stdout().lock();
            if arguments.json {
                return print_json(&mut out, &info);
            }
            Ok(print_one(&mut out, &info)?)
        }
    }
}

/// Says on stderr what making a slot waits for.
pub(crate) fn notice_wait(wait: &SlotWait) {
    let style = Style::of(&io::stderr());
    let text = wait.to_string();
    let text = terminal::printable(&text);
    // A notice nobody can read is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{}: {text}", style.bold("notice"));
}

async fn connect(connection: &Connection, given: &ArgMatches) -> Result<Slots, Failure> {
    Ok(Slots::connect(&connection.config(given)?).await?)
}

async fn create(arguments: &Create, given: &ArgMatches) -> Result<(), Failure> {
    let mut new = NewSlot::new(&arguments.slot.slot).two_phase(arguments.two_phase);
    if let Some(failover) = arguments.failover {
        new = new.failover(failover);
    }
    let mut slots = connect(&arguments.connection, given).await?;
    let info = slots.create(&new, notice_wait).await?;
    let style = Style::of(&io::stdout());
    let mut text = format!(
        "slot {} made: changes behind {} are kept for its consumer",
        style.bold(&info.slot_name),
        info.confirmed_flush_lsn.as_deref().unwrap_or("now"),
    );
    if info.failover == Some(true) {
        text.push_str(", by standbys too (failover)");
    }
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

async fn drop_slot(arguments: &Drop, given: &ArgMatches) -> Result<(), Failure> {
    let name = &arguments.slot.slot;
    let mut slots = connect(&arguments.connection, given).await?;
    let info = slots.show(name).await?;
    if !arguments.yes {
        let unread = info.unread_bytes.map_or_else(String::new, |bytes| {
            format!(", {} of WAL unread", bytes_text(bytes))
        });
        let mut stdout = io::stdout().lock();
        let what = format!("slot {name} of {}", owner(&info));
        if !io::stdin().is_terminal() {
            return Err(Failure::Unconfirmed {
                what: format!("{what}{unread}"),
            });
        }
        write!(stdout, "drop {what}{unread}? [y/N] ")?;
        stdout.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Failure::Declined);
        }
    }
    slots.drop(name).await?;
    Ok(writeln!(io::stdout().lock(), "slot {name} dropped")?)
}

/// Plugin and database, for people.
fn owner(info: &SlotInfo) -> String {
    match (&info.database, &info.plugin) {
        (Some(database), Some(plugin)) => format!("database {database}, plugin {plugin}"),
        _ => info.slot_type.clone(),
    }
}

fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    Ok(writeln!(out, "{json}")?)
}

/// A line a slot.
fn print_list(out: &mut impl Write, infos: &[SlotInfo]) -> io::Result<()> {
    let style = Style::of(&io::stdout());
    if infos.is_empty() {
        return writeln!(out, "no slots; to make one: pgoutput-decoder slot create");
    }
    let head = ["NAME", "DATABASE", "PLUGIN", "STATE", "RETAINED", "UNREAD"].map(str::to_owned);
    let rows: Vec<_> = infos
        .iter()
        .map(|info| {
            [
                info.slot_name.clone(),
                info.database.clone().unwrap_or_else(|| "-".to_owned()),
                info.plugin.clone().unwrap_or_else(|| "physical".to_owned()),
                state(info),
                size(info.retained_bytes),
                size(info.unread_bytes),
            ]
        })
        .collect();
    let mut widths = [0; 6];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = terminal::columns(cell).max(*width);
        }
    }
    for (index, row) in [&head].into_iter().chain(&rows).enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let padding = (width + 2).saturating_sub(terminal::columns(cell));
            line.push_str(&terminal::printable(cell));
            line.push_str(&" ".repeat(padding));
        }
        let line = line.trim_end();
        let lost = index.checked_sub(1).and_then(|index| infos.get(index));
        let line = match lost {
            None => style.dim(line),
            Some(info) if is_lost(info) => style.red(line),
            Some(_) => line.into(),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// A line a fact; what the server does not have is left out.
fn print_one(out: &mut impl Write, info: &SlotInfo) -> io::Result<()> {
    let style = Style::of(&io::stdout());
    let yes_no = |value: Option<bool>| value.map(|yes| if yes { "yes" } else { "no" }.to_owned());
    let holder = info.holder.as_ref().map(|holder| {
        let address = holder.address.as_deref().unwrap_or("this machine");
        let application = holder.application_name.as_deref().unwrap_or("?");
        let user = holder.user.as_deref().unwrap_or("?");
        let mut text = format!(
            "pid {}, {application}, role {user}, from {address}",
            holder.pid
        );
        if let Some(since) = &holder.since {
            text.push_str(", since ");
            text.push_str(since);
        }
        text
    });
    let facts = [
        ("slot", Some(info.slot_name.clone())),
        ("of", Some(owner(info))),
        ("state", Some(state(info))),
        ("in use by", holder),
        ("inactive since", info.inactive_since.clone()),
        ("confirmed up to", info.confirmed_flush_lsn.clone()),
        ("unread", info.unread_bytes.map(bytes_text)),
        ("WAL kept from", info.restart_lsn.clone()),
        ("WAL kept", info.retained_bytes.map(bytes_text)),
        ("WAL status", info.wal_status.clone()),
        (
            "safe to write",
            info.wal_status.as_ref().map(|_| {
                info.safe_wal_size
                    .map_or_else(|| "no limit".to_owned(), bytes_text)
            }),
        ),
        ("invalidated", info.invalidation_reason.clone()),
        ("catalog xmin", info.catalog_xmin.clone()),
        ("xmin", info.xmin.clone()),
        ("temporary", yes_no(Some(info.temporary))),
        ("two-phase", yes_no(info.two_phase)),
        ("two-phase from", info.two_phase_at.clone()),
        ("failover", yes_no(info.failover)),
        ("copy of primary's", yes_no(info.synced)),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            let name = format!("{name:<18}");
            writeln!(out, "{} {}", style.dim(&name), terminal::printable(&value))?;
        }
    }
    Ok(())
}

fn is_lost(info: &SlotInfo) -> bool {
    info.invalidation_reason.is_some() || info.wal_status.as_deref() == Some("lost")
}

fn state(info: &SlotInfo) -> String {
    if is_lost(info) {
        let reason = info.invalidation_reason.as_deref().unwrap_or("wal_removed");
        return format!("lost ({reason})");
    }
    match &info.holder {
        Some(holder) => format!("active (pid {})", holder.pid),
        None => "inactive".to_owned(),
    }
}

fn size(bytes: Option<i64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), bytes_text)
}
