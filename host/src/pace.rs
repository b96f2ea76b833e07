//! When to let the socket fill before reading on. Reading a fast stream message by message is slow
//! and costs several times the CPU of reading it in large pieces, here and in the walsender: so a
//! stream that keeps coming is read some milliseconds at a time. Anything else is read at once.

use std::time::Duration;

/// How fast the stream is, judged by what came and when.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// From when on its speed is measured; of a fast stream, since before the last wait.
    since: Duration,
    /// What has come since.
    bytes: usize,
    /// When something last came.
    last: Duration,
    /// How often in a row the next piece came quickly.
    quick: u32,
    fast: bool,
    wait: Duration,
}

impl Pace {
    /// How long to let more come before reading on.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    pub(crate) fn is_fast(&self) -> bool {
        self.fast
    }

    /// `bytes` were read at `now`.
    pub(crate) fn came(&mut self, now: Duration, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        let is_quick = now.saturating_sub(self.last) < QUICK;
        self.last = now;
        if self.fast && (bytes >= MUCH_BYTES || !self.wait.is_zero()) {
            // What the server could not send while we waited is right behind.
            self.wait = Duration::ZERO;
            return;
        }
        if !self.fast && is_quick {
            self.quick += 1;
            if self.quick < QUICK_MIN {
                return;
            }
        }
        if self.fast || is_quick {
            self.wait = self.worth(now);
            self.fast = !self.wait.is_zero();
        }
        self.since = now;
        self.bytes = 0;
        self.quick = 0;
    }

    /// The wait that the stream is worth, by its speed.
    fn worth(&self, now: Duration) -> Duration {
        let micros = usize::try_from(now.saturating_sub(self.since).as_micros());
        match self.bytes.saturating_mul(1000) / micros.unwrap_or(usize::MAX).max(1) {
            0..WORTH => Duration::ZERO,
            WORTH..PLENTY => WAIT,
            PLENTY.. => WAIT_MAX,
        }
    }
}

/// The next piece is close behind the last one.
const QUICK: Duration = Duration::from_micros(250);

/// So many of them make a fast stream.
const QUICK_MIN: u32 = 32;

/// The shortest a tokio timer can wait.
pub(crate) const WAIT: Duration = Duration::from_millis(1);

/// For a stream about as fast as the server can send.
const WAIT_MAX: Duration = Duration::from_millis(4);

/// With so much at once there is more.
const MUCH_BYTES: usize = 4 * 1024;

/// Less than this, in bytes a millisecond, is not worth waiting for.
const WORTH: usize = 4 * 1024;

/// And this is worth the long wait.
const PLENTY: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is to be done behind each of these pieces, so many microseconds after the start.
    fn waits(pace: &mut Pace, pieces: &[(u64, usize)]) -> Vec<u128> {
        let mut waits = Vec::new();
        for &(at, bytes) in pieces {
            pace.came(Duration::from_micros(at), bytes);
            waits.push(pace.wait().as_millis());
        }
        waits
    }

    #[test]
    fn a_slow_stream_never_waits() {
        let mut pace = Pace::default();
        let pieces: Vec<_> = (1..10_000).map(|number| (number * 300, 400)).collect();
        assert!(waits(&mut pace, &pieces).iter().all(|&wait| wait == 0));
        assert!(!pace.is_fast());
    }

    #[test]
    fn ten_thousand_small_transactions_a_second_never_wait() {
        let mut pace = Pace::default();
        let pieces: Vec<_> = (1..10_000).map(|number| (number * 100, 330)).collect();
        assert!(waits(&mut pace, &pieces).iter().all(|&wait| wait == 0));
    }

    #[test]
    fn a_fast_stream_waits_until_it_is_slow() {
        let mut pace = Pace::default();
        let pieces: Vec<_> = (1..=33).map(|number| (number * 10, 400)).collect();
        assert_eq!(waits(&mut pace, &pieces)[30..], [0, 4, 0]);
        // Behind a wait it reads until little comes: the server may have waited, too.
        let drained = [(1450, 20_000), (1500, 50_000), (1550, 900)];
        assert_eq!(waits(&mut pace, &drained), [0, 0, 4]);
        let slower = [(5600, 900), (5700, 30_000), (5800, 2_000)];
        assert_eq!(waits(&mut pace, &slower), [0, 0, 1]);
        let ended = [(6900, 900), (6950, 900), (6960, 900)];
        assert_eq!(waits(&mut pace, &ended), [0, 0, 0]);
        assert!(!pace.is_fast());
    }
}
