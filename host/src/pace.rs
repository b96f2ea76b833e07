//! When to let the socket fill before reading on. Reading a fast stream message by message costs
//! several times the CPU of reading it in pieces, here and in the walsender, and is slower: so a
//! stream that keeps coming is read a millisecond at a time. Anything else is read at once.

use std::time::Duration;

/// Whether the stream is fast, judged by what came and when.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When something last came.
    last: Duration,
    /// How often in a row the next piece came quickly.
    quick: u32,
    fast: bool,
}

impl Pace {
    /// `bytes` came at `now`; whether to wait a little before reading on.
    pub(crate) fn came(&mut self, now: Duration, bytes: usize) -> bool {
        let quick = now.saturating_sub(self.last) < QUICK;
        self.last = now;
        self.quick = if quick {
            self.quick.saturating_add(1)
        } else {
            0
        };
        // A piece that was waited for tells how much comes in that time.
        self.fast = if self.fast {
            bytes >= WORTH_BYTES
        } else {
            self.quick >= QUICK_MIN
        };
        if !self.fast {
            return false;
        }
        self.quick = 0;
        bytes < ENOUGH_BYTES
    }
}

/// How long to wait: the shortest a tokio timer can.
pub(crate) const WAIT: Duration = Duration::from_millis(1);

/// The next piece is close behind the last one.
const QUICK: Duration = Duration::from_micros(250);

/// So many of them make a fast stream.
const QUICK_MIN: u32 = 32;

/// Less than this in a wait is not worth the next one.
const WORTH_BYTES: usize = 4 * 1024;

/// With so much at once, reading on pays by itself.
const ENOUGH_BYTES: usize = 48 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn us(microseconds: u64) -> Duration {
        Duration::from_micros(microseconds)
    }

    #[test]
    fn a_slow_stream_never_waits() {
        let mut pace = Pace::default();
        assert!((1..10_000).all(|number| !pace.came(us(number * 300), 400)));
    }

    #[test]
    fn a_fast_stream_waits_until_it_is_slow() {
        let mut pace = Pace::default();
        let first = (1..100).find(|&number| pace.came(us(number * 10), 400));
        assert_eq!(first, Some(u64::from(QUICK_MIN)));
        assert!(pace.came(us(1400), 30_000));
        assert!(!pace.came(us(2800), 64 * 1024), "more is there already");
        assert!(pace.came(us(2900), 20_000));
        assert!(!pace.came(us(4300), 900), "it was not worth the wait");
        assert!(!pace.came(us(4310), 900));
    }
}
