//! One plugin of several: its instance, what it is asked, and what becomes of its answers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::Store;

use crate::config::Notice;
use crate::records::{Batch, Commit, Edit, Edits, Emitted, Event, Position, Topic, headers_json};
use crate::stash::blocking;
use crate::undecodable::OnUndecodable;

use super::log::{Log, PluginLevel};
use super::relation::Selected;
use super::sandbox::State;
use super::sandbox::bindings::exports::pgoutput::plugin::transform::{
    Column as ColumnParam, Commit as CommitParam, Emission, Guest, Relation, Verdict, Wanted,
};
use super::value::json;
use super::version::{Next, Version, Watch, refused};
use super::{Failed, Plugin, PluginCounters, PluginError, PluginLine, PluginStatus, answer};

pub(super) struct Member {
    pub(super) plugin: Plugin,
    native: bool,
    log: Log,
    status: Arc<Mutex<PluginStatus>>,
    /// The one in use.
    version: Version,
    next: Next,
    pub(super) watch: Option<Watch>,
    /// Whether a transaction has begun and not ended.
    is_open: bool,
    relation_id: u32,
    /// Topics that it named, by the address of the one they are like.
    topics: HashMap<(usize, String), Arc<Topic>>,
    /// What a topic is like that it emits to.
    no_table: Arc<Topic>,
    /// The last event that it let through: see [`Batch::edit`].
    last: Option<Position>,
}

/// What a run came to.
pub(super) struct Ran {
    /// Events that are out of the batch and are to be parked or skipped.
    pub(super) faults: Vec<(Failed, bool)>,
    pub(super) result: Result<(), Failed>,
}

impl Member {
    pub(super) fn load(
        plugin: &Plugin,
        native: bool,
        log: &Notice<PluginLine>,
    ) -> Result<Self, PluginError> {
        let log = Log::new(&plugin.label(), plugin.limits.log_lines_max, log.clone());
        let (next, status) = (Next::default(), Arc::default());
        let mut watch = Watch::new(plugin, &log, &next, &status);
        let version = Version::load(plugin, &log)?;
        if let Some(watch) = &mut watch {
            watch.is_of(&version);
        }
        let member = Self {
            plugin: plugin.clone(),
            native,
            log,
            status,
            version,
            next,
            watch,
            is_open: false,
            relation_id: 0,
            topics: HashMap::new(),
            no_table: Arc::new(Topic {
                id: 0,
                name: String::new(),
                relation_oid: 0,
                schema: String::new(),
                table: String::new(),
                headers: "{}".to_owned(),
                columns: Vec::new(),
            }),
            last: None,
        };
        member.introduce();
        Ok(member)
    }

    /// The version in use says what it is.
    fn introduce(&self) {
        self.log.rename(&self.version.name);
        self.version.introduce(&mut self.status());
    }

    pub(super) fn counters(&self) -> PluginCounters {
        PluginCounters {
            status: Arc::clone(&self.status),
            log: self.log.clone(),
        }
    }

    fn status(&self) -> MutexGuard<'_, PluginStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event it failed at was parked or skipped.
    pub(super) fn passed_over(&self, parked: bool) {
        let mut status = self.status();
        if parked {
            status.parked += 1;
        } else {
            status.skipped += 1;
        }
    }

    /// Forgets everything but what it has counted.
    pub(super) fn reset(&mut self) {
        self.version.give_up();
        self.version.relations.clear();
        self.topics.clear();
        self.last = None;
        self.is_open = false;
    }

    pub(super) fn run(&mut self, batch: &mut Batch) -> Ran {
        let mut run = Run::default();
        let result = self.decide(batch, &mut run);
        // With an error, nothing behind the first event it is about goes on.
        let stop = run.stop.take();
        let result = match (result, stop) {
            (Err(failed), _) => {
                batch.truncate(0);
                Err(failed)
            }
            (Ok(()), Some((index, failed))) => {
                batch.truncate(index);
                run.edits.events.truncate(index);
                Err(failed)
            }
            (Ok(()), None) => Ok(()),
        };
        let collides = batch.event(0).zip(self.last).is_some_and(|(event, last)| {
            let at = event.position();
            (at.commit_lsn, at.index) == (last.commit_lsn, last.index) && at.sub <= last.sub
        });
        if !run.edits.is_empty() || collides {
            batch.edit(run.edits, &mut self.last);
        } else if let Some(last) = batch
            .len()
            .checked_sub(1)
            .and_then(|last| batch.event(last))
        {
            self.last = Some(last.position());
        }
        Ran {
            faults: run.faults,
            result,
        }
    }

    /// Fills in what becomes of each event.
    fn decide(&mut self, batch: &Batch, run: &mut Run) -> Result<(), Failed> {
        let was_open = self.is_open;
        self.is_open = batch.is_open(was_open);
        let next = if was_open { None } else { self.next.take() };
        let mut selected = match next {
            Some(next) => self.follow_up(next, batch)?,
            None => self.select_all(batch)?,
        };
        let mut is_changing = was_open && self.next.is_there();
        let wants_some = selected.iter().any(|of| of.wants_some());
        if !wants_some && !self.version.commits && !is_changing {
            return Ok(());
        }
        let mut start = 0;
        for (mark, end, commit) in batch.commits() {
            if !self.version.commits && !is_changing {
                break;
            }
            self.decide_between(batch, &selected, start..end, run);
            start = end;
            if run.stop.is_some() {
                return Ok(());
            }
            if self.version.commits {
                self.flush(mark, commit, run)?;
            }
            if is_changing {
                is_changing = false;
                if let Some(next) = self.next.take() {
                    selected = self.follow_up(next, batch)?;
                }
            }
        }
        self.decide_between(batch, &selected, start..batch.len(), run);
        Ok(())
    }

    /// Puts a new version in the place of the one in use, unless it does not know what it wants.
    fn follow_up(&mut self, next: Version, batch: &Batch) -> Result<Vec<Arc<Selected>>, Failed> {
        let former = std::mem::replace(&mut self.version, next);
        match self.select_all(batch) {
            Ok(selected) => {
                self.topics.clear();
                self.introduce();
                let mut status = self.status();
                status.reloads += 1;
                let text = format!(
                    "its file has changed: version {} from here on",
                    status.version
                );
                drop(status);
                self.log.note(PluginLevel::Info, &text);
                Ok(selected)
            }
            Err(failed) => {
                self.version = former;
                refused(&self.log, &self.status, &failed.error.to_string());
                self.select_all(batch)
            }
        }
    }

    fn select_all(&mut self, batch: &Batch) -> Result<Vec<Arc<Selected>>, Failed> {
        let topics = batch.topics().iter();
        topics.map(|topic| self.selected(topic)).collect()
    }

    /// Tells of a commit, and takes what is emitted there.
    fn flush(&mut self, mark: usize, commit: &Commit, run: &mut Run) -> Result<(), Failed> {
        let told = CommitParam {
            xid: commit.xid,
            lsn: commit.commit_lsn.0,
            commit_us: commit.commit_ts_us,
            events: commit.events,
        };
        let emitted = self
            .call(commit.commit_ts_us, |guest, store| {
                guest.call_flush(store, told)
            })
            .and_then(|emissions| {
                let emitted = self.emitted(emissions);
                emitted.map_err(|error| self.counted(error))
            });
        match emitted {
            Ok(emitted) if emitted.is_empty() => Ok(()),
            Ok(emitted) => {
                self.status().emitted += count(emitted.len());
                run.edits.ends.push((mark, emitted));
                Ok(())
            }
            Err(error) => self.failed_at_commit(error, run),
        }
    }

    /// There is no event to be parked: all it can be is skipped.
    fn failed_at_commit(&self, error: PluginError, run: &mut Run) -> Result<(), Failed> {
        let failed = self.failed(None, error);
        if self.stops() {
            return Err(failed);
        }
        run.faults.push((failed, false));
        Ok(())
    }

    /// Decides about some of the events, a call for each relation.
    fn decide_between(
        &mut self,
        batch: &Batch,
        selected: &[Arc<Selected>],
        range: Range<usize>,
        run: &mut Run,
    ) {
        let mut groups = vec![Vec::new(); selected.len()];
        for index in range.clone() {
            let topic = batch.topic_index(index).unwrap_or_default();
            let Some((of, group)) = selected.get(topic).zip(groups.get_mut(topic)) else {
                continue;
            };
            if !of.wants_some() {
                continue;
            }
            if group.is_empty() {
                group.reserve(range.end - index);
            }
            group.extend(batch.event(index).filter(|event| of.wants(event)));
        }
        for (of, events) in selected.iter().zip(groups) {
            if !events.is_empty() {
                self.process(of, &events, run);
            }
        }
        follow(batch, range, run);
    }

    /// Passes events of one relation. Where the plugin breaks down, they are passed one by one.
    fn process(&mut self, of: &Arc<Selected>, events: &[Event], run: &mut Run) {
        self.status().events += count(events.len());
        match self.ask(of, events) {
            Ok(verdicts) => self.settle(of, events, verdicts.into_iter().map(Ok), run),
            Err(_) if events.len() > 1 => {
                let verdicts = blocking(|| self.ask_one_by_one(of, events));
                self.settle(of, events, verdicts.into_iter(), run);
            }
            Err(error) => self.settle(of, events, std::iter::once(Err(error)), run),
        }
    }

    /// Does with events what was said of them.
    fn settle(
        &mut self,
        of: &Selected,
        events: &[Event],
        verdicts: impl Iterator<Item = Result<Verdict, PluginError>>,
        run: &mut Run,
    ) {
        let mut did = Did::default();
        for (event, verdict) in events.iter().zip(verdicts) {
            let edit = match verdict {
                Ok(verdict) => self
                    .edit(of, event, verdict, &mut run.edits)
                    .map_err(|error| self.counted(error)),
                Err(error) => Err(error),
            };
            match edit {
                Ok(Edit::Keep) => {}
                Ok(edit) => {
                    did.count(&edit);
                    run.edits.set(event.index(), edit);
                }
                Err(error) => {
                    let failed = self.failed(Some(event), error);
                    if self.stops() {
                        // Nothing behind it goes on, whatever relation it is of.
                        let index = event.index();
                        if run.stop.as_ref().is_none_or(|(first, _)| index < *first) {
                            run.stop = Some((index, failed));
                        }
                        break;
                    }
                    run.faults.push((failed, event.op() == Some('m')));
                    run.edits.set(event.index(), Edit::Drop);
                }
            }
        }
        let mut status = self.status();
        status.memory_bytes = self.version.memory_bytes();
        status.dropped += did.dropped;
        status.changed += did.changed;
        status.emitted += did.emitted;
    }

    fn ask_one_by_one(
        &mut self,
        of: &Arc<Selected>,
        events: &[Event],
    ) -> Vec<Result<Verdict, PluginError>> {
        let mut verdicts = Vec::with_capacity(events.len());
        for event in events.chunks(1) {
            let verdict = self
                .ask(of, event)
                .map(|mut verdicts| verdicts.swap_remove(0));
            let failed = verdict.is_err();
            verdicts.push(verdict);
            if failed && self.stops() {
                break;
            }
        }
        verdicts
    }

    fn stops(&self) -> bool {
        *self.plugin.policy() == OnUndecodable::Stop
    }

    /// One call: as many verdicts as events.
    fn ask(&mut self, of: &Arc<Selected>, events: &[Event]) -> Result<Vec<Verdict>, PluginError> {
        let rows = of.rows(events);
        let lists = rows.lists();
        let params = rows.params(&lists);
        if !self.version.asked.contains(&of.id) {
            // A new instance knows nothing of it. Its answer is the one before it gave.
            self.select(&of.topic, of.id)?;
        }
        let verdicts = self.call(rows.commit_us(), |guest, store| {
            guest.call_process(store, params)
        })?;
        if verdicts.len() != events.len() {
            let reason = format!("{} answers to {} events", verdicts.len(), events.len());
            return Err(self.counted(answer(reason)));
        }
        Ok(verdicts)
    }

    /// Calls an instance, a new one where there is none; one that fails is given up.
    fn call<R>(
        &mut self,
        commit_us: i64,
        function: impl FnOnce(&Guest, &mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, PluginError> {
        let instance = match &mut self.version.instance {
            Some(instance) => instance,
            none => {
                let mut instance = self.version.program.instance()?;
                instance.init(&self.plugin.config)?;
                none.insert(instance)
            }
        };
        instance.set_time(commit_us);
        let result = instance.call(function);
        if result.is_err() {
            self.version.give_up();
        }
        result.map_err(|error| self.counted(error))
    }

    /// What it wants of a topic's events, which is asked once.
    fn selected(&mut self, topic: &Arc<Topic>) -> Result<Arc<Selected>, Failed> {
        if let Some(selected) = self.version.relations.get(&Arc::as_ptr(topic).addr()) {
            return Ok(Arc::clone(selected));
        }
        self.relation_id += 1;
        let id = self.relation_id;
        let selected = self
            .select(topic, id)
            .and_then(|wanted| Selected::new(topic, id, wanted, self.native))
            .map_err(|error| Failed {
                plugin: self.version.name.clone(),
                at: None,
                error: PluginError::Selection {
                    topic: topic.name.clone(),
                    reason: error.to_string(),
                },
            })?;
        let selected = Arc::new(selected);
        if self.version.relations.len() >= TOPICS_MAX {
            self.version.relations.clear();
            self.topics.clear();
        }
        self.version
            .relations
            .insert(Arc::as_ptr(topic).addr(), Arc::clone(&selected));
        Ok(selected)
    }

    fn select(&mut self, topic: &Topic, id: u32) -> Result<Option<Wanted>, PluginError> {
        let columns: Vec<_> = topic
            .columns
            .iter()
            .map(|column| ColumnParam {
                name: &column.name,
                type_oid: column.type_oid,
                typmod: column.typmod,
                key: column.in_key,
                nullable: column.nullable,
            })
            .collect();
        let relation = Relation {
            id,
            topic: &topic.name,
            schema: &topic.schema,
            table: &topic.table,
            columns: &columns,
        };
        let wanted = self.call(0, |guest, store| guest.call_select(store, relation))?;
        self.version.asked.insert(id);
        Ok(wanted)
    }

    /// What becomes of an event.
    fn edit(
        &mut self,
        of: &Selected,
        event: &Event,
        verdict: Verdict,
        edits: &mut Edits,
    ) -> Result<Edit, PluginError> {
        Ok(match verdict {
            Verdict::Keep => Edit::Keep,
            Verdict::Drop => Edit::Drop,
            Verdict::Change(change) => of.change(event, &change, edits)?,
            Verdict::Replace(payload) => {
                let payload = json(&payload).ok_or_else(|| answer("a payload that is no JSON"))?;
                Edit::Replace(payload.to_owned())
            }
            Verdict::Route(topic) if topic.is_empty() => {
                return Err(answer("an event without a topic"));
            }
            Verdict::Route(topic) => Edit::Route(self.topic_of(&of.topic, topic)),
            Verdict::Emit(emissions) => Edit::Emit(self.emitted(emissions)?),
            Verdict::Fail(reason) => return Err(PluginError::Event { reason }),
        })
    }

    fn emitted(&mut self, emissions: Vec<Emission>) -> Result<Vec<Emitted>, PluginError> {
        let checked = |text: Option<String>, what: &str| match text {
            None => Ok(None),
            Some(text) => match json(&text) {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(answer(format!("a {what} that is no JSON"))),
            },
        };
        let mut emitted = Vec::with_capacity(emissions.len());
        let no_table = Arc::clone(&self.no_table);
        for emission in emissions {
            if emission.topic.is_empty() {
                return Err(answer("an event without a topic"));
            }
            emitted.push(Emitted {
                key: checked(emission.key, "key")?,
                value: checked(emission.payload, "payload")?,
                headers: headers_json(&emission.headers),
                topic: self.topic_of(&no_table, emission.topic),
            });
        }
        Ok(emitted)
    }

    /// A topic that is like another but for its name.
    fn topic_of(&mut self, like: &Arc<Topic>, name: String) -> Arc<Topic> {
        if self.topics.len() >= TOPICS_MAX {
            self.topics.clear();
        }
        let key = (Arc::as_ptr(like).addr(), name);
        let topic = self.topics.entry(key).or_insert_with_key(|(_, name)| {
            Arc::new(Topic {
                name: name.clone(),
                ..Topic::clone(like)
            })
        });
        Arc::clone(topic)
    }

    fn failed(&self, event: Option<&Event>, error: PluginError) -> Failed {
        let at = event.map(|event| (event.position(), event.topic().name.clone()));
        Failed {
            plugin: self.version.name.clone(),
            at,
            error,
        }
    }

    /// The same, and counted.
    fn counted(&self, error: PluginError) -> PluginError {
        let mut status = self.status();
        let counter = match error {
            PluginError::Cpu { .. } | PluginError::Wall { .. } | PluginError::Fuel { .. } => {
                &mut status.out_of_time
            }
            PluginError::Memory { .. } => &mut status.out_of_memory,
            PluginError::Output { .. } => &mut status.out_of_output,
            PluginError::Trap { .. } => &mut status.traps,
            PluginError::Answer { .. } => &mut status.wrong_answers,
            _ => return error,
        };
        *counter += 1;
        drop(status);
        error
    }
}

/// What comes of a batch.
#[derive(Default)]
struct Run {
    edits: Edits,
    /// Each with whether it is about a logical message.
    faults: Vec<(Failed, bool)>,
    /// The first event at which the stream stops.
    stop: Option<(usize, Failed)>,
}

/// What became of some events.
#[derive(Default)]
struct Did {
    dropped: u64,
    changed: u64,
    emitted: u64,
}

impl Did {
    fn count(&mut self, edit: &Edit) {
        match edit {
            Edit::Keep => {}
            Edit::Drop => self.dropped += 1,
            Edit::Change(_) | Edit::Replace(_) | Edit::Route(_) => self.changed += 1,
            Edit::Emit(emitted) => self.emitted += count(emitted.len()),
        }
    }
}

/// A tombstone goes where the event before it goes.
fn follow(batch: &Batch, range: Range<usize>, run: &mut Run) {
    for index in range.skip(1) {
        let before = run.edits.events.get(index - 1);
        if !matches!(before, Some(Edit::Drop | Edit::Emit(_))) {
            continue;
        }
        let pair = batch.event(index - 1).zip(batch.event(index));
        let follows = pair.is_some_and(|(before, event)| {
            let (of, at) = (before.position(), event.position());
            event.value().is_none()
                && event.op().is_none()
                && !event.is_emitted()
                && (of.commit_lsn, of.index) == (at.commit_lsn, at.index)
        });
        if follows {
            run.edits.set(index, Edit::Drop);
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Topics of which the names are kept: a plugin may make a topic of each row.
const TOPICS_MAX: usize = 10_000;
