//! The clock all parts of a run share, in their several processes.

use std::time::{SystemTime, UNIX_EPOCH};

/// µs since 1970-01-01.
#[expect(
    clippy::disallowed_methods,
    reason = "what a history is told by must be one clock"
)]
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}
