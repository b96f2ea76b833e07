//! How long to wait before a lost connection is tried again, and when to give up. Sans I/O: times
//! are durations since an arbitrary start.
//!
//! Exponential with full jitter. In the first minute no wait is longer than half a second: most
//! outages are restarts, and a server that accepts connections again should not be kept waiting by
//! those who met it while it did not.

use std::time::Duration;

/// How a lost connection is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "the settings' names, less `reconnect_`"
)]
pub(crate) struct Reconnect {
    /// Upper bound of every wait.
    pub(crate) delay_max: Duration,
    /// Attempts in a row that may fail.
    pub(crate) attempts_max: Option<u32>,
    /// How long they may fail.
    pub(crate) time_max: Option<Duration>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            delay_max: Duration::from_secs(10),
            attempts_max: None,
            time_max: None,
        }
    }
}

/// An outage so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    reconnect: Reconnect,
    /// Attempts that brought nothing.
    attempts: u32,
    /// When it began.
    since: Option<Duration>,
}

impl Backoff {
    pub(crate) fn new(reconnect: Reconnect) -> Self {
        Self {
            reconnect,
            attempts: 0,
            since: None,
        }
    }

    /// The server sends something, or has kept the connection for a while.
    pub(crate) fn end(&mut self) {
        self.attempts = 0;
        self.since = None;
    }

    /// How long the outage lasts at `now`.
    pub(crate) fn lasted(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since.unwrap_or(now))
    }

    /// The longest time to wait before the next attempt; `None` to give up.
    pub(crate) fn wait_max(&mut self, now: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let Reconnect {
            delay_max,
            attempts_max,
            time_max,
        } = self.reconnect;
        if attempts_max.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        let lasted = now.saturating_sub(since);
        let left = time_max.map_or(DELAY_LIMIT, |max| max.saturating_sub(lasted));
        if left.is_zero() {
            return None;
        }
        let doubled = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        let bound = if lasted < EAGER {
            EAGER_DELAY_MAX
        } else {
            DELAY_LIMIT
        };
        self.attempts = self.attempts.saturating_add(1);
        let longest = DELAY_MIN.saturating_mul(doubled).min(bound);
        Some(longest.min(delay_max).min(left))
    }
}

/// Upper bound of the first wait; each further one doubles it.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// How long an outage may last until waits grow long.
const EAGER: Duration = Duration::from_mins(1);

/// The longest wait until then.
const EAGER_DELAY_MAX: Duration = Duration::from_millis(500);

/// Longer than anybody waits, whatever is configured: a year.
const DELAY_LIMIT: Duration = Duration::from_hours(24 * 365);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn waits_double_stay_short_for_a_minute_and_then_grow_to_the_limit() {
        let mut backoff = Backoff::new(Reconnect::default());
        let mut now = ms(5000);
        let mut waits = Vec::new();
        while now < ms(5000) + EAGER {
            waits.push(backoff.wait_max(now).unwrap());
            now += waits.last().copied().unwrap();
        }
        assert_eq!(waits[..4], [ms(100), ms(200), ms(400), ms(500)]);
        assert!(waits[3..].iter().all(|wait| *wait == ms(500)));
        assert_eq!(backoff.wait_max(now), Some(Duration::from_secs(10)));
        assert_eq!(backoff.lasted(now) + ms(5000), now);
        backoff.end();
        assert_eq!(backoff.lasted(now), Duration::ZERO);
        assert_eq!(backoff.wait_max(now), Some(ms(100)));
    }

    #[test]
    fn gives_up_after_so_many_attempts_or_so_long() {
        let mut attempts = Backoff::new(Reconnect {
            attempts_max: Some(2),
            ..Reconnect::default()
        });
        assert!(attempts.wait_max(ms(0)).is_some());
        assert!(attempts.wait_max(ms(0)).is_some());
        assert_eq!(attempts.wait_max(ms(0)), None);
        attempts.end();
        assert!(attempts.wait_max(ms(0)).is_some());

        let mut time = Backoff::new(Reconnect {
            time_max: Some(ms(250)),
            ..Reconnect::default()
        });
        assert_eq!(time.wait_max(ms(1000)), Some(ms(100)));
        // The last attempt is made when the time is up.
        assert_eq!(time.wait_max(ms(1100)), Some(ms(150)));
        assert_eq!(time.wait_max(ms(1250)), None);

        let mut never = Backoff::new(Reconnect {
            time_max: Some(Duration::ZERO),
            ..Reconnect::default()
        });
        assert_eq!(never.wait_max(ms(7)), None);
    }

    #[test]
    fn nothing_overflows() {
        let mut backoff = Backoff::new(Reconnect {
            delay_max: Duration::MAX,
            ..Reconnect::default()
        });
        for _ in 0..100 {
            assert!(backoff.wait_max(ms(0)).unwrap() <= EAGER_DELAY_MAX);
        }
        assert!(backoff.wait_max(Duration::MAX).unwrap() <= DELAY_LIMIT);
    }
}
