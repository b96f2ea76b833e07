//! Plugins between decoding and handing over, and what becomes of the events they fail at.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::Config;
use crate::error::Error;
use crate::plugin::{Fault, Plugins};
use crate::records::{Batch, Begin, Item, Position};
use crate::stash::{blocking, first_lsn};
use crate::undecodable::{Undecodable, is_message};

use super::Driver;
use super::decoding::{INLINE_BYTES_MAX, Passed};
use super::undecodable::park;

/// Loads the plugins that are configured.
pub(super) fn load(config: &Config) -> Result<Plugins, Error> {
    let load = || Plugins::load_all(&config.plugins, config.is_native(), &config.on_plugin_line);
    blocking(load).map_err(Error::from)
}

/// Looks after their files: one that changes is loaded beside what is in use.
pub(super) fn watch(plugins: &mut Plugins) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    for mut watch in plugins.watches() {
        watching.spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if !watch.has_changed() {
                    continue;
                }
                let looked = tokio::task::spawn_blocking(move || {
                    watch.look();
                    watch
                });
                match looked.await {
                    Ok(again) => watch = again,
                    Err(_) => return,
                }
            }
        });
    }
    watching
}

impl Driver {
    /// Has the plugins decide about a batch.
    pub(super) fn plug_in(&mut self, batch: &mut Batch, passed: &mut Passed) {
        if self.plugins.is_empty() {
            return;
        }
        let plugins = &mut self.plugins;
        let long = plugins.is_slow() || batch.bytes() > INLINE_BYTES_MAX;
        let (faults, result) = if long {
            blocking(|| plugins.run(batch))
        } else {
            plugins.run(batch)
        };
        passed.faults = faults;
        passed.failed = result.map_err(Error::from).err();
    }

    /// Parks and skips the changes of events that plugins failed at, each once, whatever became of
    /// it: in the order of the stream.
    pub(super) fn pass_over_faults(&mut self, frames: &[u8], passed: &mut Passed) {
        if passed.faults.is_empty() {
            return;
        }
        let items = passed.batch.iter().flat_map(Batch::items);
        let begins: Vec<Begin> = items
            .filter_map(|item| match item {
                Item::Begin(begin) => Some(begin),
                _ => None,
            })
            .collect();
        let faults = std::mem::take(&mut passed.faults);
        let mut result = Ok(());
        let mut found = 0;
        let mut context = self.caution.context.clone();
        context.walk(frames, &begins, |context, position, frame| {
            let mut here = faults.iter().filter(|fault| {
                fault.is_message == is_message(frame) && fault.change() == Some(position)
            });
            let Some(fault) = here.next() else { return };
            found += 1 + here.count();
            if result.is_ok() && self.caution.context.is_first(position, first_lsn(frame)) {
                let reason = fault.reason();
                let change = Undecodable {
                    frame,
                    position,
                    reason: &reason,
                };
                let told = context.describe(&change);
                let policy = self.plugins.policy(fault.member);
                match policy.map_or(Ok(false), |policy| park(policy, context, &change)) {
                    Ok(parked) => self.passed_over(fault, parked, &told),
                    Err(error) => result = Err(error),
                }
            }
        });
        // What fails at a commit is no change.
        for fault in faults.iter().filter(|fault| fault.change().is_none()) {
            found += 1;
            self.passed_over(
                fault,
                false,
                &format!("what it does at a commit: {}", fault.reason()),
            );
        }
        if found < faults.len() && result.is_ok() {
            result = Err(Error::protocol(
                "a plugin failed at an event that no change was",
            ));
        }
        if let Err(error) = result {
            passed.failed = Some(error);
        }
    }

    fn passed_over(&self, fault: &Fault, parked: bool, told: &str) {
        self.plugins.passed_over(fault, parked);
        let word = if parked { "parked" } else { "skipped" };
        let told = format!("a change that a plugin failed at was {word}: {told}");
        self.config.on_warning.tell(&told);
    }
}

impl Fault {
    /// The change that the event came of.
    fn change(&self) -> Option<Position> {
        let (position, _) = self.failed.at.as_ref()?;
        Some(Position {
            sub: 0,
            ..*position
        })
    }

    fn reason(&self) -> String {
        format!("plugin {}: {}", self.failed.plugin, self.failed.error)
    }
}

/// Between two looks at a plugin's file.
const LOOK: Duration = Duration::from_millis(100);
